"""Rendering a model, section by section, and remembering the sections that did not change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain

from router.errors import TemplateError
from router.model import (
    Model,
    RouteSection,
    SharedFrontend,
    SniHost,
    Spot,
    Step,
    frontend_name,
)
from router.model.stages import slot_frontend, stages, without_certificate
from router.plan.gates import GateLine
from router.plan.running import Running, loaded
from router.plan.section_text import SectionText, default_server_words, frontend_limit, is_verified, read_section
from router.render import files
from router.render.alike import Alike
from router.render.bases import Bases
from router.render.clients import clients_problem
from router.render.derived import Seen, derived
from router.render.endings import Endings, before_of, route_problem, shared_problem
from router.render.gates import Gating, left_out, without_gates
from router.render.hot import authorities_of, certificate_of, hot_files, path_of
from router.render.in_place import halves, moved
from router.render.process_part import ProcessPart
from router.render.result import (
    Owner,
    Part,
    PortOwner,
    Rendered,
    SectionFailure,
    failed_part,
    joined,
    served_hosts,
    with_hosts,
)
from router.render.templates import ROUTE, SHARED, TemplateSet
from router.render.usable import check_usable
from router.render.variables import Variables
from router.settings import RenderSettings

_NO_FILES: Mapping[str, bytes] = {}


class Renderer:
    """Renders models that follow each other with one set of templates and settings.

    A Route's section is remembered as long as the model holds the same ``RouteSection`` object, and forgotten with it.

    Several threads may use one: what they remember at the same time may be forgotten, and is then rendered again.
    """

    def __init__(self, templates: TemplateSet, settings: RenderSettings) -> None:
        """Prepare to render.

        Raises:
            SettingsError: the settings cannot be written into a configuration.
        """
        check_usable(settings)
        self._templates = templates
        self._settings = settings
        self._endings, self._gating = Endings(settings), Gating(settings)
        self._variables = Variables(settings, self._endings, self._gating, lambda: self._process.hands_on)
        self._process = ProcessPart(templates, settings, self._variables)
        self._bases = Bases(settings.bases if templates.is_packaged else (), self._sample)
        self._alike = Alike(self._sample)
        # By identity of the section; the part holds the section, so its id is not given to another object meanwhile.
        self._routes: dict[int, Part] = {}
        self._shared: dict[int, Part] = {}
        self._pool: dict[int, Part] = {}
        self._derived: dict[int, tuple[RouteSection, SectionText]] = {}
        """What sections say that nobody has rendered yet; they hold their sections likewise."""
        # Apart: in a place of the pool a Route says what the place lets it.
        self._seen, self._seen_in_places = Seen(), Seen()

    def render(self, model: Model) -> Rendered:
        """Give the configuration for a model.

        A section that its template fails on is left out and told in ``failures``; shared ports do not lead to a Route
        that was left out.

        Raises:
            TemplateError: the global template failed; without it there is no configuration.
        """
        remembered = self._routes
        routes = {id(section): remembered.get(id(section)) or self._route(section) for section in model.routes}
        remembered = self._pool
        pool = {id(section): remembered.get(id(section)) or self._route(section) for section in model.pool}
        self._routes, self._pool = routes, pool
        for key, (_, text) in self._derived.items():
            if key in routes and routes[key].read is None:
                routes[key].read = (text,)
        self._derived = {}
        failures = [part.failure for part in routes.values() if part.failure is not None]
        failed = {failure.owner for failure in failures}
        shared = self._shared_parts(model.shared, failed)
        own = self._process.part(
            model.namespace_limits,
            stages(model),
            has_maxconn=Step.CONNECTIONS not in model.saved,
            limits_clients=any(section.backend.connection_limit is not None for section in model.routes),
        )
        parts = (own, *self._bases.parts(model, own), *shared, *routes.values(), *pool.values())
        return Rendered(
            config=b"".join([part.text for part in parts]),
            files=dict(chain.from_iterable([part.files.items() for part in parts if part.files])),
            failures=(
                *[part.failure for part in shared if part.failure is not None],
                *chain.from_iterable([part.left_out for part in shared]),
                *failures,
            ),
            parts=parts,
            _origins=self._origins,
        )

    def forget(self) -> None:
        """Remember nothing: every section is rendered anew."""
        self._routes, self._shared, self._pool, self._derived = {}, {}, {}, {}

    def renders(self, section: RouteSection) -> bool:
        """Say whether the template has no fault with a section of the pool; it is rendered and remembered."""
        part = self._pool.get(id(section))
        if part is None:
            part = self._pool[id(section)] = self._route(section)
        return part.failure is None

    def text(self, section: RouteSection) -> SectionText | None:
        """Give a Route's section taken apart; None where only a reload can be trusted to change it."""
        if (made := self._derived.get(id(section))) is not None:
            return made[1]
        remembered = self._routes.get(id(section)) or self._pool.get(id(section))
        if remembered is None:
            remembered = self._route(section)
            (self._routes if section.route else self._pool)[id(section)] = remembered
        if remembered.failure is not None:
            return None
        return self._read(section, remembered)

    def text_after(self, before: RouteSection, section: RouteSection) -> SectionText | None:
        """Give the same of a Route's section that was another one before, and may differ in its servers alone."""
        if self._templates.is_packaged and id(section) not in self._routes:
            known = self.text(before)
            text = derived(known, before, section, self._seen) if known is not None else None
            if text is not None:
                self._derived[id(section)] = section, text
                return text
            text = self.text(section)
            if text is not None and not section.backend.tells_apart:
                self._seen.learn(section, text)
            return text
        return self.text(section)

    def text_in_place(self, section: RouteSection, place: RouteSection) -> SectionText | None:
        """Give what a Route's section would be, were it served by a backend of the pool; as ``text``.

        What none of the pool can do is None.
        """
        there = moved(section, place)
        if there is None:
            return None
        text = self._as_in(there, place)
        if text is not None and there.backend.tls is not None and not is_verified(text):
            return None
        if text is not None:
            text = self._endings.led(text, there)
        # A template that writes allowlists for Routes, and none for the pool, would let everybody in.
        return None if text is not None and section.backend.allowlist is not None and text.allowlist is None else text

    def _as_in(self, there: RouteSection, place: RouteSection) -> SectionText | None:
        """Give what a Route says under the names of a place."""
        known = self.text(place) if self._templates.is_packaged and not place.backend.servers else None
        text = self._seen_in_places.in_place(known, place, there) if known is not None else None
        if text is None:
            part = self._in_pool(there, place)
            text = self._read(there, part) if part.failure is None else None
            if text is not None and self._templates.is_packaged:
                self._seen_in_places.learn(there, text)
        return text

    def frontend_limit(self, subject: RouteSection | SharedFrontend) -> int | None:
        """Give the limit of connections that a port was rendered with; None where the text has none."""
        remembered = self._routes if isinstance(subject, RouteSection) else self._shared
        part = remembered.get(id(subject))
        return frontend_limit(part.text.decode()) if part is not None else None

    @property
    def has_independent_sections(self) -> bool:
        """Whether HAProxy takes any sections together that it takes one by one; templates of the admin's may see to it that not."""
        return self._templates.is_packaged

    @property
    def owners_file(self) -> str:
        """Give the path of the map that tells whom the backends of the pool serve."""
        return str(self._settings.maps_dir / files.owners_file()[0])

    def hosts_file(self, shared: SharedFrontend) -> str:
        """Give the path of the map that a shared port was rendered with."""
        return str(self._settings.maps_dir / files.hosts_file(shared.spot, shared.hosts)[0])

    def _sample(self, section: RouteSection) -> str:
        return self._templates.render(ROUTE, self._variables.of(section))

    @cached_property
    def _default_server(self) -> Mapping[str, tuple[str, ...]]:
        return default_server_words(self._process.text)

    def _read(self, section: RouteSection, part: Part) -> SectionText | None:
        if part.read is None:
            part.read = (
                read_section(
                    part.text.decode(),
                    frontend=frontend_name(*section.frontend.spot) if section.frontend is not None else None,
                    backend=section.backend.name,
                    before=before_of(section),
                    apart=without_certificate(section.backend.name) if section.backend.tells_apart else None,
                    kept=slot_frontend(section.kept_slot) if section.kept_slot else "",
                    defaults=self._default_server,
                    hot=hot_files(self._settings, section, part),
                ),
            )
        return part.read[0]

    def _path(self, made: Iterable[str], kind: str) -> str | None:
        return path_of(self._settings.maps_dir, made, kind)

    def _shared_parts(self, frontends: Iterable[SharedFrontend], failed: set[Owner | None]) -> tuple[Part, ...]:
        # With failed Routes, what a shared port leads to depends on more than the object itself.
        remembered = {} if failed else self._shared
        parts = {
            id(frontend): remembered.get(id(frontend)) or self._shared_part(frontend, failed) for frontend in frontends
        }
        self._shared = {} if failed else parts
        return tuple(parts.values())

    def _route(self, section: RouteSection) -> Part:
        if not section.route:
            return self._in_pool(section, section)
        if self._templates.is_packaged and (known := self._like_others(section)) is not None:
            return known
        part = self._part(
            ROUTE,
            section,
            section.asker,
            files.allowlist_file(section),
            files.certificate_file(section),
            *files.client_files(section),
            files.authorities_file(section),
        )
        authorities = self._path(part.files, files.AUTHORITIES)
        tls, text = section.frontend.tls if section.frontend is not None else None, part.text.decode()
        problem = route_problem(text, section, certificate_of(self._settings, section, part), authorities)
        problem = problem or clients_problem(
            text, self._process.text, tls, self._variables.client_words(tls, part.files)
        )
        return part if problem is None or part.failure is not None else failed_part(part, ROUTE, problem)

    def _like_others(self, section: RouteSection) -> Part | None:
        """Give what a section is rendered to that is like others of Routes; None where it has to be rendered to know."""
        try:
            text = self._alike.text(section)
            written = text.encode() if text is not None else None
        except (TemplateError, UnicodeEncodeError):
            # It is told whose doing that is where the section itself is rendered.
            return None
        return Part(section, section.asker, written, written.count(b"\n"), _NO_FILES) if written is not None else None

    def _in_pool(self, section: RouteSection, place: RouteSection) -> Part:
        """Render a place of the pool, or a Route under its names."""
        if section.slot is None:
            made = (files.leads_file(),) if self._settings.bases and place.frontend is not None else ()
            return self._part(
                ROUTE, section, None, files.owners_file(), *made, files.authorities_file(section), place=place
            )
        front, inner = halves(section, section.slot)
        authorities = files.authorities_file(inner)
        whole = self._part(ROUTE, inner, None, files.owners_file(), files.certificate_file(inner), authorities)
        if front is None:
            return replace(whole, subject=section)
        leading = self._part(ROUTE, front, None, files.owners_file(), place=place)
        return joined(leading, whole, section, place)

    def _shared_part(self, frontend: SharedFrontend, failed: set[Owner | None]) -> Part:
        owner = PortOwner(frontend.spot)
        frontend = with_hosts(frontend, served_hosts(frontend.hosts, failed))
        part = self._shared_with(frontend, owner)
        text = part.text.decode()
        problem = shared_problem(text, self._path(part.files, files.CERTIFICATES))
        if problem is not None and part.failure is None:
            return failed_part(part, SHARED, problem)
        problem = self._gating.problem(text, self._process.text, frontend) if part.failure is None else None
        if problem is not None:
            # Those whose clients would not be asked, and nobody else of their port.
            part = self._shared_with(without_gates(frontend), owner)
            part.left_out = left_out(frontend, TemplateError(SHARED, None, problem))
        return part

    def _shared_with(self, frontend: SharedFrontend, owner: PortOwner) -> Part:
        made = files.hosts_file(frontend.spot, frontend.hosts), *self._endings.made(frontend.spot, frontend.hosts)
        return self._part(SHARED, frontend, owner, *made, *self._gating.made(frontend))

    def certificate_line(self, spot: Spot, host: SniHost) -> str:
        """Give the line of a host whose TLS ends at a shared port in its list of certificates."""
        return self._endings.line(spot, host)

    def loaded(self, model: Model) -> Running:
        """Give what a HAProxy has that was just loaded with a model, once idle ports are closed."""
        hosts_files = {shared.spot: self.hosts_file(shared) for shared in model.shared}
        limits_file = self._path(dict(files.limits_files(model.namespace_limits, self._settings)), files.LIMITS)
        gates = self._gating.loaded(model)
        fresh = loaded(model, hosts_files, self.owners_file, self._endings.files(model), limits_file or "", gates)
        fresh = replace(fresh, authorities=authorities_of(self._settings, model))
        named = self._bases.names(model)
        leads_file = str(self._settings.maps_dir / files.leads_file()[0]) if named else ""
        return replace(fresh, bases=named, leads_file=leads_file) if named else fresh

    def gate_line(self, spot: Spot, host: SniHost) -> GateLine:
        """Give what HAProxy needs of a host whose clients are asked for certificates."""
        return self._gating.line(spot, host)

    def _part(
        self,
        template: str,
        subject: RouteSection | SharedFrontend,
        owner: Owner | None,
        *made: tuple[str, bytes] | None,
        place: RouteSection | None = None,
    ) -> Part:
        made_files = dict(each for each in made if each is not None)
        try:
            text = self._templates.render(template, self._variables.of(subject, made_files, place)).encode()
        except TemplateError as error:
            return Part(subject, owner, b"", 0, {}, SectionFailure(owner, error))
        return Part(subject, owner, text, text.count(b"\n"), made_files, place=place)

    def _origins(self, part: Part) -> Sequence[str]:
        if part.subject is None:
            return self._process.origins(part) if part.files else [ROUTE] * part.lines
        variables = self._variables.of(part.subject, part.files, part.place)
        name = ROUTE if isinstance(part.subject, RouteSection) else SHARED
        return self._templates.origins(name, variables)
