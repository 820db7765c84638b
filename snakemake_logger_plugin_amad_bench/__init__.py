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
        quiet = {str(getattr(level, "value", level)).lower() for level in common.quiet or ()}
        self._mute = any("all" in level for level in quiet)
        self._stream = sys.stdout if common.stdout else sys.stderr
        self._sweep = None
        if getattr(self.settings, "off", False):
            return
        try:
            from amad_bench.view.sweep import Sweep
            from amad_bench.view.terminal import Terminal

            self._sweep = Sweep(
                Terminal(self._stream, plain=common.nocolor),
                self.format,
                silent=bool(quiet),
                dry_run=common.dryrun,
                shell_commands=common.printshellcmds,
            )
        except Exception as error:
            self._give_up(error)
