"""``tcp-router claims``: what an admin does with PortClaims that the router never does by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import msgspec

from router.admission.adoption import Served, adoptions
from router.admission.kinds import KINDS
from router.admission.ledger import Ledger
from router.admission.places import Place, asker_of, place_of
from router.admission.request import displayed_host
from router.cli.claims_import import import_claims
from router.cli.claims_read import objects_of, put_claims
from router.cli.exits import clear_errors
from router.cli.inputs import STANDARD_INPUT
from router.cli.options import ADMISSION, CLUSTER, HTTP, RENDER, option, with_options
from router.cli.run_settings import ServingSettings
from router.cluster.kinds import ROUTES, SERVICES
from router.errors import ApiNotFound, ManifestError
from router.kube.connection import Connection
from router.model import ROUTE_KIND, Asker, Spot
from router.objects.core import Service
from router.objects.portclaim import ClaimHolder
from router.objects.route import Route
from router.settings import KubeSettings
from router.shapes import reader
from router.status.claim_api import ClaimApi
from router.status.claim_work import claim_name
from router.status.holders import Holders

_DOUBTS = 1
_HELP = """\
Make PortClaims of what the statuses of Routes and Services say, once, before a router that goes by PortClaims takes the place of one that went by statuses.

Prints what is written, and what looks forged: a port that two of them say they hold, and, with --served, one that the running router does not
serve so. That is not written. Give the options that the router has. To know what a running router serves:

\b
  tcp-router ports --deployment tcp-router --output json > served.json
  tcp-router claims adopt --served served.json --dry-run

With --by-name, after objects were restored from a backup and have other uids: what a PortClaim says of an object is said of that which has its
name now, if it still asks for it.

\b
Exit status:
  0  all is written, or would be
  1  something is doubtful, and not written
  2  the API server, or an option, cannot be used
"""


class _ServedRow(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    verdict: str
    port: int | None = None
    kind: str = ROUTE_KIND
    section: str | None = None


_read_served = reader(tuple[_ServedRow, ...])


@click.group()
def claims() -> None:
    """Do with PortClaims what a router never does by itself."""


claims.add_command(import_claims)


@claims.command(help=_HELP)
@option("--dry-run", is_flag=True, help="Write nothing.")
@option("--by-name", is_flag=True, help="Bind claims that there are to the objects that have their holders' names now.")
@option("--served", type=click.Path(path_type=Path, exists=True, allow_dash=True), default=None,
              help="What tcp-router ports --output json printed of the running router; - for standard input.")  # fmt: skip
@with_options(ADMISSION, RENDER, HTTP, CLUSTER)
@clear_errors
def adopt(dry_run: bool, by_name: bool, served: Path | None, **values: Any) -> None:  # noqa: FBT001 - click's interface
    """Make PortClaims of statuses."""
    serving = {field.name for field in fields(ServingSettings)}
    cluster = {name: value for name, value in values.items() if name not in serving}
    options = ServingSettings(**{name: value for name, value in values.items() if name in serving})
    ledger_name = options.ledger or cluster["lease_name"] or options.router_name
    api = Connection.open(KubeSettings(kubeconfig=cluster["kubeconfig"], context=cluster["context"]))
    try:
        run = _Adoption(api, options, cluster["lease_namespace"], ledger_name, is_dry=dry_run)
        doubts = run.rebind() if by_name else run.adopt(cluster["namespaces"], _served(served))
    finally:
        api.close()
    if doubts:
        raise SystemExit(_DOUBTS)


class _Adoption:
    def __init__(self, api: Connection, options: ServingSettings, namespace: str, ledger: str, *, is_dry: bool) -> None:
        self._api = api
        self._settings = options.admission()
        self._claims = ClaimApi(api, namespace, ledger, options.router_name)
        self._is_dry = is_dry
        self._ledger = Ledger(ledger, self._settings.overlapping)
        put_claims(api, namespace, self._ledger)

    def adopt(self, namespaces: tuple[str, ...], served: Served | None) -> bool:
        """Write claims; say whether something is doubtful."""
        found = [obj for scope in namespaces or ("",) for obj in self._asking(scope)]
        adopted, doubts = adoptions(found, self._settings, self._ledger, served)
        for place, asker in adopted.items():
            name = claim_name(self._ledger.name, place)
            if not self._is_dry:
                self._claims.create(name, place, asker)
            click.echo(_line("adopted", name, place, asker))
        for doubt in doubts:
            click.echo(f"doubtful: {doubt}", err=True)
        if not adopted and not doubts:
            click.echo(self._nothing(found), err=True)
        return bool(doubts)

    def _asking(self, namespace: str) -> Iterator[Route | Service]:
        """Give what may ask in a namespace; a cluster without Routes has Services alone."""
        try:
            yield from objects_of(self._api, ROUTES.path(namespace), Route)
        except ApiNotFound as error:
            click.echo(f"no Routes: {error}", err=True)
        yield from objects_of(self._api, SERVICES.path(namespace), Service)

    def _nothing(self, found: Iterable[Route | Service]) -> str:
        """Say that there is nothing to do, and where it was looked, so that a wrong --router-name is noticed."""
        ours = sum(KINDS[type(obj)].is_ours(obj, self._settings) for obj in found)
        told = sum(1 for _ in self._ledger.names())
        return (
            f"nothing to adopt: {ours} Routes and Services ask for router {self._settings.router_name}, and their statuses"
            f" say nothing beyond the {told} PortClaims of ledger {self._ledger.name}"
        )

    def rebind(self) -> bool:
        """Bind claims by name; say whether something is doubtful."""
        holders = Holders(self._api, self._settings)
        bound = 0
        for name in sorted(self._ledger.names()):
            claim = self._ledger.claim(name)
            if claim is None or claim.spec.origin != "Won":
                continue
            holder, place = asker_of(claim.spec.holder or ClaimHolder()), place_of(claim)
            current = holders.successor(holder, place)
            if current is None or current == holder:
                continue
            if not self._is_dry:
                self._claims.delete(claim)
                self._claims.create(name, place, current)
            click.echo(_line("bound", name, place, current))
            bound += 1
        if not bound:
            click.echo(
                f"nothing to bind: every holder in ledger {self._ledger.name} is as it was, or asks no more", err=True
            )
        return False


def _line(word: str, name: str, place: Place, asker: Asker) -> str:
    host = f" host {displayed_host(place.host)}" if place.host else ""
    return f"{word}: {name}: port {Spot(place.port, place.address)}{host}: {asker}"


def _served(path: Path | None) -> Served | None:
    if path is None:
        return None
    text = sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    try:
        rows = _read_served(text)
    except msgspec.DecodeError as error:
        raise ManifestError(str(path), f"is not what tcp-router ports --output json prints: {error}") from error
    groups = {kind.kind: kind.group for kind in KINDS.values()}
    return frozenset(
        (Asker(groups.get(row.kind, ""), row.kind, row.namespace, row.name, row.section or "", ""), row.port or 0)
        for row in rows
        if row.verdict == "admitted"
    )
