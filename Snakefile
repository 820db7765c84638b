"""Config -> data -> runs -> tables -> figures -> report, paper; each rule is one amad-bench command.

Of the runs, students wait for teachers, both for the pre-training that they start from.

A run's id ends in a hash of its science, so that exactly the runs whose science changed are redone. A run that fails
scientifically is finished: its status.json says why. What has ended is known by content, never by times or by what
Snakemake notes: a run has the empty file `ended` exactly then, and only runs that are left have a rule. Nothing else
in its folder is an output, since Snakemake deletes the outputs of a job that it repeats.
"""

import os
import sys
from functools import partial
from pathlib import Path

from snakemake.utils import min_version

from amad_bench.plan.workflow import left_runs, planned, run_markers, slots
from amad_bench.runtime import paths
from amad_bench.runtime.results import COLLECTED, COMPARED, PAPER, RESULTS
from amad_bench.view.sweep import hand_over

min_version("9.0")

# One thread a process: two threads on small tensors were measured 8 times slower when runs go in parallel.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", PYTHONUTF8="1")
os.environ.setdefault("LOGNAME", str(os.getuid()))  # Snakemake asks who runs it: nobody known, in a container
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

CONFIG, SETTINGS, PLAN = planned(workflow.configfiles, config, root=Path(workflow.basedir))
LEFT = left_runs(PLAN, main=workflow.is_main_process, dry=workflow.output_settings.dryrun)
hand_over(PLAN, CONFIG)

if not config:  # an unconditional configfile would be merged under --configfile

    configfile: str(CONFIG)


SLOTS = slots(PLAN, SETTINGS, main=workflow.is_main_process, nodes=workflow.nodes)
if SLOTS.total and "gpu" not in workflow.global_resources:  # which --resources and profiles set
    workflow.register_resource("gpu", SLOTS.total)
RUN_THREADS = (1 + SETTINGS.workers) * SETTINGS.gpus_per_run
TEMPLATE = os.path.relpath(Path(workflow.basedir, paths.TEMPLATE))
RUN = RESULTS.run("{run_id}")
PREPARED = RESULTS.prepared("{data_key}")
tables = RESULTS.table_files
MARKERS = run_markers(PLAN, LEFT)
EXTRA_MARKER = [RESULTS.extra_ended] if PLAN.extra_metrics else []
DATA = {run.data_key: run for run in PLAN.runs}


def in_report(files, category, suffix):
    """The files; those that end so are in what `snakemake --report` makes."""
    flagged = partial(report, category=category, caption=paths.CAPTIONS / f"{category}.rst")
    return [flagged(file, labels={"name": file.stem}) if file.suffix == suffix else file for file in files]


report: paths.CAPTIONS / "workflow.rst"


def ids(kind):
    return "|".join(run.id for run in PLAN.runs if run.kind == kind and run.id in LEFT) or "none"


def prepared_data(wildcards):
    return RESULTS.prepared(PLAN.by_id[wildcards.run_id].data_key)


def extractor_gpu(wildcards):
    """What a pretrained model sees of images is made on a GPU where there is one."""
    return SLOTS.whole if DATA[wildcards.data_key].config.inputs.model_folder is not None else 0


def run_gpu(wildcards):
    return SLOTS.of(wildcards.run_id)


def needed_runs(wildcards):
    """The pre-training that a run starts from, the teacher that it learns from."""
    return [RESULTS.run(needed).ended for needed in PLAN.by_id[wildcards.run_id].prerequisites]


localrules:  # seconds each: no jobs of a cluster
    all,
    strict,
    figures,
    report,
    paper,


rule all:
    input:
        MARKERS,
        EXTRA_MARKER,
        RESULTS.report,
        PAPER,
        tables(*COLLECTED, *COMPARED),


rule strict:
    """All, and an error where a run or an extra metric has failed: `snakemake --cores all strict`."""
    input:
        rules.all.input,
    shell:
        "amad-bench failures --strict --config {CONFIG:q}"


