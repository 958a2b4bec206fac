"""Plain values (of a manifest, or of a JSON reply) into the structs of ``router.objects``, or a refusal that a user can act on.

What is checked is the shape: that every field which the router reads has the type it has in the API, as the API server
checks it too. What a value means, and whether it is allowed, is admission's to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from router.objects import cis
from router.objects.cis import TransportServer
from router.objects.config_map import ConfigMap
from router.objects.core import Service
from router.objects.credential import SECRET_KIND, Credential
from router.objects.discovery import EndpointSlice
from router.objects.gateway import GROUP as GATEWAY_GROUP
from router.objects.gateway import Gateway, GatewayClass, HttpRoute, ListenerSet, ReferenceGrant, TcpRoute, TlsRoute
from router.objects.kinds import KubernetesObject
from router.objects.namespace import Namespace
from router.objects.portclaim import PortClaim
from router.objects.porter import CLAIM_KIND, GROUP, VERSION, TransportServerClaim
from router.objects.route import Route
from router.objects.secret import Secret, credential_of
from router.objects.tcp_route_policy import POLICY_GROUP, POLICY_KIND, POLICY_VERSION, TcpRoutePolicy, UnreadPolicy
from router.shapes import converter

API_VERSIONS: dict[str, tuple[str, type[KubernetesObject]]] = {
    "Route": ("route.openshift.io/v1", Route),
    "Service": ("v1", Service),
    "EndpointSlice": ("discovery.k8s.io/v1", EndpointSlice),
    "PortClaim": ("tcp-router.openshift.io/v1alpha1", PortClaim),
    "Namespace": ("v1", Namespace),
    "ConfigMap": ("v1", ConfigMap),
    CLAIM_KIND: (f"{GROUP}/{VERSION}", TransportServerClaim),
    cis.KIND: (f"{cis.GROUP}/{cis.VERSION}", TransportServer),
    SECRET_KIND: ("v1", Credential),
    "GatewayClass": (f"{GATEWAY_GROUP}/v1", GatewayClass),
    "Gateway": (f"{GATEWAY_GROUP}/v1", Gateway),
    "ListenerSet": (f"{GATEWAY_GROUP}/v1", ListenerSet),
    "TCPRoute": (f"{GATEWAY_GROUP}/v1", TcpRoute),
    "TLSRoute": (f"{GATEWAY_GROUP}/v1", TlsRoute),
    "ReferenceGrant": (f"{GATEWAY_GROUP}/v1", ReferenceGrant),
    "HTTPRoute": (f"{GATEWAY_GROUP}/v1", HttpRoute),
    POLICY_KIND: (f"{POLICY_GROUP}/{POLICY_VERSION}", TcpRoutePolicy),
}
"""The kinds that the router reads, in the versions in which they are written."""
OLDER: Mapping[str, frozenset[str]] = {
    kind: frozenset(f"{GATEWAY_GROUP}/{version}" for version in versions)
    for kind, versions in {
        "GatewayClass": ("v1beta1",), "Gateway": ("v1beta1",), "HTTPRoute": ("v1beta1",), "ReferenceGrant": ("v1beta1",),
        "TCPRoute": ("v1alpha2",), "TLSRoute": ("v1alpha3", "v1alpha2"),
    }.items()
}  # fmt: skip
"""Older versions of the same form, which clusters serve, too, or instead."""

_read_secret = converter(Secret)
_read_unread = converter(UnreadPolicy)
_CONVERTERS: Mapping[type, Callable[[object], Any]] = {
    **{kind: converter(kind) for _, kind in API_VERSIONS.values()},
    Credential: lambda value: credential_of(_read_secret(value)),
}

NAMESAKES = frozenset({"serving.knative.dev", "k8s.nginx.org", "networking.istio.io"})
"""API groups that have a Route, Service, TransportServer or Gateway of their own, which is none of ours."""

FieldPath = tuple[str | int, ...]
"""The way to a field: keys, and indices of lists."""

_Kind = TypeVar("_Kind", bound=KubernetesObject)

_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
_MSGSPEC_PATH = re.compile(r" - at `\$(?P<steps>[^`]*)`$")
_STEP = re.compile(r"\.([A-Za-z]+)|\[([0-9]+|\.\.\.)\]")
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_TYPE_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number with a fraction",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]+)`")
_MAX_SHOWN = 100
_MAX_WHOLE = 2.0**53
"""Below it every whole number is a float of its own."""
_MAX_NULLS_DEPTH = 16
"""No field that the router reads lies deeper."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a value is no object of its kind: ``problem`` is for a user, ``path`` leads to the field that it is about."""

    problem: str
    path: FieldPath = ()
    unquoted: str | None = None
    """For a number or boolean that stands where text belongs: how it is written."""
    meant: str | None = None
    """The text that a reader of annotations takes for that number or boolean; None where it is as written."""

    def __str__(self) -> str:
        """Give the whole sentence, with the field and, where that is all it takes, the way out."""
        subject = f"{_dotted(self.path)}: " if self.path else ""
        if self.unquoted is None:
            return f"{subject}{self.problem}"
        meant = self.meant or self.unquoted
        literally = f', or "{self.unquoted}" if that very text is meant' if meant != self.unquoted else ""
        return f'{subject}{self.unquoted} is {self.problem}; write "{meant}"{literally}'


