"""Which ports PortClaims say are whose, found by the object that they name: for those who ask for any port, and so name none; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from router.admission.ledger import Ledger
from router.admission.places import Place, asker_of
from router.model import Asker
from router.objects.portclaim import ClaimHolder, PortClaim

_WON, _RESERVED, _GIVEN_UP = range(3)
Object = tuple[str, str, str]
"""Kind, namespace and name: the same of one that is made again."""


def object_of(asker: Asker) -> Object:
    """Give the object that asks."""
    return asker.kind, asker.namespace, asker.name


class Holdings:
    """The objects that PortClaims of whole ports name: they won it, whether that counts or not, or an admin keeps it for them.

    Args:
        ledger: the PortClaims.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._by_port: dict[int, frozenset[Object]] = {}
        self._by_object: dict[Object, set[int]] = {}

    @property
    def ports(self) -> Collection[int]:
        """All of which somebody is named."""
        return self._by_port.keys()

    def take(self, ports: Iterable[int]) -> set[Object]:
        """Take note of what PortClaims say of some ports now; give the objects that they name, or named."""
        concerned: set[Object] = set()
        for port in ports:
            former, current = self._by_port.pop(port, frozenset()), self._named(port)
            if current:
                self._by_port[port] = current
            for each in former - current:
                self._by_object[each].discard(port)
                if not self._by_object[each]:
                    del self._by_object[each]
            for each in current - former:
                self._by_object.setdefault(each, set()).add(port)
            concerned |= former | current
        return concerned

    def held(self, asker: Asker, address: str) -> list[int]:
        """Give the ports of an address that are an asker's: by a PortClaim that counts, or because an admin keeps them for it alone."""
        ports = self._by_object.get(object_of(asker), ())
        return [port for port in ports if self._holds(asker, Place(port, "", address))]

    def had(self, asker: Asker) -> list[int]:
        """Give the ports of which all that PortClaims say is that one of this name won them.

        It was made again, or is to have it on another address; or somebody changed its claim.
        """
        ports = self._by_object.get(object_of(asker))
        return [port for port in sorted(ports) if self._was_of(asker, port)] if ports else []

    def age(self, asker: Asker, place: Place) -> tuple[int, str, str]:
        """Give by what one finds the place that an asker holds longest of several, without another between: the smallest.

        What it won comes before what is reserved for it, which it may never have had; and that before what it gave up.
        """
        claim = next((each for each in self._ledger.won(place) if _holder(each) == asker), None)
        if claim is None:
            return _RESERVED, "", ""
        order = _GIVEN_UP if claim.status.released_at else _WON
        return order, claim.metadata.creation_timestamp or "", claim.metadata.name

    def _named(self, port: int) -> frozenset[Object]:
        holders: list[ClaimHolder] = []
        for place in self._ledger.places(port):
            if not place.host:
                holders += (each.spec.holder or ClaimHolder() for each in self._ledger.won(place))
                holders += (each.holder for each in self._ledger.reservations(place) if each.holder.name)
        return frozenset((each.kind, each.namespace, each.name) for each in holders)

    def _holds(self, asker: Asker, place: Place) -> bool:
        won = self._ledger.won(place)
        if any(_holder(each) == asker and self._ledger.is_in_force(each.metadata.name) for each in won):
            return True
        return any(
            each.holder.name
            and each.holder.section == asker.section
            and each.allows(asker)
            # Of a range one would have to choose: it is for those who ask for a certain port.
            and not self._ledger.is_range(each.claim)
            for each in self._ledger.reservations(place)
        )

    def _was_of(self, asker: Asker, port: int) -> bool:
        return all(
            not place.host
            and not self._ledger.reservations(place)
            and all(_holder(each).unnumbered == asker.unnumbered for each in self._ledger.won(place))
            for place in self._ledger.places(port)
        )


def _holder(claim: PortClaim) -> Asker:
    return asker_of(claim.spec.holder or ClaimHolder())
