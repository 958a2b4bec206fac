"""Health, the table of ports, metrics and the HTTP port."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.admission import Verdict
from router.admission.verdicts import Reason
from router.errors import SettingsError
from router.model import Asker, Model
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Changes
from router.observe.health import Health, alive, ready
from router.observe.http import JSON, HttpServer, Page, health_page
from router.observe.metrics.router import Metrics
from router.observe.ports import port_rows
from router.plan import ReloadCause, ReloadReason
from router.reconcile.snapshot import Snapshot
from tests.support.exposition import Exposition

RUNNING = Snapshot(synced=True, configured=True, applied=Model())


@pytest.mark.parametrize(
    ("snapshot", "turned", "answered", "problem"),
    [
        pytest.param(RUNNING, 0.5, 0.5, None, id="well"),
        pytest.param(Snapshot(), 0.5, None, None, id="nothing to answer yet"),
        pytest.param(RUNNING, 61.0, 0.5, "loop", id="loop hangs"),
        pytest.param(RUNNING, 0.5, 11.0, "HAProxy has not answered for 11", id="HAProxy silent"),
        pytest.param(RUNNING, 0.5, None, "HAProxy has not answered yet", id="HAProxy never answered"),
        pytest.param(replace(RUNNING, stopping=True), 0.5, 11.0, None, id="HAProxy drains"),
    ],
)
def test_alive(snapshot: Snapshot, turned: float, answered: float | None, problem: str | None) -> None:
    """Alive is a loop that turns and a HAProxy that answers."""
    health = alive(snapshot, turned_ago_s=turned, answered_ago_s=answered)
    assert health.ok is (problem is None)
    assert problem is None or problem in health.problems[0]


@pytest.mark.parametrize(
    ("snapshot", "problem"),
    [
        pytest.param(RUNNING, None, id="ready"),
        pytest.param(Snapshot(), "not synced", id="inputs"),
        pytest.param(Snapshot(synced=True, problem="disk full"), "disk full", id="first configuration failed"),
        pytest.param(Snapshot(synced=True, configured=True, stopping=True), "shutting down", id="stopping"),
    ],
)
def test_ready(snapshot: Snapshot, problem: str | None) -> None:
    """Ready is synced, configured and not shutting down."""
    health = ready(snapshot)
    assert health.ok is (problem is None)
    assert problem is None or problem in health.problems[0]


def test_port_rows_are_sorted_and_without_port_last() -> None:
    """Rows sort by port, then name; Routes without a port come last."""
    verdicts = {
        key: Verdict(asker=key, port=port, host=host, reason=reason, message=message)
        for key, port, host, reason, message in (
            (Asker.route("a", "none"), None, "h.example.com", None, ""),
            (Asker.route("a", "late"), 9000, None, Reason.PORT_ALREADY_CLAIMED, "held by b/first"),
            (Asker.route("b", "first"), 9000, None, None, ""),
            (Asker.route("c", "low"), 80, None, None, ""),
        )
    }
    rows = port_rows(verdicts, None, "tcp.example.com")
    assert [(row.port, row.name, row.verdict) for row in rows] == [
        (80, "low", "admitted"),
        (9000, "late", "rejected"),
        (9000, "first", "admitted"),
        (None, "none", "admitted"),
    ]
    assert rows[1].reason == "PortAlreadyClaimed"
    assert rows[0].address == "tcp.example.com:80"
    assert rows[1].address is None, "that of somebody else"
    assert rows[3].address is None


def values(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse the exposition as Prometheus would."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_metrics_of_the_process_have_their_usual_names() -> None:
    """Memory, CPU time, files and start of the router's process are there, as every dashboard for processes asks for them."""
    shown = Exposition(Metrics("3.0.11", haproxy_up=lambda: True).exposition())
    assert shown.value("process_resident_memory_bytes") > 0
    assert shown.value("process_cpu_seconds_total") > 0
    assert 0 < shown.value("process_open_fds") <= shown.value("process_max_fds")
    assert 0 < shown.value("process_start_time_seconds") <= time.time()


