"""Objectives of BLIP's pre-training: masked words for text alone, or contrast, matching and captions.

Source: Li et al. 2022 and salesforce/BLIP, models/blip_pretrain.py (and blip_retrieval.py for captions of one
image). What differs from it:
- no queue: what a batch contrasts with is the batch; captions of one image are all right for it;
- momentum encoders exist only where momentum distillation is asked for (the official code always has them);
  its share of the targets then rises to .4 over 1,000 steps (officially two epochs), in training only;
- one start token begins every encoder text (officially [CLS] for the contrast and [ENC] for the matching);
- in evaluation mode the hardest negatives are taken instead of drawn, so that a loss is no random number.
Axes: B batch, T text tokens, P patches and the class token, d width, F projection size, S image side.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportOperatorIssue=false, reportOptionalMemberAccess=false
# (transformers' modules are typed as Tensor | Module)

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.models.blip.configuration_blip import BlipConfig
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel, BlipTextModel

from amad_bench.models.blip.model import BlipMatcher, open_keys, teacher_forced, use_sdpa

LABEL_SMOOTHING = 0.1  # of the captions, in the official code
TEMPERATURE, COLDEST, WARMEST = 0.07, 0.001, 0.5
LEAST_CHANCE = 1e-4  # of every negative, added to its softmax
MOMENTUM = 0.995
SOFT_TARGETS, RAMP = 0.4, 1000
SHARED = ("crossattention", "intermediate", "output")  # of a layer: all but the self-attention

Losses = tuple[Tensor, dict[str, Tensor]]


class BlipMlm(nn.Module):
    """BERT's masked words for the text side of BLIP: a text encoder that sees no image, and an LM head."""

    def __init__(self, config: BlipConfig):
        super().__init__()
        text_config = deepcopy(config.text_config)
        text_config.is_decoder = False  # no cross-attention
        self.text = BlipTextLMHeadModel(text_config)
        use_sdpa(self)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Losses:
        """Mean cross-entropy over the labels that are not -100, at their own places; all arguments (B, T).

        It is 0 for a batch without a masked word.
        """
        mask_B11T = open_keys(attention_mask)
        logits_BTV = self.text(input_ids, attention_mask=mask_B11T, is_decoder=False).logits
        # flat: cross-entropy of three axes has no deterministic kernel on CUDA
        flat = logits_BTV.flatten(0, 1).float(), labels.flatten()
        summed = cross_entropy(*flat, ignore_index=-100, reduction="sum")
        loss = summed / labels.ne(-100).sum().clamp(min=1)
        return loss, {"mlm": loss}

    def shares(self, arguments: dict[str, Tensor], part: slice) -> tuple[float, dict[str, float]]:
        """Shares of a part of a batch in its loss and its scalar; arguments: on the host."""
        masked_BL = arguments["labels"].ne(-100)
        share = int(masked_BL[part].sum()) / max(1, int(masked_BL.sum()))
        return share, {"mlm": share}

    def task_weights(self) -> dict[str, Tensor]:
        """By the names of BlipAnswerer: the same for text encoder and decoder, without cross-attention."""
        tensors = _stored(self.text, "text_decoder.")
        bert = {name: tensor for name, tensor in tensors.items() if name.startswith("text_decoder.bert.")}
        return tensors | {
            name.replace("text_decoder.bert.", "text_encoder."): tensor.clone()
            for name, tensor in bert.items()
        }


