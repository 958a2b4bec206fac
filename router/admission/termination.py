"""Where the TLS of a Route ends, and with which certificate: what ``spec.tls`` asks for, or why it cannot be had."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import get_args

from router.admission.certificates import Pair, read_authorities, read_pair
from router.admission.client_certificates import config_maps_of, read_clients
from router.admission.external_certificate import FIELD, external_name, read_external, secret_of
from router.admission.forms import Form, choice, read
from router.admission.odd_specs import asked_host
from router.admission.options import CLIENT_CA, DESTINATION_SERVER_NAME, STARTTLS, TLS_ALPN, TLS_MIN_VERSION
from router.admission.request import annotations_of
from router.admission.text import is_host, shown
from router.admission.verdicts import NotAcceptable, Reason
from router.model.tls import TLS_VERSIONS, PortTls, ServerTls, StartTls
from router.objects.credential import DEFAULTS, Credential
from router.objects.meta import ObjectKey
from router.objects.route import Route, RouteIngress, RouteTLS
from router.settings import AdmissionSettings

HOST_GENERATED = "openshift.io/host.generated"
"""Annotation of a Route whose host nobody asked for: OpenShift's API server made it of the Route's name."""


Credentials = Mapping[ObjectKey, Credential]
"""What Routes may refer to, by key; that of a Secret is its own."""
NO_CREDENTIALS: Credentials = MappingProxyType({})


class Termination(StrEnum):
    """Where TLS ends; the values are those of ``spec.tls.termination``."""

    NONE = "none"
    """There is no TLS, as far as the router knows."""
    PASSTHROUGH = "passthrough"
    EDGE = "edge"
    REENCRYPT = "reencrypt"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a Route's TLS ends, and begins anew; nothing where it goes on to the pods."""

    port: PortTls | None = None
    servers: ServerTls | None = None
    warnings: tuple[str, ...] = ()
    server_name: str = ""
    """What clients should ask for, and find in the certificate; empty where nobody can tell."""


_NOWHERE = Ending()

_VERSION_FORM = choice(TLS_VERSIONS[2:])
_STARTTLS_FORM = choice(get_args(StartTls))
_POSTGRESQL = ("postgresql",)
"""The protocol's name (IANA's registry of ALPN): without it neither clients nor servers of PostgreSQL begin with TLS."""
_STARTTLS_AND_CLIENTS = (
    f"annotation {STARTTLS} does not go together with certificates of clients ({CLIENT_CA}, --mutual-tls-auth): remove one of them. Without {STARTTLS} clients that begin with "
    "TLS (sslnegotiation=direct) are asked for theirs"
)
_MAX_ALPN = 8
_ALPN = re.compile(r"[a-z][a-z0-9./_-]{0,31}")


def _alpn(text: str) -> tuple[str, ...] | None:
    names = tuple(text.replace(", ", ",").split(",", _MAX_ALPN))
    return names if len(names) <= _MAX_ALPN and all(map(_ALPN.fullmatch, names)) else None


def _server_name(text: str) -> str | None:
    # The last label of a name is no number: "1.5" is something else.
    return text if is_host(text) and re.search(r"\.[a-z][^.]*$", text) else None


_HOST_FORM: Form[str] = Form("a DNS name in lower case with a dot in it, such as db.example.com", _server_name)
_ALPN_FORM: Form[tuple[str, ...]] = Form(
    f"up to {_MAX_ALPN} names of protocols with commas between, such as postgresql", _alpn
)


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
    if tls.termination not in {Termination.PASSTHROUGH, Termination.EDGE, Termination.REENCRYPT}:
        raise NotAcceptable(
            Reason.UNSUPPORTED_TERMINATION,
            f"spec.tls.termination is {shown(tls.termination)}; accepted are edge, reencrypt and passthrough, or no tls at all",
        )
    return Termination(tls.termination)


def credentials_of(route: Route) -> tuple[ObjectKey, ...]:
    """Give what a Route refers to where its TLS ends, whether that is there or not."""
    tls = route.spec.tls
    if tls is None or tls.termination == Termination.PASSTHROUGH:
        return ()
    secret, config_maps = secret_of(route), config_maps_of(annotations_of(route.metadata), route.metadata.namespace)
    return (DEFAULTS, *config_maps) if secret is None else (DEFAULTS, secret, *config_maps)


