"""Rendering a model, section by section, and remembering the sections that did not change."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import chain

from router.errors import SettingsError, TemplateError
from router.model import Model, RouteSection, SharedFrontend, SniHost, frontend_name
from router.render import files
from router.render.listen import listen_addresses
from router.render.quoting import quoted
from router.render.result import Owner, Part, PortOwner, Rendered, RouteOwner, SectionFailure
from router.render.templates import GLOBAL, ROUTE, SHARED, TemplateSet
from router.settings import RenderSettings

# An address, which is what a socket's path is to HAProxy, ends at a comma and has variables expanded, quoted or not.
_NEVER_LITERAL = re.compile(r"[,$]")
# What the system allows, less the room that HAProxy keeps to bind under another name first.
_SOCKET_PATH_BYTES = 97


class Renderer:
    """Renders models that follow each other with one set of templates and settings.

    A Route's section is remembered as long as the model holds the same ``RouteSection`` object, and forgotten with it.
    Not for use by several threads.
    """

    def __init__(self, templates: TemplateSet, settings: RenderSettings) -> None:
        """Prepare to render.

        Raises:
            SettingsError: the settings cannot be written into a configuration.
        """
        _usable(settings)
        self._templates = templates
        self._settings = settings
        self._listen = listen_addresses(settings)
        self._global: Part | None = None
        # By identity of the section; the part holds the section, so its id is not given to another object meanwhile.
        self._routes: dict[int, Part] = {}
        self._shared: dict[int, Part] = {}

    def render(self, model: Model) -> Rendered:
        """Give the configuration for a model.

        A section that its template fails on is left out and told in ``failures``; shared ports do not lead to a Route
        that was left out.

        Raises:
            TemplateError: the global template failed; without it there is no configuration.
        """
        if self._global is None:
            text = self._templates.render(GLOBAL, self._variables(None)).encode()
            self._global = Part(None, None, text, text.count(b"\n"), {})
        remembered = self._routes
        self._routes = {id(section): remembered.get(id(section)) or self._route(section) for section in model.routes}
        failed = {part.owner for part in self._routes.values() if part.failure is not None}
        shared = self._shared_parts(model.shared, failed)
        parts = (self._global, *shared, *self._routes.values())
        return Rendered(
            config=b"".join([part.text for part in parts]),
            files=dict(chain.from_iterable([part.files.items() for part in parts if part.files])),
            failures=tuple([part.failure for part in parts if part.failure is not None]),
            _parts=parts,
            _origins=self._origins,
        )

    def _shared_parts(self, frontends: Iterable[SharedFrontend], failed: set[Owner | None]) -> tuple[Part, ...]:
        # With failed Routes, what a shared port leads to depends on more than the object itself.
        remembered = {} if failed else self._shared
        parts = {
            id(frontend): remembered.get(id(frontend)) or self._shared_part(frontend, failed) for frontend in frontends
        }
        self._shared = {} if failed else parts
        return tuple(parts.values())

    def _route(self, section: RouteSection) -> Part:
        made = files.allowlist_file(section)
        return self._part(ROUTE, section, RouteOwner(section.namespace, section.route), made)

    def _shared_part(self, frontend: SharedFrontend, failed: set[Owner | None]) -> Part:
        made = files.hosts_file(frontend.port, _served(frontend.hosts, failed))
        return self._part(SHARED, frontend, PortOwner(frontend.port), made)

    def _part(
        self,
        template: str,
        subject: RouteSection | SharedFrontend,
        owner: Owner,
        made: tuple[str, bytes] | None,
    ) -> Part:
        file_name = made[0] if made is not None else None
        try:
            text = self._templates.render(template, self._variables(subject, file_name)).encode()
        except TemplateError as error:
            return Part(subject, owner, b"", 0, {}, SectionFailure(owner, error))
        return Part(subject, owner, text, text.count(b"\n"), dict([made]) if made is not None else {})

    def _variables(
        self, subject: RouteSection | SharedFrontend | None, file_name: str | None = None
    ) -> dict[str, object]:
        """Give what the template of a section gets; docs/templates.md lists it."""
        path = str(self._settings.maps_dir / file_name) if file_name is not None else None
        if subject is None:
            return {"settings": self._settings}
        if isinstance(subject, RouteSection):
            return {
                "settings": self._settings,
                "listen": self._listen,
                "route": subject,
                "frontend_name": frontend_name(subject.frontend.port) if subject.frontend is not None else None,
                "allowlist_file": path,
            }
        return {
            "settings": self._settings,
            "listen": self._listen,
            "shared": subject,
            "frontend_name": frontend_name(subject.port),
            "hosts_file": path,
        }

    def _origins(self, part: Part) -> Sequence[str]:
        name = GLOBAL if part.subject is None else ROUTE if isinstance(part.subject, RouteSection) else SHARED
        return self._templates.origins(name, self._variables(part.subject, next(iter(part.files), None)))


def _served(hosts: Iterable[SniHost], failed: set[Owner | None]) -> Iterable[SniHost]:
    if not failed:
        return hosts
    return [host for host in hosts if RouteOwner(host.namespace, host.route) not in failed]


def _usable(settings: RenderSettings) -> None:
    try:
        quoted(settings.state_dir)
        quoted(settings.log_address)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    socket = str(settings.stats_socket)
    for path in (socket, settings.log_address):
        found = _NEVER_LITERAL.search(path)
        if found:
            raise SettingsError(f"{path!r} has {found[0]!r} in it, which HAProxy does not take as itself in an address")
    if len(os.fsencode(socket)) > _SOCKET_PATH_BYTES:
        raise SettingsError(
            f"{socket!r} is longer than the {_SOCKET_PATH_BYTES} bytes that the path of a socket may have"
        )
