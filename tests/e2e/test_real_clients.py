"""Programs that people use, through the router: databases and their clients, openssl, netcat, stunnel."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.support.certificates import server_context
from tests.support.databases import Session, mariadb, mariadb_server, postgresql, psql
from tests.support.objects import ANNOTATIONS, app, route
from tests.support.ports import free_port, free_ports
from tests.support.probing import is_refused
from tests.support.programs import requires_program
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer, echo_server, tls_server
from tests.support.waiting import wait_for

RELOADS = 3
CHECK_INTERVAL = "router.openshift.io/haproxy.health.check.interval"


@pytest.fixture(scope="module")
def postgresql_port() -> Iterator[int]:
    """A PostgreSQL server's own port."""
    with postgresql() as port:
        yield port


@pytest.fixture(scope="module")
def mariadb_port() -> Iterator[int]:
    """A MariaDB server's own port."""
    with mariadb_server() as port:
        yield port


def output(command: Sequence[str | Path], stdin: str = "") -> str:
    """Give what a program printed on standard output; it must end well."""
    ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def reload_often(router: RouterProcess, endpoint: tuple[str, int]) -> None:
    """Make the router reload HAProxy, by Routes that are added."""
    before = len(router.events("reloaded"))
    for number, port in enumerate(free_ports(RELOADS)):
        router.write(f"other-{number}.yaml", *app(f"other-{number}", port, endpoint))
        router.wait_admitted(f"team/other-{number}")
    assert len(router.events("reloaded")) >= before + RELOADS
    # Each reload stops every proxy of the former worker; that is no news.
    assert "stopped (cumulated" not in router.log()


def traffic_of(router: RouterProcess, name: str) -> list[dict[str, object]]:
    """Give HAProxy's lines about the connections of one Route."""
    # Between them are HAProxy's own messages about proxies and servers, for which it has no other format.
    lines = [json.loads(line) for line in router.traffic().splitlines() if line.startswith("{")]
    return [line for line in lines if line["route"] == name]


def test_postgresql(router: RouterProcess, postgresql_port: int) -> None:
    """The client psql works through the port, for a script as for a session that is open before some reloads and after them."""
    port = free_port()
    router.write("pg.yaml", *app("pg", port, ("127.0.0.1", postgresql_port)))
    router.start()
    router.wait_admitted("team/pg")
    assert output(psql(port, "-c", "SELECT sum(n) FROM generate_series(1, 100) AS n")) == "5050\n"
    large = output(psql(port, "-c", "SELECT repeat('x', 2000000)"))
    assert len(large) == 2_000_001
    with Session(psql(port)) as session:
        session.ask("CREATE TEMP TABLE kept (word text); INSERT INTO kept VALUES ('here'); SELECT 1;")
        process_id = session.ask("SELECT pg_backend_pid();")
        reload_often(router, ("127.0.0.1", postgresql_port))
        assert session.ask("SELECT pg_backend_pid();") == process_id
        assert session.ask("SELECT word FROM kept;") == "here"
    wait_for(lambda: len(traffic_of(router, "pg")) >= 3, "the log of the session")
    ended = traffic_of(router, "pg")
    assert {line["namespace"] for line in ended} == {"team"}
    assert {line["port"] for line in ended} == {port}


def test_mariadb(router: RouterProcess, mariadb_port: int) -> None:
    """The same for MariaDB, in whose protocol the server speaks first."""
    port = free_port()
    router.write("my.yaml", *app("my", port, ("127.0.0.1", mariadb_port)))
    router.start()
    router.wait_admitted("team/my")
    assert output(mariadb(port, "--execute", "SELECT 6 * 7")) == "42\n"
    assert len(output(mariadb(port, "--execute", "SELECT repeat('x', 2000000)"))) == 2_000_001
    with Session(mariadb(port)) as session:
        connection_id = session.ask("SELECT connection_id();")
        assert session.ask("SET @kept = 'here'; SELECT 1;") == "1"
        reload_often(router, ("127.0.0.1", mariadb_port))
        assert session.ask("SELECT connection_id();") == connection_id
        assert session.ask("SELECT @kept;") == "here"


