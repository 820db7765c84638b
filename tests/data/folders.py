"""Tiny local Hugging Face folders: tokenizers and vision models with random weights."""

import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

WORDPIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "run", "##s", "the", "cat", "what"]
WORDPIECES += ["is", "?", ",", "."]
SENTENCES = [
    "a dog runs over the green grass .",
    "two cats sleep near a red ball",
    "what color is the small star?",
    "Ein Hund läuft über die Straße.",
]
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]


def bert_folder(folder: Path) -> None:
    """vocab.txt and the kind of model, as BERT's checkpoints have them."""
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDPIECES) + "\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))


def t5_folder(folder: Path, pieces: int = 60, **options: Any) -> None:
    """spiece.model with T5's special ids: pad 0, eos 1, unk 2, no bos. options: of the trainer."""
    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(  # pyright: ignore[reportAttributeAccessIssue]
        sentence_iterator=iter(SENTENCES * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=pieces,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        **options,
        minloglevel=2,
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))


def vit_folder(folder: Path) -> None:
    """32 px images in 8 px patches: CLS and 4 x 4 tokens of 16 numbers."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(folder)
    _processor().save_pretrained(folder)


def resnet_folder(folder: Path) -> None:
    """A convolutional network with a map of 12 channels, one eighth of the image's size."""
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    _processor().save_pretrained(folder)


def _processor() -> ViTImageProcessorPil:
    return ViTImageProcessorPil(size={"height": 32, "width": 32}, image_mean=MEAN, image_std=STD)
