"""What each task of VL-T5's pre-training asks, read back from the tensors of a batch."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.models.vlt5.pretraining import PREFIXES, PRETRAIN_TASKS
from tests.models.conftest import batches

IGNORED = -100


def epoch(data: PretrainingData, family: str, condition: str, epochs: int = 1):
    """All instances of some epochs: (task, source, target, row of the image, -1 where it is masked)."""
    size = data.train.instances(family, condition)
    tokens = data.tokenizer._backend
    features = [data.images.batch(np.array([row]), "cpu")["vis_feats"][0] for row in range(len(data.images))]
    row_of = {tuple(feature.flatten().tolist()): row for row, feature in enumerate(features)}
    assert len(row_of) == len(features)
    found = []
    for batch in batches(data, family, condition, size // 8, 8 * epochs):
        for b, task in enumerate(batch["tasks_B"].tolist()):
            source = batch["input_ids"][b][batch["attention_mask"][b] == 1].tolist()
            target = [token for token in batch["labels"][b].tolist() if token != IGNORED]
            assert source.pop() == target.pop() == data.tokenizer.eos
            seen = batch["vis_attention_mask"][b].any()
            row = row_of[tuple(batch["vis_feats"][b].flatten().tolist())] if seen else -1
            texts = [tokens.decode(ids, skip_special_tokens=False) for ids in (source, target)]
            found.append((PRETRAIN_TASKS[task], *(text.replace("<", " <").strip() for text in texts), row))
    return found


def restored(source: str, target: str) -> str:
    """The text of a span corruption: what stands behind each sentinel of the target goes into the source."""
    for span in target.split("<extra_id_")[1:]:
        number, words = span.split(">", 1)
        source = source.replace(f"<extra_id_{number}>", words.strip() + " ")
    return " ".join(source.split())


@pytest.mark.trap("pre-2")
def test_one_epoch_of_vl_t5s_mix(data_of):
    data = data_of("vlt5", "vl")
    split, found = data.train, epoch(data_of("vlt5", "vl"), "vlt5", "vl")
    by_task = {task: [rest for of, *rest in found if of == task] for task in PRETRAIN_TASKS}
    counts = {task: len(instances) for task, instances in by_task.items()}
    assert counts == {"lm": 200, "qa": 160, "itm": 200, "ground_caption": 40, "refer": 40}
    for task, instances in by_task.items():
        assert all(source.startswith(f"{PREFIXES[task]} ") for source, _, _ in instances)
    bare = {
        task: [
            (source.removeprefix(PREFIXES[task]).strip(), target, row) for source, target, row in instances
        ]
        for task, instances in by_task.items()
    }
    captions = Counter(zip(split.captions, split.caption_rows_C.tolist(), strict=True))
    assert Counter((restored(source, target), row) for source, target, row in bare["lm"]) == captions
    questions = zip(
        split.questions, (next(iter(a)) for a in split.answers), split.question_rows_Q.tolist(), strict=True
    )
    assert Counter(bare["qa"]) == Counter(questions)
    assert Counter(row for _, _, row in bare["itm"]) == Counter(split.caption_rows_C.tolist())
    for task in ("ground_caption", "refer"):
        assert Counter(row for _, _, row in bare[task]) == Counter(split.phrase_rows_M.tolist())


@pytest.mark.trap("pre-4")
def test_a_caption_matches_its_image_half_of_the_time_and_the_answer_says_so(data_of):
    data = data_of("vlt5", "vl")
    owners: dict[str, set[int]] = {}
    for text, row in zip(data.train.captions, data.train.caption_rows_C.tolist(), strict=True):
        owners.setdefault(text, set()).add(row)
    asked = [rest for task, *rest in epoch(data, "vlt5", "vl", epochs=5) if task == "itm"]
    for source, target, row in asked:
        text = source.removeprefix("image text match: ")
        if target == "true":
            assert row in owners[text]
        else:
            assert target == "false"
            assert owners[text] != {row}
    matched = sum(target == "true" for _, target, _ in asked)
    assert len(asked) == 1000
    assert abs(matched - 500) < 5 * np.sqrt(250)


def test_grounding_names_only_regions_with_a_phrase_and_all_of_them(data_of):
    data = data_of("vlt5", "vl")
    none, no_rows = [], np.zeros(0, np.int32)
    train = replace(
        data.train, captions=none, caption_rows_C=no_rows, questions=none, question_rows_Q=no_rows
    )
    data = replace(data, train=train)
    phrases = dict(zip(data.train.phrase_rows_M.tolist(), data.train.phrases, strict=True))
    asked: dict[str, set[tuple[int, int]]] = {"ground_caption": set(), "refer": set()}
    for task, source, target, row in epoch(data, "vlt5", "vl", epochs=20):
        if task not in asked:
            continue
        source = source.removeprefix(PREFIXES[task]).strip()
        region, phrase = (source, target) if task == "ground_caption" else (target, source)
        number = int(region.removeprefix("<vis_extra_id_").removesuffix(">"))
        assert phrases[row][number] == phrase != ""
        asked[task].add((row, number))
    everything = {(row, r) for row, of_row in phrases.items() for r, phrase in enumerate(of_row) if phrase}
    assert asked["ground_caption"] == asked["refer"] == everything


def test_text_alone_is_span_corruption_without_prefix_or_image(data_of):
    data = data_of("vlt5", "text")
    found = epoch(data, "vlt5", "text")
    assert {(task, row) for task, _, _, row in found} == {("lm", -1)}
    expected = Counter([*data.train.captions, *data.train.questions])
    assert Counter(restored(source, target) for _, source, target, _ in found) == expected
    batch = batches(data, "vlt5", "text", 6, 1)[0]
    assert (
        batch["vis_feats"].abs().sum() == batch["vis_attention_mask"].sum() == batch["boxes"].abs().sum() == 0
    )


def test_an_answer_is_drawn_by_its_score(data_of):
    data = data_of("vlt5", "vl")
    answers = [{"red": 0.9, "blue": 0.3}] * len(data.train.questions)
    data = replace(data, train=replace(data.train, answers=answers))
    drawn = Counter(target for task, _, target, _ in epoch(data, "vlt5", "vl", epochs=5) if task == "qa")
    assert drawn.total() == 800
    assert set(drawn) == {"red", "blue"}
    assert abs(drawn["red"] - 600) < 5 * np.sqrt(150)


def test_captions_of_one_image_cannot_be_mismatched(data_of):
    data = data_of("vlt5", "vl")
    alone = replace(data.train, caption_rows_C=np.zeros_like(data.train.caption_rows_C))
    with pytest.raises(ValueError, match="at least two images"):
        batches(replace(data, train=alone), "vlt5", "vl", 4, 1)
