"""Lists of what belongs to some Services, beside the watch over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.cluster.decoding import version_number
from router.cluster.sieve import Held, Sieve, Sifted
from router.kube.api import Api
from router.kube.pages import Pages
from router.objects.meta import ObjectKey


@dataclass(slots=True)
class Fetch:
    """A list of some Services' objects that is under way, and what the watch brought meanwhile."""

    services: set[ObjectKey]
    events: dict[ObjectKey, tuple[int | None, Held | None]] = field(default_factory=dict)


def list_some(
    api: Api, sieve: Sieve, namespace: str, selector: Mapping[str, str], services: Mapping[ObjectKey, ObjectKey]
) -> tuple[int | None, Sifted]:
    """List the objects of some Services of a namespace.

    Args:
        api: the API server.
        sieve: decodes them.
        namespace: of all of these Services; empty is all.
        selector: the query that selects them.
        services: each with itself, the key that objects shall hold.

    Returns:
        The list's resourceVersion, where it is a number, and what is in it.

    Raises:
        ApiError: as the API server answered.
    """
    pages = Pages(api, sieve.kind.resource.path(namespace), selector)
    listed = Sifted()
    version = None
    while not pages.is_over:
        page = pages.read()
        if page.is_first:
            listed = Sifted()
        listed.add(sieve.sift(page.items, services))
        version = version_number(page.resource_version)
    return version, listed
