"""Wait for a condition, with a deadline: tests never sleep to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")

_PAUSE_S = 0.005


def wait_for(condition: Callable[[], _Result], what: str, deadline_s: float = 20.0) -> _Result:
    """Call ``condition`` until it gives something true, and give that.

    Args:
        condition: is asked again and again; OSError (a refused connection, say) counts as not yet.
        what: what is waited for, for the failure's message.
        deadline_s: seconds until giving up.

    Raises:
        AssertionError: the deadline passed; the message has what was seen last.
    """
    ends_s = time.monotonic() + deadline_s
    seen: object = None
    while True:
        try:
            result = condition()
        except OSError as error:
            seen = error
        else:
            if result:
                return result
            seen = result
        assert time.monotonic() < ends_s, f"{what}: not within {deadline_s} seconds; last seen: {seen!r}"
        time.sleep(_PAUSE_S)
