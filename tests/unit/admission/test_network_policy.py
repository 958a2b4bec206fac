"""Whether NetworkPolicies let a router reach pods, and the policies that do."""

from __future__ import annotations

import itertools
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router.admission.network_policy import (
    Answer,
    Judgement,
    Passage,
    PodPort,
    RouterPeer,
    TargetPods,
    judge,
    matches,
    policy_for,
    policy_name,
    ports_of,
)
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.labels import as_selector, matcher
from router.objects.meta import ObjectMeta
from router.objects.networking import LabelRequirement, LabelSelector, NetworkPolicy
from router.shapes import reader, write

_read = reader(NetworkPolicy)
ROUTER = RouterPeer(
    namespace="openshift-ingress",
    namespace_labels={"network.openshift.io/policy-group": "ingress"},
    pod_selector=LabelSelector({"app": "tcp-router"}),
    pod_labels={"app": "tcp-router"},
    addresses=frozenset({"10.128.0.9", "fd01::9"}),
)
ON_HOST = RouterPeer(namespace="tcp", host_network=True, addresses=frozenset({"192.0.2.10"}))
PODS = TargetPods(namespace="team", labels={"app": "db", "tier": "data"}, ports=frozenset({5432}), has_all_labels=True)


def policy(name: str = "p", pods: Any = None, *ingress: Any, **spec: Any) -> NetworkPolicy:
    """Make a policy of the namespace team."""
    manifest = {
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"podSelector": pods or {}, "ingress": list(ingress), **spec},
    }
    return _read(write(manifest))


def passage(*policies: NetworkPolicy, pods: TargetPods = PODS, router: RouterPeer = ROUTER) -> Passage:
    """Judge policies."""
    return judge(policies, pods, router).passage


