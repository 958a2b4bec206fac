"""What names lead to comes into the store, from a DNS server by UDP, and stays over a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from router.cluster.names import memory
from router.cluster.names.input import NamesInput
from router.cluster.names.resolv_conf import Servers
from router.cluster.names.resolver import Resolver
from router.objects.meta import ObjectKey
from router.objects.resolved import ResolvedName
from router.objects.store import Store
from router.supervisor import Supervisor
from tests.support.dns_server import DnsServer
from tests.support.waiting import wait_for

DB, WEB = ObjectKey("team", "db"), ObjectKey("other", "web")
NAME = "db.example.com"


@pytest.fixture
def server() -> Iterator[DnsServer]:
    """A server that knows one name."""
    with DnsServer() as server:
        server.zone[NAME] = {"A": ["192.0.2.1"]}
        yield server


@contextmanager
def following(server: DnsServer, path: Path, store: Store) -> Iterator[NamesInput]:
    """Look up names, as a router does."""
    names = NamesInput(store, lambda: Resolver(Servers([server.address]), deadline_s=1), path, Supervisor())
    names.start()
    try:
        yield names
    finally:
        names.stop()


def known(store: Store) -> Mapping[ObjectKey, ResolvedName]:
    """Give what the store has."""
    store.take()
    return store.objects.names


def test_answers_come_into_the_store(server: DnsServer, tmp_path: Path) -> None:
    """For each Service that says the name, which is asked for once; and they go with what wants them."""
    store = Store()
    with following(server, tmp_path / "names.json", store) as names:
        names.want({DB: NAME, WEB: NAME})
        wait_for(lambda: known(store).keys() == {DB, WEB}, "both")
        assert {each.addresses for each in known(store).values()} == {("192.0.2.1",)}
        wait_for(lambda: names.lookups() == {"answered": 1, "absent": 1}, "both families")
        wait_for(lambda: names.names() == {"resolved": 1, "failing": 0, "pending": 0}, "the name to be resolved")
        assert sorted(server.asked) == [(NAME, "A", "udp"), (NAME, "AAAA", "udp")]
        names.want({WEB: NAME})
        wait_for(lambda: known(store).keys() == {WEB}, "one alone")
        names.want({WEB: "none.example.com"})
        told = "the name none.example.com does not exist"
        wait_for(lambda: [each.problem for each in known(store).values()] == [told], "the other name")


def test_they_stay_over_a_restart(server: DnsServer, tmp_path: Path) -> None:
    """A router that begins while no server answers has them at once, and does not lose them by its first failure."""
    path = tmp_path / "names.json"
    first, second = Store(), Store()
    with following(server, path, first) as names:
        names.want({DB: NAME})
        wait_for(lambda: DB in known(first), "an answer")
    assert [each.addresses for each in memory.read(path)] == [("192.0.2.1",)]
    server.is_silent = True
    with following(server, path, second) as names:
        assert known(second)[DB].addresses == ("192.0.2.1",)
        names.want({DB: NAME})
        wait_for(lambda: names.lookups().get("failed") == 2, "two failures")
        assert known(second)[DB].addresses == ("192.0.2.1",)
        assert names.names() == {"resolved": 1, "failing": 0, "pending": 0}
        # Of those that nobody leads to any more nothing is left.
        names.want({})
        wait_for(lambda: not known(second), "nothing")
    assert memory.read(path) == ()


def test_a_file_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """Nonsense in it costs what it would have told, and no more."""
    path = tmp_path / "names.json"
    path.write_text("{")
    assert memory.read(path) == ()
    assert memory.read(tmp_path / "missing.json") == ()


def test_the_thread_ends_at_once(server: DnsServer, tmp_path: Path) -> None:
    """Also while a server keeps it waiting."""
    server.is_silent = True
    with following(server, tmp_path / "names.json", Store()) as names:
        names.want({DB: NAME})
        wait_for(lambda: len(server.asked) == 2, "questions")
        names.stop()
        assert names._thread.has_ended  # noqa: SLF001 - that it is the thread


def test_first_answers_are_awaited_for_an_instant(server: DnsServer, tmp_path: Path) -> None:
    """A replica that knows nothing yet has clients go to another one; for two seconds, however long a name takes, and never again."""
    server.is_silent = True
    with following(server, tmp_path / "names.json", Store()) as names:
        assert names.awaited() == ()
        names.want({DB: NAME})
        assert names.awaited() == ("names of ExternalName Services are looked up for the first time",)
        began_s = time.monotonic()
        wait_for(lambda: names.awaited() == (), "it to be over")
        assert time.monotonic() - began_s < 3
        names.want({DB: NAME, WEB: "other.example.com"})
        assert names.awaited() == ()
    server.is_silent = False
    with following(server, tmp_path / "others.json", Store()) as names:
        names.want({DB: NAME})
        began_s = time.monotonic()
        wait_for(lambda: names.awaited() == (), "an answer")
        assert time.monotonic() - began_s < 1
