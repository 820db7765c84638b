"""VL-T5 on transformers' T5 blocks: text and image regions in one encoder, a plain T5 decoder.

Source: Cho et al. 2021, "Unifying Vision-and-Language Tasks via Text Generation", and its code, j-min/VL-T5.
Axes: B batch, T text tokens, R regions, K = T + R, H heads, d width.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false
# pyright: reportOperatorIssue=false, reportOptionalMemberAccess=false, reportIncompatibleMethodOverride=false
# (transformers' modules are typed as Tensor | Module, and our forward passes take other arguments on purpose)

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration, T5LayerNorm, T5Stack

from amad_bench.models.vlt5.weights import load_strictly, official_weights


class VLT5Config(T5Config):
    """T5Config plus the official names; `box_area` is "official" (see `box_area` below) or "true"."""

    model_type = "vlt5"

    feat_dim: int = 2048
    pos_dim: int = 4
    n_images: int = 2
    max_n_boxes: int = 36
    use_vis_order_embedding: bool = True
    use_vis_layer_norm: bool = True
    individual_vis_layer_norm: bool = True
    share_vis_lang_layer_norm: bool = True
    box_area: str = "true"


class VisualEmbedding(nn.Module):
    """Region embedding: features + box (with its area) + image order + object order.

    The object-order table IS the text embedding table read backwards: object i is row V-1-i.
    """

    def __init__(self, config: VLT5Config, obj_order_embedding: nn.Embedding):
        super().__init__()
        self.config = config
        individual = config.use_vis_layer_norm and config.individual_vis_layer_norm
        self.feat_embedding = nn.Sequential(nn.Linear(config.feat_dim, config.d_model))
        self.absolute_vis_pos_embedding = nn.Sequential(nn.Linear(config.pos_dim + 1, config.d_model))
        if individual:
            self.feat_embedding.append(T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon))
            self.absolute_vis_pos_embedding.append(T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon))
        elif config.use_vis_layer_norm:
            self.layer_norm = T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        if config.use_vis_order_embedding:
            self.obj_order_embedding = obj_order_embedding
            self.img_order_embedding = nn.Embedding(config.n_images, config.d_model)

    def forward(
        self,
        vis_feats: Tensor,
        boxes: Tensor,
        img_order_ids: Tensor | None = None,
        obj_order_ids: Tensor | None = None,
    ) -> Tensor:
        """(B, R, F) features and (B, R, 4) boxes in [0, 1] to (B, R, d)."""
        area_BR1 = box_area(boxes, self.config.box_area).unsqueeze(-1)
        embedded_BRd = self.feat_embedding(vis_feats) + self.absolute_vis_pos_embedding(
            torch.cat([boxes, area_BR1], -1)
        )
        if self.config.use_vis_order_embedding:
            regions = boxes.shape[1]
            if img_order_ids is None:
                img_order_ids = boxes.new_zeros(1, regions, dtype=torch.long)
            if obj_order_ids is None:
                obj_order_ids = torch.arange(regions, device=boxes.device)[None]
            rows = self.obj_order_embedding.num_embeddings - 1 - obj_order_ids
            embedded_BRd = (
                embedded_BRd + self.img_order_embedding(img_order_ids) + self.obj_order_embedding(rows)
            )
        if self.config.use_vis_layer_norm and not self.config.individual_vis_layer_norm:
            embedded_BRd = self.layer_norm(embedded_BRd)
        return embedded_BRd


def box_area(boxes_BR4: Tensor, convention: str) -> Tensor:
    """Areas (B, R) of (x1, y1, x2, y2) boxes; "official" reads them as (x1, x2, y1, y2): can be negative."""
    x1, y1, x2, y2 = boxes_BR4.unbind(-1)
    if convention == "official":
        return (y2 - x2) * (y1 - x1)
    return (x2 - x1) * (y2 - y1)


def _for_attention(mask_BHQK: Tensor, config: VLT5Config) -> Tensor:
    """A bool mask as the attention takes it: eager attention would add it as 0 and 1."""
    if config._attn_implementation != "eager":
        return mask_BHQK
    smallest = torch.finfo(torch.float32).min
    return torch.zeros(mask_BHQK.shape, device=mask_BHQK.device).masked_fill(~mask_BHQK, smallest)


class JointEncoder(T5Stack):
    """A T5 encoder over text tokens, then regions; the relative bias exists for text-text pairs only."""

    def __init__(self, config: VLT5Config, shared: nn.Embedding):
        super().__init__(config)
        self.embed_tokens = shared
        self.visual_embedding = VisualEmbedding(config, shared)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        vis_feats: Tensor,
        boxes: Tensor,
        vis_attention_mask: Tensor,
        img_order_ids: Tensor | None = None,
        obj_order_ids: Tensor | None = None,
    ) -> BaseModelOutput:
        text_BTd = self.embed_tokens(input_ids)
        regions_BRd = self.visual_embedding(vis_feats, boxes, img_order_ids, obj_order_ids)
        hidden_BKd = self.dropout(torch.cat([text_BTd, regions_BRd], dim=1))
        mask_BHQK = torch.cat([attention_mask, vis_attention_mask], dim=1).bool()[:, None, None, :]
        text, joint = input_ids.shape[1], hidden_BKd.shape[1]
        attention = self.block[0].layer[0].SelfAttention
        bias_BHQK = hidden_BKd.new_zeros(1, attention.n_heads, joint, joint)
        bias_BHQK[:, :, :text, :text] = attention.compute_bias(text, text, device=hidden_BKd.device)
        mask_BHQK = _for_attention(mask_BHQK, self.config)
        for block in self.block:
            hidden_BKd = block(hidden_BKd, attention_mask=mask_BHQK, position_bias=bias_BHQK)[0]
        return BaseModelOutput(last_hidden_state=self.dropout(self.final_layer_norm(hidden_BKd)))


class VLT5(T5ForConditionalGeneration):
    """VL-T5: answers, captions and translations as text from a text prompt and image regions.

    gives_loss: whether labels give a loss, too; a training that takes its own of the logits sets it to False.
    """

    config_class = VLT5Config
    gives_loss = True

    def __init__(self, config: VLT5Config):
        super().__init__(config)
        self.encoder = JointEncoder(self.encoder.config, self.shared)
        if config.use_vis_order_embedding:  # for transformers' save_pretrained and from_pretrained
            table = "encoder.visual_embedding.obj_order_embedding.weight"
            self._tied_weights_keys = {**self._tied_weights_keys, table: "shared.weight"}
        self.post_init()
        # transformers skips, in classes from outside its package, each module without parameters of its own:
        # without this line T5's attention keeps the standard deviation 1 of a bare linear layer.
        self.encoder.apply(self._init_weights)

    @classmethod
    def from_official(cls, path: Path, config: VLT5Config) -> "VLT5":
        """A checkpoint of the official code: .pth, or the same names in .npz or .safetensors.

        For equal outputs the config needs `box_area="official"`, and for the published checkpoint a
        vocabulary of 32200: T5's 32100 words, then 100 object tokens. UserError: each missing or unexpected
        name, a wrong shape or head count, a broken file.
        """
        model = cls(config)
        load_strictly(model, official_weights(path))
        return model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VisualEmbedding):
            # like T5: linear layers by their fan-in, the image-order table with spread 1
            std = self.config.initializer_factor * 1.0
            linears = [module.feat_embedding[0], module.absolute_vis_pos_embedding[0]]
            for linear in linears:
                nn.init.normal_(linear.weight, std=std * linear.in_features**-0.5)
                nn.init.zeros_(linear.bias)
            if self.config.use_vis_order_embedding:
                nn.init.normal_(module.img_order_embedding.weight, std=std)

    def forward(
        self,
        input_ids: Tensor | None = None,
        vis_feats: Tensor | None = None,
        boxes: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        vis_attention_mask: Tensor | None = None,
        img_order_ids: Tensor | None = None,
        obj_order_ids: Tensor | None = None,
        labels: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        **decoder_options: Any,
    ) -> Seq2SeqLMOutput:
        """Loss (mean over labels that are not -100), logits (B, L, V), last encoder states (B, K, d).

        `input_ids` (B, T), `vis_feats` (B, R, F), `boxes` (B, R, 4) in [0, 1]; the text mask defaults to
        `input_ids != pad`; labels (B, L): -100 is none, they become what the decoder reads. With
        `encoder_outputs` (generation), `attention_mask` is the joint one (B, K).
        """
        if encoder_outputs is None:
            encoder_outputs, attention_mask = self.encode(
                input_ids, vis_feats, boxes, attention_mask, vis_attention_mask, img_order_ids, obj_order_ids
            )
        if labels is not None:
            decoder_options = {
                "decoder_input_ids": self._shift_right(labels),
                "use_cache": False,
                **decoder_options,
            }
            # transformers takes a mask of four axes as it is; it would look whether a smaller one masks at
            # all, for which a GPU must have come to its end.
            attention_mask = _for_attention(attention_mask.bool()[:, None, None, :], self.config)
            length = labels.shape[1]
            causal_QK = torch.ones(length, length, dtype=torch.bool, device=labels.device).tril()
            decoder_options.setdefault(
                "decoder_attention_mask", _for_attention(causal_QK[None, None], self.config)
            )
        return super().forward(
            attention_mask=attention_mask,
            encoder_outputs=encoder_outputs,
            labels=labels if self.gives_loss else None,
            **decoder_options,
        )

    def encode(
        self,
        input_ids: Tensor | None,
        vis_feats: Tensor | None,
        boxes: Tensor | None,
        attention_mask: Tensor | None = None,
        vis_attention_mask: Tensor | None = None,
        img_order_ids: Tensor | None = None,
        obj_order_ids: Tensor | None = None,
    ) -> tuple[BaseModelOutput, Tensor]:
        """Encoder states (B, K, d) and their joint key mask (B, K)."""
        if input_ids is None or vis_feats is None or boxes is None:
            raise ValueError("VLT5 needs input_ids, vis_feats and boxes")
        if attention_mask is None:
            attention_mask = input_ids.ne(self.config.pad_token_id).long()
        if vis_attention_mask is None:
            vis_attention_mask = attention_mask.new_ones(boxes.shape[:2])
        outputs = self.encoder(
            input_ids, attention_mask, vis_feats, boxes, vis_attention_mask, img_order_ids, obj_order_ids
        )
        return outputs, torch.cat([attention_mask, vis_attention_mask], dim=1)

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        vis_feats: Tensor,
        boxes: Tensor,
        *,
        attention_mask: Tensor | None = None,
        vis_attention_mask: Tensor | None = None,
        img_order_ids: Tensor | None = None,
        obj_order_ids: Tensor | None = None,
        **generation_options: Any,
    ) -> Tensor:
        """Token ids (B, L), beginning with the decoder's start token; options are transformers' own."""
        outputs, joint_mask_BK = self.encode(
            input_ids, vis_feats, boxes, attention_mask, vis_attention_mask, img_order_ids, obj_order_ids
        )
        return super().generate(encoder_outputs=outputs, attention_mask=joint_mask_BK, **generation_options)
