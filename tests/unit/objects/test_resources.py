"""Kubernetes objects: what plain values become, and why some are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.objects.core import Service, ServicePort
from router.objects.decoding import Misfit, decode, kind_of, utc_seconds
from router.objects.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from router.objects.kinds import KubernetesObject
from router.objects.meta import ObjectKey
from router.objects.route import Route, RoutePort, RouteTarget, RouteTLS


def _route(metadata: dict[str, Any] | None = None, **fields: Any) -> Route | Misfit:
    return decode(Route, {"metadata": {"name": "web", **(metadata or {})}, **fields})


def _accepted(obj: Route | Misfit) -> Route:
    assert isinstance(obj, Route)
    return obj


def test_route_fields() -> None:
    """The fields of a Route are read under their Kubernetes names, others passed over."""
    obj = _accepted(
        _route(
            {"namespace": "team", "annotations": {"a": "b"}, "creationTimestamp": "2025-01-31T09:30:00Z"},
            spec={
                "to": {"kind": "Service", "name": "web", "weight": 7},
                "alternateBackends": [{"kind": "Service", "name": "spare"}],
                "port": {"targetPort": "tcp"},
                "tls": {"termination": "passthrough", "insecureEdgeTerminationPolicy": "None"},
                "httpHeaders": {"actions": {}},
            },
        )
    )
    assert obj.key == ObjectKey("team", "web")
    assert obj.metadata.annotations == {"a": "b"}
    assert obj.metadata.creation_timestamp == "2025-01-31T09:30:00Z"
    assert obj.spec.to == RouteTarget("web", weight=7)
    assert obj.spec.alternate_backends == (RouteTarget("spare"),)
    assert obj.spec.port == RoutePort("tcp")
    assert obj.spec.tls == RouteTLS("passthrough", "None")


def test_service_fields() -> None:
    """The fields of a Service are read, those with capitals inside too."""
    value = {
        "metadata": {"name": "db", "namespace": "team"},
        "spec": {
            "clusterIP": "10.1.2.3",
            "clusterIPs": ["10.1.2.3"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"port": 5432, "targetPort": "pg"}],
            "sessionAffinity": "ClientIP",
        },
    }
    obj = decode(Service, value)
    assert isinstance(obj, Service)
    assert (obj.spec.cluster_ip, obj.spec.cluster_ips) == ("10.1.2.3", ("10.1.2.3",))
    assert obj.spec.ports == (ServicePort(5432, target_port="pg"),)
    assert obj.spec.session_affinity == "ClientIP"
    assert obj.spec.ip_families == ("IPv4", "IPv6")


def test_slice_fields() -> None:
    """The fields of an EndpointSlice are read, and its Service is the one of its label."""
    value = {
        "metadata": {"name": "db-x", "namespace": "team", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv6",
        "endpoints": [{"addresses": ["fd00::1"], "conditions": {"ready": False, "terminating": True, "serving": None}}],
        "ports": [{"name": None, "port": 5432, "protocol": None}],
    }
    obj = decode(EndpointSlice, value)
    assert isinstance(obj, EndpointSlice)
    assert obj.service == ObjectKey("team", "db")
    assert obj.endpoints == (Endpoint(("fd00::1",), EndpointConditions(ready=False, terminating=True)),)
    assert obj.ports == (EndpointPort(port=5432),)


def test_slice_without_label_belongs_to_no_service() -> None:
    """A slice without the label has the empty name for its Service, which no Service has."""
    obj = decode(EndpointSlice, {"metadata": {"name": "x"}})
    assert isinstance(obj, EndpointSlice)
    assert obj.service == ObjectKey("default", "")


@pytest.mark.parametrize("namespace", [{}, {"namespace": ""}, {"namespace": None}], ids=["absent", "empty", "null"])
def test_namespace_defaults(namespace: dict[str, Any]) -> None:
    """Without a namespace an object is in ``default``, as with kubectl."""
    assert _accepted(_route(namespace)).key == ObjectKey("default", "web")


def test_null_is_absent() -> None:
    """A null counts as an absent field, as it does for the API server."""
    nulls = _route({"labels": None, "uid": None}, spec={"to": {"name": "web", "kind": None}, "host": None}, status=None)
    assert nulls == _route(spec={"to": {"name": "web"}})


@pytest.mark.parametrize(
    ("metadata", "fields", "problem"),
    [
        pytest.param(
            {"annotations": {"fine": "x", "haproxy.router.openshift.io/external-tcp-port": 6620}},
            {},
            'metadata.annotations["haproxy.router.openshift.io/external-tcp-port"]: 6620 is a number; write "6620"',
            id="number in annotation",
        ),
        pytest.param(
            {"annotations": {"on": True}},
            {},
            'metadata.annotations.on: true is a boolean; write "true"',
            id="boolean in annotation",
        ),
        pytest.param(
            {"labels": {"tier": 1.5}}, {}, 'metadata.labels.tier: 1.5 is a number; write "1.5"', id="number in label"
        ),
        pytest.param(
            {"annotations": {"a": None}},
            {},
            'metadata.annotations.a: null is no text; write "" for the empty text, or leave the key out',
            id="null in annotation",
        ),
        pytest.param(
            {"annotations": {"a": ["x"]}},
            {},
            "metadata.annotations.a: [...] is a list, not text",
            id="list in annotation",
        ),
        pytest.param(
            {"annotations": "x"}, {}, 'metadata.annotations: "x" is text, not a mapping', id="text for a mapping"
        ),
        pytest.param({"name": ""}, {}, "metadata.name: is missing", id="empty name"),
        pytest.param({"name": None}, {}, "metadata.name: is missing", id="null for a name"),
        pytest.param({"name": 5}, {}, 'metadata.name: 5 is a number; write "5"', id="number for a name"),
        pytest.param({}, {"spec": {"port": {}}}, "spec.port.targetPort: is missing", id="required field missing"),
        pytest.param(
            {},
            {"spec": {"port": {"targetPort": 5.5}}},
            "spec.port.targetPort: 5.5 is a number with a fraction, not a whole number or text",
            id="fraction for a port",
        ),
        pytest.param(
            {},
            {"spec": {"alternateBackends": [{"name": "a"}, {"name": "b", "weight": "5"}]}},
            'spec.alternateBackends[1].weight: "5" is text, not a whole number',
            id="text for a number in a list",
        ),
        pytest.param({}, {"spec": []}, "spec: [...] is a list, not a mapping", id="list for a mapping"),
        pytest.param(
            {"creationTimestamp": "2025-02-30T00:00:00Z"},
            {},
            'metadata.creationTimestamp: "2025-02-30T00:00:00Z" is no time in the form 2025-01-31T09:30:00Z',
            id="no such day",
        ),
    ],
)
def test_wrong_shapes(metadata: dict[str, Any], fields: dict[str, Any], problem: str) -> None:
    """A field of a wrong type refuses the object, and the problem names field, value and way out."""
    refused = _route(metadata, **fields)
    assert isinstance(refused, Misfit)
    assert str(refused) == problem


def test_long_value_is_cut() -> None:
    """A huge value does not make a huge message."""
    refused = _route({"annotations": "x" * 100_000})
    assert isinstance(refused, Misfit)
    assert len(str(refused)) < 200


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        pytest.param("2025-01-31T09:30:00Z", "2025-01-31T09:30:00Z", id="as API servers write it"),
        pytest.param("2025-01-31T09:30:00.999Z", "2025-01-31T09:30:00Z", id="fraction"),
        pytest.param("2025-01-31T01:30:00+02:00", "2025-01-30T23:30:00Z", id="another zone"),
        pytest.param("2025-01-31", None, id="no time of day"),
        pytest.param("2025-01-31 09:30:00", None, id="a space for the T"),
        pytest.param("2025-01-31T09:30:00", None, id="no zone"),
        pytest.param("2025-13-31T09:30:00Z", None, id="month 13"),
        pytest.param("0001-01-01T00:00:00+02:00", None, id="before the calendar"),
        pytest.param("\u0662025-01-31T09:30:00Z", None, id="digit of another script"),
        pytest.param("2025-01-31T09:30:00Z\n", None, id="newline behind"),
        pytest.param("", None, id="empty"),
    ],
)
def test_utc_seconds(text: str, utc: str | None) -> None:
    """RFC 3339 times become UTC with whole seconds; all else is no time."""
    assert utc_seconds(text) == utc


@given(st.datetimes(), st.datetimes())
def test_times_compare_as_text(one: Any, other: Any) -> None:
    """Canonical times sort as text as they do in time."""
    texts = [utc_seconds(moment.isoformat() + "Z") for moment in (one, other)]
    assert None not in texts
    first, second = (text or "" for text in texts)
    assert (first < second) == (one.replace(microsecond=0) < other.replace(microsecond=0))


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        pytest.param("route.openshift.io/v1", "Route", Route, id="Route"),
        pytest.param("v1", "Service", Service, id="Service"),
        pytest.param("discovery.k8s.io/v1", "EndpointSlice", EndpointSlice, id="EndpointSlice"),
        pytest.param("apps/v1", "Deployment", None, id="another kind"),
        pytest.param("serving.knative.dev/v1", "Service", None, id="Service of Knative"),
        pytest.param(
            "v1", "Route", 'apiVersion: "v1" has no Route; write route.openshift.io/v1', id="Route of OpenShift 3"
        ),
        pytest.param(
            "discovery.k8s.io/v1beta1",
            "EndpointSlice",
            'apiVersion: "discovery.k8s.io/v1beta1" has no EndpointSlice; write discovery.k8s.io/v1',
            id="version that is gone",
        ),
        pytest.param(None, "Route", "apiVersion: is missing; write route.openshift.io/v1", id="no version"),
        pytest.param("v1", None, "kind: is missing or no text", id="no kind"),
        pytest.param("v1", ["Route"], "kind: is missing or no text", id="list for a kind"),
    ],
)
def test_kind_of(version: object, kind: object, expected: type[KubernetesObject] | str | None) -> None:
    """Kinds are known by kind and apiVersion; other kinds are passed over, unknown versions refused with a hint."""
    found = kind_of({"apiVersion": version, "kind": kind})
    assert (str(found) if isinstance(found, Misfit) else found) == expected


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from(("name", "namespace", "annotations", "labels", "creationTimestamp"))


@given(
    st.sampled_from((Route, Service, EndpointSlice)),
    st.dictionaries(_fields, _json),
    st.dictionaries(st.sampled_from(("to", "host", "port", "ports", "tls", "alternateBackends")), _json) | _json,
    _json,
)
def test_any_value_is_decoded_or_refused(
    kind: type[KubernetesObject], metadata: dict[str, object], spec: object, rest: object
) -> None:
    """Whatever JSON stands in the fields, the outcome is an object with a name or a refusal on one line."""
    found = decode(kind, {"metadata": metadata, "spec": spec, "endpoints": rest, "ports": rest, "status": rest})
    if isinstance(found, Misfit):
        assert str(found).isprintable()
    else:
        assert found.key.name
        assert found.key.namespace
