"""Where the TLS of a Route ends, and with which certificate: what ``spec.tls`` asks for, or why it cannot be had."""

from __future__ import annotations

from enum import StrEnum

from router.admission.certificates import Pair, read_pair
from router.admission.options import EXTERNAL_TCP_PORT, EXTERNAL_TCP_PORT_SNI
from router.admission.text import shown
from router.admission.verdicts import NotAcceptable, Reason
from router.model import PortTls
from router.objects.route import Route, RouteIngress, RouteTLS

HOST_GENERATED = "openshift.io/host.generated"
"""Annotation of a Route whose host nobody asked for: OpenShift's API server made it of the Route's name."""


class Termination(StrEnum):
    """Where TLS ends; the values are those of ``spec.tls.termination``."""

    NONE = "none"
    """There is no TLS, as far as the router knows."""
    PASSTHROUGH = "passthrough"
    EDGE = "edge"


def read_termination(route: Route) -> Termination:
    """Say where the TLS of a Route ends. One that does not say ends it at the edge, as the API server writes it (defaulting).

    Raises:
        NotAcceptable: nowhere that there is.
    """
    tls = route.spec.tls
    if tls is None:
        return Termination.NONE
    if not tls.termination and not tls.destination_ca_certificate:
        return Termination.EDGE
    if tls.termination not in {Termination.PASSTHROUGH, Termination.EDGE}:
        raise NotAcceptable(
            Reason.UNSUPPORTED_TERMINATION,
            f"spec.tls.termination is {shown(tls.termination)}; accepted are edge and passthrough, or no tls at all",
        )
    return Termination(tls.termination)


def read_tls(
    route: Route, termination: Termination, router_name: str, *, has_own_port: bool
) -> tuple[PortTls | None, tuple[str, ...]]:
    """Give how a Route's port ends TLS, and warnings; None where it does not.

    Args:
        route: the Route.
        termination: as ``read_termination`` gives it.
        router_name: of this router.
        has_own_port: whether it claims a port for itself alone.

    Raises:
        NotAcceptable: what it asks for cannot be had.
    """
    tls = route.spec.tls
    if tls is None:
        return None, ()
    if termination is Termination.PASSTHROUGH:
        return None, _without_effect(tls)
    if not has_own_port:
        raise NotAcceptable(
            Reason.UNSUPPORTED_TERMINATION,
            f"spec.tls.termination is edge, which is served on a port of the Route's own: add the annotation {EXTERNAL_TCP_PORT}, "
            f"without {EXTERNAL_TCP_PORT_SNI}",
        )
    _check_policy(tls)
    if tls.destination_ca_certificate:
        raise NotAcceptable(
            Reason.EXTENDED_VALIDATION_FAILED,
            "spec.tls.destinationCACertificate: edge termination does not support destination certificates",
        )
    pair = _pair(tls)
    return PortTls(pair.certificate), (*pair.warnings, *_host_warning(route, pair), *_exposure(route, router_name))


def _check_policy(tls: RouteTLS) -> None:
    policy = tls.insecure_edge_termination_policy
    if policy not in {"", "None"}:
        raise NotAcceptable(
            Reason.UNSUPPORTED_TERMINATION,
            f"spec.tls.insecureEdgeTerminationPolicy is {shown(policy)}, which a TCP port cannot keep: there is no second port without TLS, "
            "and nothing to redirect; accepted is None",
        )


def _pair(tls: RouteTLS) -> Pair:
    if tls.external_certificate is not None and tls.external_certificate.name:
        raise NotAcceptable(
            Reason.UNSUPPORTED_TERMINATION,
            "spec.tls.externalCertificate is not read by this router; put the certificate into spec.tls.certificate and key",
        )
    if not tls.certificate:
        raise NotAcceptable(
            Reason.CERTIFICATE_MISSING,
            "the Route ends TLS and has no certificate: put one into spec.tls.certificate and key; where the pods have TLS themselves, "
            "set spec.tls.termination to passthrough",
        )
    return read_pair("spec.tls", tls.certificate, tls.key, tls.ca_certificate)


def _without_effect(tls: RouteTLS) -> tuple[str, ...]:
    policy = tls.insecure_edge_termination_policy
    found = []
    if policy not in {"", "None"}:
        found.append(
            f"spec.tls.insecureEdgeTerminationPolicy is {shown(policy)}, which has no effect: a TCP port has no second one without TLS"
        )
    if tls.certificate or tls.key or tls.ca_certificate or tls.destination_ca_certificate:
        found.append("spec.tls has certificates, which have no effect with the termination passthrough")
    return tuple(found)


def _host_warning(route: Route, pair: Pair) -> tuple[str, ...]:
    host = route.spec.host.lower()
    if not host or (route.metadata.annotations or {}).get(HOST_GENERATED) == "true" or pair.covers(host):
        return ()
    few = 5
    names = ", ".join(shown(name) for name in pair.names[:few]) or "no DNS name"
    more = f" and {len(pair.names) - few} more" if len(pair.names) > few else ""
    return (
        f"spec.host is {shown(host)}, and spec.tls.certificate is for {names}{more}: clients that verify names refuse it",
    )


def _exposure(route: Route, router_name: str) -> tuple[str, ...]:
    """Say that an HTTP router has taken the Route, too: what ends TLS here is HTTPS to it."""
    others = sorted(
        {
            entry.router_name
            for entry in route.status.ingress or ()
            if entry.router_name != router_name and _admits(entry)
        }
    )
    few = 3
    return tuple(
        f"the router {shown(name)} serves this Route too, as HTTPS; a routeSelector of that router leaves it out (docs/tls.md)"
        for name in others[:few]
    )


def _admits(entry: RouteIngress) -> bool:
    return any(each.type == "Admitted" and each.status == "True" for each in entry.conditions or ())
