"""Hosts of a shared port whose TLS ends there: what it takes to have others while HAProxy runs; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from router.model import SniHost
from router.model.stages import starts_tls
from router.ordered import Advance, differences
from router.plan import commands
from router.plan.commands import Command
from router.plan.gates import Gates
from router.plan.hosts import changes_hands


@dataclass(frozen=True, slots=True)
class EndingFiles:
    """What HAProxy was loaded with for such hosts of a shared port, by the paths that it knows."""

    certificates: str
    """The list of certificates."""
    hosts: str
    """The ACL of the hosts."""
    folder: str
    """Where the certificates are that the list names (``crt-base``)."""
    starting: str = ""
    """The ACL of those of them whose clients may ask in plain text to begin TLS; empty where the port answers nobody who does."""

    def certificate(self, line: str) -> str:
        """Give the path of what a line of the list names."""
        return f"{self.folder}/{line.partition(' ')[0]}"


def change_endings(
    files: EndingFiles, line: Callable[[SniHost], str], former: Iterable[SniHost], wanted: Iterable[SniHost]
) -> tuple[list[Command], list[Command], list[Command]]:
    """Have TLS end for hosts otherwise than it did.

    Args:
        files: of the port.
        line: gives that of a host in the list of certificates; it begins with the file of the certificate.
        former: hosts as they were, those that are gone and those that are otherwise now.
        wanted: hosts as they shall be, those that are new and those that were otherwise.

    Returns:
        What comes as soon as nobody is led by hosts that change hands, what comes before anybody is led to who has a host now, and what comes when nobody is led any more to who had it.
    """
    closing: list[Command] = []
    opening: list[Command] = []
    retiring: list[Command] = []
    others = {host.host: host for host in wanted}
    before = {host.host: host for host in former if host.ends_tls}
    after = {name: host for name, host in others.items() if host.ends_tls}
    for name, host in after.items():
        there = before.get(name)
        if host.tls is not None and (there is None or line(there) != line(host)):
            opening += commands.add_certificate(files.certificate(line(host)), host.tls.certificate.pem)
            opening.append(commands.list_certificate(files.certificates, line(host)))
        if there is None:
            opening.append(commands.add_to_list(files.hosts, name))
        if starts_tls(host.tls) and not (there is not None and starts_tls(there.tls)):
            opening.append(commands.add_to_list(files.starting, name))
    for name, host in before.items():
        now = after.get(name)
        if now is None:
            is_handed = changes_hands(host, others.get(name))
            (closing if is_handed else retiring).append(commands.delete_from_list(files.hosts, name))
        if starts_tls(host.tls) and not (now is not None and starts_tls(now.tls)):
            retiring.append(commands.delete_from_list(files.starting, name))
        if now is None or line(now) != line(host):
            retiring.append(commands.unlist_certificate(files.certificates, files.certificate(line(host))))
            retiring.append(commands.delete_certificate(files.certificate(line(host))))
    return closing, opening, retiring


def possible(  # noqa: PLR0913, PLR0917 - what a port has, and what was and is to be
    files: EndingFiles | None,
    gates: Gates | None,
    before: tuple[SniHost, ...],
    after: tuple[SniHost, ...],
    gone: Collection[str],
    advance: Advance[SniHost] | None = None,
) -> tuple[SniHost, ...]:
    """Give the hosts that a port can have; of those for which it was not loaded with what ends TLS for them, as they were, or none where that was led to who is gone.

    Args:
        files: for hosts that have a socket in common; None where the port has none.
        gates: for hosts with sockets of their own.
        before: all hosts, as they were, and as the port can have them.
        after: all hosts, as they shall be; given back as it is where all can be had.
        gone: those Routes, named by their backends, whose places are free, or another Route's already.
        advance: how the one may have come from the other.
    """
    removed, added = differences(before, after, advance)
    gated = gates.possible(removed, added) if gates is not None else frozenset()
    lacking = {
        host.host
        for host in added
        if (host.ends_tls and (files is None or (starts_tls(host.tls) and not files.starting)))
        or (host.is_gated and host.host not in gated)
    }
    if not lacking:
        return after
    there = {host.host: host for host in before if host.backend not in gone}
    wanted = (there.get(host.host) if host.host in lacking else host for host in after)
    return tuple(host for host in wanted if host is not None)
