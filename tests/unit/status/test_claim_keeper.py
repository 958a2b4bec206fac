"""What is told to who writes PortClaims, turn by turn, is what all that is known at last comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.ledger import Ledger
from router.admission.left_out import left_out
from router.admission.places import SNI, Place, place_of
from router.admission.verdicts import Reason, Verdict
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.portclaim import PortClaim
from router.objects.store import Objects
from router.ordered import SortedMap
from router.reconcile.snapshot import Snapshot
from router.settings import AdmissionSettings, PortRanges
from router.status.claim_api import ClaimApi
from router.status.claim_keeper import ClaimKeeper
from router.status.claim_usage import ClaimUsage
from router.status.claim_work import Check, Create, Tell, Work, stranger, telling, work_on
from router.status.claims import ClaimsWriter
from router.status.holders import Holders
from router.supervisor import Supervisor
from tests.support.unused_api import UnusedApi
from tests.unit.admission.test_ledger import BILLING, CLAIMS, DB, WEB, claim, reserved

OURS = "openshift-ingress"
ASKERS = (DB, WEB, BILLING)


class Recorder(ClaimsWriter):
    """Remembers what it is told last of each place and claim."""

    def __init__(self) -> None:
        api = UnusedApi()
        holders = Holders(api, AdmissionSettings())
        super().__init__(
            api, OURS, "tcp-router", "tcp-router", holders=holders, is_leader=lambda: False, supervisor=Supervisor()
        )
        self.works: dict[Place, tuple[Work, ...]] = {}
        self.tellings: dict[str, Tell] = {}
        self.noted = 0

    def note(self, works: Mapping[Place, Iterable[Work]], tellings: Mapping[str, Tell | None]) -> None:
        """Remember."""
        self.noted += len(works)
        for place, each in works.items():
            self.works.pop(place, None)
            if todo := tuple(each):
                self.works[place] = todo
        for name, tell in tellings.items():
            self.tellings.pop(name, None)
            if tell is not None:
                self.tellings[name] = tell


class Keeping:
    """A keeper, and the ledger and the verdicts that it is told of."""

    def __init__(self, auto_ports: PortRanges = PortRanges(())) -> None:  # noqa: B008 - frozen
        self.ledger = Ledger("tcp-router")
        self.objects = Objects()
        self.writer = Recorder()
        usage = ClaimUsage(
            ClaimApi(UnusedApi(), OURS, "tcp-router", "tcp-router"), self.ledger.at, supervisor=Supervisor()
        )
        self.keeper = ClaimKeeper(self.ledger, self.writer, usage, auto_ports)
        self.verdicts: SortedMap[Asker, Verdict] = SortedMap()

    def turn(self, changed: frozenset[Slot] = frozenset(), **snapshot: object) -> None:
        """Tell what is so now."""
        state = {"configured": True, **snapshot}
        made = Snapshot(verdicts=self.verdicts.mapping(), **state)  # type: ignore[arg-type]  # passed on
        self.keeper.update(made, self.objects, changed)

    def put(self, name: str, each: PortClaim | None, **snapshot: object) -> None:
        """Tell of a claim as it is now."""
        key = ObjectKey(OURS, name)
        self.ledger.put(name, each)
        self.objects.claims.pop(key, None)
        if each is not None:
            self.objects.claims[key] = each
        self.turn(frozenset({(PortClaim, key)}), **snapshot)

    def serve(self, asker: Asker, *places: Place, reason: Reason | None = None) -> None:
        """Have somebody served at these places, or set aside; at none."""
        verdict = Verdict(asker=asker, reason=reason, set_aside=reason is not None, places=places)
        self.verdicts.put(asker, verdict if places else None)

    def served(self) -> dict[Place, Asker]:
        """Give who has what by the verdicts."""
        return {
            place: verdict.asker
            for verdict in self.verdicts.values()
            if verdict.reason in {None, Reason.PORT_UNAVAILABLE}
            for place in verdict.places
        }


PLACES = st.sampled_from(
    [Place(port, host) for port in (1, 2, 6, SNI) for host in ("", "x.example.com", ".example.com") if port or host]
)
STEPS = st.one_of(
    CLAIMS,
    st.sampled_from("abcd"),
    st.tuples(
        st.sampled_from(ASKERS),
        st.lists(PLACES, max_size=2, unique=True),
        st.sampled_from([None, None, Reason.PORT_UNAVAILABLE, Reason.CONFIG_REJECTED]),
    ),
    st.just("turn"),
)


@given(st.lists(STEPS, max_size=20))
@settings(max_examples=200)
def test_what_is_told_is_what_a_look_at_all_gives(
    steps: list[PortClaim | str | tuple[Asker, list[Place], Reason | None]],
) -> None:
    """Whatever came in which order, and however much of it between two turns; a claim that is gone leaves nothing to be told."""
    keeping = Keeping()
    for step in steps:
        if step == "turn":
            keeping.turn()
        elif isinstance(step, str):
            keeping.ledger.put(step, None)
        elif isinstance(step, PortClaim):
            keeping.ledger.put(step.metadata.name, step)
        else:
            asker, places, reason = step
            taken = {place for other, place in _others(keeping, asker)}
            keeping.serve(asker, *(place for place in places if place not in taken), reason=reason)
    keeping.turn()
    served, ledger = keeping.served(), keeping.ledger
    there = [found for name in ledger.names() if (found := ledger.claim(name)) is not None]
    known = {*served, *map(place_of, there)}
    wanted = {place: work_on(place, served.get(place), ledger) for place in known}
    assert keeping.writer.works == {place: works for place, works in wanted.items() if works}
    tellings = {each.metadata.name: telling(each.metadata.name, _served_at(each, served), ledger) for each in there}
    assert keeping.writer.tellings == {name: tell for name, tell in tellings.items() if tell is not None}


def _others(keeping: Keeping, asker: Asker) -> list[tuple[Asker, Place]]:
    return [
        (verdict.asker, place)
        for verdict in keeping.verdicts.values()
        if verdict.asker != asker
        for place in verdict.places
    ]


def _served_at(each: PortClaim, served: Mapping[Place, Asker]) -> Asker | None:
    is_range = each.spec.port_end is not None and each.spec.origin == "Reserved"
    return None if is_range else served.get(place_of(each))


def test_nothing_is_told_of_what_is_not_served() -> None:
    """Before a first configuration, and while changes cannot be applied; then all that came meanwhile."""
    keeping = Keeping()
    keeping.serve(DB, Place(1))
    keeping.ledger.put("a", claim("a", 2))
    keeping.turn(configured=False)
    keeping.turn(problem="HAProxy is away")
    assert keeping.writer.works == {}
    keeping.turn()
    assert keeping.writer.works == {
        Place(1): (Create("tcp-router-1", Place(1), DB),),
        Place(2): (Check(claim("a", 2)),),
    }


def test_one_host_is_nothing_to_the_others_of_its_port() -> None:
    """However many there are; a claim to the whole port, or its reservation, is something to all."""
    keeping = Keeping()
    hosts = [Place(1, f"h{number}.example.com") for number in range(100)]
    for number, place in enumerate(hosts):
        keeping.ledger.put(f"c{number}", claim(f"c{number}", 1, DB, host=place.host))
    keeping.serve(DB, *hosts)
    keeping.turn()
    keeping.writer.noted = 0
    keeping.ledger.put("c5", None)
    keeping.turn()
    assert keeping.writer.noted == 1
    keeping.ledger.put("keep", reserved("keep", 1))
    keeping.turn()
    assert keeping.writer.noted >= 100


def test_a_reservation_that_no_router_reads_is_told() -> None:
    """Until some router says something of it, or it is of our ledger; also where it came before anything was served."""
    keeping = Keeping()
    wrong = reserved("keep", 1, ledger="tcp-ruoter")
    keeping.put("keep", wrong, configured=False)
    keeping.turn()
    assert keeping.writer.tellings == {"keep": stranger(wrong, "tcp-router")}
    told = stranger(wrong, "tcp-router")
    assert told is not None
    keeping.put("keep", msgspec.structs.replace(wrong, status=told.status))
    assert keeping.writer.tellings == {}
    keeping.put("keep", wrong)
    ours = reserved("keep", 1)
    keeping.put("keep", ours)
    assert keeping.writer.tellings == {"keep": telling("keep", None, keeping.ledger)}
    keeping.put("keep", None)
    assert keeping.writer.tellings == {}


def test_whether_one_asks_is_not_asked_where_nothing_can_be_decided() -> None:
    """What raises here would raise there; the claim stays, and is asked about when its holder is gone."""
    keeping = Keeping()
    keeping.ledger.put("a", claim("a", 1))
    keeping.serve(DB, Place(1))
    keeping.turn()
    for verdict in (*left_out(DB, {Place(1): DB}), *left_out(DB, {})):
        keeping.verdicts.put(DB, verdict)
        keeping.turn()
        assert keeping.writer.works == {}
    keeping.verdicts.put(DB, None)
    keeping.turn()
    assert keeping.writer.works == {Place(1): (Check(claim("a", 1)),)}


def test_what_is_proposed_is_written_before_anything_is_served_there() -> None:
    """From the first turn that is told on; what is proposed no more is written no more, and what was won is nothing to do."""
    keeping = Keeping()
    keeping.keeper.propose({Place(1): DB})
    assert keeping.writer.works == {}
    keeping.turn()
    create = Create("tcp-router-1", Place(1), DB, is_proposed=True)
    assert keeping.writer.works == {Place(1): (create,)}
    keeping.keeper.propose({Place(1): DB, Place(2): WEB})
    assert keeping.writer.works[Place(2)] == (Create("tcp-router-2", Place(2), WEB, is_proposed=True),)
    keeping.keeper.propose({Place(1): DB})
    assert keeping.writer.works == {Place(1): (create,)}
    keeping.ledger.put("tcp-router-1", claim("tcp-router-1", 1))
    keeping.keeper.propose({})
    assert keeping.writer.works == {Place(1): (create,)}, "what is served is told with the turn"
    keeping.serve(DB, Place(1))
    keeping.turn()
    assert keeping.writer.works == {}


def test_a_port_that_is_given_cools_down_unless_somebody_waits_for_it() -> None:
    """And what its holder won beside, where it is served on a port that was given to it, is spare."""
    keeping = Keeping(PortRanges(((1, 6),)))
    keeping.put("a", claim("a", 1))
    keeping.put("b", claim("b", 2))
    keeping.put("c", claim("c", 9))
    assert keeping.writer.works == {
        Place(1): (Check(claim("a", 1), cools=True),),
        Place(2): (Check(claim("b", 2), cools=True),),
        Place(9): (Check(claim("c", 9)),),
    }
    keeping.verdicts.put(DB, Verdict(asker=DB, port=1, places=(Place(1),), auto=True))
    waits = Verdict(asker=WEB, port=2, reason=Reason.PORT_ALREADY_CLAIMED, message="held")
    keeping.verdicts.put(WEB, waits)
    keeping.turn()
    assert keeping.writer.works == {
        Place(2): (Check(claim("b", 2), is_spare=True),),
        Place(9): (Check(claim("c", 9), is_spare=True),),
    }
    keeping.verdicts.put(WEB, None)
    keeping.turn()
    assert keeping.writer.works[Place(2)] == (Check(claim("b", 2), cools=True, is_spare=True),)
