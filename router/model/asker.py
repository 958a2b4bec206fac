"""Who asks to be served, whatever its kind."""

from __future__ import annotations

from typing import NamedTuple

ROUTE_GROUP = "route.openshift.io"
ROUTE_KIND = "Route"
SERVICE_KIND = "Service"


class Asker(NamedTuple):
    """Who asks to be served: an object of any kind, or one section of it. Sorts by its fields, in their order.

    An object that is deleted and made again is another asker, by its ``uid``. What HAProxy runs knows nothing of that: it is
    told apart by names alone (``backend_name``).
    """

    group: str
    """Of the API, empty for the core one."""
    kind: str
    namespace: str
    name: str
    section: str = ""
    """The part of the object that asks by itself: the name of a Service's port, of a Gateway's listener. Empty for Routes, which ask as a whole."""
    uid: str = ""
    """Empty where the object has none, as in a folder of manifests."""

    @classmethod
    def route(cls, namespace: str, name: str, uid: str = "") -> Asker:
        """Give a Route as an asker."""
        return cls(ROUTE_GROUP, ROUTE_KIND, namespace, name, "", uid)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name, which is how objects of a kind are kept (equal to their ``ObjectKey``)."""
        return self.namespace, self.name

    @property
    def unnumbered(self) -> Asker:
        """The same without its uid: one that is made again has it, too."""
        return self._replace(uid="")

    @property
    def order(self) -> tuple[str, str, str, str]:
        """The place among askers of one age: the same for an object that was made again, and on every replica."""
        return self.kind, self.namespace, self.name, self.section

    @property
    def log_name(self) -> str:
        """The name in HAProxy's names and in its log: a Route's own, that of other kinds with the kind before and the section behind.

        No name of Kubernetes has an underscore, so that no two askers of a namespace have one log name, but those of one object that
        was made again.
        """
        if self.kind in {ROUTE_KIND, ""}:
            return self.name
        return "_".join(filter(None, (self.kind.lower(), self.name, self.section)))

    @property
    def shown(self) -> str:
        """Namespace and name, as lists of Routes have them; with its kind where it is no Route."""
        return f"{self.namespace}/{self.name}" if self.kind == ROUTE_KIND else str(self)

    def __str__(self) -> str:
        part = "port" if self.kind == SERVICE_KIND else "listener"
        section = f" {part} {self.section}" if self.section else ""
        return f"{self.kind} {self.namespace}/{self.name}{section}"


NOBODY = Asker("", "", "", "")
"""Whose the sections of the pool are."""
