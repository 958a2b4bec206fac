"""What the Service in front of the router shall have of its ports, by what is served and by who has what there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.objects.published import PublishedService, read_published
from router.settings import PortRanges
from router.status.published import Entry, PublishRules, body_of, decide

RULES = PublishRules.of("tcp-router", PortRanges.parse("30000-32767"), None)
OURS = RULES.manager
OTHER = "kubectl"

Object = dict[str, Any]


def tcp(port: int, **more: Any) -> Object:
    """Make an entry as the router does."""
    return {"name": f"tcp-{port}", "port": port, "protocol": "TCP", "targetPort": port, **more}


SNI = {"name": "sni", "port": 8443, "protocol": "TCP", "targetPort": 8443}


def front(
    *entries: Object,
    owners: Mapping[int, tuple[str, ...]] | None = None,
    owner_of_parts: Mapping[str, tuple[str, ...]] | None = None,
    **spec: Any,
) -> PublishedService:
    """Make the Service; entries are kubectl's, where ``owners`` does not say otherwise by their ports, and whole ones but for those of some."""
    owned: dict[str, Object] = {}
    for entry in entries:
        for owner in (owners or {}).get(entry["port"], (OTHER,)):
            key = f'k:{{"port":{entry["port"]},"protocol":"{entry["protocol"]}"}}'
            fields = (".", "f:name", "f:port", "f:protocol", "f:targetPort")
            partly = (owner_of_parts or {}).get(owner, fields)
            owned.setdefault(owner, {})[key] = {field: {} for field in partly}
    managed = [
        {
            "manager": owner,
            "operation": "Apply" if owner == OURS else "Update",
            "fieldsV1": {"f:spec": {"f:ports": keys}},
        }
        for owner, keys in owned.items()
    ]
    body = {
        "metadata": {"name": "front", "namespace": "ingress", "uid": "1", "managedFields": managed},
        "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": list(entries), **spec},
    }
    return read_published(json.dumps(body))


def applied(served: set[int], service: PublishedService, rules: PublishRules = RULES) -> dict[int, int | None]:
    """Give the entries that are decided, with their node ports."""
    return {each.port: each.node_port for each in decide(served, service, rules).entries}


def test_what_is_served_and_nothing_else_is_ours() -> None:
    """New ports come, closed ones go, and what others have stays out of it."""
    service = front(SNI, tcp(20000), tcp(20001), owners={20000: (OURS,), 20001: (OURS,)})
    decision = decide({20001, 20002, 8443}, service, RULES)
    assert decision.entries == (Entry(20001), Entry(20002))
    assert (set(decision.fresh), decision.is_level, decision.left_out) == ({20002}, False, {})
    assert json.loads(body_of(service, decision.entries)) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "namespace": "ingress", "uid": "1"},
        "spec": {"ports": [tcp(20001), tcp(20002)]},
    }
    assert decide({20000, 20001}, service, RULES).is_level


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        pytest.param(
            {**tcp(20000), "targetPort": 80}, "its entry tcp-20000 (kubectl) leads to another port", id="port"
        ),
        pytest.param(
            {**tcp(9999), "name": "tcp-20000"},
            "its entry tcp-20000 (kubectl) has the name that this port would have there",
            id="name",
        ),
        pytest.param(
            {**tcp(20000), "protocol": "UDP"},
            "its entry tcp-20000 has the name that this port would have there",
            id="name-of-udp",
        ),
    ],
)
def test_what_another_has_is_left_out_and_told(entry: Object, why: str) -> None:
    """By port and protocol, and by name: an apply that is not forced would be refused as a whole."""
    decision = decide({20000, 20001}, front(SNI, entry), RULES)
    assert decision.entries == (Entry(20001),)
    assert decision.left_out == {20000: why}


def test_a_node_port_of_another_is_left_out() -> None:
    """One that another manager's entry has in the same Service."""
    service = front({**SNI, "nodePort": 30100}, type="NodePort")
    decision = decide({30100, 30101}, service, RULES)
    assert decision.entries == (Entry(30101, 30101),)
    assert decision.left_out == {30100: "its entry sni (kubectl) has the node port that this port would have there"}


def test_anothers_entry_that_leads_to_the_port_is_as_good() -> None:
    """Nobody is told anything: clients come in. One that is just as ours is applied as well, and so outlives the other."""
    assert decide({8443}, front(SNI), RULES).left_out == {}
    assert decide({8443}, front(SNI), RULES).entries == ()
    assert decide({20000}, front(SNI, tcp(20000)), RULES).entries == (Entry(20000),)
    shared = front(SNI, tcp(20000), owners={20000: (OTHER, OURS)})
    assert decide({20000}, shared, RULES).is_level
    assert decide(set(), shared, RULES).entries == ()
    assert not decide(set(), shared, RULES).is_level


