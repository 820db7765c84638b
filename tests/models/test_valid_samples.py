"""What a family says of a batch by its masks alone, against what the recorder saw of its model."""

import pytest
import torch

from amad_bench.data.batch import Batch, TextMasks
from amad_bench.losses.entries import traced_samples
from amad_bench.models.attention.recorder import record
from amad_bench.models.family import FamilyModels
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.runtime.errors import UserError
from amad_bench.training.step import totals_of
from tests.tiny_models import SITES, run_config, tiny_batch, tiny_model

TASKS = [(name, task) for name, family in FAMILIES.items() for task in family.by_task]
TARGETS = (
    [1, 1, 1, 1, 1],
    [1, 0, 0, 0, 0],
    [0, 0, 0, 0, 0],
    [0, 1, 0, 1, 0],
    [0, 1, 1, 0, 0],
    [1, 0, 1, 0, 1],
)


def ragged(kind):
    """Six samples: targets with gaps, one that has none; texts of one to six tokens, but for a prompt."""
    batches = [tiny_batch(kind, seed) for seed in range(2)]
    batch = {name: torch.cat([one[name] for one in batches]) for name in batches[0]}
    batch["labels"].masked_fill_(batch["labels"] == -100, 5).masked_fill_(torch.tensor(TARGETS) == 0, -100)
    if kind != "blip-captioning":
        batch["input_ids"] = torch.full((6, 6), 9).tril()
        batch["attention_mask"] = (batch["input_ids"] != 0).long()
    return batch


@pytest.mark.parametrize(("family", "task"), TASKS)
def test_the_samples_with_a_valid_entry_at_each_site(family, task):
    kind = family if family in SITES else f"{family}-{task}"
    batch, sites = ragged(kind), FAMILIES[family].by_task[task].sites
    model = tiny_model(kind).eval()
    with record(model, sites) as recorder, torch.no_grad():
        traced = recorder.trace(model(**batch), batch["labels"]).sites
    masks = TextMasks(batch["attention_mask"].bool().numpy(), batch["labels"].ne(-100).numpy())
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    config = run_config(family).model_copy(update={"task": task})
    whole = Batch(inputs, batch["labels"], masks=masks)
    for of in (whole, whole.part(slice(1, 3))):  # a part knows the whole batch's masks
        totals = totals_of(config, sites, of)
        assert (totals.tokens, totals.samples) == (13, 6)
        for site, (first, *_) in traced.items():
            seen = [bool(sample) for sample in traced_samples(first, first)]
            assert totals.by_site[site] == sum(seen), site
            if site.startswith("decoder.") and (family, task) != ("blip", "captioning"):
                assert 0 < sum(seen) < 6


def test_the_tokens_that_a_hidden_state_is_compared_at_are_of_the_same_samples():
    """`hidden_mse` counts samples by the query masks alone."""
    for kind, sites in SITES.items():
        batch, model = ragged(kind), tiny_model(kind).eval()
        with record(model, sites) as recorder, torch.no_grad():
            traced = recorder.trace(model(**batch), batch["labels"]).sites
        for layers in traced.values():
            counted_B = layers[0].query_mask_BQ.any(1)
            assert counted_B.tolist() == traced_samples(layers[0], layers[0]).tolist()


def test_a_family_that_does_not_say_cannot_be_cut():
    masks = TextMasks(*(torch.ones(2, 3, dtype=torch.bool).numpy() for _ in range(2)))
    with pytest.raises(UserError, match=r"micro_batch: .*`valid_samples`, or set micro_batch: null"):
        FamilyModels.valid_samples(None, "vqa", "encoder.self", masks)  # pyright: ignore[reportArgumentType]


def test_a_batch_that_nobody_counted_cannot_be_cut():
    batch = Batch({}, torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="without masks"):
        totals_of(run_config("vlt5"), ["encoder.self"], batch)
