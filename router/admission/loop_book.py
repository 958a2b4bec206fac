"""Who leads to the routers' own addresses, by the port there: what becomes of that depends on who is served on it; pure."""

from __future__ import annotations

from collections.abc import Iterable

from router.admission.destination import Destination
from router.admission.verdicts import Rejection
from router.model import Asker


class LoopBook:
    """The askers with endpoints at the routers' addresses."""

    def __init__(self) -> None:
        self._by_port: dict[int, set[Asker]] = {}

    def at(self, ports: Iterable[int]) -> set[Asker]:
        """Give those who lead to some ports."""
        return {asker for port in ports for asker in self._by_port.get(port, ())}

    def everybody(self) -> set[Asker]:
        """Give all of them."""
        return {asker for askers in self._by_port.values() for asker in askers}

    def enter(self, asker: Asker, destination: Destination | Rejection) -> None:
        """Take note of where one leads."""
        for port in _own_ports(destination):
            self._by_port.setdefault(port, set()).add(asker)

    def leave(self, asker: Asker, destination: Destination | Rejection) -> None:
        """Take note of where one leads no more."""
        for port in _own_ports(destination):
            askers = self._by_port[port]
            askers.discard(asker)
            if not askers:
                del self._by_port[port]


def _own_ports(destination: Destination | Rejection) -> frozenset[int]:
    return destination.own_ports if isinstance(destination, Destination) else frozenset()
