"""Certificates changed while HAProxy runs: what clients see, what is on disk, and what becomes of a change that was left behind."""

from __future__ import annotations

import re
import ssl
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from router.errors import HaproxyError, UnexpectedReply
from router.haproxy.talk.runtime import run
from router.model import Frontend, Model, RouteSection
from router.model.tls import PROFILES, PrivateBytes, TlsOptions
from router.plan import Reload, RuntimeUpdate
from router.plan.commands import Answer, Command, set_certificate
from router.settings import RenderSettings
from tests.support.certificates import Made, make, pem_of, shown_by
from tests.support.clients import TIMEOUT_S, connect, echoes, tls
from tests.support.haproxy import running
from tests.support.models import port_options, section, server
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


def _profile(name: str) -> TlsOptions:
    return TlsOptions(*PROFILES[name])


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


CASES: dict[str, tuple[TlsOptions, str, tuple[str, ...], str]] = {
    "1.2 by default": (TlsOptions(), "", ("-tls1_2",), "TLSv1.2"),
    "1.3 by default": (TlsOptions(), "", ("-tls1_3",), "TLSv1.3"),
    "1.1 by default": (TlsOptions(), "", ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ""),
    "1.2 with modern": (_profile("modern"), "", ("-tls1_2",), ""),
    "1.3 with modern": (_profile("modern"), "", ("-tls1_3",), "TLSv1.3"),
    "1.0 with old": (_profile("old"), "", ("-tls1", "-cipher", "ALL:@SECLEVEL=0"), "TLSv1"),
    "1.1 with old": (_profile("old"), "", ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "TLSv1.1"),
    "1.2 where the Route wants 1.3": (TlsOptions(), "TLSv1.3", ("-tls1_2",), ""),
    "1.3 where the Route wants it": (TlsOptions(), "TLSv1.3", ("-tls1_3",), "TLSv1.3"),
    "1.2 where the router wants 1.3": (TlsOptions("TLSv1.3"), "TLSv1.2", ("-tls1_2",), ""),
    "a cipher of the profile": (TlsOptions(), "", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"), "TLSv1.2"),
    "a cipher of old": (TlsOptions(), "", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), ""),
    "a cipher of old with old": (_profile("old"), "", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), "TLSv1.2"),
    "a cipher of one's own": (
        TlsOptions(ciphers="ECDHE-ECDSA-AES256-SHA"), "", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"), "TLSv1.2",
    ),
    "a cipher suite": (
        TlsOptions(ciphersuites="TLS_AES_256_GCM_SHA384"), "", ("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"), "TLSv1.3",
    ),
    "another cipher suite": (
        TlsOptions(ciphersuites="TLS_AES_256_GCM_SHA384"), "", ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"), "",
    ),
    "a curve": (TlsOptions(curves="P-384:P-256"), "", ("-tls1_3", "-curves", "P-384"), "TLSv1.3"),
    "another curve": (TlsOptions(curves="P-384:P-256"), "", ("-tls1_3", "-curves", "X25519"), ""),
}  # fmt: skip


@pytest.mark.parametrize(("options", "min_version", "client", "spoken"), CASES.values(), ids=CASES)
def test_versions_and_ciphers(
    state_dir: Path, pod: TcpServer, options: TlsOptions, min_version: str, client: tuple[str, ...], spoken: str
) -> None:
    """What OpenSSL's client offers is taken, or not."""
    port = free_port()
    edge = _edge(port, pod, _OLD)
    frontend = Frontend(port, port_options(), tls=replace(shown_by(_OLD), min_version=min_version))
    settings = RenderSettings(state_dir=state_dir, ip_mode="v4", tls=options)
    with running(Model((replace(edge, frontend=frontend),)), settings):
        said = _s_client(port, *client)
    found = re.search(r"^New, (TLSv[0-9.]+|\(NONE\)), Cipher is (?!\(NONE\))", said, re.MULTILINE)
    protocol = re.search(r"Protocol *: (\S+)", said)
    assert (
        protocol[1] if protocol is not None and found is not None else found[1] if found is not None else ""
    ) == spoken


def test_protocols_are_offered(state_dir: Path, pod: TcpServer) -> None:
    """To clients that name one of them."""
    port = free_port()
    frontend = Frontend(port, port_options(), tls=replace(shown_by(_OLD), alpn=("postgresql", "x")))
    with running(
        Model((replace(_edge(port, pod, _OLD), frontend=frontend),)), RenderSettings(state_dir=state_dir, ip_mode="v4")
    ):
        assert "ALPN protocol: postgresql" in _s_client(port, "-alpn", "postgresql")
        assert "No ALPN negotiated" in _s_client(port, "-alpn", "h2")


def _s_client(port: int, *options: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    return ran.stdout.decode(errors="replace")


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
