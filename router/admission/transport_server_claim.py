"""What a TransportServerClaim asks for, read from that claim alone, or why it cannot be had.

The fields are those of BC Gov's Porter (bcgov/platform-services-porter-operator), whose CRD has no schema: so everything is checked here,
whatever the CRD of this project checks already. A claim that is mistaken keeps the port that it was given, and is served again when it is
mended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from router.admission.client_certificates import unheard
from router.admission.forms import BOOLEAN, read
from router.admission.monitor import read_monitor
from router.admission.near_keys import near_keys, read_near_keys, told
from router.admission.options import (
    CHECK_INTERVAL,
    EXTERNAL_TCP_PORT,
    EXTERNAL_TCP_PORT_SNI,
    ROUTER_NAME,
    WZH_ROUTER_NAME,
    RouteOptions,
    read_options,
)
from router.admission.request import Request, Target, annotations_of, check_names, read_address
from router.admission.spec_values import as_mapping, service_name, service_port, shown_value
from router.admission.text import shown
from router.admission.verdicts import NotAcceptable, Reason, Rejection, Verdict
from router.model import Asker
from router.objects.meta import ObjectKey
from router.objects.porter import CLAIM_KIND, FINALIZER, GROUP, TransportServerClaim
from router.settings import AdmissionSettings, PortRanges, ServerClaims

ADMITTED = "Admitted"
"""The type of the condition by which a claim is told what became of it."""
_FIELDS = frozenset({"service", "servicePort", "monitor", "overrideServicePort", "requestedPort"})
_WEIGHT = 1
_MOST_NAMED = 5


class _Read(NamedTuple):
    """What was read of a claim."""

    address: str
    options: RouteOptions
    target: Target
    port: int | str
    warnings: tuple[str, ...]


def is_ours(claim: TransportServerClaim, router_name: str, serves: ServerClaims) -> bool:
    """Say whether a claim is for this router: it names it, or none and this is the one for those."""
    if serves == "off":
        return False
    annotations = annotations_of(claim.metadata)
    name = annotations.get(ROUTER_NAME, annotations.get(WZH_ROUTER_NAME))
    return serves == "default" if name is None else name == router_name


def was_told(claim: TransportServerClaim, router_name: str) -> bool:
    """Say whether the claim's status has something of this router."""
    return any(each.type == ADMITTED and each.message.startswith(f"{router_name}: ") for each in claim.conditions)


def is_served_by_others(claim: TransportServerClaim, router_name: str) -> bool:
    """Say whether Porter serves the claim, as far as the claim itself says: it has its finalizer, and a port that is none of ours."""
    has_finalizer = FINALIZER in (claim.metadata.finalizers or ())
    return has_finalizer and bool(claim.told_port) and not was_told(claim, router_name)


def services_of(claim: TransportServerClaim) -> frozenset[ObjectKey]:
    """Give the Service that a claim leads to; none where what it says of it is not acceptable."""
    try:
        return frozenset({_target(claim).service})
    except NotAcceptable:
        return frozenset()


def read_claim(claim: TransportServerClaim, settings: AdmissionSettings) -> tuple[Request | Verdict]:
    """Read a claim of ours; a Verdict is the rejection of one that cannot even be named in a configuration."""
    asker = Asker(GROUP, CLAIM_KIND, *claim.key, "", claim.metadata.uid)
    try:
        check_names(CLAIM_KIND, claim.key)
    except NotAcceptable as refused:
        return (Verdict(asker=asker, reason=refused.reason, message=refused.message),)
    wanted, problem = requested_port(claim, settings.claim_ports)
    base = Request(
        asker=asker,
        port=None,
        shares_port=False,
        host=None,
        created=claim.metadata.creation_timestamp or None,
        options=read_options({}, settings.defaults, claims_port=True),
        targets=(),
        target_port=None,
        warnings=(),
        auto=True,
        pool="claims",
        wanted=wanted,
        by_service_port=True,
        withheld=_withheld(claim, settings),
    )
    try:
        found = _read(claim, settings)
    except NotAcceptable as refused:
        near = [
            each for each in near_keys(annotations_of(claim.metadata))[:1] if shown(each.key) not in refused.message
        ]
        rejection = Rejection(refused.reason, "; ".join((refused.message, *told(near))))
        return (replace(base, address=_address_of_refused(claim, settings), refused=rejection),)
    return (
        replace(
            base,
            address=found.address,
            options=found.options,
            targets=(found.target,),
            target_port=found.port,
            warnings=(*found.warnings, *filter(None, (problem,))),
        ),
    )


