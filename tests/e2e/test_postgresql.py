"""PostgreSQL by name on the SNI port, and on a port of its own, with real servers and clients: psql, and psycopg with a newer libpq."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import Make
from tests.e2e.test_runtime import reloads
from tests.support.certificates import Made, make, server_context
from tests.support.clients import reached
from tests.support.databases import PASSWORD, Session, conninfo, postgresql, postgresql_version, psql
from tests.support.objects import ANNOTATIONS, app
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import TcpServer, tls_server
from tests.support.waiting import wait_for

_CA, _OTHER_CA = make("ca", is_authority=True), make("other", is_authority=True)
_HOST, _SECOND = "db.example.com", "second.example.com"
_SHOWN, _SHOWN_SECOND = make(_HOST, signed_by=_CA), make(_SECOND, signed_by=_CA)
_OF_POD = make("pg.team.svc", signed_by=_CA)
_CHECK_INTERVAL = "router.openshift.io/haproxy.health.check.interval"


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a server without TLS."""
    with postgresql() as port:
        yield port


@pytest.fixture(scope="module")
def server_with_tls() -> Iterator[int]:
    """The port of a server that takes TLS as well."""
    with postgresql(_OF_POD.key + _OF_POD.pem) as port:
        yield port


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TcpServer]:
    """A pod that ends TLS itself."""
    with tls_server(server_context(tmp_path, "web.example.com"), b"web") as started:
        yield started


@pytest.fixture
def ca(tmp_path: Path) -> str:
    """The file of whom clients believe."""
    (tmp_path / "ca.crt").write_text(_CA.pem)
    return str(tmp_path / "ca.crt")


def _pg(
    name: str, port: int | None, pod: int, host: str, made: Made, *, termination: str = "edge", **annotations: str
) -> list[dict[str, Any]]:
    more = {"destinationCACertificate": _CA.pem} if termination == "reencrypt" else {}
    fields = {"termination": termination, "certificate": made.pem, "key": made.key, **more}
    said = {
        f"{ANNOTATIONS}{key.replace('_', '-')}": value for key, value in {"starttls": "postgres", **annotations}.items()
    }
    said[_CHECK_INTERVAL] = "200ms"
    return app(name, port, ("127.0.0.1", pod), spec={"host": host, "tls": fields}, annotations=said)


def _ran(command: list[str | Path]) -> tuple[str, str]:
    """Give what a program said, on both ways."""
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return ended.stdout.strip(), ended.stderr


def _psql(port: int, **parameters: str) -> tuple[str, str]:
    return _ran(psql(port, "-c", "SELECT 'here'", **parameters))


def _libpq(port: int, **parameters: str) -> str:
    """Give what the newer libpq gets; raises what it says."""
    with psycopg.connect(conninfo(port, **parameters), connect_timeout=10) as connection:
        row = connection.execute("SELECT 'here'").fetchone()
        assert row is not None
        return str(row[0])


def test_by_name_on_one_port(make_router: Make, server: int, web: TcpServer, ca: str) -> None:
    """Whatever clients may say of TLS: by asking, or by beginning with it; beside a passthrough Route. A second database needs no reload."""
    port = free_port()
    router = make_router("--sni-pool", "4", sni_port=port)
    through = app("web", None, (web.address, web.port), host="web.example.com", passthrough=True)
    router.write("web.yaml", *through)
    router.write("pg.yaml", *_pg("pg", None, server, _HOST, _SHOWN))
    router.start()
    router.wait_admitted("team/pg")
    for mode in ("allow", "prefer", "require", "verify-ca", "verify-full"):
        options = {"host": _HOST, "sslmode": mode, **({"sslrootcert": ca} if "verify" in mode else {})}
        assert _psql(port, **options)[0] == "here", mode
        assert _libpq(port, **options) == "here", mode
        assert _libpq(port, **options, gssencmode="disable") == "here", mode
        if mode not in {"allow", "prefer"}:
            assert _libpq(port, **options, sslnegotiation="direct") == "here", mode
    said = _psql(port, host=_HOST, sslmode="disable")
    assert said[0] == ""
    assert "FATAL:  this port takes connections with TLS alone: sslmode must be" in said[1]
    with pytest.raises(psycopg.OperationalError, match="takes connections with TLS alone"):
        _libpq(port, host=_HOST, sslmode="disable")
    # Nobody's name, no name, and one that the certificate is not for.
    for host in ({"host": "nobody.example.com"}, {"host": _HOST, "sslsni": "0"}, {"host": "web.example.com"}):
        assert _psql(port, sslmode="require", **host)[0] == ""
    other = Path(ca).with_name("other.crt")
    other.write_text(_OTHER_CA.pem)
    assert "certificate verify failed" in _psql(port, host=_HOST, sslmode="verify-full", sslrootcert=str(other))[1]

    before = reloads(router)
    with Session(psql(port, host=_HOST, sslmode="require")) as session:
        backend = session.ask("SELECT pg_backend_pid();")
        router.write("second.yaml", *_pg("second", None, server, _SECOND, _SHOWN_SECOND))
        router.wait_admitted("team/second")
        assert _psql(port, host=_SECOND, sslmode="verify-full", sslrootcert=ca)[0] == "here"
        (router.manifests / "second.yaml").unlink()
        wait_for(lambda: not _psql(port, host=_SECOND, sslmode="require")[0], "the second to be gone")
        assert session.ask("SELECT pg_backend_pid();") == backend
        large = session.ask("SELECT repeat('x', 2000000);")
        assert len(large) == 2_000_000
    assert reloads(router) == before
    assert reached(port, "web.example.com") == b"web"


