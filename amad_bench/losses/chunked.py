"""Inner products of large maps and KL of their mixtures, chunk by chunk, with backwards that store no map.

Axes as in maps.py, and R: alignments of a map, 1 for all of it or Q for one a row; V vectors of N entries.
t_h and s_g are the entries that share an alignment (Q*K or K of them), 0 where masked; dx stands for dL/dx.

`head_products`: P_hg = <t_h, s_g>, C_gm = <s_g, s_m>, p_h = <t_h, t_h>, l1: u_h = |t_h|_1, v_g = |s_g|_1

    ds_g = sum_h dP_hg t_h + sum_m (dC_gm + dC_mg) s_m + dv_g sign(s_g)
    dt_h = sum_g dP_hg s_g + 2 dp_h t_h + du_h sign(t_h)

`mixture_kl`: D_h = sum_n t_hn log(t_hn / m_hn), m_h = max(sum_g a_hg s_g, 1e-12)

    ds_g = -sum_h dD_h a_hg r_h      da_hg = -dD_h <r_h, s_g>      with r_h = t_h / m_h, 0 at the floor
    dt_h = dD_h (log t_h - log m_h + 1)

All else (norms, cosines, softmax, `mse`) is made of these few numbers by ordinary autograd. Both backwards
read the maps again and write the gradient; beside it they hold one chunk. What is made of inner products
cancels near zero: those of float32 maps are taken by query rows in float32 and summed over rows in float64,
which errs by 4e-7 in `mse` of 577 x 577 maps where the truth is 0 (one float32 product of whole maps: 1e-4).
Rows are also what a GPU can share out among its blocks; float64 products are slow on most. Small maps on a
CPU are multiplied as a whole in float64: rows of theirs are so short that taking them apart takes longer.
Mixtures and gradients are computed in the maps' precision; sums of theirs over chunks are float64. Inputs are
never written to. Differentiating twice raises RuntimeError.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from amad_bench.losses.maps import EPSILON, full_precision_type, norms, without_autocast

CPU_CHUNK = 2**20  # entries of teacher and student together: 8 MiB in float64, which caches hold
GPU_CHUNK = 2**24  # 128 MiB, for few launches
SMALL_MAP = 2**14  # entries, up to which one float64 product is quicker on a CPU than those of its rows


class HeadProducts(NamedTuple):
    """Inner products and norms of vectors, in float64; the L1 norms only where asked for.

    student_BGQK: the maps as they came, for `mixture_kl` alone to read: its gradient is the one that the
    products' is added to, in place, which spares a map and a pass over two.
    """

    cross_BRHG: Tensor
    student_BRGG: Tensor
    teacher_BRH: Tensor
    teacher_l1_BRH: Tensor | None
    student_l1_BRG: Tensor | None
    student_BGQK: Tensor


def head_products(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    mask_B1QK: Tensor | None,
    *,
    by_row: bool = False,
    l1: bool = False,
) -> HeadProducts:
    """Inner products of all heads, over whole maps (R = 1) or by query rows (R = Q).

    Maps of any floating types, with anything in masked entries; mask: broadcasts to (B, 1, Q, K), None = all.
    """
    return HeadProducts(*_HeadProducts.apply(teacher_BHQK, student_BGQK, mask_B1QK, by_row, l1))  # pyright: ignore[reportUnknownMemberType]


def mixture_kl(
    teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None, weights_BRHG: Tensor
) -> Tensor:
    """sum over entries of t log(t / sum_g a_g s_g) per teacher head (B, H), in float64. Maps as above.

    0 log 0 = 0, log m means log(max(m, 1e-12)). Where t = 0 the gradient with respect to t, which is -inf,
    is replaced by that at the smallest normal number.
    """
    return cast(Tensor, _MixtureKl.apply(teacher_BHQK, student_BGQK, mask_B1QK, weights_BRHG))  # pyright: ignore[reportUnknownMemberType]


def one_chunk(teacher_BHQK: Tensor, student_BGQK: Tensor) -> bool:
    """Whether maps are so small that they are read at once."""
    return teacher_BHQK.numel() + student_BGQK.numel() <= _chunk_entries(teacher_BHQK.device)


def _chunk_entries(device: torch.device) -> int:
    return CPU_CHUNK if device.type == "cpu" else GPU_CHUNK


class _Chunk(NamedTuple):
    samples: slice
    rows: slice
    alignments: slice  # which of the R belong to these rows


class _Chunks:
    """Chunks of maps as vectors (V, heads, N): V samples, or rows of samples, of N entries each."""

    def __init__(
        self, teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None, by_row: bool
    ) -> None:
        batch, heads, queries, keys = teacher_BHQK.shape
        self.shape_BQ, self.keys = (batch, queries), keys
        self.by_row = by_row
        self.precision = full_precision_type(teacher_BHQK, student_BGQK)
        self.mask_B1QK = None if mask_B1QK is None else mask_B1QK.expand(batch, 1, queries, keys)
        on_cpu = teacher_BHQK.device.type == "cpu"
        self.whole = on_cpu and queries * keys <= SMALL_MAP  # maps are multiplied as a whole, in float64
        entries = _chunk_entries(teacher_BHQK.device)
        self.rows = max(1, entries // max(1, (heads + student_BGQK.shape[1]) * keys))
        # Rows of several samples have no common stride: they would be copied, which a CPU feels.
        self.samples = 1 if on_cpu and not self.whole else max(1, self.rows // max(1, queries))

    def __iter__(self) -> Iterator[_Chunk]:
        batch, queries = self.shape_BQ
        for b in range(0, batch, self.samples):
            for q in range(0, queries, self.rows):
                rows = slice(q, q + self.rows)
                yield _Chunk(slice(b, b + self.samples), rows, rows if self.by_row else slice(None))

    @property
    def product_type(self) -> torch.dtype:
        """Number type that maps are read in for `products` and `sums`."""
        return torch.float64 if self.whole else self.precision

    def products(self, left_VHN: Tensor, right_VGN: Tensor) -> Tensor:
        """Inner products (V, H, G) of vectors, in float64."""
        if self.whole or self.by_row:
            return (left_VHN @ right_VGN.mT).double()
        left_VRHK, right_VRGK = self._rows(left_VHN).transpose(1, 2), self._rows(right_VGN).transpose(1, 2)
        return (left_VRHK @ right_VRGK.mT).sum(1, dtype=torch.float64)

    def sums(self, vectors_VHN: Tensor, order: int) -> Tensor:
        """Sums (V, H) over the entries' absolute values to the power of order, 1 or 2, in float64."""
        if self.whole or self.by_row:
            return norms(vectors_VHN, order).double() ** order
        return (norms(self._rows(vectors_VHN), order) ** order).sum(-1, dtype=torch.float64)

    def _rows(self, vectors_VHN: Tensor) -> Tensor:
        """(V, H, rows, K)."""
        return vectors_VHN.view(*vectors_VHN.shape[:2], -1, self.keys)

    def read(self, maps_BHQK: Tensor, chunk: _Chunk, dtype: torch.dtype) -> Tensor:
        """(V, heads, N), 0 in masked entries; perhaps a view of the maps, not to be written to."""
        part = maps_BHQK[chunk.samples, :, chunk.rows]
        if self.mask_B1QK is not None:  # where, not a product with the mask: 0 * inf is NaN
            part = torch.where(self.mask_B1QK[chunk.samples, :, chunk.rows], part, 0.0)
        part = part.to(dtype)
        return part.transpose(1, 2).flatten(0, 1) if self.by_row else part.flatten(2)

    def write(self, maps_BHQK: Tensor, chunk: _Chunk, vectors_VHN: Tensor, add: bool = False) -> None:
        """Writes vectors into maps, or adds them, and 0 into masked entries."""
        part = maps_BHQK[chunk.samples, :, chunk.rows]
        by_alignment = part.transpose(1, 2) if self.by_row else part
        vectors = vectors_VHN.view(by_alignment.shape)
        if add:
            by_alignment.add_(vectors)
        else:
            by_alignment.copy_(vectors)
        if self.mask_B1QK is not None:
            part.masked_fill_(~self.mask_B1QK[chunk.samples, :, chunk.rows], 0.0)