def test_what_another_changed_of_ours_is_given_up() -> None:
    """Who writes without applying takes what is other by it; to insist would be a conflict for ever."""
    service = front(SNI, {**tcp(20000), "targetPort": 80}, owners={20000: (OTHER, OURS)})
    decision = decide({20000}, service, RULES)
    assert (decision.entries, decision.is_level) == ((), False)
    assert decision.left_out == {20000: "its entry tcp-20000 (kubectl) leads to another port"}


def test_what_a_hand_edited_stays_while_the_port_is_served() -> None:
    """Who edits owns what is other by it alone; the rest is kept, and goes with the port. What others own as an entry stays one."""
    entry = {**tcp(20000), "targetPort": 80}
    service = front(SNI, entry, owners={20000: (OURS, "editor")}, owner_of_parts={"editor": ("f:targetPort",)})
    assert decide({20001}, service, RULES).entries == (Entry(20001),)
    decision = decide({20000, 20001}, service, RULES)
    assert decision.entries == (Entry(20000, has_target=False), Entry(20001))
    assert json.loads(body_of(service, decision.entries))["spec"]["ports"][0] == {
        "name": "tcp-20000", "port": 20000, "protocol": "TCP"
    }  # fmt: skip
    assert set(decision.fresh) == {20001}
    assert set(decision.left_out) == {20000}
    renamed = front(
        SNI, {**tcp(20000), "name": "mine"}, owners={20000: (OURS, "editor")}, owner_of_parts={"editor": ("f:name",)}
    )
    assert decide({20000}, renamed, RULES).entries == (Entry(20000, is_named=False),)
    assert decide({20000}, renamed, RULES).is_level
    applied = front(
        SNI,
        entry,
        owners={20000: (OURS, "applier")},
        owner_of_parts={"applier": (".", "f:port", "f:protocol", "f:targetPort")},
    )
    assert decide(set(), applied, RULES).entries == (Entry(20000, has_target=False),)
    whole = front(SNI, entry, owners={20000: (OURS, "applier")})
    assert decide({20000}, whole, RULES).entries == ()


@pytest.mark.parametrize(
    ("spec", "ports"),
    [
        pytest.param({"type": "NodePort"}, {30100: 30100, 20000: None}, id="node-port"),
        pytest.param({"allocateLoadBalancerNodePorts": True}, {30100: 30100, 20000: None}, id="load-balancer"),
        pytest.param({}, {30100: None, 20000: None}, id="load-balancer-without"),
        pytest.param({"type": "ClusterIP"}, {30100: None, 20000: None}, id="cluster-ip"),
    ],
)
def test_a_node_port_is_asked_for_where_it_is_the_port_itself(spec: Object, ports: dict[int, int | None]) -> None:
    """Within the range, and where the Service has node ports at all."""
    assert applied({30100, 20000}, front(SNI, **spec)) == ports


def test_the_node_port_that_was_chosen_is_the_clients() -> None:
    """Of a Service of type NodePort; and a port whose number the API server gave away as a node port gets another."""
    owners = {20000: (OURS,)}
    service = front(SNI, tcp(20000, nodePort=30105), owners=owners, type="NodePort")
    assert decide({20000}, service, RULES).client_ports == {20000: 30105}
    assert applied({20000, 30105}, service) == {20000: None, 30105: None}
    balanced = front(SNI, tcp(20000, nodePort=30105), owners=owners, allocateLoadBalancerNodePorts=True)
    assert decide({20000}, balanced, RULES).client_ports == {}


def test_no_more_ports_than_allowed() -> None:
    """Others' count; who is in it stays in it; of newcomers the lowest comes first."""
    rules = PublishRules.of("tcp-router", PortRanges(()), 3)
    service = front(SNI, tcp(20005), owners={20005: (OURS,)})
    decision = decide({20005, 20002, 20001}, service, rules)
    assert decision.entries == (Entry(20001), Entry(20005))
    assert decision.left_out == {20002: "it has as many ports as --publish-service-max-ports allows (3)"}


def test_what_was_refused_waits() -> None:
    """It is left out with its reason; what is there already is kept as it is."""
    decision = decide({20000, 20001}, front(SNI), RULES, {20000: "no"})
    assert (decision.entries, decision.left_out) == ((Entry(20001),), {20000: "no"})
    there = front(SNI, tcp(30100, nodePort=31000), owners={30100: (OURS,)}, type="NodePort")
    decision = decide({30100}, there, RULES, {30100: "no"})
    assert (decision.entries, decision.is_level) == ((Entry(30100),), True)


