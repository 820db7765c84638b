"""Caption scores of one corpus: what the catalogue's caption metrics give, for anyone's texts."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from amad_bench.plan.catalogue import METRICS
from amad_bench.runtime.errors import UserError, did_you_mean
from amad_bench.runtime.run_folder.predictions import Prediction
from amad_bench.scoring.metrics import measure

Texts = dict[str, list[str]]  # example id -> captions


@dataclass(frozen=True)
class CaptionScores:
    """Scores of one corpus.

    `corpus`: metric -> score. `per_example`: example_id and a column per metric that could be computed.
    `unavailable`: metric -> reason. `statistics`: metric -> a row per example, whose sum gives the corpus
    score (`scoring.metrics`); Bleu_n and METEOR have them, the others are means of their column.
    """

    corpus: dict[str, float]
    per_example: pd.DataFrame
    unavailable: dict[str, str]
    statistics: dict[str, list[list[float]]]


def score_captions(
    references: Texts, hypotheses: dict[str, str], metrics: Iterable[str] | None = None
) -> CaptionScores:
    """Scores as pycocoevalcap 1.2 gives them: CIDEr in [0, 10], others in [0, 1]; in the references' order.

    `metrics`: some of the catalogue's for captions; by default all but the slow METEOR and SPICE, whose Java
    programs take long to start. CIDEr's document frequencies are those of `references`. Without a working
    Java, every metric is in `unavailable`. UserError when the two have different ids, an example has no
    reference, or a metric is unknown. An empty hypothesis is scored as one.
    """
    wanted = _known(metrics)
    _check_ids(references, hypotheses)
    rows = [
        Prediction("", example, "", hypotheses[example], captions, {})
        for example, captions in references.items()
    ]
    examples = pd.DataFrame({"example_id": pd.Series(list(references), dtype="str")})
    scores = CaptionScores({}, examples, {}, {})
    (measured,) = measure(wanted, [rows])
    for metric, found in measured.items():
        if found.unavailable:
            scores.unavailable[metric] = found.unavailable
            continue
        scores.corpus[metric] = found.score
        scores.per_example[metric] = pd.Series(found.values, dtype="float64")
        if found.statistics is not None:
            scores.statistics[metric] = found.statistics
    return scores


def _known(metrics: Iterable[str] | None) -> list[str]:
    known = [name for name, record in METRICS.items() if record.task == "captioning"]
    if metrics is None:
        return [name for name in known if not METRICS[name].slow]
    wanted = list(dict.fromkeys(metrics))
    for metric in wanted:
        if metric not in known:
            raise UserError(
                f"caption metric {metric!r} is unknown; expected some of {', '.join(known)}."
                f"{did_you_mean(metric, known)}"
            )
    return wanted


def _check_ids(references: dict[str, list[str]], hypotheses: dict[str, str]) -> None:
    if not references:
        raise UserError("captions: nothing to score; expected at least one example with references")
    for example in references:
        if example not in hypotheses:
            raise UserError(
                f"captions: example {example!r} has references but no hypothesis; predict every example"
            )
        if not references[example]:
            raise UserError(
                f"captions: example {example!r} has no reference caption; give one or leave the example out"
            )
    for example in hypotheses:
        if example not in references:
            raise UserError(
                f"captions: example {example!r} has a hypothesis but no references; score the same examples"
            )
