"""Routes that end TLS at the router, as a user writes them: what clients see, and where the key is not."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
from pathlib import Path
from typing import Any

from router.admission.options import PREFIX
from tests.e2e.conftest import Make
from tests.e2e.test_runtime import reloads
from tests.support.certificates import Made, client_context, make
from tests.support.client_certificates import authority, context_of, greeted, revoke, speaking
from tests.support.clients import connect, echoes, served, tls
from tests.support.objects import app
from tests.support.ports import free_port, free_ports
from tests.support.probing import is_refused
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

_HOST = "db.example.com"


def _edge(name: str, port: int, pod: TcpServer, **tls_fields: str) -> list[dict[str, Any]]:
    spec = {"host": _HOST, "tls": {"termination": "edge", **tls_fields}}
    return app(name, port, (pod.address, pod.port), spec=spec)


def _of(made: Made) -> dict[str, str]:
    return {"certificate": made.pem, "key": made.key}


def _shows(port: int, made: Made) -> bool:
    try:
        with tls(port, None) as connection:
            return connection.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(made.pem) and echoes(connection)
    except OSError:
        return False


def _parts(made: Made) -> list[bytes]:
    """Give the lines of a key, less those that other keys have too."""
    return [line.encode() for line in made.key.splitlines()[2:-1]]


def test_a_route_that_ends_tls(router: RouterProcess, echo: TcpServer) -> None:
    """It is served, its certificate changes without a reload and outlives HAProxy; others' bad ones cost themselves alone; nothing shows a key."""
    old, new, other = make(_HOST), make(_HOST), make("other.example.com")
    good, *bad = free_ports(8)
    hostile = {
        "wrong-key": {"certificate": old.pem, "key": other.key},
        "megabyte": {"certificate": old.pem + "x" * 1_000_000, "key": old.key},
        "nul": {"certificate": old.pem.replace("\n", "\n\0", 1), "key": old.key},
        "latin": {"certificate": old.pem.replace("\n", "\n\xe9", 1), "key": old.key},
        "cut": {"certificate": old.pem, "key": old.key[:-20]},
        "none": {},
        "swapped": {"certificate": old.key, "key": old.pem},
    }
    for (name, fields), port in zip(hostile.items(), bad, strict=True):
        router.write(f"{name}.yaml", *_edge(name, port, echo, **fields))
    router.write("good.yaml", *_edge("good", good, echo, **_of(old)))
    router.start()
    router.wait_admitted("team/good")
    assert _shows(good, old)
    for name, port in zip(hostile, bad, strict=True):
        row = router.wait_for_row(f"team/{name}", lambda row: row["verdict"] != "admitted", "rejected")
        assert row["reason"] in {"ExtendedValidationFailed", "CertificateMissing"}, row
        assert is_refused(port)

    before = reloads(router)
    with tls(good, None) as held:
        assert echoes(held)
        router.write("good.yaml", *_edge("good", good, echo, **_of(new)))
        wait_for(lambda: _shows(good, new), "the new certificate")
        assert echoes(held)
    assert reloads(router) == before
    files = router.state / "maps"
    wait_for(
        lambda: [_parts(new)[0] in path.read_bytes() for path in files.glob("cert-*")] == [True], "the file to follow"
    )
    os.kill(router.haproxy_pids()[0], signal.SIGKILL)
    wait_for(lambda: _shows(good, new), "HAProxy to be back with it")

    router.write("good.yaml", *_edge("good", good, echo, **_of(other)))
    router.wait_for_row("team/good", lambda row: row["warnings"], "warned of the host")
    wait_for(lambda: _shows(good, other), "another certificate")
    pages = [http_get(router.http_port, page)[1].encode() for page in ("/ports", "/metrics", "/readyz", "/")]
    router.stop()
    secrets = [part for made in (old, new, other) for part in _parts(made)]
    for what, content in [*_written(router), *((Path("page"), page) for page in pages)]:
        assert not [part for part in secrets if part in content], what


