"""All that is needed to report on objects of one kind, and what became of each object by its sections."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from router.admission import Verdict
from router.model import Asker
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.status.attending import Attendant
from router.status.backlog import Backlog
from router.status.desk import Desk
from router.status.events import EventSender
from router.status.kinds import StatusKind
from router.status.node_facts import NodeFacts
from router.status.route import Identity, on_node
from router.status.selection import Selection
from router.status.telling import Teller


class Track:
    """One kind's backlog and those who work on it; ``note`` comes from the reconcile thread, all else from the writing one.

    Args:
        kind: of the objects.
        desk: what those who write share.
        events: sends the Events.
        selection: which objects are followed.
        follows_all: whether what goes out of sight is deleted.
    """

    def __init__(
        self, kind: StatusKind, desk: Desk, events: EventSender, selection: Selection, *, follows_all: bool
    ) -> None:
        self.kind = kind
        self._identity = desk.identity
        self.backlog = Backlog(desk.identity.router_name, follows_all=follows_all, kind=kind)
        self.teller = Teller(events, desk.identity, kind)
        self.attendant = Attendant(desk, self.backlog, self.teller, selection, kind)
        self.node_facts = NodeFacts(desk, events, kind)
        self._verdicts: dict[ObjectKey, tuple[Verdict, ...]] = {}
        """Of the sections of each object; most have one."""
        self._unlooked: set[ObjectKey] = set()

    def changed(self, keys: Iterable[ObjectKey]) -> None:
        """Remember objects that are others, or gone, until ``note``."""
        self._unlooked.update(keys)

    def note(self, askers: Collection[Asker], verdicts: Mapping[Asker, Verdict], objects: Objects) -> bool:
        """Take note of what became of some askers, of whatever kind, and of the objects that changed; say whether there was anything to note."""
        keys, self._unlooked = self._unlooked, set()
        for asker in askers:
            if asker.kind == self.kind.kind:
                self._keep(asker, verdicts.get(asker))
                keys.add(ObjectKey(*asker.key))
        if not keys and self.backlog.has_begun:
            return False
        there = {key: obj for key in keys if (obj := objects.asking((self.kind.struct, key))) is not None}
        became = {key: verdict for key, obj in there.items() if (verdict := self._became(obj)) is not None}
        self.backlog.note(keys, there, became)
        self.node_facts.note(keys, there, became)
        return True

    def look_again(self, identity: Identity) -> None:
        """Look again at what was said of other nodes."""
        self.backlog.look_again(lambda obj: self.kind.named_node(obj, identity) not in {None, identity.node})

    def look_at_all(self) -> None:
        """Look again at everything."""
        self.backlog.look_again(lambda _obj: True)

    def _keep(self, asker: Asker, verdict: Verdict | None) -> None:
        key = ObjectKey(*asker.key)
        sections = tuple(each for each in self._verdicts.pop(key, ()) if each.asker != asker)
        if verdict is not None:
            sections = (*sections, verdict)
        if sections:
            self._verdicts[key] = sections

    def _became(self, obj: AskingObject) -> Verdict | None:
        sections = self._verdicts.get(obj.key, ())
        of_this = [on_node(each, self._identity.node) for each in sections if each.asker.uid == obj.metadata.uid]
        return self.kind.summed(obj, of_this, self._identity)
