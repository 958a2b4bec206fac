"""What askers use in a second."""

from __future__ import annotations

import pytest

from router.cli.rates import Reading, Use, human, uses


def reading(name: str, sessions: int | None, connections: int = 0, into: int = 0, out: int = 0) -> Reading:
    """Make a reading of a Route on port 5000."""
    return Reading(
        namespace="a", name=name, port=5000, sessions=sessions, connections=connections, bytes_in=into, bytes_out=out
    )


def test_what_grew_between_two_readings() -> None:
    """By the time between them; who came meanwhile has no rate yet, who is not served no row."""
    before = [reading("db", 1, 10, 1000, 2000), reading("web", 1, 5)]
    after = [reading("db", 3, 14, 3000, 10_000), reading("web", 2, 5), reading("new", 4, 9), reading("refused", None)]
    assert uses(before, after, 2.0, "bytes") == [
        Use("a/db", "5000", 3, 2.0, 1000.0, 4000.0),
        Use("a/new", "5000", 4, 0.0, 0.0, 0.0),
        Use("a/web", "5000", 2, 0.0, 0.0, 0.0),
    ]


def test_after_a_reload_the_counts_begin_anew() -> None:
    """What is less than before is what came since."""
    assert uses([reading("db", 1, 100, 9000)], [reading("db", 1, 4, 200)], 2.0, "bytes")[0][3:5] == (2.0, 100.0)


@pytest.mark.parametrize(("by", "first"), [("sessions", "a/many"), ("connections", "a/busy"), ("bytes", "a/big")])
def test_what_comes_first(by: str, first: str) -> None:
    """Most of what is asked for."""
    before = [reading("many", 9), reading("busy", 1), reading("big", 1)]
    after = [reading("many", 9), reading("busy", 1, 50), reading("big", 1, 1, 1, 5000)]
    assert uses(before, after, 1.0, by)[0].asker == first


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B/s"), (1023, "1023 B/s"), (2048, "2.0 KiB/s"), (5 * 2**20, "5.0 MiB/s"), (2**43, "8192.0 GiB/s")],
)
def test_bytes_for_people(count: float, text: str) -> None:
    """In the unit of which there is one at least."""
    assert human(count) == text


def test_where_an_asker_is() -> None:
    """Its port, its host, and its address where it has one."""
    on = Reading(
        namespace="a", name="b", port=5000, host="db.example.com", external_address="pg", kind="Service", section="x"
    )
    assert (on.asker, on.where) == ("Service a/b x", "5000 db.example.com on pg")
    assert Reading(namespace="a", name="b").where == "-"
