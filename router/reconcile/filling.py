"""Keeps the pool of ports that sizes itself level with what is taken of it, and remembers that over restarts.

The file is written when HAProxy was loaded, and when the router ends: what is lost with a router that is killed is a larger pool for some hours.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import structlog

from router import owned, shapes
from router.admission.spare_ports import SparePorts
from router.model import Model, spots
from router.plan.commands import Command, closed, opened
from router.reconcile.port_refusals import at_spots
from router.settings import PortRanges
from router.shapes import reader

log = structlog.get_logger()

_read = reader(dict[int, int])


class Filling:
    """Tells ``SparePorts`` what becomes of them. All calls from one thread, but for ``keep`` when that has ended.

    Args:
        spare: chooses the ports.
        path: the file.
    """

    def __init__(self, spare: SparePorts, path: Path) -> None:
        self.spare = spare
        self._path = path
        self._kept = dict(spare.days)

    def busiest(self) -> int:
        """Give how many ports the busiest hour took; any thread."""
        return self.spare.busiest

    def updated(self, commands: tuple[Command, ...]) -> None:
        """Take note of ports that were opened and closed without a reload."""
        self.spare.take(at_spots(opened(commands)), at_spots(closed(commands)))

    def reloads(self, before: Model, after: Model) -> None:
        """Take note of who shall be served by the next load, before the ports are chosen that are to be ready then."""
        had, has = spots(before), spots(after)
        self.spare.take(has - had, had - has)

    def loaded(self, model: Model) -> None:
        """Take note of what HAProxy was loaded with."""
        self.spare.declare(each.frontend.spot for each in model.pool if each.frontend is not None)
        log.info(
            "port pool filled",
            ports=self.spare.ready.bit_count(),
            wanted=self.spare.wanted,
            busiest_hour=self.spare.busiest,
        )
        self.keep()

    def keep(self) -> None:
        """Write down what the busiest hours were; nothing where that is known."""
        days = dict(self.spare.days)
        if days == self._kept:
            return
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            owned.write_file(beside, shapes.write(days))
            beside.replace(self._path)
        except OSError as error:
            log.warning("busiest hours not written", path=str(self._path), problem=str(error))
            return
        self._kept = days


def spare_ports(ports: PortRanges, path: Path) -> SparePorts:
    """Give the ports of a pool that sizes itself, by what was known of it when the file was written; one that cannot be read tells nothing."""
    try:
        content = owned.read_file(path)
        days = _read(content) if content is not None else {}
    except FileNotFoundError:
        days = {}
    except (OSError, msgspec.DecodeError) as error:
        log.warning("busiest hours are not known", path=str(path), problem=str(error))
        days = {}
    return SparePorts(ports, time.time, {day: count for day, count in days.items() if count > 0})
