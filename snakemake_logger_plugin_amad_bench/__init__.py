"""Snakemake's logger plugin `amad-bench`: the view of a sweep in the place of a list of jobs.

Snakemake finds it by the name of this package. What it shows is made in `amad_bench.view`.
"""

import logging
import sys
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Options of Snakemake's command line."""

    off: bool = field(
        default=False, metadata={"help": "Snakemake's own output in the place of the view", "required": False}
    )


class LogHandler(LogHandlerBase):
    """Shows a sweep; whatever goes wrong in showing it, the sweep goes on under Snakemake's own lines."""

    def __post_init__(self) -> None:
        logging.Handler.__init__(self)  # Snakemake before 9.11 leaves that out
        common: Any = self.common_settings
        quiet = {level.name.lower() for level in common.quiet or ()}
        self._quiet = bool(quiet & {"rules", "progress", "all"})
        self._mute = "all" in quiet and not common.dryrun
        self._stream = sys.stdout if common.stdout else sys.stderr
        self._sweep: Any = None
        self._off = bool(getattr(self.settings, "off", False))
        if self._off or self._mute:
            return
        try:
            from amad_bench.view.sweep import Sweep
            from amad_bench.view.terminal import Terminal

            self._sweep = Sweep(
                Terminal(self._stream, plain=common.nocolor),
                self.format,
                silent=self._quiet,
                dry_run=common.dryrun,
                shell_commands=common.printshellcmds,
            )
        except Exception as error:
            self._give_up(error)

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record says."""
        if self._off or self._mute:
            return
        if self._sweep is not None:
            try:
                self._sweep.record(record)
                if self._sweep.broken is not None:
                    self._give_up(self._sweep.broken)
                return
            except Exception as error:
                self._give_up(error)
        if self._wanted(record):
            self._print(self.format(record))

    def close(self) -> None:
        """The end of the sweep's view; Snakemake calls it, or Python at its exit."""
        sweep, self._sweep = self._sweep, None
        if sweep is not None:
            try:
                sweep.close()
            except Exception as error:
                self._give_up(error)
        super().close()

    def _give_up(self, error: Exception) -> None:
        self._sweep = None
        self._print(
            f"amad-bench: the view of the sweep ended ({type(error).__name__}: {error}); the sweep goes on, "
            "with Snakemake's own lines"
        )

    def _wanted(self, record: logging.LogRecord) -> bool:
        """Whether Snakemake itself would print a record."""
        common: Any = self.common_settings
        event = getattr(record, "event", None)
        asked = {"shellcmd": common.printshellcmds, "debug_dag": common.debug_dag}
        return asked.get(str(event), record.levelno >= logging.WARNING or not self._quiet)

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._stream, flush=True)
        except OSError:  # its reader has gone
            self._off = True

    @property
    def writes_to_stream(self) -> bool:
        return not self._off  # else Snakemake takes its own handler

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False
