"""One watch of an input, and its thread."""

from __future__ import annotations

from dataclasses import dataclass

from router.cluster.handle import Handle
from router.cluster.kinds import Resource
from router.cluster.namespaces import NamespaceReader
from router.cluster.reflector import Reflector
from router.supervisor import OwnedThread


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch, and what ends it."""

    resource: Resource
    reflector: Reflector | NamespaceReader
    handle: Handle
    thread: OwnedThread
    source: str
