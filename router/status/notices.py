"""What an Event about a Route says; pure. Who sends it is in ``events``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from router.admission import Verdict
from router.model import ROUTE_KIND, Spot
from router.objects.kinds import AskingObject
from router.objects.route import RouteIngress
from router.status.route import ADMITTED, PORT_CLAIMED, condition_of

_NAMED = re.compile(r"((?:[A-Z][a-z]+){2,}): ")
"""What a warning begins with that has a reason of its own, as in ``NotPublished: ...``."""
_NORMAL = frozenset({"NodePort"})
"""Those that say how it is, and nothing is wrong."""
MAX_NOTE = 1024
"""Bytes: kubernetes, pkg/apis/core/validation/events.go."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What an Event says; equal notices are one Event, counted."""

    namespace: str
    route: str
    uid: str
    kind: Literal["Normal", "Warning"]
    action: str
    reason: str
    note: str
    regarding: str = ROUTE_KIND
    """The kind of the object."""


def status_notice(
    obj: AskingObject, verdict: Verdict, former: RouteIngress | None, entry: RouteIngress
) -> Notice | None:
    """Give the notice that goes with a written status, None if the Route's owner learns nothing new by it.

    What a Route's status said before is what its owner has been told, by whichever replica; therefore a restarted router
    does not say everything again.
    """
    before, after = condition_of(former, ADMITTED), condition_of(entry, ADMITTED)
    if after is None:
        return None
    told = before is not None and (before.status, before.reason, before.message) == (
        after.status,
        after.reason,
        after.message,
    )
    if verdict.reason is not None:
        action = "SetAside" if verdict.set_aside else "Reject"
        return None if told else _notice(obj, "Warning", action, str(verdict.reason), verdict.message)
    claim_before, claim_after = condition_of(former, PORT_CLAIMED), condition_of(entry, PORT_CLAIMED)
    same_place = (claim_before.message if claim_before else None, former.host if former else None) == (
        claim_after.message if claim_after else None,
        entry.host,
    )
    return None if told and same_place else _notice(obj, "Normal", "Admit", "Admitted", _where(verdict, entry))


def aside_notice(obj: AskingObject, verdict: Verdict) -> Notice:
    """Give the notice of a Route that is set aside on one node."""
    return _notice(obj, "Warning", "SetAside", str(verdict.reason), verdict.message)


def recovered_notice(obj: AskingObject, node: str) -> Notice:
    """Give the notice of a Route that was set aside on a node, and is served there now."""
    return _notice(obj, "Normal", "Admit", "Admitted", f"on node {node}: served again")


def certificate_notice(obj: AskingObject, certificate: str) -> Notice:
    """Give the notice of a certificate that clients are shown from now on."""
    return _notice(obj, "Normal", "Serve", "CertificateTaken", f"clients are shown the certificate {certificate}")


def warning_notice(obj: AskingObject, warning: str) -> Notice:
    """Give the notice of one warning about a Route that is served."""
    named = _NAMED.match(warning)
    if named is not None:
        kind: Literal["Normal", "Warning"] = "Normal" if named[1] in _NORMAL else "Warning"
        return _notice(obj, kind, "Serve", named[1], warning[named.end() :])
    reason = "NoEndpoints" if _leads_nowhere(warning) else "ServedWithWarning"
    return _notice(obj, "Warning", "Serve", reason, warning)


def _leads_nowhere(warning: str) -> bool:
    """Tell the warnings of docs/admission.md after which a Service has nothing that serves from the others."""
    return warning.startswith("Service ") and ("endpoints" in warning or warning.endswith("does not exist"))


def _where(verdict: Verdict, entry: RouteIngress) -> str:
    name = entry.router_canonical_hostname
    parts = []
    if verdict.port is not None:
        spot = Spot(verdict.client_port or verdict.port, verdict.address)
        # The router's own name leads to the addresses that it is bound to, and no name is known of others.
        parts.append(f"on {verdict.reached_at(name)}" if name and not verdict.address else f"on port {spot}")
    if verdict.host is not None:
        parts.append(f"for TLS connections to {verdict.host}")
    # Of a Service with named ports.
    parts += [verdict.message] if verdict.message and not parts else []
    return f"served {', '.join(parts)}" if parts else "served"


def _notice(obj: AskingObject, kind: Literal["Normal", "Warning"], action: str, reason: str, note: str) -> Notice:
    metadata = obj.metadata
    return Notice(metadata.namespace, metadata.name, metadata.uid, kind, action, reason, _cut(note), type(obj).__name__)


def _cut(note: str) -> str:
    return note.encode()[:MAX_NOTE].decode(errors="ignore")