rule prepare:
    output:
        PREPARED,
    log:
        PREPARED.with_suffix(".log"),
    benchmark:
        RESULTS.benchmark("prepare-{data_key}")
    threads: 1
    priority: 20
    resources:
        gpu=extractor_gpu,
    shell:
        "amad-bench data --config {CONFIG:q} --key {wildcards.data_key} > {log:q} 2>&1"


rule pretrain:
    input:
        ancient(prepared_data),
    output:
        RUN.ended,
    log:
        RUN.log,
    benchmark:
        RUN.benchmark
    wildcard_constraints:
        run_id=ids("pretrain"),
    threads: 1 + SETTINGS.workers
    priority: 15  # teachers and students wait for it
    resources:
        gpu=run_gpu,
    shell:  # exec: a signal ends no shell that would not wait for the run's checkpoint
        "exec amad-bench run --config {CONFIG:q} --run {wildcards.run_id} > {log:q} 2>&1"


use rule pretrain as teacher with:
    input:
        ancient(prepared_data),
        ancient(needed_runs),
    wildcard_constraints:
        run_id=ids("teacher"),
    threads: RUN_THREADS
    priority: 10  # students wait for it


use rule pretrain as student with:
    input:
        ancient(prepared_data),
        ancient(needed_runs),
    wildcard_constraints:
        run_id=ids("student"),
    threads: RUN_THREADS
    priority: 0


rule extra_scores:
    input:
        ancient(MARKERS),
    output:
        RESULTS.extra_ended,  # the scores are none: they hold rows of other configs' runs, which stay
    params:
        plan=PLAN.hash,
    log:
        RESULTS.log("extra_scores"),
    benchmark:
        RESULTS.benchmark("extra_scores")
    shell:
        "amad-bench score --config {CONFIG:q} > {log:q} 2>&1"


rule collect:
    input:
        ancient(MARKERS),
        ancient(EXTRA_MARKER),
    output:
        tables(*COLLECTED),
        RESULTS.plan,
    params:
        plan=PLAN.hash,
    log:
        RESULTS.log("collect"),
    benchmark:
        RESULTS.benchmark("collect")
    shell:
        "amad-bench collect --config {CONFIG:q} > {log:q} 2>&1"


rule compare:
    input:
        tables(*COLLECTED),
        RESULTS.plan,
    output:
        in_report(tables(*COMPARED), "table", ".csv"),
        RESULTS.printed_files(),
    params:
        plan=PLAN.hash,
    log:
        RESULTS.log("compare"),
    benchmark:
        RESULTS.benchmark("compare")
    shell:
        "amad-bench compare --config {CONFIG:q} > {log:q} 2>&1"


rule figures:
    input:
        tables(*COLLECTED, *COMPARED),
        RESULTS.plan,
    output:
        in_report(RESULTS.figure_files(), "figure", ".svg"),
    params:
        plan=PLAN.hash,
    log:
        RESULTS.log("figures"),
    benchmark:
        RESULTS.benchmark("figures")
    shell:
        "amad-bench figures --config {CONFIG:q} > {log:q} 2>&1"


rule report:
    input:
        tables(*COLLECTED, *COMPARED),
        RESULTS.plan,
        rules.figures.output,
    output:
        in_report([RESULTS.report], "report", ".html"),
    params:
        plan=PLAN.hash,
    log:
        RESULTS.log("report"),
    benchmark:
        RESULTS.benchmark("report")
    shell:
        "amad-bench report --config {CONFIG:q} > {log:q} 2>&1"


rule paper:
    input:
        TEMPLATE,
        tables(*COLLECTED, *COMPARED),
        RESULTS.plan,
        rules.figures.output,
    output:
        PAPER,
    params:
        plan=PLAN.hash,
    log:
        RESULTS.log("paper"),
    benchmark:
        RESULTS.benchmark("paper")
    shell:
        "amad-bench paper --config {CONFIG:q} --template {TEMPLATE:q} > {log:q} 2>&1"
