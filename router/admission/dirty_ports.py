"""The ports about which is to be decided again, and what is otherwise there; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.admission.claims import Claim
from router.admission.places import SNI, Place
from router.model import Asker


class DirtyPorts:
    """What was noted since this was last emptied."""

    def __init__(self) -> None:
        self._former: dict[int, dict[Asker, Claim | None]] = {}
        self._touched: dict[int, set[Place]] = {}
        self.whole: set[int] = set()
        """Those of which it is not told what is otherwise."""

    def claim(self, port: int, asker: Asker, former: Claim | None) -> None:
        """Note that a claim is another than it was; None was none to this port."""
        self._former.setdefault(port, {}).setdefault(asker, former)

    def touch(self, places: Iterable[Place]) -> None:
        """Note that PortClaims may say something else of these places."""
        for place in places:
            if place.port != SNI:
                self._touched.setdefault(place.port, set()).add(place)

    @property
    def ports(self) -> set[int]:
        """All of them."""
        return {*self._former, *self._touched, *self.whole}

    def former(self, port: int) -> Mapping[Asker, Claim | None]:
        """Give what the claims to a port were that are others now."""
        return self._former.get(port, {})

    def touched(self, port: int) -> Iterable[Place]:
        """Give the places of a port of which PortClaims may say something else."""
        return self._touched.get(port, ())
