"""A trained model as a folder for others: weights, tokenizer, what it does with images, how it is used.

What a family writes, and who reads it, says its `FamilyModels.save`.
"""

from pathlib import Path

from torch import nn

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.pretrained import quiet_transformers
from amad_bench.data.tasks.texts import source_texts
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.data.text.tokenizer_folder import save_tokenizer_folder
from amad_bench.models.family import implementation_of
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.files import write_json_atomic

FACTS, README = "amad_bench.json", "README.md"


def export_model(model: nn.Module, tokenizer: Tokenizer, config: RunConfig, folder: Path) -> None:
    """Fills an empty folder: what the family writes, the tokenizer's files, amad_bench.json and README.md."""
    with quiet_transformers():
        exported = implementation_of(FAMILIES[config.family]).save(model, tokenizer, config, folder)
    spelled = save_tokenizer_folder(tokenizer, folder, exported.first)
    example = Example("", "", None, "{}", "", (), "")  # whose text is the place of a text
    prompt = next(source_texts(config, "test", SplitSource([example])))
    decoding, differences = config.answers, list(exported.differences)
    generation = {"max_new_tokens": decoding.max_length, "num_beams": decoding.beams, "do_sample": False}
    if spelled:
        differences.append(
            f"A text that spells {', '.join(spelled)} becomes that token; the run reads it as unknown."
        )
    if decoding.rank:
        differences.append(
            f"The run chose the best of its training answers (of {decoding.rank} by their first token); "
            "`generate` writes freely."
        )
    write_json_atomic(
        folder / FACTS,
        {
            "run": config.run_id,
            "class": exported.class_name,
            "text": prompt,
            "generation": generation,
            "differences": differences,
            "config": config.canonical(),
        },
    )
    options = ", ".join(f"{name}={value}" for name, value in generation.items())
    code = exported.code.replace("{prompt!r}", repr(prompt)).replace("{generation}", options)
    (folder / README).write_text(_readme(config, code, differences), encoding="utf-8")


def _readme(config: RunConfig, code: str, differences: list[str]) -> str:
    lines = [
        f"# {config.run_id}",
        "",
        f"A {config.kind} of amad_bench, trained for {config.task} on {config.dataset.name}. "
        f"{FACTS} has its config and how it wrote its predictions.",
        "",
        "```python",
        code,
        "```",
    ]
    if differences:
        lines += ["", "What differs from the run's own model:", "", *(f"- {line}" for line in differences)]
    return "\n".join(lines) + "\n"
