"""The machine that a run was made on, by its provenance: what must agree for its numbers to be equal."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from amad_bench.runtime.provenance import PACKAGES

HARDWARE = ("device", "device_name", "cpu", "threads", "deterministic")
CHOSEN = ("micro_batch", "ranks", "compiled")  # by the machine, for the memory and devices that it has
SOFTWARE = ("python", "torch", *PACKAGES, "lock")


def machine_of(facts: Mapping[str, Any]) -> str:
    """Phrase for the machine in a run's provenance, e.g. "cpu: Some Processor, 1 thread, torch 2.13.0"."""
    device = known(facts, "device_name") or known(facts, "cpu")
    threads = known(facts, "threads")
    parts = [f"{known(facts, 'device') or 'unknown device'}: {device or 'unknown'}"]
    parts += [f"{int(threads)} thread{'s' if int(threads) > 1 else ''}"] if threads else []
    parts += [f"torch {known(facts, 'torch')}"] if known(facts, "torch") else []
    return ", ".join(parts)


def known(facts: Mapping[str, Any], name: str) -> Any:
    """The value of a fact; None where it is absent or was never known (NaN in a table)."""
    value = facts.get(name)
    return None if value is None or value is pd.NA or value != value else value
