"""networking.k8s.io/v1: NetworkPolicies. That a field is absent and that it is empty are two things here."""

from __future__ import annotations

import msgspec

from router.objects.meta import Fields, WholeObject


class LabelRequirement(Fields, frozen=True):
    """One of ``matchExpressions`` of a label selector."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class LabelSelector(Fields, frozen=True):
    """meta/v1 LabelSelector; an empty one selects everything."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[LabelRequirement, ...] | None = None


class IpBlock(Fields, frozen=True):
    """Addresses from which, or to which, is let through."""

    cidr: str
    except_: tuple[str, ...] | None = msgspec.field(name="except", default=None)


class PolicyPeer(Fields, frozen=True):
    """One of ``from`` of an ingress rule."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IpBlock | None = None


class PolicyPort(Fields, frozen=True):
    """One of ``ports`` of an ingress rule; without ``port`` it is all of its protocol."""

    protocol: str | None = None
    port: int | str | None = None
    end_port: int | None = None


class IngressRule(Fields, frozen=True):
    """Who may connect to which ports; nobody named is everybody, no port named is all."""

    from_: tuple[PolicyPeer, ...] | None = msgspec.field(name="from", default=None)
    ports: tuple[PolicyPort, ...] | None = None


class NetworkPolicySpec(Fields, frozen=True):
    """``spec`` of a NetworkPolicy."""

    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[str, ...] | None = None
    ingress: tuple[IngressRule, ...] | None = None


class NetworkPolicy(WholeObject, frozen=True):
    """networking.k8s.io/v1 NetworkPolicy."""

    spec: NetworkPolicySpec = NetworkPolicySpec()