def test_health_checks_are_no_connections_to_mariadb(router: RouterProcess, mariadb_port: int) -> None:
    """MariaDB bars hosts whose connections break off in the handshake (max_connect_errors); checks are none that it sees."""

    def status(name: str) -> int:
        return int(session.ask(f"SHOW GLOBAL STATUS LIKE '{name}';").split()[1])

    port = free_port()
    objects = app("my", port, ("127.0.0.1", mariadb_port), annotations={CHECK_INTERVAL: "20ms"})
    router.write("my.yaml", *objects)
    with Session(mariadb(mariadb_port)) as session:
        before = {name: status(name) for name in ("Connections", "Aborted_connects")}
        router.start()
        router.wait_admitted("team/my")
        began_s = status("Uptime")
        wait_for(lambda: status("Uptime") >= began_s + 2, "about a hundred checks to be done")
        assert {name: status(name) for name in before} == before
    assert output(mariadb(port, "--execute", "SELECT 1")) == "1\n"


# TLS


def subject(port: int, *options: str) -> str | None:
    """Give the name in the certificate that openssl is shown on a port; None where it is shown none."""
    command: list[str | Path] = [requires_program("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *options]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    if "BEGIN CERTIFICATE" not in ended.stdout:
        assert "no peer certificate available" in ended.stdout
        assert ended.returncode != 0
        return None
    name = re.search(r"^subject=.*CN ?= ?(\S+)$", ended.stdout, re.MULTILINE)
    assert name is not None, ended.stdout
    return name[1]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[dict[str, TcpServer]]:
    """Three TLS services, each with a certificate for its host."""
    hosts = ("red.example.com", "blue.example.com", "any.wild.example.com")
    with (
        tls_server(server_context(tmp_path, hosts[0]), b"red") as red,
        tls_server(server_context(tmp_path, hosts[1]), b"blue") as blue,
        tls_server(server_context(tmp_path, hosts[2]), b"wild") as wild,
    ):
        yield dict(zip(hosts, (red, blue, wild), strict=True))


@pytest.mark.parametrize("kind", ["sni port", "shared external port"])
def test_openssl(make_router: Make, services: dict[str, TcpServer], kind: str) -> None:
    """The client openssl is shown the certificate of the service that it names, on one port; for any other name there is none."""
    port = free_port()
    of_its_own = kind == "shared external port"
    router = make_router(sni_port=0 if of_its_own else port)
    shares = {f"{ANNOTATIONS}external-tcp-port-sni": "true"} if of_its_own else {}
    for host, server in services.items():
        wild = ".wild." in host
        name = host.partition(".")[0]
        spec = {"wildcardPolicy": "Subdomain"} if wild else {}
        objects = app(
            name, port if of_its_own else None, ("127.0.0.1", server.port),
            host=host, passthrough=True, annotations=shares, spec=spec,
        )  # fmt: skip
        router.write(f"{name}.yaml", *objects)
    router.start()
    router.wait_admitted("team/red", "team/blue", "team/any")
    assert subject(port, "-servername", "red.example.com") == "red.example.com"
    assert subject(port, "-servername", "blue.example.com") == "blue.example.com"
    assert subject(port, "-servername", "RED.Example.com") == "red.example.com"
    for host in ("any.wild.example.com", "other.wild.example.com"):
        assert subject(port, "-servername", host) == "any.wild.example.com"
    for host in (
        "green.example.com",
        "wild.example.com",
        "a.b.wild.example.com",
        "red.example.com.evil",
        "example.com",
    ):
        assert subject(port, "-servername", host) is None
    assert subject(port, "-noservername") is None
    for version in ("-tls1_2", "-tls1_3"):
        assert subject(port, "-servername", "blue.example.com", version) == "blue.example.com"
    if of_its_own:
        assert router.ports()["team/any"]["host"] == "*.wild.example.com"
    (router.manifests / "blue.yaml").unlink()
    wait_for(lambda: subject(port, "-servername", "blue.example.com") is None, "the deleted Route's host to be unknown")
    assert subject(port, "-servername", "red.example.com") == "red.example.com"


# netcat


def test_netcat(router: RouterProcess) -> None:
    """The client nc gets the echo of what it sends, and a refused port is one to it too."""
    nc = requires_program("nc")
    port = free_port()
    with echo_server() as echo:
        router.write("echo.yaml", *app("echo", port, ("127.0.0.1", echo.port)))
        router.start()
        router.wait_admitted("team/echo")
        assert output([nc, "-N", "127.0.0.1", str(port)], "hello\n") == "hello\n"
        text = "".join(f"{number}\n" for number in range(200_000))
        assert output([nc, "-N", "127.0.0.1", str(port)], text) == text
        assert subprocess.run([nc, "-z", "127.0.0.1", str(port)], timeout=30, check=False).returncode == 0
    router.write("echo.yaml", route("echo", "no port"))
    wait_for(lambda: is_refused(port), "the port to be closed")
    assert subprocess.run([nc, "-z", "127.0.0.1", str(port)], timeout=30, check=False).returncode == 1


def test_netcat_half_close(router: RouterProcess) -> None:
    """A client that says it is done (nc -N) still gets all that the server sends afterwards."""
    nc = requires_program("nc")
    port = free_port()

    def count_then_answer(connection: socket.socket) -> None:
        got = b"".join(iter(lambda: connection.recv(65536), b""))
        connection.sendall(b"%d bytes\n" % len(got))
        connection.sendall(b"." * 1_000_000)

    with TcpServer(count_then_answer) as server:
        router.write("sum.yaml", *app("sum", port, ("127.0.0.1", server.port)))
        router.start()
        router.wait_admitted("team/sum")
        answer = output([nc, "-N", "127.0.0.1", str(port)], "x" * 300_000)
    assert answer == "300000 bytes\n" + "." * 1_000_000


# stunnel


def test_stunnel_and_the_proxy_protocol(router: RouterProcess, tmp_path: Path) -> None:
    """A stunnel ends TLS before the router and tells by the PROXY protocol who the client is; the pod gets to know."""
    stunnel, openssl = requires_program("stunnel"), requires_program("openssl")
    port, tls_port = free_ports(2)
    server_context(tmp_path, "front.example.com")
    config = tmp_path / "stunnel.conf"
    config.write_text(
        f"foreground = yes\npid =\n[front]\naccept = 127.0.0.1:{tls_port}\nconnect = 127.0.0.1:{port}\n"
        f"cert = {tmp_path / 'front.example.com.pem'}\nprotocol = proxy\n"
    )
    heads: list[bytes] = []

    def note_head(connection: socket.socket) -> None:
        head = b""
        while b"\n" not in head:
            piece = connection.recv(1000)
            if not piece:
                return
            head += piece
        heads.append(head.partition(b"\r\n")[0])
        connection.sendall(b"known\n")

    with TcpServer(note_head) as pod:
        options = {f"{ANNOTATIONS}accept-proxy": "true", f"{ANNOTATIONS}send-proxy": "v1", CHECK_INTERVAL: "0"}
        router.write("front.yaml", *app("front", port, ("127.0.0.1", pod.port), annotations=options))
        router.start()
        router.wait_admitted("team/front")
        with (tmp_path / "stunnel.log").open("wb") as log:
            process = subprocess.Popen([stunnel, config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: process.poll() is not None or not is_refused(tls_port), "stunnel to listen")
            assert process.poll() is None, (tmp_path / "stunnel.log").read_text()
            command: list[str | Path] = [
                openssl,
                "s_client",
                "-quiet",
                "-connect",
                f"127.0.0.1:{tls_port}",
                "-bind",
                "127.0.0.77:0",
            ]
            assert "known" in output(command)
        finally:
            process.terminate()
            process.wait(20)
    assert any(re.fullmatch(rb"PROXY TCP4 127\.0\.0\.77 127\.0\.0\.1 \d+ %d" % tls_port, head) for head in heads), heads
