"""One object about which admission raises what nobody foresaw costs only itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from router.admission import Admission
from router.admission.claim_book import ClaimBook
from router.admission.claims import Claim
from router.admission.destination import find_destination
from router.admission.left_out import is_left_out
from router.admission.places import SNI, Place
from router.admission.verdicts import Reason
from router.model import Asker
from router.objects.core import Service, ServicePort
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.route import Route, RouteSpec, RouteTarget
from router.objects.store import Changes, Store
from router.reconcile.isolation import Isolation
from router.reconcile.timing import Timing
from router.settings import AdmissionSettings
from tests.support.stage import Stage, asker, key, route
from tests.unit.admission.builders import DB, NAMESPACE, asking, sni_route
from tests.unit.admission.builders import asker as admission_asker
from tests.unit.admission.builders import route as admission_route
from tests.unit.admission.test_transport_servers import POOL, SERVING, grant, server, there, who

_TIMING = Timing(
    reload_interval_s=0, gather_s=(0, 0), port_retry_s=0, refused_retry_s=(1e6, 1e6), failure_retry_s=(0, 0)
)


@dataclass
class _Fault:
    """What is wrong with the router in this test: it raises for these."""

    bad: set[ObjectKey] = field(default_factory=set)
    asked: list[ObjectKey] = field(default_factory=list)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> _Fault:
    """Make finding a destination raise for some Routes."""
    made = _Fault()

    def find_or_raise(request: Any, *args: Any, **kwargs: Any) -> Any:
        made.asked.append(ObjectKey(*request.asker.key))
        if request.asker.key in made.bad:
            raise ZeroDivisionError(f"nobody thought of {request.asker.name}")
        return find_destination(request, *args, **kwargs)

    monkeypatch.setattr("router.admission.decide.find_destination", find_or_raise)
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a loop that is turned by hand, with the Route ``a`` on 7001."""
    made = Stage(tmp_path, _TIMING)
    made.store.put(route("a", 7001))
    made.store.mark_synced("test")
    made.controller.turn()
    yield made
    made.close()


def _fail_and_recover(stage: Stage) -> None:
    with pytest.raises(ZeroDivisionError):
        stage.controller.turn()
    stage.controller.rebuild(1)
    stage.controller.turn()


def test_the_others_are_served(stage: Stage, fault: _Fault, logged: list[structlog.typing.EventDict]) -> None:
    """After the turn that failed its Route is rejected, the log has the traceback once, and others' changes are served."""
    fault.bad = {key("bad")}
    stage.store.put(route("bad", 7002), route("c", 7003))
    _fail_and_recover(stage)
    verdict = stage.controller.snapshot.verdicts[asker("bad")]
    assert (verdict.reason, verdict.message.partition(":")[0]) == (Reason.CONFIG_REJECTED, "internal error")
    assert stage.haproxy.serves == {7001, 7003}
    stage.store.put(route("d", 7004))
    stage.controller.turn()
    assert stage.haproxy.serves == {7001, 7003, 7004}
    (told,) = [line for line in logged if line["event"] == "object left out"]
    assert (told["namespace"], told["name"]) == key("bad")
    assert isinstance(told["exc_info"], ZeroDivisionError)


def test_more_of_them_fail_no_turn(stage: Stage, fault: _Fault, logged: list[structlog.typing.EventDict]) -> None:
    """Whoever makes such objects again and again stops nobody: from the second on they are found before they come among the others."""
    fault.bad = {key(f"bad{number}") for number in range(5)}
    stage.store.put(route("bad0", 7100))
    _fail_and_recover(stage)
    for number in range(1, 5):
        stage.store.put(route(f"bad{number}", 7100 + number), route(f"good{number}", 7200 + number))
        # Its status is written, for one: that is the same Route, and no news.
        stage.store.put(msgspec.structs.replace(route("bad0", 7100)))
        stage.controller.turn()
    assert stage.haproxy.serves == {7001, 7201, 7202, 7203, 7204}
    assert len([line for line in logged if line["event"] == "object left out"]) == 5


