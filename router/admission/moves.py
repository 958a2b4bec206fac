"""Endpoints that move, which happens more often than all else together: where a Route's servers are others and nothing else, nothing else is decided anew; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from router.admission.conclusion import Entry
from router.admission.destination import NOWHERE, Destination
from router.admission.leads import Leads
from router.admission.request import Request
from router.admission.verdicts import Rejection, Verdict
from router.model import Asker, RouteSection
from router.model.changed import changed
from router.objects.meta import ObjectKey
from router.ordered import SortedMap

Find = Callable[[Request, Destination | Rejection], Destination | Rejection]
"""Finds where one leads to who asks for this, and led until now to that."""


class Moves:
    """Does what a decision about everybody would come to.

    Args:
        entries: what is known of askers.
        leads: who leads to which Services.
        sections: what is served of askers.
    """

    def __init__(self, entries: Mapping[Asker, Entry], leads: Leads, sections: SortedMap[Asker, RouteSection]) -> None:
        self._entries = entries
        self._leads = leads
        self._sections = sections

    def take(self, services: Iterable[ObjectKey], find: Find) -> bool:
        """Give those who lead to these Services the servers that they lead to now; say whether that is all that changed, else nothing is done."""
        found: dict[Asker, Destination] = {}
        for service in services:
            for asker in self._leads.to(service):
                destination = self._moved(self._entries[asker], find)
                if destination is None:
                    return False
                found[asker] = destination
        for asker, destination in found.items():
            self._entries[asker].destination = destination
            section = self._sections.get(asker)
            if section is not None and section.backend.servers != destination.servers:
                backend = changed(section.backend, servers=destination.servers, advance=destination.advance)
                self._sections.put(asker, changed(section, backend=backend))
        return True

    @staticmethod
    def _moved(entry: Entry, find: Find) -> Destination | None:
        """Give where one leads to now; None where that is otherwise in more than servers: verdicts, and what is claimed, depend on all else of it."""
        former = entry.destination
        # From one that was not found yet nothing was concluded.
        if isinstance(entry.request, Verdict) or isinstance(former, Rejection) or former is NOWHERE:
            return None
        current = find(entry.request, former)
        if isinstance(current, Rejection) or former.own_ports or current.own_ports:
            return None
        is_alike = (former.lack, former.balance, former.warnings) == (current.lack, current.balance, current.warnings)
        return current if is_alike else None
