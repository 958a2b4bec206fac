"""The HTTP port of routers that share a network: one has it at a time."""

from __future__ import annotations

from router.observe.http import HttpServer, Page
from router.observe.http_turn import HttpTurn
from tests.support.ports import free_port
from tests.support.probing import is_refused
from tests.support.router_process import http_get
from tests.support.waiting import wait_for


def turn(port: int, word: bytes) -> HttpTurn:
    """Make one whose page is a word."""
    made = HttpTurn(lambda: HttpServer("127.0.0.1", port, {"/": lambda: Page(word)}))
    made.start()
    return made


def test_the_port_is_taken_when_the_other_gives_it_away() -> None:
    """Until then the one that waits does without, and afterwards the former owner never takes it again."""
    port = free_port()
    old, new = turn(port, b"old"), turn(port, b"new")
    try:
        assert http_get(port, "/") == (200, "old")
        old.give_away()
        wait_for(lambda: http_get(port, "/") == (200, "new"), "the new one to have it")
        new.give_away()
        assert is_refused(port)
    finally:
        old.stop()
        new.stop()
    assert is_refused(port)


def test_one_that_ends_while_it_waits_takes_nothing() -> None:
    """Its port stays the other's."""
    port = free_port()
    old = turn(port, b"old")
    new = turn(port, b"new")
    new.stop()
    assert http_get(port, "/") == (200, "old")
    old.stop()
    assert is_refused(port)
