"""The sockets by which TLS ends for hosts of shared ports whose clients are asked for certificates: one for each, and some in advance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from router.errors import TemplateError
from router.model import Model, SharedFrontend, SniHost, Spot
from router.model.stages import gate_name, switch_name, without_certificate
from router.model.tls import ClientTls
from router.plan.gates import GateLine, Gates
from router.render import files
from router.render.clients import has_no_cache
from router.render.quoting import quoted
from router.render.result import SectionFailure
from router.settings import RenderSettings

_NOBODY = "nobody.invalid"
"""A name that no Route can have, and nobody is led by (RFC 2606)."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One of them, for the template of shared ports."""

    name: str
    """Behind ``fe_`` that of the frontend, behind ``be_`` that of the backend that leads there."""
    socket: Path
    certificates: str
    """The path of its list of certificates."""
    host: SniHost | None
    """Whose it is when HAProxy is loaded."""


class Gating:
    """Names and makes what they need.

    Args:
        settings: where files are, as HAProxy sees it, and what holds for all ports that end TLS.
    """

    def __init__(self, settings: RenderSettings) -> None:
        self._settings = settings
        self._maps_dir = settings.maps_dir
        self._are_written = True
        """False once templates were seen not to write them; they stay as they are."""

    def variables(self, shared: SharedFrontend) -> dict[str, object]:
        """Give what the template of a shared port gets for them."""
        gates = self.gates(shared)
        every = self.files(shared)
        return {
            "gates": gates,
            "gates_file": every.hosts if gates else None,
            "switch_name": switch_name(shared.spot),
            "switch_socket": self._settings.switch_socket(shared.spot),
            "required_file": every.required if gates else None,
            "filtered_file": every.filtered if gates else None,
            "apart_file": every.apart if gates else None,
        }

    def gates(self, shared: SharedFrontend) -> tuple[Gate, ...]:
        """Give all of a port."""
        found: list[tuple[int | str, SniHost | None]] = [
            *((_number(host), host) for host in shared.hosts if host.is_gated),
            *((number, None) for number in _spare(shared)),
        ]
        return tuple(self._gate(shared.spot, number, host) for number, host in found)

    def _gate(self, spot: Spot, number: int | str, host: SniHost | None) -> Gate:
        certificates = str(self._maps_dir / self._list_file(spot, number, host)[0])
        return Gate(gate_name(spot, number), self._settings.gate_socket(spot, number), certificates, host)

    def made(self, shared: SharedFrontend) -> Iterator[tuple[str, bytes]]:
        """Give names and contents of files; none for a port that has none."""
        gates = self.gates(shared)
        if not gates:
            return
        spot, hosts = shared.spot, [host for host in shared.hosts if host.is_gated]
        yield from self._of_all(shared)
        for host in hosts:
            yield self._list_file(spot, _number(host), host)
            yield files.host_certificate_file(spot, host)
            yield from files.host_client_files(spot, host)
        for number in _spare(shared):
            yield self._list_file(spot, number, None)
        if shared.spare_gates and self._settings.stand_in:
            yield files.stand_in_file(self._settings.stand_in)

    def files(self, shared: SharedFrontend) -> Gates:
        """Give them as HAProxy has them when it was just loaded."""
        every = self.gates(shared)
        hosts, required, filtered, apart = (str(self._maps_dir / name) for name, _ in self._of_all(shared))
        taken = {gate.host.host: gate.name for gate in every if gate.host is not None}
        return Gates({gate.name: gate.certificates for gate in every}, hosts, required, filtered, apart, taken)

    def line(self, spot: Spot, host: SniHost) -> GateLine:
        """Give what is needed of a host."""
        certificate, pem = files.host_certificate_file(spot, host)
        of_clients = dict(files.host_client_files(spot, host))
        kinds = {files.CLIENTS: "ca-file", files.REVOKED: "crl-file"}
        named = {kinds[name.partition("-")[0]]: name for name in of_clients}
        return GateLine(
            self._line(host, certificate, named),
            str(self._maps_dir / certificate),
            pem,
            tuple((kind, str(self._maps_dir / name), of_clients[name].decode()) for kind, name in named.items()),
        )

    def loaded(self, model: Model) -> Mapping[Spot, Gates]:
        """Give those of a model, as HAProxy has them when it was just loaded; none by templates that have none."""
        return {shared.spot: self.files(shared) for shared in model.shared if shared.gates} if self._are_written else {}

    def problem(self, text: str, process: str, shared: SharedFrontend) -> str | None:
        """Say where a template for shared ports, or the global one, would not have clients of a port asked."""
        if not shared.gates:
            return None
        problem = self._problem(text, process, shared)
        self._are_written = self._are_written and problem is None
        return problem

    def _problem(self, text: str, process: str, shared: SharedFrontend) -> str | None:
        for gate in self.gates(shared):
            lines = [line for line in text.splitlines() if f"crt-list {quoted(gate.certificates)}" in line]
            if not lines or any(f"unix@{quoted(gate.socket)}" not in line for line in lines):
                return "binds nothing for hosts whose clients are asked for certificates (gates); see docs/tls.md"
            if any(" no-tls-tickets" not in line or " strict-sni" not in line for line in lines):
                return "has sessions resumed where clients are asked for certificates (no-tls-tickets); see docs/tls.md"
        if "ssl_c_used" not in text or "required" not in text:
            return "asks clients for certificates without a look at ssl_c_used; see docs/tls.md"
        if not has_no_cache(process):
            return "asks clients for certificates, and the global part has no tune.ssl.cachesize 0; see docs/tls.md"
        return self._problem_of_clients(text, shared)

    def _problem_of_clients(self, text: str, shared: SharedFrontend) -> str | None:
        if any(each.subjects != self._settings.client_subjects for each in _clients(shared) if each.subjects):
            return "lets in clients whatever the subject of their certificate"
        apart = f"-f {quoted(self.files(shared).apart)}"
        led = any(
            line.split()[:1] == ["use_backend"] and without_certificate("") in line and apart in line
            for line in text.splitlines()
        )
        if any(each.tells_apart for each in _clients(shared)) and not led:
            return "leads clients without a certificate to where pods would take it for verified (apart_file); see docs/tls.md"
        return None

    def _list_file(self, spot: Spot, number: int | str, host: SniHost | None) -> tuple[str, bytes]:
        lines = [self.line(spot, host).text] if host is not None else self._stand_in()
        return files.gate_list_file(f"{spot}, {host.host if host is not None else number}", lines)

    def _stand_in(self) -> list[str]:
        return [f"{files.stand_in_file(self._settings.stand_in)[0]} {_NOBODY}"] if self._settings.stand_in else []

    def _line(self, host: SniHost, certificate: str, named: Mapping[str, str]) -> str:
        if host.tls is None or host.tls.clients is None:
            raise ValueError(f"{host.host} asks for no certificates")
        verify = "required" if host.tls.clients.required else "optional"
        words = [f"verify {verify}", *(f"{kind} {name}" for kind, name in named.items())]
        name = f"*{host.host}" if host.host.startswith(".") else host.host
        return f"{certificate}{self._settings.tls.own_words(host.tls, words)} {name} {name}."

    def _of_all(self, shared: SharedFrontend) -> Iterator[tuple[str, bytes]]:
        spot, hosts = shared.spot, [host for host in shared.hosts if host.is_gated]
        named = [(host, gate_name(spot, _number(host))) for host in hosts]
        yield files.gates_file(
            spot, [*((host.host, gate) for host, gate in named), *((gate, host.backend) for host, gate in named)]
        )
        clients = [
            (host.host, each) for host in hosts if host.tls is not None and (each := host.tls.clients) is not None
        ]
        yield files.hosts_list_file(files.REQUIRED, spot, (name for name, each in clients if each.required))
        yield files.hosts_list_file(files.FILTERED, spot, (name for name, each in clients if each.subjects))
        yield files.hosts_list_file(files.APART, spot, (name for name, each in clients if each.tells_apart))


def without_gates(shared: SharedFrontend) -> SharedFrontend:
    """Give a port without such hosts, and without any that may come."""
    return replace(shared, hosts=tuple(host for host in shared.hosts if not host.is_gated), spare_gates=0)


def left_out(shared: SharedFrontend, error: TemplateError) -> tuple[SectionFailure, ...]:
    """Say of each such host why it is not there."""
    return tuple(SectionFailure(host.asker, error) for host in shared.hosts if host.is_gated)


def _clients(shared: SharedFrontend) -> Iterator[ClientTls]:
    for host in shared.hosts:
        if host.tls is not None and host.tls.clients is not None:
            yield host.tls.clients


def _spare(shared: SharedFrontend) -> range:
    return range(shared.first_gate, shared.first_gate + shared.spare_gates)


def _number(host: SniHost) -> int | str:
    return host.gate or hashlib.sha256(host.host.encode()).hexdigest()[:8]
