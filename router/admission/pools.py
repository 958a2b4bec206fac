"""The ports that are given to who asks for any: which there are, where they are given from, and what one may have of them; pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

from router.admission.allocation import Pool, Terms, legal_ports, port_bits, ports_of
from router.admission.allowance import Allowance
from router.admission.places import Place
from router.settings import AdmissionSettings, PortRanges


class Pools:
    """What there is to give.

    Args:
        settings: which ports these are.
        allowance: says what a namespace may have.
    """

    def __init__(self, settings: AdmissionSettings, allowance: Allowance) -> None:
        self._allowance = allowance
        self._legal = legal_ports(settings)
        """By address, what anybody may have at all."""
        anybodys = reduce(or_, self._legal.values())
        of: dict[Pool, PortRanges] = {"auto": settings.auto_ports, "claims": settings.claim_ports}
        self._bits = {pool: port_bits(ports) & anybodys for pool, ports in of.items()}
        self._ports = {pool: ports_of(bits) for pool, bits in self._bits.items()}
        self.to_give = reduce(or_, self._bits.values())
        """All of them, as bits."""
        self.ready: Callable[[], int] = int
        """Gives those of ``--bind-address`` that are opened without a reload, as bits."""

    def ports(self, pool: Pool) -> PortRanges:
        """Give the ports of a pool."""
        return self._ports[pool]

    def counts(self, pool: Pool, free: int) -> tuple[int, int]:
        """Give how many ports there are in a pool, and how many of them are free, of all that are free as bits."""
        bits = self._bits[pool]
        return bits.bit_count(), (free & bits).bit_count()

    def terms(self, namespace: str, address: str, pool: Pool) -> Terms:
        """Give what a namespace may have of a pool on an address, as last settled."""
        terms = self._allowance.terms(namespace)
        ports = terms.ports & self._legal[address] & self._bits[pool]
        return Terms(ports, terms.room, 0 if address else self.ready())

    def may_have(self, namespace: str, place: Place) -> bool:
        """Say whether a namespace may have, or at least keep, a place, from wherever it has it."""
        is_legal = self._legal[place.address] >> place.port & 1
        return bool(is_legal) and not self._allowance.takes(namespace, place)
