"""What of a Route's spec says nothing here, and what would have been right: hints and warnings for its owner."""

from __future__ import annotations

from router.admission.text import is_host, shown
from router.objects.route import Route

_MAX_HOST = 253


def asked_host(route: Route, domain: str) -> str:
    """Give the host that a Route asks for: its own, else its subdomain of the router's domain, else none.

    OpenShift's router does the same (openshift/api, route/v1: RouteSpec.Subdomain); the API server leaves such a Route without a host.
    """
    return route.spec.host or (f"{route.spec.subdomain}.{domain}" if route.spec.subdomain and domain else "")


def spec_warnings(route: Route, domain: str) -> tuple[str, ...]:
    """Give a sentence for each field of an acceptable Route that has no effect."""
    found = []
    if subdomain := subdomain_hint(route, domain):
        found.append(subdomain)
    if route.spec.path:
        found.append(f"spec.path is {shown(route.spec.path)}, which has no effect: TCP knows no paths")
    return tuple(found)


def subdomain_hint(route: Route, domain: str) -> str:
    """Say that ``spec.subdomain`` makes no host; empty where it does not matter.

    OpenShift's router puts its own domain behind it (openshift/api, route/v1: RouteSpec.Subdomain); a host that is there goes first.
    """
    if route.spec.host or not route.spec.subdomain or domain:
        return ""
    return f"spec.subdomain is {shown(route.spec.subdomain)}, of which this router makes no host, for it has no domain (--domain); write spec.host"


def host_hint(host: str) -> str:
    """Say what would be right instead of a host that is no DNS name; empty where nobody can tell."""
    if host.startswith("*."):
        return "; for a wildcard set spec.wildcardPolicy to Subdomain"
    if host.endswith(".") and is_host(without_dot := host[:-1].lower()):
        return f"; write it without the dot, which clients may have at its end all the same: {without_dot}"
    if host.isascii():
        return ""
    label = _a_label(host)
    return f"; write it in ASCII, as clients ask for it: {label or 'its A-label, which begins with xn--'}"


def _a_label(host: str) -> str | None:
    """Give an internationalised name as DNS has it; None where two standards (IDNA 2003 and 2008) may not agree on it."""
    if len(host) > _MAX_HOST:
        return None
    try:
        encoded = host.lower().encode("idna")
        if encoded.decode("idna") != host.lower():
            return None
    except UnicodeError:
        return None
    label = encoded.decode("ascii")
    return label if is_host(label) else None
