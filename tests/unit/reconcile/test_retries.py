"""When what was set aside is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from router.admission import Outcome, Verdict
from router.admission.verdicts import Reason
from router.model import Asker, Model, RouteSection, Spot
from router.reconcile.retries import Allowance, SetAside
from router.reconcile.set_aside import Aside, Asides, without
from router.supervisor.backoff import Backoff
from tests.support.models import section, server

KEY = Asker.route("team", "db")
NO = Aside(Reason.CONFIG_REJECTED, "no")
TAKEN = Aside(Reason.PORT_UNAVAILABLE, "taken")


def wanting(*sections: RouteSection) -> Outcome:
    """Make an outcome in which these are to be served."""
    keys = [Asker.route(each.namespace, each.route) for each in sections]
    return Outcome(Model(tuple(sections)), {key: Verdict(asker=key, port=6620) for key in keys})


NOTHING = wanting()
DB = wanting(section("db", 6620))
OTHER = wanting(section("db", 6620, balance="source"))


def nothing_taken(_: tuple[Spot, ...]) -> Mapping[Spot, str]:
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
    aside.add(Asides({KEY: NO}, {}), DB, now_s=100)
    assert aside.due_s() == 105
    aside.review(DB, (), frozenset(), nothing_taken, now_s=104)
    assert aside.in_force().routes == {KEY: NO}
    aside.review(DB, (), frozenset(), nothing_taken, now_s=105)
    assert not aside.in_force()
    aside.add(Asides({KEY: NO}, {}), DB, now_s=105)
    assert aside.due_s() == 115


def test_changed_route_is_tried_at_once() -> None:
    """A Route that asks for something else ends the refusal, and so does the Route's disappearance."""
    aside = SetAside((5, 300), 2)
    aside.add(Asides({KEY: NO}, {}), DB, now_s=100)
    aside.review(OTHER, (), frozenset(), nothing_taken, now_s=100)
    assert not aside.in_force()
    aside.add(Asides({KEY: NO}, {}), OTHER, now_s=100)
    assert aside.due_s() == 105
    aside.review(NOTHING, (), frozenset(), nothing_taken, now_s=100)
    assert not aside.in_force()


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(wanting(section("db", 6620)), id="equal"),
        pytest.param(wanting(section("db", 6620, server(1))), id="other endpoints"),
    ],
)
def test_what_changes_nothing_that_is_asked_for_is_no_reason_to_try_again(same: Outcome) -> None:
    """Anybody can write to a status, and pods come and go: the pause goes on, and the next one is longer."""
    aside = SetAside((5, 300), 2)
    aside.add(Asides({KEY: NO}, {}), DB, now_s=100)
    aside.review(same, (), frozenset(), nothing_taken, now_s=104)
    assert aside.in_force().routes == {KEY: NO}
    aside.review(same, (), frozenset(), nothing_taken, now_s=105)
    aside.add(Asides({KEY: NO}, {}), same, now_s=105)
    assert aside.due_s() == 115


def test_an_allowance_comes_back_with_time() -> None:
    """Three at once, and one more each 10 s."""
    allowance = Allowance(3, 10)
    for _ in range(2):
        allowance.use(100)
    assert allowance.free_s() <= 100
    allowance.use(100)
    assert allowance.free_s() == 110
    allowance.use(110)
    assert allowance.free_s() == 120
    assert not allowance.is_full(139)
    assert allowance.is_full(140)


def test_a_route_that_is_edited_again_and_again_is_tried_at_a_bounded_rate() -> None:
    """Each edit asks for something else. After the first few, HAProxy is asked every 10 s, however many edits there are."""
    aside = SetAside((5, 300), 2, (3, 10))
    tries = []
    for tenths in range(1000):
        edited = wanting(section("db", 6620, timeout_connect_ms=tenths))
        aside.review(edited, (), frozenset(), nothing_taken, now_s=tenths / 10)
        if not aside.in_force().routes:
            tries.append(tenths / 10)
            aside.add(Asides({KEY: NO}, {}), edited, now_s=tenths / 10)
    assert tries == [0, 0.1, 0.2, *range(10, 100, 10)]


