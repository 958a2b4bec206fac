"""What a pair writes for the claims of a namespace, from what is in both clusters."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from router.pair.model import Side
from tests.support.pair_world import ADDRESSES, NAMESPACE, ROUTERS, SIDES, World

COPIED = {"app.kubernetes.io/managed-by": "tcp-router-pair"}


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
    for side, name, far in (("local", "db-golddr", "remote"), ("remote", "db-gold", "local")):
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
    assert world.conditions() == {
        "Copied": ("True", "Copied"),
        "Linked": ("True", "Written"),
        "PeerReachable": ("Unknown", "NotLinked"),
    } or world.conditions()["Linked"] == ("True", "Written")
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
                {"spec": {"service": draw.draw(st.sampled_from(["db", "cache", "Not a name"]))}},
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


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_happens_and_wherever_it_is_killed_the_same_comes_of_it(data: st.DataObject) -> None:  # noqa: C901 - two worlds
    """Two worlds see the same; in one the process is killed in the middle again and again. Both end alike, and nothing is left when all claims went."""
    seed = data.draw(st.integers(0, 1 << 30))
    chance = random.Random(seed)  # noqa: S311 - a test's
    steady, shaken = World(), World()

    def kill() -> None:
        if chance.random() < 0.3:
            raise _KilledError

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


def _comparable(world: World) -> dict[object, object]:
    """Give what both worlds must have alike: not the times, and not the text of conditions."""
    state = {}
    for key, obj in world.state().items():
        status = obj.get("status")
        state[key] = {
            **obj,
            "status": {
                "port": status.get("port"),
                "reasons": sorted((c["type"], c["reason"]) for c in status.get("conditions") or ()),
            }
            if key[1] == "transportserverclaims" and status
            else None,
        }
    return state
