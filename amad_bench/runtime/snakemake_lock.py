"""Snakemake's lock on a folder, which outlives one that is killed: taken away where that is certain."""

import json
import os
import re
import socket
import sys
from base64 import urlsafe_b64decode
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.locks import hold, let_go

_HOLDER = "amad_bench.lock"  # locked by the Snakemake that works here; the kernel frees it, after kill -9 too
_DRY = re.compile("-[a-z]*n[a-z]*|--dry-?run")  # it takes no locks
_REMOTE = ("--mode", "remote")  # a cluster's job, mostly on another machine: it takes none, either
_STARTED = "incomplete"  # Snakemake's notes on files that were being made


def take_over(snakemake_folder: Path) -> bool:
    """Whether the process is the only Snakemake in the folder (`.snakemake`), and stays so until it ends.

    What a Snakemake left behind there that was killed is cleared away, and that is said in a line: its locks,
    and files that it was making, which may be of two minds. Nothing is touched, and a line says who has to
    do something, where it may still live: on another machine, or as one that did not use this function.
    """
    try:
        snakemake_folder.mkdir(exist_ok=True)
        handle = hold(snakemake_folder / _HOLDER)
    except (UserError, OSError):  # no locks, or nothing may be written: Snakemake's own lock has to do
        return False
    if handle is None:
        _say(f"{_name(_read(snakemake_folder / _HOLDER))} works in this folder; wait for it, or stop it")
        return False
    recorded = _decoded(os.pread(handle, 4096, 0))
    locks = sorted((snakemake_folder / "locks").glob("*.lock"))
    if locks and (doubt := _doubt(recorded)):
        _say(f"{doubt}; if no Snakemake works in this folder, call the same command with --unlock once")
        let_go(handle)
        return False
    for path in locks:
        path.unlink(missing_ok=True)
    if locks:
        _say(f"{_name(recorded)} was killed in this folder, its locks are removed")
        _remove_unfinished(snakemake_folder)
    with suppress(OSError):  # a full disk: the next one looks for processes alone
        os.ftruncate(handle, os.pwrite(handle, json.dumps(_self()).encode(), 0))
    return True


def _doubt(recorded: dict[str, Any]) -> str:
    """Reason why who holds Snakemake's locks may be alive, or ""; the kernel's lock is this process's."""
    own = _self()
    here = recorded.get("host") == own["host"] or recorded.get("boot") == own["boot"] is not None
    if recorded and not here:
        return f"{_name(recorded)} holds this folder's locks, and cannot be seen from here"
    others = _snakemakes(Path.cwd())  # of another Snakefile, or version
    if others:
        return f"process {others[0]} runs Snakemake in this folder"
    return "" if recorded else "who holds this folder's locks has not said where it runs"


def _snakemakes(folder: Path) -> list[int]:
    """Processes of this machine other than this one that run Snakemake in a folder, not dry (Linux)."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = process.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
            there = process.joinpath("cwd").resolve()
        except OSError:  # it has gone, or it is another user's
            continue
        program, *first = (Path(word).name for word in words[:3])
        runs = program == "snakemake" or (program.startswith("python") and "snakemake" in first)
        if any(_DRY.fullmatch(word) for word in words) or _REMOTE in pairwise(words):
            continue
        if runs and int(process.name) != os.getpid() and there == folder.resolve():
            found.append(int(process.name))
    return sorted(found)


def _remove_unfinished(snakemake_folder: Path) -> None:
    """Without them Snakemake asks for --rerun-incomplete unless its profile says so."""
    for note in (snakemake_folder / _STARTED).glob("*"):
        if note.is_file():
            with suppress(ValueError):  # a file of somebody else, such as a network file system's
                Path(urlsafe_b64decode(note.name).decode()).unlink(missing_ok=True)
            note.unlink(missing_ok=True)


def _self() -> dict[str, Any]:
    """boot: of the kernel, which containers with names of their own share; None where it has none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = None
    return {"host": socket.gethostname(), "boot": boot, "pid": os.getpid()}


def _read(path: Path) -> dict[str, Any]:
    try:
        return _decoded(path.read_bytes())
    except OSError:
        return {}


def _decoded(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _name(recorded: dict[str, Any]) -> str:
    if not recorded:
        return "another Snakemake"
    return f"Snakemake (process {recorded.get('pid')} on {recorded.get('host')})"


def _say(line: str) -> None:
    print(f"amad-bench: {line}", file=sys.stderr, flush=True)
