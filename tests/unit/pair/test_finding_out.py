"""Who is reached where: names that are looked up, and ports that are connected to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from router.pair.model import Probe, Reach
from router.pair.naming import Naming
from router.pair.prober import Prober
from router.supervisor import Supervisor
from tests.support.servers import echo_server
from tests.support.waiting import wait_for


class _Names:
    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, ...]] = {}
        self.asked = 0

    def __call__(self, names: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
        self.asked += 1
        return {name: self.answers[name] for name in names if name in self.answers}


class _Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_a_name_had_last_stays() -> None:
    """While nothing is found out about it; and nobody asks for names that nobody wants."""
    names, clock, changed = _Names(), _Clock(), threading.Event()
    names.answers["tcp.example.com"] = ("192.0.2.1",)
    naming = Naming(changed.set, look_up=names, clock=clock, supervisor=Supervisor())
    naming.start()
    try:
        naming.want("shop", frozenset({"tcp.example.com"}))
        wait_for(changed.is_set, "the name to be looked up")
        assert naming.known == {"tcp.example.com": ("192.0.2.1",)}
        names.answers.clear()
        asked = names.asked
        clock.now_s += 60
        naming.want("other", frozenset({"none.example.com"}))
        wait_for(lambda: names.asked > asked, "it to be looked up again")
        assert naming.known == {"tcp.example.com": ("192.0.2.1",)}
        naming.want("shop", frozenset())
        wait_for(lambda: naming.known == {}, "it to be forgotten")
    finally:
        naming.stop()


@contextmanager
def _prober(changed: list[str], clock: _Clock) -> Iterator[Prober]:
    prober = Prober(changed.append, clock=clock, supervisor=Supervisor())
    prober.start()
    try:
        yield prober
    finally:
        prober.stop()


def test_a_port_is_down_after_the_timeout_and_not_before() -> None:
    """A first failure counts at once; who was reached counts as down when he was not for the monitor's timeout."""
    clock, changed = _Clock(), list[str]()
    with _prober(changed, clock) as prober:
        with echo_server(b"") as server:
            probe = Probe(server.address, server.port, 1, 10)
            prober.want("shop", {"db": probe})
            reached = Reach(server.address, server.port)
            wait_for(lambda: prober.reach("shop") == {"db": reached}, "the port to be reached")
        assert prober.counts() == (1, 0)
        clock.now_s += 2
        prober.want("shop", {"db": probe})
        wait_for(lambda: prober.tries >= 2, "a second try")
        assert prober.reach("shop") == {"db": reached}
        clock.now_s += 11
        prober.want("shop", {"db": probe})
        wait_for(lambda: prober.reach("shop")["db"].problem == "Connection refused", "it to count as down")
        assert changed == ["shop", "shop"]
        assert prober.counts() == (0, 1)
        prober.want("shop", {})
        assert prober.reach("shop") == {}


def test_an_address_that_cannot_be_connected_to_is_told() -> None:
    """And the thread goes on."""
    clock, changed = _Clock(), list[str]()
    with _prober(changed, clock) as prober:
        prober.want("shop", {"db": Probe("fe80::1%nosuch", 1, 1, 1)})
        wait_for(lambda: "db" in prober.reach("shop"), "a problem")
        assert prober.reach("shop")["db"].problem
