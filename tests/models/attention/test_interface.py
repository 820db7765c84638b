"""A canary for upgrades of transformers: what the recorder relies on in its attention interface.

A failure names what is new: read there what it does to a map, then teach models/attention/capture.py, or let
it refuse, and say so in docs/recorder.md.
"""

import ast
import inspect
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import transformers
from transformers import masking_utils, modeling_utils
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from amad_bench.models.attention.capture import ALTERING, FOR_KERNELS
from tests.models.attention.recorder_page import GIVEN

NAMED = {"module", "query", "key", "value", "attention_mask"}
# Other arguments of an attention function, by what they do to a map under SDPA and eager attention.
KEPT = {"scaling", "is_causal", "position_bias"}
WITHOUT_EFFECT = {
    "dropout",
    "output_attentions",
    "position_ids",  # for kernels that rotate by themselves
    "deterministic",
    "cu_seq_lens_k",  # for flash attention, beside cu_seq_lens_q
    "max_length_q",
    "max_length_k",
    "cache",  # of paged attention, which is refused
}
KNOWN = KEPT | WITHOUT_EFFECT | {*ALTERING, *FOR_KERNELS}
OWN_INTERFACE = {"doge"}  # modeling files with an interface of their own
# What functions of eager attention call, and ask their module for, to make a map of scores.
STEPS = {"matmul", "transpose", "softmax", "dropout", "contiguous", "to", "type", "size", "repeat_kv"}
STEPS |= {"getattr", "hasattr"}
ASKED = {"training", "num_key_value_groups", "head_dim"}


def test_an_interface_is_asked_for_a_function_and_can_be_overridden_locally():
    shared = modeling_utils.ALL_ATTENTION_FUNCTIONS
    parameters = inspect.signature(type(shared).get_interface).parameters
    assert list(parameters) == ["self", "attn_implementation", "default"]
    own = type(shared)()
    own["sdpa"], own["eager"] = len, max
    assert own.get_interface("sdpa", min) is len
    assert own.get_interface("eager", min) is max
    assert shared.get_interface("sdpa", min) is sdpa_attention_forward
    assert shared.get_interface("eager", min) is min  # each file's own function
    del own["sdpa"], own["eager"]
    assert own.get_interface("sdpa", min) is sdpa_attention_forward
    assert own.get_interface("eager", min) is min


def test_masks_are_made_by_the_name_of_the_attention_function():
    assert {"sdpa", "eager"} <= set(masking_utils.ALL_MASK_ATTENTION_FUNCTIONS)
    assert "none of that name" not in masking_utils.ALL_MASK_ATTENTION_FUNCTIONS


def test_the_function_of_sdpa_takes_the_arguments_that_are_kept():
    parameters = [name for name in inspect.signature(sdpa_attention_forward).parameters if name != "kwargs"]
    assert parameters[:5] == ["module", "query", "key", "value", "attention_mask"]
    assert set(parameters[5:]) <= KNOWN
    assert set(parameters[5:]) >= KEPT


@cache
def modeling_files():
    """Parsed, by their model's name: those that use the interface."""
    folder = Path(transformers.__file__).parent / "models"
    texts = {path.parent.name: path.read_text("utf-8") for path in sorted(folder.glob("*/modeling_*.py"))}
    return {name: ast.parse(text) for name, text in texts.items() if "ALL_ATTENTION_FUNCTIONS" in text}


def called(node):
    """Calls in there, by the last part of the function's name."""
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    return [(getattr(one.func, "attr", getattr(one.func, "id", "")), one) for one in calls]


@pytest.mark.slow
def test_every_model_asks_its_interface_in_a_forward_method_and_gives_it_what_is_known():
    """Where `asks_interface` looks; arguments that have no entry above are named."""
    elsewhere, otherwise, unknown, asked = set(), set(), defaultdict(set), set()
    altering = {word: set() for word in ALTERING}
    for name, tree in modeling_files().items():
        for one in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            calls = called(one)
            if "get_interface" not in {function for function, _ in calls}:
                continue
            asked.add(name)
            if one.name != "forward":
                elsewhere.add(f"{name}: {one.name}")
            given = [call for function, call in calls if function == "attention_interface"]
            for call in given:
                keywords = {word.arg for word in call.keywords if word.arg is not None}
                for word in keywords - NAMED - KNOWN:
                    unknown[word].add(name)
                for word in keywords & {*ALTERING}:
                    altering[word].add(name)
                first = [getattr(argument, "id", "?") for argument in call.args]
                if first[:1] != ["self"] or len(first) > len(NAMED):
                    otherwise.add(name)
            if not given:
                otherwise.add(name)
    assert (elsewhere, otherwise, dict(unknown)) == (set(), set(), {})
    assert len(asked) > 300
    assert {word: names - GIVEN[word] for word, names in altering.items()} == {
        word: set() for word in ALTERING
    }


@pytest.mark.slow
def test_every_model_shares_one_interface_but_those_that_are_known():
    own = {
        name
        for name, tree in modeling_files().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ALL_ATTENTION_FUNCTIONS"
    }
    assert own == OWN_INTERFACE


@pytest.mark.slow
def test_eager_functions_do_what_is_known_or_have_an_argument_that_says_so():
    """Products, scale, bias, mask, softmax, dropout; capping and sinks come with one that is refused."""
    strange, looked = defaultdict(set), 0
    for name, tree in modeling_files().items():
        given = {
            word.arg
            for function, call in called(tree)
            if function == "attention_interface"
            for word in call.keywords
        }
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef) or "eager_attention_forward" not in node.name:
                continue
            looked += 1
            if (given | {one.arg for one in node.args.args}) & {*ALTERING}:
                continue
            for function, _ in called(node):
                if function not in STEPS:
                    strange[function].add(name)
            for part in ast.walk(node):
                of_module = isinstance(part, ast.Attribute) and getattr(part.value, "id", "") == "module"
                if of_module and part.attr not in ASKED:
                    strange[f"module.{part.attr}"].add(name)
    assert dict(strange) == {}
    assert looked > 300
