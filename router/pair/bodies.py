"""What is written: the bodies of objects, and the merge patches that make one that is there equal to what is wanted; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from router.objects.porter import CLAIM_KIND, GROUP, VERSION
from router.pair.model import PairSettings, Side
from router.pair.objects import (
    COPIED_ANNOTATIONS,
    COPIED_FROM,
    MANAGED_BY,
    MANAGER,
    PAIRED_CLAIM,
    PAIRED_WITH,
    PairObject,
)
from router.pair.spec import address_name

_SERVICE = "kubernetes.io/service-name"
_SLICE_MANAGER = "endpointslice.kubernetes.io/managed-by"
_SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
_HASH_DIGITS = 16
_PORT_CLAIMS = "tcp-router.openshift.io/v1alpha1"

Body = dict[str, Any]


def reservation_name(settings: PairSettings, namespace: str, claim: str) -> str:
    """Give the name of a claim's reservations: of the pair and the claim, so that what is made twice is refused."""
    digest = hashlib.sha256(f"{settings.remote_name}|{namespace}|{claim}".encode()).hexdigest()[:_HASH_DIGITS]
    return f"pair-{settings.local_name}-{digest}"


def reservation(settings: PairSettings, side: Side, claim: PairObject, port: int) -> Body:
    """Give a PortClaim that keeps a port for a claim."""
    namespace = claim.metadata.namespace
    spec: Body = {
        "ledger": settings.ledger(side),
        "port": port,
        "origin": "Reserved",
        "holder": {"group": GROUP, "kind": CLAIM_KIND, "namespace": namespace, "name": claim.name},
    }
    if address := address_name(claim):
        spec["address"] = address
    metadata = _metadata(settings, side, reservation_name(settings, namespace, claim.name), claim.name)
    return {"apiVersion": _PORT_CLAIMS, "kind": "PortClaim", "metadata": metadata, "spec": spec}


def copy(settings: PairSettings, claim: PairObject) -> Body:
    """Give the copy of a claim for the other cluster."""
    metadata: Body = {
        "name": claim.name,
        "labels": {COPIED_FROM: settings.local_name},
        "annotations": copied_annotations(claim),
    }
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": CLAIM_KIND, "metadata": metadata, "spec": claim.spec}


def copied_annotations(claim: PairObject) -> dict[str, str]:
    """Give those annotations of a claim that say how it is served."""
    annotations = claim.metadata.annotations or {}
    return {key: value for key, value in sorted(annotations.items()) if key.startswith(COPIED_ANNOTATIONS)}


def copy_patch(claim: PairObject, there: PairObject) -> Body:
    """Give what makes a copy level; nothing where it is. Annotations that others made on it stay, but for those that say how it is served."""
    patch: Body = {}
    spec = difference(there.spec, claim.spec)
    if spec is not None:
        patch["spec"] = spec
    wanted, has = copied_annotations(claim), copied_annotations(there)
    changes = {key: wanted.get(key) for key in sorted(wanted.keys() | has.keys()) if wanted.get(key) != has.get(key)}
    if changes:
        patch["metadata"] = {"annotations": changes}
    return patch


def difference(there: Any, wanted: Any) -> Any:  # noqa: ANN401 - JSON
    """Give the merge patch (RFC 7386) from one value to another; None where they are the same."""
    if not isinstance(wanted, dict) or not isinstance(there, dict):
        return None if there == wanted else wanted
    patch: Body = {key: None for key in there if there[key] is not None and wanted.get(key) is None}
    for key, value in wanted.items():
        if value is not None and (changed := difference(there.get(key), value)) is not None:
            patch[key] = changed
    return patch or None


def service(  # noqa: PLR0913, PLR0917 - what it has
    settings: PairSettings, side: Side, name: str, claim: str, ports: Sequence[int], target: int, ips: Iterable[str]
) -> Body:
    """Give the Service by which pods on one side reach the other."""
    listed = [
        {**own, "port": port, "targetPort": target}
        for own, port in zip(target_ports(ports, target), ports, strict=True)
    ]
    spec: Body = {"type": "ClusterIP", "ports": listed}
    if any(ip_address(each).version == 6 for each in ips):  # noqa: PLR2004 - IPv6
        spec["ipFamilyPolicy"] = "PreferDualStack"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(settings, side, name, claim),
        "spec": spec,
    }


