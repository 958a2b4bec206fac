"""Lists of the API, page by page (https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from router.errors import ApiGone, ApiUnreadable
from router.kube.api import Api, Query
from router.shapes import reader

SIZE = 500
"""How many objects a page has, as kubectl asks."""
_EVERYTHING: Query = {}


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """meta/v1 ListMeta."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class List(msgspec.Struct, frozen=True):
    """A list of any kind; its objects are not decoded."""

    metadata: ListMeta = ListMeta()
    items: tuple[msgspec.Raw, ...] | None = None


read_list = reader(List)
"""Reads one; raises msgspec.DecodeError."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list, not decoded yet."""

    items: tuple[msgspec.Raw, ...]
    resource_version: str
    """Of the whole list."""
    is_first: bool
    """The list begins with it: what pages before brought, if any, is of a list that did not come to its end."""


class Pages:
    """One list, a request at a time.

    Args:
        api: the API server.
        path: of the collection.
        query: selects the objects.
        size: how many objects a page has.
    """

    def __init__(self, api: Api, path: str, query: Query = _EVERYTHING, size: int = SIZE) -> None:
        self._api = api
        self._path = path
        self._selects = query
        self._query: Query = {**query, "limit": str(size)}
        self._is_first = True
        self.is_over = False
        """Whether the last page was read."""

    def read(self) -> Page:
        """Give the next page.

        Where pages take longer than the server remembers (410), the list begins once more, without a limit: so there is but one.

        Raises:
            ApiUnreadable: the answer is no list; the same page comes next.
            ApiError: as the API server answered; likewise.
        """
        try:
            answer = self._api.get(self._path, self._query)
        except ApiGone:
            if "continue" not in self._query:
                raise
            self._query, self._is_first = self._selects, True
            answer = self._api.get(self._path, self._query)
        try:
            read = read_list(answer)
        except msgspec.DecodeError as error:
            raise ApiUnreadable(f"GET {self._path}: the answer is no list: {error}") from error
        is_first, self._is_first = self._is_first, False
        self.is_over = not read.metadata.continue_
        self._query = {**self._query, "continue": read.metadata.continue_}
        return Page(read.items or (), read.metadata.resource_version, is_first)
