"""Devices: which one a run uses, and all that follows from one record of an accelerator."""

import errno
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from amad_bench.bench import measuring
from amad_bench.cli import _parser
from amad_bench.plan.config.schema import Config
from amad_bench.runtime import devices, gpus
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.machine import process_mib
from amad_bench.runtime.provenance import provenance
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training.failures import failures_noted
from tests.conftest import REPOSITORY
from tests.planned import small_config


def test_explicit_devices_need_no_look() -> None:
    assert devices.count("cuda") == 1
    assert devices.count("cpu") == 0


def test_auto_agrees_with_torch() -> None:
    assert devices.count("auto") == torch.cuda.is_available()
    assert devices.find("auto").name == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="drivers are looked for on Linux only")
def test_auto_without_a_driver_does_not_import_torch() -> None:
    code = (
        "import sys; from amad_bench.runtime import devices; "
        "devices.DEVICES['cuda'] = devices.Accelerator('cuda', 'CUDA'); "
        "print(devices.count('auto'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert devices.find("auto") is devices.CPU
    message = "device: cuda was asked for, but torch sees no CUDA device; use device: auto or cpu"
    with pytest.raises(UserError) as caught:
        devices.find("cuda")
    assert caught.value.messages == [message]


class _Broken:
    """A GPU machine on which torch sees none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.root, self._patch = root, monkeypatch
        monkeypatch.setattr(gpus, "ROOT", root)
        monkeypatch.setenv("PATH", str(root))  # no nvidia-smi
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        (root / "dev").mkdir()
        (root / "dev/nvidiactl").touch()

    def torch_is(self, version: str, cuda: str | None, driver: str | None) -> None:
        self._patch.setattr("torch.__version__", version)
        self._patch.setattr("torch.version.cuda", cuda)
        self._patch.setattr(devices.Accelerator, "driver", lambda _: driver)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Broken:
    return _Broken(monkeypatch, tmp_path)


@pytest.mark.parametrize("asked", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("torch_version", "cuda", "driver", "what"),
    [
        ("2.13.0+cpu", None, "580.65.06", "it was built without CUDA: install the one for your driver"),
        ("2.13.0", "13.0", None, "no driver is loaded: `nvidia-smi` must list it first"),
        # docs.nvidia.com, CUDA compatibility: 13.x takes 580, 12.x takes 525
        ("2.13.0", "13.0", "570.86.15", "its CUDA 13.0 takes driver 580 or later, and this one is 570.86.15"),
        ("2.13.0", "12.6", "470.82.01", "its CUDA 12.6 takes driver 525 or later, and this one is 470.82.01"),
        (
            "2.13.0",
            "12.6",
            "570.86.15",
            "with driver 570.86.15 and CUDA 12.6: `nvidia-smi` must list it first",
        ),
        (
            "2.13.0",
            "13.0",
            "580.65.06",
            "with driver 580.65.06 and CUDA 13.0: `nvidia-smi` must list it first",
        ),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_no_silent_run_on_the_cpu(
    broken: _Broken, asked: str, torch_version: str, cuda: str | None, driver: str | None, what: str
) -> None:
    broken.torch_is(torch_version, cuda, driver)
    with pytest.raises(UserError) as caught:
        devices.find(asked)
    (message,) = caught.value.messages
    assert message.startswith(f"device: {asked}: this machine has a GPU, but torch {torch_version} sees none")
    assert what in message
    assert message.endswith("; or set device: cpu (or CUDA_VISIBLE_DEVICES=)")
    assert "\n" not in message
    assert devices.count(asked) == 1  # its runs take turns until they are told
    assert (REPOSITORY / "docs/gpu.md").is_file()  # which they are sent to


def test_a_gpu_that_torch_cannot_use_is_left_alone_on_purpose(
    broken: _Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert devices.find("cpu") is devices.CPU
    for hidden in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert devices.find("auto") is devices.CPU
        assert devices.count("auto") == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (broken.root / "dev/nvidiactl").unlink()
    assert devices.find("auto") is devices.CPU


def test_the_processor() -> None:
    """Against what Linux says of this machine and this process."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert devices.CPU.total_mib() == pytest.approx(int(meminfo["MemTotal"].split()[0]) / 2**10, rel=1e-3)
    before = devices.CPU.peak_mib()
    held = torch.ones(64 * 2**18)  # 64 MiB
    assert devices.CPU.peak_mib() >= process_mib("VmRSS") - 1 >= held.nbytes / 2**20
    peak = devices.CPU.peak_mib()
    assert peak >= before
    del held
    assert devices.CPU.peak_mib() > peak - 8  # what was freed counts; the kernel counts a little late


def test_threads_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        for given, threads in (("2", 2), (None, 1)):
            if given:
                monkeypatch.setenv("OMP_NUM_THREADS", given)
            else:
                monkeypatch.delenv("OMP_NUM_THREADS")
            devices.ready("cpu")
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_exact_on_cuda_takes_no_shortcuts() -> None:
    cudnn = torch.backends.cudnn
    with devices.CUDA.exact():
        assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (False, True, False)


def test_a_process_that_is_ready_has_the_threads_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number changes the last bits."""
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            assert devices.ready("cpu") is devices.CPU
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


# ---- an accelerator that is not ours: one record


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A record beside ours, and torch's functions for it as its module would have them.

    It computes nothing: its name is one that torch knows, so that a device may be called so.
    """
    calls: list[str] = []
    there = SimpleNamespace(available=True, calls=calls, driver=tmp_path / "toyctl")
    there.driver.touch()
    module = ModuleType("torch.xpu")
    module.is_available = lambda: there.available  # pyright: ignore[reportAttributeAccessIssue]
    module.get_device_name = lambda: "Toy 9000"  # pyright: ignore[reportAttributeAccessIssue]
    properties = SimpleNamespace(total_memory=3 * 2**30)
    module.get_device_properties = lambda: properties  # pyright: ignore[reportAttributeAccessIssue]
    module.max_memory_allocated = lambda: 7 * 2**20  # pyright: ignore[reportAttributeAccessIssue]
    module.memory_allocated = lambda: 2 * 2**20  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("synchronize", "reset_peak_memory_stats"):
        setattr(module, name, lambda name=name: calls.append(name))
    monkeypatch.setitem(sys.modules, "torch.xpu", module)
    record = devices.Accelerator(
        "xpu", "toy", no_memory=("toy is full",), exact=_exactly(calls), drivers=(str(there.driver),)
    )
    monkeypatch.setitem(devices.DEVICES, "xpu", record)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return there


def _exactly(calls: list[str]):
    @contextmanager
    def exact():
        calls.append("exact")
        yield

    return exact


def test_one_record_is_chosen_named_and_measured(toy: SimpleNamespace) -> None:
    found = devices.find("auto")
    assert (found.name, found.place) == ("xpu", torch.device("xpu"))
    assert devices.find("xpu") is found
    assert str(found) == "xpu (Toy 9000, 3,072 MiB)"
    assert found.peak_mib() == 7
    facts = provenance(found.name)
    assert (facts["device"], facts["device_name"], facts["cuda"]) == ("xpu", "Toy 9000", None)
    with found.exact():
        assert toy.calls == ["exact"]


def test_one_record_is_measured_by_the_benchmarks(toy: SimpleNamespace) -> None:
    assert measuring.devices() == ["cpu", "xpu"]
    assert measuring.extra_mib(lambda: toy.calls.append("step"), "xpu") == 5
    assert toy.calls == ["synchronize", "reset_peak_memory_stats", "step", "synchronize"]


def test_one_record_is_counted_where_it_has_a_driver(toy: SimpleNamespace) -> None:
    assert (devices.count("xpu"), devices.count("auto")) == (1, 1)
    if sys.platform == "linux":
        toy.driver.unlink()
        assert (devices.count("xpu"), devices.count("auto")) == (1, 0)
        toy.driver.touch()
    toy.available = False
    assert devices.count("auto") == 0


@pytest.mark.usefixtures("toy")
def test_one_record_is_a_value_of_the_config_and_of_the_command() -> None:
    plain = small_config("vlt5", "vqa").model_dump()
    assert Config.model_validate({**plain, "device": "xpu"}).device == "xpu"
    with pytest.raises(ValueError, match=r"expected auto or cpu or cuda or xpu, found 'xpi'.*mean 'xpu'"):
        Config.model_validate({**plain, "device": "xpi"})
    of_questions = ["predict", "y", "--questions", "q", "--photos", "p", "--out", "o"]
    for command in (["run", "--run", "y"], of_questions):
        assert _parser().parse_args([*command, "--config", "x", "--device", "xpu"]).device == "xpu"


@pytest.mark.usefixtures("toy")
def test_one_record_says_what_out_of_memory_is() -> None:
    status = Status()
    with failures_noted(status):
        raise RuntimeError("the toy is full: 3 GiB")
    assert (status.status, status.reason) == ("out_of_memory", "the toy is full: 3 GiB")
    with pytest.raises(RuntimeError, match="another"), failures_noted(Status()):
        raise RuntimeError("another")


def test_one_record_that_is_not_there_is_one_line(toy: SimpleNamespace) -> None:
    toy.available = False
    with pytest.raises(UserError, match=r"^device: xpu was asked for, but torch sees no toy device; use"):
        devices.find("xpu")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("x"),
        RuntimeError("can't allocate memory: 3"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        # as CUDA and its libraries say it
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_errors_that_mean_that_no_memory_is_left(error: Exception) -> None:
    assert devices.out_of_memory(error)
    assert not devices.out_of_memory(ValueError(str(error)))
    assert not devices.out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not devices.out_of_memory(OSError(errno.ENOSPC, "No space left on device"))


class _Nvml:
    """NVML of a machine with one GPU, which has taken 1.5 kJ."""

    nvmlInit = staticmethod(lambda: None)
    nvmlDeviceGetHandleByUUID = staticmethod({"GPU-one": "its handle"}.__getitem__)
    nvmlDeviceGetTotalEnergyConsumption = staticmethod({"its handle": 1_500_000}.__getitem__)


@pytest.mark.parametrize(("uuid", "joules"), [("one", 1500.0), ("another", None)])
def test_energy_is_what_nvml_counts(uuid: str, joules: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(uuid=uuid)
    functions = SimpleNamespace(get_device_properties=lambda: properties)
    monkeypatch.setattr(devices.Accelerator, "functions", functions)
    monkeypatch.setitem(sys.modules, "pynvml", _Nvml)
    assert devices.CUDA.energy_joules() == joules
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert devices.CUDA.energy_joules() is None
    assert devices.CPU.energy_joules() is None
