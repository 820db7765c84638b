"""Facts of the operating system about this process and its processor."""

import platform
from functools import cache
from pathlib import Path


def process_mib(field: str) -> float | None:
    """A number of Linux's own account of this process, elsewhere None."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return int(lines[field].split()[0]) / 2**10


@cache
def cpu_name() -> str:
    """Maker's name of the processor, or its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
