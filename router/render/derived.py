"""What a section says after its servers alone became others, without rendering it: endpoints move more often than all else together.

That is known of the router's own templates only. They write a line for each server, in which all but what names the server, where it is and its
weight is the same for all servers of the section that are checked, and for all that are not. A test compares with what is rendered.
"""

from __future__ import annotations

import re
from dataclasses import replace
from operator import attrgetter

from router.model import Backend, RouteSection, Server
from router.model.refusing import REFUSING
from router.plan.section_text import SectionText, ServerLine

_OF_SERVERS = frozenset({"servers", "shutdown_sessions_on_removed"})
"""What of a backend is in no other line than the servers'; the second is in none at all."""
_other_lines = attrgetter(*(name for name in Backend.__slots__ if name not in _OF_SERVERS))
_OF_ONE_SERVER = frozenset({"name", "address", "port", "weight", "id"})
_kind = attrgetter(*(name for name in Server.__slots__ if name not in _OF_ONE_SERVER))
"""All else that a server has: lines of servers that are alike in this differ in nothing but the above."""
_PLAIN = re.compile(r"[^\s\"'\\#$]+")
"""A name that the text has as it is."""


def derived(text: SectionText, before: RouteSection, after: RouteSection) -> SectionText | None:
    """Give what ``after`` says, where ``text`` is what ``before`` says; None where it has to be rendered to know."""
    former, current = before.backend, after.backend
    if (
        before.asker != after.asker
        or (before.frontend, before.stages, before.is_gated) != (after.frontend, after.stages, after.is_gated)
        or len(former.servers) != len(text.servers)
        or current.tells_apart
        or _other_lines(former) != _other_lines(current)
    ):
        return None
    formers = {server.name: server for server in former.servers}
    alike = {_kind(server): text.servers.get(server.name) for server in former.servers if server.address != REFUSING}
    servers: dict[str, ServerLine] = {}
    for server in current.servers:
        like = alike.get(_kind(server))
        if like is None or not _PLAIN.fullmatch(server.name):
            return None
        if formers.get(server.name) == server and server.name in text.servers:
            servers[server.name] = text.servers[server.name]
            continue
        if server.address == REFUSING:
            return None
        host = f"[{server.address}]" if ":" in server.address else server.address
        servers[server.name] = replace(like, address=f"{host}:{server.port}", weight=server.weight, id=server.id)
    return replace(text, servers=servers)
