"""Plain clients through a stunnel beside them, and TLS by name through one port: real programs, by what the command prints."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.haproxy.process.binary import find_binary
from tests.e2e.conftest import Make
from tests.e2e.test_real_clients import output
from tests.support.certificates import Made, make
from tests.support.clients import connect, echoes
from tests.support.commands import Ended, invoke
from tests.support.daemons import Command, redis_server, smtp_server, ssh_server
from tests.support.databases import mariadb, mariadb_server, postgresql, psql
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.probing import is_refused
from tests.support.programs import requires_program
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

AUTHORITY = make("authority", is_authority=True)
HOST = "db.example.com"
FORMS = ("stunnel", "socat", "ncat", "haproxy")
"""Those that listen for clients."""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The file of those who sign certificates."""
    path = tmp_path / "in a folder" / "authority.pem"
    path.parent.mkdir()
    path.write_text(AUTHORITY.pem)
    return path


@pytest.fixture
def one_port(make_router: Make) -> RouterProcess:
    """A router with an SNI port, whose clients would be told so."""
    return make_router("--canonical-hostname", "127.0.0.1", sni_port=free_port())


def edge(name: str, port: int, host: str = HOST, made: Made | None = None, **spec: Any) -> list[dict[str, Any]]:
    """Make an application without a port of its own, whose TLS the router ends."""
    shown = made or make(host, signed_by=AUTHORITY)
    tls = {"termination": "edge", "certificate": shown.pem, "key": shown.key}
    return app(name, None, ("127.0.0.1", port), spec={"host": host, "tls": tls, **spec})


def printed(router: RouterProcess, asker: str, authority: Path, *options: str, form: str = "stunnel") -> Ended:
    """Ask a running router how clients reach somebody."""
    return invoke(
        "stunnel", asker, "--router", f"127.0.0.1:{router.http_port}", "--ca-file", authority, "--as", form, *options
    )


@contextlib.contextmanager
def running(command: Command, folder: Path, port: int) -> Iterator[None]:
    """Run what listens on a port, and end it with all that it started."""
    log = folder / "bridge.log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or not is_refused(port), f"{command[0]} to listen")
        assert process.poll() is None, log.read_text(errors="replace")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            # socat and ncat have a process for each connection; the group is of this test alone.
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def command_of(form: str, text: str, folder: Path) -> Command:
    """Give the command line that starts what was printed, as its user would."""
    if form in {"stunnel", "haproxy"}:
        config = folder / f"{form}.conf"
        config.write_text(text)
        program = requires_program("stunnel") if form == "stunnel" else find_binary(None).path
        return [program, *(["-f"] if form == "haproxy" else []), config]
    (line,) = [line for line in text.splitlines() if line and not line.startswith("#")]
    requires_program(form)
    return shlex.split(line)


@contextlib.contextmanager
def bridge(router: RouterProcess, asker: str, authority: Path, folder: Path, form: str = "stunnel") -> Iterator[int]:
    """Run what the command prints; give the port for plain clients."""
    port = free_port()
    ended = printed(router, asker, authority, "--accept", f"127.0.0.1:{port}", form=form)
    assert ended.exit_code == 0, ended.stderr
    with running(command_of(form, ended.stdout, folder), folder, port):
        yield port


def served(router: RouterProcess, *objects: dict[str, Any]) -> None:
    """Have one application served."""
    router.write("app.yaml", *objects)
    router.start()
    router.wait_admitted(f"team/{objects[0]['metadata']['name']}")


def test_mysql(one_port: RouterProcess, authority: Path, tmp_path: Path) -> None:
    """The server speaks first, and its client knows nothing of TLS here."""
    with mariadb_server() as own:
        served(one_port, *edge("sql", own))
        with bridge(one_port, "team/sql", authority, tmp_path) as port:
            assert output(mariadb(port, "--skip-ssl", "--execute", "SELECT 6 * 7")) == "42\n"


def test_postgresql(one_port: RouterProcess, authority: Path, tmp_path: Path) -> None:
    """Plain on both ends, TLS between."""
    with postgresql() as own:
        served(one_port, *edge("pg", own))
        with bridge(one_port, "team/pg", authority, tmp_path) as port:
            assert output(psql(port, "-c", "SELECT 6 * 7")) == "42\n"


def test_redis(one_port: RouterProcess, authority: Path, tmp_path: Path) -> None:
    """Several commands on a connection, and a large value."""
    client = requires_program("redis-cli")
    with redis_server() as own:
        served(one_port, *edge("cache", own))
        with bridge(one_port, "team/cache", authority, tmp_path) as port:
            value = "x" * 300_000
            answers = output([client, "-p", str(port)], f"SET word {value}\nSTRLEN word\nGET word\n").split()
    assert answers == ["OK", "300000", value]


def test_smtp(one_port: RouterProcess, authority: Path, tmp_path: Path) -> None:
    """A mail arrives."""
    swaks = requires_program("swaks")
    with smtp_server() as (own, mail):
        served(one_port, *edge("mail", own))
        with bridge(one_port, "team/mail", authority, tmp_path) as port:
            told = output(
                [swaks, "--server", "127.0.0.1", "--port", str(port), "--from", "a@example.com", "--to", "b@example.com",
                 "--body", "through the bridge"]
            )  # fmt: skip
            assert "<-  250 Ok" in told
        assert "through the bridge" in mail.read_text()