def _of(numbers_BRX: Tensor, chunk: _Chunk) -> Tensor:
    """The chunk's share of numbers per alignment: (V, ...)."""
    return numbers_BRX[chunk.samples, chunk.alignments].flatten(0, 1)


def _add(numbers_BRX: Tensor, chunk: _Chunk, part_VX: Tensor) -> None:
    share = numbers_BRX[chunk.samples, chunk.alignments]
    share += part_VX.view(share.shape)


def _room(tensor: Tensor, needed: bool) -> Tensor | None:
    """Room for its gradient where that is needed, to be written everywhere."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) if needed else None


class _HeadProducts(Function):
    @staticmethod
    def forward(
        ctx: Any,
        teacher_BHQK: Tensor,
        student_BGQK: Tensor,
        mask_B1QK: Tensor | None,
        by_row: bool,
        l1: bool,
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(teacher_BHQK, student_BGQK, mask_B1QK)
        ctx.set_materialize_grads(False)  # that of the maps may be lacking: no zeros of their size
        ctx.by_row = by_row
        chunks = _Chunks(teacher_BHQK, student_BGQK, mask_B1QK, by_row)
        (batch, heads, queries, _), students = teacher_BHQK.shape, student_BGQK.shape[1]
        sizes = [(heads, students), (students, students), (heads,), *([(heads,), (students,)] if l1 else [])]
        shape_BR = batch, queries if by_row else 1
        totals = [teacher_BHQK.new_zeros((*shape_BR, *size), dtype=torch.float64) for size in sizes]
        with without_autocast(teacher_BHQK.device):
            for chunk in chunks:
                t = chunks.read(teacher_BHQK, chunk, chunks.product_type)
                s = chunks.read(student_BGQK, chunk, chunks.product_type)
                parts = [chunks.products(t, s), chunks.products(s, s), chunks.sums(t, 2)]
                if l1:
                    parts += [chunks.sums(x, 1) for x in (t, s)]
                for total, part in zip(totals, parts, strict=True):
                    _add(total, chunk, part)
        ctx.shapes = [total.shape for total in totals]
        return *totals, *(() if l1 else (None, None)), student_BGQK

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the names)
        ctx: Any, *gradients: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        teacher_BHQK, student_BGQK, mask_B1QK = ctx.saved_tensors
        chunks = _Chunks(teacher_BHQK, student_BGQK, mask_B1QK, ctx.by_row)
        *of_products, of_student = gradients
        if all(gradient is None for gradient in of_products):
            return None, of_student, None, None, None
        cross, student, teacher, *l1 = (
            teacher_BHQK.new_zeros(shape, dtype=chunks.precision) if x is None else x.to(chunks.precision)
            for x, shape in zip(of_products, ctx.shapes, strict=False)
        )
        student = student + student.mT
        of_teacher = _room(teacher_BHQK, ctx.needs_input_grad[0])
        added_to = of_student is not None
        if of_student is None:
            of_student = _room(student_BGQK, ctx.needs_input_grad[1])
        with without_autocast(teacher_BHQK.device):
            for chunk in chunks:
                t = chunks.read(teacher_BHQK, chunk, chunks.precision)
                s = chunks.read(student_BGQK, chunk, chunks.precision)
                if of_student is not None:
                    ds = (_of(cross, chunk).mT @ t).baddbmm_(_of(student, chunk), s)
                    if l1:
                        ds.addcmul_(_of(l1[1], chunk)[..., None], s.sign())
                    chunks.write(of_student, chunk, ds, add=added_to)
                    del ds  # before the next one is made
                if of_teacher is not None:
                    dt = (_of(cross, chunk) @ s).addcmul_(_of(teacher, chunk)[..., None], t, value=2)
                    if l1:
                        dt.addcmul_(_of(l1[0], chunk)[..., None], t.sign())
                    chunks.write(of_teacher, chunk, dt)
        return of_teacher, of_student, None, None, None


class _MixtureKl(Function):
    @staticmethod
    def forward(
        ctx: Any,
        teacher_BHQK: Tensor,
        student_BGQK: Tensor,
        mask_B1QK: Tensor | None,
        weights_BRHG: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(teacher_BHQK, student_BGQK, mask_B1QK, weights_BRHG)
        chunks = _Chunks(teacher_BHQK, student_BGQK, mask_B1QK, weights_BRHG.shape[1] > 1)
        tiny = torch.finfo(chunks.precision).tiny
        weights = weights_BRHG.to(chunks.precision)
        total_BRH = weights_BRHG.new_zeros(weights_BRHG.shape[:3], dtype=torch.float64)
        with without_autocast(teacher_BHQK.device):
            for chunk in chunks:
                t = chunks.read(teacher_BHQK, chunk, chunks.precision)
                m = (_of(weights, chunk) @ chunks.read(student_BGQK, chunk, chunks.precision)).clamp_min_(
                    EPSILON
                )
                torch.div(t, m, out=m).clamp_min_(tiny).log_().mul_(t)
                _add(total_BRH, chunk, m.sum(-1))
        return total_BRH.sum(1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (as above)
        ctx: Any, gradient_BH: Tensor
    ) -> tuple[Tensor | None, ...]:
        teacher_BHQK, student_BGQK, mask_B1QK, weights_BRHG = ctx.saved_tensors
        chunks = _Chunks(teacher_BHQK, student_BGQK, mask_B1QK, weights_BRHG.shape[1] > 1)
        tiny = torch.finfo(chunks.precision).tiny
        weights = weights_BRHG.to(chunks.precision)
        gradient_BRH1 = gradient_BH[:, None, :, None].expand(*weights_BRHG.shape[:3], 1).to(chunks.precision)
        scaled_BRHG = -gradient_BRH1 * weights
        of_teacher = _room(teacher_BHQK, ctx.needs_input_grad[0])
        of_student = _room(student_BGQK, ctx.needs_input_grad[1])
        products_BRHG = torch.zeros_like(weights_BRHG, dtype=torch.float64)
        with without_autocast(teacher_BHQK.device):
            for chunk in chunks:
                t = chunks.read(teacher_BHQK, chunk, chunks.precision)
                s = chunks.read(student_BGQK, chunk, chunks.precision)
                m = _of(weights, chunk) @ s
                if of_teacher is not None:
                    dt = t.clamp_min(tiny).log_().sub_(m.clamp_min(EPSILON).log_()).add_(t >= tiny)
                    chunks.write(of_teacher, chunk, dt.mul_(_of(gradient_BRH1, chunk)))
                # At the floor m has no gradient: infinity makes the ratio 0 there.
                ratio = torch.div(t, torch.threshold_(m, EPSILON, torch.inf), out=m)
                _add(products_BRHG, chunk, chunks.products(ratio, s))
                if of_student is not None:
                    chunks.write(of_student, chunk, _of(scaled_BRHG, chunk).mT @ ratio)
        of_weights = (products_BRHG * -gradient_BRH1).to(weights_BRHG.dtype)
        return of_teacher, of_student, None, of_weights
