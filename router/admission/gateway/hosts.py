"""Hostnames of listeners and of routes: exact ones, and wildcards that stand for one or more labels."""

from __future__ import annotations

from collections.abc import Iterable

from router.admission.text import LONGEST_ENDING, is_dns_subdomain

ANY = "*"
"""Where no hostname is said."""
MAX_LABELS = 6
"""Behind the asterisk of a wildcard: for each number of labels HAProxy makes a look-up for each connection."""
_WILDCARD = "*."


def is_host(name: str | None) -> bool:
    """Say whether a name can be served: none, a DNS name, or a wildcard over one that has not too many labels."""
    if name is None:
        return True
    domain = name.lower().removeprefix(_WILDCARD)
    is_short = not name.startswith(_WILDCARD) or domain.count(".") < MAX_LABELS
    return is_dns_subdomain(domain) and is_short


def is_carried(name: str) -> bool:
    """Say whether HAProxy can lead clients of a name to where their TLS ends."""
    return len(name) <= LONGEST_ENDING


def is_led(name: str, *, ends_tls: bool) -> bool:
    """Say whether clients of a name can be led anywhere: where TLS ends, a certificate is shown by a name, or by a wildcard over one."""
    return (is_host(name) and (is_carried(name) or not ends_tls)) or (name == ANY and not ends_tls)


def claimed(name: str | None) -> str:
    """Give the host that a listener claims on its port, as ``SniHost.host`` spells it: one that a Route's wildcard is not told from."""
    own = (name or ANY).lower()
    return own.removeprefix("*") if own.startswith(_WILDCARD) else own


def specificity(name: str) -> tuple[bool, int]:
    """Give what orders names that one host goes by: the most specific is the largest."""
    return name != ANY and not name.startswith(_WILDCARD), 0 if name == ANY else len(name)


def covers(one: str, other: str) -> bool:
    """Say whether all hosts of the other name are hosts of the one."""
    return meet(one, other) == other


def meet(one: str, other: str) -> str | None:
    """Give the names that two have in common, as one name; None where they have none. Names are in lower case."""
    if other in {ANY, one}:
        return one
    if one == ANY:
        return other
    if _is_under(one, other):
        return one
    return other if _is_under(other, one) else None


def _is_under(name: str, wildcard: str) -> bool:
    """Say whether all hosts of a name are under a wildcard, and the name is another."""
    if not wildcard.startswith(_WILDCARD):
        return False
    domain, within = wildcard.removeprefix("*"), name.removeprefix("*")
    return within.endswith(domain) and len(within) > len(domain)


def intersections(listener: str | None, route: Iterable[str] | None) -> frozenset[str]:
    """Give the names by which a route is reached at a listener; none where they do not meet."""
    own = (listener or ANY).lower()
    named = [each.lower() for each in route or ()] or [ANY]
    return frozenset(name for each in named if (name := meet(own, each)) is not None)
