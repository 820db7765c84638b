"""A canary for upgrades of transformers: what the recorder relies on in its attention interface.

A failure names what is new: read there what it does to a map, then teach models/attention/capture.py, or let
it refuse, and say so in docs/recorder.md.
"""

import ast
import inspect
from collections import defaultdict
from functools import cache
from pathlib import Path

import transformers
from transformers import masking_utils, modeling_utils
from transformers.integrations.sdpa_attention import sdpa_attention_forward

# Arguments of an attention function beside module, query, key, value and mask, by what they do to a map.
KEPT = {"scaling", "is_causal", "position_bias"}
WITHOUT_EFFECT = {
    "dropout",
    "sliding_window",  # for kernels: the mask has it
    "output_attentions",
    "position_ids",  # for kernels that rotate by themselves
    "deterministic",
}
REFUSED = {"softcap", "s_aux", "sinks", "indices", "block_indices"}
# Given to flash attention only, for several sequences in one row: others get no mask then, and are called for each.
PACKED = {"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"}

# Model folders with an interface of their own, which may answer by other functions than transformers' shared one.
OWN_INTERFACE = {"doge"}


@cache
def sources() -> dict[str, ast.Module]:
    """Modeling files that use the interface, by their folder's name."""
    folder = Path(transformers.__file__).parent / "models"
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*/modeling_*.py"))}
    return {
        path.stem.removeprefix("modeling_"): ast.parse(text)
        for path, text in texts.items()
        if "ALL_ATTENTION_FUNCTIONS" in text
    }


def calls_of(tree: ast.Module, function: str) -> list[ast.Call]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [node for node in nodes if ast.unparse(node.func) == function]


def test_an_interface_is_asked_for_a_function_and_can_be_overridden_locally():
    shared = modeling_utils.ALL_ATTENTION_FUNCTIONS
    assert list(inspect.signature(type(shared).get_interface).parameters) == [
        "self",
        "attn_implementation",
        "default",
    ]
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
    parameters = inspect.signature(sdpa_attention_forward).parameters
    assert list(parameters)[:5] == ["module", "query", "key", "value", "attention_mask"]
    assert set(parameters) - set(list(parameters)[:5]) - {"kwargs", "cache"} <= KEPT | WITHOUT_EFFECT


def test_every_model_asks_its_interface_in_a_forward_method():
    """Where `uses_interface` looks, and by a name that it knows."""
    outside, others = [], []
    for name, tree in sources().items():
        for one in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            for method in (node for node in one.body if isinstance(node, ast.FunctionDef)):
                if "ALL_ATTENTION_FUNCTIONS.get_interface(" not in ast.unparse(method):
                    continue
                if method.name != "forward":
                    outside.append(f"{name}.{one.name}.{method.name}")
                if not calls_of(ast.Module(method.body, []), "attention_interface"):
                    others.append(f"{name}.{one.name}")
    assert (outside, others) == ([], [])


def test_every_model_gives_its_attention_function_what_is_known():
    unknown, wrong = defaultdict(set), {}
    for name, tree in sources().items():
        for call in calls_of(tree, "attention_interface"):
            given = [ast.unparse(one) for one in call.args]
            keywords = {one.arg for one in call.keywords if one.arg is not None}
            if given[:1] != ["self"] or len(given) > 5 or any("*" in one for one in given):
                wrong[name] = given
            named = {"query", "key", "value", "attention_mask"}
            for keyword in keywords - named - KEPT - WITHOUT_EFFECT - REFUSED - PACKED:
                unknown[keyword].add(name)
    assert (dict(unknown), wrong) == ({}, {})


def test_every_model_shares_one_interface_but_those_that_are_known():
    own = {
        name
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ALL_ATTENTION_FUNCTIONS"
    }
    assert own == OWN_INTERFACE


def test_eager_functions_do_what_is_known_or_have_an_argument_that_says_so():
    """Products, scale, bias, mask, softmax, dropout; capping and sinks come by an argument that is refused."""
    known = {"matmul", "transpose", "softmax", "dropout", "contiguous", "to", "type", "size", "repeat_kv"}
    known |= {"getattr", "hasattr"}
    about = {"training", "num_key_value_groups", "head_dim"}
    strange = defaultdict(set)
    for name, tree in sources().items():
        given = {one.arg for call in calls_of(tree, "attention_interface") for one in call.keywords}
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef) or "eager_attention_forward" not in node.name:
                continue
            if (given | {one.arg for one in node.args.args}) & REFUSED:
                continue
            for part in ast.walk(node):
                if (
                    isinstance(part, ast.Call)
                    and (what := ast.unparse(part.func).rpartition(".")[2]) not in known
                ):
                    strange[what].add(name)
                if (
                    isinstance(part, ast.Attribute)
                    and ast.unparse(part.value) == "module"
                    and part.attr not in about
                ):
                    strange[f"module.{part.attr}"].add(name)
    assert dict(strange) == {}
