"""Checkpoints of a training: everything that it goes on from, written by time, the latest two kept.

<step>.safetensors holds the tensors; <step>.json, written after it, all else and the SHA-256 of that file:
without it a checkpoint is not there. Each is written beside its place, synced to the disk, then renamed.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.filehash import read_sha256
from amad_bench.runtime.files import atomic_file, read_json, write_json_atomic
from amad_bench.training.optim import Trained

SHARE = 50  # times the seconds that a checkpoint took must pass until the next: 2 % of the time at most
KEPT = 2  # the latest, and the one before it in case that cannot be read
FORMAT = 1
_NUMBERS_DEPEND_ON = ("commit", "torch", "transformers", "device", "device_name", "cpu", "threads")


@dataclass(frozen=True)
class Checkpoint:
    """A training after so many steps. facts: a JSON object."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class _OtherRanks(UserError):
    """A checkpoint of another number of ranks."""


class Checkpoints:
    """The checkpoints of a run, in a folder of their own. every_s: seconds from one to the next, at least.

    made_with: provenance of this process. ranks: processes that train the run. seconds_before: what the
    training took in others, once it is known.
    """

    def __init__(
        self, folder: Path, run_id: str, every_s: float, made_with: Mapping[str, Any], ranks: int = 1
    ) -> None:
        self.folder, self.run_id, self.every_s, self.ranks = folder, run_id, every_s, ranks
        self.seconds_before = 0.0
        self._made_with = {name: made_with.get(name) for name in _NUMBERS_DEPEND_ON}
        self._trained = folder / "trained.json"
        self._took, self._last = 0.0, time.perf_counter()

    def due(self) -> bool:
        """Whether it is time to write one."""
        return time.perf_counter() - self._last >= max(self.every_s, SHARE * self._took)

    def write(self, checkpoint: Checkpoint) -> None:
        """Write one and read it back; then all but the latest two go.

        OSError where it cannot be written: the ones before are still there. UserError where something else is
        read back.
        """
        started = time.perf_counter()
        content = save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
        )
        record = {
            "format": FORMAT,
            "run": self.run_id,
            "step": checkpoint.step,
            "ranks": self.ranks,
            "sha256": hashlib.sha256(content).hexdigest(),
            "made_with": self._made_with,
            "facts": checkpoint.facts,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors, facts = self._tensors(checkpoint.step), self._record(checkpoint.step)
        for path, text in (
            (tensors, content),
            (facts, json.dumps(record, allow_nan=False).encode("utf-8")),
        ):
            with atomic_file(path, synced=True) as temporary:
                temporary.write_bytes(text)
        if read_sha256(tensors) != record["sha256"]:
            facts.unlink()
            raise UserError(f"{tensors}: what is read back is not what was written; check that disk")
        self._keep(self._steps()[-KEPT:])
        self._last = time.perf_counter()
        self._took = self._last - started

    def latest(self) -> Checkpoint | None:
        """The latest that can be read; others are named on stderr and set aside, as <name>.unreadable.

        Those of another number of ranks, which has other shares of a batch and other dropout masks, likewise,
        as <name>.other-ranks: the training begins afresh.
        """
        for step in reversed(self._steps()):
            try:
                return self.at(step)
            except _OtherRanks as error:
                print(f"amad-bench: {error}; set aside, it begins afresh", file=sys.stderr, flush=True)
                for other in self._steps():
                    self._set_aside(other, "other-ranks")
                return None
            except UserError as error:
                print(f"amad-bench: {error}; set aside", file=sys.stderr, flush=True)
                self._set_aside(step, "unreadable")
        return None

    def _set_aside(self, step: int, why: str) -> None:
        for path in (self._tensors(step), self._record(step)):
            if path.exists():
                os.replace(path, path.with_name(f"{path.name}.{why}"))

    def write_trained(self, trained: Trained, weights: Path) -> None:
        """Note that the training has ended with these weights: what is left is to predict."""
        self.folder.mkdir(parents=True, exist_ok=True)
        whose = {"format": FORMAT, "run": self.run_id, "sha256": read_sha256(weights)}
        write_json_atomic(self._trained, whose | asdict(trained))

    def trained(self, weights: Path) -> Trained | None:
        """The end of the training that `write_trained` noted; None: there is none, or not its weights.

        Others in their place, as after a power cut, are named on stderr.
        """
        if not self._trained.exists():
            return None
        try:
            found = read_json(self._trained)
            if (found.pop("format"), found.pop("run")) != (FORMAT, self.run_id):
                return None
            expected = found.pop("sha256")
            trained = Trained(**found)
        except (UserError, AttributeError, KeyError, TypeError):
            return None
        if not weights.is_file() or read_sha256(weights) != expected:
            print(
                f"amad-bench: {weights}: not the weights of the end; goes on from the latest checkpoint",
                file=sys.stderr,
                flush=True,
            )
            return None
        self.seconds_before = trained.seconds
        return replace(trained, continued=trained.continued + 1)

    def at(self, step: int) -> Checkpoint:
        """The one after so many steps; UserError where it cannot be read, or not by so many ranks."""
        tensors, path = self._tensors(step), self._record(step)
        record = read_json(path)
        expected = {"format": FORMAT, "run": self.run_id, "step": step}
        if not isinstance(record, dict) or {key: record.get(key) for key in expected} != expected:
            raise UserError(f"{path}: no checkpoint of {self.run_id} at step {step}")
        if (ranks := record.get("ranks", 1)) != self.ranks:
            raise _OtherRanks(f"{path}: of {ranks} rank(s), and now there are {self.ranks} (gpus_per_run)")
        if not tensors.is_file() or read_sha256(tensors) != record.get("sha256"):
            raise UserError(f"{tensors}: missing, cut short or changed: not what its checkpoint wrote")
        try:
            found = Checkpoint(step, load(tensors.read_bytes()), dict(record["facts"]))
            self.seconds_before = float(found.facts["seconds"])
            before = dict(record["made_with"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: no checkpoint ({type(error).__name__}: {error})") from None
        for name, now in self._made_with.items():
            if before.get(name) != now:
                print(f"{self.run_id}: goes on with {name} {now}, begun with {before.get(name)}", flush=True)
        return found

    def _steps(self) -> list[int]:
        """The steps of those that are there, in order."""
        found = self.folder.glob("*.json") if self.folder.is_dir() else ()
        return sorted(int(path.stem) for path in found if path.stem.isdecimal())

    def _keep(self, steps: list[int]) -> None:
        """Remove all others, tensors without a record, too: a process was killed between the two."""
        kept = {f"{step:09d}" for step in steps}
        for suffix in ("safetensors", "json"):  # so that none of the first stays behind
            for path in self.folder.glob(f"*.{suffix}"):
                if path.stem.isdecimal() and path.stem not in kept:
                    path.unlink()

    def _tensors(self, step: int) -> Path:
        return self.folder / f"{step:09d}.safetensors"

    def _record(self, step: int) -> Path:
        return self.folder / f"{step:09d}.json"


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by names below a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below a prefix, by their names there."""
    start = f"{prefix}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