def requested_port(claim: TransportServerClaim, ports: PortRanges) -> tuple[int | None, str]:
    """Give the port that a claim would have, and why that cannot be, in words.

    As Porter has it: a whole number strictly between the first and the last of the ports.
    """
    asked = _spec(claim).get("requestedPort") if isinstance(claim.spec, Mapping) else None
    if asked is None:
        return None, ""
    ends = [port for ends in ports.ranges for port in ends]
    first, last = min(ends, default=0), max(ends, default=0)
    if isinstance(asked, int) and not isinstance(asked, bool) and first < asked < last and asked in ports:
        return asked, ""
    between = f"a whole number between {first} and {last}, without these two"
    return None, f"OtherPortGiven: spec.requestedPort is {shown_value(asked)}, and only {between}, can be asked for"


def _read(claim: TransportServerClaim, settings: AdmissionSettings) -> _Read:
    annotations = annotations_of(claim.metadata)
    target = _target(claim)
    spec = _spec(claim)
    port = service_port("spec.servicePort", spec.get("servicePort"))
    monitor = read_monitor("spec.monitor", spec.get("monitor"))
    address = read_address(annotations, settings, claims_port=True)
    if read(annotations, EXTERNAL_TCP_PORT_SNI, BOOLEAN):
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {EXTERNAL_TCP_PORT_SNI} is true; that needs a host, which only a Route can have",
        )
    options = read_options(annotations, settings.defaults, claims_port=True)
    checked = monitor.applied(options, options.backend.check_interval_ms if CHECK_INTERVAL in annotations else None)
    warnings = (
        *read_near_keys(annotations, CLAIM_KIND),
        *options.warnings,
        *unheard(annotations),
        *_warnings(spec, annotations),
    )
    if not settings.claim_ports.ranges:
        raise NotAcceptable(
            Reason.PORT_NOT_ALLOWED, "this router has no ports to give to TransportServerClaims (--claim-ports)"
        )
    return _Read(address, checked, target, port, warnings)


def _address_of_refused(claim: TransportServerClaim, settings: AdmissionSettings) -> str:
    try:
        return read_address(annotations_of(claim.metadata), settings, claims_port=True)
    except NotAcceptable:
        return ""


def _withheld(claim: TransportServerClaim, settings: AdmissionSettings) -> Rejection | None:
    if not is_served_by_others(claim, settings.router_name):
        return None
    return Rejection(
        Reason.LEFT_TO_OTHERS,
        f"it has the finalizer {FINALIZER} and status.port {shown(claim.told_port)}, which this router did not give it: left to who did. "
        "tcp-router claims import --from-transportservers has this router serve it on that port",
    )


def _target(claim: TransportServerClaim) -> Target:
    name = service_name("spec.service", _spec(claim).get("service"))
    return Target(ObjectKey(claim.metadata.namespace, name), _WEIGHT)


def _spec(claim: TransportServerClaim) -> Mapping[str, Any]:
    return as_mapping("spec", claim.spec)


def _warnings(spec: Mapping[str, Any], annotations: Mapping[str, str]) -> Iterator[str]:
    override = spec.get("overrideServicePort")
    if override is not None and not isinstance(override, bool):
        yield f"spec.overrideServicePort is {shown_value(override)}, and has an effect only as true"
    if EXTERNAL_TCP_PORT in annotations:
        yield f"annotation {EXTERNAL_TCP_PORT} has no effect on a {CLAIM_KIND}: its port is given to it, or asked for by spec.requestedPort"
    unknown = sorted(key for key in spec if key not in _FIELDS)
    for key in unknown[:_MOST_NAMED]:
        yield f"spec.{key if key.isalnum() else shown(key)} has no effect"
    if len(unknown) > _MOST_NAMED:
        yield f"{len(unknown) - _MOST_NAMED} more fields of spec have no effect"
