"""Titles of panels and fine print: short titles, and the rest as fine print, once where all panels share it.

A panel's title has a letter and what tells it from its neighbours; the fine print says what all have in
common, and by the letters what only some of them have.
"""

from collections.abc import Callable, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import pandas as pd

from amad_bench.analysis.figures.drawing import Frame
from amad_bench.analysis.run_columns import UNCUT
from amad_bench.analysis.settings import seen_images
from amad_bench.data.formats.overlap import NO_OVERLAP
from amad_bench.plan import catalogue
from amad_bench.plan.catalogue import METRICS, UNBOUNDED

LONGEST = 48  # letters of a title above half a page's width
Row = Mapping[Any, Any]
_Say = Callable[[Row], str]


def family_and_task(row: Row) -> str:
    """ "VL-T5 · VQA"."""
    return f"{catalogue.FAMILIES[row['family']].label} · {catalogue.TASKS[row['task']].label}"


def head_gap(row: Row) -> str:
    """ "8 → 2 heads"."""
    return f"{row['teacher_heads']} → {row['student_heads']} heads"


def condition(row: Row) -> str:
    """The student's pre-training, and the cut where its checkpoint had another shape."""
    return row["pretraining"] if row["cut"] in UNCUT else f"{row['pretraining']}, {row['cut']}"


def _known(row: Row, key: str) -> bool:
    return key in row and pd.notna(row[key]) and row[key] != ""


def _pretraining(row: Row) -> str:
    """ "none → vl", of teacher and student; "vl →" where a panel has several conditions of the student."""
    known = [row[key] for key in ("teacher_pretraining", "pretraining") if _known(row, key)]
    if "pretraining" in row and not _known(row, "pretraining") and known:
        return f"{known[0]} →"
    return " → ".join(known)


def _pretrained(row: Row) -> str:
    said = _pretraining(row)
    return (
        "no pre-training" if set(said.split(" → ")) == {"none"} else f"pre-training: {said}" if said else ""
    )


def _student(row: Row) -> str:
    named = f"student {row['student']}" if _known(row, "student") else "students"
    return f"{named} {row['student_shape']}" if _known(row, "student_shape") else ""


_SAID: dict[str, _Say] = {  # by the column that is asked for, in the order of titles
    "dataset": lambda row: catalogue.label_of(row["dataset"]),
    "teacher_heads": head_gap,
    "teacher_pretraining": _pretrained,
    "budget": lambda row: "equal FLOPs" if row["budget"] == "flops" else "",
    "student_shape": _student,
    "examples": lambda row: f"{row['examples']} training examples",
    "cut": lambda row: "" if row["cut"] in UNCUT else f"cut: {row['cut']}",
    "precision": lambda row: f"precision {row['precision']}",
    "heads_keep": lambda row: f"heads keep the {row['heads_keep'].replace('_', ' ')}",
}
_SHORT: dict[str, _Say] = {"teacher_pretraining": _pretraining}  # in a title, where it says the same shorter
_PRETRAINING = "in titles, after the heads: pre-training of teacher → of student"
_LONG: dict[str, _Say] = {  # never in a title
    "limit": lambda row: row["limit"],
    "features": lambda row: f"images: {seen_images(row)}",
    "inputs": lambda row: "" if "features" in row else f"images: {row['inputs']}",
    "image_overlap": lambda row: (
        "" if row["image_overlap"] == NO_OVERLAP else f"images in two splits: {row['image_overlap']}"
    ),
    "warning": lambda row: row["warning"],
}


def titles_and_notes(
    rows: Sequence[Row], *always: str, without: Sequence[str] = (), longest: int = LONGEST
) -> tuple[list[str], list[str]]:
    """The title of each panel, and the fine print of their page.

    rows: of each panel one that stands for all that it shows. always: columns of _SAID that a title has even
    where the panels share them. without: columns that differ within a panel. longest: letters of a title.
    """
    parts: list[list[str]] = [[family_and_task(row)] for row in rows]
    shared: list[str] = []
    by_letter: list[list[str]] = []
    for key, say in {**_SAID, **_LONG}.items():
        if key in without:
            continue
        said = [say(row) if _known(row, key) else "" for row in rows]
        alike = len(set(said)) == 1
        short = [_SHORT.get(key, say)(row) if _known(row, key) else "" for row in rows]
        titled = [" · ".join([*own, new] if new else own) for own, new in zip(parts, short, strict=True)]
        fits = key in _SAID and max(map(len, titled), default=0) <= longest
        if fits and (not alike or key in always):
            parts = [[title] for title in titled]
            shared += [_PRETRAINING] if key == "teacher_pretraining" else []
        elif alike:
            shared += [said[0]] if said[0] else []
        else:
            by_letter.append(said)
    alone = len(rows) == 1
    titles = [" · ".join(own) for own in parts]
    titles = titles if alone else [f"{letter(n)}  {title}" for n, title in enumerate(titles)]
    notes = [_sentence("; ".join(shared))] if shared else []
    return titles, notes + [_by_letter(said) for said in by_letter]


def letter(number: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    tens, ones = divmod(number, 26)
    return (ascii_lowercase[tens - 1] if tens else "") + ascii_lowercase[ones]


def _by_letter(said: Sequence[str]) -> str:
    """ "a–c, e: this; d: that."."""
    found = [
        f"{_letters([n for n, other in enumerate(said) if other == one])}: {one}"
        for one in dict.fromkeys(said)
        if one
    ]
    return f"{'; '.join(found)}."


def _letters(numbers: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(letter(s[0]) if len(s) == 1 else f"{letter(s[0])}–{letter(s[-1])}" for s in spans)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def in_points(name: str, what: str = "") -> str:
    """The label of an axis of scores, e.g. "VQA accuracy (points, 0–100)"; what: that is drawn of them."""
    metric = METRICS[name]
    direction = "" if metric.higher_is_better else "; less is better"
    if what:
        return f"{what}, {metric.label} (points{direction})"
    span = f"{metric.minimum:g}–{metric.maximum:g}"
    if metric.maximum == UNBOUNDED:
        span = f"{metric.minimum:g} or more" if metric.minimum > -UNBOUNDED else "any number"
    elif metric.minimum == -UNBOUNDED:
        span = f"{metric.maximum:g} or less"
    return f"{metric.label} (points, {span}{direction})"


def n_of(frame: Frame) -> str:
    """ "n = 2–3 seeds × 240 examples", from the columns n_seeds and n_examples."""
    seeds = f"n = {_range(frame['n_seeds'])} seed{'' if set(frame['n_seeds']) == {1} else 's'}"
    return f"{seeds} × {_range(frame['n_examples'])} examples"


def _range(counts: Frame) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
