"""Commands about runs: run, score, status."""

import argparse
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from amad_bench.cli.common import on_device, part_of_gpu, planned
from amad_bench.cli.ranks import as_rank, by_ranks, require_ranks
from amad_bench.runtime.imports import many_imports
from amad_bench.runtime.interruption import interruptible
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.ranks import started
from amad_bench.runtime.results import RESULTS

if TYPE_CHECKING:
    from amad_bench.plan.config.schema import Config
    from amad_bench.plan.plan import Plan
    from amad_bench.plan.run import Run


def run(options: argparse.Namespace) -> int:
    """Exit code: 1 where --strict was asked for and the run has failed, else 0."""
    with interruptible():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    begun = time.perf_counter()
    chosen, device, config = _run_and_machine(options)
    from amad_bench.plan.devices import devices_of

    devices, ranks = devices_of(chosen, config.gpus_per_run), started()
    if ranks is not None:
        require_ranks(ranks, devices)
    elif (outcome := _waited_for(chosen, config)) is not None:
        print(f"{chosen.id}: {outcome}, ended before; `amad-bench retry {chosen.id}` plans it again")
        return _end(outcome, chosen, config, options.strict)
    asked = time.perf_counter()
    with on_device(device, part_of_gpu(config, chosen.id), devices):
        begun += time.perf_counter() - asked  # to wait for a place is no part of the run
        if ranks is not None:
            outcome = as_rank(ranks, lambda: _trained(chosen, device, config, begun))
        elif devices > 1:
            outcome = by_ranks(options, RESULTS.run(chosen.id), devices)
        else:
            outcome = _trained(chosen, device, config, begun)
    return outcome if isinstance(outcome, int) else _end(outcome, chosen, config, options.strict)


def _end(outcome: str, run: "Run", config: "Config", strict: bool) -> int:
    if (folder := RESULTS.run(run.id)).finished:
        folder.ended.touch()
    _drop_weights(config)
    return int(strict and outcome != "done")


def _trained(run: "Run", device: str, config: "Config", begun: float) -> str:
    """Status of the run, which ends here; begun: when the command began."""
    with many_imports():
        from amad_bench.data.prepare import prepare
        from amad_bench.models.family import load
        from amad_bench.training.run import train_run

        load(run.config.family)
    prepare(run.config, config.image_cache_gb)
    outcome = train_run(
        run,
        device,
        config.workers,
        checkpoint_every_s=config.checkpoint.every_s,
        logging=config.logging,
        start_seconds=time.perf_counter() - begun,
        micro_batch=config.micro_batch,
        compiled=config.compile,
        ended=lambda: _ended(run, config),  # another may have begun since then
    )
    print(f"{run.id}: {outcome}")
    return outcome


def _waited_for(run: "Run", config: "Config") -> str | None:
    """Status of a run that has ended, once no other process works on it; None for one that is left."""
    folder = RESULTS.run(run.id)
    if not folder.path.is_dir():
        return None
    with exclusive(folder.path):  # a killed Snakemake can leave a child behind that still trains this run
        return _ended(run, config)


def _ended(run: "Run", config: "Config") -> str | None:
    """Status of a run that has ended; None for one that is left."""
    if not RESULTS.run(run.id).finished:
        return None
    from amad_bench.plan.grid import expand
    from amad_bench.plan.standing import standing

    own = standing(expand(config), RESULTS)[run.id]
    return None if own.left else own.state


def _drop_weights(config: "Config") -> None:
    if config.keep_weights == "all":
        return
    from amad_bench.plan.grid import expand
    from amad_bench.plan.weights import drop_weights

    for path in drop_weights(config, expand(config), RESULTS):
        print(f"{path}: removed (keep_weights: {config.keep_weights})")


def score(options: argparse.Namespace) -> None:
    if options.run is None:
        _score_extra(planned(options))
        return
    chosen, device, config = _run_and_machine(options)
    with on_device(device, part_of_gpu(config, chosen.id)):
        from amad_bench.training.run import score_run

        print(f"{chosen.id}: {score_run(chosen, device, config.workers)}")


def _score_extra(plan: "Plan") -> None:
    from amad_bench.plan.extra_metrics import by_reason, extra_ended, usable_runs
    from amad_bench.plan.standing import standing
    from amad_bench.runtime.files import write_text_atomic
    from amad_bench.scoring.extra import read_extra, score_extra, write_extra

    standings = standing(plan, RESULTS)
    wanted = usable_runs(plan, standings)
    RESULTS.path.mkdir(parents=True, exist_ok=True)
    with exclusive(RESULTS.path):  # another config's `score` adds to the same file
        scores = score_extra(wanted, RESULTS, read_extra(RESULTS))
        write_extra(RESULTS, scores)
        write_text_atomic(RESULTS.extra_ended, extra_ended(plan, standings))
    rows = zip(scores.frame["metric"], scores.frame["run_id"], strict=True)
    own = sum(run_id in wanted.get(metric, ()) for metric, run_id in rows)
    print(f"{', '.join(wanted) or 'no extra metrics'}: {own} scores")
    for metric, run_ids in wanted.items():
        reasons = scores.unavailable.get(metric, {})
        for line in by_reason({run_id: reasons[run_id] for run_id in run_ids if run_id in reasons}):
            print(f"{metric}: metric_unavailable: {line}", file=sys.stderr)


def _run_and_machine(options: argparse.Namespace) -> "tuple[Run, str, Config]":
    """The run, the device and the config."""
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import find_run

    config = load_config(options.config)
    return find_run(config, options.run), options.device or config.device, config


def status(options: argparse.Namespace) -> None:
    from amad_bench.view.screen import screen
    from amad_bench.view.terminal import LOG_WIDTH, Terminal
    from amad_bench.view.watch import Watched, watch

    watched, terminal = Watched(planned(options), RESULTS), Terminal(sys.stdout)
    if not options.watch:
        found, _ = watched.look()
        terminal.leave(screen(found, (), terminal.size[0] if terminal.repaints else LOG_WIDTH))
        return
    with suppress(KeyboardInterrupt):  # how one stops watching
        watch(watched, terminal)
