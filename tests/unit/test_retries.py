"""When what was set aside is tried again."""

from __future__ import annotations

from collections.abc import Mapping

from router.admission.verdicts import Reason
from router.resources import ObjectKey, ObjectMeta, Route
from router.retries import Backoff, SetAside
from router.set_aside import Refusal, Refusals

KEY = ObjectKey("team", "db")
NO = Refusal(Reason.CONFIG_REJECTED, "no")
TAKEN = Refusal(Reason.PORT_UNAVAILABLE, "taken")


def route() -> Route:
    """Make the Route as a new object."""
    return Route(metadata=ObjectMeta(name="db", namespace="team"))


def nothing_taken(_: tuple[int, ...]) -> Mapping[int, str]:
    """Say that every port is free."""
    return {}


def test_backoff_doubles_up_to_its_limit_and_resets() -> None:
    """Pauses are 1, 2, 4, 5, 5 for a backoff from 1 to 5, and 1 again after a reset."""
    backoff = Backoff(1, 5)
    assert [backoff.pause_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.pause_s() == 1


def test_refused_route_stays_out_until_due_then_is_tried_with_longer_pauses() -> None:
    """Each further refusal of the same Route doubles the pause before the next trial."""
    aside = SetAside((5, 300), 2)
    same = route()
    aside.add(Refusals({KEY: NO}, {}), {KEY: same}, now_s=100)
    assert aside.due_s() == 105
    aside.review({KEY: same}, frozenset(), nothing_taken, now_s=104)
    assert aside.in_force().routes == {KEY: NO}
    aside.review({KEY: same}, frozenset(), nothing_taken, now_s=105)
    assert not aside.in_force()
    aside.add(Refusals({KEY: NO}, {}), {KEY: same}, now_s=105)
    assert aside.due_s() == 115


def test_changed_route_is_tried_at_once() -> None:
    """Another object under the same key ends the refusal, and so does the Route's disappearance."""
    aside = SetAside((5, 300), 2)
    aside.add(Refusals({KEY: NO}, {}), {KEY: route()}, now_s=100)
    aside.review({KEY: route()}, frozenset(), nothing_taken, now_s=100)
    assert not aside.in_force()
    aside.add(Refusals({KEY: NO}, {}), {KEY: route()}, now_s=100)
    aside.review({}, frozenset(), nothing_taken, now_s=100)
    assert not aside.in_force()


def test_only_news_are_told() -> None:
    """The same refusal again is no news; another message is."""
    aside = SetAside((5, 300), 2)
    refusals = Refusals({KEY: NO}, {6620: TAKEN})
    assert aside.add(refusals, {}, now_s=0) == refusals
    assert not aside.add(refusals, {}, now_s=1)
    other = Refusals({KEY: Refusal(Reason.CONFIG_REJECTED, "still no")}, {})
    assert aside.add(other, {}, now_s=2) == other


def test_taken_port_is_tried_when_a_look_finds_it_free() -> None:
    """A port is looked at after each pause, and stays out for as long as it is taken."""
    aside = SetAside((5, 300), 2)
    looks: list[tuple[int, ...]] = []

    def still_taken(ports: tuple[int, ...]) -> Mapping[int, str]:
        looks.append(ports)
        return dict.fromkeys(ports, "in use")

    aside.add(Refusals({}, {6620: TAKEN}), {}, now_s=100)
    aside.review({}, frozenset({6620}), still_taken, now_s=101)
    assert looks == []
    aside.review({}, frozenset({6620}), still_taken, now_s=102)
    assert looks == [(6620,)]
    assert aside.in_force().ports == {6620: TAKEN}
    assert aside.due_s() == 104
    aside.review({}, frozenset({6620}), nothing_taken, now_s=104)
    assert not aside.in_force()


def test_port_nobody_wants_any_more_is_forgotten() -> None:
    """A refused port without a claimant is not looked at again."""
    aside = SetAside((5, 300), 2)
    aside.add(Refusals({}, {6620: TAKEN}), {}, now_s=100)
    aside.review({}, frozenset(), nothing_taken, now_s=100)
    assert aside.due_s() == float("inf")


def test_acquitted_is_forgotten_and_what_is_in_force_stays() -> None:
    """After a success only those that were on trial are forgotten."""
    aside = SetAside((5, 300), 2)
    same = route()
    other = ObjectKey("team", "other")
    aside.add(Refusals({KEY: NO}, {}), {KEY: same, other: same}, now_s=100)
    aside.add(Refusals({other: NO}, {}), {KEY: same, other: same}, now_s=104)
    aside.review({KEY: same, other: same}, frozenset(), nothing_taken, now_s=105)
    aside.acquit()
    assert aside.in_force().routes == {other: NO}
    assert aside.due_s() == 109
