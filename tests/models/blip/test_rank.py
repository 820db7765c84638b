"""Answers by ranking, against a loop that scores one answer of one question at a time."""

import pytest
import torch
from torch import Tensor

from amad_bench.losses import ce_loss
from amad_bench.models.blip import model as blip
from amad_bench.models.blip.model import BlipAnswerer
from tests.tiny_models import VOCABULARY, tiny_batch, tiny_model, without_labels

PAD, EOS, BOS = 0, 1, 3


def answers(number: int = 12) -> Tensor:
    """Different answers of 1 to 4 tokens and EOS; the first tokens are 4 to 7, so that many share one."""
    generator = torch.Generator().manual_seed(5)
    ids_AL = torch.randint(4, VOCABULARY, (number, 5), generator=generator)
    ids_AL[:, 0] = 4 + torch.arange(number) % 4
    lengths_A = torch.randint(1, 5, (number,), generator=generator)
    ids_AL[torch.arange(number), lengths_A] = EOS
    return ids_AL.masked_fill(torch.arange(5) > lengths_A[:, None], PAD)


@pytest.fixture
def model() -> BlipAnswerer:
    """Spread-out weights, so that no two answers are as good as equal."""
    model = tiny_model("blip-vqa")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3, generator=generator)
    assert isinstance(model, BlipAnswerer)
    return model.eval()


QUESTIONS = 24


def questions() -> dict[str, Tensor]:
    """Of 1 to 6 tokens, padded."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(4, VOCABULARY, (QUESTIONS, 6), generator=generator)
    ids.masked_fill_(torch.arange(6) >= torch.randint(1, 7, (QUESTIONS, 1), generator=generator), PAD)
    pixels = torch.randn(QUESTIONS, 3, 16, 16, generator=generator)
    return {"pixel_values": pixels, "input_ids": ids, "attention_mask": ids.ne(PAD).long()}


def one(batch: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    """One question without its padding."""
    kept = batch["attention_mask"][row].bool()
    ids = batch["input_ids"][row : row + 1, kept]
    return {
        "pixel_values": batch["pixel_values"][row : row + 1],
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
    }


def naive_scores(
    model: BlipAnswerer, batch: dict[str, Tensor], answer_ids_AL: Tensor
) -> tuple[Tensor, Tensor]:
    """(B, A): log-probability of each answer's first token, and of all of its tokens, the end included."""
    first = torch.zeros(QUESTIONS, len(answer_ids_AL))
    whole = torch.zeros(QUESTIONS, len(answer_ids_AL))
    for row in range(QUESTIONS):
        for number, ids in enumerate(answer_ids_AL):
            labels = ids[ids != PAD][None]
            logits = model(**one(batch, row), labels=labels).logits[0].double()
            of_tokens = logits.log_softmax(-1)[torch.arange(labels.shape[1]), labels[0]]
            first[row, number], whole[row, number] = of_tokens[0], of_tokens.sum()
    return first, whole


@torch.no_grad()
def test_ranking_all_answers_finds_the_most_probable(model):
    batch, ids = questions(), answers()
    _, whole = naive_scores(model, batch, ids)
    assert model.rank(**batch, answer_ids_AL=ids, k=len(ids)).tolist() == whole.argmax(1).tolist()
    assert model.rank(**batch, answer_ids_AL=ids, k=10 * len(ids)).tolist() == whole.argmax(1).tolist()


@pytest.mark.trap("blip-3")
@torch.no_grad()
@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_k_answers_are_chosen_by_their_first_token(model, k):
    """Answers with one first token are equally good: the first rows among them are taken."""
    batch, ids = questions(), answers()
    first, whole = naive_scores(model, batch, ids)
    expected = []
    for row in range(QUESTIONS):
        chosen = sorted(range(len(ids)), key=lambda number: (-round(first[row, number].item(), 5), number))[
            :k
        ]
        expected.append(max(chosen, key=lambda number: whole[row, number].item()))
    assert model.rank(**batch, answer_ids_AL=ids, k=k).tolist() == expected


