"""ClientHellos of all lengths and splits on a shared port, with a real HAProxy."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.model import Model
from router.render import TemplateSet
from router.settings import RenderSettings
from tests.support.clients import connect
from tests.support.haproxy import running
from tests.support.hellos import client_hello, records
from tests.support.models import section, server, shared
from tests.support.ports import free_port
from tests.support.servers import TcpServer

HOST = "broker.example.com"
WHOLE = client_hello(HOST)
LONGEST = 65536


def _answering() -> TcpServer:
    """Give a server that answers with one byte as soon as it has one."""

    def handle(connection: socket.socket) -> None:
        if connection.recv(1):
            connection.sendall(b"!")
        while connection.recv(65536):
            pass

    return TcpServer(handle)


@contextlib.contextmanager
def _shared_port(settings: RenderSettings, templates: TemplateSet | None = None) -> Iterator[int]:
    with _answering() as pod:
        port = free_port()
        route = section("broker", None, server(pod.port), check_interval_ms=0)
        with running(Model((route,), (shared(port, {HOST: route}),)), settings, templates):
            yield port


@pytest.fixture
def port(settings: RenderSettings) -> Iterator[int]:
    """A shared port that leads the host to a server."""
    with _shared_port(settings) as number:
        yield number


def _reaches(port: int, *pieces: bytes) -> bool:
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.sendall(piece)
            return connection.recv(1) == b"!"
        except (ConnectionResetError, BrokenPipeError):
            return False


def test_a_name_with_a_dot_at_its_end_is_the_name_without(port: int) -> None:
    """A fully qualified name is the same host (OpenShift's router takes it); a dot elsewhere makes another."""
    assert _reaches(port, records(client_hello(f"{HOST}.")))
    assert not _reaches(port, records(client_hello(f".{HOST}")))
    assert not _reaches(port, records(client_hello("broker..example.com")))


def test_a_hello_may_be_split_anywhere(port: int) -> None:
    """Between any two bytes: within its head, before, in the middle of and after the name."""
    assert all(_reaches(port, records(WHOLE, [at])) for at in range(1, len(WHOLE)))


def test_a_hello_in_many_records(port: int) -> None:
    """As many as 64 are read, whatever their lengths and however they arrive."""
    assert _reaches(port, records(WHOLE, [1] * 63))
    assert _reaches(port, *(bytes([byte]) for byte in records(WHOLE, [3] * 20)))
    assert not _reaches(port, records(WHOLE, [1] * 64))


@pytest.mark.parametrize("length", [1800, 15360, 16384, 20000, 40000, LONGEST])
def test_a_long_hello(port: int, length: int) -> None:
    """Up to 64 KiB."""
    assert _reaches(port, records(client_hello(HOST, length)))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(records(client_hello("other.example.com", 20000)), id="unknown-name"),
        pytest.param(records(client_hello(None, 20000)), id="no-name"),
        pytest.param(records(WHOLE[:40]) + b"\x17" + records(WHOLE[40:])[1:], id="other-record-within"),
        pytest.param(records(b"\x01" + b"\x00\x00\x30" + b"\xff" * 48, [20]), id="nonsense"),
        pytest.param(records(b"\x01" + (LONGEST - 3).to_bytes(3, "big"), [2]), id="longer-than-64-KiB"),
        pytest.param(b"\x16\x03\x01\x00\x00" * 20, id="empty-records"),
        pytest.param(b"\x16\x03\x01\xff\xff" + bytes(300), id="record-too-long"),
        pytest.param(records(b"\x02" + WHOLE[1:], [10]), id="no-client-hello"),
    ],
)
def test_what_is_no_hello_of_ours_reaches_nobody(port: int, sent: bytes) -> None:
    """It is ended, at the latest with the time that a hello has to arrive; the port serves on."""
    assert not _reaches(port, sent)
    assert _reaches(port, records(WHOLE, [40]))


def test_a_haproxy_without_lua_reads_what_it_can_by_itself(settings: RenderSettings, tmp_path: Path) -> None:
    """The configuration asks for the script only where HAProxy can run it; hellos in one record are read all the same."""
    for name in ("global.cfg.j2", "shared.cfg.j2"):
        text = (Path(__file__).parents[3] / "templates" / name).read_text()
        (tmp_path / name).write_text(text.replace(".if feature(LUA)", ".if feature(NO-SUCH)"))
    with _shared_port(settings, TemplateSet.load(tmp_path)) as number:
        assert _reaches(number, records(client_hello(f"{HOST}.", 15360)))
        assert not _reaches(number, records(WHOLE, [WHOLE.index(b"example")]))
