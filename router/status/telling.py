"""Which Events go with a Route's status: what its owner learns by it, and warnings, once for as long as they last."""

from __future__ import annotations

from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.status.backlog import Work
from router.status.events import EventSender
from router.status.kinds import ROUTES, StatusKind
from router.status.notices import aside_notice, certificate_notice, status_notice, warning_notice
from router.status.route import ADMITTED, MAX_MESSAGE, Identity, StatusChange, condition_of


class Teller:
    """Puts notices into line; all calls come from one thread.

    Args:
        events: sends them.
        identity: whose entries in the status are ours.
        kind: of the objects; Routes where nothing else is said.
    """

    def __init__(self, events: EventSender, identity: Identity, kind: StatusKind = ROUTES) -> None:
        self._kind = kind
        self._events = events
        self._identity = identity
        self._warned: dict[ObjectKey, tuple[str, ...]] = {}
        self._aside: dict[ObjectKey, str] = {}
        """What was told of Routes that are set aside here, and of which the status says what is so on another node."""
        self._certificates: dict[ObjectKey, str] = {}
        """Those that clients are shown, as far as this replica knows since it leads."""

    def tell(self, obj: AskingObject, work: Work, change: StatusChange | None) -> None:
        """Tell what is new about a Route whose status is level now; ``change`` is how it was written, if it had to be."""
        verdict = work.verdict
        if verdict is None:
            self.forget(obj.key)
            return
        if change is not None and change.entry is not None:
            notice = status_notice(obj, verdict, change.former, change.entry)
            if notice is not None:
                self._events.add(notice, is_news=work.is_news)
        entry = change.entry if change is not None else self._kind.own_entry(obj, self._identity)
        said = condition_of(entry, ADMITTED)
        aside = self._aside.pop(obj.key, None)
        if verdict.set_aside and (said is None or said.message != verdict.message[:MAX_MESSAGE]):
            self._aside[obj.key] = verdict.message
            if aside != verdict.message:
                self._events.add(aside_notice(obj, verdict), is_news=work.is_news)
        self._tell_certificate(obj, work, is_new=change is not None and change.former is None)
        told = self._warned.pop(obj.key, ())
        for warning in verdict.warnings:
            if warning not in told:
                self._events.add(warning_notice(obj, warning), is_news=work.is_news)
        if verdict.warnings:
            self._warned[obj.key] = verdict.warnings

    def _tell_certificate(self, obj: AskingObject, work: Work, *, is_new: bool) -> None:
        """Tell of another certificate; that of a Route which was served before this replica led is no news."""
        certificate = work.verdict.certificate if work.verdict is not None else ""
        told = self._certificates.pop(obj.key, "")
        if certificate and certificate != told and (told or is_new):
            self._events.add(certificate_notice(obj, certificate), is_news=work.is_news)
        if certificate:
            self._certificates[obj.key] = certificate

    def forget(self, key: ObjectKey) -> None:
        """Take note of a Route that is gone, or not ours any more."""
        self._certificates.pop(key, None)
        self._warned.pop(key, None)
        self._aside.pop(key, None)

    def clear(self) -> None:
        """Forget all, and what waits to be sent: another replica leads, and tells."""
        self._events.clear()
        self._warned.clear()
        self._certificates.clear()
        self._aside.clear()
