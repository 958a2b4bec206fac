"""The page, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium, opened
from tests.support.clients import connect, echoes
from tests.support.objects import ANNOTATIONS, app, route
from tests.support.ports import free_port
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

Make = Callable[..., RouterProcess]

_QUICK = {"router.openshift.io/haproxy.health.check.interval": "100ms"}
_PICTURES = os.environ.get("TCP_ROUTER_TEST_PICTURES")
"""A folder to put pictures of the page into, for docs/."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with chromium() as started:
        yield started


@pytest.fixture
def shop(make_router: Make, echo: TcpServer) -> RouterProcess:
    """A router with a Route that is served, one that lost its port to it, one whose pods are dead, and one on the SNI port of nobody."""
    router = make_router("--listen", f"127.0.0.1:{free_port()}")
    port, dead_port = free_port(), free_port()
    router.write("db.yaml", *app("db", port, ("127.0.0.1", echo.port), annotations=_QUICK))
    router.write("late.yaml", *app("late", port, ("127.0.0.1", echo.port)))
    router.write("dead.yaml", *app("dead", dead_port, ("127.0.0.1", free_port()), annotations=_QUICK))
    router.start()
    router.wait_admitted("team/db", "team/dead")
    router.wait_for_row("team/dead", lambda row: row["servers_up"] == 0, "down")
    return router


def address(router: RouterProcess, state: str = "") -> str:
    """Give the address of the page, and of what is looked at there."""
    return f"http://127.0.0.1:{router.http_port}/{state and f'#{state}'}"


def lines(page: Page) -> list[str]:
    """Give the names in the table, from above."""
    return page.locator("tbody tr[data-id] td:nth-child(2)").all_inner_texts()


