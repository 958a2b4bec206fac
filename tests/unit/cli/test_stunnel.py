"""``tcp-router stunnel`` of manifests, and of routers that say odd things: what is printed, and what is not to be had."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from router.cli.bridge import FORMS
from tests.support.certificates import make
from tests.support.commands import Ended, invoke, write_manifests
from tests.support.objects import ANNOTATIONS, app

HOST = "db.example.com"
POD = ("10.1.0.1", 5432)


def edge(name: str = "db", port: int | None = None, host: str = HOST, **more: Any) -> list[dict[str, Any]]:
    """Make an application whose TLS ends at the router."""
    made = make(host or HOST)
    tls = {"termination": "edge", "certificate": made.pem, "key": made.key}
    return app(name, port, POD, spec={"host": host, "tls": tls, **more})


@pytest.fixture
def judge(tmp_path: Path) -> Any:
    """Give what asks for some manifests."""

    def judged(objects: list[dict[str, Any]], *args: str) -> Ended:
        folder = write_manifests(tmp_path / "manifests", *objects)
        return invoke("stunnel", *(args or ("team/db",)), "--manifests", folder)

    return judged


def test_the_usual_one(judge: Any) -> None:
    """By its host on the SNI port, for clients at the pods' own port, verified."""
    told = judge(edge())
    assert told.exit_code == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0] == "; team/db, by TLS through db.example.com:8443, for plain clients at 127.0.0.1:5432"
    assert "has to lead to the router by the DNS" in told.stdout
    assert lines[lines.index("[team-db]") :] == [
        "[team-db]", "client = yes", "accept = 127.0.0.1:5432", "connect = db.example.com:8443", f"sni = {HOST}",
        "verifyChain = yes", f"checkHost = {HOST}", "CAfile = /etc/ssl/certs/ca-certificates.crt",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_it_all(judge: Any, form: str) -> None:
    """Address, name and authorities are in each; IPv6 too."""
    told = judge(
        edge(), "team/db", "--as", form, "--connect", "[2001:db8::1]:9443", "--accept", "[::1]:7000", "--ca-file", "/x/ca.pem",
        "--server-name", "a.example.com",
    )  # fmt: skip
    assert told.exit_code == 0, told.stderr
    text = told.stdout.replace("[", "").replace("]", "")
    for part in ("2001:db8::1", "9443", "a.example.com", "/x/ca.pem"):
        assert part in text, text
    assert form == "openssl" or ("::1" in text and "7000" in text)


def test_ports_of_its_own_and_of_root(judge: Any) -> None:
    """A Route with a port is reached there; who is not root cannot listen where mail servers do."""
    own = edge("db", 6620)
    own[1]["spec"]["ports"][0]["port"] = 25
    own[2]["ports"][0]["port"] = 25
    told = judge(own)
    assert "connect = db.example.com:6620" in told.stdout
    assert "accept = 127.0.0.1:10025" in told.stdout


def test_names_come_from_the_certificate_where_the_host_is_not_in_it(judge: Any) -> None:
    """Clients check names: what would be refused is not printed."""
    objects = edge("db", 6620)
    objects[0]["spec"]["host"] = "made-by-openshift.apps.example.com"
    assert f"sni = {HOST}\n" in judge(objects).stdout
    through = app("through", 6621, POD, host="pods.example.com", passthrough=True)
    told = judge(through, "team/through")
    assert "sni = pods.example.com\n" in told.stdout
    assert "TLS goes on to the pods" in told.stdout


@pytest.mark.parametrize(
    ("objects", "args", "said"),
    [
        (app("db", 6620, POD), (), "team/db is plain TCP, as far as the router knows"),
        (edge(), ("team/other",), "team/other asks this router for nothing"),
        (edge(port=80), (), "team/db is not served: PortNotAllowed: "),
    ],
)
def test_what_is_not_to_be_had(judge: Any, objects: list[dict[str, Any]], args: tuple[str, ...], said: str) -> None:
    """It is said why, and nothing is printed that would not work."""
    told = judge(objects, *args)
    assert (told.exit_code, told.stdout) == (1, "")
    assert said in told.stderr


def test_sections_of_services_are_named(judge: Any) -> None:
    """Of several ports one has to be meant; pods that speak TLS themselves need a name."""
    objects = app("db", None, POD)[1:]
    objects[0]["metadata"]["annotations"] = {
        f"{ANNOTATIONS}router-name": "tcp-router", f"{ANNOTATIONS}external-tcp-port": "tcp=6620 more=6621",
    }  # fmt: skip
    objects[0]["spec"]["ports"].append({"name": "more", "port": 5433, "protocol": "TCP"})
    told = judge(objects, "team/db", "--server-name", "a.example.com")
    assert "is several: service/team/db:tcp, service/team/db:more; name one of them" in told.stderr
    told = judge(objects, "service/team/db:tcp", "--server-name", "a.example.com")
    assert told.exit_code == 0, told.stderr
    assert "[service-team-db-tcp]" in told.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--ca-file", "/a'b"), "is no path of letters"),
        (("--ca-file", "/a "), "is no path of letters"),
        (("--ca-file", "/a,verify=0"), "is no path of letters"),
        (("--ca-file", "/a\nverifyChain = no"), "is no path of letters"),
        (("--server-name", "a b"), "is no DNS name"),
        (("--connect", "a b:1"), "is no host with a port"),
        (("--connect", "a:0"), "is no host with a port"),
        (("--accept", "localhost:1"), "is no IP address with a port"),
        (("--as", "nc"), "is not one of"),
    ],
)
def test_options_that_would_mean_something_else(judge: Any, args: tuple[str, ...], said: str) -> None:
    """What is printed is run by somebody."""
    told = judge(edge(), "team/db", *args)
    assert told.exit_code == 2
    assert said in told.stderr


