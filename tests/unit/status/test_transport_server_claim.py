"""What a TransportServerClaim's status shall say: where clients connect, why not, and what others say beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Reason, Verdict
from router.admission.verdicts import Lack
from router.model import Asker
from router.objects.porter import CLAIM_KIND, GROUP, ClaimMeta, TransportServerClaim
from router.status.balanced import Balancing
from router.status.route import Identity, StatusChange
from router.status.transport_server_claim import decide_status, named_node, own_entry, same_request, warnings

IDENTITY = Identity("tcp-router", "tcp.example.com", "node-1")
WHO = Asker(GROUP, CLAIM_KIND, "shop", "tsc", "", "u1")
NOW_S = 1767229200.0
NOW = "2026-01-01T01:00:00Z"
RUNNING = {"type": "Running", "status": "True", "reason": "Successful", "ansibleResult": {"ok": 3}}
SERVED = Verdict(asker=WHO, port=36_001, auto=True)


def claim(status: Any = None, **spec: Any) -> TransportServerClaim:
    """Make the claim of these tests."""
    return TransportServerClaim(
        ClaimMeta("tsc", "shop", "u1", "7"), {"service": "db", "servicePort": 1, **spec}, status
    )


def written(change: StatusChange | None) -> dict[str, Any]:
    """Give the status that a change writes; nulls are fields that it takes away."""
    assert change is not None
    body = json.loads(change.patch.body)
    assert body["metadata"] == {"resourceVersion": "7", "uid": "u1"}
    status: dict[str, Any] = body["status"]
    return status


def decided(of: TransportServerClaim, verdict: Verdict | None, identity: Identity = IDENTITY) -> StatusChange | None:
    """Decide."""
    return decide_status(of, verdict, identity, NOW_S)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Give type, status, reason and message of conditions."""
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}


def test_who_is_served_is_told_where_and_nothing_more_once_it_stands_there() -> None:
    """Address, port as text, and two conditions."""
    status = written(decided(claim(), SERVED))
    assert (status["address"], status["port"]) == ("tcp.example.com", "36001")
    assert conditions(status) == {
        "Admitted": ("True", "Admitted", "tcp-router: has port 36001"),
        "Ready": ("True", "Served", ""),
    }
    assert {each["lastTransitionTime"] for each in status["conditions"]} == {NOW}
    assert decided(claim(status), SERVED) is None


def test_what_others_say_stays_where_it_was() -> None:
    """The list is written whole; theirs is in it as it was, whatever it has."""
    former = {"address": "192.0.2.1", "port": 36760, "conditions": [RUNNING, "odd", {"no": "type"}]}
    status = written(decided(claim(former), SERVED))
    assert status["conditions"][:3] == [RUNNING, "odd", {"no": "type"}]
    taken_back = written(decided(claim(status), None))
    assert taken_back == {"address": None, "port": None, "conditions": [RUNNING, "odd", {"no": "type"}]}
    assert decided(claim({"conditions": [RUNNING]}), None) is None


@pytest.mark.parametrize(
    ("verdict", "address", "port"),
    [
        (SERVED, "tcp.example.com", "36001"),
        (replace(SERVED, client_port=31_234), "tcp.example.com", "31234"),
        (replace(SERVED, address="pg"), "pg.example.com", "36001"),
        (replace(SERVED, address="mq"), "192.0.2.11", "36001"),
        (replace(SERVED, address="gone"), None, "36001"),
    ],
)
def test_the_address_is_what_clients_connect_to(verdict: Verdict, address: str | None, port: str) -> None:
    """A named address by its name, or else its first IP; else the router's; the port of a Service in front."""
    balancing = Balancing({"pg": "pg.example.com"}, {"pg": ("192.0.2.10",), "mq": ("192.0.2.11", "2001:db8::11")})
    identity = replace(IDENTITY, balancing=balancing)
    status = written(decided(claim(), verdict, identity))
    assert (status["address"], status["port"]) == (address, port)
    assert bool(warnings(claim(), verdict, identity)) is (address is None)


@pytest.mark.parametrize(
    ("lack", "said"),
    [
        (Lack.SERVICE, "Service shop/db does not exist"),
        (Lack.PORT, "neither Service shop/db nor its endpoints have a port 1"),
        (Lack.TCP, "port 1 of Service shop/db is 'UDP'; only TCP can be served"),
        (Lack.ENDPOINTS, "Service shop/db has no endpoints"),
    ],
)
def test_what_a_service_lacks_is_a_condition(lack: Lack, said: str) -> None:
    """The port is kept and told."""
    verdict = replace(SERVED, lack=lack, warnings=("annotation x has no effect", said))
    status = written(decided(claim(), verdict))
    assert conditions(status)["Ready"] == ("False", str(lack), said)
    assert (conditions(status)["Admitted"][0], status["port"]) == ("True", "36001")


