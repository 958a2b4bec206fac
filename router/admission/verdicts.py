"""The outcome for one asker, and the reasons it can be rejected for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from router.admission.places import Place
from router.model import Asker
from router.ordered import different_values


class Reason(StrEnum):
    """Why an asker is rejected; the value is the ``reason`` of its Admitted condition."""

    INVALID_PORT = "InvalidPort"
    PORT_RESERVED = "PortReserved"
    PORT_NOT_ALLOWED = "PortNotAllowed"
    PORT_QUOTA_EXCEEDED = "PortQuotaExceeded"
    PORT_ALREADY_CLAIMED = "PortAlreadyClaimed"
    ADDRESS_NOT_ALLOWED = "AddressNotAllowed"
    ADDRESS_UNAVAILABLE = "AddressUnavailable"
    PORT_UNAVAILABLE = "PortUnavailable"
    LEFT_TO_OTHERS = "LeftToOthers"
    """Somebody else serves it, and nothing says that this router is to take over."""
    PAIRING = "Pairing"
    """A port is being agreed on with another cluster."""
    ALLOCATING = "Allocating"
    """It asks for any port, and its PortClaim is being written: a matter of milliseconds, as a rule."""
    NO_PORT_FREE = "NoPortFree"
    CLAIMS_UNAVAILABLE = "ClaimsUnavailable"
    INVALID_ANNOTATION = "InvalidAnnotation"
    INVALID_SOURCE_RANGES = "InvalidSourceRanges"
    INVALID_SPEC = "InvalidSpec"
    """Of kinds whose CRD may have no schema, so that no API server refuses it."""
    INVALID_HOST = "InvalidHost"
    HOST_ALREADY_CLAIMED = "HostAlreadyClaimed"
    AMBIGUOUS_TARGET_PORT = "AmbiguousTargetPort"
    EXTERNAL_NAME_NOT_ALLOWED = "ExternalNameNotAllowed"
    REF_NOT_PERMITTED = "RefNotPermitted"
    """It leads to another namespace; the name is that of the Gateway API."""
    LISTENER_NOT_TAKEN = "ListenerNotTaken"
    """Of a ListenerSet: its Gateway does not take it, or has the port for another."""
    UNSUPPORTED_TERMINATION = "UnsupportedTermination"
    EXTENDED_VALIDATION_FAILED = "ExtendedValidationFailed"
    """Certificates; the name is that of OpenShift's router."""
    EXTERNAL_CERTIFICATE_VALIDATION_FAILED = "ExternalCertificateValidationFailed"
    EXTERNAL_CERTIFICATE_GET_FAILED = "ExternalCertificateGetFailed"
    CERTIFICATE_MISSING = "CertificateMissing"
    CLIENT_CA_INVALID = "ClientCaInvalid"
    """What certificates of clients are to be verified by is not there, or of no use."""
    ROUTE_NOT_ADMITTED = "RouteNotAdmitted"
    CONFIG_REJECTED = "ConfigRejected"
    OUT_OF_FILES = "OutOfFiles"


class Lack(StrEnum):
    """Why one that is served leads nowhere for now; the value is the ``reason`` of a condition."""

    SERVICE = "ServiceNotFound"
    PORT = "ServicePortNotFound"
    TCP = "ServicePortNotTCP"
    ENDPOINTS = "NoEndpoints"


