"""What statuses of the Gateway API say, and that each is written once: what a patch has made says nothing more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from router.admission.gateway.states import (
    ALL_ACCEPTED,
    CONFLICTED,
    PROGRAMMED,
    RESOLVED,
    ClassState,
    GatewayState,
    ListenerState,
    ParentState,
    RouteState,
    StateKey,
    not_so,
    so,
)
from router.admission.verdicts import Reason, Verdict
from router.model import Asker
from router.objects.decoding import decode
from router.objects.gateway import GROUP, Gateway, GatewayClass, ParentRef, TcpRoute
from router.status.gateway import Facts, decide

FACTS = Facts(controller="example.com/ours", ips=("192.0.2.1",), addresses={"own": ("192.0.2.9", "2001:db8::9")})
NOW_S = 1_800_000_000.0
FOREIGN = {
    "type": "example.com/Seen",
    "status": "True",
    "reason": "Seen",
    "message": "by others",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "observedGeneration": 1,
}
LISTENER = ListenerState(
    name="l",
    kinds=("TCPRoute",),
    attached=2,
    accepted=ALL_ACCEPTED,
    resolved=RESOLVED,
    conflicted=not_so(CONFLICTED, "NoConflicts"),
)
STATE = GatewayState(
    key=StateKey("Gateway", "team", "gw"),
    uid="u",
    generation=3,
    accepted=ALL_ACCEPTED,
    programmed=so(PROGRAMMED, "Programmed"),
    listeners=(LISTENER,),
)


def read(kind: type[Any], **parts: Any) -> Any:
    """Make an object as it comes from the API server."""
    metadata = {"name": "gw", "namespace": "team", "uid": "u", "generation": 3, "resourceVersion": "7"}
    made = decode(kind, {"metadata": metadata, **parts})
    assert isinstance(made, kind)
    return made


def gateway(status: dict[str, Any] | None = None, **spec: Any) -> Gateway:
    """Make a Gateway with one listener."""
    listeners = [{"name": "l", "port": 7000, "protocol": "TCP"}]
    made: Gateway = read(Gateway, spec={"gatewayClassName": "a", "listeners": listeners, **spec}, status=status or {})
    return made


def verdict(reason: Reason | None = None, message: str = "") -> dict[str, Verdict]:
    """Give the verdict of the listener."""
    return {
        "l": Verdict(asker=Asker(GROUP, "Gateway", "team", "gw", "l", "u"), port=7000, reason=reason, message=message)
    }


def patched(patch: bytes | None) -> dict[str, Any]:
    """Give the status that a patch writes."""
    assert patch is not None
    body = json.loads(patch)
    assert body["metadata"] == {"resourceVersion": "7", "uid": "u"}
    status: dict[str, Any] = body["status"]
    return status


def reasons(conditions: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Give conditions by type."""
    return {each["type"]: (each["status"], each["reason"]) for each in conditions}


def test_a_gateway_is_told_in_one_write_and_only_once() -> None:
    """Conditions of the Gateway and its listeners, addresses, counts; the same again is no write, and foreign conditions stay."""
    status = patched(decide(gateway({"conditions": [FOREIGN]}), STATE, verdict(), FACTS, NOW_S))
    assert status["addresses"] == [{"type": "IPAddress", "value": "192.0.2.1"}]
    assert reasons(status["conditions"]) == {
        "Accepted": ("True", "Accepted"),
        "Programmed": ("True", "Programmed"),
        "example.com/Seen": ("True", "Seen"),
    }
    assert FOREIGN in status["conditions"]
    (told,) = status["listeners"]
    assert told["attachedRoutes"] == 2
    assert told["supportedKinds"] == [{"kind": "TCPRoute", "group": GROUP}]
    assert all(each["observedGeneration"] == 3 for each in told["conditions"])
    assert decide(gateway(status), STATE, verdict(), FACTS, NOW_S + 100) is None


