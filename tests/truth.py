"""A results folder whose truth is known: runs of a config's whole plan, with effects and nulls as arguments.

    python -m tests.truth FOLDER [--runs N] [--examples N] [--seeds N]

writes FOLDER/config.yaml and FOLDER/results and collects them, so that `amad-bench compare --config
config.yaml` and the commands behind it run in FOLDER, and `amad-bench data` makes the images.
"""

import argparse
import math
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import stats

from amad_bench.cli import main as amad_bench
from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import expand, possible_plan
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.seeds import seed
from amad_bench.runtime.run_folder.steps import Alignment, StepLog
from tests.analysis.conftest import TASKS, make_raw, name_of, scores_at, write_run
from tests.truth_texts import PER_IMAGE, named, predictions_of, texts_of

CONFIG = "config.yaml"
AMAD = ("amad_kl", "amad_mse", "amad_kl_sharp")
COLLAPSED = "random_alignment"
EFFECTS = {
    "ce": 0.0,
    "logit_kd": 4.0,
    "one_to_one": 4.0,
    "student_mean": 6.0,
    "amad_kl": 12.0,
    "amad_mse": 6.0,
    "amad_kl_sharp": 12.0,
    COLLAPSED: -45.0,
}
BASE = {"vqa": 55.0, "captioning": 70.0, "translation": 30.0}  # of `ce`, in points of the primary metric
PER_CHANCE = {"vqa": 100.0, "captioning": 130.0, "translation": 100.0}  # points where the chance is 1
BLEU_POWER = 0.95  # BLEU is about 100 chance^.95: the mean of the powers in `make_statistics`
TEACHER = 25.0  # per cent above `ce`
HEADS = (2, 8, 4, 1, 6, 3)  # of students, in the order in which blocks are added
SPREAD_OF_IMAGES = 0.1  # standard deviation of an image's chance
SHARED_LUCK = 0.8  # correlation of two runs' luck on one example
STEPS = (20, 250, 500, 750, 1000)