class BlipVisionLanguage(nn.Module):
    """BLIP's joint pre-training: image-text contrast and matching with hard negatives, and captions.

    It has no `shares`: each sample is compared with all others of its batch, which cannot be cut into parts.
    Text encoder and decoder share everything but their self-attention (its output projection included).
    """

    on_host = ("image_ids",)

    def __init__(self, config: BlipConfig, momentum_distillation: bool = False):
        super().__init__()
        self.matcher = BlipMatcher(config)
        self.text_decoder = BlipTextLMHeadModel(config.text_config)
        use_sdpa(self.text_decoder)
        _share(self.matcher.text_encoder, self.text_decoder.bert)
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE))
        self.momentum_matcher = None
        if momentum_distillation:
            self.momentum_matcher = deepcopy(self.matcher).requires_grad_(False)
            self.register_buffer("step", torch.tensor(0))

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, image_ids: Tensor
    ) -> Losses:
        """The sum of the three losses, and each: "itc", "itm", "lm".

        pixel_values (B, 3, S, S); input_ids (B, T) are start, text, EOS, padding; image_ids (B,): of one
        image, all captions are right; on the host, where a look costs nothing. A batch of one image only has
        no negatives: itm is then the positives'.
        """
        with torch.no_grad():
            self.temperature.clamp_(COLDEST, WARMEST)
        image_BPd = self.matcher.vision_model(pixel_values).last_hidden_state
        same_BB = image_ids[:, None] == image_ids[None, :]
        one_image = bool(same_BB.all())
        same_BB = same_BB.to(image_BPd.device, non_blocking=True)
        right_BB = same_BB / same_BB.sum(dim=1, keepdim=True)
        fast = self.matcher.image_feature(image_BPd), self.matcher.text_feature(input_ids, attention_mask)
        if self.momentum_matcher is None:
            other, for_images_BB, for_texts_BB = fast, right_BB, right_BB
        else:
            other = self._momentum_features(pixel_values, input_ids, attention_mask)
            share = SOFT_TARGETS * (self.step / RAMP).clamp(max=1.0)
            for_images_BB, for_texts_BB = (
                torch.lerp(right_BB, self._similarity(*pair).detach().softmax(dim=1), share)
                for pair in (other, other[::-1])
            )
        of_images_BB, of_texts_BB = self._similarity(fast[0], other[1]), self._similarity(fast[1], other[0])
        itc = (cross_entropy(of_images_BB, for_images_BB) + cross_entropy(of_texts_BB, for_texts_BB)) / 2
        own_B = torch.arange(len(same_BB), device=same_BB.device)
        image_N, text_N = (own_B, own_B) if one_image else self._pairs(of_images_BB, of_texts_BB, same_BB)
        logits_N2 = self.matcher.match(image_BPd[image_N], input_ids[text_N], attention_mask[text_N])
        match_N = (torch.arange(len(image_N), device=image_N.device) < len(image_ids)).long()
        itm = cross_entropy(logits_N2.float(), match_N)
        lm = self._captions(image_BPd, input_ids, attention_mask)
        return itc + itm + lm, {"itc": itc, "itm": itm, "lm": lm}

    def _similarity(self, one_BF: Tensor, other_BF: Tensor) -> Tensor:
        with torch.autocast(one_BF.device.type, enabled=False):
            return one_BF.float() @ other_BF.float().T / self.temperature

    def _pairs(self, of_images_BB: Tensor, of_texts_BB: Tensor, same_BB: Tensor) -> tuple[Tensor, Tensor]:
        """Images and texts to match (N,): the B right pairs, each text with a wrong image, each image with a
        wrong text."""
        own_B = torch.arange(len(same_BB), device=same_BB.device)
        wrong_image_B = self._negatives(of_texts_BB, same_BB)
        wrong_text_B = self._negatives(of_images_BB, same_BB)
        return torch.cat([own_B, wrong_image_B, own_B]), torch.cat([own_B, own_B, wrong_text_B])

    @torch.no_grad()
    def _negatives(self, similarity_BB: Tensor, same_BB: Tensor) -> Tensor:
        """A column (B,) of another image for each row: by the softmax of the similarity, or the greatest."""
        # Drawing by NaN is an assertion on a GPU that no process survives: the loss shows what diverged.
        chance_BB = similarity_BB.softmax(dim=1).nan_to_num(0.0)
        chance_BB = chance_BB.add(LEAST_CHANCE).masked_fill(same_BB, 0.0)
        return chance_BB.multinomial(1)[:, 0] if self.training else chance_BB.argmax(dim=1)

    def _captions(self, image_BPd: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Cross-entropy of every token but the first, in whose place the decoder has BOS."""
        labels_BL = input_ids[:, 1:].masked_fill(attention_mask[:, 1:] == 0, -100)
        logits_BLV = teacher_forced(
            self.text_decoder, input_ids[:, :0], labels_BL, encoder_hidden_states=image_BPd
        )
        flat = logits_BLV.flatten(0, 1).float(), labels_BL.flatten()
        return cross_entropy(*flat, ignore_index=-100, label_smoothing=LABEL_SMOOTHING)

    @torch.no_grad()
    def _momentum_features(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Image and text features (B, F) of the momentum encoders, which a training step moves on first."""
        slow = self.momentum_matcher
        if self.training:
            self.step += 1
            for name, parameter in slow.named_parameters():
                parameter.lerp_(self.matcher.get_parameter(name), 1 - MOMENTUM)
        image_BPd = slow.vision_model(pixel_values).last_hidden_state
        return slow.image_feature(image_BPd), slow.text_feature(input_ids, attention_mask)

    def task_weights(self) -> dict[str, Tensor]:
        """Vision model, text encoder and text decoder by the names of BlipAnswerer; nothing is shared."""
        return (
            _stored(self.matcher.vision_model, "vision_model.")
            | _stored(self.matcher.text_encoder, "text_encoder.")
            | _stored(self.text_decoder, "text_decoder.")
        )


def _share(encoder: BlipTextModel, decoder: BlipTextModel) -> None:
    """The decoder's embeddings and layers become the encoder's too, but for the self-attention."""
    encoder.embeddings = decoder.embeddings
    for own, shared in zip(encoder.encoder.layer, decoder.encoder.layer, strict=True):
        for name in SHARED:
            setattr(own, name, getattr(shared, name))


def _stored(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Copies of a module's tensors, without an LM head's second names of embeddings and bias."""
    return {
        f"{prefix}{name}": tensor.detach().clone()
        for name, tensor in module.state_dict().items()
        if not name.startswith("cls.predictions.decoder.")
    }
