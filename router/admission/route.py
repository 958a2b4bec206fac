"""What a Route asks for, read from that Route alone, or why it cannot be had."""

from __future__ import annotations

from router.admission.forms import BOOLEAN, read
from router.admission.near_keys import near_keys, read_near_keys, told
from router.admission.odd_specs import asked_host, host_hint, spec_warnings, subdomain_hint
from router.admission.options import EXTERNAL_TCP_PORT, EXTERNAL_TCP_PORT_SNI, read_options
from router.admission.request import (
    PORT_FORM,
    Request,
    Target,
    annotations_of,
    asks_for,
    check_names,
    check_port,
    displayed_host,
    read_address,
    read_external_port,
)
from router.admission.termination import NO_CREDENTIALS, Credentials, Ending, Termination, read_termination, read_tls
from router.admission.text import LONGEST_ENDING, is_host, is_service_name, shown
from router.admission.verdicts import NotAcceptable, Reason, Verdict
from router.admission.weights import MAX_WEIGHT
from router.model import ROUTE_KIND, Asker
from router.objects.meta import ObjectKey
from router.objects.route import Route, RouteTarget
from router.settings import MAX_PORT, AdmissionSettings

MAX_ALTERNATES = 16
"""Of ``spec.alternateBackends``; the API of Routes takes 3 (openshift/api, route/v1: MaxItems)."""
_DEFAULT_WEIGHT = 100


def is_ours(route: Route, router_name: str) -> bool:
    """Say whether the Route asks for this router."""
    return asks_for(route.metadata, router_name)


def read_route(
    route: Route, settings: AdmissionSettings, credentials: Credentials = NO_CREDENTIALS
) -> Request | Verdict:
    """Read a Route of ours; a Verdict is the rejection of one that is not acceptable whatever else there is."""
    key, asker = route.key, Asker.route(*route.key, route.metadata.uid)
    port: int | None = None
    address = ""
    host: str | None = None
    annotations = annotations_of(route.metadata)
    try:
        check_names(ROUTE_KIND, key)
        port, auto = read_external_port(annotations, settings)
        host = _read_host(route, settings.domain)
        _check_wildcard(host, settings)
        address = read_address(annotations, settings, claims_port=port is not None or auto)
        check_port(port, settings, address)
        termination = read_termination(route)
        shares_port = _read_shares_port(route, port, host, settings.domain, has_tls=termination is not Termination.NONE)
        has_own_port = auto or (port is not None and not shares_port)
        if not _tells_host(termination, settings, shares_port=shares_port, has_own_port=has_own_port):
            # The name is for HTTP routers, or for nobody: without TLS there is none that a client could tell.
            host = None
        if not auto:
            _check_something_is_asked_for(route, port, host, settings)
        ending = read_tls(route, termination, settings, credentials)
        _check_length(host, ending)
        options = read_options(annotations, settings.defaults, claims_port=auto or port is not None)
        targets = _read_targets(route)
        target_port = _read_target_port(route)
        warnings = (
            *read_near_keys(annotations),
            *options.warnings,
            *spec_warnings(route, settings.domain),
            *ending.warnings,
        )
    except NotAcceptable as refused:
        asked_host = displayed_host(host) if host is not None else None
        # A key that was mistyped is often why: external-tcp-prot leaves the Route without a port.
        near = [each for each in near_keys(annotations)[:1] if shown(each.key) not in refused.message]
        message = "; ".join((refused.message, *told(near)))
        return Verdict(asker=asker, port=port, host=asked_host, reason=refused.reason, message=message, address=address)
    return Request(
        asker=asker,
        port=port,
        address=address,
        shares_port=shares_port,
        host=host,
        # "null" in a manifest may arrive as the empty text.
        created=route.metadata.creation_timestamp or None,
        options=options,
        targets=targets,
        target_port=target_port,
        warnings=warnings,
        port_tls=ending.port,
        server_name=ending.server_name,
        server_tls=ending.servers,
        auto=auto,
    )


def _read_host(route: Route, domain: str) -> str | None:
    """Give the server name that ``spec.host`` and ``spec.wildcardPolicy`` stand for, None without a host.

    ``Subdomain`` with the host ``www.example.com`` serves every name directly under ``example.com``, as in OpenShift
    (openshift/api, route/v1: WildcardPolicySubdomain).
    """
    policy = route.spec.wildcard_policy
    if policy not in ("", "None", "Subdomain"):
        raise NotAcceptable(
            Reason.INVALID_HOST, f"spec.wildcardPolicy is {shown(policy)}; accepted is None or Subdomain"
        )
    asked = asked_host(route, domain)
    host = _ascii_lower(asked)
    if not route.spec.host and policy == "Subdomain":
        raise NotAcceptable(Reason.INVALID_HOST, "spec.wildcardPolicy is Subdomain; that needs a spec.host")
    if not host:
        return None
    if not is_host(host):
        what = "host" if route.spec.host else "subdomain, with the router's domain,"
        raise NotAcceptable(
            Reason.INVALID_HOST, f"spec.{what} is {shown(asked)}, which is no DNS name{host_hint(host)}"
        )
    if policy != "Subdomain":
        return host
    _, dot, above = host.partition(".")
    if not dot:
        raise NotAcceptable(
            Reason.INVALID_HOST,
            f"spec.wildcardPolicy is Subdomain; that needs a domain in spec.host, not just {shown(host)}",
        )
    return f".{above}"


