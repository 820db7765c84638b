"""Small disks: file systems in memory, to be filled up and made read-only by whoever may mount them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of its own at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def remount(self, options: str) -> None:
        """size=<n>k changes its size, ro makes it read-only, rw writable."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def fill(self, leave_kib: int = 0) -> Path:
        """Fills it but for so many KiB; the file that fills it, to be deleted."""
        filling = self.path / "filling"
        with filling.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
            file.truncate(max(0, filling.stat().st_size - 1024 * leave_kib))
        return filling


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Of 4 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"mount cannot be called: {error}")
    if done.returncode:
        pytest.skip(f"a file system can be mounted by root alone: {done.stderr.strip()}")
    yield SmallDisk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)
