"""Reviews of who may do what: posted to an API server, which answers them and keeps none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from router.errors import ApiUnreadable
from router.kube.api import Api
from router.shapes import read_any, write

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def reviewed(api: Api, path: str, api_version: str, kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Post a review; give its status.

    Raises:
        ApiUnreadable: the answer has none.
        ApiError: as the API server answered.
    """
    body = write({"apiVersion": api_version, "kind": kind, "metadata": {}, "spec": spec})
    answer = api.post(path, body)
    try:
        status = read_any(answer)["status"]
    except (msgspec.DecodeError, TypeError, KeyError):
        status = None
    if not isinstance(status, dict):
        raise ApiUnreadable(f"POST {path}: a {kind} was answered without a status")
    return status


def is_allowed(api: Api, who: Mapping[str, Any], attributes: Mapping[str, str]) -> bool:
    """Ask whether somebody may do something (SubjectAccessReview); ``attributes`` are its resourceAttributes.

    Raises:
        ApiError: the API server does not say.
    """
    spec = {"resourceAttributes": attributes, **who}
    review = reviewed(api, ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
    return review.get("allowed") is True and review.get("denied") is not True
