"""Devices that runs use: which one, its name, its memory, how to wait for it, what the scheduler reserves.

An accelerator is one record in DEVICES. torch is imported within functions: planning does without.
"""

import errno
import os
import re
import resource
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amad_bench.runtime import gpus
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.machine import cpu_name, process_mib
from amad_bench.runtime.precision import make_exact

if TYPE_CHECKING:
    import torch

AUTO = "auto"  # an accelerator where there is one
# By CUDA's major version, which torch was built for: NVIDIA's minor version compatibility.
OLDEST_DRIVER = {"12": 525, "13": 580}


@dataclass(frozen=True)
class Device(ABC):
    """A kind of device.

    name: torch's, and a config's. title: as messages say it. dtypes: number types to measure there.
    no_memory: texts of RuntimeErrors that mean that no memory is left, beside torch.OutOfMemoryError.
    exact: a context in which float32 takes no shortcuts, and equal numbers give equal results.
    collectives: torch.distributed's backend for tensors there.
    """

    name: str
    title: str
    dtypes: tuple[str, ...] = ("float32",)
    no_memory: tuple[str, ...] = ()
    exact: Callable[[], AbstractContextManager[Any]] = nullcontext
    collectives: str = "gloo"

    @property
    def place(self) -> "torch.device":
        """The device as torch takes it."""
        import torch

        return torch.device(self.name)

    @abstractmethod
    def available(self) -> bool:
        """Whether torch can use it here."""

    @abstractmethod
    def hardware(self) -> str:
        """Maker's name of it, as this machine says it."""

    @abstractmethod
    def total_mib(self) -> float:
        """All memory that it has."""

    @abstractmethod
    def peak_mib(self) -> float:
        """The most memory that this process has had of it."""

    def driver(self) -> str | None:
        """Version of its driver; None where it has none, or does not say."""
        return None

    def energy_joules(self) -> float | None:
        """Energy that all of it has taken since its driver was loaded; None where nobody counts."""
        return None

    @abstractmethod
    def synchronize(self) -> None:
        """Waits for all work that it was given."""

    @abstractmethod
    def release(self) -> None:
        """Gives back memory that torch got back and keeps for later."""

    @abstractmethod
    def prepare(self) -> None:
        """Settings of this process before a run on it."""

    def __str__(self) -> str:
        return f"{self.name} ({self.hardware()}, {self.total_mib():,.0f} MiB)"


@dataclass(frozen=True)
class Accelerator(Device):
    """A device whose functions torch has in the module torch.<name>.

    drivers: files of which one is there, on Linux, wherever it can be used: to look for them is quicker
    than to ask torch. counted: number of them that should work here, known without torch; None: not known.
    """

    drivers: tuple[str, ...] = ()
    counted: Callable[[], int | None] = lambda: None

    @property
    def functions(self) -> Any:
        return import_module(f"torch.{self.name}")

    def has_driver(self) -> bool:
        """False where it cannot be used; True says nothing."""
        return sys.platform != "linux" or any(Path(driver).exists() for driver in self.drivers)

    def count(self) -> int:
        """Number of them that runs may use at once; imports torch (seconds) only where nobody else knows."""
        known = self.counted()
        return int(self.has_driver() and self.available()) if known is None else known

    def available(self) -> bool:
        return self.functions.is_available()

    def hardware(self) -> str:
        return self.functions.get_device_name()

    def total_mib(self) -> float:
        return self.functions.get_device_properties().total_memory / 2**20

    def peak_mib(self) -> float:
        """The most that torch's allocator has handed out since `reset_peak`."""
        return self.functions.max_memory_allocated() / 2**20

    def allocated_mib(self) -> float:
        """Memory that torch's allocator has handed out now."""
        return self.functions.memory_allocated() / 2**20

    def reset_peak(self) -> None:
        self.functions.reset_peak_memory_stats()

    def synchronize(self) -> None:
        self.functions.synchronize()

    def release(self) -> None:
        self.functions.empty_cache()

    def prepare(self) -> None:
        pass

    def driver(self) -> str | None:
        try:
            text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        found = re.search(r"\d+\.\d+(\.\d+)?", text)
        return found and found[0]

    def energy_joules(self) -> float | None:
        """By NVML, where the package nvidia-ml-py is installed; other processes on the device count, too."""
        try:
            nvml = import_module("pynvml")
            nvml.nvmlInit()
            name = f"GPU-{self.functions.get_device_properties().uuid}"
            return nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByUUID(name)) / 1e3
        except Exception:  # NVML's own errors, each a class that only it has; another maker's GPU
            return None


