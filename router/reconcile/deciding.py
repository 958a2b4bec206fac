"""What arrived in the store, decided: the outcome, and what of it nobody was told yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec.structs import replace

from router.admission import Admission, Outcome
from router.admission.allocation import Pool
from router.admission.places import Place
from router.model import Asker
from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.portclaim import PortClaim
from router.objects.store import Changes, Store
from router.plan import ReloadReason
from router.reconcile.hooks import Observer
from router.reconcile.isolation import Isolation
from router.reconcile.reload_shares import ReloadShares
from router.reconcile.timing import Timing

LookUp = Callable[[Mapping[ObjectKey, str]], None]


def no_look_up(names: Mapping[ObjectKey, str]) -> None:
    """Take no note of names, for there are none to look up."""


class Deciding:
    """Takes changes from the store to admission. All calls from one thread.

    Args:
        store: the objects.
        admission: decides what is served.
        observer: counts what changed.
        timing: how many reloads a namespace may cause one after the other, and when what was left out is tried again.
        look_up: is told which names are to be looked up, by the Services that say them; must not block.
    """

    def __init__(
        self, store: Store, admission: Admission, observer: Observer, timing: Timing, look_up: LookUp = no_look_up
    ) -> None:
        self._look_up = look_up
        self._names: Mapping[ObjectKey, str] | None = None
        self._shares = ReloadShares(*timing.namespace_reloads)
        self._store = store
        self._isolation = Isolation(admission, timing.refused_retry_s)
        self._observer = observer
        self._unserved_since_s: float | None = None
        self._unseen: list[Changes] = []
        """What the observer was not told yet."""
        self.outcome: Outcome | None = None
        """Of what was taken so far; None before, and where everything is to be decided anew."""
        self.unreported: frozenset[Slot] = frozenset()
        """What may ask, or might, what is of the Gateway API, and PortClaims, that are other objects than those last reported on, or gone."""

    def take(self, now_s: float) -> Outcome:
        """Decide about what arrived since (now is ``time.monotonic``).

        A listener and its route are written together and come by two watches: what came while the one was decided is decided before HAProxy is told.
        """
        outcome, changes = self._take(now_s)
        if changes.gateway_api and self._store.has_news:
            outcome, _ = self._take(now_s)
        return outcome

    def _take(self, now_s: float) -> tuple[Outcome, Changes]:
        changes, arrived_s = self._store.take(self._shares.used_up(now_s))
        self._shares.touched(changes.askers)
        if changes:
            if changes.askers or changes.gateway_api or changes.told or changes.claims:
                self.unreported |= changes.askers | changes.gateway_api | changes.told | _claims(changes)
            self._unseen.append(changes)
            if self._unserved_since_s is None:
                self._unserved_since_s = arrived_s
        if self.outcome is None:
            everything = self._store.objects.everything()
            self.unreported |= everything.askers | everything.gateway_api | _claims(everything)
            changes = replace(
                everything,
                askers=changes.askers | everything.askers,
                claims=changes.claims | everything.claims,
                namespaces=changes.namespaces | everything.namespaces,
                notes=changes.notes | everything.notes,
                gateway_api=changes.gateway_api | everything.gateway_api,
            )
        if changes or self.outcome is None or self._isolation.due(now_s) is not None:
            self.outcome = self._isolation.update(self._store.objects, changes, now_s)
            if self.outcome.names is not self._names:
                self._names = self.outcome.names
                self._look_up(self._names)
        return self.outcome, changes

    @property
    def proposed(self) -> Mapping[Place, Asker]:
        """What is to be claimed for those who ask for any port; the same object until it is something else."""
        return self._isolation.admission.proposed

    def ports_to_give(self, pool: Pool) -> tuple[int, int]:
        """Give how many ports of a pool there are for those who ask for any, and how many of them are free; any thread."""
        autos = self._isolation.admission.autos
        return autos.counts(pool) if autos is not None else (0, 0)

    def free_ports(self) -> int:
        """Give the ports that whoever asks for any can get, as bits; any thread."""
        autos = self._isolation.admission.autos
        return autos.free if autos is not None else 0

    def prefer(self, ready: Callable[[], int]) -> None:
        """Give those who ask for any port one of these first, as bits: they can be opened without a reload."""
        if (autos := self._isolation.admission.autos) is not None:
            autos.pools.ready = ready

    def anew(self) -> None:
        """Decide about all objects with the next ``take``, without anything that is remembered of them."""
        self._isolation.anew()
        self.outcome = None

    def reloaded(self, reasons: Iterable[ReloadReason], now_s: float) -> None:
        """Take note that HAProxy was loaded anew, or refused to be (``time.monotonic``)."""
        self._shares.reloaded(reasons, self._ports_of, now_s)

    def tell(self) -> None:
        """Tell the observer what was taken: once HAProxy has it, which need not wait for that."""
        unseen, self._unseen = self._unseen, []
        for changes in unseen:
            self._observer.changes_seen(changes)

    def served(self, now_s: float) -> None:
        """Take note that HAProxy serves the outcome (``time.monotonic``)."""
        if self._unserved_since_s is not None:
            self._observer.changes_served(now_s - self._unserved_since_s)
            self._unserved_since_s = None

    def _ports_of(self, slot: Slot) -> Iterator[int]:
        """Give the ports that an object of a kind that may ask has, or wants."""
        for asker in self._isolation.admission.askers_of(slot):
            verdict = self.outcome.verdicts.get(asker) if self.outcome is not None else None
            if verdict is not None and verdict.port is not None:
                yield verdict.port


def _claims(changes: Changes) -> frozenset[Slot]:
    return frozenset((PortClaim, key) for key in changes.claims)
