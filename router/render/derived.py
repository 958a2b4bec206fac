"""What a section says after its servers alone became others, without rendering it: endpoints move more often than all else together.

A Route that asks for nothing unusual is in a place of the pool, too, what that is with servers.

That is known of the router's own templates only. They write a line for each server, in which all but what names the server, where it is and its
weight is the same for all servers of the section that are checked, and for all that are not. A test compares with what is rendered.
"""

from __future__ import annotations

import re
from operator import attrgetter

from router.model import Backend, RouteSection, Server
from router.model.changed import changed
from router.model.refusing import REFUSING
from router.ordered import differences
from router.plan.section_text import FewOthers, SectionText, ServerLine

_OF_SERVERS = frozenset({"servers", "advance", "shutdown_sessions_on_removed"})
"""What of a backend is in no other line than the servers'; all but the first is in none at all."""
_other_lines = attrgetter(*(name for name in Backend.__slots__ if name not in _OF_SERVERS))
_OF_ONE_SERVER = frozenset({"name", "address", "port", "weight", "id"})
_kind = attrgetter(*(name for name in Server.__struct_fields__ if name not in _OF_ONE_SERVER))
"""All else that a server has: lines of servers that are alike in this differ in nothing but the above."""
_lines = attrgetter(
    "check_interval_ms", "check_fall", "shutdown_sessions_on_marked_down", "send_proxy", "server_maxconn", "tls"
)
"""What of a backend is in the lines of its servers, or in what holds for all of these."""
_MOST_KINDS = 256
_FEW = 4
"""Servers that are looked at sooner than it is found out which of them are others."""
_PLAIN = re.compile(r"[^\s\"'\\#$]+")
"""A name that the text has as it is."""


def derived(
    text: SectionText, before: RouteSection, after: RouteSection, seen: Seen | None = None
) -> SectionText | None:
    """Give what ``after`` says, where ``text`` is what ``before`` says; None where it has to be rendered to know.

    Of servers that are like none that ``before`` has, it is known by those that other sections had, where they were ``seen``.
    """
    former, current = before.backend, after.backend
    if (
        before.asker != after.asker
        or (before.frontend, before.stages, before.is_gated) != (after.frontend, after.stages, after.is_gated)
        or len(former.servers) != len(text.servers)
        or current.tells_apart
        or _other_lines(former) != _other_lines(current)
    ):
        return None
    if len(former.servers) > _FEW and (few := _few_others(text, former, current)) is not None:
        return few
    formers = {server.name: server for server in former.servers}
    alike = {_kind(server): text.servers.get(server.name) for server in former.servers if server.address != REFUSING}
    servers: dict[str, ServerLine] = {}
    for server in current.servers:
        like = alike.get(_kind(server)) or (seen.like(current, server) if seen is not None else None)
        if like is None or not _PLAIN.fullmatch(server.name):
            return None
        if formers.get(server.name) == server and server.name in text.servers:
            servers[server.name] = text.servers[server.name]
            continue
        if server.address == REFUSING:
            return None
        servers[server.name] = _line_like(like, server)
    return changed(text, servers=servers, few_others=None)


def _few_others(text: SectionText, former: Backend, current: Backend) -> SectionText | None:
    """Give what a section says some of whose servers are others; None where these are most, or it has to be looked at all servers to know."""
    gone, come = differences(former.servers, current.servers, current.advance)
    if 2 * (len(gone) + len(come)) > len(former.servers):
        return None
    # The last is no refusal to everybody, which sorts before what has a pod.
    known = [each for each in (*gone, *former.servers[-1:]) if each.address != REFUSING]
    alike = {_kind(server): text.servers.get(server.name) for server in known}
    servers = dict(text.servers)
    for server in gone:
        servers.pop(server.name, None)
    for server in come:
        like = alike.get(_kind(server))
        if like is None or server.address == REFUSING or not _PLAIN.fullmatch(server.name):
            return None
        servers[server.name] = _line_like(like, server)
    if len(servers) != len(current.servers):
        return None
    names = tuple(sorted({server.name for server in (*gone, *come)}))
    return changed(text, servers=servers, few_others=FewOthers(text.servers, names))


class Seen:
    """Gives the lines of servers, and so what sections say, once it was seen what servers of their kind have in others."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, object], ServerLine] = {}
        """By what of the backend and of the server is in it, some line of such a server."""

    def learn(self, section: RouteSection, text: SectionText) -> None:
        """Take note of what a section was rendered to."""
        of_backend = _lines(section.backend)
        for server in section.backend.servers:
            line = text.servers.get(server.name)
            if line is not None and server.address != REFUSING:
                if len(self._seen) >= _MOST_KINDS:
                    self._seen.clear()
                self._seen[of_backend, _kind(server)] = line

    def like(self, backend: Backend, server: Server) -> ServerLine | None:
        """Give the line of some server of that kind in such a backend; None where none was seen, or where it names a file of its Route's own."""
        return self._seen.get((_lines(backend), _kind(server))) if backend.tls is None else None

    def in_place(self, text: SectionText, place: RouteSection, section: RouteSection) -> SectionText | None:
        """Give what ``section``, under the names of the place, says there, where ``text`` is what the place says; None where it has to be rendered to know."""
        frontend, backend = section.frontend, section.backend
        if (
            text.servers
            or section.slot is not None
            or (frontend, section.stages, section.is_gated) != (place.frontend, place.stages, place.is_gated)
            # What is logged of broken headers names the Route.
            or (frontend is not None and frontend.options.accept_proxy)
            or _other_lines(backend) != _other_lines(place.backend)
        ):
            return None
        of_backend = _lines(backend)
        servers: dict[str, ServerLine] = {}
        for server in backend.servers:
            like = self._seen.get((of_backend, _kind(server)))
            if like is None or server.address == REFUSING or not _PLAIN.fullmatch(server.name):
                return None
            servers[server.name] = _line_like(like, server)
        return changed(text, servers=servers)


def _line_like(like: ServerLine, server: Server) -> ServerLine:
    """Give the line of a server that is like another one of which the line is known."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    return ServerLine(f"{host}:{server.port}", server.weight, like.maxconn, like.options, server.id)