def test_the_last_entry_stays() -> None:
    """A Service without ports is none: where nobody else has an entry, the last of ours is left."""
    decision = decide(set(), front(tcp(20000), owners={20000: (OURS,)}), RULES)
    assert (decision.entries, decision.is_level) == ((Entry(20000),), True)


@pytest.mark.parametrize(
    ("service", "why"),
    [
        pytest.param(None, "there is no such Service", id="absent"),
        pytest.param(front(SNI, type="ExternalName"), "it is of type ExternalName", id="external-name"),
        pytest.param(
            front({"port": 8443, "protocol": "TCP", "targetPort": 8443}),
            "its entry 8443 has no name, beside which Kubernetes takes no other",
            id="unnamed",
        ),
        pytest.param(
            front(SNI, loadBalancerClass="tcp-router.openshift.io/tcp-router"),
            "its loadBalancerClass is tcp-router.openshift.io/tcp-router, by which it would lead to itself",
            id="own-class",
        ),
    ],
)
def test_a_service_that_is_no_way_in(service: PublishedService | None, why: str) -> None:
    """Nothing is applied, and everybody is told."""
    decision = decide({20000}, service, RULES)
    assert (decision.entries, decision.is_level, decision.left_out) == ((), True, {20000: why})


@pytest.mark.parametrize(
    ("spec", "status", "address"),
    [
        ({}, {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}, {"ip": "192.0.2.1"}]}}, "lb.example.com"),
        ({"externalIPs": ["192.0.2.9"]}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, "192.0.2.1"),
        ({"externalIPs": ["192.0.2.9", "192.0.2.8"]}, {"loadBalancer": {}}, "192.0.2.9"),
        ({}, {}, ""),
    ],
)
def test_where_clients_reach_it(spec: Object, status: Object, address: str) -> None:
    """What the load balancer was given, else the first external address."""
    body = {"metadata": {"name": "front"}, "spec": spec, "status": status}
    assert read_published(json.dumps(body)).address == address


def test_the_pages_name_the_field_manager() -> None:
    """Of a router of the usual name: what Argo CD is told to leave alone, and what a hand applies as."""
    for page in ("services.md", "install.md"):
        assert RULES.manager in (Path(__file__).parents[3] / "docs" / page).read_text("utf-8")


PORTS = st.sampled_from([8443, 20000, 20001, 20002, 30100, 30101])


@given(
    served=st.sets(PORTS),
    there=st.dictionaries(PORTS, st.sampled_from([(OTHER,), (OURS,), (OTHER, OURS), ()])),
    refused=st.sets(PORTS),
    names=st.lists(PORTS, max_size=2),
    kind=st.sampled_from(["LoadBalancer", "NodePort", "ClusterIP"]),
    limit=st.none() | st.integers(1, 6),
)
def test_whatever_is_there(
    served: set[int],
    there: dict[int, tuple[str, ...]],
    refused: set[int],
    names: list[int],
    kind: str,
    limit: int | None,
) -> None:
    """What is applied conflicts with nobody, is served, and is level when it is there; each served port is there or told of."""
    names = [port for port in dict.fromkeys(names) if port not in there]
    entries = [tcp(port) for port in there] + [
        {**tcp(40000 + at), "name": f"tcp-{port}"} for at, port in enumerate(names)
    ]
    service = front(*entries, owners=there, type=kind)
    rules = PublishRules.of("tcp-router", RULES.node_ports, limit)
    decision = decide(served, service, rules, dict.fromkeys(refused, "refused"))
    chosen = {each.port for each in decision.entries}
    others = {port for port, owners in there.items() if OURS not in owners or OTHER in owners}
    is_last = not others and not names and not served & chosen
    assert chosen <= served or is_last
    assert not chosen & decision.left_out.keys()
    assert served == chosen | decision.left_out.keys() | (served & others) or is_last
    for entry in decision.entries:
        if entry.port in others:
            assert entry.node_port is None
    for port in chosen:
        assert port not in names
    if limit is not None:
        new = {port for port in chosen if port not in there}
        assert not new or len(others) + len(names) + len(chosen - others) <= limit
    # What it comes to: our entries as decided, those that were shared or others' as they were.
    then = {port: owners for port, owners in there.items() if port in others or port in chosen}
    for port, owners in then.items():
        then[port] = tuple(owner for owner in owners if owner != OURS) + ((OURS,) if port in chosen else ())
    then |= {port: (OURS,) for port in chosen if port not in there}
    made = {each.port: each for each in decision.entries}
    after = front(
        *(
            tcp(port, **({"nodePort": made[port].node_port} if port in made and made[port].node_port else {}))
            for port in then
        ),
        *entries[len(there) :],
        owners=then,
        type=kind,
    )
    again = decide(served, after, rules, dict.fromkeys(refused, "refused"))
    assert again.entries == decision.entries
    assert again.is_level
