"""Claims before statuses: a status waits until the PortClaims of its object are written, or refused."""

from __future__ import annotations

from router.admission.places import Place
from router.admission.verdicts import Verdict
from router.model import Asker
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.reconcile.snapshot import Snapshot
from router.status.claim_work import Check, Create, Remake, Work
from router.status.claims_backlog import ClaimsBacklog
from router.status.precedence import Precedence
from tests.unit.admission.test_ledger import DB, WEB, claim
from tests.unit.status.test_writer import Bench, asker, key

PORT, OTHER = Place(15432), Place(15433)
SHOP = ("Route", ObjectKey("shop", "db"))


def create(place: Place, of: Asker = DB) -> Create:
    """Give the work of writing that somebody has a place."""
    return Create(f"tcp-router-{place.port}", place, of)


def noted(backlog: ClaimsBacklog, place: Place, *works: Work) -> set[tuple[str, ObjectKey]]:
    """Note what is to be done about one place."""
    return backlog.note({place: works}, {})


def test_an_object_waits_for_all_its_claims() -> None:
    """Each that is written, or refused, is one less; what is noted again as it was is written all the same."""
    backlog = ClaimsBacklog()
    noted(backlog, PORT, create(PORT))
    noted(backlog, OTHER, create(OTHER))
    assert backlog.waits(*SHOP)
    assert backlog.settle(create(PORT)) is None
    assert backlog.waits(*SHOP)
    assert backlog.settle(create(OTHER)) == SHOP
    assert not backlog.waits(*SHOP)
    noted(backlog, OTHER, create(OTHER))
    assert not backlog.waits(*SHOP), "until the watch brings it, it is noted as it was"


def test_what_is_not_to_be_written_any_more_is_not_waited_for() -> None:
    """Another leader wrote it, or it is somebody else's now: that is told, since nothing is written that would tell."""
    backlog = ClaimsBacklog()
    noted(backlog, PORT, create(PORT))
    assert noted(backlog, PORT) == {SHOP}
    noted(backlog, PORT, create(PORT))
    assert noted(backlog, PORT, create(PORT, WEB)) == {SHOP}
    assert not backlog.waits(*SHOP)
    assert backlog.waits("Route", ObjectKey(*WEB.key))


def test_work_that_was_replaced_meanwhile_settles_nothing() -> None:
    """The answer to a request comes when it is another's place already."""
    backlog = ClaimsBacklog()
    noted(backlog, PORT, create(PORT, WEB))
    noted(backlog, PORT, create(PORT))
    assert backlog.settle(create(PORT, WEB)) is None
    assert backlog.waits(*SHOP)


def test_a_claim_that_is_made_anew_is_waited_for_and_one_that_is_checked_is_not() -> None:
    """Who is served while a former holder is asked after has its own claim."""
    backlog = ClaimsBacklog()
    noted(backlog, PORT, Check(claim("tcp-router-15432", held_by=WEB)))
    assert not backlog.waits(*SHOP)
    noted(backlog, PORT, Remake(claim("tcp-router-15432", generation=2), PORT, DB))
    assert backlog.waits(*SHOP)


def test_news_of_one_claim_does_not_look_at_all_that_wait() -> None:
    """At a first start thousands wait, and the watch brings each as it is written, on the thread that serves changes."""
    looked_at: list[str] = []

    class Kind(str):
        """Of an object; each look for it in a set or a mapping is seen."""

        __slots__ = ()

        def __hash__(self) -> int:
            looked_at.append(self)
            return super().__hash__()

    def asker_of(number: int) -> Asker:
        return DB._replace(kind=Kind("Route"), name=f"app-{number}")

    backlog = ClaimsBacklog()
    ports = {number: Place(10_000 + number) for number in range(500)}
    backlog.note({place: (create(place, asker_of(number)),) for number, place in ports.items()}, {})
    looked_at.clear()
    assert noted(backlog, ports[7]) == {("Route", ObjectKey("shop", "app-7"))}
    assert len(looked_at) < 20


def held_up() -> tuple[Bench, set[tuple[str, ObjectKey]]]:
    """Give a leader with one Route, and of which objects the claims wait to be written: that one's."""
    waiting = {("Route", key("db"))}
    bench = Bench(precedence=Precedence(lambda kind, each: (kind, each) in waiting))
    bench.put("db")
    bench.tell(Verdict(asker=asker("db"), port=6620), changed=bench.see())
    return bench, waiting


def test_a_status_waits_until_it_is_released() -> None:
    """Others go on meanwhile; and it is written at once when its claim is."""
    bench, waiting = held_up()
    bench.put("web", 6621)
    bench.tell(Verdict(asker=asker("web"), port=6621), changed=bench.see("web"))
    bench.work(5.0)
    assert bench.conditions("web") == {"Admitted": "True", "PortClaimed": "6621"}
    assert not any("/routes/db" in path for _, path in bench.api.requests)
    waiting.clear()
    bench.writer.release("Route", key("db"))
    bench.work()
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6620"}


def test_a_release_that_nobody_told_is_found() -> None:
    """Half a minute later at the latest."""
    bench, waiting = held_up()
    bench.work(1.0)
    waiting.clear()
    bench.work(31.0)
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6620"}


def test_a_claim_that_is_written_in_that_very_instant() -> None:
    """It was waited for when it was asked about, and released before the status was put back."""
    answers = iter([True, False, False])
    bench = Bench(precedence=Precedence(lambda _kind, _key: next(answers, False)))
    bench.put("db")
    bench.tell(Verdict(asker=asker("db"), port=6620), changed=bench.see())
    bench.work()
    assert bench.conditions("db") == {"Admitted": "True", "PortClaimed": "6620"}


def test_a_turn_is_told_as_one() -> None:
    """Claims first; and nobody takes up a status between the two."""
    told: list[tuple[str, bool]] = []
    precedence = Precedence()

    class Told:
        def __init__(self, name: str) -> None:
            self.name = name

        def update(self, *_: object) -> None:
            told.append((self.name, precedence.lock.locked()))

    precedence.first(Told("claims"), Told("statuses")).update(Snapshot(), Objects({}), frozenset())
    assert told == [("claims", True), ("statuses", True)]
    assert not precedence.lock.locked()
