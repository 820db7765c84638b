"""The pages of docs/: ids are unique and lead somewhere, links too, and what is named exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from amad_bench.plan.catalogue import LOSSES
from tests.statements import HEAD, statements

ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*-[1-9]\d*")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CITED = re.compile(r"docs/([\w-]+)\.md(?:#([\w-]+))?")
CODE = ("amad_bench", "configs", "paper", "profiles", "tests")
SUFFIXES = (".py", ".yaml", ".toml", ".typ", ".cfg", ".txt")


@pytest.fixture(scope="module")
def pages(repository: Path) -> dict[Path, str]:
    """README and all pages of docs/, without what stands in code blocks."""
    paths = [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    return {path: re.sub(r"(?ms)^```.*?^```$", "", text) for path, text in texts.items()}


@pytest.fixture(scope="module")
def anchors(pages: dict[Path, str]) -> dict[Path, set[str]]:
    return {path: _anchors(text) for path, text in pages.items()}


def _anchors(text: str) -> set[str]:
    """Ids, and headings as GitHub makes anchors of them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"(?m)^#+ +(.*?) *$", text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    headings = {
        f"{slug}-{number}" if number else slug for slug, n in found.items() for number in range(n + 1)
    }
    return headings | {match[0] for match in HEAD.findall(text)}


def _sources(repository: Path) -> Iterator[tuple[Path, str]]:
    files = [repository / name for name in ("Snakefile", "Makefile", "pyproject.toml")]
    for folder in CODE:
        files += [path for path in sorted((repository / folder).rglob("*")) if path.suffix in SUFFIXES]
    for path in files:
        yield path, path.read_text(encoding="utf-8")


def test_ids_are_unique_and_each_is_guarded_or_cited(repository: Path) -> None:
    found = statements(repository)
    ids = [statement.id for statement in found]
    assert [identifier for identifier in ids if not ID.fullmatch(identifier)] == []
    assert [identifier for identifier in ids if ids.count(identifier) > 1] == []
    raw = "".join(path.read_text(encoding="utf-8") for path in (repository / "docs").glob("*.md"))
    assert raw.count('<b id="') == len(found)  # none is written otherwise
    cited = {anchor for _, text in _sources(repository) for _, anchor in CITED.findall(text)}
    assert [s.id for s in found if not s.guarded and s.id not in cited] == []


def test_what_code_cites_stands_in_the_docs(repository: Path, anchors: dict[Path, set[str]]) -> None:
    lost = [
        f"{path.relative_to(repository)}: docs/{page}.md{anchor and f'#{anchor}'}"
        for path, text in _sources(repository)
        for page, anchor in CITED.findall(text)
        if anchor not in anchors.get(repository / f"docs/{page}.md", set()) | {""}
        or not (repository / f"docs/{page}.md").is_file()
    ]
    assert lost == []


def test_code_names_no_draft(repository: Path) -> None:
    drafts = re.compile(r"\b(METHODS|STATISTICS|ENGINE|DESIGN)" + r"\.md")
    assert [str(path) for path, text in _sources(repository) if drafts.search(text)] == []


def test_links_lead_somewhere(pages: dict[Path, str], anchors: dict[Path, set[str]]) -> None:
    lost = []
    for page, text in pages.items():
        for link in LINK.findall(text):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (anchor and anchor not in anchors.get(path, set())):
                lost.append(f"{page.name}: {link}")
    assert lost == []


def test_every_page_is_linked_to(pages: dict[Path, str]) -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page, text in pages.items()
        for link in LINK.findall(text)
    }
    assert [path.name for path in pages if path.parent.name == "docs" and path not in linked] == []


def test_pages_name_no_place_of_a_machine(pages: dict[Path, str]) -> None:
    places = re.compile(r"(?<![\w.])/(?:work|home|root|tmp|mnt|srv|opt|Users)\b[^\s`)]*|\.\./shared[^\s`)]*")
    assert {page.name: places.findall(text) for page, text in pages.items() if places.search(text)} == {}


def test_what_pages_name_of_the_repository_exists(repository: Path, pages: dict[Path, str]) -> None:
    named = re.compile(r"`((?:amad_bench|configs|docs|paper|profiles|tests)/[\w./*-]+)`")
    lost = [
        f"{page.name}: {path}"
        for page, text in pages.items()
        if page.parent.name == "docs"
        for path in named.findall(text)
        if path not in BUILT and not any(repository.glob(path.rstrip("/")))
    ]
    assert lost == []


BUILT = ("paper/main.pdf", "amad_bench/losses/top_head.py")  # by the workflow; by who follows add-a-loss.md


def test_every_loss_has_a_row_and_an_id(repository: Path) -> None:
    text = (repository / "docs/methods.md").read_text(encoding="utf-8")
    section = text.split("\n## The other losses\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[a-z_0-9`, ]+`) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"name"} == set(LOSSES)
    ids = {statement.id for statement in statements(repository)}
    assert {f"{name.replace('_', '-')}-1" for name in LOSSES} <= ids


def test_the_glossary_is_in_alphabetical_order(repository: Path) -> None:
    text = (repository / "docs/glossary.md").read_text(encoding="utf-8")
    words = [word.replace("`", "").lower() for word in re.findall(r"(?m)^- \*\*(.+?)\*\*", text)]
    assert len(words) > 40
    assert words == sorted(set(words))


def test_docstrings_begin_with_a_noun_or_a_verb(repository: Path) -> None:
    begins = re.compile(r'^\s*r?"""(Of|What|As|Where|How|Which|Why|That|For|When)\b.*', re.MULTILINE)
    found = [
        f"{path.relative_to(repository)}: {match.group().strip()}"
        for path in sorted((repository / "amad_bench").rglob("*.py"))
        for match in begins.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
