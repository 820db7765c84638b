"""Errors that end in one line (the user's mistake) or in a status (science); any other exception is a bug."""

import difflib
from collections.abc import Iterable

STATUSES = ("done", "diverged", "out_of_memory", "metric_unavailable", "teacher_failed", "pretraining_failed")
USABLE = ("done", "metric_unavailable")  # trained to the end; the second lacks some metrics only


def encodable(text: str) -> str:
    """The text with escapes for what UTF-8 lacks, as in a file name of other bytes: it ends in tables."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


class UserError(Exception):
    """A mistake of the user: one line that names the file, key or record, what was expected and what to do.

    Several mistakes that are found at once have a line each. The command line prints them on stderr and exits
    with code 2, without a traceback.
    """

    def __init__(self, message: str, *more: str) -> None:
        super().__init__(*map(encodable, (message, *more)))

    def __str__(self) -> str:
        return "\n".join(self.args)

    @property
    def messages(self) -> list[str]:
        return list(self.args)


class RunFailed(Exception):
    """A run that ended without a result for a scientific reason; `status`: one of STATUSES but "done"."""

    def __init__(self, status: str, reason: str) -> None:
        if status not in STATUSES or status == "done":
            raise ValueError(f"{status!r} is no failure status; known: {', '.join(STATUSES[1:])}")
        super().__init__(status, encodable(reason))
        self.status = status
        self.reason = self.args[1]

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?" for the known name that is closest to `name`, or "" when none is close."""
    by_lower = {option.lower(): option for option in known}
    close = difflib.get_close_matches(str(name).lower(), list(by_lower), n=1, cutoff=0.65)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""
