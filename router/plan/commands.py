"""Commands that change a HAProxy while it runs, as values; pure (management guide, section 9.3).

What they say is decided by ``router.plan``; they are sent, and their replies read, by ``router.haproxy.talk.runtime``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from operator import attrgetter

import msgspec

from router.model.tls import NOTHING_PRIVATE, PrivateBytes
from router.plan.section_text import ServerLine
from router.settings import ConnectionLimits

_answer = attrgetter("answer")
_SPECIAL = re.compile(r"[\\\s;]")


class Answer(Enum):
    """What HAProxy answers to a command that worked."""

    SILENCE = auto()
    SERVER_ADDED = auto()
    ADDRESS_SET = auto()
    FRONTEND_CLOSED = auto()
    """Now, or before."""
    FRONTEND_OPEN = auto()
    """Now, or before."""
    TRANSACTION = auto()
    """A change that waits to be committed."""
    COMMITTED = auto()
    SHOWN = auto()
    """It was committed, and ports show it."""
    DONE = auto()
    """Something was made, listed or deleted."""
    BACKEND_ADDED = auto()
    BACKEND_PUBLISHED = auto()
    """Now, or before."""


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command, and what HAProxy answers if it worked; anything else means that only a reload helps."""

    text: str
    answer: Answer = Answer.SILENCE
    payload: PrivateBytes = NOTHING_PRIVATE
    """Lines that follow it, none of them empty; the command says so by its last word, ``<<``."""


def add_server(backend: str, name: str, line: ServerLine) -> Iterable[Command]:
    """Add a server that is not there, and let it take connections.

    HAProxy takes nothing from the backend's ``default-server`` for it, so all that it has is said; it starts in maintenance,
    and its health checks do not start by themselves.
    """
    server = f"{backend}/{name}"
    maxconn = f" maxconn {line.maxconn}" if line.maxconn else ""
    number = f" id {line.id}" if line.id else ""
    options = " ".join(("", *line.options))
    add = f"add server {server} {_escaped(line.address)} weight {line.weight}{maxconn}{number}{options}"
    checked = (Command(f"enable health {server}"),) if line.is_checked else ()
    return Command(add, Answer.SERVER_ADDED), *checked, Command(f"enable server {server}")


def change_server(backend: str, name: str, before: ServerLine, after: ServerLine) -> Iterator[Command]:
    """Change address, weight and connection limit of a server; all else in it must be the same."""
    server = f"{backend}/{name}"
    if before.address != after.address:
        host, _, port = after.address.rpartition(":")
        yield Command(f"set server {server} addr {host.strip('[]')} port {port}", Answer.ADDRESS_SET)
    if before.weight != after.weight:
        yield set_weight(backend, name, after.weight)
    if before.maxconn != after.maxconn:
        yield set_server_limit(backend, name, after.maxconn)


def add_backend(name: str, base: str) -> Command:
    """Add a backend that is not there, from a ``defaults`` section; nobody is led to it before it is published."""
    return Command(f"add backend {name} from {base}", Answer.BACKEND_ADDED)


def publish_backend(name: str) -> Command:
    """Let clients be led to a backend."""
    return Command(f"publish backend {name}", Answer.BACKEND_PUBLISHED)


def set_weight(backend: str, name: str, weight: int) -> Command:
    """Give a server another weight."""
    return Command(f"set server {backend}/{name} weight {weight}")


def set_server_limit(backend: str, name: str, limit: int) -> Command:
    """Limit the connections of a server; 0 is no limit."""
    return Command(f"set maxconn server {backend}/{name} {limit}")


def set_frontend_limit(frontend: str, limit: int) -> Command:
    """Limit the connections of a port."""
    return Command(f"set maxconn frontend {frontend} {limit}")


def retire_server(backend: str, name: str, line: ServerLine) -> Command:
    """Give a server no new connection any more, and leave it those that it has."""
    # To a server whose sessions are cut when it goes down, maintenance would do just that.
    state = "drain" if line.cuts_sessions_when_down else "maint"
    return Command(f"set server {backend}/{name} state {state}")


def end_sessions(backend: str, name: str) -> Command:
    """End the connections that a server has."""
    return Command(f"shutdown sessions server {backend}/{name}")


def revive_server(backend: str, name: str) -> Command:
    """Let a server that was retired, and is still there, take connections again."""
    return Command(f"set server {backend}/{name} state ready")


def open_frontend(frontend: str) -> Command:
    """Listen on a frontend's port."""
    return Command(f"enable frontend {frontend}", Answer.FRONTEND_OPEN)


def opens(commands: Iterable[Command]) -> bool:
    """Say whether any of these opens a frontend."""
    return Answer.FRONTEND_OPEN in map(_answer, commands)


def opened(commands: Iterable[Command]) -> Iterator[str]:
    """Give the names of the frontends that these open."""
    return (each.text.rpartition(" ")[2] for each in commands if each.answer is Answer.FRONTEND_OPEN)


