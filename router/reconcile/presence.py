"""Which of the named addresses this node has, and what of the model can be bound here by that.

An address that is another node's for now (VRRP, kube-vip) is nothing wrong: its ports are not bound here until it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import is_not
from typing import Protocol

from router.model import Bind, Model, RouteSection, SharedFrontend, Spot
from router.ordered import Images


@dataclass(frozen=True, slots=True)
class Here:
    """How it stands with IP addresses on this node."""

    bindable: frozenset[str] = frozenset()
    """What can be listened on: with ``net.ipv4.ip_nonlocal_bind`` also what is not here yet."""
    present: frozenset[str] = frozenset()


class Pool(Protocol):
    """What is declared in advance, wherever it can be bound."""

    def sections(
        self, model: Model, unavailable: Collection[Spot] = (), declared: Collection[Spot] | None = None
    ) -> tuple[RouteSection, ...]:
        """Give what is to be declared beside a model."""


class Presence:
    """Fits models to this node. All calls from one thread.

    Args:
        addresses: the IP addresses by name.
        here: gives what is here now.
    """

    def __init__(self, addresses: Mapping[str, tuple[str, ...]] | None = None, here: Callable[[], Here] = Here) -> None:
        self._addresses = addresses or {}
        self._here = here
        self._bindable: frozenset[str] = frozenset()
        self._fitted = Images(self._section)
        self._last: tuple[Model, Model] = (Model(), Model())
        """The last model, and what it was fitted to."""
        self._of_pool: dict[int, tuple[RouteSection, RouteSection]] = {}
        """By identity of a section of the pool, it and what it was fitted to."""
        self._of_shared: dict[Spot, tuple[SharedFrontend, SharedFrontend]] = {}

    def look(self) -> bool:
        """Take note of what is here now; say whether something came that can be listened on."""
        if not self._addresses:
            return False
        former, self._bindable = self._bindable, self._here().bindable
        if former == self._bindable:
            return False
        self._fitted, self._last = Images(self._section), (Model(), Model())
        self._of_pool, self._of_shared = {}, {}
        return not self._bindable <= former

    @property
    def present(self) -> frozenset[str]:
        """The IP addresses that this node has."""
        return self._here().present

    def fit(self, model: Model) -> Model:
        """Give a model as it can be bound here; the same one where it names no address."""
        if not self._addresses:
            return model
        if self._last[0] is not model:
            fitted = self._fitted(model.routes)
            routes = fitted if any(map(is_not, fitted, model.routes)) else model.routes
            shared = self._shared(model.shared)
            is_same = routes is model.routes and shared is model.shared
            self._last = model, model if is_same else replace(model, routes=routes, shared=shared)
        return self._last[1]

    def fit_pool(self, sections: Iterable[RouteSection]) -> tuple[RouteSection, ...]:
        """Give the sections of the pool that can be bound here."""
        if not self._addresses:
            return tuple(sections)
        fitted = []
        for section in sections:
            pair = self._of_pool.get(id(section))
            if pair is None:
                pair = self._of_pool[id(section)] = (section, self._section(section))
            if pair[1].frontend is not None or section.frontend is None:
                fitted.append(pair[1])
        return tuple(fitted)

    def binds_at(self, spot: Spot) -> tuple[Bind, ...]:
        """Give what is to be bound here for a frontend."""
        if not spot.address:
            return (Bind(spot.port),)
        return tuple(Bind(spot.port, ip) for ip in self._ips(spot.address))

    def _ips(self, address: str) -> tuple[str, ...]:
        return tuple(ip for ip in self._addresses.get(address, ()) if ip in self._bindable)

    def _section(self, section: RouteSection) -> RouteSection:
        frontend = section.frontend
        if frontend is None or not frontend.address:
            return section
        ips = self._ips(frontend.address)
        return replace(section, frontend=replace(frontend, ips=ips) if ips else None)

    def _shared(self, shared: tuple[SharedFrontend, ...]) -> tuple[SharedFrontend, ...]:
        if not any(frontend.address for frontend in shared):
            return shared
        of_shared: dict[Spot, tuple[SharedFrontend, SharedFrontend]] = {}
        for frontend in shared:
            ips = self._ips(frontend.address) if frontend.address else ()
            if ips or not frontend.address:
                former = self._of_shared.get(frontend.spot)
                is_same = former is not None and former[0] is frontend
                of_shared[frontend.spot] = (
                    former if former is not None and is_same else (frontend, replace(frontend, ips=ips))
                )
        self._of_shared = of_shared
        return tuple(fitted for _, fitted in of_shared.values())


def everywhere(addresses: Mapping[str, tuple[str, ...]]) -> Presence:
    """Give what fits models to a node that has all addresses: for those who only want to know what would be served."""
    every = frozenset(ip for ips in addresses.values() for ip in ips)
    presence = Presence(addresses, lambda: Here(every, every))
    presence.look()
    return presence


@dataclass(frozen=True, slots=True)
class FittedPool:
    """The pool as it can be bound here; its sections are given on any thread."""

    pool: Pool
    presence: Presence

    def sections(
        self, model: Model, unavailable: Collection[Spot] = (), declared: Collection[Spot] | None = None
    ) -> tuple[RouteSection, ...]:
        """Give what is to be declared beside a model."""
        return self.presence.fit_pool(self.pool.sections(model, unavailable, declared))
