"""Lists of what belongs to some Services, beside the watch over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.cluster.decoding import decode_page, version_number
from router.cluster.sieve import Held, Sieve, Sifted
from router.errors import ApiGone
from router.kube.api import Api
from router.objects.meta import ObjectKey

_PAGE_SIZE = 500


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
        msgspec.DecodeError: the answer is no list.
    """
    path = sieve.kind.resource.path(namespace)
    query = {**selector, "limit": str(_PAGE_SIZE)}
    listed = Sifted()
    while True:
        try:
            page = decode_page(api.get(path, query))
        except ApiGone:
            if "continue" not in query:
                raise
            # Pages took longer than the server remembers. Without a limit there is but one.
            listed, query = Sifted(), dict(selector)
            continue
        listed.add(sieve.sift(page.items or (), services))
        if not page.metadata.continue_:
            return version_number(page.metadata.resource_version), listed
        query["continue"] = page.metadata.continue_
