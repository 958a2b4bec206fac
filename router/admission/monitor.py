"""How F5's monitors say that pods are checked, and what that is to HAProxy.

``interval`` is the time between two checks. ``timeout`` is not that of one check: it is how long a pod may fail to answer until it counts as down
(F5 BIG-IP Local Traffic Manager, "About monitors"). So ``interval`` is HAProxy's ``inter``, and ``timeout`` makes ``fall``, the checks in a row that fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.admission.options import RouteOptions, with_checks
from router.admission.spec_values import as_mapping, seconds, shown_value
from router.admission.verdicts import NotAcceptable, Reason

MAX_S = 86_400
"""Of F5's monitors."""
_MS = 1000


@dataclass(frozen=True, slots=True)
class Monitor:
    """One monitor, in seconds."""

    interval_s: int
    timeout_s: int

    def applied(self, options: RouteOptions, interval_ms: int | None = None) -> RouteOptions:
        """Give options with these checks.

        Args:
            options: of the asker.
            interval_ms: what an annotation says of the interval, which then counts; 0 is no checks.
        """
        inter_ms = self.interval_s * _MS if interval_ms is None else interval_ms
        fall = -(-self.timeout_s * _MS // inter_ms) if inter_ms else None
        return with_checks(options, inter_ms, fall)


def read_monitor(field: str, value: object, *, interval_s: int = 10, timeout_s: int = 10) -> Monitor:
    """Read a monitor.

    Args:
        field: where it stands.
        value: what stands there; null is the defaults.
        interval_s: the default of its interval.
        timeout_s: the default of its timeout.

    Raises:
        NotAcceptable: it is none, or checks otherwise than by a TCP connection.
    """
    fields: Mapping[str, Any] = as_mapping(field, value)
    kind = fields.get("type")
    if kind is not None and kind != "tcp":
        raise NotAcceptable(
            Reason.INVALID_SPEC, f"{field}.type is {shown_value(kind)}; this router checks pods by TCP connections: tcp"
        )
    return Monitor(
        seconds(f"{field}.interval", fields.get("interval"), interval_s, MAX_S),
        seconds(f"{field}.timeout", fields.get("timeout"), timeout_s, MAX_S),
    )