_TAKES_PORT = frozenset({Reason.PORT_ALREADY_CLAIMED, Reason.PORT_RESERVED, Reason.PORT_NOT_ALLOWED})
_KEEPS_CLAIM = frozenset({Reason.PORT_UNAVAILABLE, Reason.OUT_OF_FILES, Reason.ADDRESS_UNAVAILABLE})
"""Why something is not served here, or anywhere now, that has what it claims all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one asker of ours.

    ``port`` is the external port that it asked for, dedicated or shared, where that much could be read. ``host`` is,
    for an admitted Route, the TLS server name that it is reached by (None where it lost its host to another Route and is
    reached by its port alone); for a rejected one, the server name that it asked for. A wildcard reads ``*.example.com``.
    ``reason`` None means admitted. ``warnings`` are sentences about a Route that is served, though not as its owner would
    expect (no endpoints, dropped addresses, a host lost to another Route). ``set_aside`` tells a Route that has what it
    claims, but that HAProxy cannot serve now, from one whose claim was rejected: the former keeps its claim.
    """

    asker: Asker
    port: int | None = None
    host: str | None = None
    reason: Reason | None = None
    message: str = ""
    warnings: tuple[str, ...] = ()
    set_aside: bool = False
    forfeits: bool = False
    """It gives up what PortClaims say that it holds of its port."""
    places: tuple[Place, ...] = ()
    """What it has, as PortClaims are about it; nothing where its claim was rejected."""
    address: str = ""
    """The name of the address that its port is of."""
    sections: tuple[Verdict, ...] = ()
    """Those that it sums up, of an object with several."""
    client_port: int | None = None
    """The port that clients use, where it is another than the one that it asked for."""
    auto: bool = False
    """It asks for any port: ``port`` is the one that it was given."""
    lack: Lack | None = None
    """Why nothing answers there, though it is served; a warning has it in words."""
    certificate: str = ""
    """What its clients are shown, in words; empty where TLS does not end here."""
    server_name: str = ""
    """What its clients should ask for who speak TLS; empty where there is none, or nobody can tell."""

    @property
    def admitted(self) -> bool:
        """Whether the Route is served."""
        return self.reason is None

    def reached_at(self, host: str) -> str:
        """Give the address by which clients reach it at a host; there must be a port."""
        return f"{f'[{host}]' if ':' in host else host}:{self.client_port or self.port}"

    @property
    def held(self) -> tuple[Place, ...]:
        """What it has: also where it is set aside for what is so on this node alone, and where its address is nowhere."""
        return self.places if self.admitted or self.reason in _KEEPS_CLAIM else ()

    @property
    def is_kept(self) -> bool:
        """Whether one that is not served keeps what it was told that it has."""
        return self.set_aside or self.reason is Reason.ADDRESS_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a Route is not served: the part of a verdict that one rule decides."""

    reason: Reason
    message: str
    forfeits: bool = False
    """Who held it by a PortClaim holds it no more, for his namespace must not have it."""

    @property
    def takes_port(self) -> bool:
        """Whether one that was given the port has it no more; with a PortClaim of too many it has it until that is gone."""
        return self.reason in _TAKES_PORT or (self.reason is Reason.PORT_QUOTA_EXCEEDED and not self.forfeits)


def forfeited(rejection: Rejection) -> Rejection:
    """Give the rejection of who holds what is refused by a PortClaim."""
    return replace(rejection, forfeits=True)


class NotAcceptable(Exception):
    """A Route is not acceptable by itself; ends the reading of it and never leaves ``router.admission``."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(message)


class _Differences:
    """What was asked for last: several ask for the same, one after the other, when a turn is told of."""

    def __init__(self) -> None:
        nothing: Mapping[Asker, Verdict] = {}
        self.last: tuple[Mapping[Asker, Verdict], Mapping[Asker, Verdict], tuple[Asker, ...]] = nothing, nothing, ()


_differences = _Differences()


def different(before: Mapping[Asker, Verdict], after: Mapping[Asker, Verdict]) -> tuple[Asker, ...]:
    """Give the askers whose verdict is another, in their order; those that are gone too.

    Both mappings are in that order, and none of them changes any more. After a small change this costs next to nothing, however many there are.
    """
    if before is after:
        return ()
    former, current, askers = _differences.last
    if former is not before or current is not after:
        askers = _different(before, after)
        _differences.last = before, after, askers
    return askers


def _different(before: Mapping[Asker, Verdict], after: Mapping[Asker, Verdict]) -> tuple[Asker, ...]:
    former, current = different_values(before, after)
    keys = {verdict.asker for verdict in former} | {verdict.asker for verdict in current}
    return tuple(sorted(key for key in keys if before.get(key) != after.get(key)))
