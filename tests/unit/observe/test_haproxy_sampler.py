"""When HAProxy's workers are read, and how much of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from router.haproxy.talk.stats import WorkerId
from router.haproxy.talk.workers import Reading
from router.observe.metrics.haproxy import HaproxyMetrics, Owners
from router.supervisor import Supervisor
from tests.support.waiting import wait_for


class Workers:
    """Workers without anything to read, which note whether servers were wanted."""

    def __init__(self) -> None:
        self.wanted: list[bool] = []
        self.held: frozenset[WorkerId] = frozenset()

    def hold(self) -> None:
        """Hold none."""

    def read(self, *, servers: bool) -> tuple[Reading, ...]:
        """Note."""
        self.wanted.append(servers)
        return ()

    def look(self, *, servers: Callable[[], bool]) -> tuple[Reading, ...]:
        """Note, as if one was replaced."""
        self.wanted.append(servers())
        return ()

    def release(self) -> None:
        """Hold none."""


@pytest.mark.parametrize(("servers", "wanted"), [(2, True), (3, False)])
def test_servers_are_read_as_long_as_each_is_counted(servers: int, *, wanted: bool) -> None:
    """At a scrape, and for the last time when a worker was replaced: by how many there are then, though nobody scraped before."""
    workers = Workers()
    metrics = HaproxyMetrics(workers, lambda: Owners(servers=servers), 2, supervisor=Supervisor())
    metrics.start()
    metrics.reloaded()
    wait_for(lambda: workers.wanted, "a look")
    metrics.exposition()
    metrics.stop()
    assert set(workers.wanted) == {wanted}
