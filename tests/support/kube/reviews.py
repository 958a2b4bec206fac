"""TokenReviews and SubjectAccessReviews: whose a token is, and what somebody may do. Answered, and not stored.

After kubernetes/pkg/registry/authentication/tokenreview and pkg/registry/authorization/subjectaccessreview.
"""

from __future__ import annotations

from typing import Any

from tests.support.kube.access import Access
from tests.support.kube.resources import Resource, Target
from tests.support.kube.statuses import failure

Object = dict[str, Any]


def review(access: Access, obj: Object) -> Object:
    """Give a TokenReview or SubjectAccessReview with its status.

    Raises:
        StatusError: it is none that an API server takes.
    """
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        raise failure(422, f"{obj['kind']} is invalid: spec: Required value")
    status = _token_status(access, spec) if obj["kind"] == "TokenReview" else _access_status(access, spec)
    return {**obj, "status": status}


def _token_status(access: Access, spec: Object) -> Object:
    token = spec.get("token")
    if not token:
        raise failure(400, "token is required for TokenReview in authentication")
    if token not in access.tokens:
        return {"user": {}, "error": "[invalid bearer token, unknown]"}
    return {
        "authenticated": True,
        "user": {"username": access.user(token), "uid": "1", "groups": ["system:authenticated"]},
    }


def _access_status(access: Access, spec: Object) -> Object:
    about = spec.get("resourceAttributes")
    if not about or not (spec.get("user") or spec.get("groups")):
        raise failure(422, "SubjectAccessReview is invalid: spec: at least one of user or group must be specified")
    resource = Resource(about.get("group", ""), "*", "", about.get("resource", ""))
    target = Target(resource, about.get("namespace", ""), about.get("name", ""), about.get("subresource", ""))
    return {"allowed": access.user_may(spec.get("user", ""), about.get("verb", ""), target)}
