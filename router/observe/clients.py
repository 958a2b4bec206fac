"""Until when clients are let in by their certificates: authorities and lists of revoked ones, and which of them their time is over; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from router.model import Asker, Model
from router.model.tls import ClientTls

CRL_WARNING_S = 7 * 86_400
"""So long before a list of revoked certificates is out of date it is told: from then on nobody is let in."""


def clients(model: Model) -> Iterator[tuple[Asker, ClientTls]]:
    """Give each asker whose clients show certificates, with what these are verified by; one on two shared ports comes twice."""
    # After each change thousands are looked at for the few: nothing is called for one that asks nobody.
    for section in model.routes:
        if (
            section.frontend is not None
            and section.frontend.tls is not None
            and section.frontend.tls.clients is not None
        ):
            yield section.asker, section.frontend.tls.clients
    for shared in model.shared:
        for host in shared.hosts:
            if host.tls is not None and host.tls.clients is not None:
                yield host.asker, host.tls.clients


def refusing(model: Model, now_s: float) -> Mapping[Asker, str]:
    """Give a sentence for each asker whose clients are refused because of the time, or will be soon; it is served all the same."""
    found = {}
    for asker, each in clients(model):
        if each.revoked_until_s and each.revoked_until_s < now_s:
            found[asker] = (
                f"a list of revoked certificates is out of date since {_shown(each.revoked_until_s)}: clients are refused"
            )
        elif each.until_s < now_s:
            found[asker] = (
                f"a CA of its clients expired at {_shown(each.until_s)}: clients with certificates of it are refused"
            )
        elif each.revoked_until_s and each.revoked_until_s < now_s + CRL_WARNING_S:
            found[asker] = (
                f"a list of revoked certificates is out of date at {_shown(each.revoked_until_s)}: clients are refused from then on"
            )
    return found


def _shown(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None).isoformat()}Z"
