"""The files of hosts whose TLS ends at a shared port, and what an admin's template must not do with TLS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from router.model import Model, RouteSection, SniHost, Spot, frontend_name
from router.model.stages import (
    TO_SLOT,
    backend_before,
    door,
    gates_server,
    has_stage,
    led_word,
    slot_frontend,
    stage_name,
    starts_tls,
    without_certificate,
)
from router.plan.endings import EndingFiles
from router.plan.section_text import Before, CertificateFile, SectionText, ServerLine, begins_tls, ends_tls
from router.render import files
from router.render.quoting import quoted
from router.settings import RenderSettings


@dataclass(frozen=True, slots=True)
class Stage:
    """What leads to the frontend that ends TLS for hosts of a shared port, or to the one that leads to those of single hosts."""

    server: str
    """Its name."""
    socket: Path


class Endings:
    """Names and makes the files.

    Args:
        settings: where they are, as HAProxy sees it, and what holds for all ports that end TLS.
    """

    def __init__(self, settings: RenderSettings) -> None:
        self._settings = settings
        self._maps_dir = settings.maps_dir
        self._options = settings.tls

    def variables(self, spot: Spot, paths: Mapping[str, str]) -> dict[str, object]:
        """Give what the template of a shared port gets for them; ``paths`` is by the kind of file."""
        return {
            "tls_options": self._options.words(),
            "certificates_file": paths.get(files.CERTIFICATES),
            "ending_file": paths.get(files.ENDING),
            "starting_file": paths.get(files.STARTING),
            "stage_name": stage_name(spot),
            "stage_socket": self._settings.stage_socket(spot),
        }

    def own_variables(self, section: RouteSection) -> dict[str, object]:
        """Give what the template of a Route gets for what ends its TLS behind a port of its own; nothing where that is done at the port."""
        stage = stage_of(section)
        socket = self._settings.stage_socket(section.frontend.spot) if stage and section.frontend is not None else None
        kept = section.kept_slot
        return {
            "stage_name": stage or None,
            "stage_socket": socket,
            "kept_frontend": slot_frontend(kept) if kept else None,
            "kept_socket": self._settings.slot_socket(kept) if kept else None,
            "kept_word": led_word(section.backend.name, section.frontend.spot) if section.frontend is not None else "",
        }

    def before(self, section: RouteSection, allowlist_id: int | None) -> dict[str, object]:
        """Give what the template for Routes gets for the backend in which clients are before their TLS has ended behind a shared port.

        Args:
            section: of a Route, or of the pool.
            allowlist_id: the number of the list of who may connect, where that is no file.
        """
        slot = section.slot
        found: dict[str, object] = {
            "backend_before": None,
            "stages": (),
            "allowlist_id_before": None,
            "may_end_tls": section.stages is not None and section.frontend is not None and not has_stage(section),
            "slot_frontend": slot_frontend(slot.number) if slot is not None else None,
            "slot_socket": self._settings.slot_socket(slot.number) if slot is not None else None,
        }
        if section.stages is None or (section.frontend is not None and not has_stage(section)):
            return found
        stages = tuple(self._stage(spot, is_gated=section.is_gated) for spot in section.stages)
        name = backend_before(section.backend.name)
        return {**found, "backend_before": name, "stages": stages, "allowlist_id_before": allowlist_id}

    def _stage(self, spot: Spot, *, is_gated: bool) -> Stage:
        if is_gated:
            return Stage(gates_server(spot), self._settings.switch_socket(spot))
        return Stage(frontend_name(*spot), self._settings.stage_socket(spot))

    def led(self, text: SectionText, section: RouteSection) -> SectionText:
        """Give what is known of a Route in a slot, with what leads there; the same text for others."""
        if section.slot is None:
            return text
        address = f"unix@{self._settings.slot_socket(section.slot.number)}"
        options = ("send-proxy-v2", "proxy-v2-options", "unique-id")
        return replace(text, stages={TO_SLOT: ServerLine(address, weight=1, maxconn=0, options=options)})

    def certificate(self, spot: Spot, host: SniHost) -> str:
        """Give the file of the certificate of a host of a shared port, in the folder of such files: no quotes help a path in a list of certificates."""
        return files.host_certificate_file(spot, host)[0]

    def line(self, spot: Spot, host: SniHost) -> str:
        """Give the line of a host of a shared port in its list: it is all that the certificate is shown to. A client may ask with a dot at the end."""
        name = f"*{host.host}" if host.host.startswith(".") else host.host
        options = self._options.own_words(host.tls) if host.tls is not None else ""
        return f"{self.certificate(spot, host)}{options} {name} {name}."

    def made(self, spot: Spot, hosts: Iterable[SniHost]) -> Iterator[tuple[str, bytes]]:
        """Give names and contents for a shared port; none where TLS ends for no host."""
        ending = [host for host in hosts if host.ends_tls]
        if not ending:
            return
        yield files.ending_file(spot, ending)
        if any(starts_tls(host.tls) for host in ending):
            yield files.starting_file(spot, ending)
        lines = (self.line(spot, host) for host in ending)
        yield files.certificate_list_file(spot, lines)
        for host in ending:
            yield files.host_certificate_file(spot, host)

    def files(self, model: Model) -> Mapping[Spot, EndingFiles]:
        """Give the files of the shared ports that end TLS, by the paths that HAProxy knows."""
        found = {}
        for shared in model.shared:
            if shared.ends_tls:
                made = (name for name, _ in self.made(shared.spot, shared.hosts))
                paths = {name.partition("-")[0]: str(self._maps_dir / name) for name in made}
                found[shared.spot] = EndingFiles(
                    paths[files.CERTIFICATES],
                    paths[files.ENDING],
                    str(self._maps_dir),
                    paths.get(files.STARTING, ""),
                )
        return found


def before_of(section: RouteSection) -> Before | None:
    """Give what a section has for clients whose TLS has not ended yet, and will behind a socket."""
    if section.slot is not None:
        return Before(door(section), slot_frontend(section.slot.number))
    if section.stages is None or (section.frontend is not None and not has_stage(section)):
        return None
    stage = stage_of(section)
    return Before(backend_before(section.backend.name), f"fe_{stage}" if stage else "")


def stage_of(section: RouteSection) -> str:
    """Give what the frontend that ends a Route's TLS behind a port of its own is named after ``fe_``; empty where it ends at the port, or nowhere."""
    return stage_name(section.frontend.spot) if has_stage(section) and section.frontend is not None else ""


