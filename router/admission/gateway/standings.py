"""Which listeners of one Gateway, and of its ListenerSets, do not go together on a port."""

from __future__ import annotations

from typing import NamedTuple

from router.admission.text import shown
from router.objects.gateway import Listener

_TOGETHER: tuple[frozenset[str], ...] = (frozenset({"TLS", "HTTPS"}), frozenset({"TCP"}), frozenset({"HTTP"}))
"""Protocols that can have a port together, told apart by host; no two of these groups can."""


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

    def add(self, owner: str, listener: Listener) -> None:
        """Take one that has what it asks for; ``owner`` is whose it is, in words."""
        group = _group(listener.protocol)
        if group is not None:
            by_host = self._by_port.setdefault(listener.port, {}).setdefault(group, {})
            by_host.setdefault(listener.hostname or "", _Standing(owner, listener))

    def clash(self, listener: Listener) -> Clash | None:
        """Say what of these keeps out a listener that comes after them; None for nothing."""
        by_group, own = self._by_port.get(listener.port, {}), _group(listener.protocol)
        if own is None or not by_group:
            return None
        other = next((next(iter(by_host.values())) for group, by_host in by_group.items() if group != own), None)
        first = other or by_group.get(own, {}).get(listener.hostname or "")
        return clash(listener, first.listener, f" of {first.owner}") if first is not None else None


def clash(listener: Listener, other: Listener, whose: str = "") -> Clash | None:
    """Say by which reason two listeners do not go together, and in words; None if they do."""
    group, theirs = _group(listener.protocol), _group(other.protocol)
    if other.port != listener.port or group is None or theirs is None:
        return None
    if theirs != group:
        message = f"port {listener.port} cannot be {listener.protocol} and, by listener {shown(other.name)}{whose}, {other.protocol}"
        return Clash("ProtocolConflict", message)
    if (other.hostname or "") == (listener.hostname or ""):
        message = f"port {listener.port} is asked for in the same way by listener {shown(other.name)}{whose}"
        return Clash("HostnameConflict", message)
    return None


def _group(protocol: str) -> frozenset[str] | None:
    return next((group for group in _TOGETHER if protocol in group), None)
