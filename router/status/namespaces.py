"""Tells on Namespaces what their admins have to mend in what they say of ports: Events, once for as long as it lasts."""

from __future__ import annotations

from collections.abc import Mapping

from router.admission.policy import PolicyNews
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.status.events import EventSender
from router.status.notices import MAX_NOTE, Notice

REASON = "InvalidPortPolicy"
KIND = "Namespace"
_Problems = Mapping[str, tuple[str, tuple[str, ...]]]
_NONE: _Problems = {}


class NamespaceTeller:
    """Puts notices into line.

    Args:
        events: sends them.
    """

    def __init__(self, events: EventSender) -> None:
        self._events = events
        self._problems_of: Mapping[str, tuple[str, ...]] = {}
        self._current: _Problems = _NONE
        """By namespace its uid, and its problems; replaced by the reconcile thread."""
        self._seen: _Problems = _NONE
        self._told: dict[str, tuple[str, tuple[str, ...]]] = {}

    def update(self, policy: PolicyNews, objects: Objects) -> bool:
        """Take what is wrong now, and say whether that is anything else; on the reconcile thread."""
        if policy.problems is self._problems_of:
            return False
        self._problems_of = policy.problems
        known = ((name, objects.namespaces.get(ObjectKey("", name)), told) for name, told in policy.problems.items())
        self._current = {name: (each.metadata.uid, told) for name, each, told in known if each is not None}
        return True

    def tell(self) -> None:
        """Put into line what is new; on the writing thread, while this replica leads."""
        current = self._current
        if current is self._seen:
            return
        is_news = self._seen is not _NONE
        self._seen = current
        former, self._told = self._told, dict(current)
        for name, (uid, problems) in current.items():
            told = former.get(name, (uid, ()))
            for problem in problems:
                if told[0] != uid or problem not in told[1]:
                    self._events.add(_notice(name, uid, problem), is_news=is_news)

    def clear(self) -> None:
        """Forget what was told: another replica leads, and tells."""
        self._seen = _NONE
        self._told = {}


def _notice(name: str, uid: str, problem: str) -> Notice:
    note = problem.encode("ascii", "replace")[:MAX_NOTE].decode()
    # In the namespace itself, where whoever looks at it finds it, and this router may write in a shard.
    return Notice(name, name, uid, "Warning", "Decide", REASON, note, KIND)