def closed(commands: Iterable[Command]) -> Iterator[str]:
    """Give the names of the frontends that these close."""
    return (each.text.rpartition(" ")[2] for each in commands if each.answer is Answer.FRONTEND_CLOSED)


def close_frontend(frontend: str) -> Command:
    """Refuse new connections on a frontend's port; those that are open go on."""
    return Command(f"disable frontend {frontend}", Answer.FRONTEND_CLOSED)


def change_networks(allowlist: str, before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[Command]:
    """Change who may connect. In between, those of both lists may: an empty list would refuse everybody."""
    had, has = frozenset(before), frozenset(after)
    for network in after:
        if network not in had:
            yield Command(f"add acl {_escaped(allowlist)} {network}")
    for network in before:
        if network not in has:
            yield Command(f"del acl {_escaped(allowlist)} {network}")


def set_certificate(file: str, pem: PrivateBytes) -> Iterator[Command]:
    """Have new connections shown another certificate than the one that a port has; those that are open go on."""
    yield from _certificate(file, pem, Answer.SHOWN)


def add_certificate(file: str, pem: PrivateBytes) -> Iterator[Command]:
    """Have a certificate that is not there yet; nobody is shown it before it is listed."""
    yield Command(f"new ssl cert {_escaped(file)}", Answer.DONE)
    yield from _certificate(file, pem, Answer.COMMITTED)


def _certificate(file: str, pem: PrivateBytes, answer: Answer) -> Iterator[Command]:
    yield Command(f"set ssl cert {_escaped(file)} <<", Answer.TRANSACTION, pem)
    yield Command(f"commit ssl cert {_escaped(file)}", answer)


def delete_certificate(file: str) -> Command:
    """Have one no more that is listed nowhere."""
    return Command(f"del ssl cert {_escaped(file)}", Answer.DONE)


def list_certificate(certificates: str, line: str) -> Command:
    """Show a certificate to clients that ask for the hosts behind it in the line."""
    return Command(f"add ssl crt-list {_escaped(certificates)} <<", Answer.DONE, PrivateBytes(f"{line}\n".encode()))


def unlist_certificate(certificates: str, file: str) -> Command:
    """Show it no more."""
    return Command(f"del ssl crt-list {_escaped(certificates)} {_escaped(file)}", Answer.DONE)


def add_to_list(acl: str, entry: str) -> Command:
    """Add an entry to an ACL that it is not in."""
    return Command(f"add acl {_escaped(acl)} {entry}")


def delete_from_list(acl: str, entry: str) -> Command:
    """Delete an entry of an ACL."""
    return Command(f"del acl {_escaped(acl)} {entry}")


def set_client_file(kind: str, file: str, pem: str) -> Iterator[Command]:
    """Verify clients of new connections by other authorities (``ca-file``) or lists (``crl-file``)."""
    yield Command(f"set ssl {kind} {_escaped(file)} <<", Answer.TRANSACTION, PrivateBytes(pem.encode()))
    yield Command(f"commit ssl {kind} {_escaped(file)}", Answer.COMMITTED)


def add_client_file(kind: str, file: str, pem: str) -> Iterator[Command]:
    """Have such a file that is not there yet."""
    yield Command(f"new ssl {kind} {_escaped(file)}", Answer.DONE)
    yield from set_client_file(kind, file, pem)


def delete_client_file(kind: str, file: str) -> Command:
    """Have one no more by which nobody is verified."""
    return Command(f"del ssl {kind} {_escaped(file)}", Answer.DONE)


def abort_transaction(kind: str, file: str) -> Command:
    """Let go of a change to a file that was not committed; its kind is ``cert``, ``ca-file`` or ``crl-file``."""
    return Command(f"abort ssl {kind} {_escaped(file)}")


def add_entry(map_file: str, key: str, value: str) -> Command:
    """Add a map entry that is not there."""
    return Command(f"add map {_escaped(map_file)} {key} {value}")


def set_entry(map_file: str, key: str, value: str) -> Command:
    """Change a map entry that is there."""
    return Command(f"set map {_escaped(map_file)} {key} {value}")


def delete_entry(map_file: str, key: str) -> Command:
    """Delete a map entry that is there."""
    return Command(f"del map {_escaped(map_file)} {key}")


def limit_connections(limits: ConnectionLimits) -> Iterator[Command]:
    """Change how many connections Routes, namespaces and shared ports may have; all by one connection to HAProxy.

    To set variables is an experimental command of HAProxy (management guide, "set var"); reading them is not.
    """
    yield Command("experimental-mode on")
    yield Command(f"set var proc.route_connections int({limits.route})")
    yield Command(f"set var proc.namespace_connections int({limits.namespace})")
    yield Command(f"set var proc.shared_port_connections int({limits.shared_port})")


def _escaped(path: str) -> str:
    """Write a path as one word of a command: a backslash takes its meaning from what ends a word or a command."""
    return _SPECIAL.sub(r"\\\g<0>", path) if _SPECIAL.search(path) else path
