"""When what was refused, or could not be bound, is tried again: the list of what is set aside."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from router.admission import Outcome
from router.admission.verdicts import Reason
from router.model import Asker, RouteSection, Spot
from router.ordered import differences
from router.reconcile.set_aside import NOTHING_ASIDE, Aside, Asides, Ask, Former, ask_for, ask_of, may_stay
from router.supervisor.backoff import Backoff

_HURRIED_PAUSE_S = 0.05
"""Between looks at a port that another generation of this router is about to close."""
_FEW = 64
"""How many ports are looked at so often, of any number."""


class Allowance:
    """How many refusals a namespace may cause: ``at_once``, and one more every ``every_s`` seconds.

    Each costs all: HAProxy reads the whole configuration to say which line is wrong. Times are of one clock.
    """

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once = at_once
        self._every_s = every_s
        self._full_s = float("-inf")
        """When none of it counts any more."""

    def use(self, now_s: float) -> None:
        """Take note of a refusal."""
        self._full_s = max(self._full_s, now_s) + self._every_s

    def free_s(self) -> float:
        """Give when the next refusal is in order."""
        return self._full_s - (self._at_once - 1) * self._every_s

    def is_full(self, now_s: float) -> bool:
        """Say whether this is as if there had been none."""
        return self._full_s <= now_s


@dataclass(slots=True)
class _Entry:
    refusal: Aside
    backoff: Backoff
    retry_s: float
    ask: Ask | None = None
    on_trial: bool = False
    former: RouteSection | None = None
    """What is served of it meanwhile."""


class SetAside:
    """What is set aside, and when each is tried again.

    A refused Route is tried again when it asks for something else, and after pauses that grow. So that nobody can have HAProxy
    asked again and again, each namespace has an allowance of refusals: when it is used up, what is new there, or changed, waits; what is
    served already is served as it was, if that lets nobody in whom it shall keep out.
    A port that could not be bound is tried again as soon as a look says that it is free; where HAProxy refuses it all the same,
    after pauses that grow, because a load that fails costs all.

    Args:
        refused_pauses_s: first and longest pause before HAProxy is asked again about what it refused.
        port_pause_s: pause between looks at a port.
        allowance: of refusals for each namespace: how many at once, and seconds until one more.
        is_hurried: says whether ports may be free in a moment, and nobody answers on them from then on.
    """

    def __init__(
        self,
        refused_pauses_s: tuple[float, float],
        port_pause_s: float,
        allowance: tuple[int, float] = (10, 10.0),
        *,
        is_hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self._refused_pauses_s = refused_pauses_s
        self._port_pause_s = port_pause_s
        self._is_hurried = is_hurried
        self._all_looked_at_s = float("-inf")
        self._allowance = allowance
        self._allowances: dict[str, Allowance] = {}
        """Of namespaces in which HAProxy refused something lately."""
        self._routes: dict[Asker, _Entry] = {}
        self._ports: dict[Spot, _Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._routes or self._ports or self._allowances)

    def in_force(self) -> Asides:
        """Give what is to be left out now: everything set aside that is not on trial."""
        if not (self._routes or self._ports):
            return NOTHING_ASIDE
        waiting = {key: entry for key, entry in self._routes.items() if not entry.on_trial}
        return Asides(
            {key: entry.refusal for key, entry in waiting.items() if entry.former is None},
            {port: entry.refusal for port, entry in self._ports.items() if not entry.on_trial},
            {key: Former(entry.former, entry.refusal.message) for key, entry in waiting.items() if entry.former},
        )

    def add(self, refusals: Asides, tried: Outcome, now_s: float) -> Asides:
        """Set these aside, or aside again.

        Args:
            refusals: what HAProxy, or the kernel, said.
            tried: what it said so about.
            now_s: ``time.monotonic``.

        Returns:
            Those of them that were not set aside before for the same reason: news.
        """
        news = Asides(
            {key: new for key, new in refusals.routes.items() if _former(self._routes.get(key)) != new},
            {port: new for port, new in refusals.ports.items() if _former(self._ports.get(port)) != new},
        )
        for key, refusal in refusals.routes.items():
            entry, ask = self._routes.get(key), ask_of(tried, key)
            backoff = entry.backoff if entry is not None and entry.ask == ask else Backoff(*self._refused_pauses_s)
            self._routes[key] = _Entry(refusal, backoff, now_s + backoff.pause_s(), ask)
        # They were refused together, in one go.
        for namespace in {key.namespace for key in refusals.routes}:
            self._allowances.setdefault(namespace, Allowance(*self._allowance)).use(now_s)
        for port, refusal in refusals.ports.items():
            entry = self._ports.get(port)
            if entry is not None:
                # It looked free.
                self._ports[port] = _Entry(refusal, entry.backoff, now_s + entry.backoff.pause_s())
            else:
                pause_s = self._pause_s(hurried=self._is_hurried())
                self._ports[port] = _Entry(refusal, Backoff(*self._refused_pauses_s), now_s + pause_s)
        return news

    def review(
        self,
        wanted: Outcome,
        served: tuple[RouteSection, ...],
        listens_at: Container[Spot],
        look: Callable[[tuple[Spot, ...]], Mapping[Spot, str]],
        now_s: float,
    ) -> bool:
        """Put on trial what is due, and forget what nobody wants any more.

        Args:
            wanted: what would be served, were nothing set aside.
            served: the sections that HAProxy serves.
            listens_at: where what is wanted listens.
            look: says which of some ports still cannot be bound; called with those due, if any are.
            now_s: ``time.monotonic``.

        Returns:
            Whether a port became free for which there is a hurry.
        """
        self._allowances = {name: each for name, each in self._allowances.items() if not each.is_full(now_s)}
        for key, entry in list(self._routes.items()):
            ask = ask_of(wanted, key)
            if ask is None:
                del self._routes[key]
                continue
            free_s = self._free_s(key.namespace)
            if ask != entry.ask and not entry.on_trial:
                entry.ask, entry.backoff, entry.retry_s = ask, Backoff(*self._refused_pauses_s), now_s
            if entry.former is not None and not may_stay(entry.former, ask.section):
                entry.former = None
            entry.on_trial = entry.on_trial or max(entry.retry_s, free_s) <= now_s
            entry.retry_s = max(entry.retry_s, free_s)
        for key, ask, there in self._unproven(wanted, served, now_s):
            former = there if there is not None and may_stay(there, ask.section) else None
            backoff, free_s = Backoff(*self._refused_pauses_s), self._free_s(key.namespace)
            self._routes[key] = _Entry(self._waits(key), backoff, free_s, ask, former=former)
        self._ports = {spot: entry for spot, entry in self._ports.items() if spot in listens_at}
        return self._review_ports(look, now_s)

    def _review_ports(self, look: Callable[[tuple[Spot, ...]], Mapping[Spot, str]], now_s: float) -> bool:
        due = tuple(port for port, entry in sorted(self._ports.items()) if entry.retry_s <= now_s)
        if not due:
            return False
        hurried = self._is_hurried()
        looked_at = due if not hurried or now_s - self._all_looked_at_s >= self._port_pause_s else due[:_FEW]
        taken = frozenset(look(looked_at))
        if len(looked_at) < len(due) and not taken.issuperset(looked_at):
            # Whoever ends closes all ports at once, so that a few of them tell of the others.
            rest = due[_FEW:]
            looked_at, taken = due, taken | frozenset(look(rest))
        if looked_at is due:
            self._all_looked_at_s = now_s
        pause_s = self._pause_s(hurried=hurried)
        for port in due:
            self._ports[port].retry_s = now_s + pause_s
        for port in looked_at:
            self._ports[port].on_trial = port not in taken
        return hurried and not taken.issuperset(looked_at)

    def _pause_s(self, *, hurried: bool) -> float:
        return min(_HURRIED_PAUSE_S, self._port_pause_s) if hurried else self._port_pause_s

    def _free_s(self, namespace: str) -> float:
        allowance = self._allowances.get(namespace)
        return allowance.free_s() if allowance is not None else float("-inf")

    def _unproven(
        self, wanted: Outcome, served: tuple[RouteSection, ...], now_s: float
    ) -> Iterator[tuple[Asker, Ask, RouteSection | None]]:
        """Give what is new, or asks for something else, where the allowance is used up; with what is served of it."""
        waiting = {name for name, each in self._allowances.items() if each.free_s() > now_s}
        if not waiting:
            return
        before, after = differences(served, wanted.model.routes)
        former = {section.asker: section for section in before if section.namespace in waiting}
        for section in after:
            key = section.asker
            if section.namespace in waiting and key not in self._routes:
                ask, there = ask_for(section, wanted), former.get(key)
                if there is None or ask != ask_for(there, wanted):
                    yield key, ask, there

    def _waits(self, key: Asker) -> Aside:
        at_once, every_s = self._allowance
        return Aside(
            Reason.CONFIG_REJECTED,
            f"HAProxy refused Routes of namespace {key.namespace} again and again; after {at_once} times it is asked about "
            f"what is new there, or changed, every {every_s:g} s only",
        )

    def retry_routes_now(self, now_s: float) -> None:
        """Make every Route due: what they were refused for may be gone (new templates)."""
        self._allowances.clear()
        for entry in self._routes.values():
            entry.retry_s = now_s

    def acquit(self) -> None:
        """Forget what was on trial: HAProxy serves it now."""
        if not (self._routes or self._ports):
            return
        self._routes = {key: entry for key, entry in self._routes.items() if not entry.on_trial}
        self._ports = {port: entry for port, entry in self._ports.items() if not entry.on_trial}

    def due_s(self) -> float:
        """Give when the next of them is due (``time.monotonic``); infinity for never."""
        entries = (*self._routes.values(), *self._ports.values())
        return min((entry.retry_s for entry in entries if not entry.on_trial), default=float("inf"))


def _former(entry: _Entry | None) -> Aside | None:
    return entry.refusal if entry is not None else None
