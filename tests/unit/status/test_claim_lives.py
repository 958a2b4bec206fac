"""Random lives of Routes, replicas that see events late, leaders that die: after each calm all agree, and who holds a port keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from router.admission import Admission
from router.admission.ledger import Ledger
from router.admission.options import PREFIX
from router.admission.places import SNI, Place, asker_of, place_of
from router.admission.request import displayed_host
from router.admission.verdicts import Reason
from router.model import Asker
from router.objects.kinds import KubernetesObject, Slot
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.portclaim import ClaimHolder, PortClaim, PortClaimSpec
from router.objects.route import Route
from router.objects.store import Store
from router.settings import AdmissionSettings, PortRanges
from router.status.claim_work import Check, Create, Remake, work_on
from tests.unit.admission.builders import DB, NAMESPACE, route, sni_route

AUTO = "auto"
SETTINGS = AdmissionSettings(auto_ports=PortRanges(((7000, 7002),)))
OURS = "openshift-ingress"
REPLICAS = 3
# A calm is reached much sooner; else something goes round and round.
MOST_ROUNDS = 50
BROKEN = {f"{PREFIX}balance": "nonsense"}


@dataclass
class Server:
    """What an API server knows, and what it tells in order."""

    objects: dict[Slot, KubernetesObject] = field(default_factory=dict)
    history: list[tuple[Slot, KubernetesObject | None]] = field(default_factory=list)
    made: int = 0

    def put(self, obj: KubernetesObject) -> None:
        """Store an object, and tell."""
        self.objects[type(obj), obj.key] = obj
        self.history.append(((type(obj), obj.key), obj))

    def delete(self, slot: Slot) -> None:
        """Delete an object, and tell."""
        if self.objects.pop(slot, None) is not None:
            self.history.append((slot, None))

    def metadata(self, name: str, namespace: str) -> ObjectMeta:
        """Give the metadata of an object that is made now; several are made in a second."""
        self.made += 1
        at = f"2024-01-01T00:{self.made // 720:02}:{self.made // 12 % 60:02}Z"
        return ObjectMeta(name=name, namespace=namespace, uid=f"uid-{self.made}", generation=1, creation_timestamp=at)

    def claims(self) -> Iterator[PortClaim]:
        """Give all PortClaims."""
        return (each for each in self.objects.values() if isinstance(each, PortClaim))


class Replica:
    """A router that has seen some of the history."""

    def __init__(
        self, server: Server, admission: AdmissionSettings = SETTINGS, pods: tuple[KubernetesObject, ...] = DB
    ) -> None:
        self.server = server
        self.store = Store()
        self.store.put(*pods)
        self.admission = Admission(admission)
        self.seen = 0
        # It lists what is there when it starts.
        for slot, obj in server.objects.items():
            self.store.apply({slot: obj}, frozenset())
        self.seen = len(server.history)
        self.store.take()
        self.outcome = self.admission.update(self.store.objects, self.store.objects.everything())

    def see(self, events: int) -> bool:
        """See so many events more, at once; say whether there were any."""
        news = self.server.history[self.seen : self.seen + events]
        for slot, obj in news:
            self.store.apply(
                {slot: obj} if obj is not None else {}, frozenset() if obj is not None else frozenset({slot})
            )
        self.seen += len(news)
        changes, _ = self.store.take()
        self.outcome = self.admission.update(self.store.objects, changes)
        return bool(news)

    def lead(self, loses: int = 0) -> None:
        """Do once what a leader does about all places that it knows; of so many writes the last is lost."""
        count = 0
        ledger = Ledger(SETTINGS.ledger)
        served = self.admission.served()
        proposed = self.admission.proposed
        autos = {
            verdict.asker: Place(verdict.port)
            for verdict in self.outcome.verdicts.values()
            if verdict.auto and verdict.admitted and verdict.port is not None
        }
        for key, claim in self.store.objects.claims.items():
            ledger.put(key.name, claim)
        places = {*served, *proposed, *(place_of(claim) for claim in self.store.objects.claims.values())}
        for place in sorted(places):
            for work in work_on(
                place,
                served.get(place) or proposed.get(place),
                ledger,
                is_proposed=place not in served,
                is_elsewhere=lambda asker, place=place: autos.get(asker, place) != place,  # type: ignore[misc]  # of a place
            ):
                count += 1
                if loses and count % loses == 0:
                    continue
                match work:
                    case Create():
                        self._create(work.name, place, work.asker)
                    case Remake():
                        if self._delete(work.claim):
                            self._create(work.name, place, work.asker)
                    case Check() if not asks(
                        self.server, asker_of(work.claim.spec.holder or ClaimHolder()), place, is_spare=work.is_spare
                    ):
                        self._delete(work.claim)
                    case _:
                        pass

    def _create(self, name: str, place: Place, asker: Asker) -> None:
        if (PortClaim, ObjectKey(OURS, name)) not in self.server.objects:
            spec = PortClaimSpec(
                ledger=SETTINGS.ledger,
                port=place.port,
                host=displayed_host(place.host),
                origin="Won",
                holder=ClaimHolder(*asker),
            )
            self.server.put(PortClaim(self.server.metadata(name, OURS), spec))

    def _delete(self, claim: PortClaim) -> bool:
        slot = (PortClaim, claim.key)
        if self.server.objects.get(slot) != claim:
            return False
        self.server.delete(slot)
        return True


def asks(server: Server, holder: Asker, place: Place, *, is_spare: bool = False) -> bool:
    """Say what a GET of the holder says."""
    found = server.objects.get((Route, ObjectKey(*holder.key)))
    if not isinstance(found, Route) or found.metadata.uid != holder.uid:
        return False
    return not is_spare and not place.host if port_of(found) == AUTO else place in wanted(found)


def port_of(each: Route) -> str | None:
    """Give the port that a Route asks for."""
    return (each.metadata.annotations or {}).get("haproxy.router.openshift.io/external-tcp-port")


def is_broken(server: Server, holder: Asker) -> bool:
    """Say whether a Route has a mistake."""
    return BROKEN.items() <= (server.objects[Route, ObjectKey(*holder.key)].metadata.annotations or {}).items()


def excludes(one: Place, other: Place) -> bool:
    """Say whether a port cannot be had in these two ways at a time: whole, and by a host."""
    return one.port == other.port != SNI and bool(one.host) is not bool(other.host)


def wanted(each: Route) -> set[Place]:
    """Give the places that a Route of this test asks for by name."""
    port = port_of(each) if port_of(each) != AUTO else None
    host = each.spec.host
    places = {Place(int(port), host)} if port is not None else set()
    return places | ({Place(0, host)} if host else set())


NAMES = st.sampled_from("abcd")
WANTS = st.sampled_from(
    [
        (AUTO, ""),
        (AUTO, ""),
        (AUTO, ""),
        (AUTO, "", "broken"),
        (7000, ""),
        (7000, ""),
        (7001, ""),
        (None, "x.example.com"),
        (None, "y.example.com"),
        (7002, "x.example.com"),
        (7000, "x.example.com"),
        (7000, "y.example.com"),
        (7000, "", "broken"),
        (7000, "x.example.com", "broken"),
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, WANTS),
    st.tuples(st.just("delete"), NAMES, st.none()),
    st.tuples(st.just("see"), st.integers(0, REPLICAS - 1), st.integers(1, 5)),
    st.tuples(st.just("see"), st.integers(0, REPLICAS - 1), st.integers(1, 5)),
    st.tuples(st.just("lead"), st.integers(0, REPLICAS - 1), st.just(0)),
    st.tuples(st.just("lead"), st.integers(0, REPLICAS - 1), st.integers(0, 3)),
    st.tuples(st.just("restart"), st.integers(0, REPLICAS - 1), st.none()),
    st.tuples(st.just("calm"), st.integers(0, REPLICAS - 1), st.none()),
    st.tuples(st.just("calm and sabotage"), st.integers(0, REPLICAS - 1), st.sampled_from(["delete", "change"])),
)


def route_of(server: Server, asker: Asker) -> Route:
    """Give the Route that asks."""
    found = server.objects[Route, ObjectKey(*asker.key)]
    assert isinstance(found, Route)
    return found


def calm(server: Server, replicas: list[Replica], leader: int) -> None:
    """Let all see everything, and the leader do everything, until nothing happens any more."""
    for _ in range(MOST_ROUNDS):
        for replica in replicas:
            replica.see(len(server.history))
        before = len(server.history)
        replicas[leader].lead()
        if len(server.history) == before:
            return
    raise AssertionError("there is no calm")


def check(server: Server, replicas: list[Replica], held: dict[Place, Asker]) -> None:
    """All serve the same, which is what claims say; and nobody lost what it held and asks for."""
    served = dict(replicas[0].admission.served())
    assert all(dict(replica.admission.served()) == served for replica in replicas)
    claimed = {place_of(each): asker_of(each.spec.holder or ClaimHolder()) for each in server.claims()}
    assert served.items() <= claimed.items()
    # Two leaders wrote that somebody has a port whole, and that somebody has a host on it: the later of them waits, with all that it claims.
    late = {asker for place, asker in claimed.items() if any(excludes(place, other) for other in claimed)}
    for place in claimed.keys() - served.keys():
        assert asks(server, claimed[place], place)
        assert is_broken(server, claimed[place]) or claimed[place] in late
    for place, asker in list(held.items()):
        if not asks(server, asker, place):
            del held[place]
        elif is_broken(server, asker):
            # It asks in vain, for a mistake, and keeps it from all others meanwhile.
            assert place not in served
            assert not any(excludes(place, other) for other in served)
        else:
            assert served.get(place) == asker
    check_autos(server, replicas, served, {place.port for place in claimed})
    held.update(served)


def check_autos(server: Server, replicas: list[Replica], served: dict[Place, Asker], claimed: set[int]) -> None:
    """Who asks for any port has one, but where there is none."""
    verdicts = replicas[0].outcome.verdicts
    autos = {asker for asker in verdicts if port_of(route_of(server, asker)) == AUTO and not is_broken(server, asker)}
    unserved = {asker for asker in autos if asker not in served.values()}
    assert all(replica.admission.proposed == {} for replica in replicas)
    if unserved:
        assert {verdicts[asker].reason for asker in unserved} == {Reason.NO_PORT_FREE}
        assert claimed >= {7000, 7001, 7002}


# Two leaders in one second: the one that knows nothing of "a" at 7000 serves a host there, the other the whole port.
TWO = [
    ("put", "a", (7001, "")),
    ("put", "b", (7000, "x.example.com")),
    ("see", 1, 2),
    ("put", "a", (7000, "")),
    ("see", 0, 3),
    ("lead", 0, 0),
    ("lead", 1, 0),
    ("calm", 2, None),
]
CHANGED = [("put", "a", (7000, "")), ("calm and sabotage", 0, "change")]


@given(st.lists(STEPS, max_size=40))
@example(CHANGED)
@example([*CHANGED, ("delete", "a", None), ("calm", 1, None)])
@example([*TWO, ("put", "a", (7000, "", "broken")), ("calm", 0, None), ("put", "a", (7000, "")), ("calm", 1, None)])
@example([*TWO, ("put", "b", (7000, "x.example.com", "broken")), ("delete", "a", None), ("calm", 1, None)])
@example([("put", "a", (7000, "")), ("put", "b", (7000, "x.example.com")), ("calm and sabotage", 2, "delete")])
@settings(max_examples=300)
def test_replicas_agree_and_holders_keep_what_they_hold(steps: list[tuple[str, object, object]]) -> None:
    """Whoever sees what when, whoever leads, and whoever begins anew: also two leaders, writes that are lost, and claims that somebody deletes or changes."""
    server = Server()
    replicas = [Replica(server) for _ in range(REPLICAS)]
    held: dict[Place, Asker] = {}
    for what, which, how in steps:
        if what == "put":
            put(server, str(which), how, held)
        elif what == "delete":
            server.delete((Route, ObjectKey(NAMESPACE, str(which))))
        else:
            assert isinstance(which, int)
            act(server, replicas, what, which, how, held)
    calm(server, replicas, 0)
    check(server, replicas, held)


def put(server: Server, name: str, how: object, held: dict[Place, Asker]) -> None:
    """Make a Route, or have it ask for something else."""
    assert isinstance(how, tuple)
    port, host, *broken = how
    annotations = BROKEN if broken else {}
    former = server.objects.get((Route, ObjectKey(NAMESPACE, name)))
    metadata = former.metadata if former is not None else server.metadata(name, NAMESPACE)
    made = sni_route(name, host, port, annotations=annotations) if host else route(name, port, annotations=annotations)
    new = replace(
        made, metadata=replace(made.metadata, uid=metadata.uid, creation_timestamp=metadata.creation_timestamp)
    )
    server.put(new)
    # What is not asked for any more may be somebody else's, also when it is asked for again.
    for place, asker in list(held.items()):
        if asker.name == name and not asks(server, asker, place):
            del held[place]


def act(server: Server, replicas: list[Replica], what: str, which: int, how: object, held: dict[Place, Asker]) -> None:
    """Let a replica do something."""
    if what == "see" and isinstance(how, int):
        replicas[which].see(how)
    elif what == "lead":
        replicas[which].lead(how if isinstance(how, int) else 0)
    elif what == "restart":
        replicas[which] = Replica(server)
    else:
        calm(server, replicas, which)
        check(server, replicas, held)
        claims = list(server.claims())
        if what == "calm and sabotage" and claims:
            claim = claims[which % len(claims)]
            served = dict(replicas[0].admission.served())
            if place_of(claim) not in served:
                # It is restored from what is served.
                held.pop(place_of(claim), None)
            if how == "delete":
                server.delete((PortClaim, claim.key))
            else:
                changed = replace(claim.spec, holder=ClaimHolder("", "Route", "evil", "evil", "", "evil"))
                server.put(replace(claim, spec=changed, metadata=replace(claim.metadata, generation=2)))
            for replica in replicas:
                replica.see(len(server.history))
                assert served.items() <= dict(replica.admission.served()).items(), "every replica serves on meanwhile"
            calm(server, replicas, which)
            check(server, replicas, held)
