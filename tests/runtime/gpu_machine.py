"""A machine with GPUs that are not there: an nvidia-smi that lists them, and no other one."""

import os
from collections.abc import Sequence
from pathlib import Path

# as nvidia-smi of driver 535 prints it
GPU = "GPU {number}: NVIDIA H200 (UUID: {uuid})"
INSTANCE = "  MIG 3g.20gb     Device  {number}: (UUID: {uuid})"


def uuid_of(number: int) -> str:
    """The UUID of a GPU, each with another beginning."""
    return f"GPU-{number:08x}-1b2c-4d3e-8f40-5a6b7c8d9e0f"


def instance_of(gpu: int, number: int) -> str:
    """The UUID of a MIG instance."""
    return f"MIG-{gpu:04x}{number:04x}-42e4-5de3-91c7-45d71c87eb3f"


def gpu_machine(folder: Path, number: int, instances: Sequence[int] = ()) -> dict[str, str]:
    """What the environment of a process on it says; `instances`: of each GPU, if there are any."""
    lines: list[str] = []
    for gpu in range(number):
        lines.append(GPU.format(number=gpu, uuid=uuid_of(gpu)))
        cut = instances[gpu] if instances else 0
        lines += [INSTANCE.format(number=own, uuid=instance_of(gpu, own)) for own in range(cut)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    text = "\n".join(lines)
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] || exit 1\ncat <<END\n{text}\nEND\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(folder / "tmp")}
