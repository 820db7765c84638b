"""Every loss of the catalogue on a batch in parts: values, gradients and alignments add up to the whole's.

The parts are of unequal sizes and have unequally many target tokens; one sample has no target at all.
"""

import inspect
from itertools import pairwise

import pytest
import torch

from amad_bench.losses import build_loss
from amad_bench.losses.base import LayerLoss, Outcome, TraceLoss
from amad_bench.losses.ce import ce_loss
from amad_bench.losses.entries import traced_samples
from amad_bench.losses.hidden_mse import HiddenMse
from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import Totals
from amad_bench.plan.catalogue import LOSSES
from tests.tiny_models import SITES, tiny_batch, tiny_model

CUTS = ([0, 4, 9], [0, 1, 2, 7, 9])  # the ends of two parts, and of four


def _cases():
    """Each loss with its defaults, and with each other choice that its options have."""
    for name, loss in LOSSES.items():
        yield name, {}
        for key, spec in loss.options.items():
            choices = (True, False) if spec.type is bool else spec.choices
            others = [{key: value} for value in choices if value not in (spec.default, "dense", "triton")]
            yield from ((name, options) for options in others if not loss.clash(options))


CASES = [(name, options) for name, options in _cases()]


def _batch(kind):
    """Nine samples, the fourth without any target, the fifth without image regions."""
    batches = [tiny_batch(kind, seed) for seed in range(3)]
    batch = {name: torch.cat([one[name] for one in batches]) for name in batches[0]}
    batch["labels"][3] = -100
    batch["labels"][7, 1:] = -100
    floats = [name for name, tensor in batch.items() if tensor.is_floating_point()]
    return batch | {name: batch[name].double() for name in floats}


class Setting:
    """A teacher and a student in float64 on a batch."""

    def __init__(self, kind):
        self.sites, self.batch = SITES[kind], _batch(kind)
        self.teacher = tiny_model(kind, seed=1).double().eval()
        self.student = tiny_model(kind, seed=2).double().eval()
        self.weight_B = torch.linspace(0.3, 1.0, len(self.batch["labels"])) if kind == "vlt5" else None

    def traces(self, part=slice(None), totals=None):
        batch, hidden = {name: tensor[part] for name, tensor in self.batch.items()}, True
        with record(self.teacher, self.sites, hidden=hidden) as recorder, torch.no_grad():
            teacher = recorder.trace(self.teacher(**batch), batch["labels"])
        with record(self.student, self.sites, hidden=hidden) as recorder:
            student = recorder.trace(self.student(**batch), batch["labels"])
        student.sample_weight_B = None if self.weight_B is None else self.weight_B[part]
        student.totals = totals
        return teacher, student

    def totals(self):
        """Counted in the whole batch's traces."""
        teacher, student = self.traces()
        by_site = {
            site: int(traced_samples(teacher.sites[site][0], layers[0]).sum())
            for site, layers in student.sites.items()
        }
        labels_BL = self.batch["labels"]
        return Totals(int((labels_BL != -100).sum()), len(labels_BL), by_site)

    def outcome(self, loss, part=slice(None), totals=None):
        """Parts, alignment, and gradients by name."""
        parameters = dict([*self.student.named_parameters(), *loss.named_parameters()])
        found = loss.outcome(*self.traces(part, totals))
        total = torch.stack([*found.parts.values()]).sum()
        given = torch.autograd.grad(total, [*parameters.values()], allow_unused=True)
        gradients = {name: g for name, g in zip(parameters, given, strict=True) if g is not None}
        return {name: part.detach() for name, part in found.parts.items()}, found.alignment, gradients


@pytest.fixture(scope="module", params=SITES)
def setting(request):
    return Setting(request.param)


def furthest(setting, loss):
    """The largest difference of any number from the whole batch's, and the largest of these numbers."""
    loss.materialise(*setting.traces())
    loss.double()
    whole, totals = setting.outcome(loss), setting.totals()
    assert 0 < totals.by_site.get("decoder.self", 1) <= totals.samples
    apart, largest = 0.0, 0.0
    for cut in CUTS:
        parts = [setting.outcome(loss, slice(*ends), totals) for ends in pairwise(cut)]
        for kind, expected in enumerate(whole):
            assert all(part[kind].keys() <= expected.keys() for part in parts)
            for name, number in expected.items():
                got = sum(part[kind][name] for part in parts if name in part[kind])
                apart = max(apart, (got - number).abs().max().item())
                largest = max(largest, number.abs().max().item())
    return apart, largest


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_parts_add_up_to_the_whole(setting, name, options):
    layers = {"layer_map": "uniform"} if issubclass(_class_of(name), LayerLoss) else {}
    loss = build_loss(name, sites=setting.sites, **layers, **options)
    apart, largest = furthest(setting, loss)
    assert largest > 1e-3
    assert apart <= 1e-12 * max(1.0, largest)


def _class_of(name):
    return type(build_loss(name))


def test_a_part_that_is_the_whole_is_bit_for_bit_the_same(setting):
    for name, options in CASES:
        loss = build_loss(name, sites=setting.sites, **options)
        loss.materialise(*setting.traces())
        without, given = (setting.outcome(loss, totals=totals) for totals in (None, setting.totals()))
        for one, other in zip(without, given, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one), name


class OfItsOwn(TraceLoss):
    """Cross-entropy that knows nothing of totals."""

    def outcome(self, teacher, student):  # noqa: ARG002
        return Outcome({"ce": ce_loss(student.logits_BLV, student.labels_BL)})


class Summed(HiddenMse):
    """A sum where a mean over samples is expected."""

    def terms(self, teacher, student):
        terms, alignment = super().terms(teacher, student)
        return [term * len(student.labels_BL) for term in terms], alignment


@pytest.mark.parametrize("made", [OfItsOwn, Summed])
def test_a_loss_that_ignores_the_totals_is_caught(setting, made):
    loss = made(setting.sites) if "sites" in inspect.signature(made).parameters else made()
    apart, largest = furthest(setting, loss)
    assert apart > 1e-3 * largest


def test_totals_without_a_site_that_is_compared_are_an_error(setting):
    loss = build_loss("head_mean", sites=setting.sites)
    with pytest.raises(ValueError, match=rf"{setting.sites[0]}: the batch's totals lack the site"):
        loss(*setting.traces(totals=Totals(1, 1, {})))