def _check_length(host: str | None, ending: Ending) -> None:
    """See that HAProxy can lead clients of a host to where their TLS ends: it carries no longer name there (PROXY protocol, PP2_TYPE_UNIQUE_ID)."""
    if host is not None and ending.port is not None and len(host) > LONGEST_ENDING:
        raise NotAcceptable(
            Reason.INVALID_HOST,
            f"its host has {len(host)} characters; accepted are up to {LONGEST_ENDING} where the router ends TLS by the name: take a shorter one, a port of "
            "the Route's own (external-tcp-port), or spec.tls.termination passthrough",
        )


def _check_wildcard(host: str | None, settings: AdmissionSettings) -> None:
    if host is not None and host.startswith(".") and not settings.allow_wildcard_routes:
        # Reason and words of OpenShift's router.
        raise NotAcceptable(
            Reason.ROUTE_NOT_ADMITTED,
            "wildcard routes are not allowed: set spec.wildcardPolicy to None, or have an administrator allow them "
            "(--allow-wildcard-routes)",
        )


def _ascii_lower(text: str) -> str:
    """Lower ASCII letters only: ``str.lower`` makes a plain k of the Kelvin sign."""
    return text.lower() if text.isascii() else text


def _tells_host(
    termination: Termination, settings: AdmissionSettings, *, shares_port: bool, has_own_port: bool
) -> bool:
    """Say whether a Route is reached by its host.

    A port of its own that ends TLS answers every client, whatever host it names: to be on the SNI port as well is not asked for there.
    """
    if termination is Termination.NONE:
        return False
    is_on_sni_port = bool(settings.sni_port) and (termination is Termination.PASSTHROUGH or not has_own_port)
    return shares_port or is_on_sni_port


def _read_shares_port(route: Route, port: int | None, host: str | None, domain: str, *, has_tls: bool) -> bool:
    if not read(annotations_of(route.metadata), EXTERNAL_TCP_PORT_SNI, BOOLEAN):
        return False
    needed = {
        # Those who share a port have to name the same one.
        f"{EXTERNAL_TCP_PORT} with a number": port is not None,
        "spec.tls.termination (passthrough, edge or reencrypt)": has_tls,
        "spec.host": host is not None,
    }
    missing = [need for need, there in needed.items() if not there]
    if missing:
        raise NotAcceptable(
            Reason.INVALID_ANNOTATION,
            "; ".join(
                filter(
                    None,
                    (
                        f"annotation {EXTERNAL_TCP_PORT_SNI} is true; that needs {' and '.join(missing)}",
                        subdomain_hint(route, domain),
                    ),
                )
            ),
        )
    return True


def _check_something_is_asked_for(
    route: Route, port: int | None, host: str | None, settings: AdmissionSettings
) -> None:
    if port is not None or host is not None:
        return
    message = f"the Route asks for no port: add the annotation {EXTERNAL_TCP_PORT}"
    if settings.sni_port:
        message += f", or TLS (spec.tls.termination) and a spec.host to be reached on the SNI port {settings.sni_port}"
    raise NotAcceptable(Reason.INVALID_PORT, "; ".join(filter(None, (message, subdomain_hint(route, settings.domain)))))


def services_of(route: Route) -> frozenset[ObjectKey]:
    """Give the Services that a Route leads to; none where what it says of them is not acceptable."""
    try:
        return frozenset(target.service for target in _read_targets(route))
    except NotAcceptable:
        return frozenset()


def _read_targets(route: Route) -> tuple[Target, ...]:
    namespace = route.metadata.namespace
    if not route.spec.alternate_backends:
        return (Target(ObjectKey(namespace, route.spec.to.name), _read_weight("spec.to", route.spec.to)),)
    if len(route.spec.alternate_backends) > MAX_ALTERNATES:
        raise NotAcceptable(
            Reason.CONFIG_REJECTED,
            f"spec.alternateBackends has {len(route.spec.alternate_backends)} entries; accepted are up to {MAX_ALTERNATES}",
        )
    weights: dict[str, int] = {}
    named = [("spec.to", route.spec.to)]
    named += [(f"spec.alternateBackends[{index}]", each) for index, each in enumerate(route.spec.alternate_backends)]
    for path, target in named:
        # A Service that is named twice gets both shares.
        weights[target.name] = weights.get(target.name, 0) + _read_weight(path, target)
    return tuple(Target(ObjectKey(namespace, name), weight) for name, weight in weights.items())


def _read_weight(path: str, target: RouteTarget) -> int:
    if target.kind not in ("", "Service"):
        raise NotAcceptable(
            Reason.CONFIG_REJECTED, f"{path}.kind is {shown(target.kind)}; only a Service can be served"
        )
    if not target.name:
        raise NotAcceptable(Reason.CONFIG_REJECTED, f"{path}.name is empty; it must name a Service")
    if not is_service_name(target.name):
        raise NotAcceptable(
            Reason.CONFIG_REJECTED,
            f"{path}.name is {shown(target.name)}, which no Service can be named; accepted are up to 63 characters of a-z, 0-9 "
            "and dashes in between",
        )
    weight = _DEFAULT_WEIGHT if target.weight is None else target.weight
    if not 0 <= weight <= MAX_WEIGHT:
        raise NotAcceptable(Reason.CONFIG_REJECTED, f"{path}.weight is {shown(weight)}; accepted is 0 to {MAX_WEIGHT}")
    return weight


def _read_target_port(route: Route) -> int | str | None:
    """Give the target port; digits are a number however they are written, for no port can have such a name."""
    target = route.spec.port.target_port if route.spec.port is not None else None
    if target is None or target == "":
        return None
    number = PORT_FORM.parse(target) if isinstance(target, str) else target
    if number is None:
        return target
    if not 1 <= number <= MAX_PORT:
        raise NotAcceptable(
            Reason.INVALID_PORT, f"spec.port.targetPort is {shown(number)}; accepted is 1 to {MAX_PORT}, or a name"
        )
    return number
