"""What all Kubernetes objects have: the identity of an object, its metadata, and the base of their structs.

The structs of this package have the fields that the router reads. Unknown fields are skipped, absent ones take the API's
defaults. Nothing is validated here beyond the JSON types: what a value means, and whether it is allowed, is admission's to say.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class ObjectKey(NamedTuple):
    """Namespace and name of an object; sorts as ``namespace/name`` lists do."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Fields(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base: frozen, and camelCase outside. Made of JSON, so no cycle can lead through it, and nobody needs to look for one."""


class ObjectMeta(Fields, frozen=True):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/."""

    name: str = ""
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    """RFC 3339 in UTC, whole seconds, as API servers write it; compares as text."""
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class WholeObject(Fields, frozen=True):
    """Base of whole objects."""

    metadata: ObjectMeta

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.metadata.namespace, self.metadata.name)
