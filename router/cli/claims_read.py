"""What commands about PortClaims read of an API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from router.admission.ledger import Ledger
from router.cluster.decoding import decode_object
from router.cluster.kinds import PORT_CLAIMS
from router.errors import ApiNotFound
from router.kube.connection import Connection
from router.kube.pages import Pages
from router.objects.decoding import Misfit
from router.objects.portclaim import PortClaim

_NO_KIND = "this cluster has no PortClaims (tcp-router.openshift.io/v1alpha1): apply manifests/crds, then try again"


def objects_of(api: Connection, path: str, kind: type[Any]) -> Iterator[Any]:
    """Give the objects of a collection; one that cannot be read is told.

    Raises:
        ApiError: as the API server answered.
    """
    pages = Pages(api, path)
    while not pages.is_over:
        for raw in pages.read().items:
            decoded = decode_object(kind, raw)
            if isinstance(decoded, Misfit):
                click.echo(f"Error: an object cannot be read: {decoded}", err=True)
            else:
                yield decoded


def put_claims(api: Connection, namespace: str, ledger: Ledger) -> None:
    """Put the PortClaims of a namespace into a ledger.

    Raises:
        ApiError: as the API server answered; ApiNotFound where it has no such kind.
    """
    try:
        for claim in objects_of(api, PORT_CLAIMS.path(namespace), PortClaim):
            ledger.put(claim.metadata.name, claim)
    except ApiNotFound as error:
        raise ApiNotFound(f"{_NO_KIND} ({error})", error.status) from error
