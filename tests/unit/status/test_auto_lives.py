"""Random lives of those who ask for any port, in namespaces whose policies change: what is proposed is always theirs to have, and all replicas come to agree."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from router.admission import Reason
from router.admission.options import PREFIX
from router.admission.places import asker_of, place_of
from router.admission.policy import Policies
from router.model import Asker
from router.objects.meta import ObjectKey, ObjectMeta
from router.objects.namespace import Namespace
from router.objects.portclaim import ClaimHolder, PortClaim
from router.objects.route import Route
from router.settings import AdmissionSettings, PortRanges
from tests.unit.admission.builders import endpoint_slice, route, service
from tests.unit.status.test_claim_lives import AUTO, MOST_ROUNDS, REPLICAS, Replica, Server, asks, port_of

NAMESPACES = ("x", "y", "z")
GIVEN = AdmissionSettings(auto_ports=PortRanges(((7000, 7003),)))
PODS = tuple(
    each for name in NAMESPACES for each in (service(namespace=name), endpoint_slice("10.1.0.1", namespace=name))
)

WHOM = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from("abc"))
WHICH = st.integers(0, REPLICAS - 1)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "tcp-ports": st.sampled_from(["7000-7001", "7002", "none", "nonsense"]),
        "tcp-ports-exclusive": st.sampled_from(["7000", "7001-7002", "7003"]),
        "tcp-ports-max": st.sampled_from(["0", "1", "2"]),
    },
)
STEPS = st.one_of(
    st.tuples(st.just("put"), WHOM, st.sampled_from([AUTO, AUTO, AUTO, 7000, 7001])),
    st.tuples(st.just("delete"), WHOM, st.none()),
    st.tuples(st.just("policy"), st.sampled_from(NAMESPACES), POLICIES),
    st.tuples(st.just("see"), WHICH, st.integers(1, 5)),
    st.tuples(st.just("see"), WHICH, st.integers(1, 5)),
    st.tuples(st.just("lead"), WHICH, st.none()),
    st.tuples(st.just("lead"), WHICH, st.none()),
    st.tuples(st.just("restart"), WHICH, st.none()),
    st.tuples(st.just("calm"), WHICH, st.none()),
)


@dataclass
class World:
    """An API server and the replicas of a router."""

    settings: AdmissionSettings = GIVEN
    server: Server = field(default_factory=Server)
    replicas: list[Replica] = field(default_factory=list)
    held: dict[Asker, int] = field(default_factory=dict)
    """The ports of those who ask for any, at the last calm."""

    def __post_init__(self) -> None:
        self.replicas += [self.begin() for _ in range(REPLICAS)]

    def begin(self) -> Replica:
        """Start a replica."""
        replica = Replica(self.server, self.settings, PODS)
        check_proposed(replica)
        return replica

    def step(self, what: str, whom: object, how: object) -> None:
        """Let something happen."""
        match what, whom, how:
            case "put", (str(namespace), str(name)), port:
                self.put(namespace, name, port)  # type: ignore[arg-type]  # of STEPS
            case "delete", (str(namespace), str(name)), _:
                self.server.delete((Route, ObjectKey(namespace, name)))
            case "policy", str(namespace), policy:
                annotations = {f"{PREFIX}{key}": value for key, value in policy.items()}  # type: ignore[attr-defined]  # of STEPS
                self.server.put(Namespace(ObjectMeta(name=namespace, namespace="", annotations=annotations)))
            case "see", int(which), int(events):
                self.replicas[which].see(events)
                check_proposed(self.replicas[which])
            case "lead", int(which), _:
                self.replicas[which].lead()
            case "restart", int(which), _:
                self.replicas[which] = self.begin()
            case "calm", int(which), _:
                self.calm(which)

    def put(self, namespace: str, name: str, port: int | str) -> None:
        """Make a Route, or have it ask for something else."""
        former = self.server.objects.get((Route, ObjectKey(namespace, name)))
        metadata = former.metadata if former is not None else self.server.metadata(name, namespace)
        made = route(name, port, namespace=namespace)
        same = {"uid": metadata.uid, "creation_timestamp": metadata.creation_timestamp}
        self.server.put(replace(made, metadata=replace(made.metadata, **same)))

    def calm(self, leader: int) -> None:
        """Let all see everything, and the leader do everything, until nothing happens any more; then all agree."""
        for _ in range(MOST_ROUNDS):
            for replica in self.replicas:
                replica.see(len(self.server.history))
                check_proposed(replica)
            before = len(self.server.history)
            self.replicas[leader].lead()
            if len(self.server.history) == before:
                break
        else:
            raise AssertionError("there is no calm")
        self.check()

    def check(self) -> None:
        """Each place is of one, the same on all replicas, and who asks for any port has the one that it had."""
        first = self.replicas[0]
        autos = {asker for asker, verdict in first.outcome.verdicts.items() if verdict.auto}
        # Who asked by number before a policy forbade it, and was seen by one replica alone, is served by that one.
        every = [dict(each.admission.served()) for each in self.replicas]
        served, *others = ({place: asker for place, asker in each.items() if asker in autos} for each in every)
        assert all(each == served for each in others)
        assert all(each.admission.proposed == {} for each in self.replicas)
        ports = {asker: place.port for place, asker in served.items()}
        assert len(ports) == len(served), "nobody has two"
        for asker, port in self.held.items() if not self.settings.enforces_policy_on_holders else ():
            if asker in autos and any(asks(self.server, asker, place) for place in served if place.port == port):
                assert ports.get(asker) == port
        for asker in autos - ports.keys():
            reason = first.outcome.verdicts[asker].reason
            assert reason in {Reason.NO_PORT_FREE, Reason.PORT_NOT_ALLOWED, Reason.PORT_QUOTA_EXCEEDED}
        self.held = ports


def check_proposed(replica: Replica) -> None:
    """What is proposed is of those who ask for any port, and theirs to have by all that this replica knows."""
    objects, policies = replica.store.objects, Policies(GIVEN)
    for key, namespace in objects.namespaces.items():
        policies.put(key.name, namespace)
    claims = list(objects.claims.values())
    named = {port for each in objects.routes.values() if (port := port_of(each)) != AUTO}
    served = replica.admission.served()
    # What somebody got of that may be told still.
    proposed = {place: asker for place, asker in replica.admission.proposed.items() if served.get(place) != asker}
    new = Counter(asker.namespace for asker in proposed.values())
    held = {(holder(each).namespace, place_of(each)) for each in claims}
    held |= {(asker.namespace, place) for place, asker in served.items()}
    for place, asker in proposed.items():
        assert place.port in tuple(GIVEN.auto_ports)
        assert port_of(objects.routes[ObjectKey(*asker.key)]) == AUTO
        assert policies.allows(asker.namespace, place.port)
        assert str(place.port) not in named
        assert place not in served
        assert all(holder(each).unnumbered == asker.unnumbered for each in claims if place_of(each) == place)
        most = policies.max_ports(asker.namespace)
        theirs = {where for whose, where in held if whose == asker.namespace} - proposed.keys()
        assert most is None or len(theirs) + new[asker.namespace] <= most
    assert len(set(proposed.values())) == len(proposed)


def holder(each: PortClaim) -> Asker:
    """Give who has a claim."""
    return asker_of(each.spec.holder or ClaimHolder())


@given(st.lists(STEPS, max_size=40), st.booleans())
@settings(max_examples=200)
def test_what_is_given_is_ones_own_everywhere(steps: list[tuple[str, object, object]], enforces: bool) -> None:  # noqa: FBT001 - of Hypothesis
    """Whoever sees what when, whoever leads, and whatever admins change meanwhile; where policies bind holders, too."""
    world = World(dataclasses.replace(GIVEN, enforces_policy_on_holders=enforces))
    for step in steps:
        world.step(*step)
    world.calm(0)
