"""The tables of docs/recorder.md: what the tests beside prove and refuse."""

from collections.abc import Iterable

from tests.models.attention.architectures import ARCHITECTURES

REFUSED = {
    "Gemma-2 (`softcap`)": "soft-capping; right with `attn_logit_softcapping=None`",
    "GPT-OSS (`s_aux`)": "sinks",
    "GLM-MoE-DSA, DeepSeek 3.2": "an indexer chooses keys: which tokens are real is not in the mask",
    "Qwen2-VL, `vision.self`": "several images are one row, each a call of the function; right with one",
    "Swin": "no site: stages, and windows folded into the batch",
    "SAM 2": "no site: windows folded into the batch",
    "ALBERT": "no site: all layers are one module, called again and again",
    "DeBERTa": "no site: attention written by hand, with scores of its own",
    "RoFormer, BigBird, LUKE": "no site: attention written by hand, of BERT's parts and yet another",
}
# By argument the models whose files give it.
GIVEN = {
    "softcap": {"gemma2", "t5gemma", "vaultgemma", "videoprism"},
    "s_aux": {
        *("deepseek_v4", "flint", "gpt_oss", "granite_swa", "granitemoe_swa", "hy_v4", "mimo_v2_flash"),
        "openai_privacy_filter",
    },
    "sinks": {"inkling2"},
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def proved() -> str:
    rows = [
        (name, f"`{one.model}`", ", ".join(f"`{site}`" for site in one.maps), one.notes)
        for name, one in ARCHITECTURES.items()
    ]
    return table(("architecture", "proved with", "sites", "its attention"), rows)


def refused() -> str:
    return table(("model", "why"), REFUSED.items())


def arguments() -> str:
    return table(("argument", "given by"), [(f"`{one}`", ", ".join(sorted(GIVEN[one]))) for one in GIVEN])
