"""Commands that hand a run's results to others: export, predictions, predict."""

import argparse
from typing import TYPE_CHECKING

from amad_bench.cli.common import on_device, part_of_gpu

if TYPE_CHECKING:
    from amad_bench.plan.run import Run


def export(options: argparse.Namespace) -> None:
    chosen = _run(options)
    from amad_bench.training.export import export_run

    export_run(chosen, options.folder)
    print(options.folder)


def predictions(options: argparse.Namespace) -> None:
    chosen = _run(options)
    from amad_bench.runtime.run_folder.predictions import read_predictions
    from amad_bench.scoring.result_files import write_result_files
    from amad_bench.training.finished import finished_folder

    found = read_predictions(finished_folder(chosen).predictions)
    for path in write_result_files(chosen.config.task, found, options.folder):
        print(path)


def predict(options: argparse.Namespace) -> None:
    from amad_bench.plan.config.load import load_config

    config, chosen = load_config(options.config), _run(options)
    device = options.device or config.device
    with on_device(device, part_of_gpu(config, chosen.id)):
        from amad_bench.training.predict_questions import predict_questions

        answers = predict_questions(
            chosen,
            options.questions,
            options.photos,
            options.out,
            device,
            config.workers,
            options.features,
            config.image_cache_gb,
        )
    print(f"{options.out}: {answers} answers")


def _run(options: argparse.Namespace) -> "Run":
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import find_run

    return find_run(load_config(options.config), options.run)
