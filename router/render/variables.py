"""What the templates of sections get; docs/templates.md lists it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from router.admission.pool import allowlist_id, allowlist_id_before
from router.model import Frontend, RouteSection, SharedFrontend, frontend_name
from router.model.stages import without_certificate
from router.model.tls import PortTls
from router.render import files
from router.render.clients import client_words
from router.render.endings import Endings
from router.render.gates import Gating
from router.render.hot import path_of
from router.render.listen import ListenAddress, listen_addresses, named_addresses
from router.settings import RenderSettings


class Variables:
    """Gives them.

    Args:
        settings: of rendering.
        endings: names what ends TLS behind shared ports.
        gating: names what asks clients for certificates there.
        hands_on: says whether a worker hands to the next one what it counted of clients.
    """

    def __init__(
        self, settings: RenderSettings, endings: Endings, gating: Gating, hands_on: Callable[[], bool]
    ) -> None:
        self._hands_on = hands_on
        self._settings = settings
        self._endings = endings
        self._gating = gating
        self._listen = listen_addresses(settings)

    def of(
        self,
        subject: RouteSection | SharedFrontend | None,
        made: Iterable[str] = (),
        place: RouteSection | None = None,
    ) -> dict[str, object]:
        """Give those of a section.

        Args:
            subject: the section; None is the global part.
            made: the names of its files.
            place: of the pool, where it is one, or is served by one.
        """
        folder = self._settings.maps_dir
        paths = {name.partition("-")[0]: str(folder / name) for name in made}
        if subject is None:
            return {
                "settings": self._settings,
                "stages": 1,
                "limits_clients": False,
                "hello_script": paths[files.HELLO_SCRIPT],
                "owners_file": paths[files.OWNERS],
                "limits_file": paths.get(files.LIMITS),
            }
        if isinstance(subject, RouteSection):
            frontend = subject.frontend
            tls = files.shown_by(subject)
            # Ports end TLS on a socket of their own: only what is led to by a host has a list before that.
            before = allowlist_id_before(place) if place is not None and place.frontend is None else None
            return {
                "settings": self._settings,
                "listen": self._listen_of(frontend) if frontend is not None else (),
                "route": subject,
                "frontend_name": frontend_name(*frontend.spot) if frontend is not None else None,
                "allowlist_file": paths.get(files.ALLOWLIST),
                "certificate_file": paths.get(files.CERTIFICATE),
                "tls_options": self._settings.tls.words(tls) + self.client_words(tls, made),
                "authorities_file": paths.get(files.AUTHORITIES),
                "backend_apart": without_certificate(subject.backend.name) if subject.backend.tells_apart else None,
                **self._endings.own_variables(subject),
                "allowlist_id": allowlist_id(place, tuple(self._settings.addresses)) if place is not None else None,
                **self._endings.before(subject, before),
                "owners_file": paths.get(files.OWNERS),
                "leads_file": paths.get(files.LEADS),
                "hands_on": subject.backend.connection_limit is not None and self._hands_on(),
            }
        return {
            "settings": self._settings,
            "listen": self._listen_of(subject),
            "shared": subject,
            "frontend_name": frontend_name(*subject.spot),
            "hosts_file": paths.get(files.HOSTS),
            **self._endings.variables(subject.spot, paths),
            **self._gating.variables(subject),
        }

    def client_words(self, tls: PortTls | None, made: Iterable[str]) -> str:
        """Give what a port of a Route's own has to verify clients; ``made`` are the names of the section's files."""
        authorities, revoked = (path_of(self._settings.maps_dir, made, kind) for kind in (files.CLIENTS, files.REVOKED))
        return client_words(tls, authorities, revoked)

    def _listen_of(self, frontend: Frontend | SharedFrontend) -> tuple[ListenAddress, ...]:
        if not frontend.address:
            return self._listen
        return named_addresses(self._settings, frontend.ips)
