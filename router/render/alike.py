"""What thousands of Routes are rendered to that ask for nothing unusual: one of their kind is rendered, and its names are put in place of another one's.

That is known of the router's own templates only. They write a Route's names, its port, and where its servers are, as they are, and all else of such sections is
the same for all that are alike in the rest. A test compares with what is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter

from msgspec.structs import replace

from router.model import Asker, Backend, RouteSection, Server
from router.model.changed import changed
from router.model.refusing import REFUSING

Render = Callable[[RouteSection], str]
"""Gives what a section is rendered to."""

_OF_ONE_ROUTE = frozenset({"name", "servers", "advance", "shutdown_sessions_on_removed"})
_terms = attrgetter(*(name for name in Backend.__slots__ if name not in _OF_ONE_ROUTE))
"""All of a backend that several have alike; the last of the others is in no line."""
_OF_ONE_SERVER = frozenset({"name", "address", "port", "weight", "id"})
_kind = attrgetter(*(name for name in Server.__struct_fields__ if name not in _OF_ONE_SERVER))
_MOST = 256
"""Kinds that are remembered."""
_PORT, _WEIGHT, _ID = 900_000_000_001, 900_000_000_002, 900_000_000_003
"""Numbers that stand for others; none of a section is as large."""
_BACKEND, _SERVER, _ADDRESS = "\ue001", "\ue002", "\ue003"
_SOMEBODY = Asker("", "\ue004", "\ue004", "\ue004")
_MARKS = re.compile(f"{_PORT}|{_BACKEND}|{re.escape(str(_SOMEBODY))}")


class Alike:
    """Gives the text of sections that are like others.

    Args:
        render: what renders one.
    """

    def __init__(self, render: Render) -> None:
        self._render = render
        self._sections: dict[object, str] = {}
        """Patterns of all but servers' lines, by what sections have alike."""
        self._lines: dict[object, str] = {}
        """The same of servers' lines: name, address, port, weight and number. Empty where there is none."""

    def text(self, section: RouteSection) -> str | None:
        """Give what a Route's section is rendered to; None where it has to be rendered to know."""
        backend, frontend = section.backend, section.frontend
        if (
            section.stages is not None
            or section.slot is not None
            or section.kept_slot
            or backend.tls is not None
            or backend.allowlist is not None
            or backend.connection_limit is not None
            or backend.send_proxy == "v2-ssl-shown"
        ):
            return None
        where = None
        if frontend is not None:
            if frontend.tls is not None or frontend.options.accept_proxy:
                return None
            where = frontend.address, frontend.ips, frontend.options
        alike = _terms(backend), where
        pattern = self._sections.get(alike)
        if pattern is None:
            pattern = _remembered(self._sections, alike, self._pattern(section))
        said = {"asker": section.asker, "backend": backend.name, "port": frontend.port if frontend is not None else 0}
        text = pattern % said
        for server in backend.servers:
            of_server = alike, _kind(server)
            line = self._lines.get(of_server)
            if line is None:
                line = _remembered(self._lines, of_server, self._line(section, server))
            address = server.address
            if not line or address == REFUSING:
                return None
            host = f"[{address}]" if ":" in address else address
            text += line % (server.name, host, server.port, server.weight, server.id)
        return text

    def _pattern(self, section: RouteSection) -> str:
        """Give that of a section like this one."""
        said = {str(_PORT): "%(port)d", _BACKEND: "%(backend)s", str(_SOMEBODY): "%(asker)s"}
        return _MARKS.sub(lambda mark: said[mark[0]], self._sample(section).replace("%", "%%"))

    def _line(self, section: RouteSection, server: Server) -> str:
        """Give that of the line of a server like this one, in a section like that."""
        without = self._sample(section)
        mark = replace(server, name=_SERVER, address=_ADDRESS, port=_PORT, weight=_WEIGHT, id=_ID)
        text = self._sample(section, mark)
        line, pattern = text.removeprefix(without).replace("%", "%%"), ""
        for each in (_SERVER, _ADDRESS, str(_PORT), str(_WEIGHT), str(_ID)):
            before, found, line = line.partition(each)
            pattern += f"{before}%s"
            if not found:
                return ""
        return pattern + line if text.startswith(without) else ""

    def _sample(self, section: RouteSection, *servers: Server) -> str:
        """Give what a section like this one is rendered to that has other names, and these servers."""
        frontend = changed(section.frontend, port=_PORT) if section.frontend is not None else None
        backend = changed(section.backend, name=_BACKEND, servers=servers, advance=None)
        return self._render(changed(section, asker=_SOMEBODY, backend=backend, frontend=frontend))


def _remembered(known: dict[object, str], key: object, pattern: str) -> str:
    if len(known) >= _MOST:
        known.clear()
    known[key] = pattern
    return pattern