def test_new_routes_of_a_namespace_that_was_refused_too_often_wait_together() -> None:
    """Neither another name nor a change of what is served is a way around it; other namespaces notice nothing."""
    aside = SetAside((5, 300), 2, (1, 10))
    aside.add(Asides({KEY: NO}, {}), DB, now_s=100)
    served = (section("good", 6622), section("touched", 6623), section("x", 1, namespace="quiet"))
    wanted = wanting(
        section("db", 6620),
        section("good", 6622, server(1)),
        section("new", 6621),
        section("touched", 6623, balance="source"),
        section("x", 1, namespace="zquiet"),
    )
    aside.review(wanted, served, frozenset(), nothing_taken, now_s=101)
    kept_out = aside.in_force().routes
    assert {key.name for key in kept_out} == {"db", "new"}
    assert "namespace team again and again" in kept_out[Asker.route("team", "new")].message
    ((touched, former),) = aside.in_force().former.items()
    assert (touched.name, former.section) == ("touched", served[1])
    assert former.message == kept_out[Asker.route("team", "new")].message
    assert aside.due_s() == 110
    aside.review(wanted, served, frozenset(), nothing_taken, now_s=110)
    assert not aside.in_force()
    aside.acquit()
    aside.review(wanted, wanted.model.routes, frozenset(), nothing_taken, now_s=111)
    assert not aside


@pytest.mark.parametrize(
    ("edited", "stays"),
    [
        pytest.param({"balance": "source", "timeout_connect_ms": 1}, True, id="other options"),
        pytest.param({"allowlist": ("10.0.0.1",)}, False, id="fewer may connect"),
    ],
)
def test_what_is_served_stays_as_it_was_while_it_waits(edited: dict[str, Any], stays: bool) -> None:  # noqa: FBT001 - of a table
    """With the endpoints that it has now, and a warning; but not where it would let in whom it shall keep out, nor at another port."""
    aside = SetAside((5, 300), 2, (1, 10))
    aside.add(Asides({KEY: NO}, {}), DB, now_s=100)
    served = (section("db", 6620), section("web", 6621))
    wanted = wanting(section("db", 6620), section("web", 6621, server(1), **edited))
    aside.review(wanted, served, frozenset(), nothing_taken, now_s=101)
    left = without(wanted, aside.in_force())
    web = Asker.route("team", "web")
    if not stays:
        assert left.model.routes == ()
        assert left.verdicts[web].set_aside
        return
    assert left.model.routes == (section("web", 6621, server(1)),)
    assert left.verdicts[web].admitted
    assert left.verdicts[web].warnings[0].startswith("this is served as it was before: HAProxy refused Routes")
    moved = wanting(section("db", 6620), section("web", 6622, server(1), **edited))
    aside.review(moved, left.model.routes, frozenset(), nothing_taken, now_s=102)
    assert without(moved, aside.in_force()).model.routes == ()
    aside.review(wanted, left.model.routes, frozenset(), nothing_taken, now_s=110)
    assert without(wanted, aside.in_force()).model.routes[-1] == section("web", 6621, server(1), **edited)


def test_new_templates_give_every_namespace_its_allowance_back() -> None:
    """What was refused for the templates' sake is tried at once."""
    aside = SetAside((5, 300), 2, (1, 10))
    aside.add(Asides({KEY: NO}, {}), DB, now_s=100)
    aside.retry_routes_now(101)
    aside.review(DB, (), frozenset(), nothing_taken, now_s=101)
    assert not aside.in_force()


def test_only_news_are_told() -> None:
    """The same refusal again is no news; another message is."""
    aside = SetAside((5, 300), 2)
    refusals = Asides({KEY: NO}, {Spot(6620): TAKEN})
    assert aside.add(refusals, NOTHING, now_s=0) == refusals
    assert not aside.add(refusals, NOTHING, now_s=1)
    other = Asides({KEY: Aside(Reason.CONFIG_REJECTED, "still no")}, {})
    assert aside.add(other, NOTHING, now_s=2) == other


