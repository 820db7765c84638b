"""Tiny models of transformers, with weights large enough for maps that differ, and a batch with padding."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

VOCABULARY = 40
SPREAD = 0.3  # of initial weights: with transformers' own, all maps are nearly uniform


def llama(heads: int, key_heads: int, seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    """A causal language model; its key heads are shared among its query heads."""
    sizes: dict[str, Any] = {"vocab_size": VOCABULARY, "num_hidden_layers": 2, "intermediate_size": 32}
    torch.manual_seed(seed)
    config = LlamaConfig(
        initializer_range=SPREAD,
        hidden_size=4 * heads,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        pad_token_id=0,
        **(sizes | changes),
    )
    return LlamaForCausalLM(config).eval()


def bert(heads: int, seed: int = 0, head: Any = BertForMaskedLM, **changes: Any) -> Any:
    sizes: dict[str, Any] = {"hidden_size": 4 * heads, "vocab_size": VOCABULARY, "num_hidden_layers": 2}
    sizes |= {"intermediate_size": 32, "initializer_range": SPREAD}
    torch.manual_seed(seed)
    config = BertConfig(num_attention_heads=heads, **(sizes | changes))
    return head(config).eval()


def t5(heads: int, seed: int = 0) -> T5ForConditionalGeneration:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "vocab_size": VOCABULARY}
    return T5ForConditionalGeneration(T5Config(num_heads=heads, decoder_start_token_id=0, **sizes)).eval()


def classifier(heads: int, seed: int = 0, **changes: Any) -> Any:
    return bert(heads, seed, BertForSequenceClassification, num_labels=3, **changes)


def batch(rows: int = 3, tokens: int = 6, seed: int = 0) -> dict[str, Tensor]:
    """Token ids whose second row ends in two of padding; labels are the ids, -100 where padding is."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, VOCABULARY, (rows, tokens), generator=generator)
    ids[1, -2:] = 0
    mask = ids.ne(0).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}
