"""Facts as lines of a given width and height: a function of its arguments, without a terminal."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from amad_bench.view.facts import Counts, Facts, Running, added
from amad_bench.view.words import counted, duration, fitted

ANY_HEIGHT = 10_000
_GAP = "  "
_BAR = 24  # characters


class Part(NamedTuple):
    """A piece of a line. style: "", "bold", "dim", "red", "green" or "cyan"; colour says nothing else."""

    text: str
    style: str = ""


Line = tuple[Part, ...]


def text_of(line: Line) -> str:
    return "".join(part.text for part in line)


def headline(facts: Facts) -> str:
    """Numbers of runs done, failed, running and left."""
    total = facts.total
    why = ", ".join(f"{status} {number}" for status, number in sorted(facts.failures.items()))
    parts = [
        f"{total.planned:,} planned",
        f"{total.done:,} done",
        f"{total.failed:,} failed" + (f" ({why})" if why else ""),
        *([f"{total.running:,} running"] if total.running else []),
        f"{total.left:,} left" + (f" ({facts.interrupted:,} interrupted)" if facts.interrupted else ""),
    ]
    return ", ".join(parts)


def time_left(facts: Facts) -> str:
    """The time that is left, in words; "" when nothing is left or nothing known."""
    if not facts.seconds_left:
        return ""
    at_once = "one run at a time" if facts.at_once == 1 else f"{facts.at_once} runs at a time"
    return f"about {duration(facts.seconds_left)} left, {at_once}"


def screen(facts: Facts, steps: Sequence[str], width: int, height: int = ANY_HEIGHT) -> list[Line]:
    """All of it, in at most `height` lines of at most `width` characters.

    steps: what is being made beside runs. Where the place is short, the table is summed up by task, then left
    out; then runs are left out, and how many is said.
    """
    title = f"{facts.name}: {headline(facts)}"
    top = [(Part(line, "bold"),) for line in textwrap.wrap(title, width) or [title]]
    top += _bar(facts, width)
    if steps:
        top += [(Part(line),) for line in textwrap.wrap("being made: " + ", ".join(steps), width)]
    room = height - len(top)
    running = _running(facts.running, width, min(room, max(4, room // 2))) if facts.running else []
    tables = (_by_task_and_loss(facts, width), _by_task(facts, width), [])
    space = room - len(running) - bool(running)
    table = next(one for one in tables if not one or (len(one) < space and _fits(one, width)))
    blocks = [top, *([table] if table else []), *([running] if running else [])]
    spaced = sum(map(len, blocks)) + len(blocks) - 1 <= height
    lines: list[Line] = []
    for block in blocks:
        lines += [*([()] if lines and spaced else []), *block]
    return [_cut(line, width) for line in lines[:height]]


def _cut(line: Line, width: int) -> Line:
    parts: list[Part] = []
    for part in line:
        parts.append(Part(part.text[:width], part.style))
        width -= len(parts[-1].text)
    return tuple(part for part in parts if part.text)


def _fits(lines: Sequence[Line], width: int) -> bool:
    return all(len(text_of(line)) <= width for line in lines)


def _bar(facts: Facts, width: int) -> list[Line]:
    """The share of runs that have ended, and the time that is left, below it where it is too long."""
    total = facts.total
    ended = total.done + total.failed
    share = ended / total.planned if total.planned else 1.0
    size = min(_BAR, max(4, width - 8))
    full = int(share * size)
    percent = f" {int(100 * share):3d} %"
    bar = (
        Part("["),
        Part("#" * full, "green"),
        Part("." * (size - full), "dim"),
        Part("]" + percent),
    )
    left = time_left(facts)
    if not left:
        return [bar]
    if len(left) <= width - len(text_of(bar)) - len(_GAP):
        return [(*bar, Part(_GAP + left))]
    return [bar, *((Part(line),) for line in textwrap.wrap(left, width))]


def _cell(counts: Counts | None) -> Line:
    if counts is None:
        return (Part("-", "dim"),)
    all_done = counts.done == counts.planned
    parts = [Part(f"{counts.done}/{counts.planned}", "green" if all_done else "")]
    if counts.running:
        parts.append(Part(f" +{counts.running}", "cyan"))
    if counts.failed:
        parts.append(Part(f" !{counts.failed}", "red"))
    return tuple(parts)


_LEGEND = (Part("done/all  "), Part("+running", "cyan"), Part("  "), Part("!failed", "red"))


def _by_task_and_loss(facts: Facts, width: int) -> list[Line]:
    """A row per loss, a column per task, with a heading of a line per word."""
    tasks = list(dict.fromkeys(task for task, _ in facts.counts))
    losses = list(dict.fromkeys(loss for _, loss in facts.counts))
    words = [task.split(" ") for task in tasks]
    most = max((len(own) for own in words), default=0)
    rows: list[list[Line]] = [
        [(), *((Part(own[line] if line < len(own) else "", "dim"),) for own in words)] for line in range(most)
    ]
    rows += [[(Part(loss),), *(_cell(facts.counts.get((task, loss))) for task in tasks)] for loss in losses]
    return [_legend(width), *_columns(rows)]


def _by_task(facts: Facts, width: int) -> list[Line]:
    tasks = list(dict.fromkeys(task for task, _ in facts.counts))
    sums = [added(counts for (own, _), counts in facts.counts.items() if own == task) for task in tasks]
    rows: list[list[Line]] = [
        [(Part(task),), _cell(counts)] for task, counts in zip(tasks, sums, strict=True)
    ]
    return [_legend(width), *_columns(rows)]


def _legend(width: int) -> Line:
    return _LEGEND if len(text_of(_LEGEND)) <= width else (Part("done/all", "dim"),)


def _columns(rows: Sequence[Sequence[Line]]) -> list[Line]:
    """Rows of cells, aligned to the left."""
    widths = [max(len(text_of(cell)) for cell in column) for column in zip(*rows, strict=True)]
    lines: list[Line] = []
    for row in rows:
        parts: list[Part] = []
        for cell, width in zip(row, widths, strict=True):
            parts += [*cell, Part(" " * (width - len(text_of(cell))) + _GAP)]
        last = parts.pop().text.rstrip(" ")
        lines.append((*parts, *([Part(last)] if last else [])))
    return lines


_NAMES = ("running", "at", "loss", "steps/s", "left")


def _running(running: Sequence[Running], width: int, height: int) -> list[Line]:
    """A line per run that is being trained; columns go, the rightmost first, before names are cut short."""
    shown = running if len(running) < height else running[: max(1, height - 2)]
    doing = [_doing(one) for one in shown]
    told = [number for number in range(len(_NAMES) - 1) if any(own[number] for own in doing)]
    cells = [[row[number] for number in told] for row in (_NAMES[1:], *doing)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    while len(widths) > 1 and width - sum(widths) - len(_GAP) * len(widths) < 20:
        widths.pop()
    room = width - sum(widths) - len(_GAP) * len(widths)
    names = [_NAMES[0], *(_short(one.id, room) for one in shown)]
    first = max(map(len, names))
    lines: list[Line] = []
    for number, (name, own) in enumerate(zip(names, cells, strict=True)):
        texts = [name.ljust(first), *(text.rjust(size) for text, size in zip(own, widths, strict=False))]
        lines.append((Part(fitted(_GAP.join(texts).rstrip(), width), "" if number else "dim"),))
    if len(shown) < len(running):
        lines.append((Part(fitted(f"and {counted(len(running) - len(shown), 'run')} more", width)),))
    return lines


def _doing(one: Running) -> tuple[str, str, str, str]:
    live = one.live
    if live is None:
        return "starting", "", "", ""
    if not live.steps:
        return live.phase, "", "", ""
    rate = live.steps_per_second
    return (
        f"{live.step}/{live.steps}",
        "" if live.loss is None else f"{live.loss:.4g}",
        f"{rate:.3g}" if rate else "",
        duration((live.steps - live.step) / rate) if rate else "",
    )


def _short(run_id: str, width: int) -> str:
    """An id, without its hash where that does not fit."""
    return run_id if len(run_id) <= width else fitted(run_id.rpartition("-")[0] or run_id, width)
