"""CustomResourceDefinitions, of Routes and of PortClaims: defaulting, pruning and validation as an API server does it with the schema.

Follows https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ for the parts of
structural schemas that these have. Their rules in CEL are few; each has its equivalent here, and a rule that has none fails
the load, so that a changed CRD is noticed.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kube.statuses import Cause

CRD_FILE = Path(__file__).parents[2].parent / "shared" / "crds" / "route.crd.yaml"
CLAIMS_FILE = Path(__file__).parents[2] / "manifests" / "crds" / "portclaims.yaml"
POLICIES_FILE = CLAIMS_FILE.with_name("tcproutepolicies.yaml")
SERVER_CLAIMS_FILE = CLAIMS_FILE.parent / "transport-server-claims" / "transportserverclaims.yaml"

Schema = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_END = re.compile(r"\$(?=[|)]|\Z)")
"""The end of a text in a pattern; elsewhere, among other characters, it is one of them."""
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_HEADER_FORMAT = (
    r"(?:%(?:%|(?:\{[-+]?[QXE](?:,[-+]?[QXE])*\})?\[(?:XXX\.hdr\([0-9A-Za-z-]+\)|ssl_c_der)(?:,(?:lower|base64))*\])"
    r"|[^%\[\x00-\x1f\x7f])+"
)


def _header_values(prefix: str) -> Callable[[Any], bool]:
    form = re.compile(_HEADER_FORMAT.replace("XXX", prefix))

    def holds(headers: Any) -> bool:
        return all(
            header["action"]["type"] == "Delete"
            or ("set" in header["action"] and form.fullmatch(header["action"]["set"]["value"]) is not None)
            for header in headers
        )

    return holds


def _is_not(name: str) -> Callable[[Any], bool]:
    return lambda header: header.lower() != name


_RULES: dict[str, Callable[[Any], bool]] = {
    "has(self.type) && self.type == 'Set' ? has(self.set) : !has(self.set)": lambda action: (
        (action.get("type") == "Set") is ("set" in action)
    ),
    "self.lowerAscii() != 'strict-transport-security'": _is_not("strict-transport-security"),
    "self.lowerAscii() != 'proxy'": _is_not("proxy"),
    "self.lowerAscii() != 'cookie'": _is_not("cookie"),
    "self.lowerAscii() != 'set-cookie'": _is_not("set-cookie"),
    "!(has(self.certificate) && has(self.externalCertificate))": lambda tls: (
        not ("certificate" in tls and "externalCertificate" in tls)
    ),
    "has(self.termination) && has(self.insecureEdgeTerminationPolicy) ? !((self.termination=='passthrough') && "
    "(self.insecureEdgeTerminationPolicy=='Allow')) : true": lambda tls: (
        (tls.get("termination"), tls.get("insecureEdgeTerminationPolicy")) != ("passthrough", "Allow")
    ),
    "!has(self.tls) || self.tls.termination != 'passthrough' || !has(self.httpHeaders)": lambda spec: (
        spec.get("tls", {}).get("termination") != "passthrough" or "httpHeaders" not in spec
    ),
    "self.port > 0 || self.host != ''": lambda spec: spec["port"] > 0 or spec["host"] != "",
    "self.origin == 'Reserved' || (has(self.holder) && self.holder.name != '')": lambda spec: (
        spec["origin"] == "Reserved" or spec.get("holder", {}).get("name", "") != ""
    ),
    "!has(self.portEnd) || (self.origin == 'Reserved' && self.host == '' && self.portEnd >= self.port)": lambda spec: (
        "portEnd" not in spec
        or (spec["origin"] == "Reserved" and spec["host"] == "" and spec["portEnd"] >= spec["port"])
    ),
    "(self.name == '') == (self.kind == '')": lambda holder: (holder["name"] == "") is (holder["kind"] == ""),
    "!has(self.sectionName) || self.kind in ['Gateway', 'ListenerSet']": lambda ref: (
        "sectionName" not in ref or ref["kind"] in {"Gateway", "ListenerSet"}
    ),
    "has(self.ca) || !has(self.crl)": lambda clients: "ca" in clients or "crl" not in clients,
    "self.targetRefs.all(target, target.kind in ['Gateway', 'ListenerSet']) || !(has(self.tls) || has(self.clientCertificates) || "
    "(has(self.timeouts) && has(self.timeouts.client)) || (has(self.limits) && has(self.limits.maxConnections)) || "
    "(has(self.proxyProtocol) && has(self.proxyProtocol.accept)))": lambda spec: (
        all(target["kind"] in {"Gateway", "ListenerSet"} for target in spec["targetRefs"])
        or not (
            "tls" in spec
            or "clientCertificates" in spec
            or "client" in spec.get("timeouts", {})
            or "maxConnections" in spec.get("limits", {})
            or "accept" in spec.get("proxyProtocol", {})
        )
    ),
    "self.name == '' || self.namespace != ''": lambda holder: holder["name"] == "" or holder["namespace"] != "",
}


def _rule(text: str) -> Callable[[Any], bool]:
    words = " ".join(text.split())
    if words.startswith("self.all(key, key.action.type"):
        return _header_values("req" if "req\\\\.hdr" in words else "res")
    if words not in _RULES:
        raise NotImplementedError(f"a CRD has a rule without equivalent here: {words}")
    return _RULES[words]


_IMMUTABLE = "self == oldSelf"
"""A rule about a change: an API server asks it where the field was there before and is there after."""


class CustomSchema:
    """What a CRD says of its objects.

    Args:
        document: the CRD.
        asks_rules: whether its rules in CEL are asked, too.
    """

    def __init__(self, document: dict[str, Any], *, asks_rules: bool = True) -> None:
        self.document = document if asks_rules else _without_rules(document)
        version = next(each for each in self.document["spec"]["versions"] if each["name"] in {"v1", "v1alpha1"})
        schema: Schema = version["schema"]["openAPIV3Schema"]
        # apiVersion, kind and metadata are every object's; what they hold is not the schema's to say.
        self._schema = {**schema, "properties": {**schema["properties"], "metadata": {"type": "object", "x-any": True}}}
        for rule in _rules_of(self._schema):
            if rule != _IMMUTABLE:
                _rule(rule)

    def completed(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Give an object without unknown fields, and with defaults for those that are absent or null."""
        completed = copy.deepcopy(obj)
        _prune(completed, self._schema)
        _default(completed, self._schema)
        return completed

    def unknown_fields(self, obj: dict[str, Any]) -> list[str]:
        """Give the paths of fields that the schema does not have."""
        return _prune(copy.deepcopy(obj), self._schema)

    def problems(self, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[Cause]:
        """Give what is wrong with a completed object, that is new or takes the place of an old one; nothing where it is valid.

        The rules in CEL are asked only where the schema itself is content, as the API server does.
        """
        return list(_problems(obj, self._schema, "")) or list(_broken_rules(obj, self._schema, "", old))


@functools.cache
def route_schema() -> CustomSchema:
    """Read the CRD of Routes, which lies beside the checkout.

    Without it the calling test is skipped, or fails where ``CI`` is ``true``.
    """
    if not CRD_FILE.is_file():
        message = f"needs the CRD of Routes: {CRD_FILE}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return CustomSchema(yaml.safe_load(CRD_FILE.read_text(encoding="utf-8")))


@functools.cache
def claims_schema() -> CustomSchema:
    """Read the CRD of PortClaims."""
    return CustomSchema(yaml.safe_load(CLAIMS_FILE.read_text(encoding="utf-8")))


@functools.cache
def policies_schema() -> CustomSchema:
    """Read the CRD of TCPRoutePolicies."""
    return CustomSchema(yaml.safe_load(POLICIES_FILE.read_text(encoding="utf-8")))


@functools.cache
def server_claims_schema() -> CustomSchema:
    """Read the CRD of TransportServerClaims."""
    return CustomSchema(yaml.safe_load(SERVER_CLAIMS_FILE.read_text(encoding="utf-8")))


@functools.cache
def gateway_schema(plural: str) -> CustomSchema:
    """Read a CRD of the Gateway API, which lies beside the checkout, without its rules in CEL; where it is missing as with Routes."""
    path = CRD_FILE.with_name(f"gateway.networking.k8s.io_{plural}.yaml")
    if not path.is_file():
        route_schema()
        pytest.skip(f"needs the CRD {path}")
    return CustomSchema(yaml.safe_load(path.read_text(encoding="utf-8")), asks_rules=False)


_GATEWAY_PLURALS = {
    "GatewayClass": "gatewayclasses",
    "Gateway": "gateways",
    "ListenerSet": "listenersets",
    "TCPRoute": "tcproutes",
    "TLSRoute": "tlsroutes",
    "HTTPRoute": "httproutes",
    "ReferenceGrant": "referencegrants",
}


def schema_of(kind: str) -> CustomSchema | None:
    """Give the schema of a kind, None where it is no custom one."""
    if kind in _GATEWAY_PLURALS:
        return gateway_schema(_GATEWAY_PLURALS[kind])
    read = {
        "Route": route_schema,
        "PortClaim": claims_schema,
        "TCPRoutePolicy": policies_schema,
        "TransportServerClaim": server_claims_schema,
    }.get(kind)
    return read() if read is not None else None


def _without_rules(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_rules(each) for key, each in part.items() if key != "x-kubernetes-validations"}
    return [_without_rules(each) for each in part] if isinstance(part, list) else part


def _children(value: Any, schema: Schema, path: str) -> Iterator[tuple[Any, Schema, str]]:
    if isinstance(value, dict):
        for key, member in schema.get("properties", {}).items():
            if key in value:
                yield value[key], member, f"{path}.{key}" if path else key
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield item, schema["items"], f"{path}[{index}]"


def _prune(value: Any, schema: Schema, path: str = "") -> list[str]:
    pruned = []
    if isinstance(value, dict) and not schema.get("x-any") and "additionalProperties" not in schema:
        for key in [key for key in value if key not in schema.get("properties", {})]:
            del value[key]
            pruned.append(f"{path}.{key}" if path else key)
    for child in _children(value, schema, path):
        pruned.extend(_prune(*child))
    return pruned


def _default(value: Any, schema: Schema) -> None:
    if isinstance(value, dict):
        for key, member in schema.get("properties", {}).items():
            if "default" in member and value.get(key) is None:
                value[key] = copy.deepcopy(member["default"])
            elif key in value and value[key] is None and not member.get("nullable"):
                del value[key]
    for child, member, _ in _children(value, schema, ""):
        _default(child, member)


def _quoted(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _problems(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    wrong = _wrong_type(value, schema)
    if wrong is not None:
        message = f'Invalid value: "{_type_name(value)}": {path} in body must be of type {wrong}: "{_type_name(value)}"'
        yield Cause(path, "FieldValueTypeInvalid", message)
        return
    if "enum" in schema and value not in schema["enum"]:
        known = ", ".join(_quoted(member) for member in schema["enum"])
        yield Cause(path, "FieldValueNotSupported", f"Unsupported value: {_quoted(value)}: supported values: {known}")
    if isinstance(value, str):
        yield from _text_problems(value, schema, path)
    elif isinstance(value, list):
        yield from _list_problems(value, schema, path)
    elif isinstance(value, dict):
        for key in schema.get("required", ()):
            if key not in value:
                yield Cause(f"{path}.{key}" if path else key, "FieldValueRequired", "Required value")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_problems(value, schema, path)
    yield from _combined_problems(value, schema, path)
    for child in _children(value, schema, path):
        yield from _problems(*child)


def _wrong_type(value: Any, schema: Schema) -> str | None:
    if schema.get("x-kubernetes-int-or-string"):
        return None if isinstance(value, str | int) and not isinstance(value, bool) else "integer,string"
    name: str | None = schema.get("type")
    if name is None or (value is None and schema.get("nullable")):
        return None
    if isinstance(value, bool) and name != "boolean":
        return name
    return None if isinstance(value, _TYPES[name]) else name


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(name for name, types in _TYPES.items() if isinstance(value, types))


def _text_problems(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    shown = _quoted(value)
    if len(value) > schema.get("maxLength", len(value)):
        bound = schema["maxLength"]
        yield Cause(path, "FieldValueTooLong", f"Too long: may not be more than {bound} bytes")
    if len(value) < schema.get("minLength", 0):
        said = f"Invalid value: {shown}: {path} in body should be at least {schema['minLength']} chars long"
        yield Cause(path, "FieldValueInvalid", said)
    if "pattern" in schema and not re.search(_END.sub(r"\\Z", schema["pattern"]), value):
        said = f"Invalid value: {shown}: {path} in body should match '{schema['pattern']}'"
        yield Cause(path, "FieldValueInvalid", said)
    if schema.get("format") == "date-time" and not _DATE_TIME.fullmatch(value):
        said = f"Invalid value: {shown}: {path} in body must be of type date-time: {shown}"
        yield Cause(path, "FieldValueInvalid", said)


def _number_problems(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    if value < schema.get("minimum", value):
        said = f"{path} in body should be greater than or equal to {schema['minimum']}"
        yield Cause(path, "FieldValueInvalid", f"Invalid value: {value}: {said}")
    if value > schema.get("maximum", value):
        said = f"{path} in body should be less than or equal to {schema['maximum']}"
        yield Cause(path, "FieldValueInvalid", f"Invalid value: {value}: {said}")


def _list_problems(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxItems", len(value)):
        said = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        yield Cause(path, "FieldValueTooMany", said)
    if schema.get("x-kubernetes-list-type") == "map":
        seen = []
        for index, item in enumerate(value):
            keys = (
                {key: item.get(key) for key in schema["x-kubernetes-list-map-keys"]} if isinstance(item, dict) else {}
            )
            if keys in seen:
                yield Cause(f"{path}[{index}]", "FieldValueDuplicate", f"Duplicate value: {_quoted(keys)}")
            seen.append(keys)


def _combined_problems(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    for part in schema.get("allOf") or ():
        yield from _problems(value, part, path)
    # openshift/api writes anyOf: null beside x-kubernetes-int-or-string; it says nothing.
    parts = schema.get("anyOf") or ()
    if parts and not any(not list(_problems(value, part, path)) for part in parts):
        said = f"Invalid value: {_quoted(value)}: {path} in body must validate at least one schema (anyOf)"
        yield Cause(path, "FieldValueInvalid", said)
    if "not" in schema and not list(_problems(value, schema["not"], path)):
        said = f"Invalid value: {_quoted(value)}: {path} in body must not validate the schema (not)"
        yield Cause(path, "FieldValueInvalid", said)


def _broken_rules(value: Any, schema: Schema, path: str, old: Any) -> Iterator[Cause]:
    for validation in schema.get("x-kubernetes-validations", ()):
        rule = validation["rule"]
        if not ((old is None or value == old) if rule == _IMMUTABLE else _rule(rule)(value)):
            message = " ".join(validation["message"].split())
            yield Cause(path, "FieldValueInvalid", f'Invalid value: "{_type_name(value)}": {message}')
    for child, member, child_path in _children(value, schema, path):
        yield from _broken_rules(child, member, child_path, _member(old, child_path))


def _member(old: Any, path: str) -> Any:
    """Give what was at the last step of a path. Items of lists have no former value: which it would be, only their keys say."""
    return old.get(path.rpartition(".")[2]) if isinstance(old, dict) else None


def _rules_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, member in schema.items():
            if key == "x-kubernetes-validations":
                yield from (validation["rule"] for validation in member)
            else:
                yield from _rules_of(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from _rules_of(member)
