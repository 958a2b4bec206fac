"""Where the hosts of a shared port lead: what it takes to have them lead elsewhere while HAProxy runs; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from router.model import RouteSection, SniHost
from router.plan import commands
from router.plan.commands import Command


def changes_hands(before: SniHost | None, after: SniHost | None) -> bool:
    """Say whether a host comes to another Route, of which its clients have to be told apart: what one asks of them, and the other does not, must hold.

    Args:
        before: the host as it was; None if it is new.
        after: as it shall be; None if it is gone.
    """
    if before is None or after is None or before.backend == after.backend:
        return False
    return before.is_gated or after.is_gated or before.ends_tls != after.ends_tls


def change_hosts(  # noqa: PLR0913, PLR0917 - what was, what is to be, and where it leads
    file: str,
    removed: Iterable[SniHost],
    added: Iterable[SniHost],
    hosts: Iterable[SniHost],
    relocated: Collection[str],
    backend: Callable[[SniHost], str],
) -> tuple[list[Command], list[Command]]:
    """Have hosts lead where they shall.

    Args:
        file: the path of the port's map.
        removed: hosts as they were, those that are gone and those that are otherwise now.
        added: hosts as they shall be, those that are new and those that were otherwise.
        hosts: all of them, as they shall be.
        relocated: those Routes, named by their backends, that another place serves than before.
        backend: gives the backend that serves a host.

    Returns:
        What comes before anything else, and what comes when all servers are there.
    """
    former = {host.host: host for host in removed}
    wanted = {host.host: host for host in added}
    # The next Route may be in the place of the former one before its clients are asked for what they shall.
    handed = {name for name, host in wanted.items() if changes_hands(former.get(name), host)}
    left = sorted((former.keys() - wanted.keys()) | handed)
    unmapping = [commands.delete_entry(file, name) for name in left]
    leading = []
    for name, host in wanted.items():
        there = former.get(name)
        if there is None or name in handed:
            leading.append(commands.add_entry(file, name, backend(host)))
        elif there.backend != host.backend or host.backend in relocated:
            leading.append(commands.set_entry(file, name, backend(host)))
    if relocated:
        unchanged = (host for host in hosts if host.host not in wanted and host.backend in relocated)
        leading += [commands.set_entry(file, host.host, backend(host)) for host in unchanged]
    return unmapping, leading


def that_can_be(
    before: Iterable[SniHost], after: Iterable[SniHost], waiting: Mapping[str, RouteSection | None]
) -> tuple[SniHost, ...]:
    """Give the hosts that can be served before a reload: those of Routes that wait for it, named by their backends, stay as they are."""
    hosts = {host.host: host for host in before if waiting.get(host.backend) is not None}
    hosts.update({host.host: host for host in after if host.backend not in waiting})
    return tuple(sorted(hosts.values()))
