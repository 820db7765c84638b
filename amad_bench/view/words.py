"""Durations and numbers as a person reads them."""


def duration(seconds: float) -> str:
    """A time span in the unit that leaves few digits."""
    minutes = seconds / 60
    if minutes >= 90:
        return f"{minutes / 60:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 1.5 else f"{seconds:.0f} s"


def counted(number: int, what: str) -> str:
    """A number of things: "1 run", "2 runs"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def fitted(text: str, width: int) -> str:
    """The text in at most `width` characters; ".." stands for what its middle lacks, since both ends tell."""
    if len(text) <= width:
        return text
    if width <= 4:
        return text[: max(0, width)]
    head = (width - 2) * 2 // 3
    return f"{text[:head]}..{text[len(text) - (width - 2 - head) :]}"
