"""Namespaces in which a permission is missing (403): tried again now and then, so that a grant is noticed soon; pure."""

from __future__ import annotations

_PAUSE_S = 5.0
_LONGEST_S = 60.0
_SHARE_S = 0.5
"""For each such namespace: all together they cost two requests a second."""
_FORGOTTEN_S = 300.0
"""Where nothing was tried for so long after it could have been, nobody waits; the namespace may be gone."""


class Forbidden:
    """Remembers until when nothing is tried in a namespace; times are of one clock that never goes back.

    Args:
        pause_s: the shortest time; longer while many namespaces are so.
    """

    def __init__(self, pause_s: float = _PAUSE_S) -> None:
        self._pause_s = pause_s
        self._until_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until_s)

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._until_s

    def until_s(self, namespace: str, now_s: float) -> float | None:
        """Give until when nothing shall be tried there; None if it may be tried now."""
        until_s = self._until_s.get(namespace)
        return until_s if until_s is not None and now_s < until_s else None

    def refused(self, namespace: str, now_s: float) -> float:
        """Take note of a refusal; give until when nothing shall be tried there."""
        self._until_s = {name: until_s for name, until_s in self._until_s.items() if now_s - until_s < _FORGOTTEN_S}
        self._until_s[namespace] = now_s
        pause_s = min(max(self._pause_s, _SHARE_S * len(self._until_s)), max(self._pause_s, _LONGEST_S))
        self._until_s[namespace] = now_s + pause_s
        return now_s + pause_s

    def permitted(self, namespace: str) -> bool:
        """Take note of a success; say whether it was refused before: the others may be permitted by now, too."""
        if namespace not in self._until_s:
            return False
        self._until_s.clear()
        return True