def test_what_it_has_is_nobody_elses_meanwhile(stage: Stage, fault: _Fault) -> None:
    """An older Route waits for its port, also where no PortClaim says whose it is; and it has it again once it is another one."""
    aged = route("b", 7001)
    older = msgspec.structs.replace(
        aged, metadata=msgspec.structs.replace(aged.metadata, creation_timestamp="2020-01-01T00:00:00Z")
    )
    stage.store.put(older)
    stage.controller.turn()
    fault.bad = {key("a")}
    changed = msgspec.structs.replace(route("a", 7001), spec=RouteSpec(to=RouteTarget(name="other")))
    stage.store.put(changed, route("c", 7003))
    _fail_and_recover(stage)
    assert stage.haproxy.serves == {7003}
    verdicts = stage.controller.snapshot.verdicts
    assert verdicts[asker("a")].places == (Place(7001),)
    assert verdicts[asker("b")].message == "port 7001 is held by Route team/a (left out for an internal error)"
    stage.store.put(msgspec.structs.replace(older))
    stage.controller.rebuild(1)
    stage.controller.turn()
    assert stage.haproxy.serves == {7003}
    fault.bad = set()
    stage.store.put(route("a", 7001))
    stage.controller.turn()
    assert stage.haproxy.serves == {7001, 7003}
    assert stage.controller.snapshot.verdicts[asker("a")].admitted
    fault.bad = {key("a")}
    stage.store.put(route("a", 7005))
    stage.controller.turn()
    assert stage.controller.snapshot.verdicts[asker("a")].places == (Place(7001),)
    assert not stage.controller.snapshot.verdicts[asker("b")].admitted
    stage.store.delete(Route, key("a"))
    stage.controller.turn()
    assert stage.controller.snapshot.verdicts[asker("b")].admitted


def test_hosts_and_sections_are_kept_too() -> None:
    """A host on the SNI port and on a shared one, and each port of a Service; nothing of them is served."""
    admission = Admission(AdmissionSettings(sni_port=8443))
    store = Store()
    old = "2020-01-01T00:00:00Z"
    store.put(
        *DB,
        sni_route("a", "x.example.com", 7000, created="2024-01-01T00:00:00Z"),
        asking("pg", "pg=7001 web=7002", ServicePort(5432, "pg"), ServicePort(80, "web")),
    )
    changes, _ = store.take()
    admission.update(store.objects, changes)
    served = dict(admission.served())
    assert set(served) == {
        Place(7000, "x.example.com"),
        Place(SNI, "x.example.com"),
        Place(7001),
        Place(7002),
    }
    slots: tuple[Slot, ...] = ((Route, ObjectKey(NAMESPACE, "a")), (Service, ObjectKey(NAMESPACE, "pg")))
    for slot in slots:
        obj = store.objects.asking(slot)
        assert obj is not None
        admission.hold(slot, obj)
    store.put(
        sni_route("b", "x.example.com", 7000, created=old),
        sni_route("c", "y.example.com", 7000, created=old),
        admission_route("d", 7001, created=old),
        admission_route("e", 7000, created=old),
    )
    changes, _ = store.take()
    outcome = admission.update(store.objects, Changes(changes.askers.union(slots)))
    assert {each.asker.name for each in outcome.verdicts.values() if each.admitted} == {"c"}
    assert [host.host for shared in outcome.model.shared for host in shared.hosts] == ["y.example.com", "y.example.com"]
    left = [each for each in outcome.verdicts.values() if is_left_out(each)]
    assert {place for each in left for place in each.places} == set(served)
    assert {each.asker.section for each in left} == {"", "pg", "web"}
    again = admission.anew()
    for slot in slots:
        obj = store.objects.asking(slot)
        assert obj is not None
        again.hold(slot, obj)
    anew = again.update(store.objects, store.objects.everything())
    assert anew.model == outcome.model
    assert again.served() == admission.served()


def test_one_that_was_served_and_changes_costs_only_itself(stage: Stage, fault: _Fault) -> None:
    """A Route that comes to provoke it leaves; the others stay, and it is served again once it is another one."""
    fault.bad = {key("a")}
    stage.store.put(route("b", 7002), route("a", 7003))
    _fail_and_recover(stage)
    assert stage.haproxy.serves == {7002}
    fault.bad = set()
    stage.store.put(route("a", 7004))
    stage.controller.turn()
    assert stage.haproxy.serves == {7002, 7004}
    assert stage.controller.snapshot.verdicts[asker("a")].admitted


