"""When a write that was refused is made again."""

from __future__ import annotations

from router.pair.model import Problem, Target, Write
from router.pair.refusals import Refusals

_TARGET = Target("remote", "services", "shop", "db-gold")
_CLUSTER = "golddr"


def _write(version: str = "1", **body: str) -> Write:
    return Write(target=_TARGET, verb="patch", claim="db", body=body, version=version)


def test_a_refusal_is_told_and_tried_again_after_pauses_that_grow() -> None:
    """And how much of a quota is used is no news."""
    refusals = Refusals()
    refusals.refuse("shop", _CLUSTER, _write(), Problem("Denied", "used: 3"), 100.0)
    assert refusals.problems("shop", 101.0) == {_TARGET: Problem("Denied", "used: 3")}
    assert refusals.holds_back(_write("2"), 101.0)
    assert list(refusals.due(101.0)) == []
    assert list(refusals.due(102.0)) == ["shop"]
    assert not refusals.holds_back(_write(), 102.0)
    refusals.refuse("shop", _CLUSTER, _write(), Problem("Denied", "used: 4"), 102.0)
    assert refusals.problems("shop", 105.9) == {_TARGET: Problem("Denied", "used: 3")}
    assert refusals.problems("shop", 106.1) == {}
    assert refusals.told == 1
    refusals.done("shop", _write(), has_effect=True)
    assert refusals.told == 0
    assert list(refusals.due(1000.0)) == []


def test_a_conflict_is_over_when_the_other_write_is_seen() -> None:
    """Nothing is told of it; and a version that is another than that which was refused is written at once."""
    refusals = Refusals()
    refusals.refuse("shop", _CLUSTER, _write("7"), Problem("", "changed meanwhile"), 100.0)
    assert refusals.problems("shop", 100.1) == {}
    assert refusals.holds_back(_write("7"), 100.1)
    assert not refusals.holds_back(_write("8"), 100.1)
    assert list(refusals.due(100.6)) == ["shop"]


def test_what_changes_nothing_is_not_written_again() -> None:
    """Of the same version, with the same words; and it is forgotten with what nobody wants to write any more."""
    refusals = Refusals()
    refusals.done("shop", _write("3", a="b"), has_effect=False)
    assert refusals.holds_back(_write("3", a="b"), 0.0)
    assert not refusals.holds_back(_write("4", a="b"), 0.0)
    assert not refusals.holds_back(_write("3", a="c"), 0.0)
    refusals.refuse("shop", _CLUSTER, _write(), Problem("Denied", "x"), 0.0)
    refusals.keep("shop", ())
    assert refusals.told == 0
