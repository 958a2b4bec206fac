"""Servers that get no new connections and are to be deleted when they have none left, by backend: a change of a Route looks at its own alone.

With long connections there are as many of them as endpoints have moved meanwhile. Frozen, but for a draft.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from router.plan.section_text import ServerLine

ServerName = tuple[str, str]
"""Backend and server."""
_Lines = Mapping[str, ServerLine]
"""By server, those of one backend."""
_NONE: _Lines = MappingProxyType({})
_NOBODY: Mapping[ServerName, ServerLine] = MappingProxyType({})


class Leaving(Mapping[ServerName, ServerLine]):
    """All of them.

    Args:
        lines: what was written of each.
    """

    __slots__ = ("_by_backend",)

    def __init__(self, lines: Mapping[ServerName, ServerLine] = _NOBODY) -> None:
        by_backend: dict[str, dict[str, ServerLine]] = {}
        for (backend, server), line in lines.items():
            by_backend.setdefault(backend, {})[server] = line
        self._by_backend: Mapping[str, _Lines] = by_backend

    def __getitem__(self, name: ServerName) -> ServerLine:
        backend, server = name
        return self._by_backend[backend][server]

    def __contains__(self, name: object) -> bool:
        match name:
            case (str() as backend, str() as server):
                return server in self._by_backend.get(backend, _NONE)
        return False

    def __iter__(self) -> Iterator[ServerName]:
        return ((backend, server) for backend, lines in self._by_backend.items() for server in lines)

    def __len__(self) -> int:
        return sum(map(len, self._by_backend.values()))

    def __bool__(self) -> bool:
        return bool(self._by_backend)

    def of(self, backend: str) -> _Lines:
        """Give those of one backend."""
        return self._by_backend.get(backend, _NONE)

    def with_backends(self, backends: Mapping[str, _Lines]) -> Leaving:
        """Give the same but for these backends, which have these, or none."""
        changed = Leaving()
        by_backend = {**self._by_backend, **backends}
        for name, lines in backends.items():
            if not lines:
                del by_backend[name]
        changed._by_backend = by_backend
        return changed

    def without(self, gone: Collection[ServerName]) -> Leaving:
        """Give the same without these."""
        draft = LeavingDraft(self)
        draft.take_back(name for name in gone if name in self)
        return draft.done()


class LeavingDraft:
    """What they come to be by a plan."""

    def __init__(self, leaving: Leaving) -> None:
        self._before = leaving
        self._backends: dict[str, _Lines] = {}
        """Those that differ; their lines are never changed in place."""

    def of(self, backend: str) -> _Lines:
        """Give those of one backend, as it stands."""
        lines = self._backends.get(backend)
        return lines if lines is not None else self._before.of(backend)

    def add(self, lines: Mapping[ServerName, ServerLine]) -> None:
        """Have these leave, too."""
        for (backend, server), line in lines.items():
            self._backends[backend] = {**self.of(backend), server: line}

    def take_back(self, names: Iterable[ServerName]) -> None:
        """Have these leave no more."""
        for backend, server in names:
            self._backends[backend] = {name: line for name, line in self.of(backend).items() if name != server}

    def kept(self) -> Mapping[str, _Lines]:
        """Give what ``restore`` takes."""
        return dict(self._backends)

    def restore(self, kept: Mapping[str, _Lines]) -> None:
        """Be as it was."""
        self._backends = dict(kept)

    def done(self) -> Leaving:
        """Give what it came to; the same object where nothing did."""
        return self._before.with_backends(self._backends) if self._backends else self._before