def test_what_is_everybodys_fault_leaves_all_as_it_is(stage: Stage, fault: _Fault) -> None:
    """Where every object raises the router is at fault, not they: the turn fails, and HAProxy has what it had."""
    stage.store.put(route("b", 7002))
    stage.controller.turn()
    fault.bad = {key("a"), key("b")}
    stage.store.put(route("a", 7003), route("b", 7004))
    for failures in (1, 2, 3):
        with pytest.raises(ZeroDivisionError):
            stage.controller.turn()
        stage.controller.rebuild(failures)
    assert stage.haproxy.serves == {7001, 7002}
    fault.bad = set()
    stage.controller.turn()
    assert stage.haproxy.serves == {7003, 7004}


@dataclass
class _Alone:
    """An ``Isolation`` without a loop around it."""

    store: Store = field(default_factory=Store)
    isolation: Isolation = field(default_factory=lambda: Isolation(Admission(AdmissionSettings()), (5.0, 300.0)))

    def update(self, now_s: float) -> dict[Asker, bool]:
        """Decide, and give who is admitted."""
        changes, _ = self.store.take()
        verdicts = self.isolation.update(self.store.objects, changes, now_s).verdicts
        return {each: verdict.admitted for each, verdict in verdicts.items()}


def test_it_is_tried_again_after_pauses_that_grow(fault: _Fault) -> None:
    """What made it raise may be another object: it is tried without a change of its own, and served when that works."""
    alone = _Alone()
    fault.bad = {key("bad")}
    alone.isolation.anew()
    alone.store.put(route("bad", 7002), route("c", 7003))
    assert alone.update(0.0) == {asker("bad"): False, asker("c"): True}
    assert alone.isolation.due(4.9) is None
    assert alone.isolation.due(5.0) is not None
    assert alone.update(5.0) == {asker("bad"): False, asker("c"): True}
    assert alone.isolation.due(14.9) is None
    fault.bad = set()
    assert alone.update(15.0) == {asker("bad"): True, asker("c"): True}
    assert alone.isolation.due(1e9) is None


def test_one_that_is_let_by_a_grant_is_tried_with_it(fault: _Fault) -> None:
    """Without the grant it would be refused before that is done with it which raises."""
    alone = _Alone(isolation=Isolation(Admission(SERVING), (5.0, 300.0)))
    fault.bad = {ObjectKey(NAMESPACE, "ts")}
    alone.isolation.anew()
    led = server(pool={**POOL, "serviceNamespace": "other"})
    alone.store.put(*there(), grant(), led, *DB, admission_route("db", 36_002))
    assert alone.update(0.0) == {who(): False, admission_asker("db"): True}
    fault.bad = set()
    assert alone.update(5.0) == {who(): True, admission_asker("db"): True}


def test_one_that_raises_only_among_others_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each by itself is well, the first that raises beside those before it is left out."""

    class Book(ClaimBook):
        """Raises at the second of two."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.met: set[Asker] = set()

        def put(self, which: Asker, claim: Claim | None) -> None:
            """Take a claim."""
            if claim is not None and which in {asker("a"), asker("z")}:
                self.met.add(which)
            if len(self.met) > 1:
                raise ZeroDivisionError
            super().put(which, claim)

    monkeypatch.setattr("router.admission.decide.ClaimBook", Book)
    alone = _Alone()
    alone.isolation.anew()
    alone.store.put(route("a", 7001), route("m", 7002), route("z", 7003))
    assert alone.update(0.0) == {asker("a"): True, asker("m"): True, asker("z"): False}


def test_a_deleted_one_leaves_nothing(fault: _Fault) -> None:
    """A Route that is gone is neither told of nor tried any more."""
    alone = _Alone()
    fault.bad = {key("bad")}
    alone.isolation.anew()
    alone.store.put(route("bad", 7002), route("c", 7003))
    alone.update(0.0)
    alone.store.delete(Route, key("bad"))
    assert alone.update(1.0) == {asker("c"): True}
    assert alone.isolation.due(1e9) is None
