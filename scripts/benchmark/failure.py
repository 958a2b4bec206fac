"""What ends the benchmark before it is through."""

from __future__ import annotations


class BenchFailed(Exception):
    """Something did not work, so that there is nothing to measure; the text is fit for a user."""
