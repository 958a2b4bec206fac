"""Namespaces in which a permission is missing: tried again now and then, so that a grant is noticed soon; pure."""

from __future__ import annotations

_PAUSE_S = 5.0
_LONGEST_S = 60.0
_SHARE_S = 0.5
"""For each such namespace: all together they cost two requests a second."""


class Forbidden:
    """Remembers until when nothing is tried in a namespace; times are of one clock that never goes back."""

    def __init__(self) -> None:
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
        self._until_s[namespace] = 0.0
        pause_s = min(max(_PAUSE_S, _SHARE_S * len(self._until_s)), _LONGEST_S)
        self._until_s[namespace] = now_s + pause_s
        return now_s + pause_s

    def permitted(self, namespace: str) -> bool:
        """Take note of a success; say whether it was refused before: the others may be permitted by now, too."""
        if namespace not in self._until_s:
            return False
        self._until_s.clear()
        return True