def is_accessible(page: Page) -> None:
    """Let axe look."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def picture(page: Page, name: str) -> None:
    """Take one, where some are wanted."""
    if _PICTURES:
        page.screenshot(path=Path(_PICTURES) / f"{name}.png")


def test_the_table_and_its_search(browser: Browser, shop: RouterProcess) -> None:
    """Search by anything, filters, sort; each state has an address that can be sent to somebody."""
    with opened(browser, address(shop)) as page:
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#count")).to_have_text("3 of 3")
        row = page.locator("tr[data-id='Route/team/late']")
        expect(row).to_contain_text("PortAlreadyClaimed")
        expect(row.locator("td").nth(2)).to_have_attribute(
            "title", r"port " + str(shop.ports()["team/db"]["port"]) + " is held by Route team/db"
        )
        expect(page.locator("tr[data-id='Route/team/dead']")).to_contain_text("no server up")
        is_accessible(page)

        page.fill("#search", "alreadyclaimed team")
        expect(page.locator("#count")).to_have_text("1 of 3")
        assert lines(page) == ["team/late"]
        kept = page.url
        page.fill("#search", "")
        page.check("#only-down")
        expect(page.locator("#count")).to_have_text("1 of 3")
        assert lines(page) == ["team/dead"]
        page.uncheck("#only-down")
        page.check("#only-rejected")
        expect(page.locator("#count")).to_have_text("1 of 3")
        page.uncheck("#only-rejected")
        page.click("#by-asker button")
        assert lines(page) == ["team/db", "team/dead", "team/late"]
        page.click("#by-asker button")
        assert lines(page) == ["team/late", "team/dead", "team/db"]
        expect(page.locator("#by-asker")).to_have_attribute("aria-sort", "descending")
        page.select_option("#namespaces", "team")
        expect(page.locator("#count")).to_have_text("3 of 3")
    with opened(browser, kept) as page:
        expect(page.locator("#search")).to_have_value("alreadyclaimed team")
        expect(page.locator("#count")).to_have_text("1 of 3")


def test_how_each_port_is_used(browser: Browser, make_router: Make, echo: TcpServer) -> None:
    """Connections now and bytes a second, of each asker its own; the picture of docs/ is taken of it."""
    router, use = (
        make_router("--listen", f"127.0.0.1:{free_port()}"),
        {"iot/mqtt": 5, "shop/orders-db": 3, "game/lobby": 2},
    )
    quiet = ["billing/ledger-db", "git/ssh", "mail/submission", "shop/cache"]
    ports = {name: free_port() for name in sorted([*use, *quiet])}
    for each, port in ports.items():
        namespace, _, name = each.partition("/")
        pod = free_port() if name == "submission" else echo.port
        apart = [
            {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
            for obj in app(name, port, ("127.0.0.1", pod), annotations=_QUICK)
        ]
        router.write(f"{name}.yaml", *apart)
    late = route("reports-db", ports["billing/ledger-db"])
    router.write("late.yaml", {**late, "metadata": {**late["metadata"], "namespace": "shop"}})
    router.start()
    router.wait_admitted(*ports)
    with ExitStack() as stack:
        held = [stack.enter_context(connect(ports[name])) for name, number in use.items() for _ in range(number)]
        with opened(browser, address(router), height=440) as page:
            cells = {name: page.locator(f"tr[data-id='Route/{name}'] td") for name in use}

            def passed() -> bool:
                return all(echoes(each, b"x" * 1000) for each in held)

            wait_for(lambda: passed() and all(each.nth(6).inner_text() != "0 B" for each in cells.values()), "bytes")
            for name, number in use.items():
                expect(cells[name].nth(4)).to_have_text(str(number))
            expect(page.locator("tr[data-id='Route/shop/cache'] td").nth(6)).to_have_text("0 B")
            if _PICTURES:
                wait_for(lambda: passed() and page.locator("svg.line").count() >= len(use), "a line of the past", 90)
            is_accessible(page)
            picture(page, "page-ports")


def test_one_port(browser: Browser, shop: RouterProcess) -> None:
    """All about it: the way, its last connections in words, and what to try."""
    port = int(shop.ports()["team/db"]["port"])
    with connect(port) as client:
        assert echoes(client)
    with opened(browser, address(shop)) as page:
        page.click("text=team/db")
        expect(page.locator("main")).to_contain_text("Route team/db: served")
        expect(page.locator("main")).to_contain_text("last check L4OK")
        expect(page.locator("main")).to_contain_text(f"nc -vz -w 5 127.0.0.1 {port}")
        expect(page.locator("main")).to_contain_text("it ended in order (--)")
        is_accessible(page)
        picture(page, "page-port")
        shop.write("late.yaml")
        expect(page.locator("main")).not_to_contain_text("would have it next", timeout=20_000)
        page.go_back()
        page.click("text=team/dead")
        expect(page.locator("main")).to_contain_text("NetworkPolicy keeps the router out")
        page.click("text=All ports")
        expect(page.locator("#count")).to_have_text("2 of 2")


def test_the_router_and_free_ports(browser: Browser, shop: RouterProcess) -> None:
    """How this replica is, and what nobody has."""
    port = int(shop.ports()["team/db"]["port"])
    with opened(browser, address(shop, "view=router")) as page:
        main = page.locator("main")
        expect(main).to_contain_text("tcp-router")
        expect(main).to_contain_text("Reloads")
        expect(main).to_contain_text("None lives on for its connections.")
        is_accessible(page)
        picture(page, "page-router")
        page.click("text=Free ports")
        expect(main).to_contain_text("Free of --ports")
        free = page.locator("pre").first.inner_text().split("\n")
        assert not any(int(low) <= port <= int(high or low) for low, _, high in (each.partition("-") for each in free))
        page.fill("#of", "team")
        page.press("#of", "Enter")
        expect(page.locator("pre")).to_have_count(3)
        is_accessible(page)


def test_what_changes_is_seen(browser: Browser, shop: RouterProcess, echo: TcpServer) -> None:
    """Within a moment, without anything being asked for; also that the router went, and that it is back."""
    port = free_port()
    with opened(browser, address(shop)) as page:
        expect(page.locator("#count")).to_have_text("3 of 3")
        file = shop.write("new.yaml", *app("new", port, ("127.0.0.1", echo.port)))
        expect(page.locator("tr[data-id='Route/team/new']")).to_contain_text("admitted")
        page.click("text=team/new")
        expect(page.locator("main")).to_contain_text("admitted, by a reload of HAProxy (route-added)")
        page.click("text=All ports")
        page.click("text=team/db")
        expect(page.locator("main")).to_contain_text("Nothing has changed since this router started.")
        page.click("text=All ports")
        file.unlink()
        expect(page.locator("tr[data-id='Route/team/new']")).to_have_count(0)
        shop.stop()
        expect(page.locator("#state")).to_contain_text("The router is away")
        expect(page.locator("#count")).to_have_text("3 of 3")
        shop.start()
        expect(page.locator("#state")).to_have_text("live", timeout=40_000)
        expect(page.locator("#count")).to_have_text("3 of 3")


def test_five_thousand_routes(browser: Browser, router: RouterProcess) -> None:
    """Only what is seen is in the document; search, order, scrolling and what changes are there for all of them."""
    port, most = free_port(), 5000
    router.write("all.yaml", *(route(f"r{number:04}", port) for number in range(most)))
    router.start()
    router.wait_admitted("team/r0000")
    with opened(browser, address(router)) as page:
        count = page.locator("#count")
        expect(count).to_have_text(f"{most} of {most}")
        assert 0 < page.locator("tbody tr").count() < 100
        page.click("#by-asker button")
        assert lines(page)[0] == "team/r0000"
        page.locator(".scroll").evaluate("place => place.scrollTop = place.scrollHeight")
        expect(page.locator("tr[data-id='Route/team/r4999']")).to_be_in_viewport()
        assert page.locator("tbody tr").count() < 100
        page.fill("#search", "r4321")
        expect(count).to_have_text(f"1 of {most}")
        assert lines(page) == ["team/r4321"]
        is_accessible(page)
        router.write("more.yaml", route("r4321-more", port))
        expect(count).to_have_text(f"2 of {most + 1}")


def test_a_hidden_page_asks_for_nothing(browser: Browser, shop: RouterProcess) -> None:
    """And goes on when it is seen again."""
    with opened(browser, address(shop)) as page:
        expect(page.locator("#state")).to_have_text("live")
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
        )
        expect(page.locator("#state")).to_have_text("paused")
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: false, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
        )
        expect(page.locator("#state")).to_have_text("live")


def test_hostile_text_stays_text(browser: Browser, router: RouterProcess) -> None:
    """What a team writes into its objects is shown as it is, and nothing of it is run."""
    bad = '"><img src=x onerror=document.title=1><script>document.title=2</script>'
    asked = route("evil", 6620, annotations={f"{ANNOTATIONS}balance": bad, f"{ANNOTATIONS}timeout-tunel": bad})
    router.write("evil.yaml", asked)
    router.start()
    router.wait_for_row("team/evil", lambda row: row["verdict"] == "rejected", "refused")
    with opened(browser, address(router)) as page:
        expect(page.locator("tr[data-id='Route/team/evil']")).to_contain_text("InvalidAnnotation")
        page.click("text=team/evil")
        expect(page.locator("main")).to_contain_text("<script>document.title=2</script>")
        assert page.locator("main img, main script").count() == 0
        assert page.title() == "tcp-router: TCP ports"
    with opened(browser, address(router, f"view=port&id={bad}&q={bad}&ns={bad}")) as page:
        expect(page.locator("main")).to_contain_text("<img src=x onerror=document.title=1>")
        assert page.locator("main img, main script").count() == 0
    with opened(browser, f"{address(router)}plain") as page:
        expect(page.locator("tbody")).to_contain_text("onerror=document.title=1")
        assert page.locator("img, script").count() == 0


def test_without_scripts_the_table_is_there(browser: Browser, shop: RouterProcess) -> None:
    """As text that the router wrote."""
    with opened(browser, address(shop), scripts=False) as page:
        expect(page.locator("tbody tr")).to_have_count(3)
        expect(page.locator("tbody")).to_contain_text("is held by Route team/db")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_width_and_both_schemes(browser: Browser, shop: RouterProcess, scheme: str, width: int) -> None:
    """Axe has no complaint, and nothing is wider than the window but what scrolls by itself; all of it by keyboard."""
    for state in ("", "view=router", "view=port&id=Route/team/db"):
        with opened(browser, address(shop, state), width=width, scheme=scheme) as page:  # type: ignore[arg-type]
            expect(page.locator("main")).to_contain_text("db" if "router" not in state else "Reloads")
            is_accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if not state and width == 360:
                picture(page, f"page-narrow-{scheme}")
    with opened(browser, address(shop), width=width) as page:
        expect(page.locator("#count")).to_have_text("3 of 3")
        page.focus("#search")
        page.keyboard.type("late")
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('tr[data-id]') !== null"):
                break
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_contain_text("PortAlreadyClaimed")


def test_no_page_where_none_is_wanted(make_router: Make) -> None:
    """With --no-page there is the table for programs alone."""
    router = make_router("--no-page")
    router.start()
    answers = {path: http_get(router.http_port, path)[0] for path in ("/", "/page/rows", "/ports")}
    assert answers == {"/": 404, "/page/rows": 404, "/ports": 200}
