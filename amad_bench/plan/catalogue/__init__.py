"""Catalogue of data sets, families, tasks, metrics and losses, as plain records without torch.

A record's `version` is raised whenever the numbers that it stands for change; it is part of a run's identity.
"""

from amad_bench.plan.catalogue.datasets import (
    DATASETS,
    MULTI30K_TESTS,
    SPLITS,
    Dataset,
    metrics_of,
    primary_metric,
)
from amad_bench.plan.catalogue.families import FAMILIES, KEEPS, Family, ModelShape, model_shape
from amad_bench.plan.catalogue.formats import FORMATS, Format, label_of, own_role, record_of
from amad_bench.plan.catalogue.losses import LOSSES, Loss
from amad_bench.plan.catalogue.metrics import EXTRA_METRICS, METRICS, TASKS, Metric, Task
from amad_bench.plan.catalogue.options import OptionSpec

__all__ = [
    "ANALYSIS_VERSION",
    "DATASETS",
    "EXTRA_METRICS",
    "FAMILIES",
    "FORMATS",
    "KEEPS",
    "LOSSES",
    "METRICS",
    "MULTI30K_TESTS",
    "PREPARED_VERSION",
    "PRETRAINING",
    "PRETRAINING_VERSION",
    "SPLITS",
    "TASKS",
    "TRAINING_VERSION",
    "Dataset",
    "Family",
    "Format",
    "Loss",
    "Metric",
    "ModelShape",
    "OptionSpec",
    "Task",
    "label_of",
    "metrics_of",
    "model_shape",
    "own_role",
    "primary_metric",
    "record_of",
]

TRAINING_VERSION = 3
PRETRAINING_VERSION = 3  # of the runs that train a condition of PRETRAINING here
ANALYSIS_VERSION = 6  # of the tables, figures and paper that analysis/ makes of the runs' files
PREPARED_VERSION = 5  # of the arrays that data/ makes of a data set's files
PRETRAINING = ("none", "text", "vl")  # a model's weights before its task training
