"""What an API server's refusal means: from an HTTP status and body to an ``ApiError`` that tells what to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from router.errors import (
    ApiBusy,
    ApiConflict,
    ApiDenied,
    ApiError,
    ApiForbidden,
    ApiGone,
    ApiInvalid,
    ApiNotFound,
    ApiUnauthorized,
)
from router.shapes import reader

GRANTING_FILE = "manifests/base/rbac.yaml"
"""Where the ClusterRole of the router stands."""

_KINDS: Mapping[int, type[ApiError]] = {
    401: ApiUnauthorized,
    403: ApiForbidden,
    404: ApiNotFound,
    409: ApiConflict,
    410: ApiGone,
    422: ApiInvalid,
}
_FORBIDDEN = 403
_DENIALS = ("exceeded quota", "denied the request")
"""What quotas and admission webhooks say (kubernetes, plugin/resourcequota and apiserver, admission/plugin/webhook/errors)."""
_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_MAX_SHOWN = 300
LONGEST_ASKED_S = 120.0
"""A Retry-After that is longer is taken for this: a proxy's page of maintenance must not keep the router away for hours."""
_WRITING_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    """The field read of meta/v1 StatusDetails."""

    retry_after_seconds: int | None = None


class Status(msgspec.Struct, frozen=True):
    """The fields read of meta/v1 Status, which API servers answer with when they refuse."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


_read_status = reader(Status)


def error_of(  # noqa: PLR0913 - what is asked and what is answered
    method: str, path: str, status: int, body: bytes, *, retry_after: str | None = None, is_watch: bool = False
) -> ApiError:
    """Give the exception for an answer that is none of success.

    Args:
        method: of the request.
        path: of the request, without the query.
        status: of HTTP, or the ``code`` of an ``ERROR`` event.
        body: a Status as JSON, or whatever a proxy wrote.
        retry_after: the header of that name; on a stream, which has none, the Status may say the same.
        is_watch: whether the request was a watch, which needs a permission of its own.
    """
    asked = f"{'WATCH' if is_watch else method} {path}"
    said = _said(body)
    answer = f"{asked}: {status} {said}".rstrip()
    if status == _TOO_MANY_REQUESTS or status >= _SERVER_ERRORS:
        error: ApiError = ApiBusy(
            answer, status, retry_after_s(retry_after) if retry_after is not None else _asked_to_wait_s(body)
        )
    elif status == _FORBIDDEN and any(sign in said for sign in _DENIALS):
        error = ApiDenied(answer, status)
    elif status == _FORBIDDEN:
        verb, resource = permission(method, path, is_watch=is_watch)
        error = ApiForbidden(
            f"{asked}: 403, the permission to {verb} {resource} is missing; {GRANTING_FILE} grants it ({said})",
            status,
        )
    else:
        error = _KINDS.get(status, ApiError)(answer, status)
    error.said = said
    return error


def permission(method: str, path: str, *, is_watch: bool) -> tuple[str, str]:
    """Give verb and resource of the RBAC rule that a request needs.

    The resource is written as RBAC messages write it, ``routes.route.openshift.io/status in namespace x``
    (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb).
    """
    parts = path.strip("/").split("/")
    group, parts = ("", parts[2:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[3:])
    namespace = ""
    if len(parts) > 2 and parts[0] == "namespaces":  # noqa: PLR2004 - /namespaces/x/RESOURCE, not /namespaces/x
        namespace, parts = parts[1], parts[2:]
    resource, name, subresource = (*parts, "", "", "")[:3]
    verb = _WRITING_VERBS.get(method) or ("watch" if is_watch else "get" if name else "list")
    written = resource + (f".{group}" if group else "") + (f"/{subresource}" if subresource else "")
    return verb, f"{written} in namespace {namespace}" if namespace else written


def retry_after_s(value: str | None, now_s: float | None = None) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or a date.

    Args:
        value: of the header; None where there is none.
        now_s: seconds since the epoch; None is the clock's.

    Returns:
        Seconds from now, from 0 to ``LONGEST_ASKED_S``; None where the header is absent or has no such form.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_ASKED_S)
    try:
        at_s = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):  # a year or a zone without end
        return None
    return min(max(0.0, at_s - (time.time() if now_s is None else now_s)), LONGEST_ASKED_S)


def _asked_to_wait_s(body: bytes) -> float | None:
    """Read what a Status says of when to try again; None where it says nothing, or is none."""
    try:
        details = _read_status(body).details
    except msgspec.DecodeError:
        return None
    seconds = details.retry_after_seconds if details is not None else None
    return None if seconds is None else min(max(0.0, float(seconds)), LONGEST_ASKED_S)


def _said(body: bytes) -> str:
    """Give the message of a Status; of anything else, its beginning on one line."""
    try:
        status = _read_status(body)
    except msgspec.DecodeError:
        text = body[:_MAX_SHOWN].decode(errors="replace")
    else:
        text = status.message or status.reason
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
