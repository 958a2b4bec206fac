"""Map and ACL files, and the script beside them: made by code, not by templates, because what runs depends on their exact form.

A file's name is a digest of its content, so that a new list is a new file: writing it does not disturb the HAProxy that
reads the old one. The content names its owner, so that two Routes with the same list still have a file each, and HAProxy,
which keeps one copy per file name, can be told of a change to one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files as resources

from router.model import NamespaceLimits, RouteSection, SniHost, Spot
from router.model.stages import starts_tls
from router.model.tls import PortTls, PrivateBytes
from router.settings import RenderSettings

(
    ALLOWLIST, HOSTS, OWNERS, HELLO_SCRIPT, CERTIFICATE, AUTHORITIES, CERTIFICATES, ENDING, STARTING, LIMITS, CLIENTS, REVOKED, GATES, GATE, REQUIRED, FILTERED, APART, LEADS,
) = (
    "allow", "sni", "owners", "hello", "cert", "ca", "certs", "ends", "starts", "limits", "clients", "revoked", "gates", "gate", "required", "filtered", "apart", "leads",
)  # fmt: skip
"""How the names of the files of each kind begin."""
_SCRIPTS = ("split_hello.lua", "postgres.lua")


def allowlist_file(section: RouteSection) -> tuple[str, bytes] | None:
    """Give name and content of a Route's ACL file; None without an allowlist. An empty list is a file that matches nobody.

    Sections of the pool have none: to make a thousand files takes longer than all else that a start does.
    """
    networks = section.backend.allowlist
    if networks is None or not section.route:
        return None
    return _named(ALLOWLIST, "acl", [f"# {section.asker}", *networks])


def shown_by(section: RouteSection) -> PortTls | None:
    """Give what ends TLS of a section's clients, if anything of its own does."""
    if section.slot is not None:
        return section.slot.tls
    return section.frontend.tls if section.frontend is not None else None


def certificate_file(section: RouteSection) -> tuple[str, PrivateBytes] | None:
    """Give name and content of the file of what a Route's port shows to clients; None where it does not end TLS.

    Two Routes with one certificate have a file each, as with allowlists: text outside of the PEM blocks says nothing to OpenSSL.
    """
    tls = shown_by(section)
    if tls is None:
        return None
    whose = section.asker if section.route else f"Slot {section.slot.number if section.slot is not None else 0}"
    content = PrivateBytes(f"# {whose}\n".encode() + tls.certificate.pem)
    return f"{CERTIFICATE}-{_digest(content)}.pem", content


def authorities_file(section: RouteSection) -> tuple[str, bytes] | None:
    """Give name and content of the file of those who may have signed the certificates of a Route's pods; None without TLS towards them."""
    if section.backend.tls is None:
        return None
    return _named(AUTHORITIES, "pem", [f"# {section.asker}", *section.backend.tls.authorities.splitlines()])


def client_files(section: RouteSection) -> Iterator[tuple[str, bytes]]:
    """Give name and content of the files of who signs the certificates of a Route's clients, and of those revoked; none where they show none."""
    clients = (
        section.frontend.tls.clients if section.frontend is not None and section.frontend.tls is not None else None
    )
    if clients is not None:
        yield _named(CLIENTS, "pem", [f"# {section.asker}", *clients.authorities.splitlines()])
        if clients.revoked:
            yield _named(REVOKED, "pem", [f"# {section.asker}", *clients.revoked.splitlines()])


def host_certificate_file(spot: Spot, host: SniHost) -> tuple[str, PrivateBytes]:
    """Give name and content of the file of what is shown to clients of a shared port that ask for a host whose TLS ends there.

    A file for each port: HAProxy has a certificate once, whichever lists name it, and one of them may be the last to.
    """
    tls = host.tls
    # Its options too: another line of the list is another file.
    said = f"{tls.min_version} {','.join(tls.alpn)}".strip() if tls is not None else ""
    if tls is not None and tls.clients is not None:
        # And what clients are verified by: the line names that.
        of_clients = f"{tls.clients.required} {tls.clients.authorities} {tls.clients.revoked}"
        said = f"{said} {_digest(of_clients.encode())}".strip()
    pem = tls.certificate.pem if tls is not None else b""
    content = PrivateBytes(f"# {host.asker}, {host.host} at {spot} {said}\n".encode() + pem)
    return f"{CERTIFICATE}-{_digest(content)}.pem", content


