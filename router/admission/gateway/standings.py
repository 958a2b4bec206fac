"""Which listeners of one Gateway, and of its ListenerSets, do not go together on a port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import NamedTuple

from router.admission.text import shown
from router.objects.gateway import Listener

_TOGETHER: tuple[frozenset[str], ...] = (frozenset({"TLS", "HTTPS"}), frozenset({"TCP"}), frozenset({"HTTP"}))
"""Protocols that can have a port together, told apart by host; no two of these groups can."""
_GROUPS: Mapping[str, frozenset[str]] = {protocol: group for group in _TOGETHER for protocol in group}


class Clash(NamedTuple):
    """Why a listener cannot be had beside another."""

    reason: str
    message: str


class _Standing(NamedTuple):
    owner: str
    listener: Listener


class Standings:
    """Listeners that have what they ask for before others; to ask costs the same, however many there are."""

    def __init__(self) -> None:
        self._by_port: dict[int, dict[frozenset[str], dict[str, _Standing]]] = {}
        """Then by group, then by hostname."""

    def __bool__(self) -> bool:
        return bool(self._by_port)

    def add(self, owner: str, listener: Listener) -> None:
        """Take one that has what it asks for; ``owner`` is whose it is, in words."""
        group = _GROUPS.get(listener.protocol)
        if group is not None:
            by_host = self._by_port.setdefault(listener.port, {}).setdefault(group, {})
            by_host.setdefault(listener.hostname or "", _Standing(owner, listener))

    def clash(self, listener: Listener) -> Clash | None:
        """Say what of these keeps out a listener that comes after them; None for nothing."""
        by_group, own = self._by_port.get(listener.port, {}), _GROUPS.get(listener.protocol)
        if own is None or not by_group:
            return None
        other = next((next(iter(by_host.values())) for group, by_host in by_group.items() if group != own), None)
        first = other or by_group.get(own, {}).get(listener.hostname or "")
        return clash(listener, first.listener, f" of {first.owner}") if first is not None else None


class Beside:
    """All listeners of one object: which of them do not go together, of which then none is had; to ask costs the same, however many there are."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._by_port: dict[int, dict[frozenset[str], dict[str, list[tuple[int, Listener]]]]] = {}
        """Then by group, then by hostname, each with its place, in their order."""
        for place, each in enumerate(listeners):
            group = _GROUPS.get(each.protocol)
            if group is not None:
                by_host = self._by_port.setdefault(each.port, {}).setdefault(group, {})
                by_host.setdefault(each.hostname or "", []).append((place, each))

    def clash(self, listener: Listener) -> Clash | None:
        """Say what the first of the others is that one of these does not go together with; None if it does with all."""
        by_group, own = self._by_port.get(listener.port), _GROUPS.get(listener.protocol)
        if by_group is None or own is None:
            return None
        alike = by_group[own][listener.hostname or ""]
        if len(alike) == 1 and len(by_group) == 1:
            return None
        others = [each for each in alike if each[1] is not listener]
        others += [first[0] for group, by_host in by_group.items() if group != own for first in by_host.values()]
        return clash(listener, min(others, key=itemgetter(0))[1]) if others else None


def clash(listener: Listener, other: Listener, whose: str = "") -> Clash | None:
    """Say by which reason two listeners do not go together, and in words; None if they do."""
    group, theirs = _GROUPS.get(listener.protocol), _GROUPS.get(other.protocol)
    if other.port != listener.port or group is None or theirs is None:
        return None
    if theirs != group:
        message = f"port {listener.port} cannot be {listener.protocol} and, by listener {shown(other.name)}{whose}, {other.protocol}"
        return Clash("ProtocolConflict", message)
    if (other.hostname or "") == (listener.hostname or ""):
        message = f"port {listener.port} is asked for in the same way by listener {shown(other.name)}{whose}"
        return Clash("HostnameConflict", message)
    return None
