"""BLIP on transformers' classes: a ViT and BERT with cross-attention, as captioner, answerer and matcher.

Source: Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training". What differs from transformers:
- logits are aligned with the labels (teacher forcing, the decoder starts from BOS and the prompt), so that
  `logits[:, i]` predicts `labels[:, i]` as for VL-T5, and labels of -100 are allowed;
- attention runs under SDPA, and cross-attention respects the question's mask: transformers 5.17-5.24 pass
  it on under a name that the attention does not read, so padded question tokens were attended.
Axes: B batch, S image side, P patches and the class token, T source tokens, L target tokens, V vocabulary,
A candidate answers, d width, F projection size.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false
# pyright: reportOperatorIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# (transformers' modules are typed as Tensor | Module, and our forward passes take other arguments on purpose)

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.models.blip.configuration_blip import BlipConfig
from transformers.models.blip.modeling_blip import (
    BlipAttention,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel, BlipTextSelfAttention

from amad_bench.models.attention.capture import capture
from amad_bench.models.blip.ranking import groups_of_answers, summed_loss

RANKED_LOGITS = 2**27  # numbers that ranking answers holds at once: half a GiB


class SdpaVisionAttention(BlipAttention):
    """BlipAttention with the same parameters, computed by SDPA."""

    def forward(self, hidden_states: Tensor, **_kwargs: Any) -> tuple[Tensor, None]:
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(hidden_states).chunk(3, dim=-1)
        )
        capture(self, query, key, value, scale=self.scale)
        dropout = self.dropout.p if self.training else 0.0
        context = scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=self.scale)
        return self.projection(context.transpose(1, 2).flatten(2)), None


class SdpaTextAttention(BlipTextSelfAttention):
    """BlipTextSelfAttention with the same parameters, computed by SDPA, its mask always respected.

    Where `hidden_states` has several times the rows of `encoder_hidden_states`, so many in a row cross-attend
    to one row of these; their mask then has four axes.
    """

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Any = None,  # transformers 5.17-5.23
        cache: Any = None,  # the same from 5.24 on; no **kwargs: under its next name it would be lost
    ) -> tuple[Tensor, None]:
        crosses = encoder_hidden_states is not None
        cache = past_key_values if cache is None else cache
        mask = encoder_attention_mask if encoder_attention_mask is not None else attention_mask
        query = self._heads(self.query(hidden_states))
        own = cache
        if isinstance(cache, EncoderDecoderCache):
            own = cache.cross_attention_cache if crosses else cache.self_attention_cache
        if crosses and cache is not None and cache.is_updated.get(self.layer_idx):
            key, value = own.layers[self.layer_idx].keys, own.layers[self.layer_idx].values
        else:
            source = encoder_hidden_states if crosses else hidden_states
            key, value = self._heads(self.key(source)), self._heads(self.value(source))
            if own is not None:
                key, value = own.update(key, value, self.layer_idx)
                if crosses:
                    cache.is_updated[self.layer_idx] = True
        dropout = self.dropout.p if self.training else 0.0
        texts = len(query) // len(key)
        if texts > 1:  # several texts for each source, whose keys they share: as one long text
            query = query.unflatten(0, (-1, texts)).transpose(1, 2).flatten(2, 3)
        elif cache is None:  # a whole pass: neither that of ranked answers nor a step of a generation
            capture(self, query, key, value, mask=mask)
        context = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        if texts > 1:
            context = context.unflatten(2, (texts, -1)).transpose(1, 2).flatten(0, 1)
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
        """Logits (B, L, V), no loss; `pixel_values` (B, 3, S, S), `input_ids` (B, T): the prompt."""
        image_BPd = self.vision_model(pixel_values).last_hidden_state
        logits = teacher_forced(self.text_decoder, input_ids, labels, encoder_hidden_states=image_BPd)
        return Seq2SeqLMOutput(logits=logits, encoder_last_hidden_state=image_BPd)

    @torch.no_grad()
    def generate(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, **generation_options: Any
    ) -> Tensor:
        """Token ids (B, L) of the captions, without the prompt."""
        image_BPd = self.vision_model(pixel_values).last_hidden_state
        return _generate(self.text_decoder, input_ids, encoder_hidden_states=image_BPd, **generation_options)


class BlipAnswerer(BlipForQuestionAnswering):
    """BLIP VQA: ViT, a BERT question encoder that attends to the image, a BERT decoder of the answer.

    The decoder attends to the question's states: its keys and values read the text side's width, where
    transformers gives them the image's, with which a BLIP of two widths cannot run (docs/methods.md#blip-9).
    """

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        text = config.text_config
        if text.hidden_size != config.vision_config.hidden_size:
            decoder = deepcopy(text)
            decoder.encoder_hidden_size = text.hidden_size
            self.text_decoder = BlipTextLMHeadModel(decoder)
        use_sdpa(self)

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
    ) -> Seq2SeqLMOutput:
        """Logits (B, L, V), no loss; `pixel_values` (B, 3, S, S), question `input_ids` and mask (B, T)."""
        question_BTd = self._question(pixel_values, input_ids, attention_mask)
        logits = teacher_forced(
            self.text_decoder,
            input_ids[:, :0],
            labels,
            encoder_hidden_states=question_BTd,
            encoder_attention_mask=open_keys(attention_mask),
        )
        return Seq2SeqLMOutput(logits=logits, encoder_last_hidden_state=question_BTd)

    def _question(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        image_BPd = self.vision_model(pixel_values).last_hidden_state
        return self.text_encoder(
            input_ids=input_ids, attention_mask=open_keys(attention_mask), encoder_hidden_states=image_BPd
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

    @torch.no_grad()
    def rank(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, answer_ids_AL: Tensor, k: int
    ) -> Tensor:
        """Row (B,) of `answer_ids_AL` that answers each question best; its rows end with EOS, then padding.

        The k answers with the most probable first token (of equal ones, the first rows), and of these the one
        whose tokens have the greatest summed log-probability: `rank_answer` of salesforce/BLIP blip_vqa.py,
        which however smooths the labels with .1 there as in training. Answers go through the decoder the
        shortest first, in groups whose logits are at most RANKED_LOGITS numbers, each as long as its longest.
        """
        labels_AL = answer_ids_AL.masked_fill(answer_ids_AL == self.config.text_config.pad_token_id, -100)
        question_BTd = self._question(pixel_values, input_ids, attention_mask)
        mask_B11T = open_keys(attention_mask)

        def logits(questions: slice, labels_NL: Tensor) -> Tensor:
            """N: so many answers to the first question, so many to the next ..."""
            return teacher_forced(
                self.text_decoder,
                labels_NL[:, :0],
                labels_NL,
                encoder_hidden_states=question_BTd[questions],
                encoder_attention_mask=mask_B11T[questions],
            ).float()

        first_BV = logits(slice(None), labels_AL[:1, :1].expand(len(input_ids), 1))[:, 0]
        best_Bk = first_BV[:, labels_AL[:, 0]].sort(dim=1, descending=True, stable=True).indices[:, :k]
        lengths_Bk, places_Bk = labels_AL.ne(-100).sum(dim=1)[best_Bk].sort(dim=1)
        answers_Bk = best_Bk.gather(1, places_Bk)
        loss_Bk = question_BTd.new_empty(best_Bk.shape, dtype=torch.float32)
        for questions, answers, longest in groups_of_answers(lengths_Bk, RANKED_LOGITS // first_BV.shape[1]):
            labels_NL = labels_AL[answers_Bk[questions, answers].flatten(), :longest]
            loss_N = summed_loss(logits(questions, labels_NL), labels_NL)
            loss_Bk[questions, answers] = loss_N.view_as(loss_Bk[questions, answers])
        # of equally good ones the one with the more probable first token
        winner_B1 = torch.empty_like(loss_Bk).scatter_(1, places_Bk, loss_Bk).argmin(dim=1, keepdim=True)
        return best_Bk.gather(1, winner_B1)[:, 0]


class BlipMatcher(BlipForImageTextRetrieval):
    """BLIP retrieval: do an image and a text belong together, by encoders apart or by a joint one."""

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        use_sdpa(self)

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Matching logits (B, 2), no and yes, of image b and text b; `input_ids` (B, T)."""
        return self.match(self.vision_model(pixel_values).last_hidden_state, input_ids, attention_mask)

    def similarity(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Cosines (images, texts), all with all: a cheap first choice whose best `forward` then compares."""
        image_BF = self.image_feature(self.vision_model(pixel_values).last_hidden_state)
        return image_BF @ self.text_feature(input_ids, attention_mask).T

    def match(self, image_BPd: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Output of `forward` for images that went through the vision model."""
        text_BTd = self.text_encoder(
            input_ids=input_ids, attention_mask=open_keys(attention_mask), encoder_hidden_states=image_BPd
        ).last_hidden_state
        return self.itm_head(text_BTd[:, 0])

    def image_feature(self, image_BPd: Tensor) -> Tensor:
        """The projected class token (B, F), of length 1."""
        return normalize(self.vision_proj(image_BPd[:, 0]), dim=-1)

    def text_feature(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The projected first token (B, F), of length 1, of texts that see no image."""
        text_BTd = self.text_encoder(
            input_ids=input_ids, attention_mask=open_keys(attention_mask)
        ).last_hidden_state
        return normalize(self.text_proj(text_BTd[:, 0]), dim=-1)


def open_keys(mask_BT: Tensor) -> Tensor:
    """Bool (B, 1, 1, T). Of a mask (B, T) transformers asks if it masks anything, and waits for a GPU."""
    return mask_BT.bool()[:, None, None, :]


def _after_bos(decoder: nn.Module, prompt_BT: Tensor) -> Tensor:
    """Start of a decoder's text: BOS and the prompt, which may be empty."""
    bos_B1 = prompt_BT.new_full((len(prompt_BT), 1), decoder.config.bos_token_id)
    return torch.cat([bos_B1, prompt_BT], dim=1)


def teacher_forced(decoder: nn.Module, prompt_BT: Tensor, labels_BL: Tensor, **encoded: Tensor) -> Tensor:
    """Logits (B, L, V) of the labels, which follow BOS and the prompt; -100 is no input and no key."""
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
        eos_token_id=decoder.config.sep_token_id,  # as in transformers: published configs have a wrong eos
        pad_token_id=decoder.config.pad_token_id,
        **options,
    )
    return ids[:, start.shape[1] :]
