"""Control: AMAD with alignment weights that are drawn once and mean nothing: a_h. ~ Dirichlet(1).

    kl:  sum_h KL(t_h || sum_g a_hg s_g)        mse:  sum_h | t_h/|t_h| - sum_g a_hg s_g/|s_g| |^2

Tells whether it matters which student heads a teacher head listens to, since any fixed mixture breaks the
symmetry of the student's heads (docs/methods.md#random-alignment-1).
Domain: attention probabilities; any numbers of heads.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from amad_bench.losses.aligned import Aligned, loss_alone
from amad_bench.losses.base import AlignedMapLoss, LayerMap, LayerPair
from amad_bench.losses.maps import valid_entries
from amad_bench.losses.mixture import masked_maps, mixture_loss


def random_alignment_weights(teacher_heads: int, student_heads: int, seed: int, key: str = "") -> Tensor:
    """weights_HG, each row uniform over the simplex; fixed by the seed, the key and the sizes."""
    generator = np.random.default_rng([seed, crc32(key.encode())])
    return torch.as_tensor(generator.dirichlet(np.ones(student_heads), size=teacher_heads))


@loss_alone
def random_alignment_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    weights_HG: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    distance: str = "kl",
    head_reduction: str = "sum",
) -> Aligned:
    """A scalar; masks, precision, reductions and errors as in `amad_loss` (mean over valid rows).

    weights_HG: of all samples alike. Raises ValueError where it does not fit the maps' heads.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    batch, *heads = teacher_BHQK.shape[0], teacher_BHQK.shape[1], student_BGQK.shape[1]
    if list(weights_HG.shape) != heads:
        raise ValueError(f"weights_HG has the shape {tuple(weights_HG.shape)}, expected {tuple(heads)}")
    weights_BRHG = weights_HG.to(student_BGQK.device, torch.float64).expand(batch, 1, -1, -1)
    maps = masked_maps(teacher_BHQK, student_BGQK, mask_B1QK)
    return mixture_loss(maps, weights_BRHG, distance, head_reduction)


class RandomAlignment(AlignedMapLoss):
    """`random_alignment_loss` on traces, with weights of its own for each mapped pair of layers.

    seed: what the weights are drawn from, with the site and the layers.
    """

    function = staticmethod(random_alignment_loss)

    def __init__(
        self,
        sites: Sequence[str] | None = None,
        layer_map: LayerMap = "last",
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(sites, layer_map, **options)
        self.seed = seed
        self.drawn: dict[str, Tensor] = {}

    def arguments(self, pair: LayerPair) -> dict[str, Any]:
        teacher_heads, student_heads = pair.teacher.shape_BHQK[1], pair.student.shape_BHQK[1]
        if pair.key not in self.drawn:
            weights_HG = random_alignment_weights(teacher_heads, student_heads, self.seed, pair.key)
            self.drawn[pair.key] = weights_HG.to(pair.student.query_BHQD.device, torch.float32)
        return {"weights_HG": self.drawn[pair.key]}