def test_ssh(one_port: RouterProcess, authority: Path, tmp_path: Path) -> None:
    """A command and what it prints; the server's key is the one that is known."""
    with ssh_server(tmp_path) as sshd:
        served(one_port, *edge("shell", sshd.port))
        with bridge(one_port, "team/shell", authority, tmp_path) as port:
            assert output(sshd.command(port, "cat; echo over"), "a word ") == "a word over\n"


@pytest.mark.parametrize("form", FORMS)
def test_each_form_verifies(make_router: Make, echo: TcpServer, authority: Path, tmp_path: Path, form: str) -> None:
    """What is printed for each program reaches the pod; a certificate for another name, or by another CA, reaches nothing."""
    sni_port = free_port()
    router = make_router("--canonical-hostname", "127.0.0.1", sni_port=sni_port)
    wrong_name, wrong_issuer = make("other.example.com", signed_by=AUTHORITY), make("c.example.com")
    router.write("good.yaml", *edge("good", echo.port))
    router.write("name.yaml", *edge("name", echo.port, "b.example.com", wrong_name))
    router.write("issuer.yaml", *edge("issuer", echo.port, "c.example.com", wrong_issuer))
    router.start()
    for name in ("good", "name", "issuer"):
        router.wait_admitted(f"team/{name}")
    with bridge(router, "team/good", authority, tmp_path, form) as port, connect(port) as connection:
        connection.sendall(b"x" * 30_000)
        with connection.makefile("rb") as answer:
            assert answer.read(30_000) == b"x" * 30_000
    for name, options in (("name", ("--server-name", "b.example.com")), ("issuer", ())):
        port = free_port()
        ended = printed(router, f"team/{name}", authority, "--accept", f"127.0.0.1:{port}", *options, form=form)
        assert ended.exit_code == 0, ended.stderr
        folder = tmp_path / name
        folder.mkdir()
        with running(command_of(form, ended.stdout, folder), folder, port), connect(port) as connection:
            assert not echoes(connection), name


def test_openssl_form(one_port: RouterProcess, echo: TcpServer, authority: Path) -> None:
    """It is the client itself: what is typed comes back; another CA is refused."""
    requires_program("openssl")
    served(one_port, *edge("echo", echo.port))
    (line,) = [
        line
        for line in printed(one_port, "team/echo", authority, form="openssl").stdout.splitlines()
        if not line.startswith("#")
    ]
    with subprocess.Popen(
        shlex.split(line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b"Q and R mean nothing\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"Q and R mean nothing\n"
        client.terminate()
    authority.write_text(make("somebody else", is_authority=True).pem)
    done = subprocess.run(shlex.split(line), input=b"x\n", capture_output=True, timeout=30, check=False)
    assert done.returncode != 0
    assert done.stdout == b""


def test_stunnel_in_the_pod(one_port: RouterProcess, echo: TcpServer, authority: Path, tmp_path: Path) -> None:
    """The other form: TLS goes on to the pod (passthrough), where a second stunnel ends it; the client's configuration is the same."""
    stunnel, pod_port = requires_program("stunnel"), free_port()
    shown = make(HOST, signed_by=AUTHORITY)
    (tmp_path / "pod.pem").write_text(shown.key + shown.pem)
    config = tmp_path / "pod.conf"
    config.write_text(
        f"foreground = yes\npid =\n[echo]\naccept = 127.0.0.1:{pod_port}\nconnect = 127.0.0.1:{echo.port}\ncert = {tmp_path / 'pod.pem'}\n"
    )
    passthrough = app("echo", None, ("127.0.0.1", pod_port), host=HOST, passthrough=True)
    with running([stunnel, config], tmp_path, pod_port):
        served(one_port, *passthrough)
        told = printed(one_port, "team/echo", authority).stdout
        assert "TLS goes on to the pods" in told
        with bridge(one_port, "team/echo", authority, tmp_path) as port, connect(port) as connection:
            assert echoes(connection)


def test_port_of_its_own(make_router: Make, echo: TcpServer, authority: Path, tmp_path: Path) -> None:
    """A Route whose TLS ends on a port of its own is reached there, by the name in its certificate."""
    router, own = make_router("--canonical-hostname", "127.0.0.1"), free_port()
    objects = edge("echo", echo.port)
    objects[0]["metadata"]["annotations"]["haproxy.router.openshift.io/external-tcp-port"] = str(own)
    served(router, *objects)
    told = printed(router, "team/echo", authority).stdout
    assert f"connect = 127.0.0.1:{own}\n" in told
    assert f"checkHost = {HOST}\n" in told
    with bridge(router, "team/echo", authority, tmp_path) as port, connect(port) as connection:
        assert echoes(connection)


def test_clients_come_back_after_the_router_was_away(
    one_port: RouterProcess, echo: TcpServer, authority: Path, tmp_path: Path
) -> None:
    """Stunnel asks anew for each client, so that a router that is replaced costs no restart of it."""
    served(one_port, *edge("echo", echo.port))
    with bridge(one_port, "team/echo", authority, tmp_path) as port:
        with connect(port) as connection:
            assert echoes(connection)
        one_port.stop()
        with contextlib.suppress(OSError), connect(port) as connection:
            assert not echoes(connection)
        one_port.start()
        one_port.wait_admitted("team/echo")
        with connect(port) as connection:
            assert echoes(connection)