@dataclass(frozen=True)
class Truth:
    """What is true of the runs. Numbers, standard deviations too, are per cent of the score of `ce` in BASE.

    effects: of each loss above `ce`. at_flops: what a loss gains at equal FLOPs, a budget that is there where
    it is not empty. per_doubling: what a loss gains for each doubling of the head gap.
    pretrained: a student's gain by its own vl pre-training; well_taught: a distilled one's by its teacher's.
    block_sd: of a loss's effect between blocks; seed_sd: between replicates, shared by all losses; run_sd:
    between runs. failed, missing: by loss, how many of its runs diverged and were never started, spread over
    the blocks. shared: one teacher, and one draw of images, for all blocks of a task entry. changes: of the
    config.
    """

    tasks: tuple[tuple[str, str], ...] = TASKS
    seeds: int = 3
    students: tuple[int, ...] = HEADS[:2]
    conditions: tuple[str, ...] = ("none",)
    examples: int = 240
    effects: Mapping[str, float] = field(default_factory=lambda: EFFECTS)
    at_flops: Mapping[str, float] = field(default_factory=dict[str, float])
    per_doubling: Mapping[str, float] = field(default_factory=dict[str, float])
    pretrained: float = 18.0
    well_taught: float = 2.0
    block_sd: float = 1.0
    seed_sd: float = 2.0
    run_sd: float = 1.0
    failed: Mapping[str, int] = field(default_factory=lambda: {"student_mean": 2, COLLAPSED: 1})
    missing: Mapping[str, int] = field(default_factory=lambda: {"amad_mse": 1})
    shared: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def config(self) -> dict[str, Any]:
        """The config as its file holds it."""
        per, conditions = "sweep" if self.shared else "block", [*self.conditions]
        changes = {"name": "truth", "losses": [LOSS.get(label, {"name": label}) for label in self.effects]}
        changes |= {"teacher_per": per, "scenes_per": per}
        images = max(-(-self.examples // PER_IMAGE[task]) for _, task in self.tasks)
        changes |= {"datasets.scenes.test_images": images}
        changes |= {"budgets": ["steps", "flops"]} if self.at_flops else {}
        changes |= {"pretraining.teacher": conditions, "pretraining.student": conditions}
        if "vl" in self.conditions:
            changes |= {"models.vlt5.order_embedding": True}
        gaps = [(8, heads) for heads in self.students]
        return make_raw(self.tasks, seeds=self.seeds, gaps=gaps, changes=changes | dict(self.changes))

    def per_cent(self, run: Run) -> float:
        """What a run would score above `ce` without any chance."""
        config = run.config
        gain = self.pretrained if config.pretraining == "vl" else 0.0
        if config.teacher is None:
            return gain + TEACHER
        gain += self.effects[config.loss.label]
        gain += self.at_flops.get(config.loss.label, 0.0) if run.budget == "flops" else 0.0
        gain += self.well_taught if config.teacher_pretraining == "vl" else 0.0
        doublings = abs(math.log2(config.teacher.heads / config.model.heads))
        return gain + self.per_doubling.get(config.loss.label, 0.0) * doublings

    def points(self, run: Run) -> float:
        """The score that a run has before its examples are drawn, in points of the primary metric."""
        config, task, above = run.config, (run.config.family, run.config.task), self.per_cent(run)
        if config.teacher is not None:
            block = (*task, config.teacher.heads, config.model.heads)
            of_seed = _generator("seed", *(task if self.shared else block), config.replicate)
            above += of_seed.normal(0, self.seed_sd)
            above += _generator("run", name_of(run)).normal(0, self.run_sd)
            if config.loss.label != "ce":
                above += _generator("block", *block, config.loss.label).normal(0, self.block_sd)
        return BASE[config.task] * (1 + above / 100)


LOSS = {
    "one_to_one": {"name": "one_to_one", "drop": "extra"},
    "amad_kl": {"name": "amad", "variant": "kl"},
    "amad_mse": {"name": "amad", "variant": "mse"},
    "amad_kl_sharp": {"name": "amad", "variant": "kl", "temperature": 0.1, "label": "amad_kl_sharp"},
}


def write_truth(folder: Path, truth: Truth = Truth()) -> Plan:
    """Write config.yaml and results/runs into a folder; its plan."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG
    path.write_text(yaml.safe_dump(truth.config(), sort_keys=False))
    plan = expand(load_config(path))
    scored = [name_of(run) for run in plan.runs if run.kind != "pretrain"]
    assert len(set(scored)) == len(scored), "what is drawn must not be the same for two runs"
    never, diverged = (_spread(plan, counts) for counts in (truth.missing, truth.failed))
    for run in plan.runs:
        if run.id in never:
            continue
        if run.id in diverged - never:
            write_run(folder / "results", run, "diverged", "loss or gradient is not finite at step 140")
            continue
        made: dict[str, Any] = {"measured": _measured(run)}
        if run.kind != "pretrain":
            texts = texts_of(run.config.task, images_seed(run), truth.examples)
            scores = named(_scores(truth, run), texts)
            made |= {"scores": scores, "predictions": predictions_of(scores, texts)}
        log = write_run(folder / "results", run, **made) / "steps.jsonl"
        if run.kind == "student":
            _write_steps(log, run, truth.points(run) / 100)
    return plan


def images_seed(run: Run) -> int:
    """The seed that the run's images are drawn from."""
    return int(str(run.config.dataset.options["seed"]))


def _spread(plan: Plan, counts: Mapping[str, int]) -> set[str]:
    """Ids of so many runs of each loss, evenly over the plan."""
    found: set[str] = set()
    for label, count in counts.items():
        own = [run.id for run in plan.runs if run.kind == "student" and run.config.loss.label == label]
        found |= {own[number * len(own) // count] for number in range(count)} if own else set()
    return found


def _generator(*parts: str | int) -> np.random.Generator:
    return np.random.default_rng(seed("truth", *parts))


def _scores(truth: Truth, run: Run) -> Any:
    """Its scores; runs on the same images share how hard each is, and most of their luck on each example."""
    config, per_image = run.config, PER_IMAGE[run.config.task]
    images = images_seed(run), config.task
    images_N = _generator("images", *images).normal(0, SPREAD_OF_IMAGES, -(-truth.examples // per_image))
    luck_N = _generator("luck", *images).normal(0, 1, truth.examples)
    own = _generator("examples", name_of(run))

    def draw() -> np.ndarray:
        own_N = own.normal(0, 1, truth.examples)
        return stats.norm.cdf(math.sqrt(SHARED_LUCK) * luck_N + math.sqrt(1 - SHARED_LUCK) * own_N)

    level = truth.points(run) / PER_CHANCE[config.task]
    level = level ** (1 / BLEU_POWER) if config.task == "translation" else level
    level_N = level + images_N.repeat(per_image)[: truth.examples]
    return scores_at(run, level_N, own, per_image, draw)


def _measured(run: Run) -> dict[str, Any]:
    """What training took: more with a teacher, with attention losses, with heads."""
    share = 1.0 if run.config.teacher is None or run.config.teacher.run_id is None else 1.6
    share += 0.3 * bool(run.config.loss.sites) + 0.02 * run.config.model.heads
    seconds = {"train_seconds": 38.0 * share, "wall_seconds": 45.0 * share}
    return seconds | {"flops_per_example": int(2e9 * share)}


def _write_steps(path: Path, run: Run, reached: float) -> None:
    """A step log in which validation rises and an alignment gets sharper."""
    path.unlink()
    config, before = run.config, None
    shape = (config.teacher.heads if config.teacher else 1, config.model.heads)
    alike_HG = _generator("alignment", name_of(run)).uniform(0, 1, shape)  # as similarities of maps are
    temperature = float(config.loss.options.get("temperature", 1.0))
    with StepLog(path) as log:
        for step in STEPS:
            weights_HG = np.exp(alike_HG * step / STEPS[-1] / temperature)
            weights_HG /= weights_HG.sum(axis=1, keepdims=True)
            parts, aligned = {"ce": np.float64(3 / step**0.3)}, {}
            if config.loss.sites:
                parts["attention"] = np.float64(1 / step**0.2)
            if config.loss.name == "amad":
                aligned = {f"{config.loss.sites[0]}/{config.model.layers - 1}": _aligned(weights_HG, before)}
            log.training(step, 1e-3, sum(parts.values(), np.float64(0)), np.float64(1.0), parts, 0.2, aligned)
            if step > STEPS[0]:
                accuracy = float(reached * (1 - 0.5 ** (4 * step / STEPS[-1])))
                log.validation(step, validation_token_accuracy=accuracy, validation_loss=2 - accuracy)
            before = weights_HG


def _aligned(weights_HG: np.ndarray, before: np.ndarray | None) -> Alignment:
    changed = None if before is None else float(np.mean(weights_HG.argmax(1) != before.argmax(1)))
    entropy = float(-(weights_HG * np.log(weights_HG)).sum(axis=1).mean())
    return Alignment(entropy, float(weights_HG.max()), changed, weights_HG.round(4).tolist())


def collect_truth(folder: Path) -> None:
    """Collect the folder's runs, as `amad-bench collect` does in it."""
    with chdir(folder):
        if amad_bench(["collect", "--config", CONFIG]) != 0:
            raise RuntimeError(f"{folder}: not collected")


def of_size(runs: int, truth: Truth) -> Truth:
    """The truth with as few head counts of students as give so many runs; ValueError where none do."""
    for count in range(1, len(HEADS) + 1):
        found = replace(truth, students=HEADS[:count])
        if len(possible_plan(Config.model_validate(found.config())).runs) >= runs:
            return found
    raise ValueError(f"{runs} runs: more than these seeds give, ask for more of them")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, help="at least, by more head counts of students")
    parser.add_argument("--examples", type=int, default=Truth.examples, help="of the test split")
    parser.add_argument("--seeds", type=int, default=Truth.seeds)
    options = parser.parse_args()
    truth = Truth(seeds=options.seeds, examples=options.examples)
    if options.runs is not None:
        truth = of_size(options.runs, truth)
    plan = write_truth(options.folder, truth)
    collect_truth(options.folder)
    print(f"{options.folder}: {len(plan.runs)} runs; next: amad-bench compare --config {CONFIG}")


if __name__ == "__main__":
    main()
