"""What one Route needs of the place that serves it, or shall serve it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from router.model import RouteSection, frontend_name
from router.model.stages import backend_before, door, without_certificate
from router.plan import commands
from router.plan.commands import Command
from router.plan.leaving import LeavingDraft, ServerName
from router.plan.section_text import SectionText, ServerLine
from router.server_ids import another_id

_id = attrgetter("id")


class Step(msgspec.Struct):
    """Commands for one Route; they are taken whole or not at all.

    Methods that give False found something that only a reload can do: the step is of no use then.
    """

    place: RouteSection
    """As it was loaded."""
    leaving_before: LeavingDraft
    """Servers that are still there, and get no new connections."""
    goes_by_ids: bool
    """Whether HAProxy finds servers by their ids, so that they must be those of a fresh HAProxy."""
    opening: list[Command] = msgspec.field(default_factory=list)
    leading: list[Command] = msgspec.field(default_factory=list)
    retiring: list[Command] = msgspec.field(default_factory=list)
    leaving: dict[ServerName, ServerLine] = msgspec.field(default_factory=dict)
    back: list[ServerName] = msgspec.field(default_factory=list)
    networks: tuple[str, ...] | None = None
    """The allowlist that is in force afterwards, if it is another."""
    authorities: frozenset[str] = frozenset()
    """The files by which servers are verified that HAProxy is told of."""

    @property
    def backend(self) -> str:
        """The place's backend."""
        return self.place.backend.name

    @property
    def _before(self) -> str:
        """The backend in which clients are before their TLS has ended behind a socket."""
        return door(self.place) if self.place.slot is not None else backend_before(self.backend)

    def open_port(self) -> None:
        """Lead connections to the place, if it has a port."""
        if self.place.frontend is not None:
            self.leading.append(commands.open_frontend(frontend_name(*self.place.frontend.spot)))

    def close_port(self) -> None:
        """Lead none to it any more."""
        if self.place.frontend is not None:
            self.leading.append(commands.close_frontend(frontend_name(*self.place.frontend.spot)))

    def set_networks(self, place_text: SectionText, current: tuple[str, ...] | None, wanted: SectionText) -> bool:
        """Let those connect that the allowlist of ``wanted`` names; ``current`` is the list in force, None the one loaded."""
        current = current if current is not None else networks_of(place_text)
        networks = networks_of(wanted)
        if current == networks:
            return True
        if place_text.allowlist is None:
            return False
        for name in place_text.allowlist.names:
            self.opening += commands.change_networks(name, current, networks)
        self.networks = networks
        return True

    def set_certificate(self, place_text: SectionText, wanted: SectionText, current: SectionText | None = None) -> bool:
        """Show another certificate, and verify those of clients by others; the file that HAProxy was loaded with gives it its name, whatever is in it by then.

        Args:
            place_text: the place, as it was loaded.
            wanted: what it shall show.
            current: what it shows; None where that is not known, and all is said anew.
        """
        if place_text.certificate is None or wanted.certificate is None:
            return place_text.certificate is wanted.certificate
        if [each.kind for each in place_text.clients] != [each.kind for each in wanted.clients]:
            return False
        if current is None or current.certificate != wanted.certificate:
            self.opening += self.certificate(place_text, wanted)
        known = {each.kind: each.pem for each in current.clients} if current is not None else {}
        for there, each in zip(place_text.clients, wanted.clients, strict=True):
            if known.get(each.kind) != each.pem:
                self.opening += commands.set_client_file(there.kind, there.name, each.pem)
        return True

    def tell_authorities(self, wanted: SectionText, known: Collection[str]) -> None:
        """Have HAProxy know those by which servers are verified, before one is added.

        Args:
            wanted: names them.
            known: the files that it has.
        """
        file = wanted.authorities
        if file is not None and file.name not in known:
            self.opening += commands.add_client_file(file.kind, file.name, file.pem)
            self.authorities = frozenset({file.name})

    @staticmethod
    def certificate(place_text: SectionText, wanted: SectionText) -> Iterator[Command]:
        """Give what has a place show what ``wanted`` shows."""
        if place_text.certificate is not None and wanted.certificate is not None:
            yield from commands.set_certificate(place_text.certificate.name, wanted.certificate.certificate.pem)

    def change_servers(
        self, before: SectionText | None, after: SectionText | None, ending: Collection[str] = ()
    ) -> bool:
        """Have the servers of this section instead of those of that one: new ones come before former ones go.

        HAProxy takes no server under an id that another one of the backend has, also where that one only waits for its last
        connections to end; and a server keeps its id. What a fresh HAProxy would number otherwise is left to a reload. Only a new
        server whose id is taken has another one until then, where ids do not matter: that an address comes back under another
        pod's name, as it does on the host's network, is no reason for a reload.

        Args:
            before: with those that there are; None is none.
            after: with those that there shall be.
            ending: of those that go, the ones whose connections go with them.
        """
        former, wanted = before or _NO_SERVERS, after or _NO_SERVERS
        few = wanted.few_others
        names = few.names if few is not None and few.before is former.servers else None
        if not self._change(self.backend, former.servers, wanted.servers, ending, names):
            return False
        if (former.apart or wanted.apart) and not self._change(
            without_certificate(self.backend), former.apart, wanted.apart, ending
        ):
            return False
        # Who is led here when TLS has ended comes by the stages, which are there once all else is.
        return not (former.stages or wanted.stages) or self._change(self._before, former.stages, wanted.stages, ())

    def _change(
        self,
        backend: str,
        before: Mapping[str, ServerLine],
        after: Mapping[str, ServerLine],
        ending: Collection[str],
        names: Iterable[str] | None = None,
    ) -> bool:
        """Change a backend; with ``names`` only of the servers that have these, because all others are what they were."""
        leaving = self.leaving_before.of(backend)
        # The servers that are in the backend, by the ids that are written of them.
        holders: Mapping[int, str] | None = None
        for name in after if names is None else [name for name in names if name in after]:
            former, line = before.get(name), after[name]
            if former is None:
                if holders is None:
                    there = before if names is None else {name: before[name] for name in names if name in before}
                    holders = dict(
                        zip(map(_id, chain(leaving.values(), there.values())), chain(leaving, there), strict=True)
                    )
                free = self._with_free_id(name, line, holders, before)
                if free is None or not self._add_server(backend, name, free, leaving.get(name)):
                    return False
            elif former is line:
                # Of many endpoints, as a rule, all but one.
                continue
            elif former.options != line.options or former.id != line.id:
                return False
            else:
                self.opening += commands.change_server(backend, name, former, line)
        for name in before if names is None else [name for name in names if name in before]:
            if name not in after:
                self.retiring.append(commands.retire_server(backend, name, before[name]))
                self.leaving[backend, name] = before[name]
                if name in ending:
                    self.retiring.append(commands.end_sessions(backend, name))
        return True

    def _with_free_id(
        self, name: str, line: ServerLine, holders: Mapping[int, str], before: Mapping[str, ServerLine]
    ) -> ServerLine | None:
        """Give a new server with the id that it can have; None if it must have one that is taken.

        Servers that stay have none that a new one shall have, but may have the next that is tried.
        """
        if not line.id or holders.get(line.id, name) == name:
            return line
        taken = {*holders, *(each.id for each in before.values())} if not self.goes_by_ids else set()
        return replace(line, id=another_id((line.address, 0, name), taken)) if taken else None

    def _add_server(self, backend: str, name: str, line: ServerLine, former: ServerLine | None) -> bool:
        """Add a server; ``former`` is one of its name that leaves."""
        if former is None:
            self.opening += commands.add_server(backend, name, line)
            return True
        if former.options != line.options or former.id != line.id:
            return False
        self.opening += commands.change_server(backend, name, former, line)
        self.opening.append(commands.revive_server(backend, name))
        self.back.append((backend, name))
        return True


_NO_SERVERS = SectionText("", {})


def networks_of(text: SectionText) -> tuple[str, ...]:
    """Give who may connect, as far as an allowlist says."""
    return text.allowlist.networks if text.allowlist is not None else ()
