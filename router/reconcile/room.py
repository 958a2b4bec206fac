"""Room for what is to be served: have HAProxy do without something, in a fixed order, where it may not have enough open files.

More to do without is decided only when HAProxy is to be loaded, for that is when it counts (``router.haproxy.process.descriptors``); what there
is room for again, with some to spare, has it loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec
import structlog

from router.admission import Outcome
from router.admission.verdicts import Reason
from router.haproxy.process import descriptors
from router.haproxy.process.descriptors import Counts, Haproxy, Tally
from router.model import Asker, Model, RouteSection, Step
from router.objects.kinds import ASKING
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.ordered import Images
from router.reconcile.set_aside import Aside, Asides, asker_of, without

log = structlog.get_logger()

_ADVICE = "raise the hard limit of open files (ulimit -Hn) of HAProxy's container or service; docs/files.md"
_DONE_WITHOUT = {
    Step.CHECKS: "health checks of endpoints",
    Step.CONNECTIONS: "--max-connections: HAProxy takes as many as fit",
    Step.POOL: "--port-pool",
    Step.CLAIMS: "Routes that are not served yet and whose port does not fit",
}


@dataclass(frozen=True, slots=True)
class Files:
    """How it stands with HAProxy's files."""

    needed: int
    """To serve everything."""
    limit: int
    saved: frozenset[Step]


class Room:
    """Decides what HAProxy does without; all calls but ``now`` from one thread.

    Args:
        haproxy: gives the HAProxy and its limit, as they are now.
        pool: gives what would be declared beside a model.
        ips: how many IP addresses each named address is.
    """

    def __init__(
        self,
        haproxy: Callable[[], Haproxy],
        pool: Callable[[Model], Iterable[RouteSection]],
        ips: Mapping[str, int] | None = None,
    ) -> None:
        self._ips = ips or {}
        self._haproxy = haproxy
        self._pool = pool
        self._saved: frozenset[Step] = frozenset()
        self._fit = 0
        self._model = Model()
        self._is_tight = False
        self._tally = Tally(self._ips)
        self._unchecked = Images(_without_checks)
        self._claiming: Images[RouteSection, Asker | None] = Images(
            lambda section: section.asker if section.frontend is not None else None
        )
        self._serving = Images(asker_of)
        self._unfit: tuple[tuple[tuple[Asker, ...], int, tuple[Asker, ...]], list[Asker]] = ((), 0, ()), []
        """Who claims ports, how many of these are too many, and who is served; and whose ports do not fit then."""

    def now(self) -> Files:
        """Say how it stands; any thread. Logs when little is left, and when there is enough again."""
        model, haproxy = self._model, self._haproxy()
        return self._look(haproxy, descriptors.counts(model, self._pool(model), self._ips))

    def review(self, outcome: Outcome) -> bool:
        """Decide anew, before a load; say whether other things are to be done without than before.

        Args:
            outcome: all that is to be served.
        """
        return self._decide(outcome.model, lambda _steps: True)

    def _decide(self, model: Model, is_taken: Callable[[frozenset[Step]], bool]) -> bool:
        haproxy = self._haproxy()
        of = self._tally.counts(model, self._pool(model))
        before = (self._saved, self._fit)
        steps = descriptors.saved(haproxy, of, self._saved)
        if is_taken(steps):
            self._saved = steps
        self._fit = descriptors.ports_that_fit(haproxy) if Step.CLAIMS in self._saved else 0
        files = self._look(haproxy, of)
        if before[0] != self._saved:
            _tell(files)
        return before != (self._saved, self._fit)

    def within(self, outcome: Outcome, served: Model, objects: Objects) -> Outcome:
        """Give the outcome as it is with what was decided: less in the model, and Routes for whose port there is no room rejected.

        Args:
            outcome: all that is to be served.
            served: what is served already, and stays.
            objects: all objects, for how old they are.
        """
        self._model = outcome.model
        if self._saved:
            # What there is room for again need not wait for a load that has another reason.
            self._decide(outcome.model, lambda steps: steps < self._saved)
        if not self._saved:
            self._unchecked = Images(_without_checks)
            return outcome
        if Step.CLAIMS in self._saved:
            outcome = without(
                outcome, Asides(dict.fromkeys(self._too_many(outcome.model, served, objects), _refusal()), {})
            )
        # Everybody's changes come through here as long as files are short.
        sections = self._unchecked(outcome.model.routes)
        return msgspec.structs.replace(outcome, model=replace(outcome.model, routes=sections, saved=self._saved))

    def _too_many(self, model: Model, served: Model, objects: Objects) -> list[Asker]:
        """Give the Routes whose port does not fit: of those that are not served yet the youngest, on every replica the same."""
        ports = tuple(filter(None, self._claiming(model.routes)))
        too_many = max(len(ports) + len(model.shared) - self._fit, 0)
        of = (ports, too_many, self._serving(served.routes))
        if of != self._unfit[0]:
            self._unfit = of, self._youngest(ports, too_many, frozenset(of[2]), objects)
        return self._unfit[1]

    @staticmethod
    def _youngest(ports: tuple[Asker, ...], many: int, before: frozenset[Asker], objects: Objects) -> list[Asker]:
        def place(asker: Asker) -> tuple[bool, bool, str, tuple[str, str, str, str]]:
            obj = objects.asking((ASKING[asker.kind], ObjectKey(*asker.key)))
            created = obj.metadata.creation_timestamp if obj is not None else None
            return asker not in before, created is None, created or "", asker.order

        return sorted(ports, key=place)[-many:] if many else []

    def _look(self, haproxy: Haproxy, of: Counts) -> Files:
        files = Files(descriptors.wanted(haproxy, of), haproxy.limit, self._saved)
        is_tight = descriptors.is_tight(haproxy, of, formerly=self._is_tight)
        if is_tight and not self._is_tight:
            log.warning("files for haproxy run short", needed=files.needed, limit=files.limit, advice=_ADVICE)
        elif self._is_tight and not is_tight:
            log.info("files for haproxy suffice", needed=files.needed, limit=files.limit)
        self._is_tight = is_tight
        return files


def _without_checks(section: RouteSection) -> RouteSection:
    if not section.backend.check_interval_ms:
        return section
    return replace(section, backend=replace(section.backend, check_interval_ms=0))


def _tell(files: Files) -> None:
    done_without = [_DONE_WITHOUT[step] for step in descriptors.STEPS if step in files.saved]
    if done_without:
        log.error(
            "too few files for haproxy",
            needed=files.needed,
            limit=files.limit,
            done_without=done_without,
            advice=_ADVICE,
        )
    else:
        log.info("haproxy has files enough again", needed=files.needed, limit=files.limit)


def _refusal() -> Aside:
    return Aside(
        Reason.OUT_OF_FILES,
        "the router's HAProxy may not open as many files as one more port takes; Routes that are older, or served already, have "
        "theirs; a higher limit of open files for its container makes room (docs/files.md)",
    )
