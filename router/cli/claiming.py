"""What writes PortClaims, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.admission.ledger import Ledger
from router.cli.run_settings import RunSettings
from router.kube.connection import Connection, Deadlines
from router.status.claim_api import ClaimApi
from router.status.claim_keeper import ClaimKeeper
from router.status.claim_usage import ClaimUsage
from router.status.claims import ClaimsWriter
from router.status.holders import Holders

WRITE_DEADLINES = Deadlines(connect_s=2.0, read_s=4.0, total_s=5.0)
"""What is lost of a Lease's 15 seconds after the 10 in which its leader must have renewed it: no write outlives the lead."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What writes PortClaims."""

    connection: Connection
    ledger: Ledger
    writer: ClaimsWriter
    usage: ClaimUsage
    keeper: ClaimKeeper

    def start(self) -> None:
        """Begin to write."""
        self.writer.start()
        self.usage.start()

    def stop(self) -> None:
        """Write no more."""
        self.writer.stop()
        self.usage.stop()
        self.connection.close()


def claims_of(options: RunSettings, connection: Connection, is_leader: Callable[[], bool]) -> Claims:
    """Make what writes the claims, while ``is_leader`` says so; its connection is closed with it."""
    to_write = connection.sibling(WRITE_DEADLINES)
    writer = ClaimsWriter(
        to_write,
        options.lease_namespace,
        options.ledger_name,
        options.router_name,
        holders=Holders(to_write, options.admission()),
        is_leader=is_leader,
        per_second=options.claims_rate,
        cooldown_s=options.auto_ports_cooldown / 1000,
    )
    ledger = Ledger(options.ledger_name, options.admission().overlapping)
    usage = ClaimUsage(ClaimApi(to_write, options.lease_namespace, ledger.name, options.router_name), ledger.at)
    return Claims(
        to_write, ledger, writer, usage, ClaimKeeper(ledger, writer, usage, options.auto_ports | options.claim_ports)
    )
