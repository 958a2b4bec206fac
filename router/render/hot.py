"""What of a rendered section can be another one while HAProxy runs: its allowlist, its certificate, and how clients are verified by theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from router.model import Model, RouteSection
from router.plan.section_text import Allowlist, CertificateFile, ClientFile, HotFiles
from router.render import files
from router.render.in_place import allowlist_of
from router.render.quoting import quoted
from router.render.result import Part
from router.settings import RenderSettings


def path_of(maps_dir: Path, made: Iterable[str], kind: str) -> str | None:
    """Give the path of the file of a kind among those that were made; None where there is none."""
    name = next((name for name in made if name.startswith(f"{kind}-")), None)
    return str(maps_dir / name) if name is not None else None


def hot_files(settings: RenderSettings, section: RouteSection, part: Part) -> HotFiles:
    """Give what of a section's text can change; ``part`` is what it was rendered to."""
    return HotFiles(
        _allowlist(settings, section, part),
        certificate_of(settings, section, part),
        tuple(_clients(settings, section, part)),
        _authorities(settings, section, part),
    )


def certificate_of(settings: RenderSettings, section: RouteSection, part: Part) -> CertificateFile | None:
    """Give what the port of a section shows to clients; None where it does not end TLS."""
    path = path_of(settings.maps_dir, part.files, files.CERTIFICATE)
    tls = files.shown_by(section)
    return CertificateFile(path, quoted(path), tls.certificate) if path is not None and tls is not None else None


def authorities_of(settings: RenderSettings, model: Model) -> frozenset[str]:
    """Give the paths of the files by which servers of a model's Routes are verified."""
    made = (files.authorities_file(section) for section in model.routes if section.backend.tls is not None)
    return frozenset(str(settings.maps_dir / each[0]) for each in made if each is not None)


def _clients(settings: RenderSettings, section: RouteSection, part: Part) -> Iterator[ClientFile]:
    tls = files.shown_by(section)
    clients = tls.clients if tls is not None else None
    if clients is None:
        return
    each = (("ca-file", files.CLIENTS, clients.authorities), ("crl-file", files.REVOKED, clients.revoked))
    for kind, made, pem in each:
        path = path_of(settings.maps_dir, part.files, made)
        if path is not None:
            yield ClientFile(kind, path, quoted(path), pem)


def _authorities(settings: RenderSettings, section: RouteSection, part: Part) -> ClientFile | None:
    path = path_of(settings.maps_dir, part.files, files.AUTHORITIES)
    tls = section.backend.tls
    return ClientFile("ca-file", path, quoted(path), tls.authorities) if path is not None and tls is not None else None


def _allowlist(settings: RenderSettings, section: RouteSection, part: Part) -> Allowlist | None:
    networks = section.backend.allowlist
    if networks is None:
        return None
    if part.place is not None:
        return allowlist_of(section, part.place, tuple(settings.addresses))
    path = path_of(settings.maps_dir, part.files, files.ALLOWLIST)
    return Allowlist((path,), (quoted(path),), networks) if path is not None else None
