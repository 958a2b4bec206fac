"""The failures of an API server, worded and shaped as real ones do it (apimachinery, api/errors/errors.go)."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support.kube.resources import Resource, Target


class Cause(NamedTuple):
    """One thing that is wrong with an object: ``reason`` as in ``FieldValueRequired``, ``field`` as in ``spec.to.name``."""

    field: str
    reason: str
    message: str


class StatusError(Exception):
    """A request failed; ``body`` is the Status object that says why, ``raw`` what a proxy before the server answers instead."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.raw: bytes | None = None
        super().__init__(f"{body['code']} {body.get('reason')}: {body['message']}")

    @property
    def code(self) -> int:
        """The HTTP status."""
        code: int = self.body["code"]
        return code

    @property
    def retry_after_s(self) -> int | None:
        """What the header Retry-After says, seconds; None where there is none."""
        seconds: int | None = self.body.get("details", {}).get("retryAfterSeconds")
        return seconds


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def failure(code: int, message: str, reason: str | None = None, **details: Any) -> StatusError:
    """Make a failure of any code; the reason is the code's usual one unless given."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(code, "") if reason is None else reason,
        "code": code,
    }
    if details:
        body["details"] = details
    return StatusError(body)


def not_found(resource: Resource, name: str) -> StatusError:
    """No such object."""
    return failure(404, f'{resource.qualified} "{name}" not found', **_details(resource, name))


def already_exists(resource: Resource, name: str) -> StatusError:
    """A POST of a name that is taken."""
    message = f'{resource.qualified} "{name}" already exists'
    return failure(409, message, "AlreadyExists", **_details(resource, name))


def conflict(resource: Resource, name: str, problem: str | None = None) -> StatusError:
    """The object has another resourceVersion than the request says."""
    why = problem or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return failure(409, message, **_details(resource, name))


def invalid(resource: Resource, name: str, causes: list[Cause]) -> StatusError:
    """The object breaks the rules of its kind."""
    parts = [f"{cause.field}: {cause.message}" for cause in causes]
    said = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.kind}
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    return failure(422, f'{kind} "{name}" is invalid: {said}', **details, causes=listed)


def unauthorized() -> StatusError:
    """No credentials, or none that are accepted."""
    return failure(401, "Unauthorized")


def forbidden(target: Target, verb: str, user: str) -> StatusError:
    """The user may not do this."""
    resource, namespace, name, subresource = target
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{plural}" '
        f'in API group "{resource.group}" {scope}'
    )
    details = {key: value for key, value in _details(resource, name).items() if value}
    return failure(403, message, **details)


def too_old(asked: int, oldest: int) -> StatusError:
    """A watch from a resourceVersion of which the history is gone."""
    return failure(410, f"too old resource version: {asked} ({oldest})")


def continue_expired() -> StatusError:
    """A continue token of which the snapshot is gone."""
    return failure(
        410,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter.",
    )


def too_large(asked: int, current: int) -> StatusError:
    """A resourceVersion that is yet to come."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Too large resource version: {asked}, current: {current}"
    return failure(504, message, retryAfterSeconds=1, causes=[cause])


def _details(resource: Resource, name: str) -> dict[str, str]:
    details = {"name": name, "kind": resource.plural}
    if resource.group:
        details["group"] = resource.group
    return details


def required(path: str) -> Cause:
    """Give the cause of a field that is missing."""
    return Cause(path, "FieldValueRequired", "Required value")


def wrong(path: str, value: object, problem: str) -> Cause:
    """Give the cause of a value that is none of the field's."""
    return Cause(path, "FieldValueInvalid", f'Invalid value: "{value}": {problem}')
