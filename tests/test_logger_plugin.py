"""The logger plugin: what Snakemake needs of it, and that nothing it does can harm a sweep."""

import io
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_logger_plugin_amad_bench import LogHandler, LogHandlerSettings


class Level:
    """As Snakemake's enum of quietness."""

    def __init__(self, name: str) -> None:
        self.name = name


Captured = pytest.CaptureFixture[str]


def handler(off: bool = False, **common: Any) -> LogHandler:
    known = {"quiet": None, "stdout": False, "nocolor": False, "dryrun": False, "printshellcmds": False}
    known |= {"debug_dag": False, "verbose": False, "show_failed_logs": False}
    made = LogHandler(SimpleNamespace(**(known | common)), LogHandlerSettings(off=off))
    made.setFormatter(logging.Formatter("own: %(message)s"))
    return made


def record(message: str, event: str | None = None, level: int = logging.INFO) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "event": event, "levelno": level})


def test_snakemake_finds_it_and_its_option() -> None:
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    plugin = LoggerPluginRegistry().plugins["amad-bench"]
    assert plugin.log_handler is LogHandler
    assert plugin.cli_prefix == "logger-amad-bench"


def test_it_takes_the_stream_unless_it_is_off(capsys: Captured) -> None:
    shown, off = handler(), handler(off=True)
    assert (shown.writes_to_stream, off.writes_to_stream) == (True, False)
    for one in (shown, off):
        one.handle(record("a message"))
        one.close()
        one.close()
    assert capsys.readouterr().err == "own: a message\n"


def test_a_dry_run_goes_to_stdout(capsys: Captured) -> None:
    handler(stdout=True, dryrun=True).handle(record("a message"))
    assert capsys.readouterr() == ("own: a message\n", "")


@pytest.mark.parametrize(
    ("quiet", "dry_run", "expected"),
    [
        (["HOST"], False, "own: a message\nown: an error\n"),
        (["RULES", "PROGRESS"], False, "own: an error\n"),
        (["ALL"], False, ""),
        (["ALL"], True, "own: an error\n"),
    ],
)
def test_quiet(capsys: Captured, quiet: list[str], dry_run: bool, expected: str) -> None:
    quieter = handler(quiet=list(map(Level, quiet)), dryrun=dry_run)
    quieter.handle(record("a message"))
    quieter.handle(record("an error", level=logging.ERROR))
    assert capsys.readouterr().err == expected


def test_a_view_that_fails_leaves_snakemakes_own_lines(capsys: Captured) -> None:
    one = handler()
    one.handle(record("", event="job_info"))  # without all that a job has
    for event in ("shellcmd", "debug_dag", "job_finished", None):
        one.handle(record(f"message of {event}", event))
    one.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("amad-bench: the view of the sweep ended (AttributeError: ")
    assert lines[1:] == ["own: ", "own: message of job_finished", "own: message of None"]


def test_a_view_that_cannot_be_made_leaves_snakemakes_own_lines(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no terminal")

    monkeypatch.setattr("amad_bench.view.sweep.Sweep", broken)
    one = handler()
    one.handle(record("a message"))
    one.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("ended (OSError: no terminal); the sweep goes on, with Snakemake's own lines")
    assert lines[1:] == ["own: a message"]


def test_a_view_that_failed_while_it_repainted(capsys: Captured) -> None:
    one = handler()
    one._sweep.broken = ValueError("broken")
    one.handle(record("a message"))
    one.handle(record("another"))
    assert capsys.readouterr().err.splitlines() == [
        "own: a message",
        "amad-bench: the view of the sweep ended (ValueError: broken); the sweep goes on, with Snakemake's "
        "own lines",
        "own: another",
    ]


def test_a_reader_that_has_gone_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    one = handler()
    one.handle(record("a message"))
    one.handle(record("another"))
    one.close()