LETS_ALL: dict[str, Any] = {}
BY_NAME = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-ingress"}}}
BY_GROUP = {"namespaceSelector": {"matchLabels": {"network.openshift.io/policy-group": "ingress"}}}
RULES: dict[str, tuple[Any, bool, bool]] = {
    # a rule; whether it lets in a router with a network of its own; and one on the host's.
    "everybody": (LETS_ALL, True, True),
    "everybody, an empty list": ({"from": [], "ports": []}, True, True),
    "the namespace by name": ({"from": [BY_NAME]}, True, False),
    "the namespace by its group": ({"from": [BY_GROUP]}, True, True),
    "OpenShift's group for the host's network": (
        {"from": [{"namespaceSelector": {"matchLabels": {"policy-group.network.openshift.io/host-network": ""}}}]},
        False,
        True,
    ),
    "all namespaces": ({"from": [{"namespaceSelector": {}}]}, True, True),
    "all pods of all namespaces": ({"from": [{"namespaceSelector": {}, "podSelector": {}}]}, True, False),
    "its pods": ({"from": [{**BY_NAME, "podSelector": {"matchLabels": {"app": "tcp-router"}}}]}, True, False),
    "others of its namespace": ({"from": [{**BY_NAME, "podSelector": {"matchLabels": {"app": "x"}}}]}, False, False),
    "pods of the team": ({"from": [{"podSelector": {}}]}, False, False),
    "another namespace": ({"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}, False, False),
    "a block with it": ({"from": [{"ipBlock": {"cidr": "10.128.0.0/14"}}]}, True, False),
    "a block of nodes": ({"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}, False, True),
    "a block of IPv6": ({"from": [{"ipBlock": {"cidr": "fd01::/48"}}]}, True, False),
    "everywhere": ({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, True, True),
    "a block without it": (
        {"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "192.0.0.0/16"]}}]},
        False,
        False,
    ),
    "no block": ({"from": [{"ipBlock": {"cidr": "nonsense"}}]}, False, False),
    "one of several": ({"from": [{"podSelector": {}}, BY_GROUP]}, True, True),
    "its port": ({"ports": [{"protocol": "TCP", "port": 5432}]}, True, True),
    "its port, TCP by default": ({"ports": [{"port": 5432}]}, True, True),
    "a range": ({"ports": [{"port": 5000, "endPort": 6000}]}, True, True),
    "all TCP": ({"ports": [{"protocol": "TCP"}]}, True, True),
    "a port that has a name": ({"ports": [{"port": "pg"}]}, True, True),
    "another port": ({"ports": [{"port": 5433}]}, False, False),
    "another range": ({"ports": [{"port": 5433, "endPort": 6000}]}, False, False),
    "UDP": ({"ports": [{"protocol": "UDP", "port": 5432}]}, False, False),
    "another port for it, its port for others": ({"from": [BY_GROUP], "ports": [{"port": 1}]}, False, False),
}


@pytest.mark.parametrize(("rule", "lets", "lets_host"), RULES.values(), ids=RULES)
def test_rules(rule: Any, *, lets: bool, lets_host: bool) -> None:
    """Which rules let a router in."""
    expected = {True: Passage.LET_IN, False: Passage.SHUT_OUT}
    assert passage(policy("p", {}, rule)) is expected[lets]
    assert passage(policy("p", {}, rule), router=ON_HOST) is expected[lets_host]


def test_which_policies_count() -> None:
    """Those of the namespace that select the pods for Ingress; of several, one that lets in is enough."""
    deny = policy("deny")
    assert passage() is Passage.UNRESTRICTED
    assert passage(deny) is Passage.SHUT_OUT
    assert passage(policy("egress", policyTypes=["Egress"])) is Passage.UNRESTRICTED
    assert passage(policy("both", policyTypes=["Egress", "Ingress"])) is Passage.SHUT_OUT
    assert passage(policy("others", {"matchLabels": {"app": "web"}})) is Passage.UNRESTRICTED
    let = policy("let", {"matchLabels": {"app": "db"}}, {"from": [BY_GROUP]})
    assert judge([deny, let], PODS, ROUTER) == Judgement(Passage.LET_IN, ("let",))
    for_others = policy("let", {"matchLabels": {"app": "web"}}, {"from": [BY_GROUP]})
    assert judge([deny, for_others], PODS, ROUTER) == Judgement(Passage.SHUT_OUT, ("deny",))
    elsewhere = _read(write({"metadata": {"name": "p", "namespace": "other"}, "spec": {"podSelector": {}}}))
    assert passage(elsewhere) is Passage.UNRESTRICTED


def test_each_port_must_be_let_in() -> None:
    """By one policy or another."""
    both = TargetPods(namespace="team", labels={}, ports=frozenset({1, 2}), has_all_labels=True)
    one, other = (policy(f"p{port}", {}, {"ports": [{"port": port}]}) for port in (1, 2))
    assert passage(one, pods=both) is Passage.SHUT_OUT
    assert judge([one, other], both, ROUTER) == Judgement(Passage.LET_IN, ("p1", "p2"))


def test_labels_that_are_not_known() -> None:
    """Of the labels of pods a router knows those that their Service selects by: a policy that may select them counts, for what it forbids and for whom it lets in."""
    known = TargetPods(namespace="team", labels={"app": "db"}, ports=frozenset({5432}))
    by_tier = {"matchLabels": {"tier": "data"}}
    assert passage(policy("p", by_tier), pods=known) is Passage.SHUT_OUT
    assert (
        passage(policy("p", by_tier), policy("q", {"matchLabels": {"x": "y"}}, LETS_ALL), pods=known) is Passage.LET_IN
    )
    assert passage(policy("p", {"matchLabels": {"app": "web", "tier": "data"}}), pods=known) is Passage.UNRESTRICTED


DOCUMENTED = """\
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata:
  name: allow-from-f5-ingress
  namespace: yourlicenceplate-dev
spec:
  podSelector:
    matchLabels:
      name: yourappslabel
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              network.openshift.io/policy-group: ingress
  policyTypes:
    - Ingress
"""
"""What teams of an OpenShift installation with F5 appliances are told to write, once for each cluster."""


def test_the_documented_policy_is_sufficient() -> None:
    """Teams that follow it need nothing else: for a router on the host's network, and for one in a namespace that OpenShift's ingress comes from."""
    documented = _read(write(yaml.safe_load(DOCUMENTED)))
    pods = TargetPods(namespace="yourlicenceplate-dev", labels={"name": "yourappslabel"}, ports=frozenset({8000}))
    denies = _read(
        write({"metadata": {"name": "deny", "namespace": "yourlicenceplate-dev"}, "spec": {"podSelector": {}}})
    )
    for router in (ROUTER, ON_HOST):
        assert judge([denies], pods, router).passage is Passage.SHUT_OUT
        assert judge([denies, documented], pods, router) == Judgement(Passage.LET_IN, ("allow-from-f5-ingress",))
    other_label = TargetPods(namespace="yourlicenceplate-dev", labels={"name": "other"}, ports=frozenset({8000}))
    assert judge([denies, documented], other_label, ROUTER).passage is Passage.SHUT_OUT


@pytest.mark.parametrize(
    "router", [ROUTER, ON_HOST, RouterPeer(namespace="x", pod_selector=as_selector("a in (b,c),!d,e"))]
)
@pytest.mark.parametrize("ports", [{5432}, {"pg"}, {1, 80, 443, "pg"}], ids=str)
def test_what_is_made_lets_in_and_is_valid(router: RouterPeer, ports: set[PodPort]) -> None:
    """Exactly these pods at exactly these ports, as the schema of Kubernetes has it."""
    manifest = policy_for("allow", "team", "Route team/db", {"app": "db"}, ports, router)
    for version in ("1.29", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(manifest, version, strict=True)
    made = _read(write(manifest))
    deny = policy("deny")
    pods = TargetPods(namespace="team", labels={"app": "db"}, ports=frozenset(ports), has_all_labels=True)
    seen = (
        router
        if router.pod_labels or router.host_network
        else RouterPeer(namespace="x", pod_labels={"a": "b", "e": ""})
    )
    assert judge([deny, made], pods, seen) == Judgement(Passage.LET_IN, ("allow",))
    others = TargetPods(namespace="team", labels={"app": "web"}, ports=frozenset(ports), has_all_labels=True)
    assert judge([deny, made], others, seen).passage is Passage.SHUT_OUT
    if "pg" not in ports:
        more = TargetPods(namespace="team", labels={"app": "db"}, ports=frozenset({9999}), has_all_labels=True)
        assert judge([deny, made], more, seen).passage is Passage.SHUT_OUT
    stranger = RouterPeer(namespace="stranger", pod_labels={"app": "tcp-router", "a": "b", "e": ""})
    assert judge([deny, made], pods, stranger).passage is Passage.SHUT_OUT


EXPRESSIONS: dict[tuple[str, tuple[str, ...] | None], tuple[Answer, ...]] = {
    ("In", ("x",)): (Answer.YES, Answer.NO, Answer.MAYBE, Answer.NO),
    ("NotIn", ("x",)): (Answer.NO, Answer.YES, Answer.MAYBE, Answer.YES),
    ("Exists", None): (Answer.YES, Answer.YES, Answer.MAYBE, Answer.NO),
    ("DoesNotExist", None): (Answer.NO, Answer.NO, Answer.MAYBE, Answer.YES),
    ("Later", None): (Answer.MAYBE,) * 4,
}


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_expressions(expression: tuple[str, tuple[str, ...] | None]) -> None:
    """Of a label that is x, that is y, that is not known, and that is not there."""
    selector = LabelSelector(None, (LabelRequirement("k", *expression),))
    found = (
        matches(selector, {"k": "x"}),
        matches(selector, {"k": "y"}),
        matches(selector, {}, is_complete=False),
        matches(selector, {}),
    )
    assert found == EXPRESSIONS[expression]


_KEYS = st.sampled_from("abc")
_VALUES = st.sampled_from("xy")
_PARTS = st.one_of(
    st.builds("{}={}".format, _KEYS, _VALUES),
    st.builds("{}!={}".format, _KEYS, _VALUES),
    st.builds("{} in ({},y)".format, _KEYS, _VALUES),
    st.builds("{} notin ({})".format, _KEYS, _VALUES),
    _KEYS,
    st.builds("!{}".format, _KEYS),
)


@given(st.lists(_PARTS, max_size=4).map(",".join), st.dictionaries(_KEYS, _VALUES))
def test_a_selector_in_both_forms_is_one(text: str, labels: dict[str, str]) -> None:
    """As a query has it, and as an object has it: both select the same, where the second can say it."""
    selector = as_selector(text)
    if selector is None:
        assert not matcher(text)(labels)
    else:
        assert (matches(selector, labels) is Answer.YES) is matcher(text)(labels)


@given(st.dictionaries(_KEYS, _VALUES), st.dictionaries(_KEYS, _VALUES), st.lists(_PARTS, max_size=4).map(",".join))
def test_maybe_is_what_could_be_both(known: dict[str, str], more: dict[str, str], text: str) -> None:
    """Whatever other labels there turn out to be, a YES stays one, and a NO."""
    selector = as_selector(text)
    if selector is not None:
        before = matches(selector, known, is_complete=False)
        after = matches(selector, {**more, **known})
        assert before in {after, Answer.MAYBE}


def service(*ports: ServicePort) -> Service:
    """Make a Service."""
    return Service(ObjectMeta(name="db", namespace="team"), ServiceSpec(ports=ports))


PORTS: dict[str, tuple[tuple[ServicePort, ...], int | str | None, set[PodPort] | str]] = {
    "the only one": ((ServicePort(5432, "pg"),), None, {5432}),
    "its pods' number": ((ServicePort(5432, "pg", target_port=15432),), None, {15432}),
    "its pods' name": ((ServicePort(5432, "pg", target_port="pgsql"),), None, {"pgsql"}),
    "by name": ((ServicePort(1, "a"), ServicePort(2, "b", target_port=22)), "b", {22}),
    "by number": ((ServicePort(1, "a"), ServicePort(2, "b", target_port=22)), 2, {22}),
    "by the pods' number": ((ServicePort(1, "a"), ServicePort(2, "b", target_port=22)), 22, {22}),
    "a number of the pods alone": ((ServicePort(1, "a"),), 99, {99}),
    "several": ((ServicePort(1, "a"), ServicePort(2, "b")), None, "has the TCP ports"),
    "none of that name": ((ServicePort(1, "a"),), "b", "has no port named 'b'"),
    "UDP": ((ServicePort(1, "a", protocol="UDP"),), "a", "only TCP can be served"),
}


@pytest.mark.parametrize(("ports", "target", "expected"), PORTS.values(), ids=PORTS)
def test_ports(ports: tuple[ServicePort, ...], target: int | str | None, expected: set[PodPort] | str) -> None:
    """What a target port means for the pods: a number, or the name that their containers give it."""
    found = ports_of(service(*ports), target)
    if isinstance(expected, str):
        assert isinstance(found, str)
        assert expected in found
    else:
        assert found == frozenset(expected)


def test_names() -> None:
    """Of their parts; one that is too long is cut, and stays unlike others."""
    assert policy_name("allow", "tcp-router", "", "db") == "allow-tcp-router-db"
    long = [policy_name("a" * 200, "b" * 100 + end) for end in ("x", "y")]
    assert [len(each) for each in long] == [253, 253]
    assert long[0] != long[1]
    assert all(one.isascii() for one in itertools.chain(long))
