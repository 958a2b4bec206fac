"""Whether NetworkPolicies let a router reach pods, and the one that would; pure.

A pod that no policy selects for Ingress may be reached by everybody; one that some select, by those whom any of these lets in
(https://kubernetes.io/docs/concepts/services-networking/network-policies/). Of the labels of pods a router knows what Services
select by, and no more, so that a policy may select them, or may not: what can be told is told, and the rest is ``MAYBE``.

What a policy means for a router on the host's network is the network plugin's to say: some let it pass whatever policies say, OVN-Kubernetes takes it for
the namespace ``openshift-host-network``, which OpenShift labels as one of those that ingress comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

from router.admission.target_port import choose_port, is_tcp
from router.admission.verdicts import Rejection
from router.objects.core import Service
from router.objects.networking import (
    IngressRule,
    IpBlock,
    LabelRequirement,
    LabelSelector,
    NetworkPolicy,
    PolicyPeer,
    PolicyPort,
)

METADATA_NAME = "kubernetes.io/metadata.name"
"""The label that each Namespace has, with its name."""
POLICY_GROUP = ("network.openshift.io/policy-group", "ingress")
"""The label of the namespaces that OpenShift's ingress comes from."""
_HOST_NETWORK: Mapping[str, str] = {
    METADATA_NAME: "openshift-host-network",
    POLICY_GROUP[0]: POLICY_GROUP[1],
    "policy-group.network.openshift.io/ingress": "",
    "policy-group.network.openshift.io/host-network": "",
}
MANAGED_BY = ("app.kubernetes.io/managed-by", "tcp-router")
"""The label of policies that ``tcp-router network-policy --apply`` made."""
ABOUT = "tcp-router.openshift.io/made-for"
"""The annotation of those that says for whom: names are made of those of askers and Services, and may be alike."""
_MAX_NAME = 253
_DIGEST = 8

PodPort = int | str
"""By its number, or by the name that the container gives it."""


