"""What a pair writes for the claims of a namespace, from what is in both clusters."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.pair.model import Problem, Side, Target
from router.settings import PortRanges
from tests.support.pair_world import ADDRESSES, NAMESPACE, ROUTERS, SETTINGS, SIDES, World

_WAYS: tuple[tuple[Side, str, Side], ...] = (("local", "db-golddr", "remote"), ("remote", "db-gold", "local"))


class _KilledError(Exception):
    """The process ended here."""


def _port(world: World, side: Side, name: str = "db") -> int:
    claim = world.get(side, "transportserverclaims", name)
    assert claim is not None
    return int(claim["status"]["port"])


def test_a_claim_is_served_by_both_clusters_and_leads_from_each_to_the_other() -> None:
    """One number in both, a copy, and on each side a Service with Endpoints and a slice at the other's address."""
    world = World()
    world.claim()
    decision = world.settle()
    port = _port(world, "local")
    assert 31000 <= port <= 31009
    assert _port(world, "remote") == port
    copy = world.get("remote", "transportserverclaims", "db")
    assert copy is not None
    assert copy["metadata"]["labels"] == {"tcp-router.openshift.io/copied-from": "gold"}
    for side, name, far in _WAYS:
        service = world.get(side, "services", name)
        endpoints = world.get(side, "endpoints", name)
        piece = world.get(side, "endpointslices", f"{name}-ipv4")
        assert service is not None
        assert endpoints is not None
        assert piece is not None
        assert [(each["port"], each["targetPort"]) for each in service["spec"]["ports"]] == [(5432, port)]
        assert "selector" not in service["spec"]
        assert endpoints["subsets"] == [
            {"addresses": [{"ip": ADDRESSES[far]}], "ports": [{"port": port, "protocol": "TCP"}]}
        ]
        assert endpoints["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] == "true"
        assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == name
        assert piece["endpoints"] == [{"addresses": [ADDRESSES[far]], "conditions": {"ready": True}}]
    assert world.conditions()["Copied"] == ("True", "Copied")
    assert world.conditions()["Linked"] == ("True", "Written")
    assert decision.paired == 1
    probe = decision.probes["db"]
    assert (probe.address, probe.port) == (ADDRESSES["remote"], port)


def test_the_finalizer_comes_before_all_else_and_goes_last() -> None:
    """What is written for a claim is written when its finalizer is there, and the finalizer goes when nothing is left."""
    world = World()
    world.claim()
    world.settle()
    assert world.done[0].body == {"metadata": {"finalizers": ["tcp-router.openshift.io/pair"]}}
    world.delete("local", "transportserverclaims", "db")
    world.settle()
    assert world.done[-1].body == {"metadata": {"finalizers": None}}
    for side in SIDES:
        for plural in ("transportserverclaims", "services", "endpoints", "endpointslices", "portclaims"):
            assert world.all(side, plural) == [], (side, plural)


def test_nothing_is_written_for_a_namespace_that_is_not_selected() -> None:
    """Not even a finalizer or a condition; and what was written is taken back when it is no longer."""
    world = World()
    world.is_selected = False
    world.claim()
    assert world.decide().writes == ()
    world.is_selected = True
    world.settle()
    world.is_selected = False
    world.settle()
    assert world.all("remote", "transportserverclaims") == []
    assert world.all("local", "services") == []
    claim = world.get("local", "transportserverclaims", "db")
    assert claim is not None
    assert "finalizers" not in claim["metadata"] or not claim["metadata"]["finalizers"]


def _change(world: World, draw: st.DataObject) -> None:  # noqa: C901, PLR0912 - one line for each thing that can happen
    """Let something happen that users, admins or the network do."""
    kinds = [
        "claim",
        "service",
        "delete",
        "foreign",
        "tamper",
        "remote down",
        "remote up",
        "namespace",
        "annotate",
        "lost",
        "taken",
    ]
    kind = draw.draw(st.sampled_from(kinds))
    names = [each["metadata"]["name"] for each in world.all("local", "transportserverclaims")]
    name = draw.draw(st.sampled_from([*names, "db", "db2"]))
    side = draw.draw(st.sampled_from(SIDES))
    has = world.get("local", "transportserverclaims", name)
    match kind:
        case "claim" if has is None:
            world.claim(
                name,
                service=draw.draw(st.sampled_from(["db", "cache"])),
                servicePort=draw.draw(st.sampled_from([5432, 6379])),
            )
        case "service" if has is not None:
            world.change(
                "local",
                "transportserverclaims",
                name,
                {"spec": {"service": draw.draw(st.sampled_from(["db", "cache", "9db"]))}},
            )
        case "annotate" if has is not None:
            value = draw.draw(st.sampled_from(["10.0.0.0/8", None]))
            world.change(
                "local",
                "transportserverclaims",
                name,
                {"metadata": {"annotations": {"haproxy.router.openshift.io/ip_allowlist": value}}},
            )
        case "delete" if has is not None:
            world.delete("local", "transportserverclaims", name)
        case "foreign" if world.get(side, "services", "db-gold" if side == "remote" else "db-golddr") is None:
            world.create(
                side,
                {
                    "kind": "Service",
                    "metadata": {"name": "db-gold" if side == "remote" else "db-golddr", "namespace": NAMESPACE},
                    "spec": {"ports": [{"port": 1}]},
                },
            )
        case "tamper":
            mine = [each["metadata"]["name"] for each in world.all(side, "endpoints")]
            if mine:
                world.change(side, "endpoints", mine[0], {"subsets": [{"addresses": [{"ip": "203.0.113.9"}]}]})
        case "lost" if world.get("remote", "transportserverclaims", name) is not None:
            world.delete("remote", "transportserverclaims", name)
        case "remote down":
            world.is_up["remote"], world.away_s = False, 120.0
        case "remote up":
            world.is_up["remote"], world.away_s = True, 0.0
        case "taken":
            port = draw.draw(st.integers(31000, 31009))
            if world.get(side, "portclaims", f"other-{port}", ROUTERS) is None:
                holder = {"group": "", "kind": "Route", "namespace": "other", "name": "x"}
                world.create(
                    side,
                    {
                        "kind": "PortClaim",
                        "metadata": {"name": f"other-{port}", "namespace": ROUTERS},
                        "spec": {"ledger": "tcp-router", "port": port, "origin": "Reserved", "holder": holder},
                    },
                )
        case _:
            return


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_happens_and_wherever_it_is_killed_the_same_comes_of_it(data: st.DataObject) -> None:  # noqa: C901 - two worlds
    """Two worlds see the same; in one the process is killed in the middle again and again. Both end alike, and nothing is left when all claims went."""
    seed = data.draw(st.integers(0, 1 << 30))
    chance = random.Random(seed)  # noqa: S311 - a test's
    steady, shaken = World(), World()

    def kill() -> None:
        if chance.random() < 0.3:
            raise _KilledError

    for world in (steady, shaken):
        world.claim()
        world.claim("db2", servicePort=6379)
    changes = data.draw(st.integers(1, 8))
    for _ in range(changes):
        recorded = _Recorded(data)
        _change(steady, recorded)  # type: ignore[arg-type]
        _change(shaken, _Replayed(recorded.drawn))  # type: ignore[arg-type]
        steady.refused.clear()
        steady.settle()
        for _ in range(400):
            shaken.refused.clear()
            try:
                shaken.settle(each=kill)
            except _KilledError:
                continue
            break
        else:
            raise AssertionError("it was never done")
    for world in (steady, shaken):
        world.is_up["remote"], world.away_s = True, 0.0
        world.refused.clear()
        world.settle()
    assert _comparable(steady) == _comparable(shaken)
    for world in (steady, shaken):
        for each in world.all("local", "transportserverclaims"):
            if not each["metadata"].get("deletionTimestamp"):
                world.delete("local", "transportserverclaims", each["metadata"]["name"])
        world.refused.clear()
        world.settle()
        assert world.all("local", "transportserverclaims") == []
        for side in SIDES:
            assert world.all(side, "endpoints") == []
            assert world.all(side, "endpointslices") == []
            assert [each for each in world.all(side, "services") if each["metadata"].get("labels")] == []
            assert [
                each
                for each in world.all(side, "portclaims")
                if each["spec"]["holder"]["kind"] == "TransportServerClaim"
            ] == []
        assert world.all("remote", "transportserverclaims") == []


class _Recorded:
    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.drawn: list[object] = []

    def draw(self, strategy: st.SearchStrategy[object]) -> object:
        value = self._data.draw(strategy)
        self.drawn.append(value)
        return value


class _Replayed:
    def __init__(self, drawn: list[object]) -> None:
        self._drawn = iter(drawn)

    def draw(self, strategy: object) -> object:  # noqa: ARG002 - what was drawn before comes again
        return next(self._drawn)


def _comparable(world: World) -> dict[tuple[str, str, str, str], object]:
    """Give what both worlds must have alike: not the times, and not the text of conditions."""
    state: dict[tuple[str, str, str, str], object] = {}
    for key, obj in world.state().items():
        status = obj.get("status") if key[1] == "transportserverclaims" else None
        reasons = sorted((each["type"], each["reason"]) for each in (status or {}).get("conditions") or ())
        state[key] = {**obj, "status": {"port": (status or {}).get("port"), "reasons": reasons}}
    return state


def _taken(world: World, side: Side, *ports: int, origin: str = "Won") -> None:
    for port in ports:
        holder = {"group": "", "kind": "Route", "namespace": "other", "name": "x"}
        spec = {"ledger": "tcp-router", "port": port, "origin": origin, "holder": holder}
        world.create(
            side, {"kind": "PortClaim", "metadata": {"name": f"other-{port}", "namespace": ROUTERS}, "spec": spec}
        )


def test_a_number_that_is_free_in_both_is_taken() -> None:
    """Whoever has the others, and wherever: there is one left that is free on both sides."""
    world = World()
    _taken(world, "local", *range(31000, 31005))
    _taken(world, "remote", *range(31006, 31010))
    world.claim()
    world.settle()
    assert (_port(world, "local"), _port(world, "remote")) == (31005, 31005)


def test_two_numbers_where_none_is_free_in_both() -> None:
    """It works, and is told."""
    world = World()
    _taken(world, "local", *range(31000, 31005))
    _taken(world, "remote", *range(31005, 31010))
    world.claim()
    world.settle()
    assert _port(world, "local") >= 31005
    assert _port(world, "remote") < 31005
    assert world.conditions()["Copied"] == ("True", "PortsDiffer")
    assert world.conditions()["Linked"] == ("True", "Written")


def test_a_number_that_it_has_is_kept_and_wanted_on_the_other_side() -> None:
    """Of a claim that was served before there was a pair; and where it is taken over there, the two differ."""
    for taken in (False, True):
        world = World()
        world.claim()
        holder = {
            "group": "porter.devops.gov.bc.ca",
            "kind": "TransportServerClaim",
            "namespace": NAMESPACE,
            "name": "db",
        }
        spec = {"ledger": "tcp-router", "port": 31007, "origin": "Won", "holder": holder}
        world.create("local", {"kind": "PortClaim", "metadata": {"name": "w", "namespace": ROUTERS}, "spec": spec})
        world.change("local", "transportserverclaims", "db", {"status": {"port": "31007", "address": "192.0.2.1"}})
        if taken:
            _taken(world, "remote", 31007)
        world.settle()
        assert _port(world, "local") == 31007
        assert (_port(world, "remote") == 31007) is not taken
        assert world.conditions()["Copied"] == ("True", "PortsDiffer" if taken else "Copied")


@pytest.mark.parametrize(("wanted", "is_given"), [(31004, True), (31000, False), (31009, False), (40000, False)])
def test_a_port_that_is_requested(wanted: int, *, is_given: bool) -> None:
    """It lies strictly inside, as with Porter; where it is taken in one of both, another is given."""
    world = World()
    world.claim(requestedPort=wanted)
    world.settle()
    assert (_port(world, "local") == wanted) is is_given
    assert _port(world, "remote") == _port(world, "local")
    if is_given:
        world = World()
        _taken(world, "remote", wanted)
        world.claim(requestedPort=wanted)
        world.settle()
        assert _port(world, "local") == _port(world, "remote") != wanted


def test_a_port_that_somebody_won_in_the_same_moment_is_given_back() -> None:
    """A reservation goes before what was won, so that it must not stay where it would take somebody's port away."""
    world = World()
    world.claim()
    for write in world.decide().writes:
        world.write(write)
    (reserve,) = world.decide().writes
    assert reserve.target.side == "remote"
    world.write(reserve)
    port = reserve.body["spec"]["port"]
    _taken(world, "remote", port)
    world.settle()
    assert _port(world, "remote") != port
    assert _port(world, "local") == _port(world, "remote")


def test_claims_of_one_service() -> None:
    """Each has a name of its own beside the short one, which is that of the first, and stays so when it is no longer alone."""
    world = World()
    world.claim()
    world.settle()
    world.claim("db-metrics", servicePort=9187)
    world.settle()
    names = sorted(each["metadata"]["name"] for each in world.all("local", "services"))
    assert names == ["db-5432-golddr", "db-9187-golddr", "db-golddr"]
    short = world.get("local", "services", "db-golddr")
    assert short is not None
    assert short["metadata"]["annotations"]["tcp-router.openshift.io/paired-claim"] == "db"
    assert world.conditions()["Linked"] == ("True", "Written")
    assert world.conditions("db-metrics")["Linked"] == ("False", "NameTaken")
    world.delete("local", "transportserverclaims", "db")
    world.settle()
    names = sorted(each["metadata"]["name"] for each in world.all("local", "services"))
    assert names == ["db-9187-golddr", "db-golddr"]
    assert world.conditions("db-metrics")["Linked"] == ("True", "Written")


def test_a_claim_that_turns_to_another_service_leaves_nothing_of_the_first() -> None:
    """And one that says something that cannot be keeps what it had."""
    world = World()
    world.claim()
    world.settle()
    world.change("local", "transportserverclaims", "db", {"spec": {"service": "cache"}})
    world.settle()
    assert [each["metadata"]["name"] for each in world.all("local", "services")] == ["cache-golddr"]
    assert [each["metadata"]["name"] for each in world.all("remote", "services")] == ["cache-gold"]
    world.change("local", "transportserverclaims", "db", {"spec": {"service": "9db"}})
    world.settle()
    assert [each["metadata"]["name"] for each in world.all("local", "services")] == ["cache-golddr"]
    assert world.conditions()["Copied"] == ("False", "InvalidSpec")


def test_the_ports_of_services() -> None:
    """A named port is looked up on either side; with the override the one that was given is had, too; nothing where no Service has the name."""
    world = World()
    world.claim(servicePort="pg", overrideServicePort=True)
    world.settle()
    assert world.conditions()["Linked"] == ("False", "ServicePortUnknown")
    ports = [{"name": "pg", "port": 5432}, {"name": "x", "port": 1}]
    world.create(
        "remote", {"kind": "Service", "metadata": {"name": "db", "namespace": NAMESPACE}, "spec": {"ports": ports}}
    )
    world.settle()
    service = world.get("local", "services", "db-golddr")
    assert service is not None
    assert sorted(each["port"] for each in service["spec"]["ports"]) == [5432, _port(world, "local")]
    assert {each["targetPort"] for each in service["spec"]["ports"]} == {_port(world, "remote")}


def test_what_a_status_says_counts_only_where_port_claims_say_so() -> None:
    """A team that may write statuses cannot lead Services to somebody else's port."""
    world = World()
    world.claim()
    world.settle()
    port = _port(world, "local")
    _taken(world, "remote", 31000 if port != 31000 else 31001)
    world.change("remote", "transportserverclaims", "db", {"status": {"port": "31000" if port != 31000 else "31001"}})
    world.settle()
    endpoints = world.get("local", "endpoints", "db-golddr")
    assert endpoints is not None
    assert endpoints["subsets"][0]["ports"][0]["port"] == port
    assert world.conditions()["Linked"] == ("False", "PeerPortUnknown")


def test_an_address_that_is_a_name() -> None:
    """It is asked for; while nothing is known of it, what was written stays."""
    world = World()
    world.claim()
    world.settle()
    world.change("remote", "transportserverclaims", "db", {"status": {"address": "tcp.golddr.example.com"}})
    decision = world.settle()
    assert decision.names == {"tcp.golddr.example.com"}
    assert world.conditions()["Linked"] == ("False", "PeerAddressUnknown")
    endpoints = world.get("local", "endpoints", "db-golddr")
    assert endpoints is not None
    assert endpoints["subsets"][0]["addresses"] == [{"ip": ADDRESSES["remote"]}]
    world.addresses = {"tcp.golddr.example.com": ("198.51.100.7", "2001:db8::7")}
    world.settle()
    assert world.conditions()["Linked"] == ("True", "Written")
    families = [each["addressType"] for each in world.all("local", "endpointslices")]
    assert families == ["IPv4", "IPv6"]
    world.addresses = {"tcp.golddr.example.com": ("198.51.100.8",)}
    world.settle()
    assert [each["addressType"] for each in world.all("local", "endpointslices")] == ["IPv4"]


def test_names_that_are_too_long_are_told() -> None:
    """Each by itself: the shorter suffix may fit."""
    world = World()
    world.claim(service="a" * 57)
    world.settle()
    assert world.conditions()["Linked"] == ("False", "NameTooLong")
    assert world.all("local", "services") == []
    assert len(world.all("remote", "services")) == 1


def test_a_claim_of_that_name_that_is_not_ours() -> None:
    """Nothing of it is changed, and nothing else is written over there; here the claim is served."""
    world = World()
    world.claim(side="remote", service="theirs")
    theirs = world.get("remote", "transportserverclaims", "db")
    world.claim()
    world.settle()
    assert world.conditions()["Copied"] == ("False", "NotOurs")
    assert world.get("remote", "transportserverclaims", "db") == theirs
    assert world.all("remote", "services") == []
    assert 31000 <= _port(world, "local") <= 31009


def test_no_more_claims_of_a_namespace_than_may_be() -> None:
    """Those that are paired stay so; the others are told, and get no number by the pair."""
    world = World(replace(SETTINGS, max_claims=2))
    for name in ("a", "b", "c"):
        world.claim(name, service=name)
    world.settle()
    assert world.conditions("c") == {"Copied": ("False", "TooManyClaims")}
    assert len(world.all("local", "portclaims")) == 2
    world.delete("local", "transportserverclaims", "a")
    world.settle()
    assert world.conditions("c")["Copied"] == ("True", "Copied")


def test_more_claims_than_there_are_ports() -> None:
    """Who comes too late is told, and gets one that becomes free."""
    world = World(replace(SETTINGS, claim_ports=PortRanges(((31000, 31001),))))
    for name in ("a", "b", "c"):
        world.claim(name, service=name)
    world.settle()
    told = {name: world.conditions(name)["Copied"][1] for name in ("a", "b", "c")}
    assert sorted(told.values()) == ["Copied", "Copied", "NoFreePort"]
    ports = [each["spec"]["port"] for each in world.all("local", "portclaims")]
    assert sorted(ports) == [31000, 31001]


def test_a_copy_is_not_copied_back() -> None:
    """With a pair in each direction, what one made is nothing to the other."""
    world = World()
    world.claim()
    world.change(
        "local",
        "transportserverclaims",
        "db",
        {"metadata": {"labels": {"tcp-router.openshift.io/copied-from": "golddr"}}},
    )
    assert world.decide().writes == ()


def test_what_nobody_saw_being_deleted_is_left_and_told() -> None:
    """A claim that is not there, though its finalizer never was taken: an old state of the API server, say."""
    world = World()
    world.claim()
    world.settle()
    world.change("local", "transportserverclaims", "db", {"metadata": {"finalizers": None}})
    world.delete("local", "transportserverclaims", "db")
    before = world.versions()
    decision = world.settle()
    assert world.versions() == before
    assert {(each.side, each.name) for each in decision.orphans} == {
        ("local", "db-golddr"),
        ("remote", "db"),
        ("remote", "db-gold"),
    }


def test_a_problem_is_told_and_holds_up_nothing_else() -> None:
    """A write that is refused is said so in the condition that it is about."""
    world = World()
    world.claim()
    world.refused[Target("remote", "services", NAMESPACE, "db-gold")] = Problem("Denied", "exceeded quota")
    world.settle()
    assert world.conditions()["Linked"] == ("False", "Denied")
    assert world.get("local", "endpoints", "db-golddr") is not None
