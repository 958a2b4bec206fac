"""Those who wait for any port, in the order in which it is chosen for them; kept in it as they come and go."""

from __future__ import annotations

from collections.abc import Iterator, Set  # noqa: PYI025 - as it is called in collections.abc

from router.admission.allocation import InLine, Wish, order
from router.model import Asker
from router.ordered import SortedMap


class WaitingLine:
    """Who waits. Thousands may, so that one more costs a search, not a sort."""

    def __init__(self) -> None:
        self._places: dict[Asker, InLine] = {}
        self._line: SortedMap[InLine, Asker] = SortedMap()

    def put(self, asker: Asker, wish: Wish | None) -> None:
        """Put one in line, where its wish says; None takes it out."""
        former = self._places.pop(asker, None)
        if former is not None:
            self._line.put(former, None)
        if wish is not None:
            place = self._places[asker] = order(asker, wish)
            self._line.put(place, asker)

    @property
    def askers(self) -> Set[Asker]:
        """All of them, in no order."""
        return self._places.keys()

    def __contains__(self, asker: object) -> bool:
        return asker in self._places

    def __iter__(self) -> Iterator[Asker]:
        return iter(self._line.values())

    def __len__(self) -> int:
        return len(self._places)
