"""Fresh weights are told from all others."""

import pytest
import torch

from amad_bench.losses import ce_loss
from amad_bench.models.blip.model import BlipAnswerer
from amad_bench.models.fresh import require_fresh
from tests.tiny_models import KINDS, shaped_model, tiny_batch, tiny_model


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_models_of_many_seeds_are_fresh(kind):
    for seed in range(40):
        require_fresh(tiny_model(kind, heads=2 if seed % 2 else 4, seed=seed))


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 4, "heads": 1, "head_size": 4, "feed_forward": 4, "layers": 1},
        {"width": 96, "heads": 12, "head_size": 8, "feed_forward": 200, "layers": 3},
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_fresh_models_of_other_sizes_are_fresh(kind, changes):
    for seed in range(10):
        require_fresh(shaped_model(kind, seed, vocabulary=700, **changes))


def test_a_head_size_of_its_own_and_order_embeddings_are_fresh():
    require_fresh(
        shaped_model("vlt5", heads=2, head_size=24, options={"order_embedding": True, "box_area": "true"})
    )


@pytest.mark.trap("pre-1")
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_trained_for_fifty_steps_is_not_fresh(kind):
    model = tiny_model(kind).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    for _ in range(50):
        batch = tiny_batch(kind)
        ce_loss(model(**batch).logits, batch["labels"]).backward()
        optimizer.step()
        optimizer.zero_grad()
    with pytest.raises(RuntimeError, match=r"(norm|Norm|bias).*: these are no fresh weights: expected mean"):
        require_fresh(model)


@pytest.mark.parametrize("kind", KINDS)
def test_the_spread_alone_gives_weights_away(kind):
    """One matrix too wide or too narrow, or off its mean; each kind of parameter by itself."""
    model = shaped_model(kind, layers=1)
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or parameter.numel() < 200:
            continue
        fresh = parameter.data.clone()
        for changed in (fresh * 1.6, fresh * 0.5, fresh + 0.8 * fresh.std()):
            parameter.data = changed
            with pytest.raises(RuntimeError, match=f"^{name}: these are no fresh weights"):
                require_fresh(model)
        parameter.data = fresh
    require_fresh(model)


@pytest.mark.trap("blip-4")
def test_transformers_own_vision_spread_is_refused():
    """BlipVisionConfig.initializer_range is 1e-10 where none is given."""
    config = shaped_model("blip-vqa").config
    config.vision_config.initializer_range = 1e-10
    fresh = BlipAnswerer(config)
    with pytest.raises(
        RuntimeError, match=r"^vision_model.* deviation 0.139, found -?[0-9.]+e-1[0-9] and [0-9.]+e-1[01]$"
    ):
        require_fresh(fresh)
