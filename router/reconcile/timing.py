"""When the reconcile loop tries things again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When things are tried again; seconds."""

    reload_interval_s: float = 1.0
    gather_s: tuple[float, float] = (0.02, 0.5)
    """How long a reload waits for a further reason, and at most. A Route that comes alone is served so much later."""
    port_retry_s: float = 2.0
    """Between looks at whether a taken port is free again; a look disturbs nobody."""
    refused_retry_s: tuple[float, float] = (5.0, 300.0)
    """First and longest pause before HAProxy is asked again about a Route that it refused."""
    namespace_reloads: tuple[int, float] = (30, 10.0)
    """How many reloads a namespace may cause one after the other, and seconds until one more; 0 for as many as it likes."""
    failure_retry_s: tuple[float, float] = (1.0, 30.0)
    """First and longest pause after a failure that no Route is to blame for, and between restarts of HAProxy."""
