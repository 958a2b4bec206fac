"""The self-test fails where the router does not do what it should."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.demo.bridge import Bridge
from router.demo.child import RouterProcess
from router.demo.manifests import Layout
from router.demo.selftest import SelfTest
from router.demo.stage import Stage
from router.demo.table import Access
from router.errors import DemoFailed

ROUTES = {
    "ottcache-002": None,
    "mail": None,
    "vault": None,
    "mail-by-tls": None,
    "queue-by-name": None,
    "ottcache-003": ("PortAlreadyClaimed", "default/ottcache-002 has it"),
    "typo": ("InvalidAnnotation", "balance"),
    "any-port": None,
    "small/first": None,
    "small/second": ("PortQuotaExceeded", "small/first has it"),
}


class FakeRouter:
    """Answers ``/ports`` by what it is told."""

    def __init__(self) -> None:
        self.body = b"[]"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)

    def answer(self, routes: dict[str, tuple[str, str] | None]) -> None:
        """Report these Routes: None is admitted, else reason and message; and the Service, the claim, the Gateway's listeners and a route, which are admitted."""
        service = {
            "kind": "Service",
            "namespace": "default",
            "name": "queue",
            "section": "amqp",
            "verdict": "admitted",
            "port": 1,
        }
        claim = {
            "kind": "TransportServerClaim",
            "namespace": "default",
            "name": "mail-tsc",
            "verdict": "admitted",
            "port": 1,
        }
        listeners = [
            {
                "kind": "Gateway",
                "namespace": "default",
                "name": "demo",
                "section": section,
                "verdict": "admitted",
                "port": 1,
            }
            for section in ("queue", "keys")
        ]
        route = {"kind": "TLSRoute", "namespace": "default", "name": "keys", "verdict": "admitted"}
        entries = [
            service,
            claim,
            *listeners,
            route,
            *(
                {
                    "namespace": namespace or "default",
                    "name": name,
                    "verdict": "rejected",
                    "reason": rejected[0],
                    "message": rejected[1],
                }
                if rejected
                else {"namespace": namespace or "default", "name": name, "verdict": "admitted", "port": 1}
                for (namespace, _, name), rejected in ((key.rpartition("/"), told) for key, told in routes.items())
            ),
        ]
        self.body = json.dumps(entries).encode()


@pytest.fixture
def router() -> Iterator[FakeRouter]:
    """A router of which only the table of ports is there."""
    fake = FakeRouter()
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    fake.server.shutdown()
    thread.join()
    fake.server.server_close()


@pytest.fixture
def said() -> list[str]:
    """What the self-test says."""
    return []


@pytest.fixture
def self_test(router: FakeRouter, said: list[str], tmp_path: Path) -> SelfTest:
    """A self-test of a router whose ports nobody listens on."""
    # Port 1 is free: nothing that is not root listens there, and tcpmux is history.
    layout = Layout(
        cache_port=1,
        mail_port=1,
        spare_port=1,
        cache_endpoint=1,
        mail_endpoint=1,
        vault_endpoint=1,
        queue_port=1,
        queue_endpoint=1,
    )
    stage = Stage(
        folder=tmp_path,
        layout=layout,
        moved_port=1,
        moved_endpoint=1,
        auto_ports=(1,),
        claim_port=1,
        bridge=Bridge(tmp_path / "stunnel.conf", 1, None),
        access=Access(1, tmp_path / "no.pem"),
        http_port=router.server.server_port,
        log_file=tmp_path / "router.log",
        router=RouterProcess([], tmp_path / "router.log"),
    )
    return SelfTest(stage, said.append, deadline_s=0)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        pytest.param(
            {"mail": ("PortReserved", "no")}, "default/mail: .*PortReserved", id="rejected that should be served"
        ),
        pytest.param({"ottcache-003": None}, "ottcache-003, .*seen last: admitted", id="two with one port"),
        pytest.param(
            {"ottcache-003": ("PortAlreadyClaimed", "somebody has it")},
            "does not name the holder",
            id="holder not named",
        ),
        pytest.param(
            {"small/second": None}, "small/second, .*seen last: admitted", id="more than the namespace may hold"
        ),
        pytest.param({"typo": None}, "typo, .*seen last: admitted", id="typing error served"),
    ],
)
def test_wrong_verdict_fails(
    router: FakeRouter, self_test: SelfTest, wrong: dict[str, tuple[str, str] | None], problem: str
) -> None:
    """A verdict that is not as it should be ends the self-test, which says which it was."""
    router.answer(ROUTES | wrong)
    with pytest.raises(DemoFailed, match=problem):
        self_test.run()


def test_route_that_is_not_reported_fails(self_test: SelfTest) -> None:
    """A router that reports nothing does not pass."""
    with pytest.raises(DemoFailed, match=r"ottcache-002: .*seen last: not reported"):
        self_test.run()


def test_closed_port_fails(router: FakeRouter, self_test: SelfTest, said: list[str]) -> None:
    """Good verdicts are not enough: traffic must arrive."""
    router.answer(ROUTES)
    with pytest.raises(DemoFailed, match=r"port 1, saying 'hello': .*refused"):
        self_test.run()
    assert len(said) == len(ROUTES) + 5


def test_table_that_is_none_fails(router: FakeRouter, self_test: SelfTest) -> None:
    """An answer that is no table of ports is told as such."""
    router.body = b"<html>"
    with pytest.raises(DemoFailed, match="something else than the table of ports"):
        self_test.run()
