"""TLS that ends behind a port: what the two frontends that such a client goes through, and what is between them, are named."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from router.model import Model, RouteSection, Spot, frontend_name
from router.model.tls import PortTls

_BEFORE = "tls:"
_GATES = "gates"
_DIGEST = 8
_APART = "nocert:"
TO_SLOT = "tls"
"""The server of a port of the pool that leads to a slot; no other of a Route is named so."""


def stages(model: Model) -> int:
    """Give how many connections one of a client may be to HAProxy.

    Two where TLS ends behind the port that it comes to, or may there or behind one of the pool; three where it does, or may, by a socket that is a single
    host's: one in common leads to these.
    """
    if any(shared.gates for shared in model.shared):
        return 3
    ends_tls = any(shared.ends_tls for shared in model.shared) or any(map(has_stage, model.routes))
    return 2 if ends_tls or any(place.slot is not None for place in model.pool) else 1


def has_stage(section: RouteSection) -> bool:
    """Say whether a Route's TLS ends behind its own port, where clients may ask for it in plain text."""
    return section.frontend is not None and starts_tls(section.frontend.tls)


def starts_tls(tls: PortTls | None) -> bool:
    """Say whether clients may ask in plain text to begin it."""
    return tls is not None and tls.starttls is not None


def stage_name(spot: Spot) -> str:
    """Give what the frontend that ends TLS behind a port is named after ``fe_``."""
    return frontend_name(*spot).replace("fe_tcp", "tls", 1)


def slot_frontend(number: int) -> str:
    """Give the name of the frontend of a slot: which port leads there, only the connection tells."""
    return f"fe_tls_{number}"


def led_by(slot: RouteSection, port: RouteSection) -> RouteSection:
    """Give the place that a slot and a port of the pool are together, where TLS ends for the port's clients."""
    if slot.slot is None:
        raise ValueError(f"{slot.backend.name} is no slot")
    return replace(
        slot,
        backend=replace(slot.backend, allowlist=port.backend.allowlist),
        frontend=port.frontend,
        slot=replace(slot.slot, front=port.backend),
    )


def led_word(backend: str, port: Spot) -> str:
    """Give the word that comes with clients who are led to a slot: whoever has this backend is meant, and nobody who has the port, or the slot, later.

    HAProxy takes 127 bytes of it, so that it is a digest.
    """
    return hashlib.sha256(f"{backend} at {port}".encode()).hexdigest()[:16]


def door(place: RouteSection) -> str:
    """Give the backend in which clients of a place are first: there is who may connect."""
    return place.slot.front.name if place.slot is not None and place.slot.front is not None else place.backend.name


def gate_name(spot: Spot, number: int | str) -> str:
    """Give what the frontend of a socket is named after ``fe_``, and the backend that leads there after ``be_``, by which TLS ends for a single host.

    Args:
        spot: the shared port.
        number: of one that is there in advance, from 1; else the digest of the host, of eight digits, which no number has.
    """
    return f"{stage_name(spot)}:{number}"


def gate_number(name: str) -> int:
    """Give the number in a name of ``gate_name``; 0 where there is a digest."""
    number = name.rpartition(":")[2]
    return int(number) if len(number) < _DIGEST and number.isdecimal() else 0


def switch_name(spot: Spot) -> str:
    """Give what the frontend is named after ``fe_`` that leads clients of a port to the socket of the host that they named, once who may connect was looked at."""
    return gate_name(spot, _GATES)


def gates_server(spot: Spot) -> str:
    """Give the name of the server that leads there."""
    return f"{_GATES}:{frontend_name(*spot)}"


def backend_before(backend: str) -> str:
    """Give the name of the backend in which clients are who will come to this one when their TLS has ended: it has who may connect, and limits.

    Its servers are the sockets behind ports, each named after the port's frontend; those that lead to sockets of single hosts as ``gates_server`` says.
    """
    return f"{_BEFORE}{backend}"


def without_certificate(backend: str) -> str:
    """Give the name of the backend that leads clients who showed no certificate to the servers of this one, which are told who the others are."""
    return f"{_APART}{backend}"


def own_backend(backend: str) -> str:
    """Give the backend that clients who show a certificate come to, for one of ``without_certificate``; any other as it is."""
    return backend.removeprefix(_APART)


def backends_of(section: RouteSection) -> tuple[str, ...]:
    """Give the names of all backends that lead to the servers of a section, its own first."""
    backend = section.backend
    return (backend.name, without_certificate(backend.name)) if backend.tells_apart else (backend.name,)
