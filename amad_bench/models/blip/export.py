"""BLIP as a folder of transformers' own: its captioner and its answerer have their parameters and names."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import json
from copy import deepcopy
from pathlib import Path
from typing import cast

from torch import nn
from transformers.models.blip.modeling_blip import BlipForConditionalGeneration, BlipForQuestionAnswering

from amad_bench.data.images.colours import COLOURS
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.models.blip.model import BlipAnswerer
from amad_bench.models.family import Exported
from amad_bench.models.folders import PREPROCESSOR
from amad_bench.plan.config.inputs import PixelInputs
from amad_bench.plan.run_config import RunConfig

_BICUBIC = 3  # Pillow's number
_CAPTIONS = """\
model = BlipForConditionalGeneration.from_pretrained(folder).eval()
prompt = tokenizer({prompt!r}, return_tensors="pt")
ids = model.generate(pixel_values=pixels, **prompt, {generation})  # one image; it replaces the first token
caption = tokenizer.decode(ids[0], skip_special_tokens=True).strip().removeprefix({prompt!r}).strip()"""
_ANSWERS = """\
model = {class}.from_pretrained(folder).eval()
question = tokenizer({prompt!r}.format("what is this?"), return_tensors="pt")
ids = model.generate(pixel_values=pixels, **question, {generation})
answer = tokenizer.decode(ids[0], skip_special_tokens=True).strip()"""
_PADDING = (
    "transformers' cross-attention does not read the mask of the question, so that its decoder attends to "
    "padding: questions of different lengths in one batch get other logits than in the run. Give one "
    "question at a time, or questions of equal length: then they are the same."
)


def save_blip(model: nn.Module, tokenizer: Tokenizer, config: RunConfig, folder: Path) -> Exported:
    """Writes config, weights and image processor, which `from_pretrained` of transformers' class reads.

    An answerer whose sides differ in width is read by our own class: transformers' cannot be built.
    """
    answers, sizes = isinstance(model, BlipAnswerer), model.config
    stock_class = BlipForQuestionAnswering if answers else BlipForConditionalGeneration
    stock = not answers or sizes.text_config.hidden_size == sizes.vision_config.hidden_size
    written = stock_class(deepcopy(sizes)) if stock else cast(BlipAnswerer, model)
    if stock:
        written.load_state_dict(model.state_dict())
    written.save_pretrained(folder)
    name = type(written).__name__
    reader = "transformers" if stock else BlipAnswerer.__module__
    (folder / PREPROCESSOR).write_text(json.dumps(_image_processor(config.inputs), indent=2) + "\n")
    lines = [
        "from transformers import AutoTokenizer",
        f"from {reader} import {name}",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f"# pixels: (1, 3, {config.inputs.size}, {config.inputs.size}) as {PREPROCESSOR} says",
        _ANSWERS.replace("{class}", name) if answers else _CAPTIONS,
    ]
    return Exported(
        class_name=name,
        first=tokenizer.start if answers else tokenizer.bos,
        code="\n".join(lines),
        differences=[_PADDING] if answers and stock else [],
    )


def _image_processor(inputs: PixelInputs) -> dict[str, object]:
    mean, spread = (list(numbers) * (3 // len(numbers)) for numbers in COLOURS[inputs.colours])
    return {
        "image_processor_type": "BlipImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": inputs.size, "width": inputs.size},
        "resample": _BICUBIC,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": spread,
    }
