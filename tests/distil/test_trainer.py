"""A Distiller in transformers' Trainer: its steps by hand, what it logs, saves, evaluates and refuses."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

from amad_bench import Distiller
from amad_bench.distil import DistillingMixin
from tests.distil.pairs import batch, llama
from tests.losses import naive


class DistillingTrainer(DistillingMixin, Trainer):
    """One that keeps the batches that its teacher sees."""

    def teacher_inputs(self, inputs):
        self.seen = [*getattr(self, "seen", []), dict(inputs)]
        return inputs


def _arguments(folder: Path, **changes: Any) -> TrainingArguments:
    common: dict[str, Any] = {
        "per_device_train_batch_size": 2,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(str(folder), **(common | changes))


def _examples(rows: int = 4, labels: bool = True) -> Any:
    whole = batch(rows)
    return [
        {name: tensor[i] for name, tensor in whole.items() if labels or name != "labels"} for i in range(rows)
    ]


@pytest.fixture
def pair():
    return llama(4, 2, seed=1), llama(2, 1, seed=2)


def test_an_accumulated_step_by_hand_and_an_evaluation(pair, tmp_path):
    """The own loss by the tokens of both micro-batches, the distiller's by the mean of theirs."""
    teacher, student = pair
    twin, wise = copy.deepcopy(student).double(), copy.deepcopy(teacher).double()
    for model in (twin, wise):
        model.set_attn_implementation("eager")
    trainer = DistillingTrainer(
        model=student,
        args=_arguments(tmp_path, gradient_accumulation_steps=2, max_steps=1, learning_rate=0.1),
        train_dataset=_examples(),
        eval_dataset=_examples(),
        distiller=Distiller(teacher, student, {"amad": 2.0}),
        own_loss=0.5,
    )
    trainer.train()
    first, second = trainer.seen
    own, tokens, distilled = 0.0, 0, []
    for inputs in (first, second):
        mask = inputs["attention_mask"].bool()
        taught, learnt = (
            model(inputs["input_ids"], inputs["attention_mask"], output_attentions=True)
            for model in (wise, twin)
        )
        targets = inputs["labels"][:, 1:].flatten()
        own = own + cross_entropy(learnt.logits[:, :-1].flatten(0, 1), targets, reduction="sum")
        tokens += int((targets != -100).sum())
        valid_BQK = mask[:, :, None] & mask[:, None, :] & torch.ones(6, 6, dtype=torch.bool).tril()
        distilled.append(naive.amad(taught.attentions[-1], learnt.attentions[-1], valid_BQK))
    (0.5 * own / tokens + 2.0 * sum(distilled) / 2).backward()
    for trained, expected in zip(student.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(
            trained.double(), expected - 0.1 * expected.grad, rtol=1e-5, atol=1e-6, msg="a weight"
        )
    logged = next(logs for logs in trainer.state.log_history if "loss" in logs)
    assert logged["distil_amad"] == pytest.approx(float(sum(distilled).detach()) / 2, rel=1e-4)
    assert logged["loss"] == pytest.approx(float((0.5 * own / tokens + sum(distilled)).detach()), rel=1e-4)

    before = len(trainer.seen)
    metrics = trainer.evaluate()
    whole = batch(4)
    with torch.no_grad():
        assert metrics["eval_loss"] == pytest.approx(student.eval()(**whole).loss.item(), rel=1e-5)
    assert len(trainer.seen) == before  # no teacher
    assert not any(name.startswith("eval_distil") for name in metrics)


def test_a_losss_parameters_are_trained_saved_and_resumed(pair, tmp_path):
    """Three steps of a rate too small to change the gradient: were it not forgotten, they would be six."""
    teacher, student = pair
    inputs = batch(2)
    examples = [{name: tensor[i] for name, tensor in inputs.items()} for i in range(2)]
    distiller = Distiller(teacher, student, {"hidden_mse": 1.0}, seed=5)
    distiller.materialise(inputs)
    (weight,) = distiller.parameters()
    start = weight.detach().clone()
    distiller(inputs).total.backward()
    gradient = weight.grad.clone()
    student.zero_grad()
    arguments = _arguments(
        tmp_path, max_steps=3, learning_rate=1e-4, save_strategy="steps", save_steps=2, num_train_epochs=3
    )
    trainer = DistillingTrainer(model=student, args=arguments, train_dataset=examples, distiller=distiller)
    trainer.train()
    change = weight.detach() - start
    assert (change + 3e-4 * gradient).norm() < 0.05 * change.norm()

    resumed = Distiller(teacher, llama(2, 1, seed=2), {"hidden_mse": 1.0})
    again = DistillingTrainer(
        model=resumed.student, args=arguments, train_dataset=examples, distiller=resumed
    )
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    (continued,) = resumed.parameters()
    torch.testing.assert_close(continued, weight, rtol=1e-5, atol=1e-7)


def test_without_labels_the_lessons_alone(pair, tmp_path):
    teacher, student = pair
    before = copy.deepcopy(student.state_dict())
    trainer = DistillingTrainer(
        model=student,
        args=_arguments(tmp_path, gradient_accumulation_steps=2, max_steps=1, learning_rate=0.1),
        train_dataset=_examples(labels=False),
        distiller=Distiller(teacher, student, {"logit_kd": 1.0}),
        own_loss=0.0,
    )
    trainer.train()
    twin = llama(2, 1, seed=2)
    parts = [Distiller(teacher, twin, "logit_kd")(inputs)["logit_kd"] for inputs in trainer.seen]
    (sum(parts) / 2).backward()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(student.state_dict()[name], before[name] - 0.1 * parameter.grad)
    for seed in (1, 2):  # a log has what came since the last one
        inputs = batch(seed=seed)
        expected = trainer.distiller(inputs)["logit_kd"].item()
        trainer.compute_loss(student.train(), inputs)
        trainer.log({"loss": 0.0})
        assert trainer.state.log_history[-1]["distil_logit_kd"] == pytest.approx(expected)


def test_refusals_are_one_line(pair, tmp_path):
    teacher, student = pair
    distiller = Distiller(teacher, student, {"hidden_mse": 1.0})
    common: dict[str, Any] = {"train_dataset": _examples(), "distiller": distiller}
    with pytest.raises(ValueError, match=r"^the distiller's student is another model than Trainer's[^\n]*$"):
        DistillingTrainer(model=llama(2, 1), args=_arguments(tmp_path), **common)
    with pytest.raises(ValueError, match=r"^the parameters of hidden_mse have no sizes yet[^\n]*$"):
        DistillingTrainer(model=student, args=_arguments(tmp_path, max_steps=1), **common).train()
    distiller.materialise(batch())
    optimizer = torch.optim.SGD(student.parameters())
    trainer = DistillingTrainer(
        model=student, args=_arguments(tmp_path, max_steps=1), optimizers=(optimizer, None), **common
    )
    with pytest.raises(
        ValueError, match=r"^the given optimizer does not train the losses' parameters[^\n]*$"
    ):
        trainer.train()
    arguments = _arguments(tmp_path)
    assert arguments.n_gpu == 0
    arguments._n_gpu = 2
    with pytest.raises(ValueError, match=r"^torch.nn.DataParallel copies the student[^\n]*$"):
        DistillingTrainer(model=student, args=arguments, **common)
