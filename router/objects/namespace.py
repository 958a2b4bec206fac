"""Namespaces, by which admins say what those in them may have, and the file in which the same can stand."""

from __future__ import annotations

from dataclasses import dataclass

from router.objects.meta import ObjectKey, ObjectMeta, WholeObject
from router.settings import PortRanges


class Namespace(WholeObject, frozen=True):
    """v1 Namespace. It is in none itself, which its key says whatever a manifest does."""

    @property
    def key(self) -> ObjectKey:
        """Its name."""
        return ObjectKey("", self.metadata.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """What a file says of the namespaces that a label selector selects; None says nothing."""

    selector: str
    ports: PortRanges | None = None
    exclusive: PortRanges | None = None
    max_ports: int | None = None
    max_connections: int | None = None
    addresses: frozenset[str] | None = None


class PortPolicy(WholeObject, frozen=True, kw_only=True):
    """What a file of ``--port-policy`` says; no object of any API, but kept beside those."""

    metadata: ObjectMeta = ObjectMeta(name="port-policy", namespace="")
    rules: tuple[PolicyRule, ...] = ()
    """Key by key the first that selects a namespace and says something counts."""
    counts_annotations: bool = True
    """Whether annotations of Namespaces say anything."""
    problem: str = ""
    """Why the file could never be read, so that nobody may claim anything."""
