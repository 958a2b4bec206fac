"""One log line for each object of the Gateway API of which something else is told than before."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from router.admission.gateway.complaints import complaints
from router.admission.gateway.states import State, StateKey
from router.ordered import different_values

log = structlog.get_logger()

_SEVERAL = 20
"""With more objects than this without complaints at once (a start, as a rule), one line counts them."""


def log_states(before: Mapping[StateKey, State], after: Mapping[StateKey, State]) -> None:
    """Log what is different in ``after``."""
    if before is after:
        return
    _, current = different_values(before, after)
    said = {state.key: tuple(complaints(state)) for state in current if before.get(state.key) != state}
    good = [key for key, each in said.items() if not each and _is_news(before.get(key))]
    if len(good) > _SEVERAL:
        log.info("gateway api objects accepted", count=len(good))
    for key, each in said.items():
        if each:
            log.warning("gateway api object not as wanted", **_named(key), problems=list(each))
        elif len(good) <= _SEVERAL and key in good:
            log.info("gateway api object accepted", **_named(key))


def _is_news(former: State | None) -> bool:
    """Say whether that there is no complaint is worth a line: the object is new, or there was one."""
    return former is None or any(complaints(former))


def _named(key: StateKey) -> dict[str, str]:
    of = {"namespace": key.namespace} if key.namespace else {}
    return {"kind": key.kind, **of, "name": key.name}
