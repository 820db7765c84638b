"""docs/config.md is what the schema and the catalogue say, and leaves no key out."""

from pathlib import Path

from pydantic import BaseModel

from amad_bench.plan.catalogue import DATASETS, FAMILIES, FORMATS, LOSSES
from amad_bench.plan.config.inputs import INPUTS, ImageInputs
from docs.make_config import SECTIONS, reference


def test_the_page_is_current(repository: Path) -> None:
    page = (repository / "docs/config.md").read_text(encoding="utf-8")
    assert page == reference(), "run `make docs`"


def test_every_key_is_described() -> None:
    page = reference()
    for model in SECTIONS.values():
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert f"| `{name}` |" in page
    for record in (*DATASETS.values(), *FAMILIES.values(), *FORMATS.values(), *LOSSES.values()):
        for key in record.options:
            assert f"| `{record.name}` | `{key}` |" in page
    assert "| `blip.vl` | `momentum_distillation` |" in page


def test_every_mapping_of_a_config_has_its_section() -> None:
    def below(model: type[BaseModel]) -> set[str]:
        return set(model.model_json_schema().get("$defs", {})) | {model.__name__}

    sections = {model.__name__ for model in SECTIONS.values()}
    found = set().union(*(below(model) for model in SECTIONS.values()))
    kinds = {inputs.__name__ for inputs in INPUTS.values()}  # each may stand where the schema has their base
    assert (found - {ImageInputs.__name__}) | kinds == sections
