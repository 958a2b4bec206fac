"""What an API server refuses in the metadata of any object.

Followed: kubernetes/staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go and pkg/util/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.support.kube.resources import Resource
from tests.support.kube.statuses import Cause, wrong

QUALIFIED = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")
_FORMS = {
    "Service": _SERVICE_NAME,
    "Namespace": _DNS_LABEL,
    **dict.fromkeys(("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), _PATH_SEGMENT),
}
_MAX_NAME = 253
_MAX_ANNOTATIONS = 256 * 1024
"""Bytes of all keys and values."""


def metadata_problems(resource: Resource, metadata: dict[str, Any]) -> Iterator[Cause]:
    """Give what is wrong with name, labels and annotations."""
    name = metadata["name"]
    if not _FORMS.get(resource.kind, _SUBDOMAIN).fullmatch(name) or len(name) > _MAX_NAME:
        yield wrong("metadata.name", name, "must consist of lower case alphanumeric characters, '-' or '.'")
    for key, value in (metadata.get("labels") or {}).items():
        if not QUALIFIED.fullmatch(key):
            yield wrong("metadata.labels", key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
        if not _LABEL_VALUE.fullmatch(value):
            yield wrong("metadata.labels", value, "a valid label must be an empty string or consist of alphanumerics")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        # Upper case is taken for lower case here.
        if not QUALIFIED.fullmatch(key.lower()):
            yield wrong(
                "metadata.annotations", key, "name part must consist of alphanumeric characters, '-', '_' or '.'"
            )
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        yield Cause(
            "metadata.annotations", "FieldValueTooLong", f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        )
