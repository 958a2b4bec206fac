"""All that the page consists of, by the paths at which it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote

import msgspec

from router.admission.policy import Policies
from router.errors import HaproxyError
from router.haproxy.talk.recent import recent_lines
from router.model import Asker
from router.objects.store import Objects
from router.observe.http import JSON, Page
from router.observe.page.free import free_ports
from router.observe.page.live import Live
from router.observe.page.overview import Overviews
from router.observe.page.plain import POLICY, frame, plain
from router.observe.page.recent import last_of
from router.reconcile.snapshot import Snapshot
from router.settings import AdmissionSettings, PortRanges

_encode = msgspec.json.Encoder().encode
_COMMAND_S = 2.0
_MOST_CONNECTIONS = 50
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_HTML = "text/html; charset=utf-8"
_STATIC = {"/page.js": "text/javascript; charset=utf-8", "/page.css": "text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPage:
    """Makes the pages; from any thread."""

    settings: AdmissionSettings
    live: Live
    overviews: Overviews
    snapshot: Callable[[], Snapshot]
    objects: Objects
    stats_socket: Path

    def pages(self) -> Mapping[str, Callable[[], Page]]:
        """Give what makes each page, by its path."""
        name = self.settings.router_name
        return {
            "/": lambda: Page(frame(name), _HTML, headers=HEADERS),
            "/plain": lambda: Page(plain(name, self.live.current()), _HTML, headers=HEADERS),
            **{path: lambda path=path, kind=kind: _static(path, kind) for path, kind in _STATIC.items()},  # type: ignore[misc]
            "/page/rows": self.live.rows,
            "/page/events": self.live.events,
            "/page/router": lambda: Page(_encode(self.overviews.now()), JSON, headers=HEADERS),
        }

    def below(self) -> Mapping[str, Callable[[str], Page]]:
        """Give what makes the pages below a path."""
        return {"/page/asker/": self._asker, "/page/free/": self._free}

    def _asker(self, path: str) -> Page:
        """Give the last connections of ``Kind/namespace/name[:section]``, and what became of it."""
        wanted = unquote(path)
        asker = next((each for each in self.snapshot().verdicts if _id(each) == wanted), None)
        if asker is None:
            return Page(b"there is nobody of this name\n", status=HTTPStatus.NOT_FOUND)
        try:
            lines = recent_lines(self.stats_socket, _COMMAND_S)
        except HaproxyError as error:
            return Page(f"{error}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)
        found = {
            "connections": last_of(lines, asker.namespace, asker.log_name, _MOST_CONNECTIONS),
            "changes": self.live.changes_of(wanted),
        }
        return Page(_encode(found), JSON, headers=HEADERS)

    def _free(self, path: str) -> Page:
        """Give what is free, of all ports and of those of a namespace, where one is named."""
        namespace = unquote(path)
        verdicts, claims = list(self.snapshot().verdicts.values()), list(self.objects.claims.values())

        def free(ranges: PortRanges) -> str:
            return str(free_ports(self.settings, ranges, verdicts, claims))

        found = {"ports": free(self.settings.ports), "auto": free(self.settings.auto_ports)}
        if namespace:
            found["namespace"] = free(self._of_namespace(namespace))
        return Page(_encode(found), JSON, headers=HEADERS)

    def _of_namespace(self, namespace: str) -> PortRanges:
        policies = Policies(self.settings)
        policies.put_file(self.objects.port_policy)
        for key, each in list(self.objects.namespaces.items()):
            policies.put(key.name, each)
        allowed, others = policies.ranges(namespace)
        ports = self.settings.ports if allowed is None else allowed
        return PortRanges.of(*(port for port in ports if port in self.settings.ports and port not in others))


def _id(asker: Asker) -> str:
    return f"{asker.kind}/{asker.namespace}/{asker.name}{f':{asker.section}' if asker.section else ''}"


def _static(path: str, kind: str) -> Page:
    return Page((files("router.observe.page") / "static" / path.removeprefix("/")).read_bytes(), kind, headers=HEADERS)
