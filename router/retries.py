"""When what failed, or was refused, is tried again: pauses that grow, and the list of what is set aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.resources import ObjectKey, Route
from router.set_aside import Refusal, Refusals


class Backoff:
    """Pauses that double from ``first_s`` to ``longest_s`` seconds, until ``reset``."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def pause_s(self) -> float:
        """Give the next pause, seconds."""
        pause_s = self._next_s
        self._next_s = min(self._next_s * 2, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next_s = self._first_s


@dataclass(slots=True)
class _Entry:
    refusal: Refusal
    backoff: Backoff
    retry_s: float
    route: Route | None = None
    on_trial: bool = False


class SetAside:
    """What is set aside, and when each is tried again.

    A refused Route is tried again when it is another object than the one refused, and after pauses that grow. A port that
    could not be bound is tried again as soon as a look says that it is free; where HAProxy refuses it all the same, after
    pauses that grow, because a load that fails costs all.

    Args:
        refused_pauses_s: first and longest pause before HAProxy is asked again about what it refused.
        port_pause_s: pause between looks at a port.
    """

    def __init__(self, refused_pauses_s: tuple[float, float], port_pause_s: float) -> None:
        self._refused_pauses_s = refused_pauses_s
        self._port_pause_s = port_pause_s
        self._routes: dict[ObjectKey, _Entry] = {}
        self._ports: dict[int, _Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._routes or self._ports)

    def in_force(self) -> Refusals:
        """Give what is to be left out now: everything set aside that is not on trial."""
        return Refusals(
            {key: entry.refusal for key, entry in self._routes.items() if not entry.on_trial},
            {port: entry.refusal for port, entry in self._ports.items() if not entry.on_trial},
        )

    def add(self, refusals: Refusals, routes: Mapping[ObjectKey, Route], now_s: float) -> Refusals:
        """Set these aside, or aside again.

        Args:
            refusals: what HAProxy, or the kernel, said.
            routes: the Routes as they are now.
            now_s: ``time.monotonic``.

        Returns:
            Those of them that were not set aside before for the same reason: news.
        """
        news = Refusals(
            {key: new for key, new in refusals.routes.items() if _former(self._routes.get(key)) != new},
            {port: new for port, new in refusals.ports.items() if _former(self._ports.get(port)) != new},
        )
        for key, refusal in refusals.routes.items():
            entry = self._routes.get(key)
            backoff = entry.backoff if entry is not None else Backoff(*self._refused_pauses_s)
            self._routes[key] = _Entry(refusal, backoff, now_s + backoff.pause_s(), routes.get(key))
        for port, refusal in refusals.ports.items():
            entry = self._ports.get(port)
            if entry is not None:
                # It looked free.
                self._ports[port] = _Entry(refusal, entry.backoff, now_s + entry.backoff.pause_s())
            else:
                self._ports[port] = _Entry(refusal, Backoff(*self._refused_pauses_s), now_s + self._port_pause_s)
        return news

    def review(
        self,
        routes: Mapping[ObjectKey, Route],
        wanted: frozenset[int],
        look: Callable[[tuple[int, ...]], Mapping[int, str]],
        now_s: float,
    ) -> None:
        """Put on trial what is due, and forget what nobody wants any more.

        Args:
            routes: the Routes as they are now.
            wanted: the ports that some Route would have, were nothing set aside.
            look: says which of some ports still cannot be bound; called with those due, if any are.
            now_s: ``time.monotonic``.
        """
        for key, entry in list(self._routes.items()):
            if routes.get(key) is not entry.route:
                del self._routes[key]
            elif entry.retry_s <= now_s:
                entry.on_trial = True
        for port in self._ports.keys() - wanted:
            del self._ports[port]
        due = tuple(port for port, entry in sorted(self._ports.items()) if entry.retry_s <= now_s)
        still_taken = look(due) if due else {}
        for port in due:
            self._ports[port].on_trial = port not in still_taken
            self._ports[port].retry_s = now_s + self._port_pause_s

    def retry_routes_now(self, now_s: float) -> None:
        """Make every Route due: what they were refused for may be gone (new templates)."""
        for entry in self._routes.values():
            entry.retry_s = now_s

    def acquit(self) -> None:
        """Forget what was on trial: HAProxy serves it now."""
        self._routes = {key: entry for key, entry in self._routes.items() if not entry.on_trial}
        self._ports = {port: entry for port, entry in self._ports.items() if not entry.on_trial}

    def due_s(self) -> float:
        """Give when the next of them is due (``time.monotonic``); infinity for never."""
        entries = (*self._routes.values(), *self._ports.values())
        return min((entry.retry_s for entry in entries if not entry.on_trial), default=float("inf"))


def _former(entry: _Entry | None) -> Refusal | None:
    return entry.refusal if entry is not None else None
