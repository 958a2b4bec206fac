"""One log line for each asker whose verdict became another, and for what HAProxy made us set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from router.admission import Verdict
from router.admission.verdicts import Reason, different
from router.model import Asker, Spot
from router.reconcile.set_aside import Asides

log = structlog.get_logger()

_SEVERAL = 20
"""With more Routes than this admitted at once (a start, as a rule), one line counts them."""


def log_verdicts(before: Mapping[Asker, Verdict], after: Mapping[Asker, Verdict]) -> None:
    """Log what is different in ``after``."""
    keys = different(before, after)
    changed = [(key, after[key]) for key in keys if key in after]
    admitted = [verdict for key, verdict in changed if verdict.admitted and not _was_admitted(before.get(key), verdict)]
    if len(admitted) > _SEVERAL:
        log.info("routes admitted", count=len(admitted))
    else:
        for verdict in admitted:
            log.info(_event(verdict.asker, "admitted"), **_keys(verdict.asker), **_place(verdict))
    _log_allocating([verdict for _, verdict in changed if verdict.reason is Reason.ALLOCATING])
    for key, verdict in changed:
        if verdict.reason is not None and verdict.reason is not Reason.ALLOCATING:
            log.warning(_event(key, "rejected"), **_keys(key), reason=str(verdict.reason), message=verdict.message)
        former = before.get(key)
        for warning in verdict.warnings:
            if former is None or warning not in former.warnings:
                log.warning(_event(key, "served with a warning"), **_keys(key), message=warning)
    for key in keys:
        if key in after:
            continue
        log.info(_event(key, "gone"), **_keys(key), **_place(before[key]))


def _log_allocating(waiting: Sequence[Verdict]) -> None:
    if len(waiting) > _SEVERAL:
        log.info("ports allocating", count=len(waiting))
        return
    for verdict in waiting:
        log.info(_event(verdict.asker, "allocating"), **_keys(verdict.asker), message=verdict.message)


def log_set_aside(news: Asides) -> None:
    """Log what was set aside."""
    alike = Counter(news.routes.values())
    for refusal, count in alike.items():
        if count > _SEVERAL:
            # A template's fault, as a rule, in which no Route has a part.
            log.error("routes set aside", count=count, reason=refusal.reason, problem=refusal.message)
    for key, refusal in news.routes.items():
        if alike[refusal] <= _SEVERAL:
            log.error(_event(key, "set aside"), **_keys(key), reason=refusal.reason, problem=refusal.message)
    for spot, refusal in news.ports.items():
        log.error("port set aside", **_spot(spot), reason=refusal.reason, problem=refusal.message)


def _was_admitted(former: Verdict | None, verdict: Verdict) -> bool:
    return former is not None and former.admitted and _place(former) == _place(verdict)


def _event(asker: Asker, what: str) -> str:
    return f"{asker.kind.lower()} {what}"


def _place(verdict: Verdict) -> dict[str, int | str | None]:
    return {"port": verdict.port, "host": verdict.host, **({"address": verdict.address} if verdict.address else {})}


def _spot(spot: Spot) -> dict[str, int | str]:
    return {"port": spot.port, **({"address": spot.address} if spot.address else {})}


def _keys(asker: Asker) -> dict[str, str]:
    """Give the keys of a line: ``route`` has the name of a Route, ``service`` that of a Service, ``port_name`` which of its ports."""
    section = {"port_name": asker.section} if asker.section else {}
    return {"namespace": asker.namespace, asker.kind.lower(): asker.name, **section}
