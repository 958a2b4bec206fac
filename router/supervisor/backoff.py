"""Pauses that grow, between attempts at what failed; pure."""

from __future__ import annotations


class Backoff:
    """Pauses that double from ``first_s`` to ``longest_s`` seconds, until ``reset``."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def pause_s(self) -> float:
        """Give the next pause, seconds."""
        pause_s = self._next_s
        self._next_s = min(self._next_s * 2, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next_s = self._first_s
