"""Answers of a trained run to questions whose answers nobody here knows."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.data.tasks.unanswered import load_unanswered
from amad_bench.plan.run import Run
from amad_bench.runtime.devices import ready
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import refuse_existing, write_text_atomic
from amad_bench.runtime.run_folder.status import Status
from amad_bench.scoring.decode import decode
from amad_bench.scoring.result_files import result_file
from amad_bench.training.finished import finished_folder, with_weights
from amad_bench.training.predict import by_frequency
from amad_bench.training.run_model import trained_model


def predict_questions(
    run: Run,
    questions: Path,
    photos: Path,
    out: Path,
    device: str = "auto",
    workers: int = 0,
    features: Sequence[Path] = (),
    image_cache_gb: float | None = None,
) -> int:
    """Writes the answers in VQA's result format and returns how many there are.

    Tokenizer, inputs and decoding are the run's. photos, features: see `load_unanswered`; image_cache_gb: the
    config's. UserError: a run of another task or that was not trained, a file that is there already, a
    question that is longer than the model can read, and whatever is wrong with questions, photos or features.
    """
    config = run.config
    where = ready(device).place
    refuse_existing(out)
    trained = with_weights(finished_folder(run))
    if config.task != "vqa":
        raise UserError(f"{run.id}: a run for {config.task} answers no questions; name one for vqa")
    if (config.inputs.reads == "features") != bool(features):
        raise UserError(
            f"{run.id}: its inputs are {config.inputs.kind}; give --features where they are features, and "
            "nowhere else"
        )
    data = load_task_data(config)
    model = trained_model(config, data, trained.checkpoint).to(where)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Not below the data set's folder: other photos may have the names of its own. Nor in /tmp, which is often
    # memory: what is made of photos takes up to `image_cache_gb`.
    with tempfile.TemporaryDirectory(prefix=".amad-questions-", dir=out.parent) as folder:
        split, images = load_unanswered(
            config,
            data.tokenizer,
            questions,
            photos,
            Path(folder),
            features,
            shortest=data.train.source_ids_NL.shape[1],
            image_cache_gb=image_cache_gb,
        )
        _refuse_longer(split, model, questions)
        texts = decode(
            model,
            split,
            images,
            data.tokenizer,
            config.answers,
            where,
            batch=Status.read(trained.status).micro_batch or config.training.batch,
            workers=workers,
            candidates=by_frequency(data.train) if config.answers.rank is not None else (),
            precision=config.precision,
        )
    write_text_atomic(out, result_file("vqa", dict(zip(split.example_ids, texts, strict=True))))
    return len(texts)


def _refuse_longer(split: Split, model: nn.Module, questions: Path) -> None:
    """UserError for a question with more tokens than the model has positions, where they are learned."""
    config = getattr(model.config, "text_config", model.config)
    most = getattr(config, "max_position_embeddings", None)
    longest = int(split.source_lengths_N.argmax())
    tokens = int(split.source_lengths_N[longest])
    if most is not None and tokens > most:
        raise UserError(
            f"{questions}: question_id {split.example_ids[longest]} has {tokens} tokens, the model reads at "
            f"most {most}; shorten it"
        )
