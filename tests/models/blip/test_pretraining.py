"""BLIP's pre-training: each loss against its formula in float64, what is shared, what it hands on."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from amad_bench.models.blip.model import BlipAnswerer, BlipCaptioner, BlipMatcher
from amad_bench.models.blip.pretraining import BlipMlm, BlipVisionLanguage
from amad_bench.plan.config.training import Training
from amad_bench.training.optim import Updates
from tests.tiny_models import VOCABULARY, tiny_batch, tiny_model

PAD, EOS, BOS, START = 0, 1, 3, 2
SELF_ATTENTION = ".attention."


def config(kind: str = "blip-vqa", dropout: float = 0.0):
    return tiny_model(kind, dropout=dropout).config


def spread_out(model: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2, generator=generator)
    return model


def captions(images: list[int], seed: int = 0) -> dict[str, Tensor]:
    """One caption per entry: start, 2 to 5 words, EOS, padding; captions of one image see the same pixels."""
    generator = torch.Generator().manual_seed(seed)
    size = len(images)
    ids = torch.randint(4, VOCABULARY, (size, 7), generator=generator)
    lengths = torch.randint(2, 6, (size,), generator=generator)
    ids[:, 0] = START
    ids[torch.arange(size), lengths + 1] = EOS
    ids.masked_fill_(torch.arange(7) > lengths[:, None] + 1, PAD)
    pixels = torch.randn(max(images) + 1, 3, 16, 16, generator=generator)
    return {
        "pixel_values": pixels[images],
        "input_ids": ids,
        "attention_mask": ids.ne(PAD).long(),
        "image_ids": torch.tensor(images) + 1000,
    }


@pytest.fixture
def model() -> BlipVisionLanguage:
    torch.manual_seed(0)
    model = spread_out(BlipVisionLanguage(config()))
    assert isinstance(model, BlipVisionLanguage)
    return model


def features(matcher: BlipMatcher, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Projected first tokens of images and texts, of length 1, in float64."""
    image = matcher.vision_proj(matcher.vision_model(batch["pixel_values"]).last_hidden_state[:, 0]).double()
    text = matcher.text_encoder(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    text = matcher.text_proj(text[:, 0]).double()
    return image / image.norm(dim=1, keepdim=True), text / text.norm(dim=1, keepdim=True)


def naive_contrast(rows: Tensor, columns: Tensor, targets: list[list[float]], temperature: float) -> float:
    """Mean over rows of the cross-entropy between the targets and the softmax over columns."""
    total = 0.0
    for row, shares in zip(rows, targets, strict=True):
        scores = torch.stack([(row * column).sum() / temperature for column in columns])
        total -= sum(
            share * (score - scores.exp().sum().log()) for share, score in zip(shares, scores, strict=True)
        )
    return float(total) / len(rows)


@torch.no_grad()
@pytest.mark.parametrize("images", [[0, 1, 2, 3], [0, 1, 0, 0], [0, 0]])
def test_the_contrast_has_all_captions_of_an_image_as_targets(model, images):
    batch = captions(images)
    image, text = features(model.matcher, batch)
    shares = [[float(a == b) / images.count(a) for b in images] for a in images]
    expected = (naive_contrast(image, text, shares, 0.07) + naive_contrast(text, image, shares, 0.07)) / 2
    _, parts = model.eval()(**batch)
    assert parts["itc"].item() == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_the_loss_is_the_sum_of_its_parts(model):
    loss, parts = model.eval()(**captions([0, 1, 2]))
    assert list(parts) == ["itc", "itm", "lm"]
    torch.testing.assert_close(loss, sum(parts.values()))


def test_the_temperature_is_learnt_within_bounds(model):
    batch = captions([0, 1, 2])
    model(**batch)[1]["itc"].backward()
    assert model.temperature.grad.abs() > 0
    with torch.no_grad():
        model.temperature.fill_(3.0)
    model(**batch)
    assert model.temperature.item() == 0.5
    with torch.no_grad():
        model.temperature.fill_(-1.0)
    model(**batch)
    assert model.temperature.item() == pytest.approx(0.001)


def matched_pairs(model: BlipVisionLanguage, batch: dict[str, Tensor]) -> list[tuple[int, int]]:
    """(image's row, text's row) of each pair that the matching head saw, found by their content."""
    seen: list[tuple[int, int]] = []
    images = model.matcher.vision_model(batch["pixel_values"]).last_hidden_state
    original = model.matcher.match

    def watched(image, ids, mask):
        for one, text, kept in zip(image, ids, mask, strict=True):
            row = next(i for i, candidate in enumerate(batch["input_ids"]) if torch.equal(candidate, text))
            assert torch.equal(kept, batch["attention_mask"][row])
            distance = [(one - candidate).abs().max().item() for candidate in images]
            seen.append((distance.index(min(distance)), row))
        return original(image, ids, mask)

    model.matcher.match = watched
    try:
        model(**batch)
    finally:
        del model.matcher.match
    return seen


@torch.no_grad()
def test_negatives_are_of_other_images(model):
    """Right pairs first; then each text with a wrong image, and each image with a wrong text."""
    images = [0, 1, 0, 2, 1, 0]
    batch = captions(images)
    torch.manual_seed(3)
    drawn = set()
    for _ in range(30):
        pairs = matched_pairs(model.train(), batch)
        assert len(pairs) == 18
        assert [(images[i], text) for i, text in pairs[:6]] == [(images[text], text) for text in range(6)]
        assert [text for _, text in pairs[6:12]] == list(range(6))
        assert [images[i] for i, _ in pairs[12:]] == images
        for image, text in pairs[6:]:
            assert images[image] != images[text]
        drawn.add(tuple(pairs[6:]))
    assert len(drawn) > 1


@torch.no_grad()
def test_negatives_are_drawn_by_their_similarity(model):
    """Shares of 4,000 draws against softmax + 1e-4, of the columns of other images only."""
    similarity = torch.tensor([[3.0, 1.0, 0.0, 2.0], [0.0, 9.0, 1.0, 1.0]]).repeat_interleave(4000, dim=0)
    same = torch.tensor([[True, False, False, False], [False, True, False, True]]).repeat_interleave(
        4000, dim=0
    )
    torch.manual_seed(0)
    drawn = model.train()._negatives(similarity, same).view(2, 4000)
    for row, (scores, hidden) in enumerate(zip(similarity[::4000], same[::4000], strict=True)):
        weights = [0.0 if h else float(s) + 1e-4 for s, h in zip(scores.softmax(0), hidden, strict=True)]
        for column, weight in enumerate(weights):
            share = (drawn[row] == column).float().mean().item()
            assert share == pytest.approx(weight / sum(weights), abs=0.03)
            assert weight > 0 or share == 0


@torch.no_grad()
def test_evaluation_takes_the_hardest_negatives_and_draws_nothing(model):
    images = [0, 1, 2, 0, 3, 4, 1, 5]
    batch = captions(images)
    image, text = features(model.matcher, batch)
    cosines = image @ text.T
    state = torch.get_rng_state()
    pairs = matched_pairs(model.eval(), batch)
    assert torch.equal(torch.get_rng_state(), state)
    for row in range(8):
        others = [i for i in range(8) if images[i] != images[row]]
        assert images[pairs[8 + row][0]] == images[max(others, key=lambda i: cosines[i, row].item())]
        assert pairs[16 + row][1] == max(others, key=lambda i: cosines[row, i].item())


@torch.no_grad()
def test_the_matching_loss_calls_the_first_pairs_right(model):
    batch = captions([0, 1, 2, 0])
    pairs = matched_pairs(model.eval(), batch)
    total = 0.0
    for number, (image, text) in enumerate(pairs):
        logits = model.matcher(
            batch["pixel_values"][[image]], batch["input_ids"][[text]], batch["attention_mask"][[text]]
        ).double()
        total -= float(logits[0].log_softmax(0)[1 if number < 4 else 0])
    assert model(**batch)[1]["itm"].item() == pytest.approx(total / 12, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("images", [[0], [0, 0, 0]])
def test_a_batch_of_one_image_has_no_negatives(model, images):
    batch = captions(images)
    loss, parts = model.train()(**batch)
    logits = model.matcher(batch["pixel_values"], batch["input_ids"], batch["attention_mask"])
    expected = cross_entropy(logits, torch.ones(len(images), dtype=torch.long))
    torch.testing.assert_close(parts["itm"], expected)
    assert torch.isfinite(loss)


@torch.no_grad()
def test_the_caption_loss_is_the_captioners_with_smoothed_labels(model):
    """From BOS over the caption's tokens and its EOS, padding ignored, labels smoothed with .1."""
    batch = captions([0, 1, 2])
    captioner = BlipCaptioner(config("blip-captioning")).eval()
    state = {k: v for k, v in model.task_weights().items() if not k.startswith("text_encoder.")}
    captioner.load_state_dict(state, strict=False)
    labels = batch["input_ids"][:, 1:].masked_fill(batch["input_ids"][:, 1:] == PAD, -100)
    prompt = batch["input_ids"][:, :0]
    logits = captioner(batch["pixel_values"], prompt, torch.ones_like(prompt), labels).logits.double()
    losses = []
    for row, column in (labels != -100).nonzero().tolist():
        of_tokens = logits[row, column].log_softmax(0)
        losses.append(-0.9 * of_tokens[labels[row, column]] - 0.1 * of_tokens.mean())
    assert len(losses) == (batch["attention_mask"].sum() - 3).item()
    assert model.eval()(**batch)[1]["lm"].item() == pytest.approx(float(sum(losses)) / len(losses), rel=1e-5)


@torch.no_grad()
def test_padding_changes_no_loss(model):
    batch = captions([0, 1, 2, 0])
    wide = {
        **batch,
        "input_ids": torch.cat([batch["input_ids"], torch.full((4, 3), PAD)], dim=1),
        "attention_mask": torch.cat([batch["attention_mask"], torch.zeros(4, 3, dtype=torch.long)], dim=1),
    }
    for name, part in model.eval()(**batch)[1].items():
        torch.testing.assert_close(model(**wide)[1][name], part, atol=1e-5, rtol=0)


def test_encoder_and_decoder_share_all_but_self_attention(model):
    """As salesforce/BLIP ties them: name and bias of everything but what is below `attention`."""
    encoder = dict(model.matcher.text_encoder.named_parameters())
    decoder = dict(model.text_decoder.bert.named_parameters())
    assert set(encoder) == set(decoder)
    own = {name for name in encoder if encoder[name] is not decoder[name]}
    assert own == {name for name in encoder if SELF_ATTENTION in name}
    assert len(own) == 2 * 10
    assert model.text_decoder.cls.predictions.decoder.weight is decoder["embeddings.word_embeddings.weight"]


@torch.no_grad()
def test_its_weights_are_an_answerers_and_a_captioners(model):
    """Loaded by name, both compute with the pre-trained parts; nothing they have is left out."""
    weights = model.eval().task_weights()
    batch = tiny_batch("blip-vqa")
    answerer = spread_out(BlipAnswerer(config()), seed=9).eval()
    missing, unexpected = answerer.load_state_dict(weights, strict=False)
    assert set(missing) == {f"text_decoder.cls.predictions.decoder.{part}" for part in ("weight", "bias")}
    assert unexpected == []
    image = model.matcher.vision_model(batch["pixel_values"]).last_hidden_state
    question = model.matcher.text_encoder(
        batch["input_ids"], attention_mask=batch["attention_mask"], encoder_hidden_states=image
    ).last_hidden_state
    expected = model.text_decoder(
        torch.cat([torch.full((3, 1), BOS), batch["labels"][:, :-1].clamp(min=0)], dim=1),
        attention_mask=torch.cat([torch.ones(3, 1), batch["labels"][:, :-1].ne(-100)], dim=1).long(),
        encoder_hidden_states=question,
        encoder_attention_mask=batch["attention_mask"],
    ).logits
    assert torch.equal(answerer(**batch).logits, expected)

    captioner = spread_out(BlipCaptioner(config("blip-captioning")), seed=9)
    missing, unexpected = captioner.load_state_dict(weights, strict=False)
    assert all(name.startswith("text_decoder.cls.predictions.decoder.") for name in missing)
    assert all(name.startswith("text_encoder.") for name in unexpected)


def test_its_weights_are_copies_that_share_no_memory(model):
    weights = model.task_weights()
    assert len({tensor.data_ptr() for tensor in weights.values()}) == len(weights)
    assert not {tensor.data_ptr() for tensor in weights.values()} & {p.data_ptr() for p in model.parameters()}


@torch.no_grad()
def test_momentum_encoders_follow_and_soften_the_targets():
    torch.manual_seed(0)
    model = spread_out(BlipVisionLanguage(config(), momentum_distillation=True))
    slow, fast = model.momentum_matcher, model.matcher
    assert not any(parameter.requires_grad for parameter in slow.parameters())
    assert slow.vision_proj.weight is not fast.vision_proj.weight
    spread_out(slow, seed=2)
    before = slow.vision_proj.weight.clone()
    batch = captions([0, 1, 2, 0])
    model.train()
    for _ in range(500):
        model.step += 1
    parts = model(**batch)[1]
    expected = 0.995 * before.double() + 0.005 * fast.vision_proj.weight.double()
    torch.testing.assert_close(slow.vision_proj.weight.double(), expected, atol=1e-6, rtol=0)

    (image, text), (slow_image, slow_text) = features(fast, batch), features(slow, batch)
    share = 0.4 * 501 / 1000
    right = torch.tensor(
        [[float(a == b) / [0, 1, 2, 0].count(a) for b in [0, 1, 2, 0]] for a in [0, 1, 2, 0]]
    )
    contrasts = []
    for rows, columns, slow_rows in ((image, slow_text, slow_image), (text, slow_image, slow_text)):
        targets = share * (slow_rows @ columns.T / 0.07).softmax(1) + (1 - share) * right
        contrasts.append(naive_contrast(rows, columns, targets.tolist(), 0.07))
    assert parts["itc"].item() == pytest.approx(sum(contrasts) / 2, rel=1e-5)

    kept = slow.vision_proj.weight.clone()
    model.eval()(**batch)
    assert torch.equal(slow.vision_proj.weight, kept)  # evaluation moves nothing on
    assert model.step.item() == 501


def test_momentum_encoders_learn_only_by_following():
    model = BlipVisionLanguage(config(), momentum_distillation=True)
    model(**captions([0, 1, 2]))[0].backward()
    assert all(parameter.grad is None for parameter in model.momentum_matcher.parameters())
    assert all(
        parameter.grad is not None
        for name, parameter in model.named_parameters()
        if not name.startswith("momentum_matcher.")
    )
    assert not any(name.startswith("momentum") for name in model.task_weights())


def test_fresh_weights_are_spread():
    """The vision default initializer_range of 1e-10 would leave images without a part in any loss."""
    for model in (BlipVisionLanguage(config()), BlipMlm(config())):
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                assert weight.std().item() == pytest.approx(0.02 * (768 / 16) ** 0.5, rel=0.5), name


def learnt(model: torch.nn.Module, batch: dict[str, Tensor], steps: int) -> dict[str, float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    torch.manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch)[0].backward()
        optimizer.step()
    with torch.no_grad():
        return {name: part.item() for name, part in model.eval()(**batch)[1].items()}


def entropy(shares: list[float]) -> float:
    """Of the shares of some tokens, smoothed with .1 over the vocabulary."""
    smoothed = torch.full((VOCABULARY,), 0.1 / VOCABULARY)
    smoothed[: len(shares)] += 0.9 * torch.tensor(shares)
    return -(smoothed * smoothed.log()).sum().item()


def test_every_objective_can_be_learnt():
    """Four captions of three images, two of one image: each loss comes near its least possible value."""
    torch.manual_seed(0)
    batch = captions([0, 1, 2, 0])
    parts = learnt(BlipVisionLanguage(config()), batch, steps=110)
    assert parts["itc"] == pytest.approx((0 + 0 + 2 * math.log(2)) / 4, abs=0.02)
    assert parts["itm"] < 0.02
    words = batch["attention_mask"].sum().item() - 4
    assert batch["input_ids"][0, 1] != batch["input_ids"][3, 1]  # either may follow BOS, for one image
    least = ((words - 2) * entropy([1.0]) + 2 * entropy([0.5, 0.5])) / words
    assert least - 1e-5 < parts["lm"] < least + 0.05


def test_a_training_that_diverges_shows_it_in_its_loss(model):
    """Negatives cannot be drawn by the softmax of NaN, which no process on a GPU survives."""
    options = {"learning_rate": 1e10, "clip": 1e10, "warmup": 0.0, "weight_decay": 0.0, "steps": 20}
    updates = Updates(
        [model.train()], Training(**options, examples="all", batch=3, evaluations=1, schedule="linear")
    )

    for _ in range(20):
        loss, _ = model(**captions([0, 1, 2]))
        updates.step(loss)
    assert not torch.isfinite(loss)
    assert not torch.isfinite(model(**captions([0, 0]))[0])


@torch.no_grad()
@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("side", ["vision_proj", "text_proj"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_either_side_can_diverge(momentum, side, value):
    model = BlipVisionLanguage(config(), momentum_distillation=momentum).train()
    getattr(model.matcher, side).weight.fill_(value)
    loss, parts = model(**captions([0, 1]))
    assert not torch.isfinite(loss)
    assert not torch.isfinite(parts["itc"])
