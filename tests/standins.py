"""configs/paper.yaml and its core made tiny, and stand-ins for all that they read, in the published formats.

The models have random weights: a T5 of each size, VL-T5's checkpoint, BERT, ViT and BLIP base. Like the real
ones they differ in the rows of their vocabularies, in their image sizes, and T5's sizes in their shape.
"""

import gzip
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import BaseModel
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForPreTraining
from transformers.models.blip.configuration_blip import BlipConfig
from transformers.models.blip.modeling_blip import BlipForConditionalGeneration, BlipForQuestionAnswering
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration
from transformers.models.vit.configuration_vit import ViTConfig
from transformers.models.vit.modeling_vit import ViTForImageClassification

from amad_bench.data.text.tokenizer import load_folder_tokenizer
from amad_bench.models.vlt5.model import VLT5, VLT5Config
from amad_bench.plan.catalogue import FAMILIES, LOSSES
from amad_bench.plan.config.models import ModelSize
from tests.conftest import REPOSITORY
from tests.data.folders import bert_folder, t5_folder
from tests.data.images.test_feature_files import record, write_h5
from tests.data.official_tree import IMAGES, file_name, write_json, write_official

PAPER = REPOSITORY / "configs/paper.yaml"
CORE = REPOSITORY / "configs/paper-core.yaml"
# of models (a base and a small T5), images and features; the heads are the published ones
BASE = {"layers": 2, "width": 24, "feed_forward": 32, "heads": 12}
SMALL = {"layers": 1, "width": 16, "feed_forward": 24, "heads": 8}
FEATURES, REGIONS, PATCH = 6, 36, 8
PRETRAINING_PIXELS = 2 * PATCH  # of ViT and BLIP; both are fine-tuned on larger images
POSITIONS = 512  # BERT's
UNUSED_ROWS = 28  # T5's table has 32,128 rows for 32,100 tokens

ANSWERS = ("yes", "a b", "c", *map(str, IMAGES))
TESTS = {"test_2017_flickr": 2, "test_2018_flickr": 1}  # lines; official_tree has the other splits
# Karpathy's split -> the official file with its images
FEATURES_OF = {"train": "train2014", "restval": "val2014", "val": "val2014", "test": "val2014"}

# What the tiny config has instead: by key and value; whatever the value is; of the losses these labels.
SMALLER = {
    "layers": {12: BASE["layers"], 6: SMALL["layers"]},
    "width": {768: BASE["width"], 512: SMALL["width"]},
    "feed_forward": {3072: BASE["feed_forward"], 2048: SMALL["feed_forward"]},
    "size": {2048: FEATURES, 384: 4 * PATCH},
    "image_size": {384: 4 * PATCH, 480: 6 * PATCH},
    "patch": {16: PATCH},
}
INSTEAD = {
    "device": "cpu",
    "workers": 0,
    "replicates": 1,
    "subset": True,
    "steps": 2,
    "batch": 4,
    "evaluations": 1,
    "max_length": 6,
    "extra_metrics": [],  # they need Java; tests/scoring has them
}
LABELS = ("ce", "minilm_v2", "amad_kl")
HEADS = (12, 8)


