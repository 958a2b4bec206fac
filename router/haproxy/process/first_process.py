"""The first process of HAProxy's container: HAProxy's parent, which makes log lines of what HAProxy says of itself.

Run by its path, on a bare interpreter, for it lives as long as HAProxy and shall cost little:
``python -I -S first_process.py <json or text> <state directory> <HAProxy's command line as a JSON array> [<Python's arguments>...]``.

With Python's arguments, HAProxy is started on a configuration that nobody has judged, for that takes as long as to start: if HAProxy does not
take it, this process becomes Python with these arguments, which finds out why, and starts HAProxy on what is good.

HAProxy could not be that process, with the filter as its child: its master ends when it has no child left, whoever that is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, ModuleType

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are meant for HAProxy. Whoever starts this program blocks them, so that none is lost before it can be passed on."""

_BESIDE = Path(__file__)
_STANDARD_ERROR = 2
_PIECE = 65536
_LONGEST_LINE = 16384  # bytes; more goes on as a line of its own
_STARTED = "Loading success."
"""What HAProxy's master says when its worker has the ports and serves."""
_LAST_WORDS_S = 1.0
"""How long lines of workers are waited for after the master's end."""


class FirstProcess:
    """HAProxy, from its start to its end.

    Args:
        command: absolute path and arguments.
    """

    def __init__(self, command: list[str]) -> None:
        self._pid = 0
        self.was_told = False
        """Whether a signal was passed on: then its end is what somebody wanted."""
        self.exit_code: int | None = None
        """Its master's; 128 and the signal's number if one ended it."""
        self._wake_end, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._reap)
        for number in PASSED_ON:
            signal.signal(number, self._pass_on)
        self._messages, write_end = os.pipe()
        # Where we do not follow, because nobody reads the log, lines are lost: HAProxy waits for nothing.
        os.set_blocking(write_end, False)
        launch = str(_BESIDE.with_name("launch.py"))
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", launch, str(os.getpid()), *command],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, write_end, _STANDARD_ERROR)],
        )
        os.close(write_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)

    def lines(self) -> Iterator[str]:
        """Give its lines, until it has ended and nothing comes any more."""
        rest = b""
        ends_s = 0.0
        poll = select.poll()
        poll.register(self._messages, select.POLLIN)
        poll.register(self._wake_end, select.POLLIN)
        while True:
            if self.exit_code is not None:
                ends_s = ends_s or time.monotonic() + _LAST_WORDS_S
                if time.monotonic() >= ends_s:
                    break
            ready = {descriptor for descriptor, _ in poll.poll(_LAST_WORDS_S * 1000 if ends_s else None)}
            if self._wake_end in ready:
                os.read(self._wake_end, _PIECE)
            if self._messages not in ready:
                continue
            piece = os.read(self._messages, _PIECE)
            if not piece:
                break
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                whole.append(rest)
                rest = b""
            yield from (line.decode(errors="replace") for line in whole)
        if rest:
            yield rest.decode(errors="replace")
        # Where standard error was closed by all that had it, the end is near.
        poll.unregister(self._messages)
        while self.exit_code is None:
            poll.poll()
            os.read(self._wake_end, _PIECE)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the form of a handler
        # Until it is reaped, its id belongs to nobody else.
        self.was_told = True
        if self.exit_code is None:
            os.kill(self._pid, number)

    def _reap(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the form of a handler
        """Take note of its end, and of that of orphans, which become our children where we are the first process."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = code if code >= 0 else 128 - code


def main(log_format: str, state_dir: str, command: str, *again: str) -> int:
    """Start HAProxy, write to standard error what is to be told of what it says, and give its exit code.

    Does not return where HAProxy did not start and there is something to do about it.
    """
    messages = _messages()
    route_of = messages.RoutesOfBackends(Path(state_dir))
    as_line = messages.as_json if log_format == "json" else messages.as_text
    haproxy = FirstProcess(json.loads(command))
    has_started = False
    for said in haproxy.lines():
        line = said
        has_started = has_started or _STARTED in said
        if not messages.is_log_entry(said):
            told = messages.message(said, route_of)
            if told is None:
                continue
            line = as_line(told, datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        try:
            os.write(_STANDARD_ERROR, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            # Lost, as the router's own are where nobody reads them.
            continue
    if again and haproxy.exit_code and not has_started and not haproxy.was_told:
        # With all signals as they were for this one, which is about to have no handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        os.execv(sys.executable, [sys.executable, *again])  # noqa: S606 - becoming it is what there is to do
    return haproxy.exit_code or 0


def _messages() -> ModuleType:
    """Give the module beside this one: our package is not to be found on a bare interpreter."""
    spec = importlib.util.spec_from_file_location("messages", _BESIDE.with_name("messages.py"))
    if spec is None or spec.loader is None:
        raise ImportError("messages.py is not beside first_process.py")
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for it there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
