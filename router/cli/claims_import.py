"""``tcp-router claims import``: reserves the ports that teams have today elsewhere, before this router takes over."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from router.admission.importing import Imports, imports
from router.admission.ledger import Ledger
from router.admission.places import Place
from router.cli.claims_read import objects_of, put_claims
from router.cli.columns import printable
from router.cli.exits import clear_errors
from router.cli.options import ADMISSION, CLUSTER, HTTP, RENDER, option, with_options
from router.cli.run_settings import ServingSettings
from router.cluster.kinds import SERVER_CLAIMS, TRANSPORT_SERVERS
from router.errors import ApiConflict, ApiNotFound, SettingsError
from router.kube.connection import Connection
from router.model import Spot
from router.objects.cis import TransportServer
from router.objects.porter import TransportServerClaim
from router.settings import KubeSettings
from router.status.claim_api import ClaimApi

_DOUBTS = 1
_HELP = """\
Reserve the ports that teams have today by TransportServers of F5's controller, so that nobody's number changes when this router serves them.

A TransportServer that has the name of a TransportServerClaim is what Porter made of it: its port is reserved for the claim. Of any other the port is reserved
for the TransportServer itself. Give the options that the router has; to write takes a cluster admin.

Prints what is reserved, and what is doubtful and therefore not: a port that two of them have, that somebody else holds or that the router may not give, and a
TransportServer whose status is not Ok. To run it again does no harm.

\b
Exit status:
  0  all is reserved, or would be
  1  something is doubtful, and not reserved
  2  the API server, or an option, cannot be used
"""


@click.command("import", help=_HELP)
@option("--from-transportservers", "from_servers", is_flag=True, help="What is imported; there is nothing else yet.")
@option("--dry-run", is_flag=True, help="Write nothing.")
@with_options(ADMISSION, RENDER, HTTP, CLUSTER)
@clear_errors
def import_claims(from_servers: bool, dry_run: bool, **values: Any) -> None:  # noqa: FBT001 - click's interface
    """Reserve ports."""
    if not from_servers:
        raise SettingsError("say what is imported: --from-transportservers")
    serving = {field.name for field in fields(ServingSettings)}
    cluster = {name: value for name, value in values.items() if name not in serving}
    options = ServingSettings(**{name: value for name, value in values.items() if name in serving})
    api = Connection.open(KubeSettings(kubeconfig=cluster["kubeconfig"], context=cluster["context"]))
    try:
        is_doubtful = _run(api, options, cluster, is_dry=dry_run)
    finally:
        api.close()
    if is_doubtful:
        raise SystemExit(_DOUBTS)


def _run(api: Connection, options: ServingSettings, cluster: dict[str, Any], *, is_dry: bool) -> bool:
    settings = options.admission()
    ledger = Ledger(options.ledger or cluster["lease_name"] or options.router_name, settings.overlapping)
    put_claims(api, cluster["lease_namespace"], ledger)
    scopes = cluster["namespaces"] or ("",)
    servers = [each for scope in scopes for each in objects_of(api, TRANSPORT_SERVERS.path(scope), TransportServer)]
    claims: dict[Any, TransportServerClaim] = {}
    try:
        for scope in scopes:
            claims |= {each.key: each for each in objects_of(api, SERVER_CLAIMS.path(scope), TransportServerClaim)}
    except ApiNotFound as error:
        click.echo(f"no TransportServerClaims: {error}", err=True)
    found = imports(servers, claims, settings, ledger)
    writes = ClaimApi(api, cluster["lease_namespace"], ledger.name, options.router_name)
    is_doubtful = False
    for place, asker in found.reserved.items():
        name = _name(ledger.name, place)
        try:
            if not is_dry:
                writes.reserve(name, place, asker)
        except ApiConflict:
            click.echo(f"doubtful: {asker}: there is a PortClaim {name} that is about something else", err=True)
            is_doubtful = True
        else:
            click.echo(printable(f"reserved: {name}: port {Spot(place.port, place.address)}: {asker}"))
    for doubt in found.doubts:
        click.echo(printable(f"doubtful: {doubt}"), err=True)
    if not found.reserved and not found.doubts:
        click.echo(_nothing(found, len(servers)), err=True)
    return is_doubtful or bool(found.doubts)


def _nothing(found: Imports, servers: int) -> str:
    return (
        f"nothing to reserve: of {servers} TransportServers {len(found.there)} have their port by a PortClaim already"
    )


def _name(ledger: str, place: Place) -> str:
    """Give the name of a reservation; another than that by which the router remembers who has the place."""
    return "-".join(filter(None, (ledger, "imported", place.address, str(place.port))))