@torch.no_grad()
def test_a_small_k_can_miss_the_most_probable_answer(model):
    """Else the two steps were one."""
    batch, ids = questions(), answers()
    ranked = [model.rank(**batch, answer_ids_AL=ids, k=k).tolist() for k in (1, len(ids))]
    assert ranked[0] != ranked[1]


@torch.no_grad()
def test_groups_of_any_size_rank_the_same(model, monkeypatch):
    batch, ids = questions(), answers()
    expected = model.rank(**batch, answer_ids_AL=ids, k=6)
    rows: list[int] = []
    model.text_decoder.register_forward_pre_hook(
        lambda _module, _arguments, named: rows.append(len(named["input_ids"])), with_kwargs=True
    )
    monkeypatch.setattr(blip, "RANKED_LOGITS", 5 * VOCABULARY * 4)  # four answers of five tokens
    assert torch.equal(model.rank(**batch, answer_ids_AL=ids, k=6), expected)
    assert rows == [QUESTIONS] + [4] * (QUESTIONS * 6 // 4)
    rows.clear()
    monkeypatch.setattr(blip, "RANKED_LOGITS", 1)
    assert torch.equal(model.rank(**batch, answer_ids_AL=ids, k=6), expected)
    assert rows == [QUESTIONS] + [1] * (QUESTIONS * 6)


@torch.no_grad()
def test_keys_of_a_question_are_made_once_and_answers_are_no_longer_than_their_group(model, monkeypatch):
    batch, ids = questions(), answers()
    sources, shapes = [], []
    key = model.text_decoder.bert.encoder.layer[0].crossattention.self.key
    key.register_forward_pre_hook(lambda _module, arguments: sources.append(len(arguments[0])))
    model.text_decoder.register_forward_pre_hook(
        lambda _module, _arguments, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    monkeypatch.setattr(blip, "RANKED_LOGITS", 2 * QUESTIONS * VOCABULARY * 5)  # two answers of five tokens
    expected = naive_scores(model, batch, ids)[1].argmax(1).tolist()
    sources.clear()
    shapes.clear()
    assert model.rank(**batch, answer_ids_AL=ids, k=len(ids)).tolist() == expected
    assert set(sources) == {QUESTIONS}
    lengths = sorted((ids != PAD).sum(1).tolist())
    groups = shapes[1:]  # after the one with every question's first token
    assert [rows // QUESTIONS for rows, _ in groups] == [len(part) for part in GROUPS]
    assert [longest for _, longest in groups] == [part[-1] for part in GROUPS]
    assert [length for part in GROUPS for length in part] == lengths


GROUPS = [[2, 2, 3], [3, 3, 3], [4, 4], [4, 5], [5, 5]]  # lengths of the answers, at most ten tokens a group


def test_padding_of_question_and_answers_changes_nothing(model):
    batch, ids = questions(), answers()
    expected = model.rank(**batch, answer_ids_AL=ids, k=5)
    changed = {**batch, "input_ids": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 9)}
    assert torch.equal(model.rank(**changed, answer_ids_AL=ids, k=5), expected)
    wider = torch.cat([ids, torch.full((len(ids), 3), PAD)], dim=1)
    assert torch.equal(model.rank(**batch, answer_ids_AL=wider, k=5), expected)


@pytest.mark.trap("blip-3")
def test_two_learnt_answers_are_ranked_first():
    """Two-token answers among others with the same first token or the same second one."""
    model = tiny_model("blip-vqa", seed=1)
    batch = {name: value[:2] for name, value in tiny_batch("blip-vqa").items()}
    batch["labels"] = torch.tensor([[5, 9, EOS], [6, 8, EOS]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        ce_loss(model(**batch).logits, batch["labels"]).backward()
        optimizer.step()
    model.eval()
    ids = torch.tensor([[5, 8, EOS], [6, 9, EOS], [6, 8, EOS], [9, EOS, PAD], [5, 9, EOS], [5, EOS, PAD]])
    assert model.rank(**without_labels(batch), answer_ids_AL=ids, k=3).tolist() == [4, 2]
    generated = model.generate(**without_labels(batch), max_new_tokens=4, do_sample=False, num_beams=1)
    assert generated[:, :3].tolist() == batch["labels"].tolist()
