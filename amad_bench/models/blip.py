"""BLIP on transformers' classes: a ViT and BERT with cross-attention, as captioner and as question answerer.

Source: Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training". What differs from transformers:
- logits are aligned with the labels (teacher forcing, the decoder starts from BOS and the prompt), so that
  `logits[:, i]` predicts `labels[:, i]` as for VL-T5, and labels of -100 are allowed;
- attention runs under SDPA, and cross-attention respects the question's mask: transformers 5.10-5.23 pass
  it on under a name that the attention does not read, so padded question tokens were attended.
Axes: B batch, S image side, T source tokens, L target tokens, V vocabulary.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false
# pyright: reportOperatorIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# (transformers' modules are typed as Tensor | Module, and our forward passes take other arguments on purpose)

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.models.blip.configuration_blip import BlipConfig
from transformers.models.blip.modeling_blip import (
    BlipAttention,
    BlipForConditionalGeneration,
    BlipForQuestionAnswering,
)
from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention


class SdpaVisionAttention(BlipAttention):
    """BlipAttention with the same parameters, computed by SDPA."""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> tuple[Tensor, None]:
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(hidden_states).chunk(3, dim=-1)
        )
        dropout = self.dropout.p if self.training else 0.0
        context = scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=self.scale)
        return self.projection(context.transpose(1, 2).flatten(2)), None


class SdpaTextAttention(BlipTextSelfAttention):
    """BlipTextSelfAttention with the same parameters, computed by SDPA, its mask always respected."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        crosses = encoder_hidden_states is not None
        mask = encoder_attention_mask if encoder_attention_mask is not None else attention_mask
        query = self._heads(self.query(hidden_states))
        cache = past_key_values
        if isinstance(past_key_values, EncoderDecoderCache):
            cache = past_key_values.cross_attention_cache if crosses else past_key_values.self_attention_cache
        if crosses and cache is not None and past_key_values.is_updated.get(self.layer_idx):
            key, value = cache.layers[self.layer_idx].keys, cache.layers[self.layer_idx].values
        else:
            source = encoder_hidden_states if crosses else hidden_states
            key, value = self._heads(self.key(source)), self._heads(self.value(source))
            if cache is not None:
                key, value = cache.update(key, value, self.layer_idx)
                if crosses:
                    past_key_values.is_updated[self.layer_idx] = True
        dropout = self.dropout.p if self.training else 0.0
        context = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return context.transpose(1, 2).flatten(2), None

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)


def use_sdpa(model: nn.Module) -> None:
    """Makes every BLIP attention of `model` compute with SDPA; parameters and their names stay."""
    for module in model.modules():
        if type(module) is BlipAttention:
            module.__class__ = SdpaVisionAttention
        elif type(module) is BlipTextSelfAttention:
            module.__class__ = SdpaTextAttention


class BlipCaptioner(BlipForConditionalGeneration):
    """BLIP captioning: ViT, then a BERT decoder that continues a prompt ("a picture of")."""

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        use_sdpa(self)

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
    ) -> Seq2SeqLMOutput:
        """Loss and logits (B, L, V); `pixel_values` (B, 3, S, S), `input_ids` (B, T): the prompt."""
        image_BPd = self.vision_model(pixel_values).last_hidden_state
        logits = _teacher_forced(self.text_decoder, input_ids, labels, encoder_hidden_states=image_BPd)
        return _output(logits, labels, image_BPd)

    @torch.no_grad()
    def generate(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, **generation_options: Any
    ) -> Tensor:
        """Token ids (B, L) of the captions, without the prompt."""
        image_BPd = self.vision_model(pixel_values).last_hidden_state
        return _generate(self.text_decoder, input_ids, encoder_hidden_states=image_BPd, **generation_options)


class BlipAnswerer(BlipForQuestionAnswering):
    """BLIP VQA: ViT, a BERT question encoder that attends to the image, a BERT decoder of the answer."""

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        use_sdpa(self)

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
    ) -> Seq2SeqLMOutput:
        """Loss and logits (B, L, V); `pixel_values` (B, 3, S, S), question `input_ids` and mask (B, T)."""
        question_BTd = self._question(pixel_values, input_ids, attention_mask)
        logits = _teacher_forced(
            self.text_decoder,
            input_ids[:, :0],
            labels,
            encoder_hidden_states=question_BTd,
            encoder_attention_mask=attention_mask,
        )
        return _output(logits, labels, question_BTd)

    def _question(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        image_BPd = self.vision_model(pixel_values).last_hidden_state
        return self.text_encoder(
            input_ids=input_ids, attention_mask=attention_mask, encoder_hidden_states=image_BPd
        ).last_hidden_state

    @torch.no_grad()
    def generate(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, **generation_options: Any
    ) -> Tensor:
        """Token ids (B, L) of the answers, without the start token."""
        return _generate(
            self.text_decoder,
            input_ids[:, :0],
            encoder_hidden_states=self._question(pixel_values, input_ids, attention_mask),
            encoder_attention_mask=attention_mask,
            **generation_options,
        )


def _after_bos(decoder: nn.Module, prompt_BT: Tensor) -> Tensor:
    """What a decoder starts from: BOS and the prompt, which may be empty."""
    bos_B1 = prompt_BT.new_full((len(prompt_BT), 1), decoder.config.bos_token_id)
    return torch.cat([bos_B1, prompt_BT], dim=1)


def _teacher_forced(decoder: nn.Module, prompt_BT: Tensor, labels_BL: Tensor, **encoded: Tensor) -> Tensor:
    """Logits (B, L, V) of the labels; ignored ones (-100) are no input and no key."""
    ids = torch.cat([_after_bos(decoder, prompt_BT), labels_BL[:, :-1]], dim=1)
    outputs = decoder(
        input_ids=ids.clamp(min=decoder.config.pad_token_id),
        attention_mask=ids.ne(-100).long(),
        use_cache=False,
        **encoded,
    )
    return outputs.logits[:, prompt_BT.shape[1] :]


def _generate(decoder: nn.Module, prompt_BT: Tensor, **options: Any) -> Tensor:
    """Token ids (B, L) that follow BOS and the prompt."""
    start = _after_bos(decoder, prompt_BT)
    ids = decoder.generate(
        input_ids=start,
        attention_mask=torch.ones_like(start),
        eos_token_id=decoder.config.eos_token_id,
        pad_token_id=decoder.config.pad_token_id,
        **options,
    )
    return ids[:, start.shape[1] :]


def _output(logits_BLV: Tensor, labels_BL: Tensor, encoded_BTd: Tensor) -> Seq2SeqLMOutput:
    loss = cross_entropy(logits_BLV.transpose(1, 2), labels_BL, ignore_index=-100)
    return Seq2SeqLMOutput(loss=loss, logits=logits_BLV, encoder_last_hidden_state=encoded_BTd)