def target_ports(ports: Sequence[int], target: int) -> list[Body]:
    """Give the ports of endpoints for these of a Service, with which they share their names: one needs none."""
    if len(ports) == 1:
        return [{"port": target, "protocol": "TCP"}]
    return [{"name": name, "port": target, "protocol": "TCP"} for name in ("service", "external")]


def service_patch(there: PairObject, wanted: Body) -> Body:
    """Give what makes a Service level; nothing where it is. What the API server fills in by itself is left."""
    has = there.spec if isinstance(there.spec, dict) else {}
    patch = _metadata_patch(there, wanted)
    spec: Body = {}
    if _ports(has.get("ports")) != _ports(wanted["spec"]["ports"]):
        spec["ports"] = wanted["spec"]["ports"]
    if has.get("type") not in {None, "ClusterIP"}:
        spec |= {"type": "ClusterIP", "externalName": None}
    if has.get("selector"):
        # With a selector, endpoints would be made by somebody else.
        spec["selector"] = None
    if spec:
        patch["spec"] = spec
    return patch


def endpoints(settings: PairSettings, side: Side, name: str, claim: str, ports: list[Body], ips: Iterable[str]) -> Body:  # noqa: PLR0913, PLR0917 - likewise
    """Give the Endpoints, which people look at; the slices are of our own, so these are not mirrored."""
    metadata = _metadata(settings, side, name, claim, {_SKIP_MIRROR: "true"})
    addresses = [{"ip": each} for each in ips]
    subsets = [{"addresses": addresses, "ports": ports}]
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}


def endpoints_patch(there: PairObject, wanted: Body) -> Body:
    """Give what makes Endpoints level."""
    patch = _metadata_patch(there, wanted)
    if _subsets(there.subsets) != _subsets(wanted["subsets"]):
        patch["subsets"] = wanted["subsets"]
    return patch


def slices(  # noqa: PLR0913, PLR0917 - likewise
    settings: PairSettings, side: Side, name: str, claim: str, ports: list[Body], ips: Iterable[str]
) -> dict[str, Body]:
    """Give the EndpointSlices, one for each address family, by name."""
    families: dict[str, list[str]] = {}
    for each in ips:
        families.setdefault(f"IPv{ip_address(each).version}", []).append(each)
    made = {}
    for family, members in sorted(families.items()):
        own = f"{name}-{family.lower()}"
        made[own] = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": _metadata(
                settings, side, own, claim, {_SERVICE: name, _SLICE_MANAGER: f"{MANAGER}.openshift.io"}
            ),
            "addressType": family,
            "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in members],
            "ports": [{"name": "", **each} for each in ports],
        }
    return made


def slice_patch(there: PairObject, wanted: Body) -> Body:
    """Give what makes a slice level."""
    patch = _metadata_patch(there, wanted)
    if _slice_addresses(there.endpoints) != _slice_addresses(wanted["endpoints"]):
        patch["endpoints"] = wanted["endpoints"]
    if _ports(there.ports) != _ports(wanted["ports"]):
        patch["ports"] = wanted["ports"]
    return patch


def _metadata(settings: PairSettings, side: Side, name: str, claim: str, more: Mapping[str, str] | None = None) -> Body:
    labels = {MANAGED_BY: MANAGER, PAIRED_WITH: settings.other(side), **(more or {})}
    return {"name": name, "labels": labels, "annotations": {PAIRED_CLAIM: claim}}


def _metadata_patch(there: PairObject, wanted: Body) -> Body:
    """Give what makes labels and annotations of ours level; those of others stay."""
    patch: Body = {}
    for field, has in (("labels", there.metadata.labels), ("annotations", there.metadata.annotations)):
        changes = {key: value for key, value in wanted["metadata"][field].items() if (has or {}).get(key) != value}
        if changes:
            patch[field] = changes
    return {"metadata": patch} if patch else {}


def _ports(listed: object) -> object:
    """Give what is ours of ports, as far as they have the form of some."""
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return listed
    return [
        (
            each.get("name") or "",
            each.get("port"),
            each.get("protocol", "TCP"),
            each.get("targetPort", each.get("port")),
        )
        for each in listed
    ]


def _subsets(listed: object) -> object:
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return listed
    return [
        ([address.get("ip") for address in each.get("addresses") or ()], each.get("notReadyAddresses") or [],
         _ports(each.get("ports")))
        for each in listed
    ]  # fmt: skip


def _slice_addresses(listed: object) -> object:
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return listed
    return [(each.get("addresses"), (each.get("conditions") or {}).get("ready", True)) for each in listed]
