"""A database in two clusters: PostgreSQL replicates through the Services that ``tcp-router pair`` writes, and two routers with their HAProxies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.pairing import CLAIM, SHOP, Clusters
from tests.support.replication import Postgres, postgres
from tests.support.two_networks import Place, ServiceProxy, two_networks
from tests.support.waiting import wait_for

_PAIRED: dict[str, Any] = {"Copied": "Copied", "Linked": "Written"}

Two = tuple[Clusters, Place, Place]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    """Two clusters with routers, and a pair."""
    with two_networks(tmp_path) as made:
        made[0].pair().start()
        yield made


def _write(primary: Postgres, number: int) -> None:
    """Write a number, and be told."""
    assert primary.ask(f"INSERT INTO written SELECT {number} RETURNING number") == str(number)


def _read(standby: Postgres, number: int) -> None:
    """Wait until what was written on the primary is there."""
    wait_for(
        lambda: str(number) in standby.ask("SELECT number FROM written").splitlines(),
        f"write {number} to arrive at the standby", 60,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_replication_through_the_services_of_a_pair(two: Two) -> None:
    """A write on the primary is read on the standby; when the primary's pod moves, nobody touches anything; fail over, and back."""
    clusters, gold, golddr = two
    clusters.claim()
    clusters.wait_for(**_PAIRED)
    here, there = clusters.gold.get(CLAIM, SHOP, "db"), clusters.golddr.get(CLAIM, SHOP, "db")
    assert here is not None
    assert there is not None
    # The routers gave what the pair had reserved, and keep their own conditions beside the pair's.
    assert here["status"]["port"] == there["status"]["port"]
    assert (here["status"]["address"], there["status"]["address"]) == (gold.address, golddr.address)
    assert {"Admitted", "Ready"} <= clusters.conditions().keys()
    with ExitStack() as stack:
        stack.enter_context(ServiceProxy(gold, "db-golddr", 5432))
        stack.enter_context(ServiceProxy(golddr, "db-gold", 5432))
        in_gold = stack.enter_context(postgres(gold.entered))
        in_golddr = stack.enter_context(postgres(golddr.entered))

        in_golddr.make()
        in_golddr.start(golddr.pod(1))
        golddr.endpoints(golddr.pod(1))
        clusters.wait_for(PeerReachable="Reachable")
        in_golddr.ask("CREATE TABLE written (number int)")
        in_gold.copy(gold.service_address)
        in_gold.start(gold.pod(1))
        gold.endpoints(gold.pod(1))
        _write(in_golddr, 1)
        _read(in_gold, 1)
        assert in_gold.ask("SELECT pg_is_in_recovery()") == "t"

        # The primary's pod moves.
        in_golddr.stop()
        in_golddr.start(golddr.pod(2))
        golddr.endpoints(golddr.pod(2))
        _write(in_golddr, 2)
        _read(in_gold, 2)

        # The primary is gone: the standby takes over, and the other follows it by the other Service.
        in_golddr.stop(signal.SIGQUIT)
        in_gold.promote()
        _write(in_gold, 3)
        in_golddr.copy(golddr.service_address)
        in_golddr.start(golddr.pod(1))
        golddr.endpoints(golddr.pod(1))
        _write(in_gold, 4)
        _read(in_golddr, 4)

        # And back.
        in_gold.stop(signal.SIGQUIT)
        in_golddr.promote()
        _write(in_golddr, 5)
        in_gold.copy(gold.service_address)
        in_gold.start(gold.pod(2))
        gold.endpoints(gold.pod(2))
        _write(in_golddr, 6)
        _read(in_gold, 6)
        assert in_gold.ask("SELECT count(*) FROM written") == "6"


def test_routers_give_what_was_reserved_and_keep_it_without_a_pair(two: Two) -> None:
    """A claim that is paired no more has its port on, by a PortClaim of its router's own; of one that is deleted both routers give it up."""
    clusters, gold, golddr = two
    clusters.claim()
    clusters.wait_for(**_PAIRED)
    port = _port(clusters)
    origins = [each["spec"]["origin"] for server in clusters.servers for each in server.list("PortClaim")]
    assert origins == ["Reserved", "Reserved"]
    clusters.stop_pairs()
    clusters.pair("--namespace-selector", "paired=yes").start()
    wait_for(lambda: [kind for kind, _ in clusters.left()] == [CLAIM], "what was written to be taken back")

    def won() -> bool:
        return [(each["spec"]["origin"], each["spec"]["port"]) for each in gold.server.list("PortClaim")] == [
            ("Won", port)
        ]

    wait_for(won, "the router of gold to remember the port by itself")
    assert _port(clusters) == port
    wait_for(lambda: golddr.server.list("PortClaim") == [], "golddr to give the port up")
    clusters.gold.delete(CLAIM, SHOP, "db")
    wait_for(lambda: gold.server.list("PortClaim") == [], "gold to give the port up")


def _port(clusters: Clusters) -> int:
    claim = clusters.gold.get(CLAIM, SHOP, "db")
    assert claim is not None
    return int(claim["status"]["port"])