def test_times_change_with_the_status_alone() -> None:
    """LastTransitionTime stays where a reason or the generation becomes another, and moves where the status does."""
    first = patched(decide(gateway(), STATE, verdict(), FACTS, NOW_S))
    since = first["listeners"][0]["conditions"][0]["lastTransitionTime"]
    lost = patched(decide(gateway(first), STATE, verdict(Reason.PORT_ALREADY_CLAIMED, "it is held"), FACTS, NOW_S + 60))
    conditions = lost["listeners"][0]["conditions"]
    assert reasons(conditions) == {
        "Accepted": ("False", "PortUnavailable"),
        "Programmed": ("False", "Invalid"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
        "Conflicted": ("True", "PortAlreadyClaimed"),
    }
    moved = {each["type"]: each["lastTransitionTime"] != since for each in conditions}
    assert moved == {"Accepted": True, "Programmed": True, "ResolvedRefs": False, "Conflicted": True}
    assert reasons(lost["conditions"])["Accepted"] == ("False", "ListenersNotValid")
    assert reasons(lost["conditions"])["Programmed"] == ("False", "Invalid")


@pytest.mark.parametrize(
    ("facts", "spec", "address", "wanted"),
    [
        (Facts(controller="c", hostname="lb.example.com"), {}, "", [{"type": "Hostname", "value": "lb.example.com"}]),
        (Facts(controller="c", hostname="192.0.2.7"), {}, "", [{"type": "IPAddress", "value": "192.0.2.7"}]),
        (FACTS, {}, "own", [{"type": "IPAddress", "value": ip} for ip in ("192.0.2.9", "2001:db8::9")]),
        (
            FACTS,
            {"addresses": [{"type": "IPAddress", "value": "192.0.2.9"}]},
            "own",
            [{"type": "IPAddress", "value": "192.0.2.9"}],
        ),
        (FACTS, {"addresses": [{"type": "IPAddress"}]}, "", [{"type": "IPAddress", "value": "192.0.2.1"}]),
    ],
    ids=["hostname", "ip of a load balancer", "all of a named one", "what was asked for", "asked for without a value"],
)
def test_where_a_gateway_is_reached(facts: Facts, spec: dict[str, Any], address: str, wanted: list[Any]) -> None:
    """What it asked for, else all IPs of its address, else the router's own name."""
    state = _at(address)
    assert patched(decide(gateway(**spec), state, verdict(), facts, NOW_S))["addresses"] == wanted


def _at(address: str) -> GatewayState:
    return GatewayState(
        key=STATE.key, uid="u", generation=3, accepted=STATE.accepted, programmed=STATE.programmed,
        address=address, listeners=STATE.listeners,
    )  # fmt: skip


def test_what_is_about_another_object_is_not_written() -> None:
    """A state is of one generation of one object; of any other nothing is known yet."""
    for other in ({"uid": "v"}, {"generation": 4}):
        metadata = {"name": "gw", "namespace": "team", "uid": "u", "generation": 3, "resourceVersion": "7", **other}
        obj = decode(Gateway, {"metadata": metadata, "spec": {"gatewayClassName": "a"}})
        assert isinstance(obj, Gateway)
        assert decide(obj, STATE, verdict(), FACTS, NOW_S) is None


def test_a_route_keeps_what_others_say_and_loses_what_we_said() -> None:
    """One entry for each parentRef; entries of other controllers stay as they are; ours goes with its parent."""
    ref = ParentRef("gw")
    state = RouteState(
        key=StateKey("TCPRoute", "team", "gw"), uid="u", generation=3,
        parents=(ParentState(ref=ref, conditions=(ALL_ACCEPTED, RESOLVED)),),
    )  # fmt: skip
    foreign = {
        "parentRef": {"name": "x", "group": GROUP, "kind": "Gateway", "port": 1},
        "controllerName": "example.com/other",
        "conditions": [FOREIGN],
    }
    route = read(TcpRoute, spec={}, status={"parents": [foreign]})
    status = patched(decide(route, state, {}, FACTS, NOW_S))
    assert status["parents"][0] == foreign
    assert status["parents"][1]["parentRef"] == {"name": "gw", "group": GROUP, "kind": "Gateway"}
    assert status["parents"][1]["controllerName"] == "example.com/ours"
    again = read(TcpRoute, spec={}, status=status)
    assert decide(again, state, {}, FACTS, NOW_S + 9) is None
    nothing = RouteState(key=state.key, uid="u", generation=3)
    assert patched(decide(again, nothing, {}, FACTS, NOW_S))["parents"] == [foreign]


def test_a_class_is_told_what_is_supported() -> None:
    """Sorted, as objects with a name."""
    state = ClassState(key=StateKey("GatewayClass", "", "gw"), uid="u", generation=3, accepted=ALL_ACCEPTED)
    obj = read(GatewayClass, spec={"controllerName": "example.com/ours"})
    status = patched(decide(obj, state, {}, FACTS, NOW_S))
    names = [each["name"] for each in status["supportedFeatures"]]
    assert names == sorted(names)
    assert decide(read(GatewayClass, spec={"controllerName": "c"}, status=status), state, {}, FACTS, NOW_S) is None


def test_a_listener_without_its_certificates_is_accepted_and_not_programmed() -> None:
    """It has its port, and leads nobody anywhere; the message says what is wrong with them."""
    bad = not_so("ResolvedRefs", "InvalidCertificateRef", "Secret tls: it does not exist")
    state = replace(STATE, listeners=(replace(LISTENER, resolved=bad, has_certificates=False),))
    patch = patched(decide(gateway(), state, verdict(), FACTS, NOW_S))
    (told,) = patch["listeners"]
    said = {each["type"]: (each["status"], each["reason"], each["message"]) for each in told["conditions"]}
    assert said["Accepted"][:2] == ("True", "Accepted")
    assert said["ResolvedRefs"] == ("False", "InvalidCertificateRef", bad.message)
    assert said["Programmed"] == ("False", "Invalid", bad.message)


def test_features_of_ending_tls_are_said_where_it_may_end() -> None:
    """Sorted, and by nobody else."""
    obj = read(GatewayClass, spec={"controllerName": FACTS.controller})
    state = ClassState(key=StateKey("GatewayClass", "", "gw"), uid="u", generation=3, accepted=ALL_ACCEPTED)
    found = {}
    for ends_tls in (False, True):
        patch = patched(decide(obj, state, {}, replace(FACTS, ends_tls=ends_tls), NOW_S))
        found[ends_tls] = [each["name"] for each in patch["supportedFeatures"]]
        assert found[ends_tls] == sorted(found[ends_tls])
    assert set(found[True]) - set(found[False]) == {"TLSRouteModeTerminate", "TLSRouteModeMixed"}
