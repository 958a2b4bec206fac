"""Hosts of a shared port whose clients are asked for certificates: each has a socket of its own, and comes to another one while HAProxy runs; pure.

A socket is a frontend with a list of certificates, in which there is that of its host, or none. No session is resumed there, so that it can be
another host's next. Whose it is stands in the map of hosts as well, by its name: who began a handshake when it was another's is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from router.model import SharedFrontend, SniHost
from router.model.stages import gate_number
from router.model.tls import PrivateBytes
from router.plan import commands
from router.plan.commands import Command
from router.plan.hosts import changes_hands


@dataclass(frozen=True, slots=True)
class GateLine:
    """What HAProxy needs to have of a host to ask its clients for certificates."""

    text: str
    """In its socket's list of certificates."""
    certificate: str
    """The path of the certificate that the line names."""
    pem: PrivateBytes
    """The certificate."""
    files: tuple[tuple[str, str, str], ...]
    """What clients are verified by: kind (``ca-file``, ``crl-file``), path and PEM of each."""


@dataclass(frozen=True, slots=True)
class Gates:
    """The sockets of a shared port, by the paths and names that HAProxy knows."""

    lists: Mapping[str, str]
    """By the name of the socket, its list of certificates."""
    hosts: str
    """The map of hosts to names of sockets, and of these to the backends of those whose they are."""
    required: str
    """The ACL of hosts whose clients have to show a certificate."""
    filtered: str
    """The ACL of hosts of whose clients the subject counts as well."""
    apart: str
    """The ACL of hosts whose clients without a certificate are led on by another backend."""
    taken: Mapping[str, str]
    """By host, the name of its socket."""

    def possible(self, removed: Iterable[SniHost], added: Iterable[SniHost]) -> frozenset[str]:
        """Give those of added hosts, in their order, that have a socket or can get one.

        Who shall have none any more, and is there all the same, leaves his when he has what takes its place.

        Args:
            removed: hosts as they were, those that are gone and those that are otherwise now.
            added: hosts as they shall be, those that are new and those that were otherwise.
        """
        wanted = {host.host: host for host in added}
        gone = {host.host for host in removed if host.host not in wanted} & self.taken.keys()
        newcomers = [name for name, host in wanted.items() if host.is_gated and name not in self.taken]
        room = len(self.lists) - len(self.taken) + len(gone)
        return frozenset((*(self.taken.keys() & wanted.keys()), *newcomers[:room]))


def with_their_gates(shared: SharedFrontend, gates: Gates | None) -> SharedFrontend:
    """Give a shared port as it is loaded: hosts keep the sockets that they have, so that whom the former worker leads there still gets to the right one.

    Args:
        shared: the port.
        gates: what it has now; None is nothing.

    Returns:
        The same object where no host has one that was there in advance.
    """
    found = {}
    for host, name in gates.taken.items() if gates is not None else ():
        number = gate_number(name)
        if number:
            found[host] = number
    hosts = tuple(
        replace(host, gate=found[host.host]) if host.is_gated and host.host in found else host for host in shared.hosts
    )
    taken = [host.gate for host in hosts if host.gate]
    if not taken:
        return shared
    first = 1 if min(taken) > shared.spare_gates else max(taken) + 1
    return replace(shared, hosts=hosts, first_gate=first)


@dataclass(slots=True)
class GateChange:
    """What it takes, in this order."""

    after: Gates
    unmapping: list[Command] = field(default_factory=list)
    opening: list[Command] = field(default_factory=list)
    leading: list[Command] = field(default_factory=list)
    naming: list[Command] = field(default_factory=list)
    """When the hosts lead where they shall."""
    retiring: list[Command] = field(default_factory=list)


def change_gates(
    gates: Gates, line: Callable[[SniHost], GateLine], former: Iterable[SniHost], wanted: Iterable[SniHost]
) -> GateChange:
    """Have clients asked for certificates otherwise than they were.

    Args:
        gates: of the port.
        line: gives what is needed of a host.
        former: hosts as they were, those that are gone and those that are otherwise now.
        wanted: hosts as they shall be, those that are new and those that were otherwise; of gated ones those that are ``possible``.
    """
    change = GateChange(gates)
    before = {host.host: host for host in former if host.is_gated}
    after = {host.host: host for host in wanted}
    taken, leaving = dict(gates.taken), set()
    for name, host in before.items():
        now = after.get(name)
        if now is None or (changes_hands(host, now) and not now.is_gated):
            # First of all, so that the socket can be another host's at once.
            change.unmapping += _left(gates, taken.pop(name), host, line(host))
        elif not now.is_gated:
            # Last of all: until then its clients are asked for what they were.
            change.retiring += _left(gates, taken[name], host, line(host))
            leaving.add(name)
    free = iter([gate for gate in gates.lists if gate not in set(taken.values())])
    for name, host in after.items():
        if not host.is_gated:
            continue
        there = before.get(name)
        gate = taken[name] if there is not None else next(free)
        if there is None or line(there) != line(host):
            change.opening += _with(gates.lists[gate], line(host))
        if there is None or there.backend != host.backend:
            # Between the two it is nobody's: who begins under either's certificate and authorities comes to no pods of the other.
            change.unmapping += [commands.delete_entry(gates.hosts, gate)] if there is not None else []
            change.naming.append(commands.add_entry(gates.hosts, gate, host.backend))
        change.opening += _listed(gates, there, host)
        if there is None:
            taken[name] = gate
            change.leading.append(commands.add_entry(gates.hosts, name, gate))
        elif line(there) != line(host):
            # At once: whom the new one does not let in is not to be let in by the former.
            change.opening += _without(gates.lists[gate], line(there))
    change.after = replace(gates, taken={name: gate for name, gate in taken.items() if name not in leaving})
    return change


def _left(gates: Gates, gate: str, host: SniHost, line: GateLine) -> Iterator[Command]:
    yield commands.delete_entry(gates.hosts, host.host)
    yield commands.delete_entry(gates.hosts, gate)
    yield from _without(gates.lists[gate], line)
    yield from (commands.delete_from_list(acl, host.host) for acl in _lists_of(gates, host))


def _listed(gates: Gates, before: SniHost | None, after: SniHost) -> Iterator[Command]:
    former, wanted = _lists_of(gates, before) if before is not None else [], _lists_of(gates, after)
    yield from (commands.add_to_list(acl, after.host) for acl in wanted if acl not in former)
    yield from (commands.delete_from_list(acl, after.host) for acl in former if acl not in wanted)


def _lists_of(gates: Gates, host: SniHost) -> list[str]:
    clients = host.tls.clients if host.tls is not None else None
    if clients is None:
        return []
    in_each = (
        (gates.required, clients.required),
        (gates.filtered, bool(clients.subjects)),
        (gates.apart, clients.tells_apart),
    )
    return [name for name, is_in in in_each if is_in]


def _with(certificates: str, line: GateLine) -> Iterator[Command]:
    for kind, path, pem in line.files:
        yield from commands.add_client_file(kind, path, pem)
    yield from commands.add_certificate(line.certificate, line.pem)
    yield commands.list_certificate(certificates, line.text)


def _without(certificates: str, line: GateLine) -> Iterator[Command]:
    yield commands.unlist_certificate(certificates, line.certificate)
    yield commands.delete_certificate(line.certificate)
    for kind, path, _ in line.files:
        yield commands.delete_client_file(kind, path)