ROW: dict[str, Any] = {
    "namespace": "team", "name": "db", "verdict": "admitted", "host": HOST, "sni_port": 8443, "server_name": HOST,
    "address": "tcp.example.com:8443", "certificate": "x", "servers": [{"port": 5432}],
}  # fmt: skip


@pytest.fixture
def router() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """What answers as a router does, with rows of the test's: its port, and the rows."""
    rows: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(rows).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base has it
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1], rows
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "change",
    [
        {"server_name": "a\nverifyChain = no", "host": None},
        {"server_name": "a'; rm -rf ~; '", "host": None},
        {"address": "x\n[y]:1"},
        {"address": "$(id):1"},
        {"servers": [{"port": -1}]},
        {"servers": [], "sni_port": None, "port": None},
        {"name": "db\nx"},
    ],
)
def test_what_a_router_says_is_not_taken_as_it_is(
    router: tuple[int, list[dict[str, Any]]], change: dict[str, Any]
) -> None:
    """It is printed to be run: a router, or who stands in for one, writes nothing of its own into it."""
    port, rows = router
    rows.append({**ROW, **change})
    for form in FORMS:
        told = invoke("stunnel", "team/db", "--router", f"127.0.0.1:{port}", "--as", form)
        assert (told.exit_code, told.stdout) == (1, ""), told.stdout
        assert told.stderr.count("\n") == 1


def test_older_routers_lack_some(router: tuple[int, list[dict[str, Any]]]) -> None:
    """The host is the name then, and where the port is has to be said."""
    port, rows = router
    rows.append({key: ROW[key] for key in ("namespace", "name", "verdict", "host", "certificate", "servers")})
    at = ("stunnel", "team/db", "--router", f"127.0.0.1:{port}")
    assert "say so by --connect" in invoke(*at).stderr
    rows[0]["host"] = "*.example.com"
    assert "has all names of *.example.com; say which one by --server-name" in invoke(*at).stderr
    rows[0]["host"] = HOST
    told = invoke(*at, "--connect", "tcp.example.com:8443")
    assert told.exit_code == 0, told.stderr
    assert f"sni = {HOST}" in told.stdout