def route_problem(
    text: str, section: RouteSection, certificate: CertificateFile | None, authorities: str | None
) -> str | None:
    """Say where a template for Routes that knows nothing of TLS would have go in the open what is secret, or lead nowhere."""
    if certificate is not None and not ends_tls(text, certificate, stage_of(section)):
        return "binds a port without the certificate (certificate_file) of a Route that ends TLS; see docs/tls.md"
    if authorities is not None and not begins_tls(text, quoted(authorities)):
        return "leads to servers without the authorities (authorities_file) of a Route that begins TLS anew; see docs/tls.md"
    if section.stages and not re.search(
        rf"^backend {re.escape(backend_before(section.backend.name))} ", text, re.MULTILINE
    ):
        return "has no backend for clients whose TLS ends behind a shared port (backend_before); see docs/tls.md"
    if section.backend.tells_apart:
        apart = without_certificate(section.backend.name)
        leads = section.frontend is None or f"use_backend {apart} " in text
        if not leads or not re.search(rf"^backend {re.escape(apart)} ", text, re.MULTILINE):
            return "leads clients without a certificate to where pods would take it for verified (backend_apart); see docs/tls.md"
    if section.stages and section.is_gated and "use-server gates:%[fe_name]" not in text:
        return "leads nobody to where clients are asked for certificates (use-server gates:%[fe_name]); see docs/tls.md"
    return None


def shared_problem(text: str, certificates: str | None) -> str | None:
    """Say where one for shared ports would lead what is to be decrypted to pods as it comes."""
    if certificates is None or f" ssl crt-list {quoted(certificates)}" in text:
        return None
    return (
        "binds nothing with the certificates (certificates_file) of hosts whose TLS ends at the port; see docs/tls.md"
    )
