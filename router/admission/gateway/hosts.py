"""Hostnames of listeners and of routes: exact ones, and wildcards that stand for one or more labels."""

from __future__ import annotations

from collections.abc import Iterable

ANY = "*"
"""Where no hostname is said."""


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
    if not wildcard.startswith("*."):
        return False
    domain, within = wildcard.removeprefix("*"), name.removeprefix("*")
    return within.endswith(domain) and len(within) > len(domain)


def intersections(listener: str | None, route: Iterable[str] | None) -> frozenset[str]:
    """Give the names by which a route is reached at a listener; none where they do not meet."""
    own = (listener or ANY).lower()
    named = [each.lower() for each in route or ()] or [ANY]
    return frozenset(name for each in named if (name := meet(own, each)) is not None)
