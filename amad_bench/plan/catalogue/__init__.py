"""Catalogue of what configs and tables name, data sets and losses say, as plain records without torch.

A record's `version` is raised whenever the numbers that it stands for change; it is part of a run's identity.
"""

from amad_bench.plan.catalogue.datasets import DATASETS, SPLITS, Dataset
from amad_bench.plan.catalogue.families import FAMILIES, KEEPS, ModelShape, model_shape
from amad_bench.plan.catalogue.family import Family
from amad_bench.plan.catalogue.formats import FORMATS, Format, label_of, own_role, record_of
from amad_bench.plan.catalogue.loss import Loss
from amad_bench.plan.catalogue.losses import LOSSES
from amad_bench.plan.catalogue.metrics import (
    EXTRA_METRICS,
    METRICS,
    TASKS,
    UNBOUNDED,
    Metric,
    Task,
    metrics_of,
    primary_metric,
)
from amad_bench.plan.catalogue.options import OptionSpec
from amad_bench.plan.catalogue.schedules import SCHEDULES, Schedule
from amad_bench.plan.catalogue.significance import SIGNIFICANCE_TESTS, SignificanceTest

__all__ = [
    "ANALYSIS_VERSION",
    "DATASETS",
    "EXTRA_METRICS",
    "FAMILIES",
    "FORMATS",
    "KEEPS",
    "LOSSES",
    "METRICS",
    "OUTPUTS_VERSION",
    "PREPARED_VERSION",
    "PRETRAINING",
    "PRETRAINING_VERSION",
    "SCHEDULES",
    "SIGNIFICANCE_TESTS",
    "SPLITS",
    "TASKS",
    "TRAINING_VERSION",
    "UNBOUNDED",
    "Dataset",
    "Family",
    "Format",
    "Loss",
    "Metric",
    "ModelShape",
    "OptionSpec",
    "Schedule",
    "SignificanceTest",
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
ANALYSIS_VERSION = 7  # of the tables, figures and paper that analysis/ makes of the runs' files
OUTPUTS_VERSION = 1  # of the stored outputs of a teacher
PREPARED_VERSION = 6  # of the arrays that data/ makes of a data set's files
PRETRAINING = ("none", "text", "vl")  # a model's weights before its task training
