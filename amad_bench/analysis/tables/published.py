"""The table `published`: published scores on the test sets of a sweep, beside those of its own teachers."""

from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.settings import TEACHER
from amad_bench.analysis.tables.results import results_table
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.runtime.paths import PUBLISHED, shipped

FACTS = ["work", "model", "pretraining", "task", "split", "metric", "value", "source"]
MATCHED = ["dataset", "metric", "subset"]
OURS = [
    "family",
    "teacher_heads",
    "teacher_pretraining",
    "n_seeds",
    "n_examples",
    "mean",
    "ci_low",
    "ci_high",
]
_DATASETS = {"VQAv2": "vqa_v2", "COCO caption": "coco"}  # as the works name them
_METRICS = {
    "accuracy": "vqa_accuracy",
    "BLEU@4": "Bleu_4",
    "CIDEr": "CIDEr",
    "METEOR": "METEOR",
    "SPICE": "SPICE",
}
_TEST = "karpathy-test"  # the only split of these data sets that runs are tested on
_PARTS = {"in-domain": "domain: in", "out-of-domain": "domain: out"}
_WHOLE = "no data limit"


def published_table(collected: Collected) -> pd.DataFrame:
    """A row per published score on a test set of the sweep, in points, and per teacher of that family in it.

    The columns OURS are empty where none of the model's family was trained on the whole data. Nothing where
    the sweep has none of the data sets.
    """
    known = set(collected.runs["dataset"]) & set(_DATASETS.values())
    columns = [*FACTS, "dataset", "subset", *OURS]
    if not known:
        return pd.DataFrame(columns=columns)
    theirs: Any = published_scores(shipped(PUBLISHED))
    theirs = theirs[theirs["dataset"].isin(known)]
    results = results_table(collected)
    teachers: Any = results[
        (results["loss"] == TEACHER) & (results["limit"] == _WHOLE) & results["mean"].notna()
    ]
    ours = teachers[[*MATCHED, *OURS]].drop_duplicates()
    return theirs.merge(ours, on=["family", *MATCHED], how="left")[columns]


def published_scores(path: Path) -> pd.DataFrame:
    """The facts of a file of published results that our metrics and test splits can stand beside.

    dataset, metric, subset: as our tables name them; family: of the model, "" where it is none of ours. A
    score that several sources give is one row, with all of them. Nothing where there is no file.
    """
    if not path.is_file():
        return pd.DataFrame(columns=[*FACTS, "dataset", "subset", "family"])
    facts: Any = pd.read_csv(path, dtype={"value": float})
    facts = facts[facts["task"].isin(list(_DATASETS)) & facts["split"].str.startswith(_TEST)]
    part = facts["split"].str.removeprefix(_TEST).str.strip()
    facts = facts.assign(
        dataset=facts["task"].map(_DATASETS),
        metric=facts["metric"].str.replace(r" \(.*\)", "", regex=True).map(_METRICS),
        subset=part.map(_PARTS).fillna("all"),
        family=[_family(model) for model in facts["model"]],
    )
    facts = facts[facts["metric"].notna()]
    one = ["work", "model", "task", "metric", "value", "dataset", "subset", "family"]
    first = facts.groupby(one, sort=False)[["pretraining", "split"]].first()
    sources = facts.groupby(one, sort=False)["source"].agg(lambda found: "; ".join(dict.fromkeys(found)))
    return first.assign(source=sources).reset_index()


def _family(model: str) -> str:
    """The family whose name begins the model's: "VL-T5", "BLIP ViT-B"."""
    found = [name for name, record in FAMILIES.items() if model.split()[0] == record.label]
    return found[0] if found else ""