def read_offer(
    annotations: Mapping[str, str], settings: AdmissionSettings
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Give the oldest version of TLS (empty is the router's), the protocols that are offered, and what of both has no effect.

    Raises:
        NotAcceptable: one of them is not of its form.
    """
    min_version = read(annotations, TLS_MIN_VERSION, _VERSION_FORM) or ""
    alpn = read(annotations, TLS_ALPN, _ALPN_FORM) or ()
    if not min_version or min_version >= settings.tls_min_version:
        return min_version, alpn, ()
    said = f"annotation {TLS_MIN_VERSION} has no effect: this router takes nothing before {settings.tls_min_version}"
    return "", alpn, (said,)


def read_tls(route: Route, termination: Termination, settings: AdmissionSettings, credentials: Credentials) -> Ending:
    """Give how a Route's TLS ends.

    Args:
        route: the Route.
        termination: as ``read_termination`` gives it.
        settings: of this router.
        credentials: what the Route may refer to.

    Raises:
        NotAcceptable: what it asks for cannot be had.
    """
    tls, annotations = route.spec.tls, annotations_of(route.metadata)
    server_name = read(annotations, DESTINATION_SERVER_NAME, _HOST_FORM) or ""
    min_version, alpn, no_effect = read_offer(annotations, settings)
    ends_tls = tls is not None and termination is not Termination.PASSTHROUGH
    clients = read_clients(annotations, route.metadata.namespace, settings, credentials, ends_tls=ends_tls)
    starttls = read(annotations, STARTTLS, _STARTTLS_FORM)
    if tls is None or termination is Termination.PASSTHROUGH:
        if starttls is not None:
            raise NotAcceptable(Reason.INVALID_ANNOTATION, _needs_ending(termination))
        unused = [key for key in (TLS_MIN_VERSION, TLS_ALPN) if key in annotations]
        said = (f"annotation {key} has no effect: the router does not end TLS for this Route" for key in unused)
        warnings = (
            *(_without_effect(tls) if tls is not None else ()),
            *_unused_name(server_name),
            *said,
            *clients[1],
        )
        name = asked_host(route, settings.domain).lower() if tls is not None else ""
        return Ending(warnings=warnings, server_name=name) if warnings or name else _NOWHERE
    _check_policy(tls)
    defaults = credentials.get(DEFAULTS, _NO_DEFAULTS)
    pair, warnings = _pair(route, tls, credentials)
    warnings = (*pair.warnings, *warnings, *_exposure(route, settings.router_name), *no_effect)
    if starttls is not None and alpn and not set(_POSTGRESQL) & set(alpn):
        unnamed = f"annotation {TLS_ALPN} does not name {_POSTGRESQL[0]}"
        warnings += (
            f"{unnamed}: clients of PostgreSQL that begin with TLS (sslnegotiation=direct) end the connection",
        )
    named = alpn or (_POSTGRESQL if starttls is not None else ())
    port = PortTls(pair.certificate, min_version, named, clients[0], starttls)
    warnings += clients[1]
    if starttls is not None and clients[0] is not None:
        raise NotAcceptable(Reason.INVALID_ANNOTATION, _STARTTLS_AND_CLIENTS)
    if tls.certificate or external_name(tls):
        warnings += _host_warning(route, tls, pair, settings.domain)
    name = pair.name_for(asked_host(route, settings.domain).lower())
    if termination is Termination.REENCRYPT:
        servers = _server_tls(tls, server_name, defaults)
        # Towards its pods the router begins with TLS, which PostgreSQL takes by that name alone.
        return Ending(port, replace(servers, alpn=_POSTGRESQL) if starttls is not None else servers, warnings, name)
    if tls.destination_ca_certificate:
        raise NotAcceptable(
            Reason.EXTENDED_VALIDATION_FAILED,
            "spec.tls.destinationCACertificate: edge termination does not support destination certificates",
        )
    return Ending(port, None, (*warnings, *_unused_name(server_name)), name)


def _needs_ending(termination: Termination) -> str:
    ways = "spec.tls.termination edge, or reencrypt for pods of PostgreSQL 17 and newer"
    if termination is Termination.PASSTHROUGH:
        return f"annotation {STARTTLS} is for TLS that ends at the router, and spec.tls.termination is passthrough; it needs {ways}"
    return (
        f"annotation {STARTTLS} is for TLS that ends at the router, and the Route has no spec.tls; it needs {ways}. "
        "Without tls and without the annotation clients and pods agree on TLS themselves"
    )


_NO_DEFAULTS = Credential()


def _check_policy(tls: RouteTLS) -> None:
    policy = tls.insecure_edge_termination_policy
    if policy not in {"", "None"}:
        raise NotAcceptable(
            Reason.UNSUPPORTED_TERMINATION,
            f"spec.tls.insecureEdgeTerminationPolicy is {shown(policy)}, which a TCP port cannot keep: there is no second port without TLS, "
            "and nothing to redirect; accepted is None",
        )


def _pair(route: Route, tls: RouteTLS, credentials: Credentials) -> tuple[Pair, tuple[str, ...]]:
    """Give a Route's certificate, and what of the Route has no effect."""
    if external_name(tls):
        unused = ("the certificate is that of spec.tls.externalCertificate, so that spec.tls.key has no effect",)
        return read_external(route, tls, credentials), unused if tls.key else ()
    if tls.certificate:
        return read_pair("spec.tls", tls.certificate, tls.key, tls.ca_certificate), ()
    defaults = credentials.get(DEFAULTS, _NO_DEFAULTS)
    if not defaults.certificate:
        raise NotAcceptable(
            Reason.CERTIFICATE_MISSING,
            "the Route ends TLS and has no certificate, nor has this router one for such Routes: put one into spec.tls.certificate and key; "
            "where the pods have TLS themselves, set spec.tls.termination to passthrough",
        )
    pair = read_pair("--default-certificate", defaults.certificate, defaults.key_pem, "")
    if tls.key or tls.ca_certificate:
        return pair, ("spec.tls has no certificate, so that its key and caCertificate have no effect",)
    return pair, ()


def _server_tls(tls: RouteTLS, server_name: str, defaults: Credential) -> ServerTls:
    """Give how the pods of a Route are known: by its own authorities, else by OpenShift's service CA, which signs for Services."""
    if tls.destination_ca_certificate:
        authorities, problem = read_authorities(tls.destination_ca_certificate)
        if problem:
            raise NotAcceptable(Reason.EXTENDED_VALIDATION_FAILED, f"spec.tls.destinationCACertificate: {problem}")
        # Without a name any certificate of these will do, as with OpenShift's router.
        return ServerTls(authorities, server_name)
    authorities, problem = read_authorities(defaults.authorities) if defaults.authorities else ("", "there is none")
    if problem:
        raise NotAcceptable(
            Reason.CERTIFICATE_MISSING,
            "spec.tls.termination is reencrypt, without destinationCACertificate, nor has this router a CA for such Routes "
            f"(--default-destination-ca: {problem}): the pods could not be told from others",
        )
    return ServerTls(authorities, server_name, by_service=not server_name)


def _unused_name(server_name: str) -> tuple[str, ...]:
    if not server_name:
        return ()
    return (f"annotation {DESTINATION_SERVER_NAME} has no effect unless spec.tls.termination is reencrypt",)


def _without_effect(tls: RouteTLS) -> tuple[str, ...]:
    policy = tls.insecure_edge_termination_policy
    found = []
    if policy not in {"", "None"}:
        found.append(
            f"spec.tls.insecureEdgeTerminationPolicy is {shown(policy)}, which has no effect: a TCP port has no second one without TLS"
        )
    if tls.certificate or tls.key or tls.ca_certificate or tls.destination_ca_certificate or external_name(tls):
        found.append("spec.tls has certificates, which have no effect with the termination passthrough")
    return tuple(found)


def _host_warning(route: Route, tls: RouteTLS, pair: Pair, domain: str) -> tuple[str, ...]:
    host = asked_host(route, domain).lower()
    if not host or (route.metadata.annotations or {}).get(HOST_GENERATED) == "true" or pair.covers(host):
        return ()
    few = 5
    names = ", ".join(shown(name) for name in pair.names[:few]) or "no DNS name"
    more = f" and {len(pair.names) - few} more" if len(pair.names) > few else ""
    shown_one = FIELD if external_name(tls) else "spec.tls.certificate"
    return (
        f"{'spec.host' if route.spec.host else 'its host'} is {shown(host)}, and {shown_one} is for {names}{more}: clients that verify names refuse it",
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
