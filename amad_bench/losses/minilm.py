"""MiniLM: the last layer's attention maps, head by head, and how its value vectors relate to each other.

Source: Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers", NeurIPS 2020, arXiv:2002.10957.

    L = mean over h and valid rows of KL(A_T,h || A_S,h) + mean over h and valid rows of KL(VR_T,h || VR_S,h)
    VR_h = softmax(V_h V_h^T / sqrt(D)),  D: head size

Domain: attention probabilities and projected values; as many student heads as teacher heads, head sizes may
differ. With grouped queries a head's values are those of its group. The published method maps the last layers (`layer_map: last`). VR relates all valid tokens to each
other, without the causal mask; a token is valid where a valid row may attend to it.
"""

from typing import Any

from torch import Tensor

from amad_bench.losses.base import LayerPair, MapLoss
from amad_bench.losses.maps import (
    check_equal_heads,
    kl_distance,
    prepare,
    reduce_heads_and_batch,
    valid_entries,
)
from amad_bench.losses.relations import relation_kl, valid_tokens


def minilm_loss(
    teacher_BHQK: Tensor,
    student_BHQK: Tensor,
    teacher_value_BHKD: Tensor,
    student_value_BHKD: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
) -> Tensor:
    """A scalar in float64 if an input is, else float32; masks as in `amad_loss`.

    Raises ValueError for different head counts and for shapes that do not fit.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BHQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    check_equal_heads("minilm", teacher_BHQK, student_BHQK, "minilm_v2 does without equal heads")
    maps = prepare(teacher_BHQK, student_BHQK, mask_B1QK)
    distance_BH = kl_distance(*maps)
    _, keys_BK = valid_tokens(mask_B1QK, teacher_BHQK.shape)
    return reduce_heads_and_batch(distance_BH, maps.rows_B, "mean") + relation_kl(
        teacher_value_BHKD, student_value_BHKD, keys_BK
    )


class MiniLM(MapLoss):
    """`minilm_loss` on traces."""

    function = staticmethod(minilm_loss)

    def arguments(self, pair: LayerPair) -> dict[str, Any]:
        return {
            "teacher_value_BHKD": pair.teacher.value_BHKD(),
            "student_value_BHKD": pair.student.value_BHKD(),
        }
