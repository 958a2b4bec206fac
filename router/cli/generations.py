"""The parts by which generations of one router find each other on the host's network, put together."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from router.cli.run_settings import RunSettings
from router.haproxy.generations import NOBODY, Announcer, Identity, Neighbours, Others, inodes_by_port
from router.haproxy.generations.memory import Known, write

if TYPE_CHECKING:
    from router.cli.cluster import Cluster

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Generations:
    """This generation, and how it sees the others."""

    identity: Identity
    name: str
    pod: str
    others: Others

    def announce(self, listening: Callable[[], tuple[tuple[int, int], ...]], stack: ExitStack) -> None:
        """Say to the others who we are, and on which sockets our HAProxy listens, until the stack is unwound."""
        if self.others is NOBODY:
            return
        announcer = Announcer(self.identity, self.name, self.pod, lambda: inodes_by_port(listening()))
        stack.callback(announcer.stop)
        announcer.start()


def generations(options: RunSettings, cluster: Cluster | None, state_file: Path) -> Generations:
    """Make them of option options; without ``--host-network`` there are no others.

    Args:
        options: the options.
        cluster: the API server that is followed, if one is.
        state_file: where is kept, for HAProxy's container, who was proven.
    """
    name, host = options.router_name, socket.gethostname()
    identity = Identity(name, _lease(options))
    generation, pod = secrets.token_hex(8), options.pod_name or host
    if not options.host_network:
        state_file.unlink(missing_ok=True)
        return Generations(identity, generation, pod, NOBODY)
    siblings = (
        cluster.siblings(options.lease_namespace, pod, options.router_pod_selector) if cluster is not None else None
    )

    def remember(pods: frozenset[str]) -> None:
        try:
            write(state_file, Known(identity, tuple(sorted(pods)) if siblings is not None else None))
        except OSError as error:
            log.warning("other generations not written down", problem=str(error))

    remember(frozenset())
    others = Neighbours(
        identity, generation, is_pod_of_ours=siblings.is_one if siblings is not None else None, believed=remember
    )
    return Generations(identity, generation, pod, others)


def _lease(options: RunSettings) -> str:
    """Give what only generations of one router have in common, beside their name.

    Without an API server there is no Lease: those that read one folder then serve the same.
    """
    if options.manifests is not None:
        return f"folder {options.manifests.resolve()}"
    return f"{options.lease_namespace}/{options.lease}"
