"""The table of ports and of who has them that ``/ports`` and ``tcp-router check`` give; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from router.admission import Verdict
from router.admission.places import SNI
from router.haproxy.talk.stats import BackendNow
from router.model import Asker, Model, Server
from router.observe.certificates import out_of_time
from router.observe.clients import refusing


class ServerRow(msgspec.Struct, frozen=True, gc=False):
    """One endpoint that an asker leads to."""

    name: str
    address: str
    port: int
    weight: int


class AddressNow(NamedTuple):
    """How it stands with a named address."""

    host: str
    """Where clients reach it: its name in the DNS, else its first IP address."""
    is_here: bool
    """This router's node has all of it."""


class PortRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One asker, as docs/settings.md describes the JSON."""

    kind: str
    namespace: str
    name: str
    section: str | None
    """The name of a Service's port; None for Routes."""
    port: int | None
    auto: bool
    """It asks for any port."""
    host: str | None
    sni_port: int | None
    """Where it is reached by its host, among others'."""
    server_name: str | None
    """What clients should ask for who speak TLS; None where there is none, or nobody can tell."""
    address: str | None
    """Where clients reach it, ``hostname:port``, if it is admitted and the router knows its name; by its own port, if it has one."""
    external_address: str | None
    """The name of the address that the port is of; None for those that the router is bound to."""
    on_this_node: bool | None
    """Whether this router's node has the address; None for those that the router is bound to, and where it is not known."""
    verdict: str
    reason: str | None
    message: str
    warnings: tuple[str, ...]
    certificate: str | None
    """What clients are shown where TLS ends here, in words."""
    servers: tuple[ServerRow, ...]
    sessions: int | None
    """Connections that are open now, as the HAProxy worker in charge counts them; None if it is not known."""
    servers_up: int | None
    """How many of the servers take new connections, as that worker sees it; None if it is not known."""
    connections: int | None = None
    """All that this worker has had."""
    bytes_in: int | None = None
    """From clients, since that worker was loaded."""
    bytes_out: int | None = None


def port_rows(  # noqa: PLR0913, PLR0917 - what is known of ports
    verdicts: Mapping[Asker, Verdict],
    model: Model | None,
    canonical_hostname: str | None = None,
    now: Mapping[str, BackendNow] | None = None,
    named: Mapping[str, AddressNow] | None = None,
    now_s: float | None = None,
    sni_port: int = 0,
) -> list[PortRow]:
    """Give a row per asker of ours, sorted by port (those without one last), then namespace, name, kind and section.

    Args:
        verdicts: what became of each asker.
        model: what HAProxy serves; None while it serves nothing, and then no row has servers.
        canonical_hostname: the name by which clients reach the router, if it is known.
        now: what each backend has; None if HAProxy does not say.
        named: how it stands with named addresses, as far as that is known.
        now_s: the time, since the epoch, for certificates; None where verdicts say what there is to say of theirs.
        sni_port: the port of those who are reached by their host; 0 is none.
    """
    backends = {section.asker: section.backend for section in model.routes} if model else {}
    late = out_of_time(model, now_s) if model is not None and now_s is not None else {}
    refused = refusing(model, now_s) if model is not None and now_s is not None else {}
    rows = []
    for asker, verdict in verdicts.items():
        backend = backends.get(asker)
        servers = backend.servers if backend is not None else ()
        at_work = now.get(backend.name) if now is not None and backend is not None else None
        here = named.get(verdict.address) if named is not None else None
        by_host = sni_port if any(place.port == SNI for place in verdict.places) else 0
        rows.append(
            PortRow(
                kind=asker.kind,
                namespace=asker.namespace,
                name=asker.name,
                section=asker.section or None,
                port=verdict.port,
                auto=verdict.auto,
                host=verdict.host,
                sni_port=by_host or None,
                server_name=verdict.server_name or None,
                address=_reached_at(verdict, canonical_hostname, here, by_host),
                external_address=verdict.address or None,
                on_this_node=here.is_here if here is not None else None,
                verdict="admitted" if verdict.admitted else "rejected",
                reason=str(verdict.reason) if verdict.reason is not None else None,
                message=verdict.message,
                warnings=(
                    *verdict.warnings,
                    *(each[asker] for each in (late, refused) if asker in each),
                    *_health_warning(servers, at_work),
                ),
                certificate=verdict.certificate or None,
                servers=tuple([ServerRow(each.name, each.address, each.port, each.weight) for each in servers]),
                sessions=at_work.sessions if at_work is not None else None,
                servers_up=at_work.servers_up if at_work is not None else None,
                connections=at_work.connections if at_work is not None else None,
                bytes_in=at_work.bytes_in if at_work is not None else None,
                bytes_out=at_work.bytes_out if at_work is not None else None,
            )
        )
    rows.sort(key=lambda row: (row.port is None, row.port or 0, row.namespace, row.name, row.kind, row.section or ""))
    return rows


def _reached_at(
    verdict: Verdict, canonical_hostname: str | None, address: AddressNow | None, by_host: int
) -> str | None:
    # The router's own name leads to the addresses that it is bound to.
    host = canonical_hostname if not verdict.address else address.host if address is not None else None
    if host and by_host and not verdict.port:
        return f"{f'[{host}]' if ':' in host else host}:{by_host}"
    # Who was rejected would be told where somebody else is reached.
    return verdict.reached_at(host) if host and verdict.port and verdict.admitted else None


def _health_warning(servers: Sequence[Server], now: BackendNow | None) -> tuple[str, ...]:
    """Say so where there are servers, and a new connection would find none."""
    # Without any, or with draining ones alone, the verdict has its own warning.
    if now is None or now.servers_up or not any(each.weight for each in servers):
        return ()
    return (f"none of its servers is up ({len(servers)} in all): HAProxy's health checks cannot reach them",)