def test_metrics_tell_what_happened() -> None:
    """Counters follow the observer's calls, gauges the snapshot."""
    metrics = Metrics("3.0.11", haproxy_up=lambda: True)
    metrics.count_problems(lambda: 2)
    metrics.changes_seen(Changes(frozenset({(Route, ObjectKey("a", "b"))}), frozenset()))
    metrics.reload_finished(
        "success",
        (
            ReloadReason(ReloadCause.ROUTE_ADDED, "a/b"),
            ReloadReason(ReloadCause.ROUTE_ADDED, "a/c"),
            ReloadReason(ReloadCause.SERVERS_CHANGED, "a/d"),
        ),
        0.02,
    )
    metrics.reload_finished("refused", (ReloadReason(ReloadCause.ROUTE_ADDED, "a/b"),), 0.02)
    metrics.haproxy_ended()
    good, bad = Asker.route("a", "good"), Asker.route("a", "bad")
    verdicts = {good: Verdict(asker=good, warnings=("w",)), bad: Verdict(asker=bad, reason=Reason.INVALID_PORT)}
    metrics.published(Snapshot(synced=True, configured=True, verdicts=verdicts, last_success_s=1234.5, problem="p"))
    metrics.show_readiness(lambda: Health((), ("stale: ...",)))
    seen = values(metrics)

    def value(name: str, **labels: str) -> float:
        return seen[name, frozenset(labels.items())]

    assert value("tcp_router_changes_seen_total", kind="Route") == 1
    assert value("tcp_router_reloads_total", result="success") == 1
    assert value("tcp_router_reloads_total", result="refused") == 1
    assert value("tcp_router_reloads_total", result="failed") == 0
    assert value("tcp_router_reload_causes_total", reason="route-added") == 2
    assert value("tcp_router_apply_seconds_count", result="success") == 1
    assert value("tcp_router_haproxy_ends_total") == 1
    assert value("tcp_router_routes", verdict="admitted", reason="") == 1
    assert value("tcp_router_routes", verdict="rejected", reason="InvalidPort") == 1
    assert value("tcp_router_routes_with_warnings") == 1
    assert value("tcp_router_haproxy_up") == 1
    assert value("tcp_router_ready") == 1
    assert value("tcp_router_stale") == 1
    assert value("tcp_router_level") == 0
    assert value("tcp_router_input_problems") == 2
    assert value("tcp_router_last_success_timestamp_seconds") == 1234.5


ASKED = threading.Event()
HUNG_UP = threading.Event()


def slow_page() -> Page:
    """Say that it was asked for, and wait."""
    ASKED.set()
    HUNG_UP.wait(5)
    return Page(b"x" * (1 << 20))


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """Serve pages on a free port of loopback."""
    pages = {
        "/slow": slow_page,
        "/good": lambda: Page(b"[]", JSON),
        "/bad": lambda: health_page(Health(("first", "second"))),
    }
    server = HttpServer("127.0.0.1", 0, pages)
    server.start()
    yield server
    server.stop()


def test_http_answers(server: HttpServer) -> None:
    """A page comes with its type, whatever the query string."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/good?x=1", timeout=5) as reply:
        assert reply.headers["Content-Type"] == "application/json"
        assert json.load(reply) == []


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/bad", 503, "first\nsecond\n"), ("/none", 404, "not found; there is /bad, /good, /slow\n")],
)
def test_http_says_what_is_wrong(server: HttpServer, path: str, status: int, body: str) -> None:
    """A failed probe lists its problems; an unknown path the known ones."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5)
    with refused.value as reply:
        assert reply.code == status
        assert reply.read().decode() == body


def test_http_silent_client_delays_nobody(server: HttpServer) -> None:
    """A client that sends nothing neither keeps others waiting nor the server from stopping."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/good", timeout=5) as reply:
            assert reply.status == 200
        server.stop()


def test_http_client_that_hangs_up_is_no_news(server: HttpServer, capfd: pytest.CaptureFixture[str]) -> None:
    """A client that resets its connection before the answer leaves no traceback on standard error."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert ASKED.wait(5)
    HUNG_UP.set()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/slow", timeout=30) as reply:
        assert len(reply.read()) == 1 << 20
    assert capfd.readouterr().err == ""


def test_http_taken_port_is_named(server: HttpServer) -> None:
    """A listen address that is in use is an error that names it and the option."""
    with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{server.port}.*--listen"):
        HttpServer("127.0.0.1", server.port, {})