def paper(path: Path = PAPER) -> dict[str, Any]:
    """The config as it is written, without any default."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def tiny(value: Any, key: str = "", heads: Container[int] = HEADS) -> Any:
    """A part of the config that stands under `key`, smaller; every key stays. heads: of 12, 8, 6, 4."""
    if key in SMALLER:
        return SMALLER[key][value]
    if key in INSTEAD:
        return INSTEAD[key]
    if isinstance(value, dict):
        return {name: tiny(part, name, heads) for name, part in value.items()}
    if key == "losses":
        return [entry for entry in value if LOSSES[entry["name"]].label(entry) in LABELS]
    if key in ("heads", "student") and isinstance(value, list) and 12 in value:
        return [count for count in value if count in heads]
    return [tiny(part, heads=heads) for part in value] if isinstance(value, list) else value


def write_paper_data(root: Path) -> Path:
    """The data sets and models below root, as AMAD_DATA holds them for configs/paper.yaml."""
    write_official(root)
    write_json(root / "vqa-v2/trainval_ans2label.json", {answer: i for i, answer in enumerate(ANSWERS)})
    _write_tests(root / "multi30k")
    _write_features(root)
    with torch.random.fork_rng(devices=[]):
        _write_models(root / "models")
    return root


def _write_tests(folder: Path) -> None:
    for name, count in TESTS.items():
        for language in ("en", "de"):
            lines = "".join(f"{language} sentence {number} of {name}\n" for number in range(count))
            (folder / f"raw/{name}.{language}.gz").write_bytes(gzip.compress(lines.encode()))
        (folder / f"image_splits/{name}.txt").write_text("".join(f"{name}{i}.jpg\n" for i in range(count)))


def _write_features(root: Path) -> None:
    """Each image in one file only, so that every file is needed."""
    coco: dict[str, list[str]] = {}
    for image, (_, split) in IMAGES.items():
        coco.setdefault(FEATURES_OF[split], []).append(Path(file_name(image)).stem)
    for part, names in coco.items():
        _write_obj36(root / f"coco/features/{part}_obj36.h5", names)
    folder = root / "multi30k/image_splits"
    flickr = {"trainval": ("train", "val", "test_2016_flickr")}
    flickr |= {"test2017": ("test_2017_flickr",), "test2018": ("test_2018_flickr",)}
    for part, splits in flickr.items():
        lines = [line for split in splits for line in (folder / f"{split}.txt").read_text().split()]
        _write_obj36(root / f"flickr30k/features/{part}_boxes36.h5", [Path(line).stem for line in lines])


def _write_obj36(path: Path, names: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_h5(path, {name: record(REGIONS, FEATURES, seed) for seed, name in enumerate(names)})


def _write_models(folder: Path) -> None:
    _write_t5(folder / "t5-small", SMALL)
    _write_t5(folder / "t5-base", BASE)
    _write_vlt5(folder / "vl-t5/Epoch30.pth", load_folder_tokenizer(folder / "t5-base", "vlt5").size)
    words = _write_bert(folder / "bert-base-uncased")
    vit = ViTConfig(**_sizes(), image_size=PRETRAINING_PIXELS, patch_size=PATCH)
    _random(ViTForImageClassification(vit)).save_pretrained(folder / "vit-base-patch16-224")
    for task, model_class in (
        ("captioning", BlipForConditionalGeneration),
        ("vqa", BlipForQuestionAnswering),
    ):
        _random(model_class(_blip_config(words))).save_pretrained(folder / "blip-base" / task)


def _write_t5(folder: Path, shape: dict[str, int]) -> None:
    t5_folder(folder)
    rows = load_folder_tokenizer(folder, "vlt5").size - len(FAMILIES["vlt5"].tokens.regions) + UNUSED_ROWS
    config = T5Config(vocab_size=rows, **_t5_sizes(shape), decoder_start_token_id=0)  # pyright: ignore[reportCallIssue]
    _random(T5ForConditionalGeneration(config)).save_pretrained(folder)


def _write_vlt5(path: Path, rows: int) -> None:
    """As the official trainer saves it: a state dict under the names of a model that trains in parallel."""
    config = VLT5Config(
        vocab_size=rows,
        **_t5_sizes(BASE),
        feat_dim=FEATURES,
        use_vis_order_embedding=True,
        box_area="official",
    )
    path.parent.mkdir(parents=True)
    state = _random(VLT5(config)).state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)


def _t5_sizes(shape: dict[str, int]) -> dict[str, Any]:
    return {
        "d_model": shape["width"],
        "d_kv": shape["width"] // shape["heads"],
        "d_ff": shape["feed_forward"],
        "num_layers": shape["layers"],
        "num_heads": shape["heads"],
    }


def _write_bert(folder: Path) -> int:
    """The number of its words; every letter and digit is one, so that no two answers look alike."""
    bert_folder(folder)
    letters = "bcdefghijklmnopqrstuvwxyz0123456789"
    with (folder / "vocab.txt").open("a") as file:
        pieces = [piece for letter in letters for piece in (letter, f"##{letter}")]
        file.writelines(f"{piece}\n" for piece in pieces if piece != "##s")  # which bert_folder has
    words = len((folder / "vocab.txt").read_text().split())
    config = BertConfig(vocab_size=words, **_sizes(), max_position_embeddings=POSITIONS)
    _random(BertForPreTraining(config)).save_pretrained(folder)
    return words


def _blip_config(words: int) -> BlipConfig:
    """[DEC] and [ENC] come behind BERT's words; [SEP] (3 here) ends a text."""
    special = {"bos_token_id": words, "sep_token_id": 3, "eos_token_id": 2, "pad_token_id": 0}
    text = {
        **_sizes(),
        **special,
        "vocab_size": words + 2,
        "encoder_hidden_size": BASE["width"],
        "max_position_embeddings": POSITIONS,
    }
    vision = {**_sizes(), "image_size": PRETRAINING_PIXELS, "patch_size": PATCH}
    return BlipConfig(text_config=text, vision_config=vision)


def _sizes() -> dict[str, Any]:
    return {
        "hidden_size": BASE["width"],
        "intermediate_size": BASE["feed_forward"],
        "num_hidden_layers": BASE["layers"],
        "num_attention_heads": BASE["heads"],
    }


def _random(model: Any) -> Any:
    """No parameter stays as a fresh model has it, norms and biases included."""
    generator = torch.Generator().manual_seed(sum(map(ord, type(model).__name__)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


def unwritten(value: Any, where: str) -> Iterator[str]:
    """Keys of a checked config that its file does not write, though their default is a value.

    `inherit_heads` is refused beside another cut than the one that it belongs to.
    """
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if name in value.model_fields_set:
                yield from unwritten(getattr(value, name), f"{where}.{name}")
            elif isinstance(value, ModelSize) and name == "inherit_heads" and value.cut != "inherit":
                continue
            elif field.default is not None and field.default != {}:
                yield f"{where}.{name}"
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from unwritten(part, f"{where}.{key}")


def keys(value: Any) -> Any:
    """The keys at every place; of a list those of its first entry, since the tiny one may be shorter."""
    if isinstance(value, dict):
        return {key: keys(part) for key, part in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None
