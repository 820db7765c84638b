"""VL-T5 as a folder for its own class: transformers has no such model."""

# pyright: reportCallIssue=false

from pathlib import Path

from torch import nn

from amad_bench.models.family import Exported

_CODE = """\
from transformers import AutoTokenizer
from amad_bench.models.vlt5 import VLT5
tokenizer = AutoTokenizer.from_pretrained(folder)
model = VLT5.from_pretrained(folder).eval()
text = tokenizer({prompt!r}.format("..."), return_tensors="pt")
# features (1, R, feat_dim), boxes (1, R, 4) as shares of the image; without one, zeros behind a
# `vis_attention_mask` (1, R) of zeros
ids = model.generate(text.input_ids, features, boxes, attention_mask=text.attention_mask, {generation})
written = tokenizer.decode(ids[0], skip_special_tokens=True).strip()"""


def save_vlt5(model: nn.Module, folder: Path) -> Exported:
    """Writes config and weights, which `VLT5.from_pretrained` reads."""
    model.save_pretrained(folder)
    return Exported(class_name=type(model).__name__, first=None, code=_CODE, differences=[])
