"""HAProxy's metrics of a running router: bytes of a Route across reloads, TLS, and options that do not go together."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.support.certificates import client_context, server_context
from tests.support.clients import connect, echoes
from tests.support.exposition import Exposition, promtool_complaints
from tests.support.objects import app
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import echo_server
from tests.support.waiting import wait_for


def scrape(router: RouterProcess) -> Exposition:
    """Read the metrics."""
    status, body = http_get(router.http_port, "/metrics")
    assert status == 200
    return Exposition(body.encode())


def bytes_in(router: RouterProcess, kind: str) -> list[float]:
    """Give what the router says of bytes from the clients of the Route db."""
    return scrape(router).values(f"haproxy_{kind}_bytes_in_total", route="db")


def test_bytes_of_a_route(make_router: Make) -> None:
    """What went through a Route is counted, on connections over reloads too, and never falls."""
    router = make_router()
    port = free_port()
    with echo_server(address="127.0.0.2") as pod:
        router.write("db.yaml", *app("db", port, ("127.0.0.2", pod.port)))
        router.start()
        router.wait_admitted("team/db")
        former = scrape(router)
        with connect(port) as held:
            for turn in range(3):
                assert echoes(held, b"0123456789")
                name = f"further-{turn}"
                timeout = {"haproxy.router.openshift.io/timeout-connect": f"{turn + 1}s"}
                router.write(f"{name}.yaml", *app(name, free_port(), ("127.0.0.2", pod.port), annotations=timeout))
                router.wait_admitted(f"team/{name}")
                scraped = scrape(router)
                assert scraped.fallen_since(former) == {}
                assert scraped.value("haproxy_backend_current_sessions", route="db") == 1
                former = scraped
        for kind in ("frontend", "backend", "server"):
            wait_for(lambda kind=kind: bytes_in(router, kind) == [30], f"the bytes of the {kind}")  # type: ignore[misc]
        scraped = scrape(router)
        assert scraped.value("haproxy_backend_up", namespace="team", route="db", port=str(port)) == 1
        assert promtool_complaints(scraped.text) == ""
        assert router.stop() == 0


def test_metrics_by_tls(make_router: Make, tmp_path: Path) -> None:
    """With a certificate the port speaks TLS too, and plain HTTP stays for probes."""
    server_context(tmp_path, "localhost")
    pem = str(tmp_path / "localhost.pem")
    router = make_router("--metrics-tls-cert", pem, "--metrics-tls-key", pem)
    router.start()
    assert http_get(router.http_port, "/metrics")[0] == 403
    url = f"https://127.0.0.1:{router.http_port}/metrics"
    with urllib.request.urlopen(url, timeout=10, context=client_context()) as answer:
        assert b"\nhaproxy_up 1\n" in answer.read()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param(("--metrics-tls-cert", "/nowhere"), "--metrics-tls-key", id="no key"),
        pytest.param(("--metrics-tls-cert", "/nowhere", "--metrics-tls-key", "/nowhere"), "/nowhere", id="no file"),
        pytest.param(("--metrics-auth", "kubernetes"), "--manifests", id="nobody to ask"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: tuple[str, ...], problem: str) -> None:
    """Metrics that would be open against what the options say end the router at once."""
    router = RouterProcess(tmp_path, *options)
    ended = subprocess.run(router.command(), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert problem in ended.stderr
