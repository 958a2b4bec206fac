"""Reads one Route from the API server, and writes its status."""

from __future__ import annotations

import msgspec

from router.errors import ApiInvalid
from router.kube.api import Api
from router.objects.decoding import Misfit, decode
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.shapes import read_any, reader
from router.status.route import Patch

_decode_route = reader(Route)


def read_route(api: Api, key: ObjectKey) -> Route:
    """Read a Route.

    Raises:
        ApiError: as the API server answered; ApiInvalid also where the answer is no Route.
    """
    return decode_route(api.get(_path(key)))


def patch_status(api: Api, key: ObjectKey, patch: Patch) -> None:
    """Write a Route's status.

    Raises:
        ApiError: as the API server answered; ApiConflict where the Route is not the one that the patch was made for.
    """
    api.patch(f"{_path(key)}/status", patch.body, patch.content_type)


def same_request(one: Route, other: Route) -> bool:
    """Say whether a verdict about one is about the other: the same object, asking for the same."""
    return (one.metadata.uid, one.metadata.annotations, one.metadata.labels, one.spec) == (
        other.metadata.uid,
        other.metadata.annotations,
        other.metadata.labels,
        other.spec,
    )


def decode_route(body: bytes) -> Route:
    """Read a Route as the input does, so that equal Routes compare as equal.

    Raises:
        ApiInvalid: it is no Route.
    """
    try:
        return _decode_route(body)
    except msgspec.DecodeError:
        route = _decoded_with_nulls(body)
    if isinstance(route, Misfit):
        raise ApiInvalid(f"the API server gave something that is no Route: {route}")
    return route


def _decoded_with_nulls(body: bytes) -> Route | Misfit:
    try:
        value = read_any(body)
    except msgspec.DecodeError as error:
        return Misfit(f"is no JSON: {error}")
    return decode(Route, value) if isinstance(value, dict) else Misfit("is no object")


def routes_path(namespace: str = "") -> str:
    """Give the path of the Routes of a namespace; none is all of them."""
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/route.openshift.io/v1{scope}/routes"


def _path(key: ObjectKey) -> str:
    return f"{routes_path(key.namespace)}/{key.name}"
