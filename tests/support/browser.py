"""A real browser: Chromium of the machine, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.programs import requires_program

_PATIENCE_MS = 30_000
expect.set_options(timeout=_PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it without a window."""
    program = requires_program("chromium")
    with sync_playwright() as playwright:
        # Without its sandbox, which root may not have; it is shown nothing but the router's page.
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser,
    address: str,
    *,
    width: int = 1280,
    height: int = 800,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
) -> Iterator[Page]:
    """Open a page; that it makes no error, and asks no other host, is asserted at the end."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=scripts
    )
    page = context.new_page()
    problems: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console", lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None
    )
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(_PATIENCE_MS)
    try:
        page.goto(address)
        yield page
        assert problems == []
        origin = "/".join(address.split("/")[:3])
        assert [each for each in asked if not each.startswith((f"{origin}/", "data:"))] == []
    finally:
        context.close()
