"""GPUs of this machine, and those of them that a process may use: known without torch, before it is imported.

NVIDIA's only; others are not told apart here.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from amad_bench.runtime.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
ROOT = Path("/")  # tests have another one
# Words that say on purpose that there is none; SLURM writes the first one into jobs without a GPU.
_NONE = ("nodevfiles", "none", "void", "no")
_WSL = "/usr/lib/wsl/lib/nvidia-smi"
_PATIENCE = 120.0  # seconds: without a daemon the driver starts anew for each who asks
_NUMBERED = re.compile(r"nvidia\d+")
_UUID = re.compile(r"GPU-[0-9a-fA-F-]+|MIG-[^\s)]+")


@dataclass(frozen=True)
class Card:
    """One GPU. uuid: "" where nobody says it. instances: the UUIDs of its MIG instances, if it is cut up."""

    uuid: str = ""
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gpu:
    """A device that one process can compute on: a GPU, or a MIG instance of one.

    name: as CUDA_VISIBLE_DEVICES takes it. identity: its UUID, or its number where that is not known; the
    same for all processes of this machine. instance: whether it is a MIG instance.
    """

    name: str
    identity: str
    instance: bool = False


def present() -> bool:
    """Whether this machine has a GPU of NVIDIA's, working or not, as its driver's or its files' names say."""
    return (ROOT / "dev/nvidiactl").exists() or bool(cards())


def counted() -> int | None:
    """Number of GPUs that this process should be able to use; None where this machine has none.

    At least one where only its files are there, unless CUDA_VISIBLE_DEVICES hides all. UserError: see
    `visible`.
    """
    if not present():
        return None
    return 0 if hidden() else max(1, len(visible()))


def cards() -> tuple[Card, ...]:
    """The GPUs, numbered as nvidia-smi does: by PCI address. () where there are none."""
    return _listed() or _of_the_driver() or _files()


def visible(environ: Mapping[str, str] | None = None) -> list[Gpu]:
    """The GPUs that a process may use, MIG instances one by one, in the order of CUDA_VISIBLE_DEVICES.

    As CUDA reads it: what stands behind a number or a name that is none of this machine's does not count.
    UserError where it names GPUs of which none can be used, or one twice, for which CUDA shows none at all.
    """
    asked = (os.environ if environ is None else environ).get(VISIBLE)
    if not present() or hidden(environ):
        return []
    found = cards()
    if asked is None:
        return [gpu for number, card in enumerate(found) for gpu in _usable(card, str(number), number)]
    usable: list[Gpu] = []
    words = [word.strip() for word in asked.split(",")]
    for word in words:
        if _kind(word) != _kind(words[0]) or not (gpus := _named(word, found)):
            break
        usable += gpus
    if not usable:
        raise UserError(
            f"{VISIBLE}={asked}: {_what_there_is(found)}; correct or unset it, or set device: cpu"
        )
    identities = [gpu.identity for gpu in usable]
    if len(set(identities)) < len(identities):
        raise UserError(f"{VISIBLE}={asked}: names a GPU twice, for which CUDA shows none; name each once")
    return usable


def hidden(environ: Mapping[str, str] | None = None) -> bool:
    """Whether CUDA_VISIBLE_DEVICES says on purpose that there is no GPU: it is empty, or begins with -1."""
    asked = (os.environ if environ is None else environ).get(VISIBLE)
    if asked is None:
        return False
    first = asked.split(",")[0].strip()
    return not first or first.startswith("-") or first.lower() in _NONE


@contextmanager
def set_for_cuda(**variables: str) -> Iterator[None]:
    """Environment variables that CUDA reads, for the time inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def unseen() -> AbstractContextManager[None]:
    """Inside, this process sees no GPU."""
    return set_for_cuda(**{VISIBLE: ""})


def _kind(word: str) -> str:
    """CUDA reads a list of numbers, of GPUs' UUIDs or of MIG names, and stops at what is something else."""
    return "number" if word.isascii() and word.isdigit() else word[:4]


def _named(word: str, found: tuple[Card, ...]) -> list[Gpu]:
    """GPUs that a number or a name, which may be cut short, stands for; several where a GPU is cut up."""
    if _kind(word) == "number":
        number = int(word)
        if not found:  # a container may lack all that says how many there are
            return [Gpu(word, word)]
        return _usable(found[number], str(number), number) if number < len(found) else []
    known = [uuid for card in found for uuid in (card.uuid, *card.instances) if uuid]
    if _kind(word) == "MIG-":
        # MIG-GPU-<uuid>/<instance>/<part> was their name until driver 470; nvidia-smi lists the newer one
        instances = [uuid for uuid in known if uuid.startswith("MIG-")]
        if word.startswith("MIG-GPU-") or not instances:
            return [Gpu(word, word, True)]
        return _only(Gpu(uuid, uuid, True) for uuid in instances if uuid.startswith(word))
    if _kind(word) != "GPU-":
        return []
    if not known:
        return [Gpu(word, word)]
    matching = [number for number, card in enumerate(found) if card.uuid.startswith(word)]
    return _usable(found[matching[0]], word, matching[0]) if len(matching) == 1 else []


def _only(found: Iterable[Gpu]) -> list[Gpu]:
    gpus = list(found)
    return gpus if len(gpus) == 1 else []


def _usable(card: Card, name: str, number: int) -> list[Gpu]:
    if card.instances:
        return [Gpu(uuid, uuid, True) for uuid in card.instances]
    return [Gpu(name, card.uuid or str(number))]


def _what_there_is(found: tuple[Card, ...]) -> str:
    if not found:
        return "neither numbers nor names of GPUs (GPU-..., MIG-...)"
    numbers = "number 0" if len(found) == 1 else f"numbers 0 to {len(found) - 1}"
    names = ", ".join(uuid for card in found for uuid in (card.instances or (card.uuid,)) if uuid)
    return f"this machine's GPUs have the {numbers}" + (f" ({names})" if names else "")


def _listed() -> tuple[Card, ...]:
    program = shutil.which("nvidia-smi") or shutil.which(_WSL)
    return _as_listed(program) if program else ()


@cache
def _as_listed(program: str) -> tuple[Card, ...]:
    """GPUs that `nvidia-smi -L` lists: a line for each, then one, indented, for each MIG instance of it."""
    try:
        done = subprocess.run(
            [program, "-L"], capture_output=True, text=True, errors="replace", timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    if done.returncode != 0:  # the driver is not loaded, or is another version than this program
        return ()
    found: list[Card] = []
    for line in done.stdout.splitlines():
        name = _UUID.search(line)
        if line.startswith("GPU "):
            found.append(Card(name[0] if name else ""))
        elif found and name and line.lstrip().startswith("MIG "):
            found[-1] = Card(found[-1].uuid, (*found[-1].instances, name[0]))
    return tuple(found)


def _of_the_driver() -> tuple[Card, ...]:
    """GPUs that the driver shows in /proc: a folder for each, named by its PCI address."""
    found: list[Card] = []
    for folder in sorted((ROOT / "proc/driver/nvidia/gpus").glob("*")):
        try:
            text = (folder / "information").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        name = _UUID.search(text)  # question marks in the place of its digits, before its first use
        found.append(Card(name[0] if name else ""))
    return tuple(found)


def _files() -> tuple[Card, ...]:
    names = [path.name for path in (ROOT / "dev").glob("nvidia*")]
    return tuple(Card() for name in names if _NUMBERED.fullmatch(name))
