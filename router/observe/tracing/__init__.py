"""Where the time of a change goes, from the API server's bytes to HAProxy's reply; only with ``--trace-changes``."""

from router.observe.tracing.making import Makes, Untraced
from router.observe.tracing.parts import Tracing

__all__ = ["Makes", "Tracing", "Untraced"]