@pytest.mark.parametrize("kind", ["by name", "port of its own"])
def test_to_cancel(make_router: Make, server: int, kind: str) -> None:
    """Over TLS, as libpq does since 17, it is led as any connection; in plain text it comes without a name, and counts on ports of one Route alone."""
    port = free_port()
    of_its_own = kind == "port of its own"
    router = make_router(sni_port=0 if of_its_own else port)
    router.write("pg.yaml", *_pg("pg", port if of_its_own else None, server, _HOST, _SHOWN))
    router.start()
    router.wait_admitted("team/pg")
    with psycopg.connect(conninfo(port, host=_HOST, sslmode="require"), autocommit=True) as connection:
        for cancel, counts in ((connection.cancel_safe, True), (connection.cancel, of_its_own)):
            timer = Timer(0.3, cancel)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled) if counts else contextlib.nullcontext():
                connection.execute(f"SELECT pg_sleep({60 if counts else 2})")
            timer.join()


def test_on_a_port_of_its_own(router: RouterProcess, server: int, ca: str) -> None:
    """Clients that name no host are served, too; each connection is one line of the log, and no metric knows the parts within HAProxy."""
    port = free_port()
    router.write("pg.yaml", *_pg("pg", port, server, _HOST, _SHOWN))
    router.start()
    router.wait_admitted("team/pg")
    assert _psql(port, sslmode="require", sslsni="0")[0] == "here"
    assert _psql(port, host=_HOST, sslmode="verify-full", sslrootcert=ca)[0] == "here"
    assert _libpq(port, host=_HOST, sslmode="require", sslnegotiation="direct") == "here"
    assert "TLS alone" in _psql(port, host=_HOST, sslmode="disable")[1]

    def lines() -> list[str]:
        return [line for line in router.traffic().splitlines() if f'"port":{port}' in line]

    wait_for(lambda: len(lines()) >= 4, "its lines")
    assert ['"route":"pg"' in line for line in lines()] == [True] * 4, lines()
    metrics = http_get(router.http_port, "/metrics")[1]
    assert not [line for line in metrics.splitlines() if "_tls:" in line]


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_channel_binding(make_router: Make, server: int, binding: str) -> None:
    """To pods in plain text there is no TLS to bind to, which `prefer` takes and `require` does not."""
    port = free_port()
    router = make_router(sni_port=port)
    router.write("pg.yaml", *_pg("pg", None, server, _HOST, _SHOWN))
    router.start()
    router.wait_admitted("team/pg")
    who = {"host": _HOST, "sslmode": "require", "user": "scram", "password": PASSWORD, "channel_binding": binding}
    said, error = _psql(port, **who)
    if binding == "require":
        assert "channel binding is required, but server did not offer" in error
        with pytest.raises(psycopg.OperationalError, match="channel binding is required"):
            _libpq(port, **who)
    else:
        assert said == _libpq(port, **who) == "here"
    assert (
        "password authentication failed" in _psql(port, **{**who, "password": "wrong", "channel_binding": "disable"})[1]
    )


@pytest.mark.parametrize("shown", ["another certificate", "that of the pod"])
def test_with_tls_to_the_pods(make_router: Make, server_with_tls: int, shown: str) -> None:
    """Pods of PostgreSQL 17 and newer take TLS without being asked; older ones are found down by their checks.

    SCRAM binds a password to the certificate that clients see, which has to be the pod's then.
    """
    port = free_port()
    router = make_router(sni_port=port)
    is_same = shown == "that of the pod"
    made = _OF_POD if is_same else _SHOWN
    host = "pg.team.svc" if is_same else _HOST
    router.write("pg.yaml", *_pg("pg", None, server_with_tls, host, made, termination="reencrypt"))
    router.start()
    router.wait_admitted("team/pg")
    if postgresql_version() < 17:
        assert _psql(port, host=host, sslmode="require")[0] == ""
        return
    asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert _ran(psql(port, "-c", asked, host=host, sslmode="require"))[0] == "t"
    assert _libpq(port, host=host, sslmode="require", sslnegotiation="direct") == "here"
    who = {"host": host, "sslmode": "require", "user": "scram", "password": PASSWORD}
    for binding, is_bound in (("disable", False), ("prefer", True), ("require", True)):
        said, error = _psql(port, **who, channel_binding=binding)
        if is_bound and not is_same:
            assert "SCRAM channel binding check failed" in error
        else:
            assert said == "here", error
