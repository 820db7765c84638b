"""The report in headless Chromium: drawn, sorted, filtered, as wide as it may be, without a request."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = 1280, 400  # pixels
CONTRAST = 4.5  # of text, WCAG 2.1 AA
TABLE = "#comparisons"
FOCUSED = "document.activeElement"


@dataclass
class Opened:
    """A page that is drawn, with what went wrong in it and what it has asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def column(self, label: str) -> list[str]:
        """The cells of a column of TABLE that are shown."""
        number = self.headings.index(label) + 1
        return self.page.locator(f"{TABLE} tbody td:nth-child({number})").all_inner_texts()

    @property
    def headings(self) -> list[str]:
        return [text.strip() for text in self.page.locator(f"{TABLE} thead th").all_inner_texts()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium, as .ci/run does where it can")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path)
        yield started
        started.close()


@pytest.fixture(scope="module")
def opened(browser, made) -> Callable[..., Any]:
    """opened(width=WIDE, scheme="light") as Opened."""

    @contextmanager
    def run(width: int = WIDE, scheme: str = "light", path: Path = made.path) -> Iterator[Opened]:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        found = Opened(page)
        page.on("console", lambda message: found.errors.append(message.text))
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]")
        yield found
        page.close()

    return run


def until_sorted(heading: Any, direction: str) -> None:
    """Waits until the heading says so; an error after a while."""
    heading.and_(heading.page.locator(f"[aria-sort={direction}]")).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_is_drawn_in_its_width_without_an_error_or_a_request(opened, made, width, scheme):
    with opened(width, scheme) as found:
        assert found.errors == []
        assert [url for url in found.requests if not url.startswith("data:")] == [made.path.as_uri()]
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        assert found.page.title() == "fake: report of amad_bench"  # no text became a program
        assert found.page.locator("table.dataTable img").count() == 0
        drawn, asked = (
            found.page.locator("table.dataTable").count(),
            found.page.locator("[data-table]").count(),
        )
        assert drawn == asked > 10


def test_a_click_on_a_heading_sorts_by_number(opened):
    with opened() as found:
        heading = found.page.locator(f"{TABLE} thead th").nth(found.headings.index("Difference [95 %]"))
        assert len(found.column("A")) == 15  # of 40: the others are drawn when they are asked for
        for end, first in (("ascending", "−3.0 [−1.0, 3.0]"), ("descending", "+16.5 [−1.0, 3.0]")):
            heading.click()
            until_sorted(heading, end)
            assert found.column("Difference [95 %]")[0] == first
        ends = [float(cell.split()[0].replace("−", "-")) for cell in found.column("Difference [95 %]")]
        assert ends == sorted(ends, reverse=True)


def test_a_search_filters(opened):
    with opened() as found:
        container = found.page.locator(f"{TABLE}_wrapper")
        search = container.locator("input[type=search]")
        search.fill('"8 → 3"')  # quoted, else its words are looked for
        container.get_by_text("1 to 15 of 20").wait_for()
        assert set(found.column("Heads")) == {"8 → 3"}
        search.fill("no such text")
        container.get_by_text("No matching records found").wait_for()
        search.fill("")
        container.get_by_text("1 to 15 of 40").wait_for()
        container.locator(".dt-paging .next").click()
        container.get_by_text("16 to 30 of 40").wait_for()


def test_a_keyboard_reaches_the_verdicts_and_sorts(opened):
    with opened() as found:
        page = found.page
        page.keyboard.press("Tab")
        assert page.evaluate(f"{FOCUSED}.textContent") == "To the verdicts"
        assert (
            page.evaluate(f"{FOCUSED}.getBoundingClientRect().top") >= 0
        )  # it is seen once it has the focus
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#verdicts"
        within = f"{FOCUSED}.closest('{TABLE} thead th')"
        for _ in range(100):
            page.keyboard.press("Tab")
            if page.evaluate(f"{within} !== null"):
                break
        assert page.evaluate(f"getComputedStyle({FOCUSED}).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        until_sorted(page.locator(f"{TABLE} thead th").first, "ascending")


def test_the_parts_of_a_claim_unfold(opened):
    with opened(NARROW) as found:
        parts = found.page.locator("#claim_C1")
        assert not parts.is_visible()
        found.page.locator("summary").first.click()
        assert parts.locator("tbody tr").count() == 1
        assert parts.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "selector", ["main p", ".fine", ".word", "figure text", "a", f"{TABLE} td", ".exploratory"]
)
def test_text_stands_out(opened, scheme, selector):
    with opened(scheme=scheme) as found:
        style = f"getComputedStyle(document.querySelector('{selector}'))"
        ink = found.page.evaluate(f"{style}.{'fill' if selector == 'figure text' else 'color'}")
        paper = found.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert contrast(ink, paper) >= CONTRAST


def contrast(ink: str, paper: str) -> float:
    """The contrast ratio of two colours as the browser says them, by WCAG 2.1."""
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
