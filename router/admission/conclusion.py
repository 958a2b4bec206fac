"""What becomes of one asker, of all that was found out about it: its verdict, and its section of the model; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from router.admission.claim_outcome import ClaimOutcome
from router.admission.claims import Claim
from router.admission.destination import NOWHERE, Destination
from router.admission.own_places import OwnAddresses
from router.admission.places import SNI, Place
from router.admission.policy import PolicyTouched
from router.admission.request import Request, displayed_host
from router.admission.verdicts import Rejection, Verdict
from router.model import Asker, Frontend, RouteSection, Spot, backend_name
from router.model.changed import changed
from router.model.tls import PortTls

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - shown with its Z


@dataclass(slots=True)
class Entry:
    """What is remembered of one asker of ours."""

    request: Request | Verdict
    """A Verdict is final: it is not acceptable by itself."""
    destination: Destination | Rejection = NOWHERE
    port: int | None = None
    """What one that asks for any port has."""
    withheld: Rejection | None = None
    """Why it is given none now."""

    @property
    def given(self) -> Request | Verdict:
        """What it asks for, with the port that it has if it asks for any."""
        request = self.request
        return (
            msgspec.structs.replace(request, port=self.port)
            if isinstance(request, Request) and request.auto
            else request
        )

    @property
    def is_portless(self) -> bool:
        """Whether it asks for any port, and has none."""
        return isinstance(self.request, Request) and self.request.auto and self.port is None

    @property
    def claim(self) -> Claim | None:
        """What it claims. Who is rejected for whatever reason claims nothing: what is not served must not keep others out."""
        request = self.given
        if isinstance(request, Verdict) or isinstance(self.destination, Rejection) or self.is_portless:
            return None
        return Claim.of(request)


def at_addresses(entries: Mapping[Asker, Entry], policies: PolicyTouched) -> set[Asker]:
    """Give those who ask for any port of a named address that policies may let them use now, or not any more.

    Of all others it is found out when their ports are decided.
    """
    if not policies:
        return set()
    return {
        asker
        for asker, entry in entries.items()
        if entry.request.auto
        and entry.request.address
        and (policies.everything or asker.namespace in policies.namespaces)
    }


def leading_to(entries: Mapping[Asker, Entry], addresses: OwnAddresses) -> set[Asker]:
    """Give those who lead to any of these addresses."""
    return {
        asker
        for asker, entry in entries.items()
        if isinstance(entry.destination, Destination)
        and any(each.address in addresses for each in entry.destination.servers)
    }


def concluded(entry: Entry, outcome: ClaimOutcome, sni_port: int) -> tuple[Verdict, RouteSection | None]:
    """Give an asker's verdict, and its section where it is served; ``sni_port`` 0 is none."""
    destination = entry.destination
    request = entry.given
    if isinstance(request, Verdict):
        return request, None
    host = displayed_host(request.host) if request.host is not None else None
    if request.withheld is not None and entry.is_portless:
        # What it says is for whoever else serves it, be it wrong to us.
        return _rejected(request, host, request.withheld), None
    if isinstance(destination, Rejection):
        # One that asks for any port keeps what it has, for as long as it asks.
        kept = _places(request, has_sni=False) if request.auto else ()
        return _rejected(request, host, destination, kept), None
    if outcome.rejection is not None:
        return _rejected(request, host, outcome.rejection), None
    warnings = (
        *request.warnings,
        *_other_port(request),
        *destination.warnings,
        *((outcome.warning,) if outcome.warning else ()),
    )
    if outcome.host_loss:
        warnings = (*warnings, f"{outcome.host_loss}; this {request.asker.kind} is reached on port {request.port} only")
        host = host if request.shares_port else None
    places = _places(request, has_sni=bool(sni_port) and not outcome.host_loss)
    verdict = Verdict(
        asker=request.asker,
        port=request.port,
        host=host,
        warnings=warnings,
        places=places,
        address=request.address,
        auto=request.auto,
        lack=destination.lack,
        certificate=_shown(request.port_tls),
        server_name=request.server_name,
    )
    return verdict, _section(request, destination, _stages(request, places, sni_port))


def _other_port(request: Request) -> tuple[str, ...]:
    """Say so where one that would have had a certain port was given another."""
    if request.wanted is None or request.port in {None, request.wanted}:
        return ()
    return (
        f"OtherPortGiven: port {request.wanted} was not free, or not asked for yet, when a port was given; it has {request.port}, and keeps that",
    )


def _shown(tls: PortTls | None) -> str:
    """Say what clients are shown where TLS ends here."""
    if tls is None:
        return ""
    certificate = tls.certificate
    until = (_EPOCH + timedelta(seconds=certificate.not_after_s)).isoformat()
    return f"{certificate.fingerprint[:16]} (SHA-256), valid until {until}Z"


def _places(request: Request, *, has_sni: bool) -> tuple[Place, ...]:
    """Give what one has who is served."""
    shared_host = (request.host or "") if request.shares_port else ""
    port = (Place(request.port, shared_host, request.address),) if request.port else ()
    return (*port, Place(SNI, request.host)) if request.host is not None and has_sni else port


def _rejected(request: Request, host: str | None, rejection: Rejection, kept: tuple[Place, ...] = ()) -> Verdict:
    return Verdict(
        asker=request.asker,
        port=request.port,
        host=host,
        reason=rejection.reason,
        message=rejection.message,
        address=request.address,
        places=kept,
        forfeits=rejection.forfeits,
        auto=request.auto,
    )


def _stages(request: Request, places: tuple[Place, ...], sni_port: int) -> tuple[Spot, ...] | None:
    """Give the ports behind which TLS ends: shared ones, and one of its own where clients may ask in plain text to begin it."""
    if request.stages:
        return request.stages
    if request.port_tls is None:
        return None
    if request.port is not None and not request.shares_port:
        return (Spot(request.port, request.address),) if request.port_tls.starttls is not None else None
    return tuple(sorted(Spot(place.port if place.port != SNI else sni_port, place.address) for place in places))


def _section(request: Request, destination: Destination, stages: tuple[Spot, ...] | None) -> RouteSection:
    options = request.options
    dedicated = None if request.shares_port else request.port
    clients = request.port_tls.clients if request.port_tls is not None else None
    return RouteSection(
        asker=request.asker,
        backend=changed(
            options.backend,
            name=backend_name(request.asker),
            balance=destination.balance,
            tls=request.server_tls,
            servers=destination.servers,
            advance=destination.advance,
            send_proxy="v2-ssl-shown" if clients is not None and clients.tells_apart else options.backend.send_proxy,
        ),
        frontend=Frontend(dedicated, options.port, request.address, tls=request.port_tls)
        if dedicated is not None
        else None,
        stages=stages,
        is_gated=stages is not None and clients is not None,
    )