def host_client_files(spot: Spot, host: SniHost) -> Iterator[tuple[str, bytes]]:
    """Give name and content of the files of who signs the certificates of a host's clients, and of those revoked; others for each certificate of the host."""
    clients = host.tls.clients if host.tls is not None else None
    if clients is not None:
        certificate, _ = host_certificate_file(spot, host)
        yield _named(CLIENTS, "pem", [f"# For {certificate}", *clients.authorities.splitlines()])
        if clients.revoked:
            yield _named(REVOKED, "pem", [f"# For {certificate}", *clients.revoked.splitlines()])


def gate_list_file(whose: str, lines: Iterable[str]) -> tuple[str, bytes]:
    """Give name and content of the list of certificates of a socket that is a single host's of a shared port, or that of none."""
    return _named(GATE, "list", [f"# Port {whose}", *lines])


def stand_in_file(pem: PrivateBytes) -> tuple[str, PrivateBytes]:
    """Give name and content of the file of what is shown to nobody."""
    return f"{CERTIFICATE}-{_digest(pem)}.pem", pem


def gates_file(spot: Spot, gates: Iterable[tuple[str, str]]) -> tuple[str, bytes]:
    """Give name and content of the map from such hosts of a shared port to their sockets, and from these to the backends of those whose they are."""
    return _named(GATES, "map", [f"# Port {spot}", *(f"{host} {gate}" for host, gate in gates)])


def hosts_list_file(kind: str, spot: Spot, hosts: Iterable[str]) -> tuple[str, bytes]:
    """Give name and content of an ACL file of some hosts of a shared port; of none, too."""
    return _named(kind, "acl", [f"# Port {spot}", *hosts])


def certificate_list_file(spot: Spot, lines: Iterable[str]) -> tuple[str, bytes]:
    """Give name and content of the list of certificates of a shared port."""
    return _named(CERTIFICATES, "list", [f"# Port {spot}", *lines])


def ending_file(spot: Spot, hosts: Iterable[SniHost]) -> tuple[str, bytes]:
    """Give name and content of the ACL file of the hosts of a shared port whose TLS ends there, as the map of hosts has them."""
    return _named(ENDING, "acl", [f"# Port {spot}", *(host.host for host in hosts)])


def starting_file(spot: Spot, hosts: Iterable[SniHost]) -> tuple[str, bytes]:
    """Give name and content of the ACL file of those of them whose clients may ask in plain text to begin TLS."""
    return _named(STARTING, "acl", [f"# Port {spot}", *(host.host for host in hosts if starts_tls(host.tls))])


def owners_file() -> tuple[str, bytes]:
    """Give name and content of the map that leads from a backend of the pool to the Route it serves; a reload empties it."""
    return _named(OWNERS, "map", ["# Backends of the pool, and the Routes that they serve"])


def leads_file() -> tuple[str, bytes]:
    """Give name and content of the map that leads from a port of the pool to a backend that was added for it; a reload empties it."""
    return _named(LEADS, "map", ["# Ports of the pool, and the backends that were added for them"])


def limits_files(limits: NamespaceLimits, settings: RenderSettings) -> tuple[tuple[str, bytes], ...]:
    """Give name and content of the map of namespaces and how many connections they may have, where they may come to have such limits."""
    if not settings.namespace_limits:
        return ()
    lines = ["# Namespaces, and their connections", *(f"{name} {limit}" for name, limit in limits)]
    return (_named(LIMITS, "map", lines),)


def hosts_file(spot: Spot, hosts: Iterable[SniHost]) -> tuple[str, bytes]:
    """Give name and content of a shared port's map file: a TLS server name and its backend in each line."""
    return _named(HOSTS, "map", [f"# Port {spot}", *(f"{host.host} {host.backend}" for host in hosts)])


@cache
def hello_script() -> tuple[str, bytes]:
    """Give name and content of the Lua script for what comes before TLS, and for a ClientHello in several TLS records.

    One file: a template of the admin's for the process that loads it has all of it.
    """
    parts = (resources("router.render").joinpath(name).read_text("utf-8") for name in _SCRIPTS)
    # Each in a block of its own, which what is local to it does not leave.
    return _named(HELLO_SCRIPT, "lua", [line for part in parts for line in ("do", *part.splitlines(), "end")])


def _named(kind: str, suffix: str, lines: Iterable[str]) -> tuple[str, bytes]:
    content = "".join(f"{line}\n" for line in lines).encode()
    return f"{kind}-{_digest(content)}.{suffix}", content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
