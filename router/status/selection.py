"""Which Routes this router follows, and those beside them that still have an entry of ours: they left while nobody ran."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from router.errors import ApiInvalid
from router.kube.api import Api
from router.kube.pages import Pages
from router.objects.meta import ObjectKey
from router.status.route import has_entry
from router.status.route_api import decode_route, routes_path

_NAMESPACES = "/api/v1/namespaces"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which Routes are followed, as an API server is asked for them; by default all."""

    namespaces: tuple[str, ...] = ()
    """Only these; empty is all."""
    namespace_selector: str = ""
    """A label selector; empty is all."""
    route_selector: str = ""
    """A label selector; empty is all."""

    @property
    def is_partial(self) -> bool:
        """Whether a Route can come and go without being created or deleted: by its labels, or those of its namespace."""
        return bool(self.namespace_selector or self.route_selector)

    def has(self, api: Api, key: ObjectKey) -> bool:
        """Ask the API server whether a Route is among those that are followed.

        Raises:
            ApiError: as the API server answered.
        """
        return (not self.namespaces or key.namespace in self.namespaces) and all(
            _is_listed(api, path, name, selector)
            for path, name, selector in (
                (_NAMESPACES, key.namespace, self.namespace_selector),
                (routes_path(key.namespace), key.name, self.route_selector),
            )
            if selector
        )


class Search:
    """Goes once through all Routes of the namespaces that are followed, a page at a time, without selectors.

    Args:
        api: the API server.
        selection: what is followed.
        router_name: whose entries are looked for.
    """

    def __init__(self, api: Api, selection: Selection, router_name: str) -> None:
        self._api = api
        self._selection = selection
        self._router_name = router_name
        self._to_list: list[str] = []
        self._pages: Pages | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing (more) to list."""
        return not self._to_list

    def begin(self) -> None:
        """Begin, again; where everything is followed there is nothing to find."""
        self._to_list = list(self._selection.namespaces or ("",)) if self._selection.is_partial else []
        self._pages = None

    def end(self) -> None:
        """List no more."""
        self._to_list = []

    def next_page(self) -> tuple[ObjectKey, ...]:
        """List a page.

        Returns:
            The Routes on it that have an entry of ours, followed or not.

        Raises:
            ApiError: as the API server answered; the same page comes next.
        """
        if self._pages is None:
            self._pages = Pages(self._api, routes_path(self._to_list[0]))
        # Where the pages took too long the list begins anew; to look at a Route twice does no harm.
        page = self._pages.read()
        if self._pages.is_over:
            self._pages = None
            del self._to_list[0]
        return tuple(key for raw in page.items if (key := self._key_with_entry(raw)) is not None)

    def _key_with_entry(self, raw: msgspec.Raw) -> ObjectKey | None:
        if self._router_name.encode() not in bytes(raw):
            return None
        try:
            route = decode_route(bytes(raw))
        except ApiInvalid:
            return None
        return route.key if has_entry(route, self._router_name) else None


def _is_listed(api: Api, path: str, name: str, selector: str) -> bool:
    """Ask for one object by name and labels: only the server can tell what a selector selects."""
    query = {"fieldSelector": f"metadata.name={name}", "labelSelector": selector}
    return bool(Pages(api, path, query).read().items)
