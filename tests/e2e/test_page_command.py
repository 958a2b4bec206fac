"""``tcp-router page``: the way of a browser to a router, and of nobody else."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.commands import run_process
from tests.support.router_process import RouterProcess


@contextmanager
def page_of(router: RouterProcess) -> Iterator[tuple[int, str]]:
    """Start it; give its port and secret."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "router", "page", "--no-browser", "--address", f"127.0.0.1:{router.http_port}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert "Ctrl-C" in process.stdout.readline()
        told = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?key=(\S+)\n", process.stdout.readline())
        assert told is not None
        yield int(told[1]), told[2]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def asked(port: int, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """Ask it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def test_only_who_knows_the_secret_is_led_to_the_router(router: RouterProcess) -> None:
    """It becomes a cookie that no other site's request has; a name that leads here is refused; streams go through."""
    router.start()
    with page_of(router) as (port, secret):
        assert asked(port, "/").status == 403
        assert asked(port, "/page/rows").status == 403
        assert asked(port, "/?key=wrong").status == 403
        assert asked(port, f"/?key={secret}", Host=f"evil.example.com:{port}").status == 403
        assert asked(port, "/", "POST").status == 400
        let_in = asked(port, f"/?key={secret}")
        assert (let_in.status, let_in.getheader("Location")) == (303, "/")
        cookie = let_in.getheader("Set-Cookie") or ""
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        own = cookie.partition(";")[0]
        assert asked(port, "/", Cookie=f"tcp-router-page=wrong; {own}x").status == 403
        shown = asked(port, "/", Cookie=own)
        assert shown.status == 200
        assert "default-src 'none'" in (shown.getheader("Content-Security-Policy") or "")
        assert b"page.js" in shown.read()
        assert asked(port, "/page/rows", Cookie=own).status == 200
        assert asked(port, "/page/rows", Cookie=own, Host=f"evil.example.com:{port}").status == 403
        events = asked(port, "/page/events", Cookie=own)
        assert events.readline() == b"event: hello\n"


def test_a_router_that_cannot_be_reached_is_told_at_once(router: RouterProcess) -> None:
    """Not by an empty page."""
    router.start()
    router.stop()
    ended = run_process("page", "--no-browser", "--address", f"127.0.0.1:{router.http_port}")
    assert ended.exit_code == 1
    assert "no router can be reached" in ended.stderr
