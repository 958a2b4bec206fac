"""What the router found out about ports and askers, beside what objects say, for those who are served."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from router.admission.conclusion import Entry
from router.admission.request import Request
from router.admission.verdicts import Verdict
from router.model import Asker
from router.objects.asker_note import AskerNote
from router.objects.meta import ObjectKey
from router.objects.portnote import PortNote
from router.objects.store import Objects


class Notes:
    """The notes.

    Args:
        sni_port: the port of those who have a host.
    """

    def __init__(self, sni_port: int) -> None:
        self._sni_port = sni_port
        self._by_port: dict[int, PortNote] = {}
        self._by_key: dict[ObjectKey, AskerNote] = {}
        self._by_asker: dict[Asker, dict[ObjectKey, AskerNote]] = {}
        """The same."""

    def meet(self, objects: Objects, keys: AbstractSet[ObjectKey], entries: Mapping[Asker, Entry]) -> frozenset[Asker]:
        """Take what there is to say now; give those whom it is about, or was. They are few, and come in batches."""
        concerned: set[Asker] = set()
        ports: set[int] = set()
        for key in keys:
            if key.namespace:
                concerned |= self._put_of_asker(key, objects.asker_notes.get(key)) & entries.keys()
            else:
                self._put(int(key.name), objects.notes.get(key))
                ports.add(int(key.name))
        if ports:
            concerned |= {
                asker for asker, entry in entries.items() if not ports.isdisjoint(self._ports_of(entry.given))
            }
        return frozenset(concerned)

    def _put(self, port: int, note: PortNote | None) -> None:
        if note is None:
            self._by_port.pop(port, None)
        else:
            self._by_port[port] = note

    def _put_of_asker(self, key: ObjectKey, note: AskerNote | None) -> set[Asker]:
        former = self._by_key.pop(key, None)
        if former is not None:
            own = self._by_asker[former.asker]
            del own[key]
            if not own:
                del self._by_asker[former.asker]
        if note is not None:
            self._by_key[key] = note
            self._by_asker.setdefault(note.asker, {})[key] = note
        return {each.asker for each in (former, note) if each is not None}

    def _ports_of(self, request: Request | Verdict) -> tuple[int, ...]:
        """Give the ports by which clients would come to who asks for this; those of named addresses lead nowhere through a Service."""
        if isinstance(request, Verdict):
            return ()
        own = (request.port,) if request.port is not None and not request.address else ()
        return (*own, self._sni_port) if request.host is not None and self._sni_port else own

    def noted(self, verdict: Verdict, request: Request | Verdict) -> Verdict:
        """Give the verdict of one who is served, with what there is to say of it and of its ports."""
        if not verdict.admitted or not (self._by_port or self._by_asker):
            return verdict
        notes = {port: note for port in self._ports_of(request) if (note := self._by_port.get(port)) is not None}
        warnings = [note.warning for note in notes.values() if note.warning]
        warnings += [note.warning for _, note in sorted(self._by_asker.get(verdict.asker, {}).items())]
        if not notes and not warnings:
            return verdict
        own = notes.get(verdict.port) if verdict.port is not None and not verdict.address else None
        return replace(
            verdict,
            warnings=(*verdict.warnings, *warnings),
            client_port=own.client_port if own is not None else None,
        )
