"""Config -> data -> runs -> tables -> figures -> paper; each rule is one amad-bench command.

Of the runs, students wait for teachers, both for the pre-training that they start from.

A job's science stands in `params`, so that exactly the runs whose science changed are redone. A run that fails
scientifically is finished: its status.json says why. Weights and checkpoints are never outputs, since Snakemake
deletes the outputs of a job that it repeats.
"""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

from amad_bench.plan.run import canonical_json
from amad_bench.plan.workflow import planned
from amad_bench.runtime.device import uses_gpu

min_version("9.0")

# One thread a process: two threads on small tensors were measured 8 times slower when runs go in parallel.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", PYTHONUTF8="1")
os.environ.setdefault("LOGNAME", str(os.getuid()))  # Snakemake asks who runs it: nobody known, in a container
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

CONFIG, SETTINGS, PLAN = planned(workflow.configfiles, config, root=Path(workflow.basedir))

if not config:  # an unconditional configfile would be merged under --configfile

    configfile: str(CONFIG)


GPU = int(uses_gpu(SETTINGS.device))
STATUS = "results/runs/{run_id}/status.json"
TEMPLATE = os.path.relpath(Path(workflow.basedir, "paper/main.typ"))
COLLECTED = "results/plan.json"
EXTRA_SCORES = ["results/extra_scores.parquet", "results/extra_scores.json"]
FIGURES = ["losses", "head_gap", "learning_curves"]
FORMS = {run.data_key: run for run in PLAN.runs}


def ids(kind):
    return "|".join(run.id for run in PLAN.runs if run.kind == kind) or "none"


def science(wildcards):
    return canonical_json(PLAN.by_id[wildcards.run_id].config)


def prepared_data(wildcards):
    return f"results/data/prepared/{PLAN.by_id[wildcards.run_id].data_key}.json"


def extractor_gpu(wildcards):
    """Image features by a pretrained vision model are made where there is a GPU."""
    return GPU * (FORMS[wildcards.data_key].config["inputs"]["kind"] == "extracted")


def needed_runs(wildcards):
    """The pre-training that a run starts from, the teacher that it learns from."""
    return [STATUS.format(run_id=needed) for needed in PLAN.by_id[wildcards.run_id].needs]


def tables(*names):
    return [f"results/tables/{name}.{suffix}" for name in names for suffix in ("parquet", "csv")]


rule all:
    input:
        "paper/main.pdf",
        tables("runs", "scores", "failures", "results", "headroom", "comparisons", "steps_to_score"),


rule prepare:
    output:
        "results/data/prepared/{data_key}.json",
    log:
        "results/data/prepared/{data_key}.log",
    benchmark:
        "results/benchmarks/prepare-{data_key}.tsv"
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
        STATUS,
    params:
        science=science,
    log:
        "results/runs/{run_id}/log.txt",
    benchmark:
        "results/runs/{run_id}/benchmark.tsv"
    wildcard_constraints:
        run_id=ids("pretrain"),
    threads: 1
    priority: 15  # teachers and students wait for it
    resources:
        gpu=GPU,
    shell:
        "amad-bench run --config {CONFIG:q} --run {wildcards.run_id} > {log:q} 2>&1"


use rule pretrain as teacher with:
    input:
        ancient(prepared_data),
        needed_runs,
    wildcard_constraints:
        run_id=ids("teacher"),
    priority: 10  # students wait for it


use rule pretrain as student with:
    input:
        ancient(prepared_data),
        needed_runs,
    wildcard_constraints:
        run_id=ids("student"),
    priority: 0


rule extra_scores:
    input:
        expand(STATUS, run_id=PLAN.by_id),
    output:
        update(EXTRA_SCORES),  # rows of other configs' runs stay
    params:
        plan=PLAN.hash,
    log:
        "results/logs/extra_scores.txt",
    benchmark:
        "results/benchmarks/extra_scores.tsv"
    shell:
        "amad-bench score --config {CONFIG:q} > {log:q} 2>&1"


rule collect:
    input:
        expand(STATUS, run_id=PLAN.by_id),
        EXTRA_SCORES if PLAN.extra_metrics else [],
    output:
        tables("runs", "scores", "examples", "failures", "learning_curves"),
        COLLECTED,
    params:
        plan=PLAN.hash,
    log:
        "results/logs/collect.txt",
    benchmark:
        "results/benchmarks/collect.tsv"
    shell:
        "amad-bench collect --config {CONFIG:q} > {log:q} 2>&1"


rule compare:
    input:
        tables("runs", "scores", "examples", "learning_curves"),
        COLLECTED,
    output:
        tables("results", "headroom", "comparisons", "steps_to_score"),
    params:
        plan=PLAN.hash,
    log:
        "results/logs/compare.txt",
    benchmark:
        "results/benchmarks/compare.tsv"
    shell:
        "amad-bench compare --config {CONFIG:q} > {log:q} 2>&1"


rule figures:
    input:
        "results/tables/results.parquet",
        "results/tables/runs.parquet",
        "results/tables/learning_curves.parquet",
        COLLECTED,
    output:
        expand("results/figures/{name}.{suffix}", name=FIGURES, suffix=["pdf", "png"]),
    params:
        plan=PLAN.hash,
    log:
        "results/logs/figures.txt",
    benchmark:
        "results/benchmarks/figures.tsv"
    shell:
        "amad-bench figures --config {CONFIG:q} > {log:q} 2>&1"


rule paper:
    input:
        TEMPLATE,
        tables("runs", "results", "comparisons", "failures", "steps_to_score"),
        COLLECTED,
        rules.figures.output,
    output:
        "paper/main.pdf",
    params:
        plan=PLAN.hash,
    log:
        "results/logs/paper.txt",
    benchmark:
        "results/benchmarks/paper.tsv"
    shell:
        "amad-bench paper --config {CONFIG:q} --template {TEMPLATE:q} > {log:q} 2>&1"
