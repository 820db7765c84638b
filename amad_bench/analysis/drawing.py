"""How all figures look, and how they are written."""

from io import BytesIO
from pathlib import Path
from typing import Any

import seaborn as sns
from matplotlib.figure import Figure

from amad_bench.runtime.files import write_bytes_atomic

STYLE: dict[Any, Any] = {
    **sns.axes_style("whitegrid"),
    **sns.plotting_context("paper"),
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 200,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "legend.frameon": False,
}


def write_figure(figure: Figure, path_without_suffix: Path) -> list[Path]:
    """The figure as PDF and PNG, without a date: equal figures give equal bytes."""
    paths = []
    for suffix, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        content = BytesIO()
        figure.savefig(content, format=suffix, metadata=metadata)
        paths.append(path_without_suffix.with_name(f"{path_without_suffix.name}.{suffix}"))
        write_bytes_atomic(paths[-1], content.getvalue())
    return paths
