"""What the router found out about ports beside what objects of the API say of them, kept as they are."""

from __future__ import annotations

from router.objects.meta import ObjectMeta, WholeObject


class PortNote(WholeObject, frozen=True):
    """What there is to say to those who are served on a port, which is its name: no object of the API, but what the router found out by it."""

    warning: str = ""
    client_port: int | None = None
    """The port that clients use, where it is another."""

    @classmethod
    def about(cls, port: int, warning: str = "", client_port: int | None = None) -> PortNote:
        """Give the note about a port."""
        return cls(ObjectMeta(name=str(port), namespace=""), warning, client_port)

    @property
    def port(self) -> int:
        """The port."""
        return int(self.metadata.name)
