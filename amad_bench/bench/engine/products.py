"""Inner products of all heads of large maps: in one product as they are printed, and as the losses take them.

Axes: B batch, H teacher heads, G student heads, Q queries, K keys, N = Q*K.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from amad_bench.bench.losses import Shape, random_maps
from amad_bench.bench.measuring import interleaved_seconds, percentiles_ms
from amad_bench.losses.chunked import head_products

Way = Callable[[], tuple[Tensor, Tensor]]  # <t_h, s_g> and <s_g, s_m>

SHAPE = Shape(16, 12, 8, 577, 577)  # BLIP's vision tower at 384 px
ROUNDS = 9


def bench_products(device: str, shape: Shape = SHAPE, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """One row per way to take <t_h, s_g> and <s_g, s_m> of float32 maps, forward only.

    Ways: one product of (H, N) and (N, G) in float32 and in float64, and `head_products`. Columns: case,
    size, p50_ms, p20_ms, p80_ms, tflop_s; error, the largest of <t_h, s_g> relative to the float64 product.
    """
    teacher_BHQK, student_BGQK = random_maps(shape, torch.float32, device)
    student_BGQK = student_BGQK.detach()
    ways: dict[str, Way] = {
        "one product, float64": partial(_flat, teacher_BHQK, student_BGQK, torch.float64),
        "one product, float32": partial(_flat, teacher_BHQK, student_BGQK, torch.float32),
        "as the losses take them": partial(_ours, teacher_BHQK, student_BGQK),
    }
    exact_BHG = ways["one product, float64"]()[0]
    errors = [float(((way()[0] - exact_BHG) / exact_BHG).abs().max()) for way in ways.values()]
    seconds, _ = interleaved_seconds(list(ways.values()), rounds, device)
    batch, heads, students, queries, keys = shape
    operations = 2 * batch * queries * keys * (heads * students + students**2)
    size = f"{batch} x {heads} -> {students} heads x {queries} x {keys}"
    rows = []
    for case, taken, error in zip(ways, seconds, errors, strict=True):
        times = percentiles_ms(taken)
        rate = operations / (1e9 * times["p50_ms"])
        rows.append({"case": case, "size": size, **times, "tflop_s": rate, "error": error})
    return rows


def _flat(teacher_BHQK: Tensor, student_BGQK: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    teacher_BHN, student_BGN = (maps.flatten(2).to(dtype) for maps in (teacher_BHQK, student_BGQK))
    return teacher_BHN @ student_BGN.mT, student_BGN @ student_BGN.mT


def _ours(teacher_BHQK: Tensor, student_BGQK: Tensor) -> tuple[Tensor, Tensor]:
    products = head_products(teacher_BHQK, student_BGQK, None)
    return products.cross_BRHG[:, 0], products.student_BRGG[:, 0]
