"""Certificates changed while HAProxy runs: what clients see, what is on disk, and what becomes of a change that was left behind."""

from __future__ import annotations

import socket
import ssl
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.errors import HaproxyError, UnexpectedReply
from router.haproxy.talk.runtime import run
from router.model import Model, RouteSection
from router.model.tls import PrivateBytes
from router.plan import Reload, RuntimeUpdate
from router.plan.commands import Answer, Command, set_certificate
from tests.support.certificates import Made, client_context, make, pem_of, shown_by
from tests.support.clients import TIMEOUT_S, connect, echoes, tls
from tests.support.models import section, server
from tests.support.ports import free_port
from tests.support.runtime import Applying, applying
from tests.support.servers import TcpServer, echo_server, greeting_server
from tests.support.waiting import wait_for

_HOST = "db.example.com"
_OLD, _NEW = make(_HOST), make(_HOST)


@pytest.fixture
def pod() -> Iterator[TcpServer]:
    """A pod that echoes."""
    with echo_server() as started:
        yield started


def _edge(port: int, pod: TcpServer, made: Made, name: str = "db") -> RouteSection:
    return section(name, port, server(pod.port), tls=shown_by(made), check_interval_ms=0)


def _shown(port: int, host: str | None = _HOST) -> bytes | None:
    with tls(port, host) as connection:
        return connection.getpeercert(binary_form=True)


def _der(made: Made) -> bytes:
    return ssl.PEM_cert_to_DER_cert(made.pem)


def _files(changed: Applying) -> list[Path]:
    return sorted(changed.settings.maps_dir.glob("cert-*"))


def test_another_certificate_needs_no_reload(state_dir: Path, pod: TcpServer) -> None:
    """New connections see it, with and without a server name, and those that are open go on; so it is after a restart."""
    port = free_port()
    with applying(state_dir, "127.0.0.1") as changed:
        assert isinstance(changed.bring(Model((_edge(port, pod, _OLD),))), Reload)
        assert _shown(port) == _shown(port, None) == _der(_OLD)
        with tls(port, _HOST) as held:
            assert echoes(held)
            assert isinstance(changed.bring(Model((_edge(port, pod, _NEW),))), RuntimeUpdate)
            assert _shown(port) == _shown(port, None) == _der(_NEW)
            assert echoes(held)
        wait_for(lambda: len(_files(changed)) == 1 and _NEW.pem in _files(changed)[0].read_text(), "the file to follow")
        (file,) = _files(changed)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        changed.haproxy.hurry()
        changed.haproxy.stop()
        wait_for(lambda: changed.haproxy.is_down, "HAProxy to end")
        changed.haproxy.load()
        assert _shown(port) == _der(_NEW)


def test_the_server_may_speak_first(state_dir: Path) -> None:
    """TLS comes before anything else."""
    port = free_port()
    with greeting_server(b"220 hello\r\n") as pod, applying(state_dir, "127.0.0.1") as changed:
        changed.bring(Model((_edge(port, pod, _OLD),)))
        with tls(port, None) as connection:
            assert connection.recv(100) == b"220 hello\r\n"


def test_what_is_no_tls_is_refused(state_dir: Path, pod: TcpServer) -> None:
    """No byte of a client in plain text reaches a pod."""
    port = free_port()
    with applying(state_dir, "127.0.0.1") as changed:
        changed.bring(Model((_edge(port, pod, _OLD),)))
        with connect(port) as connection:
            assert not echoes(connection, b"hello, in the open\n")
        assert pod.accepted == 0


def test_old_versions_are_refused(state_dir: Path, pod: TcpServer) -> None:
    """TLS 1.2 and 1.3 are served."""
    port = free_port()
    with applying(state_dir, "127.0.0.1") as changed:
        changed.bring(Model((_edge(port, pod, _OLD),)))
        for version, is_served in (
            (ssl.TLSVersion.TLSv1_1, False),
            (ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_3, True),
        ):
            assert _speaks(port, version) == is_served, version


def _speaks(port: int, version: ssl.TLSVersion) -> bool:
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        # Clients of today have to be talked into versions of then.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = version
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain, context.wrap_socket(plain) as secure:
            return echoes(secure)
    except (ssl.SSLError, ConnectionResetError):
        return False


def test_a_change_that_was_left_behind_is_let_go_of(state_dir: Path, pod: TcpServer) -> None:
    """HAProxy has one transaction for all certificates: that of a router that was killed would block it for ever."""
    ports = free_port(), free_port()
    with applying(state_dir, "127.0.0.1") as changed:
        changed.bring(Model(tuple(_edge(port, pod, _OLD, name) for port, name in zip(ports, "ab", strict=True))))
        first, second = _names(changed)
        begun, _ = set_certificate(first, pem_of(_NEW))
        run(changed.settings.stats_socket, [begun], TIMEOUT_S)
        assert f"*{first}" in changed.ask("show ssl cert")
        run(changed.settings.stats_socket, set_certificate(second, pem_of(_NEW)), TIMEOUT_S)
        assert "*" not in changed.ask("show ssl cert")
        assert sorted(_shown(port) == _der(_NEW) for port in ports) == [False, True]


def test_what_haproxy_refuses_leaves_nothing_behind_and_says_nothing(state_dir: Path, pod: TcpServer) -> None:
    """Neither a transaction, nor a line of the key in the error."""
    port = free_port()
    with applying(state_dir, "127.0.0.1") as changed:
        changed.bring(Model((_edge(port, pod, _OLD),)))
        (name,) = _names(changed)
        key = _NEW.key.splitlines()
        for payload in (_NEW.key + _OLD.pem, "\n\n".join(key) + "\n", "x" * 200_000 + "\n"):
            commands = list(set_certificate(name, PrivateBytes(payload.encode())))
            # Before 3.4 it closes a connection that brings more than its buffer takes.
            with pytest.raises(HaproxyError) as refused:
                run(changed.settings.stats_socket, commands, TIMEOUT_S)
            assert not any(line in str(refused.value) for line in key[1:-1])
            assert "*" not in changed.ask("show ssl cert")
        with pytest.raises(UnexpectedReply):
            run(changed.settings.stats_socket, [Command(f"commit ssl cert {name}", Answer.COMMITTED)], TIMEOUT_S)
        assert _shown(port) == _der(_OLD)


def test_a_chain_of_the_longest_that_is_accepted(state_dir: Path, pod: TcpServer) -> None:
    """It goes through HAProxy's buffer together with its command."""
    port = free_port()
    chain = "".join(make(f"{number}.example.com").pem for number in range(95))
    long = PrivateBytes(pem_of(_NEW) + chain.encode()[: 49_152 - len(pem_of(_NEW))].rpartition(b"-----BEGIN")[0])
    assert len(long) > 48_000
    with applying(state_dir, "127.0.0.1") as changed:
        changed.bring(Model((_edge(port, pod, _OLD),)))
        run(changed.settings.stats_socket, set_certificate(_names(changed)[0], long), TIMEOUT_S)
        assert _shown(port) == _der(_NEW)


def _names(changed: Applying) -> list[str]:
    return sorted(line for line in changed.ask("show ssl cert").splitlines() if line.startswith("/"))