class Processor(Device):
    """The CPU, which every machine has."""

    def available(self) -> bool:
        return True

    def hardware(self) -> str:
        return cpu_name()

    def total_mib(self) -> float:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20

    def peak_mib(self) -> float:
        """The largest resident memory of this process, mapped files included."""
        peak = process_mib("VmHWM")
        if peak is not None:
            return peak
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    def synchronize(self) -> None:
        pass

    def release(self) -> None:
        pass

    def prepare(self) -> None:
        """The number of threads changes the last bits, and small tensors are slower with two."""
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def _exact_cuda() -> AbstractContextManager[Any]:
    from torch.backends import cudnn

    return cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False)


CPU = Processor("cpu", "CPU", no_memory=("can't allocate memory",))
CUDA = Accelerator(
    "cuda",
    "CUDA",
    dtypes=("float32", "bfloat16", "float16"),
    exact=_exact_cuda,
    collectives="nccl",
    no_memory=("CUDA error: out of memory", "CUDA driver error: out of memory", "_STATUS_ALLOC_FAILED"),
    drivers=("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"),  # NVIDIA, AMD, WSL
    counted=gpus.counted,
)
DEVICES: dict[str, Device] = {device.name: device for device in (CPU, CUDA)}


def choices() -> tuple[str, ...]:
    """The values that a config's `device` may have."""
    return (AUTO, *DEVICES)


def accelerators() -> list[Accelerator]:
    return [device for device in DEVICES.values() if isinstance(device, Accelerator)]


def find(asked: str) -> Device:
    """The device of a run; asked: one of `choices`.

    UserError where it is not there, and for `auto` where the machine has an accelerator that torch cannot
    use: a run on the CPU would take weeks and nobody would know why.
    """
    wanted = accelerators() if asked == AUTO else [DEVICES[asked]]
    if (found := next((device for device in wanted if device.available()), None)) is not None:
        return found
    for device in wanted:
        if isinstance(device, Accelerator) and device.counted():
            raise UserError(f"device: {asked}: {_unusable(device)}; or set device: cpu (or {gpus.VISIBLE}=)")
    if asked == AUTO:
        return CPU
    raise UserError(
        f"device: {asked} was asked for, but torch sees no {wanted[0].title} device; use device: auto or cpu"
    )


def _unusable(device: Accelerator) -> str:
    """Reason why torch does not see what is there, and what to do."""
    import torch

    here = f"this machine has a GPU, but torch {torch.__version__} sees none"
    if torch.version.cuda is None:
        return f"{here}, since it was built without CUDA: install the one for your driver, see docs/gpu.md"
    driver = device.driver()
    if driver is None:
        return f"{here}, since no driver is loaded: `nvidia-smi` must list it first, see docs/gpu.md"
    cuda = torch.version.cuda
    if int(driver.split(".")[0]) < (oldest := OLDEST_DRIVER.get(cuda.split(".")[0], 0)):
        return (
            f"{here}: its CUDA {cuda} takes driver {oldest} or later, and this one is {driver}; update it or "
            "install a torch for an older CUDA, see docs/gpu.md"
        )
    return f"{here} with driver {driver} and CUDA {cuda}: `nvidia-smi` must list it first, see docs/gpu.md"


def ready(asked: str) -> Device:
    """The device that `find` finds, with this process set up for a run on it."""
    make_exact()
    device = find(asked)
    device.prepare()
    return device


def count(asked: str) -> int:
    """Number of accelerators that runs may use at once, for the scheduler, before any run starts.

    Of one that is asked for by name at least one. UserError: CUDA_VISIBLE_DEVICES names none.
    """
    if asked == AUTO:
        return next((found for device in accelerators() if (found := device.count())), 0)
    device = DEVICES[asked]
    return max(1, device.counted() or 0) if isinstance(device, Accelerator) else 0


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    texts = [text for device in DEVICES.values() for text in device.no_memory]
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
