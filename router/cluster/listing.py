"""How all objects of a collection are read: in one answer, and where that does not come to its end as a stream, or in pages.

One answer costs the API server least: it has the objects in memory, and encodes them once, without a look at its database; and this router has it
taken apart while it arrives (``kube.answer``). For a collection that is too large for that, or where something on the way cuts long answers,
WatchLists are asked for next (``streamed``), and pages after them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from router.cluster.streamed import ListSink, NotStreamed, StreamedList
from router.errors import ApiBusy, ApiUnreachable, ApiUnreadable
from router.kube.answer import Answer
from router.kube.api import Api, Query
from router.kube.pages import Pages

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_SILENCE_S = 10.0
_LONGEST_S = 60.0


@dataclass(slots=True, kw_only=True)
class Listing:
    """The lists of one collection, one after another.

    Args:
        api: the API server.
        path: of the collection.
        selects: the objects.
        sink: takes them.
        answered: is told when the server answers as it should.
        log: is told why lists come in another way.
        page_size: how many objects a page has.
        asks_for_all: whether lists are asked for in one answer first.
        streams: whether they are asked for as streams.
    """

    api: Api
    path: str
    selects: Query
    sink: ListSink
    answered: Callable[[], None]
    log: FilteringBoundLogger
    page_size: int
    asks_for_all: bool
    streams: bool
    _is_cut: bool = False
    """The last list in one answer did not come to its end."""
    _tries_pages: bool = False
    """Nor did the last one as a stream: what is on the way may have cut it for what it is."""

    def read(self) -> str:
        """Give all objects to the sink; return the list's resourceVersion.

        Raises:
            ApiError: as the API server answered; the next list comes in another way, where that may do.
        """
        version = self._read()
        self._is_cut = self._tries_pages = False
        return version

    def _read(self) -> str:
        if self.asks_for_all and not self._is_cut:
            try:
                return self._all()
            except (ApiUnreachable, ApiBusy, ApiUnreadable) as error:
                self._is_cut = True
                if not isinstance(error, ApiUnreadable):
                    # Whoever cannot answer now is not asked for the same in another way at once.
                    raise
                self.log.info("list not read in one answer", reason=str(error))
        if self.streams and not self._tries_pages:
            self._tries_pages = True
            try:
                return StreamedList(self.api, self.path, self.selects, self.sink, self.answered).read()
            except NotStreamed as error:
                self.streams = not error.is_for_good
                reason = "the API server has no WatchLists" if error.is_for_good else str(error)
                self.log.info("listed in pages", reason=reason)
        return self._pages()

    def _all(self) -> str:
        answer = Answer()
        with self.api.answer(self.path, self.selects, _SILENCE_S) as pieces:
            ends_s = time.monotonic() + _LONGEST_S
            self.answered()
            self.sink.begin_list()
            for piece in pieces:
                items = answer.take(piece)
                if items:
                    began_s = time.monotonic()
                    self.sink.add_page(items)
                    # It may wait for what is to be known first, which is not the server's time.
                    ends_s += time.monotonic() - began_s
                if time.monotonic() > ends_s:
                    raise ApiUnreachable(f"GET {self.path}: no whole answer within {_LONGEST_S:g} s")
        try:
            items, said = answer.end()
        except msgspec.DecodeError as error:
            raise ApiUnreadable(f"GET {self.path}: the answer is no list: {error}") from error
        if said.continue_:
            raise ApiUnreadable(f"GET {self.path}: the answer is a part of the list, though all of it was asked for")
        self.answered()
        # A list without any object has a page, too.
        self.sink.add_page(items)
        self.sink.end_list(said.resource_version)
        return said.resource_version

    def _pages(self) -> str:
        pages = Pages(self.api, self.path, self.selects, self.page_size)
        version = ""
        while not pages.is_over:
            page = pages.read()
            self.answered()
            if page.is_first:
                self.sink.begin_list()
            self.sink.add_page(page.items)
            version = page.resource_version
        self.sink.end_list(version)
        return version