def _written(router: RouterProcess) -> list[tuple[Path, bytes]]:
    """Give all that the router wrote, but for what HAProxy reads keys from, which nobody else may read."""
    found = []
    for path in (path for path in router.directory.rglob("*") if path.is_file()):
        if path.is_relative_to(router.manifests):
            continue
        if path.name.startswith("cert-"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            continue
        found.append((path, path.read_bytes()))
    assert {path.name for path, _ in found} >= {"log", "haproxy.cfg", "traffic"}
    return found


def test_by_name_on_one_port(make_router: Make, echo: TcpServer) -> None:
    """Routes that end TLS share the SNI port: the second needs no reload, each connection is one line of the log, and metrics know no inner parts."""
    first, second, sni_port = make("a.example.com"), make("b.example.com"), free_port()
    router = make_router("--sni-pool", "4", "--max-connections", "500", sni_port=sni_port)
    pod = (echo.address, echo.port)
    named = {"a": ("a.example.com", first), "b": ("b.example.com", second)}
    objects = {
        name: app(name, None, pod, spec={"host": host, "tls": {"termination": "edge", **_of(made)}})
        for name, (host, made) in named.items()
    }
    router.write("a.yaml", *objects["a"])
    router.start()
    router.wait_admitted("team/a")
    before = reloads(router)
    router.write("b.yaml", *objects["b"])
    router.wait_admitted("team/b")
    for host, made in named.values():
        with tls(sni_port, host) as connection:
            assert connection.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(made.pem)
            assert echoes(connection)
    assert reloads(router) == before
    for name in named:
        wait_for(lambda name=name: f"route={name}" in router.traffic() or f'"{name}"' in router.traffic(), "its line")  # type: ignore[misc]
    assert len([line for line in router.traffic().splitlines() if str(sni_port) in line]) == len(named)
    metrics = http_get(router.http_port, "/metrics")[1]
    assert "haproxy_server_" in metrics
    assert not [line for line in metrics.splitlines() if "_tls:" in line]
    # Each client is two connections to HAProxy.
    assert "maxconn 1000\n" in (router.state / "haproxy.cfg").read_text()


def test_clients_show_certificates(router: RouterProcess, echo: TcpServer) -> None:
    """Whom the Route's ConfigMap says, from one connection to the next; a broken one changes nothing for who is served, and one that is gone lets nobody in."""
    authority_, other, shown = authority("clients"), authority("others"), make(_HOST)
    alice, bob, mallory = (
        make("alice", signed_by=authority_),
        make("bob", signed_by=authority_),
        make("m", signed_by=other),
    )
    port, late = free_ports(2)
    asked = {"client-ca": "clients", "client-crl": "clients", "send-proxy": "v2-ssl"}
    names = {f"{PREFIX}{key}": value for key, value in asked.items()}

    def edge(name: str, at: int) -> list[dict[str, Any]]:
        objects = _edge(name, at, echo, **_of(shown))
        objects[0]["metadata"]["annotations"] |= names
        return objects

    def say(bundle: str, lists: str) -> None:
        data = {"ca-bundle.crt": bundle, "crl.pem": lists, "other": "x" * 100_000}
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "clients", "namespace": "team"},
            "data": data,
        }
        router.write("clients.yaml", config_map)

    def let_in() -> str:
        context = {
            name: context_of(made)
            for name, made in (("alice", alice), ("bob", bob), ("mallory", mallory), ("nobody", None))
        }
        return " ".join(name for name, each in context.items() if greeted(each, port)[0])

    router.write("db.yaml", *edge("db", port))
    router.start()
    row = router.wait_for_row("team/db", lambda row: row["reason"] == "ClientCaInvalid", "told what is missing")
    assert "there is no ConfigMap clients in the namespace team" in row["message"]
    say(authority_.pem, revoke(authority_, days=3))
    router.wait_admitted("team/db")
    wait_for(lambda: let_in() == "alice bob", "those with a certificate")
    row = router.wait_for_row("team/db", lambda row: row["warnings"], "warned of the list")
    assert "a list of revoked certificates is out of date at" in row["warnings"][0]
    assert "tcp_router_client_crl_next_update_timestamp_seconds{" in http_get(router.http_port, "/metrics")[1]

    before = reloads(router)
    with speaking(context_of(bob), port, None) as held:
        say(authority_.pem, revoke(authority_, bob))
        wait_for(lambda: let_in() == "alice", "the list")
        held.sendall(b"still here")
        assert held.recv(1000)
    for broken in ("broken", authority_.pem + authority_.key, other.key, "x" * 900_000):
        say(broken, revoke(authority_))
        router.wait_for_row("team/db", lambda row: any("still in force" in each for each in row["warnings"]), "told")
        assert let_in() == "alice"
    router.write("late.yaml", *edge("late", late))
    router.wait_for_row("team/late", lambda row: row["reason"] == "ClientCaInvalid", "rejected")
    say(other.pem, revoke(other))
    wait_for(lambda: let_in() == "mallory", "another authority")
    router.wait_admitted("team/late")
    os.kill(router.haproxy_pids()[0], signal.SIGKILL)
    wait_for(lambda: let_in() == "mallory", "HAProxy to be back with it")
    assert reloads(router) > before
    (router.manifests / "clients.yaml").unlink()
    router.wait_for_row("team/db", lambda row: row["reason"] == "ClientCaInvalid", "closed")
    wait_for(lambda: is_refused(port), "the port to be closed")
    router.stop()
    assert authority_.key.splitlines()[1] not in router.directory.joinpath("log").read_text()


