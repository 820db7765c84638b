"""A table for readers, and its fragments for LaTeX and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.runtime.files import write_bytes_atomic

NOTHING = "–"  # stands where there is no number


@dataclass(frozen=True)
class PrintedTable:
    """Text in every field. note: what holds for all rows; numbers: of each column, whether it holds any."""

    title: str
    columns: tuple[str, ...]
    numbers: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def canonical(self) -> dict[str, Any]:
        """The JSON object that stands for it."""
        return asdict(self)

    @property
    def markdown(self) -> str:
        """A table with its title above and its note below."""
        frame = self._frame().map(lambda text: text.replace("|", r"\|"))
        align = ["right" if number else "left" for number in self.numbers]
        table = frame.to_markdown(index=False, disable_numparse=True, colalign=align)
        return "\n\n".join(filter(None, [f"**{self.title}**", table, self.note])) + "\n"

    @property
    def latex(self) -> str:
        r"""A `table` with booktabs rules, for \input."""
        escaped = self._frame().rename(columns=latex_text)
        styled: Any = escaped.style.hide(axis="index").format(formatter=latex_text)
        caption = " ".join(filter(None, [f"{self.title}.", self.note]))
        return styled.to_latex(
            hrules=True,
            column_format="".join("r" if number else "l" for number in self.numbers),
            caption=latex_text(caption),
            position_float="centering",
        )

    def _frame(self) -> pd.DataFrame:
        return pd.DataFrame([*self.rows], columns=[*self.columns], dtype="str")


def write_fragments(tables: Sequence[PrintedTable], path_without_suffix: Path) -> None:
    """Write <path>.md and <path>.tex, the tables one after another."""
    for suffix, texts in {
        "md": [table.markdown for table in tables],
        "tex": [table.latex for table in tables],
    }.items():
        path = path_without_suffix.with_name(f"{path_without_suffix.name}.{suffix}")
        write_bytes_atomic(path, "\n".join(texts).encode("utf-8"))


_LATEX: Mapping[str, str] = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "→": r"$\rightarrow$",
    "−": "$-$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "<": "$<$",
    ">": "$>$",
}


def latex_text(text: str) -> str:
    """The text with every character that LaTeX would read otherwise written out."""
    return "".join(_LATEX.get(letter, letter) for letter in text)
