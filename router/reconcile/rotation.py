"""Have the servers of a worker that was loaded take their turns in another order than that of the file, a part of the Routes at a time.

Else each reload would begin with the same pod. HAProxy takes 6 µs for each of these commands, of which there are two for each Route of three pods: with
thousands of Routes other changes must not wait for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Protocol
from zlib import crc32

from router.admission.weights import MAX_WEIGHT
from router.model import Model, RouteSection
from router.model.stages import backends_of
from router.plan import commands
from router.plan.commands import Command
from router.plan.running import Running
from router.plan.section_text import SectionText

_TAKES_TURNS = frozenset({"leastconn", "roundrobin"})
"""What begins with the first server of the file, and goes on in its order while all have equally many connections."""
_MAX_TURNS = 16
"""A Route of thousands of pods must not cost thousands of commands."""
_AT_ONCE = 100
"""Routes; those of three pods take HAProxy a millisecond."""


class Templates(Protocol):
    """What the sections were rendered to."""

    @property
    def has_independent_sections(self) -> bool:
        """Whether they are the packaged ones."""

    def text(self, section: RouteSection) -> SectionText | None:
        """Give a section taken apart; None where its form is another than the usual one."""


class Commanded(Protocol):
    """The newest worker, told; HaproxyError is what it raises."""

    def run(self, commands: Iterable[Command]) -> None:
        """Carry out commands, in their order."""


class Rotation:
    """Of one HAProxy's workers, one after the other. All calls from one thread.

    Args:
        worker: the newest one.
    """

    def __init__(self, worker: Commanded) -> None:
        self._worker = worker
        self._turn = 0
        self._templates: Templates | None = None
        self._left: Iterator[RouteSection] = iter(())
        self._next: RouteSection | None = None
        self._known: tuple[Model, Mapping[str, RouteSection]] | None = None

    @property
    def is_due(self) -> bool:
        """Whether some are left."""
        return self._next is not None

    def begin(self, templates: Templates, model: Model) -> None:
        """Take note of a worker that took another one's place.

        Args:
            templates: what it was rendered with.
            model: what it was loaded with.
        """
        self._turn += 1
        self._templates = templates
        self._left = iter(model.routes)
        self._known = None
        self._next = next(self._left, None)

    def stop(self) -> None:
        """Leave the rest as it is: it is not known what runs, or there is no worker."""
        self._next = self._known = self._templates = None
        self._left = iter(())

    def go_on(self, running: Running) -> None:
        """Take the next part of them. A Route that was changed since has the order that it has.

        Args:
            running: what the worker has now.

        Raises:
            HaproxyError: it did not answer as it should. No more are taken.
        """
        if self._next is None or self._templates is None:
            return
        some = [self._next, *islice(self._left, _AT_ONCE - 1)]
        self._next = next(self._left, None)
        same = [section for section in some if self._is_same(section, running)]
        templates = self._templates
        if self._next is None:
            self.stop()
        told = [each for section in same for each in turned(section, templates, self._turn)]
        try:
            self._worker.run(told)
        except BaseException:
            self.stop()
            raise

    def _is_same(self, section: RouteSection, running: Running) -> bool:
        name = section.backend.name
        if self._known is None or self._known[0] is not running.model:
            self._known = running.model, {each.backend.name: each for each in running.model.routes}
        return self._known[1].get(name) is section and name not in running.closed and name not in running.moved


def turned(section: RouteSection, templates: Templates, turn: int) -> Iterator[Command]:
    """Have the servers of a Route begin in another order than that of the file, which is the same after each reload; pure.

    HAProxy puts a server whose weight changes behind those that have as many connections.

    Args:
        section: as the worker was loaded with it.
        templates: what it was rendered to.
        turn: counted up by each reload.
    """
    backend = section.backend
    takers = _takers(section, templates) if backend.balance in _TAKES_TURNS and len(backend.servers) > 1 else []
    if len(takers) > 1:
        # Not the same for all: of Routes that lead to the same pods each begins with another one.
        ahead = (turn + crc32(backend.name.encode())) % min(len(takers), _MAX_TURNS)
        for each in backends_of(section):
            for name, weight in takers[:ahead]:
                yield commands.set_weight(each, name, weight + 1 if weight < MAX_WEIGHT else weight - 1)
                yield commands.set_weight(each, name, weight)


def _takers(section: RouteSection, templates: Templates) -> list[tuple[str, int]]:
    """Give the servers that take connections, with their weights, in the order of the file."""
    if templates.has_independent_sections:
        return [(server.name, server.weight) for server in section.backend.servers if server.weight]
    # A template of the admin's may balance or weigh otherwise.
    text = templates.text(section)
    if text is None or f"balance {section.backend.balance}" not in text.fixed.splitlines():
        return []
    return [(name, line.weight) for name, line in text.servers.items() if line.weight]