def kind_of(value: Mapping[str, object]) -> type[KubernetesObject] | Misfit | None:
    """Say which kind a value claims to be, by its ``kind`` and ``apiVersion``.

    Returns:
        The struct type; None for kinds that the router does not read; a refusal where ``kind`` is missing or no text, or
        where the apiVersion is none that has this kind.
    """
    kind, version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        return Misfit("is missing or no text", ("kind",))
    if kind not in API_VERSIONS:
        return None
    expected, struct = API_VERSIONS[kind]
    if version == expected or version in OLDER.get(kind, ()):
        return struct
    if isinstance(version, str) and version.split("/")[0] in NAMESAKES:
        return None
    problem = "is missing" if version is None else f"{shown(version)} has no {kind}"
    return Misfit(f"{problem}; write {expected}", ("apiVersion",))


def decode(kind: type[_Kind], value: Mapping[str, object]) -> _Kind | Misfit:
    """Make the struct of an object.

    A null is taken for an absent field, as the API server takes it, but not as the value of an annotation or label. An
    empty namespace is ``default``. ``metadata.creationTimestamp`` becomes RFC 3339 in UTC with whole seconds.
    """
    try:
        return _finished(_converted(kind, value))
    except msgspec.ValidationError:
        pass  # once more without nulls: rare enough not to look for them in every object
    value = _without_nulls(value)
    try:
        return _finished(_converted(kind, value))
    except msgspec.ValidationError as error:
        explained = _explained(value, str(error))
        if kind is Credential and _MISSING.match(str(error)) is None:
            # Of what stands in a Secret nothing is told.
            return Misfit("has not the form of a Secret's", explained.path)
        return explained


def closed_policy(value: object, problem: str) -> TcpRoutePolicy | None:
    """Give what a TCPRoutePolicy that cannot be read is for: nothing is served by it, and to pass it over would let in whom it keeps out.

    Args:
        value: that of a manifest.
        problem: why it cannot be read.
    """
    if not isinstance(value, Mapping) or kind_of(value) is not TcpRoutePolicy:
        return None
    try:
        found = _finished(_read_unread(_without_nulls(value)).refused(problem))
    except (msgspec.ValidationError, TypeError):
        return None
    return None if isinstance(found, Misfit) else found


