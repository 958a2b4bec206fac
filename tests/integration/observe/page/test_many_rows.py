"""The page with five thousand Routes, in a real browser; the router's part of it is real, what is decided is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from router.admission import Admission
from router.cli.metrics import FOR_PEOPLE
from router.cli.page_parts import BELOW, PAGES
from router.haproxy.talk.stats import BackendNow
from router.observe.health import Health
from router.observe.http import HttpServer, Hub
from router.observe.metrics.router import Metrics
from router.observe.page.live import Live
from router.observe.page.overview import Overviews
from router.observe.page.served import ServedPage
from router.reconcile.snapshot import Snapshot
from tests.support.browser import chromium, opened
from tests.unit.admission.builders import SETTINGS, endpoint, endpoint_slice, objects_of, route, service

ROUTES = 5000


@pytest.fixture(scope="module")
def page() -> Iterator[tuple[ServedPage, int]]:
    """The page, and the port of its server."""
    objects = objects_of(
        *(route(f"db-{number}", 10_000 + number) for number in range(ROUTES)),
        service(),
        endpoint_slice(endpoint("10.1.0.1")),
    )
    outcome = Admission(SETTINGS).update(objects, objects.everything())
    snapshot = Snapshot(synced=True, configured=True, verdicts=outcome.verdicts, applied=outcome.model)
    counts = {section.backend.name: BackendNow(1, 1, 5, 5, 5) for section in outcome.model.routes}
    hub = Hub()
    with ExitStack() as stack:
        live = Live(lambda: snapshot, lambda: counts, objects, lambda: hub.viewers, hub.tell)
        metrics = Metrics("2.8.0", lambda: True)
        overviews = Overviews(
            router_name="tcp-router", haproxy_build="2.8.0", snapshot=lambda: snapshot, readiness=lambda: Health(()), liveness=lambda: Health(()),
            registry=metrics.registry, objects=objects, stats_socket=Path("/nonexistent"), master_socket=Path("/nonexistent"),
        )  # fmt: skip
        served = ServedPage(
            settings=SETTINGS,
            live=live,
            overviews=overviews,
            snapshot=lambda: snapshot,
            objects=objects,
            stats_socket=Path("/nonexistent"),
        )
        server = HttpServer("127.0.0.1", 0, served.pages(), below=served.below())
        hub.attach(server)
        stack.callback(server.stop)
        stack.callback(live.stop)
        server.start()
        live.start()
        yield served, server.port


@pytest.fixture
def served(page: tuple[ServedPage, int]) -> ServedPage:
    """The page."""
    return page[0]


@pytest.fixture
def port(page: tuple[ServedPage, int]) -> int:
    """Where it is served."""
    return page[1]


def test_whatever_the_page_consists_of_is_guarded(served: ServedPage) -> None:
    """As /ports is: a path that is added to the page, and not to these, would be given to everybody."""
    assert set(served.pages()) == set(PAGES)
    assert set(served.below()) == set(BELOW)
    assert set(FOR_PEOPLE) >= {*PAGES, *BELOW}


def test_only_what_is_seen_is_in_the_document(port: int) -> None:
    """From the first line to the last, by search, and sorted; the document stays small."""
    with chromium() as browser, opened(browser, f"http://127.0.0.1:{port}/") as page:
        expect(page.locator("#count")).to_have_text(f"{ROUTES} of {ROUTES}")
        rows = page.locator("tbody tr[data-id]")
        expect(rows.first).to_contain_text("10000")
        assert rows.count() < 100
        page.locator(".scroll").evaluate("(place) => { place.scrollTop = place.scrollHeight; }")
        expect(rows.last).to_contain_text(str(10_000 + ROUTES - 1))
        assert rows.count() < 100
        page.fill("#search", "db-4321")
        expect(page.locator("#count")).to_have_text(f"1 of {ROUTES}")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("14321")
        page.fill("#search", "")
        page.click("#by-asker button")
        expect(rows.first).to_contain_text("shop/db-0")
        expect(page.locator("table")).to_have_attribute("aria-rowcount", str(ROUTES + 1))
