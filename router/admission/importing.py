"""Which ports teams have today by TransportServers, for an admin who reserves them once, before this router takes over; pure.

Whoever may write a TransportServer can write this. So it is believed only where nobody else says the same, the one who served it says that it
is served, and what Porter told the claim does not contradict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from router.admission.ledger import Ledger
from router.admission.places import Place
from router.admission.request import annotations_of, check_port, read_address
from router.admission.transport_server import address_of
from router.admission.verdicts import NotAcceptable
from router.model import Asker, Spot
from router.objects import cis, porter
from router.objects.cis import TransportServer
from router.objects.meta import ObjectKey
from router.objects.porter import TransportServerClaim
from router.settings import MAX_PORT, AdmissionSettings


@dataclass(frozen=True, slots=True)
class NotImported:
    """A TransportServer whose port is not reserved, and why."""

    server: ObjectKey
    problem: str

    def __str__(self) -> str:
        return f"{cis.KIND} {self.server}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Imports:
    """What is to be done."""

    reserved: Mapping[Place, Asker]
    """What to reserve, and for whom."""
    there: Mapping[Place, Asker]
    """What is theirs already, by PortClaims."""
    doubts: tuple[NotImported, ...]


def imports(
    servers: Iterable[TransportServer],
    claims: Mapping[ObjectKey, TransportServerClaim],
    settings: AdmissionSettings,
    ledger: Ledger,
) -> Imports:
    """Say what to reserve, and what is doubtful.

    A TransportServer of a claim's name is what Porter made of it, and the port is the claim's; of any other it is its own.

    Args:
        servers: all of them.
        claims: all of them.
        settings: of the router.
        ledger: the PortClaims that there are.
    """
    doubts: list[NotImported] = []
    wanted: dict[Place, list[tuple[ObjectKey, Asker]]] = {}
    for server in sorted(servers, key=lambda server: server.key):
        found = _port_of(server, claims.get(server.key), settings)
        if isinstance(found, str):
            doubts.append(NotImported(server.key, found))
        elif found is not None:
            place, asker = found
            wanted.setdefault(place, []).append((server.key, asker))
    reserved: dict[Place, Asker] = {}
    there: dict[Place, Asker] = {}
    for place, askers in sorted(wanted.items()):
        key, asker = askers[0]
        spot = Spot(place.port, place.address)
        bar, hold = ledger.bars(place, asker), ledger.hold(place)
        if len(askers) > 1:
            named = ", ".join(str(each) for each, _ in askers)
            doubts += [
                NotImported(each, f"port {spot} is asked for by {named}; it can be one's alone") for each, _ in askers
            ]
        elif bar is not None:
            doubts.append(NotImported(key, f"port {spot} is reserved for {bar}"))
        elif hold is not None and hold.asker.unnumbered != asker.unnumbered:
            doubts.append(NotImported(key, f"port {spot} is held by {hold.asker}, by PortClaim {hold.claim}"))
        elif hold is not None or any(each.allows(asker) for each in ledger.reservations(place)):
            there[place] = asker
        else:
            reserved[place] = asker
    return Imports(reserved, there, tuple(doubts))


def _port_of(
    server: TransportServer, claim: TransportServerClaim | None, settings: AdmissionSettings
) -> tuple[Place, Asker] | str | None:
    """Give which port one has, and who has it; or why that is not to be believed; None for one that has none and says so."""
    if server.asked.get("type", "tcp") != "tcp":
        return None
    port = server.asked.get("virtualServerPort")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= MAX_PORT:
        return "spec.virtualServerPort is no port"
    if not server.told_ok:
        return f"its status is {server.told('status') or 'empty'}, and not Ok, so that port {port} is not known to be its own"
    if claim is None:
        who = Asker(cis.GROUP, cis.KIND, *server.key)
    else:
        who = Asker(porter.GROUP, porter.CLAIM_KIND, *claim.key)
        if claim.told_port not in {"", str(port)}:
            return f"it has port {port}, and the {porter.CLAIM_KIND} of its name was told {claim.told_port}"
    try:
        address = (
            address_of(server, settings)
            if claim is None
            else read_address(annotations_of(claim.metadata), settings, claims_port=True)
        )
        check_port(port, settings, address)
    except NotAcceptable as refused:
        return refused.message
    return Place(port, "", address), who
