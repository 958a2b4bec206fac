"""The certificates that clients are shown now, and which of them their time is over, or not come; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from router.model import Asker, Model
from router.model.tls import Certificate

SOON_S = 14 * 86_400
"""So long before the end it is told, as by the alert."""
_LAST_PART = 6
"""And not before so much of its time is left: one for a day is renewed within it."""


def certificates(model: Model) -> Iterator[tuple[Asker, Certificate]]:
    """Give each asker whose TLS ends here, with what its clients are shown; one on two shared ports comes twice."""
    for section in model.routes:
        if section.frontend is not None and section.frontend.tls is not None:
            yield section.asker, section.frontend.tls.certificate
    for shared in model.shared:
        for host in shared.hosts:
            if host.tls is not None:
                yield host.asker, host.tls.certificate


def out_of_time(model: Model, now_s: float) -> Mapping[Asker, str]:
    """Give a sentence for each asker whose certificate clients refuse that look at the time, or will soon; it is served all the same."""
    found = {}
    for asker, certificate in certificates(model):
        since_s, until_s = certificate.not_before_s, certificate.not_after_s
        if until_s < now_s:
            found[asker] = (
                f"CertificateExpired: its certificate expired at {_shown(until_s)}: clients that verify it refuse it"
            )
        elif since_s > now_s:
            found[asker] = (
                f"CertificateNotYetValid: its certificate is not valid before {_shown(since_s)}: clients that verify it refuse it"
            )
        elif until_s - now_s < min(SOON_S, (until_s - since_s) / _LAST_PART):
            found[asker] = (
                f"CertificateExpires: its certificate expires at {_shown(until_s)}: clients that verify it refuse it from then on"
            )
    return found


def _shown(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None).isoformat()}Z"
