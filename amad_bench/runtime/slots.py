"""Slots on GPUs: what runs on which of them. A slot is a lock on a file, which ends with its process.

They divide the GPUs of this machine that CUDA_VISIBLE_DEVICES leaves, among the processes of one user. To be
taken before torch is imported: CUDA reads its environment once.
"""

import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from amad_bench.runtime import gpus
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.gpus import Gpu
from amad_bench.runtime.locks import SILENT, held, hold, let_go

POLL = 0.2  # seconds between two looks
_SLURM_JOB = "SLURM_JOB_ID"
_SLURM_DEVICES = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
_RANK = "LOCAL_RANK"  # of torchrun, whose starter has taken the GPUs for all ranks


@dataclass(frozen=True)
class Part:
    """A part of a GPU: `taken` of its `parts` equal parts."""

    taken: int = 1
    parts: int = 1

    @property
    def whole(self) -> bool:
        return self.taken == self.parts

    @property
    def runs(self) -> int:
        """Number of runs like this one that a GPU has room for."""
        return self.parts // self.taken


WHOLE = Part()


@dataclass(frozen=True)
class Place:
    """GPUs that this process computes on, by their identities. runs: that may share each of them."""

    gpus: tuple[str, ...]
    runs: int


_place: Place | None = None


def place() -> Place | None:
    """The place that this process has taken; None where there is no GPU, or none was taken."""
    return _place


@contextmanager
def taken(devices: int = 1, part: Part = WHOLE) -> Iterator[None]:
    """Inside, this process has its place, waited for if need be, and CUDA_VISIBLE_DEVICES names only that.

    devices: number of GPUs; of several each is taken whole. The one with the most room comes first. Nothing
    is locked where there is no GPU to use, where SLURM gave this process its GPUs, and no more than it asks
    for, and in a rank of torchrun, whose starter has them. UserError where there are fewer GPUs than are
    asked for, or where files cannot be locked.
    """
    found = gpus.visible()
    if found and len(found) < devices:
        raise UserError(f"gpus_per_run: {devices}, but {_here(found)}; lower it")
    if devices > 1 and any(gpu.instance for gpu in found):
        raise UserError(f"gpus_per_run: {devices}, but MIG instances cannot work together; set it to 1")
    if not found:
        with _at(None):
            yield
        return
    # Numbers are nvidia-smi's, and SLURM's; CUDA by itself has the fastest one first.
    order = {gpus.ORDER: "PCI_BUS_ID"}
    if _given(found, devices):
        with gpus.set_for_cuda(**order), _at(Place(tuple(gpu.identity for gpu in found), 1)):
            yield
        return
    part = WHOLE if devices > 1 else part
    own, handles = _waited_for(found, devices, part)
    chosen = order | {gpus.VISIBLE: ",".join(gpu.name for gpu in own)}
    try:
        with gpus.set_for_cuda(**chosen), _at(Place(tuple(gpu.identity for gpu in own), part.runs)):
            yield
    finally:
        for handle in handles:
            let_go(handle)


@contextmanager
def _at(own: Place | None) -> Iterator[None]:
    global _place
    _place = own
    try:
        yield
    finally:
        _place = None


def _given(found: Sequence[Gpu], devices: int) -> bool:
    """Whether somebody else has placed this process already.

    Within an allocation of more GPUs than one run takes, as when Snakemake itself is SLURM's job, slots are
    needed as anywhere.
    """
    if _RANK in os.environ:
        return True
    if _SLURM_JOB not in os.environ:
        return False
    if gpus.VISIBLE in os.environ:
        return len(found) <= devices
    return any(name in os.environ for name in _SLURM_DEVICES)


def _waited_for(found: Sequence[Gpu], devices: int, part: Part) -> tuple[list[Gpu], list[int]]:
    """GPUs, and the handles of their locks.

    One process at a time looks, the one that waits longest before the others: whoever needs a whole GPU would
    else wait for ever while small runs come and go. Nothing is held while it waits.
    """
    folder, began, told = _folder(), time.monotonic(), False
    names = "+".join(sorted(gpu.identity for gpu in found))
    queue = _file(folder, f"queue-{hashlib.sha256(names.encode()).hexdigest()[:16]}")
    turn = None
    try:
        while True:
            turn = hold(queue) if turn is None else turn
            if turn is not None and (own := _try(folder, found, devices, part)) is not None:
                return own
            if not told and time.monotonic() - began > SILENT:
                room = "one run" if part.whole else f"{part.runs} runs"
                print(
                    f"amad-bench: waiting for a free GPU: {_here(found)}, with room for {room} each",
                    file=sys.stderr,
                    flush=True,
                )
                told = True
            time.sleep(POLL)
    finally:
        if turn is not None:
            let_go(turn)


def _try(folder: Path, found: Sequence[Gpu], devices: int, part: Part) -> tuple[list[Gpu], list[int]] | None:
    own: list[Gpu] = []
    handles: list[int] = []
    for gpu in sorted(found, key=lambda gpu: -_room(folder, gpu, part)):
        if (locks := _locked(folder, gpu, part)) is not None:
            own.append(gpu)
            handles += locks
        if len(own) == devices:
            return own, handles
    for handle in handles:
        let_go(handle)
    return None


def _room(folder: Path, gpu: Gpu, part: Part) -> int:
    """Number of parts of a GPU that nobody has."""
    files = (_file(folder, gpu.identity, number) for number in range(part.parts))
    return sum(not (file.exists() and held(file)) for file in files)


def _locked(folder: Path, gpu: Gpu, part: Part) -> list[int] | None:
    """The handles of one place on a GPU: of its file, shared unless it is taken whole, and of its parts'."""
    whole = _hold(_file(folder, gpu.identity), shared=not part.whole)
    if whole is None:
        return None
    handles = [whole]
    if part.whole:
        return handles
    for number in range(part.parts):
        if (handle := _hold(_file(folder, gpu.identity, number))) is not None:
            handles.append(handle)
        if len(handles) == 1 + part.taken:
            return handles
    for handle in handles:
        let_go(handle)
    return None


def _hold(file: Path, *, shared: bool = False) -> int | None:
    handle = hold(file, shared=shared)
    if handle is not None:
        os.utime(handle)  # what is old in /tmp is swept away on many machines, locked or not
    return handle


def _file(folder: Path, name: str, part: int | None = None) -> Path:
    safe = re.sub(r"[^A-Za-z0-9+-]", "_", name)
    return folder / (f"{safe}.lock" if part is None else f"{safe}.{part}.lock")


def _folder() -> Path:
    """The folder of the locks: one for each user, and for each job of SLURM, which may number GPUs anew.

    A folder that somebody else has made there is refused.
    """
    job = os.environ.get(_SLURM_JOB) if gpus.VISIBLE in os.environ else None
    name = f"amad-bench-gpus-{os.getuid()}" + (f"-slurm-{job}" if job else "")
    folder = Path(tempfile.gettempdir()) / name
    with suppress(FileExistsError):  # of a link that leads nowhere, too, and of a file
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder}: no folder of yours; remove it, or set TMPDIR to a local folder of yours")
    try:
        held(folder)
    except UserError as error:
        raise UserError(f"{error}; for places on GPUs set TMPDIR to a folder on a local disk") from None
    return folder


def _here(found: Sequence[Gpu]) -> str:
    """E.g. "2 GPUs can be used here"."""
    return "1 GPU can be used here" if len(found) == 1 else f"{len(found)} GPUs can be used here"