def test_taken_port_is_tried_when_a_look_finds_it_free() -> None:
    """A port is looked at after each pause, and stays out for as long as it is taken."""
    aside = SetAside((5, 300), 2)
    looks: list[tuple[Spot, ...]] = []

    def still_taken(ports: tuple[Spot, ...]) -> Mapping[Spot, str]:
        looks.append(ports)
        return dict.fromkeys(ports, "in use")

    aside.add(Asides({}, {Spot(6620): TAKEN}), NOTHING, now_s=100)
    aside.review(NOTHING, (), frozenset({Spot(6620)}), still_taken, now_s=101)
    assert looks == []
    aside.review(NOTHING, (), frozenset({Spot(6620)}), still_taken, now_s=102)
    assert looks == [(Spot(6620),)]
    assert aside.in_force().ports == {Spot(6620): TAKEN}
    assert aside.due_s() == 104
    aside.review(NOTHING, (), frozenset({Spot(6620)}), nothing_taken, now_s=104)
    assert not aside.in_force()


def test_port_nobody_wants_any_more_is_forgotten() -> None:
    """A refused port without a claimant is not looked at again."""
    aside = SetAside((5, 300), 2)
    aside.add(Asides({}, {Spot(6620): TAKEN}), NOTHING, now_s=100)
    aside.review(NOTHING, (), frozenset(), nothing_taken, now_s=100)
    assert aside.due_s() == float("inf")


def test_acquitted_is_forgotten_and_what_is_in_force_stays() -> None:
    """After a success only those that were on trial are forgotten."""
    aside = SetAside((5, 300), 2)
    other = Asker.route("team", "other")
    both = wanting(section("db", 6620), section("other", 6621))
    aside.add(Asides({KEY: NO, other: NO}, {}), both, now_s=100)
    aside.add(Asides({other: NO}, {}), both, now_s=104)
    aside.review(both, (), frozenset(), nothing_taken, now_s=105)
    aside.acquit()
    assert aside.in_force().routes == {other: NO}
    assert aside.due_s() == 114


def test_ports_of_one_that_leaves_are_looked_at_twenty_times_a_second() -> None:
    """While another generation of the router is there, a port may be free at any time, and then there is a hurry."""
    is_there = True
    aside = SetAside((5, 300), 2, is_hurried=lambda: is_there)
    aside.add(Asides({}, {Spot(6620): TAKEN}), DB, now_s=100)
    assert aside.due_s() == pytest.approx(100.05)
    assert not aside.review(DB, (), frozenset({Spot(6620)}), lambda ports: dict.fromkeys(ports, ""), now_s=100.1)
    assert aside.due_s() == pytest.approx(100.15)
    assert aside.review(DB, (), frozenset({Spot(6620)}), nothing_taken, now_s=100.2)
    assert not aside.in_force()
    is_there = False
    aside.add(Asides({}, {Spot(6621): TAKEN}), DB, now_s=101)
    assert not aside.review(DB, (), frozenset({Spot(6620), Spot(6621)}), nothing_taken, now_s=103)
    assert not aside.in_force().ports


def test_of_very_many_ports_a_few_tell_of_all() -> None:
    """To look at thousands twenty times a second would cost a core; who leaves closes all at once. All are looked at now and then."""
    ports = frozenset(map(Spot, range(10_000, 15_000)))
    looked_at: list[int] = []
    taken = set(ports)

    def look(some: tuple[Spot, ...]) -> Mapping[Spot, str]:
        looked_at.append(len(some))
        return dict.fromkeys(taken & set(some), "")

    aside = SetAside((5, 300), 2, is_hurried=lambda: True)
    aside.add(Asides({}, dict.fromkeys(ports, TAKEN)), DB, now_s=100)
    for tick in range(1, 40):
        aside.review(DB, (), ports, look, now_s=100 + tick * 0.11)
    assert looked_at.count(5_000) == 3
    assert set(looked_at) == {5_000, 64}
    taken.clear()
    assert aside.review(DB, (), ports, look, now_s=104.5)
    assert not aside.in_force().ports


def test_one_port_of_many_that_becomes_free_alone_is_found() -> None:
    """A Route was deleted at the other generation only: not with the others, but within the usual time."""
    ports = frozenset(map(Spot, range(10_000, 10_200)))
    aside = SetAside((5, 300), 2, is_hurried=lambda: True)
    aside.add(Asides({}, dict.fromkeys(ports, TAKEN)), DB, now_s=100)
    for tick in range(1, 25):
        aside.review(DB, (), ports, lambda some: dict.fromkeys(set(some) - {Spot(10_150)}, ""), now_s=100 + tick * 0.11)
    assert ports - aside.in_force().ports.keys() == {Spot(10_150)}