class Answer(StrEnum):
    """To a question about labels of which not all are known."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"


class Passage(StrEnum):
    """What policies mean for a router and some pods."""

    UNRESTRICTED = "unrestricted"
    """No policy selects the pods."""
    LET_IN = "let in"
    SHUT_OUT = "shut out"
    """Some select the pods, and none of these lets the router in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterPeer:
    """A router, as policies may name it."""

    namespace: str
    host_network: bool = False
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    """Of its namespace; its name is one in any case."""
    pod_selector: LabelSelector | None = None
    """By which its pods are known."""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """Those that are known."""
    addresses: frozenset[str] = frozenset()
    """Of its pods, or nodes."""

    @property
    def namespaces(self) -> tuple[Mapping[str, str], ...]:
        """The labels of the namespaces that its connections may be taken to come from."""
        own = {**self.namespace_labels, METADATA_NAME: self.namespace}
        return (own, _HOST_NETWORK) if self.host_network else (own,)

    def seen_in(self, namespace_labels: Mapping[str, str]) -> RouterPeer:
        """Give it with these labels of its namespace."""
        return replace(self, namespace_labels=namespace_labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPods:
    """Some pods that a router leads to, all in one namespace."""

    namespace: str
    labels: Mapping[str, str]
    ports: frozenset[PodPort]
    has_all_labels: bool = False
    """Whether they have no others."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What policies mean, and which of them count."""

    passage: Passage
    policies: tuple[str, ...] = ()
    """Those that let it in, or that select the pods and do not; sorted."""


def judge(policies: Iterable[NetworkPolicy], pods: TargetPods, router: RouterPeer) -> Judgement:
    """Say whether a router may connect to pods, to each of their ports.

    Where labels are not known, a policy that may select the pods counts as if it did: for what it forbids, and for whom it lets in.
    """
    selecting = [
        each
        for each in policies
        if each.metadata.namespace == pods.namespace
        and "Ingress" in (each.spec.policy_types or ("Ingress",))
        and matches(each.spec.pod_selector, pods.labels, is_complete=pods.has_all_labels) is not Answer.NO
    ]
    if not selecting:
        return Judgement(Passage.UNRESTRICTED)
    letting: set[str] = set()
    for port in pods.ports:
        of_port = {each.metadata.name for each in selecting if _lets(each.spec.ingress or (), port, pods, router)}
        if not of_port:
            return Judgement(Passage.SHUT_OUT, tuple(sorted(each.metadata.name for each in selecting)))
        letting |= of_port
    return Judgement(Passage.LET_IN, tuple(sorted(letting)))


def _lets(rules: Iterable[IngressRule], port: PodPort, pods: TargetPods, router: RouterPeer) -> bool:
    return any(
        (not rule.ports or any(_has_port(each, port) for each in rule.ports))
        and (not rule.from_ or any(_names(each, pods, router) for each in rule.from_))
        for rule in rules
    )


def _has_port(allowed: PolicyPort, port: PodPort) -> bool:
    if not is_tcp(allowed.protocol):
        return False
    if allowed.port is None:
        return True
    if isinstance(allowed.port, str) is not isinstance(port, str):
        # A container gives its number that name, or it does not.
        return True
    if isinstance(allowed.port, int) and isinstance(port, int) and allowed.end_port is not None:
        return allowed.port <= port <= allowed.end_port
    return allowed.port == port


def _names(peer: PolicyPeer, pods: TargetPods, router: RouterPeer) -> bool:
    if peer.ip_block is not None:
        return any(_is_in(each, peer.ip_block) for each in router.addresses)
    if router.host_network and peer.pod_selector is not None:
        # No pod selector selects what comes from a node.
        return False
    if peer.namespace_selector is None:
        in_namespace = router.namespace == pods.namespace
    else:
        in_namespace = any(matches(peer.namespace_selector, each) is Answer.YES for each in router.namespaces)
    is_pod = (
        peer.pod_selector is None or matches(peer.pod_selector, router.pod_labels, is_complete=False) is not Answer.NO
    )
    return in_namespace and is_pod


def _is_in(address: str, block: IpBlock) -> bool:
    try:
        known = ip_address(address)
        inside = known in ip_network(block.cidr, strict=False)
        return inside and not any(known in ip_network(each, strict=False) for each in block.except_ or ())
    except ValueError:
        # The API server lets none of these through.
        return False


def matches(selector: LabelSelector, labels: Mapping[str, str], *, is_complete: bool = True) -> Answer:
    """Say whether a selector selects what has these labels.

    Args:
        selector: of a policy.
        labels: that are known.
        is_complete: whether there are no others.
    """
    answers = [_answer(labels.get(key), {value}, is_complete) for key, value in (selector.match_labels or {}).items()]
    answers += [_required(each, labels, is_complete=is_complete) for each in selector.match_expressions or ()]
    if Answer.NO in answers:
        return Answer.NO
    return Answer.MAYBE if Answer.MAYBE in answers else Answer.YES


def _answer(value: str | None, wanted: set[str], is_complete: bool) -> Answer:  # noqa: FBT001 - of one caller's own
    if value is None:
        return Answer.NO if is_complete else Answer.MAYBE
    return Answer.YES if value in wanted else Answer.NO


def _required(requirement: LabelRequirement, labels: Mapping[str, str], *, is_complete: bool) -> Answer:
    value, values = labels.get(requirement.key), set(requirement.values or ())
    unknown = Answer.MAYBE if value is None and not is_complete else None
    match requirement.operator:
        case "In":
            return _answer(value, values, is_complete)
        case "NotIn":
            return unknown or (Answer.NO if value in values else Answer.YES)
        case "Exists":
            return unknown or (Answer.YES if value is not None else Answer.NO)
        case "DoesNotExist":
            return unknown or (Answer.NO if value is not None else Answer.YES)
        case _:
            return Answer.MAYBE


def sufficient(policies: Iterable[NetworkPolicy], pods: TargetPods, router: RouterPeer) -> tuple[str, ...]:
    """Give the policies that let a router in to pods, to each of their ports, and that select these pods for sure; none where that is not so."""
    selecting = [
        each for each in policies if matches(each.spec.pod_selector, pods.labels, is_complete=False) is Answer.YES
    ]
    found = judge(selecting, pods, router)
    return found.policies if found.passage is Passage.LET_IN else ()


def ports_of(service: Service, target_port: int | str | None, *, of_service: bool = False) -> frozenset[PodPort] | str:
    """Give the ports of a Service's pods that are led to by a target port, or why there are none; ``of_service`` as ``choose_port`` has it."""
    choice = choose_port(service, (), target_port, of_service=of_service)
    if isinstance(choice, Rejection):
        return choice.message
    if choice.service_port is not None:
        leads_to = choice.service_port.target_port
        # 0 and "" are the port's own number, as where it does not say.
        return frozenset({leads_to or choice.service_port.port})
    if of_service:
        return choice.problem
    # The pods' own port, of which the Service knows nothing.
    return frozenset({target_port}) if isinstance(target_port, int) else choice.problem


def policy_for(  # noqa: PLR0913, PLR0917 - what there is in one
    name: str, namespace: str, about: str, selector: Mapping[str, str], ports: Iterable[PodPort], router: RouterPeer
) -> dict[str, Any]:
    """Make the NetworkPolicy that lets a router reach just these pods at just these ports, as a manifest.

    On the host's network it names the router's namespace by the label of OpenShift and by its name: what comes from a node has no pod's
    labels. Else it names the router's pods.
    """
    own_namespace = {"matchLabels": {METADATA_NAME: router.namespace}}
    if router.host_network:
        peers: list[dict[str, Any]] = [
            {"namespaceSelector": {"matchLabels": dict([POLICY_GROUP])}},
            {"namespaceSelector": own_namespace},
        ]
    else:
        peers = [
            {"namespaceSelector": own_namespace, "podSelector": _as_manifest(router.pod_selector or LabelSelector())}
        ]
    ordered = sorted(set(ports), key=lambda port: (isinstance(port, str), str(port).zfill(5)))
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict([MANAGED_BY]),
            "annotations": {ABOUT: about},
        },
        "spec": {
            "podSelector": {"matchLabels": dict(sorted(selector.items()))},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": peers, "ports": [{"protocol": "TCP", "port": port} for port in ordered]}],
        },
    }


def policy_name(*parts: str) -> str:
    """Give the name of a policy: of these parts, cut where that is too long for one, and then with a digest of all of it."""
    name = "-".join(filter(None, parts))
    if len(name) <= _MAX_NAME:
        return name
    digest = sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _MAX_NAME - _DIGEST - 1].rstrip('-.')}-{digest}"


def _as_manifest(selector: LabelSelector) -> dict[str, Any]:
    manifest: dict[str, Any] = {}
    if selector.match_labels:
        manifest["matchLabels"] = dict(sorted(selector.match_labels.items()))
    if selector.match_expressions:
        manifest["matchExpressions"] = [
            {"key": each.key, "operator": each.operator, **({"values": list(each.values)} if each.values else {})}
            for each in selector.match_expressions
        ]
    return manifest
