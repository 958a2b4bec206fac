"""Sockets that say one thing to whoever connects."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.errors import SettingsError
from router.haproxy.generations.answers import Answers
from router.observe.health import Health
from router.observe.probe_sockets import probe_sockets
from tests.support.generation import probe
from tests.support.network import own_network
from tests.support.waiting import wait_for


@pytest.fixture
def health() -> list[str]:
    """What is wrong with the router."""
    return []


@pytest.fixture
def sockets(tmp_path: Path, health: list[str]) -> Iterator[Path]:
    """A folder with the sockets of probes."""
    answers = probe_sockets(
        (tmp_path / "alive.sock", lambda: Health(())), (tmp_path / "ready.sock", lambda: Health(tuple(health)))
    )
    answers.start()
    yield tmp_path
    answers.stop()


def heard(path: Path) -> bytes:
    """Connect, and read to the end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        said = b""
        while piece := connection.recv(4096):
            said += piece
        return said


def test_probes_hear_whether_all_is_well(sockets: Path, health: list[str]) -> None:
    """The command of the manifests succeeds exactly while it is; the answer has a line for each problem."""
    assert probe(sockets / "ready.sock") == 0
    health += ["one thing", "another"]
    assert probe(sockets / "ready.sock") != 0
    assert heard(sockets / "ready.sock") == b"one thing\nanother\n"
    assert probe(sockets / "alive.sock") == 0
    assert probe(sockets / "none.sock") != 0


def test_sockets_are_for_our_user_alone(sockets: Path) -> None:
    """Their files have mode 600."""
    assert stat.S_IMODE((sockets / "ready.sock").stat().st_mode) == 0o600


def test_one_who_does_not_read_keeps_nobody_waiting(tmp_path: Path) -> None:
    """He gets what fits, for a while; and one who has gone before his answer is no loss."""
    answers = Answers(
        "test", {tmp_path / "long.sock": lambda: b"x" * 10_000_000, tmp_path / "short.sock": lambda: b"ok"}
    )
    answers.start()
    try:
        with socket.socket(socket.AF_UNIX) as idle, socket.socket(socket.AF_UNIX) as gone:
            gone.connect(str(tmp_path / "long.sock"))
            gone.close()
            idle.connect(str(tmp_path / "long.sock"))
            assert heard(tmp_path / "short.sock") == b"ok"
    finally:
        answers.stop()


def test_what_a_killed_router_left_is_replaced_and_nothing_is_left_in_the_end(tmp_path: Path) -> None:
    """A socket's file outlives its process. What is no socket is somebody's, and stays."""
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    answers = Answers("test", {path: lambda: b"ok"})
    answers.start()
    assert heard(path) == b"ok"
    answers.stop()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(SettingsError, match="--state-dir"):
        Answers("test", {path: lambda: b"ok"})
    assert path.read_text() == "mine"
    with pytest.raises(SettingsError, match="--state-dir"):
        Answers("test", {tmp_path / ("x" * 120): lambda: b"ok"})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_user_hears_nothing() -> None:
    """An abstract socket has no file, so that anybody may connect; but nothing is said to him."""
    with own_network():
        answers = Answers("test", {b"name": lambda: b"ok"})
        answers.start()
        try:
            child = os.fork()
            if child == 0:
                os.setresuid(54321, 54321, 54321)
                with socket.socket(socket.AF_UNIX) as stranger:
                    stranger.settimeout(10)
                    stranger.connect(b"\0name")
                    os._exit(len(stranger.recv(2)))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            with socket.socket(socket.AF_UNIX) as ours:
                ours.connect(b"\0name")
                wait_for(lambda: ours.recv(2) == b"ok", "the answer")
        finally:
            answers.stop()
