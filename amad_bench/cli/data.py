"""Commands about plans and data: plan, doctor, data."""

import argparse
import json
from typing import TYPE_CHECKING

from amad_bench.cli.common import on_device
from amad_bench.runtime import devices
from amad_bench.runtime.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amad_bench.plan.config.schema import Config
    from amad_bench.plan.plan import Plan
    from amad_bench.plan.run_config import RunConfig


def plan(options: argparse.Namespace) -> None:
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.cost.report import cost_report
    from amad_bench.plan.grid import expand, possible_plan
    from amad_bench.plan.overview import overview
    from amad_bench.plan.plan import NothingToTrain, Plan

    config, missing = load_config(options.config), None
    try:
        found = expand(config)
    except NothingToTrain as nothing:
        missing, found = nothing, Plan([], nothing.skipped)
    if options.json:
        print(json.dumps(found.as_dict()))
    elif missing is None:
        print(f"{options.config}: {overview(found)}\n{cost_report(found)}{_claims(config, found)}")
    else:
        possible = possible_plan(config)
        print(f"{missing}\n")
        print(f"With its data, {overview(possible)}\n{cost_report(possible)}{_claims(config, possible)}")


def _claims(config: "Config", found: "Plan") -> str:
    """Account of what the plan can say about the registered claims; "" where none are."""
    from amad_bench.plan.claims.load import claims_path
    from amad_bench.plan.claims.report import claims_report

    if found.claims is None:
        return ""
    return f"\n\n{claims_report(claims_path(config.claims), found.claims, found)}"


def doctor(options: argparse.Namespace) -> None:
    from amad_bench.data.doctor.files import examine_files, files_report
    from amad_bench.data.doctor.tasks import examine_tasks
    from amad_bench.models.start_checks import examine_weights
    from amad_bench.plan.config.load import load_config

    config = load_config(options.config)
    findings = examine_files(config)
    for line in files_report(findings):
        print(line)
    checks = [*examine_tasks(config), *examine_weights(config)]
    for check in checks:
        print(f"{check.name}: {check.text}")
    problems = []
    if bad := [finding for finding in findings if finding.state != "ok"]:
        states = ", ".join(sorted({finding.state for finding in bad}))
        problems.append(f"{len(bad)} of {len(findings)} files are not as needed ({states})")
    if errors := sum(not check.ok for check in checks):
        problems.append(f"{errors} {'errors' if errors > 1 else 'error'} in what they hold")
    if problems:
        raise UserError(f"{options.config}: {'; '.join(problems)}")


def data(options: argparse.Namespace) -> None:
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import expand, find_data, find_run

    config = load_config(options.config)
    if options.run is not None:
        asked = [find_run(config, options.run).config]
    elif options.key is not None:
        asked = [find_data(config, options.key)]
    else:
        asked = [run.config for run in expand(config).runs]
    by_key = {run_config.data_key: run_config for run_config in asked}
    extracts = any(run_config.inputs.model_folder is not None for run_config in asked)
    with on_device(config.device if extracts else devices.CPU.name):
        _prepare(by_key, config.image_cache_gb)


def _prepare(by_key: "Mapping[str, RunConfig]", image_cache_gb: float) -> None:
    from amad_bench.data.prepare import prepare
    from amad_bench.runtime.files import write_json_atomic
    from amad_bench.runtime.results import RESULTS

    for key, run_config in by_key.items():
        folder = prepare(run_config, image_cache_gb)
        marker = RESULTS.prepared(key)
        if not marker.exists():  # a newer one would make Snakemake redo what depends on it
            write_json_atomic(marker, {"prepared": str(folder)})
        print(f"{key}: {folder}")
