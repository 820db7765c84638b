"""Whether runs will use a GPU."""

import subprocess
import sys

import pytest
import torch

from amad_bench.runtime import device


def test_explicit_devices_need_no_look() -> None:
    assert device.uses_gpu("cuda")
    assert not device.uses_gpu("cpu")


def test_auto_agrees_with_torch() -> None:
    assert device.uses_gpu("auto") == torch.cuda.is_available()


@pytest.mark.skipif(sys.platform != "linux", reason="drivers are looked for on Linux only")
def test_auto_without_a_driver_does_not_import_torch() -> None:
    code = (
        "import sys; from amad_bench.runtime import device; device.DRIVERS = (); "
        "print(device.uses_gpu('auto'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
