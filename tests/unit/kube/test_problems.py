"""From HTTP answers to errors that tell what to do."""

from __future__ import annotations

import json

import pytest

from router.errors import ApiBusy, ApiConflict, ApiDenied, ApiError, ApiForbidden, ApiInvalid
from router.kube.problems import error_of, permission, retry_after_s


@pytest.mark.parametrize(
    ("method", "path", "is_watch", "verb", "resource"),
    [
        ("GET", "/api/v1/services", False, "list", "services"),
        ("GET", "/api/v1/services", True, "watch", "services"),
        ("GET", "/api/v1/namespaces", True, "watch", "namespaces"),
        ("GET", "/api/v1/namespaces/team", False, "get", "namespaces"),
        ("GET", "/api/v1/namespaces/team/endpoints", False, "list", "endpoints in namespace team"),
        ("GET", "/apis/route.openshift.io/v1/routes", False, "list", "routes.route.openshift.io"),
        (
            "PATCH",
            "/apis/route.openshift.io/v1/namespaces/team/routes/db/status",
            False,
            "patch",
            "routes.route.openshift.io/status in namespace team",
        ),
        (
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/x/leases/tcp-router",
            False,
            "update",
            "leases.coordination.k8s.io in namespace x",
        ),
        ("POST", "/apis/events.k8s.io/v1/namespaces/x/events", False, "create", "events.events.k8s.io in namespace x"),
    ],
)
def test_the_missing_permission_is_named(method: str, path: str, *, is_watch: bool, verb: str, resource: str) -> None:
    """Verb and resource are those that a rule in RBAC must have, and the file that grants them is named."""
    assert permission(method, path, is_watch=is_watch) == (verb, resource)
    error = error_of(method, path, 403, b'{"message": "no"}', is_watch=is_watch)
    assert isinstance(error, ApiForbidden)
    assert f"the permission to {verb} {resource} is missing" in str(error)
    assert "manifests/base/rbac.yaml" in str(error)


@pytest.mark.parametrize(
    "message",
    [
        'services "front" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=2',
        'admission webhook "policy.example.com" denied the request: no',
    ],
)
def test_what_is_denied_is_no_missing_permission(message: str) -> None:
    """Quotas and webhooks answer 403 as well, to who has the right; what they say is kept."""
    body = json.dumps({"message": message}).encode()
    error = error_of("PATCH", "/api/v1/namespaces/x/services/front", 403, body)
    assert isinstance(error, ApiDenied)
    assert "permission" not in str(error)
    assert error.said == message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("7", 7.0),
        ("86400", 120.0),
        ("9" * 400, 120.0),
        ("Thu, 01 Jan 1970 09:00:00 GMT", 120.0),
        ("Tue, 01 Jan 999999999999 00:00:00 GMT", None),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after(value: str | None, expected: float | None) -> None:
    """Both forms of RFC 9110 are read, the past is now, hours are minutes, and anything else is as if it were not there."""
    assert retry_after_s(value, now_s=60.0) == expected


@pytest.mark.parametrize(
    ("status", "kind"), [(409, ApiConflict), (422, ApiInvalid), (503, ApiBusy), (302, ApiError), (418, ApiError)]
)
def test_statuses_have_their_errors(status: int, kind: type[ApiError]) -> None:
    """Each status has its exception, and knows its number."""
    error = error_of("PUT", "/x", status, b"")
    assert type(error) is kind
    assert error.status == status


def test_what_is_no_status_is_shown_in_short() -> None:
    """A page of a proxy is cut, on one line, whatever its bytes are."""
    text = str(error_of("GET", "/x", 502, b"<html>\n\xff" + b"x" * 1000))
    assert "\n" not in text
    assert len(text) < 400
