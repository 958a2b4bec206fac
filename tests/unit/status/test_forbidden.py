"""Until when nothing is tried where a permission is missing."""

from __future__ import annotations

import pytest

from router.status.forbidden import Forbidden


def test_a_namespace_is_left_alone_for_a_while() -> None:
    """After a refusal nothing is tried in that namespace for the pause, and all the same in others."""
    forbidden = Forbidden(60.0)
    assert forbidden.refused("a", 100.0) == 160.0
    assert (forbidden.until_s("a", 159.0), forbidden.until_s("a", 160.0), forbidden.until_s("b", 100.0)) == (
        160.0,
        None,
        None,
    )


def test_many_namespaces_cost_two_requests_a_second_together() -> None:
    """The pause grows with their number, up to a minute."""
    forbidden = Forbidden()
    pauses_s = [forbidden.refused(f"n{number}", 0.0) for number in range(200)]
    assert (pauses_s[0], pauses_s[99], pauses_s[199]) == (5.0, 50.0, 60.0)


def test_a_grant_in_one_is_tried_in_all() -> None:
    """What is permitted in a namespace that was refused may be so in the others by now; elsewhere a success says nothing."""
    forbidden = Forbidden()
    forbidden.refused("a", 0.0)
    forbidden.refused("b", 0.0)
    assert not forbidden.permitted("c")
    assert forbidden.until_s("b", 1.0) is not None
    assert forbidden.permitted("a")
    assert forbidden.until_s("b", 1.0) is None


@pytest.mark.parametrize(("later_s", "left"), [(200.0, 2), (1000.0, 1)])
def test_namespaces_that_are_gone_are_forgotten(later_s: float, left: int) -> None:
    """Where nothing is tried any more for long, nothing is kept: deleted namespaces do not pile up, nor lengthen others' pauses."""
    forbidden = Forbidden()
    forbidden.refused("gone", 0.0)
    forbidden.refused("b", later_s)
    assert len(forbidden) == left
