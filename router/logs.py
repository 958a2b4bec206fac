"""How log lines are written: constant events with keys, as JSON or for people, on standard error.

HAProxy's lines about connections are not among them: they go straight to where ``--log-address`` says.
"""

from __future__ import annotations

import sys
from typing import Literal

import structlog

LogFormat = Literal["auto", "json", "text"]


def is_json(wanted: LogFormat) -> bool:
    """Decide the format: ``auto`` is for people on a terminal and JSON elsewhere."""
    return wanted == "json" or (wanted == "auto" and not sys.stderr.isatty())


def configure(*, json: bool) -> None:
    """Make every log line from now on JSON, or text for people."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if json else []),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
