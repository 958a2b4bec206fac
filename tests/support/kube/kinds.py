"""What an API server fills in and refuses, kind by kind, as far as the router and its tests can come across it.

Followed: kubernetes/pkg/apis/core/validation/{validation,events}.go and pkg/apis/coordination/validation; metadata and what
leads to addresses have modules of their own. Routes and PortClaims go by the schemas of their CRDs.
"""

from __future__ import annotations

import copy
import ipaddress
import itertools
import re
from collections.abc import Container, Iterator
from typing import Any

from tests.support.crd import schema_of
from tests.support.kube.metadata import QUALIFIED, metadata_problems
from tests.support.kube.networking import endpoints_problems, service_problems, slice_problems
from tests.support.kube.resources import Resource
from tests.support.kube.service_types import fitted, type_problems
from tests.support.kube.statuses import Cause, failure, invalid, required, wrong

Object = dict[str, Any]

_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_MICRO_TIMES = {
    "Event": (("eventTime",), ("series", "lastObservedTime")),
    "Lease": (("spec", "acquireTime"), ("spec", "renewTime")),
}
_EVENT_FIXED = (
    "regarding", "reason", "note", "type", "action", "related", "reportingController", "reportingInstance", "eventTime",
)  # fmt: skip
_MAX_LENGTHS = {"action": 128, "reason": 128, "reportingInstance": 128, "note": 1024}


def completed(obj: Object) -> Object:
    """Give an object with the defaults of its kind, as it would be stored.

    Raises:
        StatusError: 400, where a field has a JSON type that the kind does not know.
    """
    kind = obj["kind"]
    _check_types(obj, kind)
    schema = schema_of(kind)
    if schema is not None:
        return schema.completed(obj)
    obj = copy.deepcopy(obj)
    if kind == "Service":
        _complete_service(obj)
    elif kind == "EndpointSlice":
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")
    elif kind == "Namespace":
        obj["metadata"]["labels"] = {
            **(obj["metadata"].get("labels") or {}),
            "kubernetes.io/metadata.name": obj["metadata"]["name"],
        }
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj["status"] = {"phase": "Active"}
    return obj


def check(resource: Resource, new: Object, old: Object | None, *, loopback: Container[str]) -> None:
    """Refuse a completed object that breaks the rules of its kind; ``loopback`` has the loopback addresses of pods of tests.

    Raises:
        StatusError: 422, with a cause for each broken rule.
    """
    causes = list(metadata_problems(resource, new["metadata"]))
    schema = schema_of(resource.kind)
    if schema is not None:
        causes += schema.problems(new, old)
    elif resource.kind == "Event":
        causes += _event_problems(new, old)
    elif resource.kind == "Lease":
        causes += _lease_problems(new)
    elif resource.kind == "Service":
        causes += [*service_problems(new), *type_problems(new, old)]
    elif resource.kind == "EndpointSlice":
        causes += slice_problems(new, old, loopback)
    elif resource.kind == "Endpoints":
        causes += endpoints_problems(new, loopback)
    if causes:
        raise invalid(resource, new["metadata"]["name"], causes)


def _check_types(obj: Object, kind: str) -> None:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        raise _unreadable(kind, "json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta")
    for field in ("annotations", "labels"):
        members = metadata.get(field)
        if members is not None and not (
            isinstance(members, dict) and all(isinstance(value, str) for value in members.values())
        ):
            raise _unreadable(
                kind, f"json: cannot unmarshal into Go struct field ObjectMeta.metadata.{field} of type string"
            )
    for path in _MICRO_TIMES.get(kind, ()):
        value: Any = obj
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        # MicroTime is parsed with the layout 2006-01-02T15:04:05.000000Z07:00, which wants exactly six digits.
        if value is not None and not (isinstance(value, str) and _MICRO_TIME.fullmatch(value)):
            raise _unreadable(kind, f'parsing time "{value}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse')


def _unreadable(kind: str, problem: str) -> Exception:
    return failure(400, f'{kind} in version "v1" cannot be handled as a {kind}: {problem}')


_cluster_ips = (str(address) for address in itertools.islice(ipaddress.ip_network("10.96.0.0/12").hosts(), 10, None))


def _complete_service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] != "ExternalName":
        if not spec.get("clusterIP"):
            spec["clusterIP"] = next(_cluster_ips)
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
    obj.setdefault("status", {"loadBalancer": {}})
    fitted(obj, None)


def _event_problems(new: Object, old: Object | None) -> Iterator[Cause]:
    yield from _event_field_problems(new)
    series = new.get("series")
    if series is not None:
        if series.get("count", 0) < 2:
            yield wrong("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            yield required("series.lastObservedTime")
    for field in _EVENT_FIXED if old is not None else ():
        if old is not None and new.get(field) != old.get(field):
            yield wrong(field, new.get(field), "field is immutable")


def _event_field_problems(new: Object) -> Iterator[Cause]:
    if (new.get("regarding") or {}).get("namespace", "default") != new["metadata"]["namespace"]:
        yield wrong("involvedObject.namespace", new.get("regarding"), "does not match event.namespace")
    for field in ("eventTime", "reportingController", "reportingInstance", "action", "reason"):
        if not new.get(field):
            yield required(field)
    if new.get("reportingController") and not QUALIFIED.fullmatch(new["reportingController"]):
        yield wrong("reportingController", new["reportingController"], "must be a qualified name")
    for field, limit in _MAX_LENGTHS.items():
        if len((new.get(field) or "").encode()) > limit:
            yield Cause(field, "FieldValueInvalid", f'Invalid value: "": can have at most {limit} characters')
    if new.get("type") not in {"Normal", "Warning"}:
        yield wrong("type", "", f"has invalid value: {new.get('type')}")
    for field in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount", "deprecatedSource"):
        if new.get(field):
            yield wrong(field.removeprefix("deprecated"), new[field], "needs to be unset")


def _lease_problems(new: Object) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    if spec.get("leaseDurationSeconds") is not None and spec["leaseDurationSeconds"] <= 0:
        yield wrong("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
    if spec.get("leaseTransitions") is not None and spec["leaseTransitions"] < 0:
        yield wrong("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")
    # Servers that know coordinated leader election refuse it; others take it.
    if spec.get("holderIdentity") == "":
        yield wrong("spec.holderIdentity", "", "must not be empty")