def test_on_ports_of_the_pool(make_router: Make, echo: TcpServer) -> None:
    """TLS comes to a port and goes again without a reload; its clients are one line of the log each, and one series of the metrics."""
    one, two = free_ports(2)
    router = make_router("--port-pool", f"{one},{two}", "--tls-pool", "2", "--max-connections", "500")
    made, other = make(_HOST), make(_HOST)
    pod = (echo.address, echo.port)
    router.write("other.yaml", *app("other", free_port(), pod))
    router.start()
    router.wait_admitted("team/other")
    before = reloads(router)
    router.write("plain.yaml", *app("plain", two, pod))
    router.wait_admitted("team/plain")
    router.write("db.yaml", *_edge("db", one, echo, **_of(made)))
    router.wait_admitted("team/db")
    wait_for(lambda: _shows(one, made), "TLS")
    router.write("db.yaml", *_edge("db", one, echo, **_of(other)))
    wait_for(lambda: _shows(one, other), "another certificate")
    router.write("plain.yaml", *_edge("plain", two, echo, **_of(made)))
    wait_for(lambda: _shows(two, made), "TLS where there was none")
    router.write("plain.yaml", *app("plain", two, pod))
    wait_for(lambda: served(two), "none again")
    assert reloads(router) == before

    seen = len(router.traffic().splitlines())
    with tls(one, None) as held:
        assert echoes(held)
        row = router.wait_for_row("team/db", lambda row: row["sessions"] == 1, "one connection")
        assert row["certificate"]
    wait_for(lambda: len(router.traffic().splitlines()) > seen, "its line")
    (line,) = router.traffic().splitlines()[seen:]
    logged = json.loads(line)
    assert (logged["namespace"], logged["route"], logged["port"], logged["client"]) == (
        "team",
        "db",
        one,
        "127.0.0.1",
    )
    seen = len(router.traffic().splitlines())
    with connect(one) as plain:
        assert not echoes(plain, b"hello, in the open\n")
    wait_for(lambda: len(router.traffic().splitlines()) > seen, "the line of a handshake that failed")
    (line,) = router.traffic().splitlines()[seen:]
    logged = json.loads(line)
    assert (logged["namespace"], logged["route"], logged["port"]) == ("team", "db", one)
    assert logged["tls_error"]
    metrics = http_get(router.http_port, "/metrics")[1]
    sessions = [
        line
        for line in metrics.splitlines()
        if line.startswith("haproxy_backend_connections_total{") and 'route="db"' in line
    ]
    assert len(sessions) == 1
    assert 'backend="tcp"' in sessions[0]
    assert not [line for line in metrics.splitlines() if "fe_tls" in line or "pool:" in line or 'server="tls"' in line]
    # HAProxy comes back with a port that ends TLS by itself.
    os.kill(router.haproxy_pids()[0], signal.SIGKILL)
    wait_for(lambda: _shows(one, other), "HAProxy to be back")


def test_a_client_that_is_slow_while_the_router_ends(make_router: Make, echo: TcpServer) -> None:
    """Its port is closed to others by then, and TLS ends for it all the same when it tells its name."""
    made, sni_port, own = make(_HOST), free_port(), free_port()
    router = make_router("--drain-timeout", "20s", sni_port=sni_port)
    pod = (echo.address, echo.port)
    router.write("db.yaml", *app("db", None, pod, spec={"host": _HOST, "tls": {"termination": "edge", **_of(made)}}))
    router.write("plain.yaml", *app("plain", own, pod))
    router.start()
    router.wait_admitted("team/db", "team/plain")
    with connect(sni_port) as slow, connect(own) as held:
        assert echoes(held)
        os.kill(router.pid, signal.SIGTERM)
        wait_for(lambda: is_refused(sni_port) and is_refused(own), "the ports to be closed")
        with client_context().wrap_socket(slow, server_hostname=_HOST) as connection:
            assert echoes(connection)
            assert echoes(held)
    router.stop()
