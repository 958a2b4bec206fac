"""One command and its answer over a UNIX socket, against peers that do not behave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

from router.errors import HaproxyUnreachable
from router.haproxy.talk.cli_socket import command
from tests.support.haproxy_sockets import answering, read_command, saying


def test_the_whole_answer_is_given(tmp_path: Path) -> None:
    """An answer of many pieces arrives as one text, and the command went out as one line."""
    answer = "line\n" * 300_000
    with saying(tmp_path / "s", answer) as commands:
        assert command(tmp_path / "s", "show info", 10) == answer
    assert commands == ["show info\n"]


def test_the_deadline_is_for_everything_together(tmp_path: Path) -> None:
    """A peer that drips forever is given up after the deadline, however steadily it drips."""
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        read_command(connection)
        while not done.wait(0.02):
            connection.sendall(b".")

    with answering(tmp_path / "s", drip):
        began_s = time.monotonic()
        with pytest.raises(HaproxyUnreachable, match=r"did not answer 'show info' on .*/s within 0\.3 s"):
            command(tmp_path / "s", "show info", 0.3)
        took_s = time.monotonic() - began_s
        done.set()
    assert 0.3 <= took_s < 2


@pytest.mark.parametrize("leave_file", [pytest.param(False, id="no file"), pytest.param(True, id="nobody listens")])
def test_without_haproxy_the_reason_and_path_are_told(tmp_path: Path, *, leave_file: bool) -> None:
    """A socket file that is missing, or left over from a HAProxy that ended, is unreachable at once."""
    path = tmp_path / "master.sock"
    if leave_file:
        with socket.socket(socket.AF_UNIX) as former:
            former.bind(str(path))
    reason = "Connection refused" if leave_file else "No such file or directory"
    with pytest.raises(HaproxyUnreachable, match=f"'reload' on {path}: {reason}"):
        command(path, "reload", 10)


def test_a_path_that_no_socket_can_have_is_told(tmp_path: Path) -> None:
    """The kernel's limit is explained, with what to do about it."""
    with pytest.raises(HaproxyUnreachable, match=r"too long for a socket .* shorter path"):
        command(tmp_path / ("x" * 100) / "haproxy.sock", "show info", 1)


@pytest.mark.parametrize("makes_room", [pytest.param(True, id="room in time"), pytest.param(False, id="stays full")])
def test_a_full_queue_is_waited_for(tmp_path: Path, *, makes_room: bool) -> None:
    """Where HAProxy is too busy to accept, the command waits for its turn within the deadline."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        before_us = stack.enter_context(socket.socket(socket.AF_UNIX))
        before_us.connect(str(tmp_path / "s"))

        def serve() -> None:
            listener.accept()[0].close()
            connection, _ = listener.accept()
            with connection:
                connection.sendall(read_command(connection).encode())

        if not makes_room:
            with pytest.raises(HaproxyUnreachable, match="did not answer"):
                command(tmp_path / "s", "x", 0.2)
            return
        later = threading.Timer(0.1, serve)
        later.start()
        assert command(tmp_path / "s", "x", 10) == "x\n"
        later.join()
