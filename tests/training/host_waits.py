"""What makes the host wait for a device, seen without one: tensors on `meta` have no values to look at."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_PACKAGES = ("amad_bench", "transformers")


class HostWaits(TorchDispatchMode):
    """Inside, each look at a tensor on `meta` is noted in `found` as "file:function", and answered somehow.

    Looks are: item, bool, tolist, cpu and what else copies to the host; nonzero and indexing by a mask, whose
    sizes are values; copies to the device that are not said to be non_blocking, and torch.tensor there. A
    number is answered by 0, a mask as if it were all true.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [arg for arg in args if isinstance(arg, Tensor)]
        if func is aten._local_scalar_dense.default and given[0].is_meta:
            self._note()
            return True if given[0].dtype == torch.bool else 0
        if func is aten._to_copy.default:
            return self._to_copy(func, given[0], args, kwargs)
        if func is aten.copy_.default:
            target, source = given
            waits = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            if target.is_meta != source.is_meta and (waits or source.is_meta):
                self._note()
            return target if source.is_meta else func(*args, **kwargs)
        if func in (aten.nonzero.default, aten.masked_select.default) and given[0].is_meta:
            self._note()
            size = given[0].numel()
            if func is aten.masked_select.default:
                return given[0].new_empty(size)
            return torch.empty(size, given[0].dim(), dtype=torch.long, device="meta")
        if func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
            return self._index(func, args, kwargs)
        if func is aten.lift_fresh.default and given[0].is_meta:  # what torch.tensor ends with
            self._note()
        return func(*args, **kwargs)

    def _to_copy(self, func: Any, tensor: Tensor, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        device = torch.device(kwargs.get("device") or tensor.device)
        if tensor.is_meta and device.type != "meta":
            self._note()
            return torch.zeros(tensor.shape, dtype=kwargs.get("dtype") or tensor.dtype)
        if device.type == "meta" and not tensor.is_meta and not kwargs.get("non_blocking"):
            self._note()
        return func(*args, **kwargs)

    def _index(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        tensor, indices, *more = args
        if any(index is not None and index.is_meta and index.dtype == torch.bool for index in indices):
            self._note()
            whole = []
            for index in indices:
                if index is not None and index.dtype == torch.bool:
                    grid = torch.meshgrid(*(torch.arange(n) for n in index.shape), indexing="ij")
                    whole += [axis.flatten().to("meta", non_blocking=True) for axis in grid]
                else:
                    whole.append(index)
            indices = whole
        return func(tensor, indices, *more, **kwargs)

    def _note(self) -> None:
        frame = sys._getframe(1)
        while frame is not None:
            parts = Path(frame.f_code.co_filename).parts
            for package in _PACKAGES:
                if package in parts:
                    inside = "/".join(parts[len(parts) - 1 - parts[::-1].index(package) :])
                    self.found.append(f"{inside}:{frame.f_code.co_name}")
                    return
            frame = frame.f_back
        self.found.append("elsewhere")
