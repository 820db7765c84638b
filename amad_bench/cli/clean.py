"""The command clean: what is no longer needed below the results folder."""

import argparse
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from amad_bench.cli.common import planned
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import abandoned
from amad_bench.runtime.locks import held
from amad_bench.runtime.results import ASIDE, RESULTS


def clean(options: argparse.Namespace) -> None:
    from amad_bench.plan.standing import standing

    plan = planned(options)
    if absent := next((skip for skip in plan.skipped if skip.absent), None):
        raise UserError(
            f"{options.config}: {absent.setting} is not planned only for want of data ({absent.reason}), and "
            "its finished runs would be removed: make the data available, or delete by hand"
        )
    ended = [name for name, own in standing(plan, RESULTS).items() if not own.left]
    found = {
        "run folders outside this plan": _others(RESULTS.runs, plan.by_id),
        "stored outputs of teachers that no planned run reads": _others(
            RESULTS.teacher_outputs, {run.config.outputs_key for run in plan.runs}
        ),
        "damaged outputs of teachers": sorted(RESULTS.teacher_outputs.glob(f"*/*{ASIDE}")),
        "killed preparations of data": [left for folder in RESULTS.preparing() for left in abandoned(folder)],
        "checkpoints of runs that have ended": [
            folder for name in ended if (folder := RESULTS.run(name).checkpoints).is_dir()
        ],
    }
    for folder in (folder for folders in found.values() for folder in folders):
        print(folder)
        if options.yes:
            shutil.rmtree(folder)
    counted = [f"{len(folders)} {name}" for name, folders in found.items() if folders]
    done = "removed" if options.yes else "`--yes` removes them"
    print(f"{', '.join(counted)}: {done}" if counted else "nothing to clean", file=sys.stderr)


def _others(parent: Path, kept: Collection[str | None]) -> list[Path]:
    """The folders in one whose names are not kept, and in which nobody works, for another config say."""
    folders = sorted(parent.iterdir()) if parent.is_dir() else []
    return [folder for folder in folders if folder.is_dir() and folder.name not in kept and not held(folder)]
