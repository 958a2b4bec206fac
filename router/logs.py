"""How log lines are written: constant events with keys, as JSON or for people, on standard error.

Nothing that happens to standard error reaches whoever logs: a line that cannot be written (nobody reads any more, the disk is full, it
is closed) or not soon (the reader has stopped) is lost and counted, and the next that can be written says how many were. The same holds for
lines of libraries (``logging``, ``warnings``) and for HAProxy's, which are log lines of ours.

HAProxy's lines about connections are not among them: they go straight to where ``--log-address`` says.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Any, Literal, TextIO

import structlog

from router.supervisor import SUPERVISOR

LogFormat = Literal["auto", "json", "text"]

_STALLED_S = 0.2
"""How long a line waits for a reader that reads; once. The next do not wait until it reads again."""
_PIECE = 4096
"""A pipe that poll calls writable takes so many bytes at once (PIPE_BUF, pipe(7)); of a larger piece the rest could wait."""
_LAST_STANDARD_FD = 2


class Lines:
    """Writes lines to a file descriptor, never raises and never waits for long; any thread.

    Args:
        descriptor: where to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.told_lost: Callable[[int], str] = "{} log lines lost".format
        """Makes the line that says how many were lost before it."""
        self._lock = threading.Lock()
        self._is_stalled = False
        self._is_broken_off = False
        self._untold = 0
        self.lost = 0
        """How many lines were lost."""

    def write(self, line: str) -> None:
        """Write a line, or lose it."""
        with self._lock:
            if self._untold and self._wrote(self.told_lost(self._untold)):
                self._untold = 0
            if self._untold or not self._wrote(line):
                self._lose()

    def lose(self) -> None:
        """Count a line that could not even be made."""
        with self._lock:
            self._lose()

    def _lose(self) -> None:
        self.lost += 1
        self._untold += 1

    def _wrote(self, line: str) -> bool:
        rest = memoryview(f"{line}\n".encode(errors="backslashreplace"))
        if self._is_broken_off:
            rest = memoryview(b"\n" + rest)
        try:
            while rest:
                if not self._takes_more():
                    return False
                written = os.write(self._descriptor, rest[:_PIECE])
                rest = rest[written:]
                # What comes next must not go on in the middle of this one.
                self._is_broken_off = bool(rest)
        except OSError:
            return False
        return True

    def _takes_more(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        self._is_stalled = not poll.poll(0 if self._is_stalled else _STALLED_S * 1000)
        return not self._is_stalled


class _Logger(structlog.make_filtering_bound_logger(logging.NOTSET)):  # type: ignore[misc]  # a class made at run time
    """Loses a line of which no text can be made."""

    def _proxy_to_logger(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on as it comes
        try:
            return super()._proxy_to_logger(*args, **kwargs)
        except (TypeError, ValueError, RecursionError):
            _stderr.lose()


class _Output:
    """What structlog hands finished lines to."""

    def msg(self, line: str) -> None:
        """Write it."""
        _stderr.write(line)

    log = debug = info = warning = error = critical = msg


class _OfLibraries(logging.Handler):
    """Makes a log line of ours of each record of ``logging``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it."""
        try:
            line = record.getMessage()
        except (TypeError, ValueError):
            line = str(record.msg)
        log = structlog.get_logger()
        level = record.levelno if record.levelno in _LEVELS else logging.WARNING
        log.log(level, "library", logger=record.name, line=line, exc_info=record.exc_info or None)


_LEVELS = {logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL}


_stderr = Lines(_LAST_STANDARD_FD)


def pass_on(line: str) -> None:
    """Write a line that is a log line already, HAProxy's about a connection."""
    _stderr.write(line)


def lost_lines() -> int:
    """Give how many log lines were lost; any thread."""
    return _stderr.lost


def is_json(wanted: LogFormat) -> bool:
    """Decide the format: ``auto`` is for people on a terminal and JSON elsewhere."""
    return wanted == "json" or (wanted == "auto" and not _is_terminal())


def configure(*, json: bool) -> None:
    """Make every log line from now on JSON, or text for people."""
    _open_standard_descriptors()
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=_is_terminal(), exception_formatter=_printable_traceback)
    )
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if json else [_printable_values]),
        renderer,
    ]

    def told_lost(count: int) -> str:
        line: Any = {
            "event": "log lines lost",
            "lines": count,
            "problem": "they could not be written to standard error",
        }
        for processor in processors:
            line = processor(None, "warning", line)
        return str(line)

    _stderr.told_lost = told_lost
    structlog.configure(processors=processors, wrapper_class=_Logger, logger_factory=lambda *_: _Output())


class _Quoted:
    """Text in quotes, with escapes for what is not printable."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _printable_values(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Quote what would move a reader's cursor, or end a line: names in manifests may have any characters. JSON escapes it by itself."""
    return {
        key: _Quoted(value) if key != "event" and isinstance(value, str) and not value.isprintable() else value
        for key, value in line.items()
    }


def _printable_traceback(out: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """Write a traceback, its lines apart and else printable."""
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    out.write("".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in plain.getvalue()))


def take_in_libraries() -> None:
    """Make log lines of ours of all that libraries log, warn of, and let their threads die of."""
    logging.raiseExceptions = False
    logging.basicConfig(level=logging.WARNING, handlers=[_OfLibraries()], force=True)
    logging.captureWarnings(capture=True)
    threading.excepthook = _library_thread_died


def _library_thread_died(died: threading.ExceptHookArgs) -> None:
    name = "library"
    SUPERVISOR.stranger_died(name)
    error = died.exc_value
    who = died.thread.name if died.thread is not None else ""
    structlog.get_logger().critical("thread died", thread=name, thread_name=who, problem=repr(error), exc_info=error)


def _is_terminal() -> bool:
    return os.isatty(_LAST_STANDARD_FD)


def _open_standard_descriptors() -> None:
    """Lead standard input, output and error that are closed to nowhere: else the next file that is opened would get our lines."""
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD_FD:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - a positional-only one
        os.close(descriptor)
