"""What one asker asks for, whatever its kind: all that admission gets of an object."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.admission.allocation import Pool
from router.admission.forms import Form, integer, read
from router.admission.options import EXTERNAL_ADDRESS, EXTERNAL_TCP_PORT, ROUTER_NAME, WZH_ROUTER_NAME, RouteOptions
from router.admission.target_port import OfService
from router.admission.text import is_dns_label, is_dns_subdomain, shown
from router.admission.verdicts import NotAcceptable, Reason, Rejection
from router.model import Asker, Spot
from router.model.tls import PortTls, ServerTls
from router.objects.meta import ObjectKey, ObjectMeta
from router.settings import MAX_PORT, AdmissionSettings

PORT_FORM = integer(1, MAX_PORT, grouped=True)
AUTO = "auto"
"""The value of ``external-tcp-port`` of one that asks for any port."""
_EXTERNAL_PORT_FORM = Form(f"{PORT_FORM.text}, or {AUTO}", PORT_FORM.parse)
_NO_ANNOTATIONS: Mapping[str, str] = {}


class Target(msgspec.Struct, frozen=True, gc=False):
    """A Service that an asker leads to, and its share of the connections."""

    service: ObjectKey
    weight: int
    port: OfService | None = None
    """The port of the Service, where each Service of the asker has its own; else ``Request.target_port`` says which."""


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An asker that is acceptable by itself; whether it is served depends on others and on its Services."""

    asker: Asker
    port: int | None
    """The external port that it claims; of one that asks for any, the one that it has (``router.admission.autos``)."""
    address: str = ""
    """The name of the address that the port is of; empty is ``--bind-address``."""
    shares_port: bool
    host: str | None
    """The TLS server name that it claims, as ``SniHost.host`` spells it."""
    host_owner: str = ""
    """The namespace as whose that name counts where names of different ones do not go together; empty is its own."""
    created: str | None
    options: RouteOptions
    targets: tuple[Target, ...]
    """Each Service once, or once for each of its ports; that of ``spec.to`` of a Route first."""
    target_port: int | str | None
    warnings: tuple[str, ...]
    """What its owner may not have meant, though it is acceptable."""
    port_tls: PortTls | None = None
    """How its port ends TLS; None where TLS, if there is any, goes on to the pods."""
    auto: bool = False
    """It asks for any port."""
    pool: Pool = "auto"
    """Where its port is given from, if it asks for any."""
    wanted: int | None = None
    """The port of these that it would have rather than others."""
    by_service_port: bool = False
    """``target_port`` is a port of the Service before it is one of the pods."""
    refused: Rejection | None = None
    """It cannot be served as it is, and keeps the port that it was given."""
    withheld: Rejection | None = None
    """It is given no port now; one that PortClaims say is its own it has."""
    server_name: str = ""
    """What clients should ask for who speak TLS; empty where there is none, or nobody can tell."""
    server_tls: ServerTls | None = None
    """How TLS begins anew towards its pods; None is not at all."""
    refused_weight: int | None = None
    """Of the weights the part that is refused, with that of Services without endpoints; None leads all to those that have some."""
    stages: tuple[Spot, ...] = ()
    """Ports of others behind which TLS ends for clients that they lead here, sorted."""


def annotations_of(metadata: ObjectMeta) -> Mapping[str, str]:
    """Give the annotations of an object."""
    return metadata.annotations or _NO_ANNOTATIONS


def asks_for(metadata: ObjectMeta, router_name: str) -> bool:
    """Say whether an object names this router."""
    annotations = annotations_of(metadata)
    return annotations.get(ROUTER_NAME, annotations.get(WZH_ROUTER_NAME)) == router_name


def displayed_host(host: str) -> str:
    """Write a claimed host as people do: ``*.example.com`` for ``.example.com``."""
    return f"*{host}" if host.startswith(".") else host


def check_names(kind: str, key: ObjectKey) -> None:
    """Refuse names that Kubernetes would not take.

    Raises:
        NotAcceptable: one of them cannot stand in a configuration.
    """
    if not is_dns_label(key.namespace):
        raise NotAcceptable(
            Reason.CONFIG_REJECTED,
            f"namespace {shown(key.namespace)} is no DNS label and cannot stand in HAProxy's configuration",
        )
    if not is_dns_subdomain(key.name):
        raise NotAcceptable(
            Reason.CONFIG_REJECTED,
            f"{kind} name {shown(key.name)} is no DNS name and cannot stand in HAProxy's configuration",
        )


def read_address(annotations: Mapping[str, str], settings: AdmissionSettings, *, claims_port: bool) -> str:
    """Give the name of the address that a port shall be of; empty is ``--bind-address``.

    Raises:
        NotAcceptable: the router has none of that name, or no port is asked for.
    """
    name = annotations.get(EXTERNAL_ADDRESS)
    if name is None:
        return ""
    if name not in settings.addresses:
        known = f"this router has {', '.join(settings.addresses) or 'none'} (--address)"
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {EXTERNAL_ADDRESS} is {shown(name)}; it must be the name of an address, and {known}",
        )
    if not claims_port:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            f"annotation {EXTERNAL_ADDRESS} says of which address the port is, and needs {EXTERNAL_TCP_PORT}",
        )
    return name


def check_port(port: int | None, settings: AdmissionSettings, address: str = "") -> None:
    """Refuse ports that nobody may have.

    Args:
        port: the port.
        settings: what may be served.
        address: the name of the address that the port is of; empty is ``--bind-address``.

    Raises:
        NotAcceptable: it is the router's, reserved or not allowed.
    """
    if port is None:
        return
    named = settings.addresses[address] if address else None
    if port == settings.sni_port and (named is None or named.overlaps):
        raise NotAcceptable(
            Reason.PORT_RESERVED, f"port {port} is the router's own, for Routes that are told apart by SNI"
        )
    if port in (settings.reserved_ports if named is None else named.reserved_ports):
        raise NotAcceptable(
            Reason.PORT_RESERVED, f"port {port} is reserved, for the router itself or for the node that it runs on"
        )
    if port not in settings.ports:
        allowed = str(settings.ports) or "none"
        raise NotAcceptable(Reason.PORT_NOT_ALLOWED, f"port {port} is not allowed; allowed are {allowed}")


def read_external_port(annotations: Mapping[str, str], settings: AdmissionSettings) -> tuple[int | None, bool]:
    """Read which port a Route asks for, and whether it asks for any.

    Raises:
        NotAcceptable: it is no port, or any, and the router has none to give.
    """
    if annotations.get(EXTERNAL_TCP_PORT) == AUTO:
        check_auto(settings)
        return None, True
    return read(annotations, EXTERNAL_TCP_PORT, _EXTERNAL_PORT_FORM, Reason.INVALID_PORT), False


def check_auto(settings: AdmissionSettings) -> None:
    """Refuse those who ask for any port where none is given.

    Raises:
        NotAcceptable: the router has no ports to give.
    """
    if not settings.auto_ports.ranges:
        raise NotAcceptable(
            Reason.PORT_NOT_ALLOWED,
            f"annotation {EXTERNAL_TCP_PORT} is {AUTO}; this router gives out no ports (--auto-ports): ask for a certain one",
        )
