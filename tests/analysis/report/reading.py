"""What stands in a page: its elements with their attributes, and their texts."""

import json
from html.parser import HTMLParser
from typing import Any

_EMPTY = {"meta", "img", "link", "br", "input"}


class Page(HTMLParser):
    """elements: (name, attributes) of all, in their order; texts: of those with an id, by it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.tables: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self._open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1][0] == tag, f"{tag} ends within {self._open[-1]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "script" and (name := attributes.get("data-table")):
            self.tables[name] = json.loads(data)
        elif tag not in ("script", "style"):
            for name in {own["id"] for _, own in self._open if own.get("id")}:
                self.texts[str(name)] = f"{self.texts.get(str(name), '')} {data.strip()}".strip()