def utc_seconds(text: str) -> str | None:
    """Give an RFC 3339 time in UTC with whole seconds, as API servers write it; None where the text is no such time."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if match[1] is None and match[2] == "Z":
            return text
        return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
    except (ValueError, OverflowError):
        return None


def _converted(kind: type[_Kind], value: Mapping[str, object]) -> _Kind:
    converted: _Kind = _CONVERTERS[kind](value)
    return converted


def _finished(obj: _Kind) -> _Kind | Misfit:
    metadata = obj.metadata
    if not metadata.name:
        return Misfit("is missing", ("metadata", "name"))
    if not metadata.namespace:
        metadata = msgspec.structs.replace(metadata, namespace="default")
    if metadata.creation_timestamp is not None:
        created = utc_seconds(metadata.creation_timestamp)
        if created is None:
            problem = f"{shown(metadata.creation_timestamp)} is no time in the form 2025-01-31T09:30:00Z"
            return Misfit(problem, ("metadata", "creationTimestamp"))
        if created != metadata.creation_timestamp:
            metadata = msgspec.structs.replace(metadata, creation_timestamp=created)
    return obj if metadata is obj.metadata else msgspec.structs.replace(obj, metadata=metadata)


def _without_nulls(value: Mapping[str, object]) -> dict[str, object]:
    kept = {key: _pruned(member, 1) for key, member in value.items() if member is not None}
    metadata, pruned = value.get("metadata"), kept.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(pruned, dict):
        for key in ("annotations", "labels"):
            if metadata.get(key) is not None:
                pruned[key] = metadata[key]
    return kept


def _pruned(value: object, depth: int) -> object:
    if depth > _MAX_NULLS_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {key: _pruned(member, depth + 1) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_pruned(member, depth + 1) for member in value]
    return value


def _explained(value: Mapping[str, object], error: str) -> Misfit:
    """Put msgspec's message into words that name the place and the way out."""
    at = _MSGSPEC_PATH.search(error)
    path, found = _followed(value, at["steps"] if at else "")
    if of_field := _MISSING.match(error) or _UNKNOWN.match(error):
        problem = "is missing" if of_field.re is _MISSING else "is no field that is known"
        return Misfit(problem, (*path, of_field[1]))
    types = _EXPECTED.match(error)
    if types is None:
        return Misfit(error, path)
    expected = types[1].split(" | ")
    if isinstance(found, bool) and "str" in expected:
        return Misfit("a boolean", path, unquoted=shown(found), meant=_meant(path, found))
    if set(expected) <= {"str", "null"}:
        if isinstance(found, int | float):
            return Misfit("a number", path, unquoted=shown(found), meant=_meant(path, found))
        if found is None:
            return Misfit('null is no text; write "" for the empty text, or leave the key out', path)
    wanted = " or ".join(_TYPE_WORDS.get(name, name) for name in expected if name != "null")
    return Misfit(f"{shown(found)} is {_TYPE_WORDS.get(types[2], types[2])}, not {wanted}", path)


def _meant(path: FieldPath, found: float) -> str | None:
    """Give the text for a number or boolean of an annotation, whose reader knows decimal digits, true and false only."""
    if "annotations" not in path:
        return None
    is_whole = isinstance(found, float) and found.is_integer() and abs(found) < _MAX_WHOLE
    return shown(int(found) if is_whole else found)


def _followed(value: object, steps: str) -> tuple[FieldPath, object]:
    path: list[str | int] = []
    for name, index in _STEP.findall(steps):
        step: str | int
        if isinstance(value, Mapping):
            # msgspec does not tell which value of a mapping it refused; all such mappings have text for values.
            step = name or next((key for key, member in value.items() if not isinstance(member, str)), "")
            value = value.get(step)
        elif isinstance(value, list):
            step = int(index)
            value = value[step]
        else:
            break
        path.append(step)
    return tuple(path), value


def _dotted(path: FieldPath) -> str:
    """Write a path as users write it: ``spec.ports[0].port``, ``metadata.annotations["a.b/c"]``."""
    text = ""
    for step in path:
        if isinstance(step, str) and step.isalnum() and len(step) <= _MAX_SHOWN:
            text += f".{step}" if text else step
        else:
            text += f"[{shown(step)}]"
    return text


def shown(value: object) -> str:
    """Give a value as it would stand in JSON, on one line, cut where it is long."""
    if isinstance(value, Mapping):
        return "{...}"
    if isinstance(value, list):
        return "[...]"
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
