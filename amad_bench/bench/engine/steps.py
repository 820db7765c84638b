"""A training step of the large models of a config, on random examples of its shapes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.autograd.profiler import record_function  # noqa: F401
from torch.profiler import ProfilerActivity, profile

from amad_bench.bench.engine.synthetic import synthetic_data
from amad_bench.bench.measuring import percentiles_ms
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.cost.data_facts import data_facts
from amad_bench.plan.cost.run_cost import BACKWARD, pass_cost
from amad_bench.plan.cost.speeds import GPUS
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
