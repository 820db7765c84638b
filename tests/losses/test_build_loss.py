"""The catalogue and the implementations, one to one; and what a user sees after a mistake."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest
import torch

import amad_bench.losses
from amad_bench.losses import amad, build_loss, implementation_of
from amad_bench.losses.base import MapLoss, TraceLoss
from amad_bench.plan.catalogue import LOSSES, ModelShape
from tests.losses.cases import layer_trace, trace


def implemented_options(name):
    """Option -> default, read from the code of the loss; masks and parameters are None by default."""
    implementation = implementation_of(LOSSES[name])
    read = [parent.__init__ for parent in implementation.__mro__ if issubclass(parent, TraceLoss)]
    if issubclass(implementation, MapLoss):
        read.append(implementation.function)
    return {
        key: parameter.default
        for function in read
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is not None
    }


def shape(heads):
    return ModelShape("vlt5", heads={"a": heads}, layers={"a": 1}, width={"a": 8}, head_size={"a": 4})


def run(name, options, teacher_heads, student_heads):
    teacher = trace({"a": [layer_trace(teacher_heads, gradient=False)]})
    student = trace({"a": [layer_trace(student_heads)]})
    return build_loss(name, **options)(teacher, student)


def test_the_same_losses():
    """Every file with a loss of its own has a record, and every record names the class in its file."""
    found = {}
    for module in pkgutil.iter_modules(amad_bench.losses.__path__):
        members = vars(importlib.import_module(f"amad_bench.losses.{module.name}")).values()
        classes = [m for m in members if isinstance(m, type) and issubclass(m, TraceLoss)]
        own = [cls.__name__ for cls in classes if cls.__module__ == f"amad_bench.losses.{module.name}"]
        if own and module.name not in ("base", "query_rows"):
            found[module.name] = own
    assert found == {name: [record.implementation] for name, record in LOSSES.items()}
    assert set(LOSSES["amad"].labelling_values) == set(amad.VARIANTS)


@pytest.mark.parametrize("name", LOSSES)
def test_the_same_options_and_defaults(name):
    assert {key: spec.default for key, spec in LOSSES[name].options.items()} == implemented_options(name)


@pytest.mark.parametrize("name", LOSSES)
def test_the_same_choices(name):
    """Every choice of the catalogue runs; the implementation's own message lists no further one."""
    for key, spec in LOSSES[name].options.items():
        for choice in spec.choices:
            if choice == "triton" and not torch.cuda.is_available():
                with pytest.raises(ValueError, match="triton"):
                    run(name, {key: choice}, 4, 4)
                continue
            assert all(part.isfinite() for part in run(name, {key: choice}, 4, 4).values())
        if spec.choices:
            implementation = implementation_of(LOSSES[name])(**LOSSES[name].complete({key: "nothing"}))
            with pytest.raises(ValueError, match=f"unknown {key} 'nothing'; available") as caught:
                implementation(trace({"a": [layer_trace(4)]}), trace({"a": [layer_trace(4)]}))
            listed = str(caught.value).split("available: ")[1].rstrip(".").split(", ")
            assert set(listed) == set(spec.choices)


@pytest.mark.parametrize("heads", [(8, 2), (2, 8), (4, 4)])
@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in LOSSES), ("one_to_one", {"drop": "extra"})]
)
def test_what_the_catalogue_supports_is_what_runs(name, options, heads):
    supported, reason = LOSSES[name].supports(shape(heads[0]), shape(heads[1]), options)
    if supported:
        assert run(name, options, *heads)
    else:
        assert reason
        with pytest.raises(ValueError, match=f"{heads[0]} heads .* {heads[1]}"):
            run(name, options, *heads)


@pytest.mark.parametrize("name", LOSSES)
def test_parts_are_named_scalars(name):
    expected = {"ce": "ce", "logit_kd": "logit_kd"}.get(name, "attention")
    parts = run(name, {}, 4, 4)
    assert list(parts) == [expected]
    assert parts[expected].shape == ()
    assert parts[expected].requires_grad


@pytest.mark.parametrize("name", LOSSES)
def test_parameters_are_there_after_materialise_and_forward_adds_none(name):
    """An optimizer is created between the two: a parameter that came later would never be trained."""
    teacher, student = trace({"a": [layer_trace(4)]}), trace({"a": [layer_trace(4, seed=1)]})
    loss = build_loss(name)
    assert not list(loss.parameters())
    loss.materialise(teacher, student)
    parameters = [id(parameter) for parameter in loss.parameters()]
    sum(loss(teacher, student).values()).backward()
    assert [id(parameter) for parameter in loss.parameters()] == parameters
    assert all(parameter.grad is not None for parameter in loss.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_the_catalogue_knows_which_losses_are_seeded(name):
    assert LOSSES[name].seeded == (
        "seed" in inspect.signature(implementation_of(LOSSES[name]).__init__).parameters
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("amda", {}, r"^unknown loss 'amda'\. Did you mean 'amad'\?"),
        ("loss", {}, r"^unknown loss 'loss'\. Known: ce, logit_kd, "),
        ("amad", {"temperature": float("inf")}, r"^amad\.temperature: expected a finite number, found inf"),
        ("amad", {"varient": "kl"}, r"^amad\.varient: unknown key\. Did you mean 'variant'\?"),
        ("ce", {"temperature": 2.0}, r"^ce\.temperature: unknown key\. Known: none"),
        (
            "amad",
            {"variant": "tokens"},
            r"^amad\.variant: expected kl or mse or .* token, found 'tokens'\. Did you mean 'token'\?",
        ),
        (
            "amad",
            {"variant": "mse", "row_reduction": "sum"},
            r"^amad: row_reduction: sum is for the variants with rows; mse flattens the map",
        ),
        ("sinkhorn", {"seed": 1}, r"^sinkhorn\.seed: unknown key"),
        ("sinkhorn", {"epsilon": 0.0}, r"^sinkhorn\.epsilon: expected more than 0, found 0\.0"),
        ("sinkhorn", {"variant": "kl"}, r"^sinkhorn\.variant: unknown key"),  # it is `distance`
        ("amad", {"similarity": "cosin"}, r"Did you mean 'cosine'\?"),
        ("amad", {"temperature": "hot"}, r"^amad\.temperature: expected a number, found 'hot'"),
        ("amad", {"temperature": True}, r"^amad\.temperature: expected a number, found true"),
        ("amad", {"temperature": 0}, r"^amad\.temperature: expected more than 0, found 0"),
        ("amad", {"detach_alignment": 1}, r"^amad\.detach_alignment: expected true or false, found 1"),
        ("amad", {"head_reduction": None}, r"^amad\.head_reduction: expected text, found nothing"),
        ("minilm_v2", {"relation_heads": 2000}, r"^minilm_v2\.relation_heads: expected at most 1,024"),
    ],
)
def test_mistakes_are_one_line_with_what_to_do(name, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_loss(name, **options)
    assert "\n" not in str(caught.value)


def test_an_integer_is_a_fine_temperature():
    assert build_loss("logit_kd", temperature=3).temperature == 3


def test_losses_need_torch_and_numpy_only():
    """In a fresh process in which everything of the `pipeline` extra fails to import."""
    absent = ("transformers", "tokenizers", "pydantic", "yaml", "pandas", "pyarrow", "scipy", "PIL", "tqdm")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        "from amad_bench.losses import build_loss\n"
        "print(build_loss('amad', variant='mse'))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("Amad(variant='mse', similarity='cosine'")
