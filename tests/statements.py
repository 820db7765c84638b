"""The numbered statements of docs/: `- <b id="amad-3">amad-3</b> ✓ Without any valid entry ...`."""

import re
from dataclasses import dataclass
from pathlib import Path

HEAD = re.compile(r'<b id="([^"]*)">([^<]*)</b>( ✓)? (.*)')


@dataclass(frozen=True)
class Statement:
    """page, section: where it stands; guarded: whether ✓ says that tests guard it; text: its first line."""

    id: str
    page: str
    section: str
    guarded: bool
    text: str


def statements(repository: Path) -> list[Statement]:
    """Those of all pages, in their order; AssertionError where a name shown is not the id."""
    found = []
    for path in sorted((repository / "docs").glob("*.md")):
        section = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                section = line.lstrip("# ")
            for identifier, shown, tick, text in HEAD.findall(line):
                assert identifier == shown, f"{path.name}: {line}"
                found.append(Statement(identifier, path.stem, section, bool(tick), text.replace("`", "")))
    return found
