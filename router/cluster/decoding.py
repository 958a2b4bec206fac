"""From the bytes of lists and watch events to the structs of ``router.objects``.

Objects stay undecoded (``msgspec.Raw``) until their metadata says that they are wanted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from router.objects.core import REPORTED_ADDRESSES, REPORTED_FIGURES, PodNow, RouterPod
from router.objects.credential import Credential
from router.objects.decoding import API_VERSIONS, Misfit, decode
from router.objects.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice, TargetRef
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey, ObjectMeta
from router.shapes import Json, read_any, reader

_Kind = TypeVar("_Kind", bound=KubernetesObject)


class _Fields(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base: frozen, and camelCase outside; no cycle can lead through it."""


class HeadMeta(_Fields, frozen=True):
    """The metadata by which an object is told from others."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class Head(_Fields, frozen=True):
    """An object of which only the metadata is read."""

    metadata: HeadMeta = HeadMeta()

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.metadata.namespace, self.metadata.name)


class WatchEvent(_Fields, frozen=True):
    """meta/v1 WatchEvent."""

    type: str
    object: msgspec.Raw


class _BookmarkMeta(_Fields, frozen=True):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class Bookmark(_Fields, frozen=True):
    """The object of a ``BOOKMARK`` event."""

    metadata: _BookmarkMeta = _BookmarkMeta()


class EventStatus(_Fields, frozen=True):
    """The Status of an ``ERROR`` event."""

    code: int = 500


class _EndpointAddress(_Fields, frozen=True):
    ip: str = ""
    hostname: str | None = None
    target_ref: TargetRef | None = None


class _EndpointSubset(_Fields, frozen=True):
    addresses: tuple[_EndpointAddress, ...] | None = None
    not_ready_addresses: tuple[_EndpointAddress, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class _Endpoints(_Fields, frozen=True):
    """v1 Endpoints."""

    metadata: ObjectMeta
    subsets: tuple[_EndpointSubset, ...] | None = None


class _Ip(_Fields, frozen=True):
    ip: str = ""


_APP = "app.kubernetes.io/name"
_ENDED = frozenset({"Succeeded", "Failed"})


class _PodSpec(_Fields, frozen=True):
    node_name: str = ""


class _Condition(_Fields, frozen=True):
    type: str = ""
    status: str = ""


class _PodStatus(_Fields, frozen=True):
    phase: str = ""
    start_time: str | None = None
    conditions: tuple[_Condition, ...] | None = None
    pod_ip: str = msgspec.field(name="podIP", default="")
    pod_ips: tuple[_Ip, ...] | None = msgspec.field(name="podIPs", default=None)
    host_ip: str = msgspec.field(name="hostIP", default="")
    host_ips: tuple[_Ip, ...] | None = msgspec.field(name="hostIPs", default=None)


class _PodMeta(HeadMeta, frozen=True):
    annotations: dict[str, str] | None = None


class _Pod(_Fields, frozen=True):
    """v1 Pod."""

    metadata: _PodMeta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


_MOST_DIGITS = 40
"""Of a resourceVersion: real ones have 64 bits, and Python makes no numbers of thousands of digits."""

# They raise msgspec.DecodeError.
decode_event = reader(WatchEvent)
decode_bookmark = reader(Bookmark)
decode_status = reader(EventStatus)
decode_head = reader(Head)
_decode_endpoints = reader(_Endpoints)
_decode_pod = reader(_Pod)
_DECODERS: Mapping[type, Callable[[Json], Any]] = {
    # Secrets come by another way (named_kinds): a Credential is not what the API has.
    kind: reader(kind)
    for _, kind in API_VERSIONS.values()
    if kind is not Credential
}


def decode_object(kind: type[_Kind], raw: bytes) -> _Kind | Misfit:
    """Make the struct of an object from its JSON, or say what is wrong with it."""
    try:
        decoded: _Kind = _DECODERS[kind](raw)
    except msgspec.DecodeError:
        pass
    else:
        return decoded
    # Once more the slow way, which takes nulls for absent fields as the API does, and finds words.
    try:
        value = read_any(raw)
    except msgspec.DecodeError as error:
        return Misfit(f"is no JSON: {error}")
    return decode(kind, value) if isinstance(value, dict) else Misfit("is no object")


def decode_endpoints(raw: bytes) -> tuple[EndpointSlice, ...] | Misfit:
    """Make of an Endpoints object what the endpointslice controller would: a slice for each subset and address family.

    The slices' names have a slash, so that they are none of another object's. Endpoints do not tell whether an address that is
    not ready serves on while it ends, so such an address gets no connections at all.
    """
    try:
        endpoints = _decode_endpoints(raw)
    except msgspec.DecodeError as error:
        return Misfit(str(error))
    slices: list[EndpointSlice] = []
    for subset in endpoints.subsets or ():
        by_family: dict[str, list[Endpoint]] = {}
        for is_ready, addresses in ((True, subset.addresses), (False, subset.not_ready_addresses)):
            conditions = EndpointConditions(ready=is_ready, serving=is_ready, terminating=False)
            for address in addresses or ():
                endpoint = Endpoint((address.ip,), conditions, address.target_ref, address.hostname)
                by_family.setdefault(_family(address.ip), []).append(endpoint)
        for family, members in sorted(by_family.items()):
            metadata = ObjectMeta(
                name=f"{endpoints.metadata.name}/{len(slices)}",
                namespace=endpoints.metadata.namespace,
                resource_version=endpoints.metadata.resource_version,
                labels={"kubernetes.io/service-name": endpoints.metadata.name},
            )
            slices.append(EndpointSlice(metadata, family, tuple(members), subset.ports))
    return tuple(slices)


def decode_router_pod(raw: bytes) -> RouterPod:
    """Make of a Pod what is kept of a router's: where it listens. Of one that has ended the addresses may be another's by now.

    Raises:
        msgspec.DecodeError: it cannot be read.
    """
    pod = _decode_pod(raw)
    status = pod.status
    told = [status.pod_ip, status.host_ip, *(each.ip for each in (*(status.pod_ips or ()), *(status.host_ips or ())))]
    addresses = () if status.phase in _ENDED else tuple(sorted({address for address in told if address}))
    metadata = ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace)
    node = "" if status.phase in _ENDED else pod.spec.node_name
    said = (pod.metadata.annotations or {}).get(REPORTED_ADDRESSES)
    reported = tuple(said.split(",")) if said is not None else None
    return RouterPod(metadata, addresses, node, (pod.metadata.labels or {}).get(_APP, ""), reported)


def decode_pod_now(raw: bytes) -> PodNow:
    """Make of a Pod what people see of it.

    Raises:
        msgspec.DecodeError: it cannot be read.
    """
    pod = _decode_pod(raw)
    said = {each.type: each.status == "True" for each in pod.status.conditions or ()}
    return PodNow(
        ready=said.get("Ready"),
        phase=pod.status.phase,
        since=pod.status.start_time or "",
        figures=(pod.metadata.annotations or {}).get(REPORTED_FIGURES, ""),
    )


def version_number(resource_version: str) -> int | None:
    """Give a resourceVersion as a number, to tell older from newer within one resource; None if it is none.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    is_number = resource_version.isdecimal() and len(resource_version) <= _MOST_DIGITS
    return int(resource_version) if is_number else None


def _family(ip: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(ip).version}"
    except ValueError:
        return "IPv4"  # admission refuses the address, and says so