def test_who_is_refused_is_told_and_keeps_what_it_was_told_of_its_port() -> None:
    """Unless it has none: then the status does not say so any more."""
    served = written(decided(claim(), SERVED))
    refused = Verdict(asker=WHO, reason=Reason.INVALID_SPEC, message="spec.service is missing", auto=True)
    status = written(decided(claim(served), refused))
    assert (status["address"], status["port"]) == ("tcp.example.com", "36001")
    assert conditions(status)["Ready"] == ("False", "InvalidSpec", "spec.service is missing")
    none = replace(refused, reason=Reason.NO_PORT_FREE, message="none of the ports 1-2 is free")
    assert written(decided(claim(status), none))["port"] is None
    with_port = replace(refused, port=36_001)
    told = conditions(written(decided(claim(), with_port)))["Admitted"]
    assert told == ("False", "InvalidSpec", "tcp-router: has port 36001; spec.service is missing")


def test_a_port_of_porters_that_is_none_of_ours_is_not_told_as_ours() -> None:
    """What somebody else wrote is no memory of this router."""
    allocating = Verdict(asker=WHO, reason=Reason.INVALID_SPEC, message="x", auto=True)
    assert written(decided(claim({"port": "36760"}), allocating))["port"] is None


def test_a_requested_port_is_told() -> None:
    """Given, or another in its place and why."""
    given_it = written(decided(claim(requestedPort=36_001), SERVED))
    assert conditions(given_it)["RequestedPort"] == ("True", "Given", "")
    other = replace(SERVED, warnings=("OtherPortGiven: port 36002 was not free",))
    refused = written(decided(claim(requestedPort=36_002), other))
    assert conditions(refused)["RequestedPort"] == ("False", "OtherPortGiven", "port 36002 was not free")


def test_pairing_is_told_while_it_lasts() -> None:
    """A condition of its own, which goes when a port is there."""
    pairing = Verdict(asker=WHO, reason=Reason.PAIRING, message="a port is being agreed on", auto=True)
    status = written(decided(claim(), pairing))
    assert conditions(status)["Pairing"] == ("True", "WaitsForPair", "a port is being agreed on")
    assert "Pairing" not in conditions(written(decided(claim(status), SERVED)))


def test_who_is_left_to_others_is_told_by_an_event_alone() -> None:
    """Its status is theirs to write."""
    left = Verdict(asker=WHO, reason=Reason.LEFT_TO_OTHERS, message="left to who did", auto=True)
    assert decided(claim({"port": "36760"}), left) is None
    assert warnings(claim(), left, IDENTITY) == ("LeftToOthers: left to who did",)


def test_what_is_so_on_another_node_is_that_nodes_to_take_back() -> None:
    """While a router runs there."""
    aside = Verdict(
        asker=WHO,
        port=36_001,
        reason=Reason.PORT_UNAVAILABLE,
        message="on node node-2: taken",
        set_aside=True,
        auto=True,
    )
    told = claim(written(decided(claim(), aside)))
    assert named_node(told, IDENTITY) == "node-2"
    assert decide_status(told, SERVED, IDENTITY, NOW_S, frozenset({"node-1", "node-2"})) is None
    assert decide_status(told, SERVED, IDENTITY, NOW_S, frozenset({"node-1"})) is not None


def test_another_routers_words_are_not_ours() -> None:
    """A condition begins with the name of whose it is."""
    told = claim(written(decided(claim(), SERVED, replace(IDENTITY, router_name="other"))))
    assert own_entry(told, IDENTITY) is None
    assert decided(told, None) is None


def test_another_request_is_another() -> None:
    """A verdict about one is none about the other; a status makes no difference."""
    assert same_request(claim(), claim({"port": "1"}))
    assert not same_request(claim(), claim(servicePort=2))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99_999) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(ANYTHING | st.fixed_dictionaries({}, optional=dict.fromkeys(("address", "port", "conditions"), ANYTHING)))
def test_whatever_a_status_says_it_is_level_after_one_write(status: Any) -> None:
    """The CRD may have no schema, so that anybody may have written anything."""
    first = decided(claim(status), SERVED)
    merged = {**status, **written(first)} if isinstance(status, dict) and first is not None else written(first)
    assert decided(claim(merged), SERVED) is None
