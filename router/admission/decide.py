"""From objects to what HAProxy shall serve, and a verdict for every asker of ours.

What is right is defined by a full rebuild: ``Admission(settings).update(objects, objects.everything())``. Later updates
give the same, and work on what changed alone: what an object asks for is read again when the object changes, its servers are
found again when one of its Services does, and a port or host is decided again when a claim to it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from router.admission.address_use import AddressUse
from router.admission.allocation import Wish
from router.admission.allowance import Allowance
from router.admission.autos import Autos
from router.admission.claim_book import ClaimBook
from router.admission.claim_outcome import ClaimOutcome
from router.admission.claims import Claim
from router.admission.conclusion import Entry, at_addresses, concluded, leading_to
from router.admission.destination import Destination, find_destination, names_of
from router.admission.external_names import ExternalNames
from router.admission.gateway.book import GatewayBook
from router.admission.journal import Touched
from router.admission.kinds import KINDS
from router.admission.leads import Leads
from router.admission.ledger import Ledger
from router.admission.left_out import left_out
from router.admission.loop_book import LoopBook
from router.admission.moves import Moves
from router.admission.name_book import NameBook
from router.admission.notes import Notes
from router.admission.options import sni_port_options
from router.admission.outcome import Outcome
from router.admission.own_places import OwnPlaces
from router.admission.pairing import Pairing
from router.admission.places import Place
from router.admission.policy import Policies
from router.admission.references import References
from router.admission.request import Request
from router.admission.termination import Credentials
from router.admission.verdicts import Rejection, Verdict
from router.model import Asker, Model, RouteSection
from router.objects.gateway import Gateway, ListenerSet, TlsRoute
from router.objects.kinds import AskingObject, Slot
from router.objects.store import Changes, Objects
from router.ordered import SortedMap
from router.settings import AdmissionSettings

_NOBODY: Mapping[Place, Asker] = {}


class Admission:
    """Decides who is served, and how.

    One instance follows one set of objects: every change must be told to ``update``, in order.

    Args:
        settings: what may be served.
        served: whom this replica serves already, which counts where no PortClaim says who holds a place.
        ledger: where PortClaims are kept, for whoever wants to read there beside; written to here alone.
    """

    def __init__(
        self, settings: AdmissionSettings, served: Mapping[Place, Asker] = _NOBODY, ledger: Ledger | None = None
    ) -> None:
        self._settings = settings
        self._ledger = ledger if ledger is not None else Ledger(settings.ledger, settings.overlapping)
        self._is_new, self._policies = True, Policies(settings)
        self._entries: dict[Asker, Entry] = {}
        self._read: dict[Slot, tuple[AskingObject, tuple[Asker, ...]]] = {}
        """The objects of ours as they were last read, and who asks by them: one, or one for each section."""
        self._held: dict[Slot, tuple[AskingObject, tuple[Verdict, ...]]] = {}
        """Objects about which nothing can be decided, whatever they ask for, as long as they are these very objects; and what is said of them."""
        self._to_read: set[Slot] = set()
        """Objects that are read with the next update, though they are those that were."""
        self._pairing, self._gateways = Pairing(settings), GatewayBook(settings)
        self._leads, self._loops, self._references = Leads(), LoopBook(), References()
        self._names, self._name_book = ExternalNames.of(settings), NameBook()
        self._address_use = AddressUse(self._policies.addresses_allowed, settings.default_addresses)
        self._claims = ClaimBook(
            settings.sni_port,
            sni_port_options(settings.defaults),
            self._ledger,
            served,
            self._policies,
            owns_domains=not settings.disable_namespace_ownership_check,
            overlapping=settings.overlapping,
            address_use=self._address_use,
            spare_gates=settings.mtls_pool,
        )
        self._notes = Notes(settings.sni_port)
        autos = (settings, self._ledger, self._claims.claims_on, served, Allowance(self._policies, self._claims.ports))
        self.autos = Autos(*autos) if settings.gives_ports else None
        """Those who ask for any port; None where there is none to give."""
        self._own = OwnPlaces(settings, self._claims.served_on)
        self._sections: SortedMap[Asker, RouteSection] = SortedMap()
        self._moves = Moves(self._entries, self._leads, self._sections)
        self._verdicts: SortedMap[Asker, Verdict] = SortedMap()
        self._outcome = Outcome(Model((), self._claims.shared_frontends()), self._verdicts.mapping())

    def anew(self) -> Admission:
        """Give one with the same settings that knows of no object yet, and only whom this replica serves; it takes the place of this one."""
        fresh = Admission(self._settings, self.memory(), self._ledger)
        if fresh.autos is not None and self.autos is not None:
            fresh.autos.pools.ready = self.autos.pools.ready
        fresh._references = References(self._references.last_good)
        return fresh

    def trial(self) -> Admission:
        """Give one like ``anew`` does, beside this one: to try what it raises."""
        return Admission(self._settings, self.memory())

    def hold(self, slot: Slot, obj: AskingObject | None) -> None:
        """Reject this very object, with the next update that names it, whatever it asks for; None: decide about it as about any.

        What it has is nobody else's meanwhile.
        """
        if obj is None:
            self._held.pop(slot, None)
        else:
            kind = KINDS[slot[0]]
            whole = Asker(kind.group, kind.kind, *obj.key, "", obj.metadata.uid)
            self._held[slot] = obj, left_out(whole, self._claims.served())
        self._gateways.hold(slot, is_held=obj is not None)
        self._to_read.add(slot)

    def update(self, objects: Objects, changes: Changes) -> Outcome:
        """Decide anew after a change.

        Args:
            objects: the objects as they are now.
            changes: the keys of all that changed since the last update; more than that does no harm.

        Returns:
            The outcome. Sections and verdicts that did not change are the same objects as before, and so is the outcome.
        """
        if not (self._is_new or self._to_read) and self._is_little(objects, changes):
            return self._publish()
        if self._is_new:
            self._is_new = False
            self._ledger.keep(key.name for key in objects.claims)
        refer = self._references.to(objects, changes) | self._gateways.update(objects, changes)
        self._to_read |= refer
        read, to_find = self._read_objects(objects, changes.askers | refer)
        for service in changes.services:
            to_find.update(self._leads.to(service))
        # Routers come and go as they are rolled out, so that a look at all servers is no cost of any tenant's change.
        if changes.routers and self._own.meet(objects.routers.values()):
            to_find |= self._loops.everybody() | leading_to(self._entries, self._own.addresses)
        policies = self._policies.take(objects, changes)
        to_find |= at_addresses(self._entries, policies) | (self._pairing.meet(objects, changes) & self._entries.keys())
        for asker in to_find:
            self._find_destination(asker, objects)
        for asker in self._name_book.take_turned() & self._entries.keys():
            self._find_destination(asker, objects)
            to_find.add(asker)
        for key in changes.claims:
            self._ledger.put(key.name, objects.claims.get(key))
        touched = self._ledger.take_touched()
        self._claims.touch(touched)
        self._claims.touch_policies(policies)
        decided = self._settle(touched, objects)
        # What is claimed does not depend on where it leads, so that this ends here.
        turned = self._loops.at(self._claims.take_turned_ports())
        for asker in turned:
            self._find_destination(asker, objects)
        noted = self._notes.meet(objects, changes.notes, self._entries) if changes.notes else frozenset()
        for asker in sorted(decided | to_find | turned | read | noted):
            self._conclude(asker)
        return self._publish()

    def _is_little(self, objects: Objects, changes: Changes) -> bool:
        """Take what is most of all changes, endpoints that move and statuses that were written, if these are nothing else."""
        if not changes.is_of_services or self._names.allowed or self._gateways.is_concerned(changes.services, objects):
            return changes.is_told and self._gateways.is_settled(changes.told)
        return self._moves.take(changes.services, partial(self._destination, objects=objects))

    def served(self) -> Mapping[Place, Asker]:
        """Give who has which port, and which host on a shared port, as last updated."""
        return self._claims.served()

    def memory(self) -> Mapping[Place, Asker]:
        """Give the same, and the ports of those who keep theirs while they cannot be served."""
        served = self._claims.served()
        return served if self.autos is None else {**self.autos.having(), **served}

    @property
    def proposed(self) -> Mapping[Place, Asker]:
        """What is to be claimed for those who ask for any port, as last updated; the same object until it is something else."""
        return self.autos.proposed if self.autos is not None else _NOBODY

    def askers_of(self, slot: Slot) -> tuple[Asker, ...]:
        """Give who asks by an object, as last updated; one that is not ours has nobody."""
        return self._read[slot][1] if slot in self._read else ()

    def _read_objects(self, objects: Objects, slots: Iterable[Slot]) -> tuple[set[Asker], set[Asker]]:
        """Read the objects that changed; give whose request is another, and of these whose destination must be found."""
        others: set[Asker] = set()
        to_find: set[Asker] = set()
        for slot in slots:
            obj, former = objects.asking(slot), self._read.get(slot)
            if former is not None and former[0] is obj and slot not in self._to_read:
                continue
            requests = self._requests(slot, obj, objects.credentials)
            self._references.put(slot, former[0] if former is not None else None, obj if requests else None)
            if obj is None or not requests:
                self._read.pop(slot, None)
            else:
                self._read[slot] = obj, tuple(request.asker for request in requests)
            gone = set(former[1]) if former is not None else set()
            for request in requests:
                gone.discard(request.asker)
                if self._takes(request):
                    others.add(request.asker)
                    if isinstance(request, Request):
                        to_find.add(request.asker)
            for asker in gone:
                self._drop(asker)
            others |= gone
            self._to_read.discard(slot)
        return others, to_find

    def _requests(
        self, slot: Slot, obj: AskingObject | None, credentials: Credentials
    ) -> tuple[Request | Verdict, ...]:
        kind = KINDS.get(slot[0])
        if kind is None or obj is None or not kind.is_ours(obj, self._settings):
            return ()
        held = self._held.get(slot)
        if held is not None and held[0] is obj:
            return held[1]
        if isinstance(obj, Gateway | ListenerSet | TlsRoute):
            return self._gateways.requests(slot)
        return kind.read(obj, self._settings, self._references.known(slot, obj, credentials))

    def _takes(self, request: Request | Verdict) -> bool:
        """Take note of what one asks for; say whether that is another than before."""
        asker = request.asker
        former = self._entries.get(asker)
        if former is not None and (former.request is request or former.request == request):
            # The object changed in something that we do not read, as it does with every write of a status.
            return False
        self._leads.put(asker, former.request if former else None, request)
        if former is not None:
            self._loops.leave(asker, former.destination)
        self._entries[asker] = Entry(request)
        if not isinstance(request, Request):
            self._claims.put(asker, Claim.left_out(asker, request.places) if request.places else None)
            self._name_book.put(asker, None, {})
            self._leave_autos(asker)
        return True

    def _drop(self, asker: Asker) -> None:
        entry = self._entries.pop(asker)
        self._leave_autos(asker)
        self._leads.put(asker, entry.request, None)
        self._loops.leave(asker, entry.destination)
        self._claims.put(asker, None)
        self._name_book.put(asker, None, {})

    def _destination(
        self, request: Request, former: Destination | Rejection, objects: Objects
    ) -> Destination | Rejection:
        return request.refused or find_destination(
            request,
            objects,
            names=self._names,
            is_looked_up=lambda name: self._name_book.allows(request.asker.namespace, name),
            loops=self._own.loops(),
            former=former,
        )

    def _find_destination(self, asker: Asker, objects: Objects) -> None:
        entry = self._entries[asker]
        if isinstance(entry.request, Verdict):
            return
        request = entry.request
        self._loops.leave(asker, entry.destination)
        if self._names.allowed:
            self._name_book.put(asker, request.created, names_of(request, objects, self._names))
        entry.destination = self._destination(request, entry.destination, objects)
        self._loops.enter(asker, entry.destination)
        if self.autos is not None and request.auto:
            may_use = self._address_use.refusal(asker.namespace, request.address) is None
            entry.withheld = request.withheld or self._pairing.withheld(request)
            is_ready = may_use and not isinstance(entry.destination, Rejection) and entry.withheld is None
            wish = Wish(request.created, request.address, is_ready, request.pool, request.wanted)
            self.autos.ask(asker, wish, self._claims.place_of(asker))
            # It has what it had, whatever else it asks for now, until something else is settled.
            entry.port = self.autos.port(asker)
        else:
            self._leave_autos(asker)
        self._claims.put(asker, entry.claim)

    def _leave_autos(self, asker: Asker) -> None:
        self._pairing.leave(asker)
        if self.autos is not None:
            self.autos.leave(asker)

    def _settle(self, touched: Touched, objects: Objects) -> set[Asker]:
        """Decide who has what; give those for whom that may be something else than before."""
        if self.autos is None:
            return self._claims.settle()
        can_remember, dirty = objects.remembers, self._claims.dirty_ports()
        moved = self._move(self.autos.settle(touched, dirty, can_remember=can_remember))
        decided = self._claims.settle()
        lost = {asker for asker in decided if self._claims.has_lost(asker) and self.autos.lose(asker)}
        if lost:
            moved |= self._move(lost | self.autos.settle(Touched(), frozenset(), can_remember=can_remember))
            decided |= self._claims.settle()
        chosen = self._move(self.autos.choose(is_settled_anew=bool(decided or touched.places)))
        return decided | moved | chosen | (self._claims.settle() if chosen else set())

    def _move(self, moved: set[Asker]) -> set[Asker]:
        """Let those who were given ports, or lost them, claim that."""
        for asker in moved:
            entry = self._entries[asker]
            entry.port = self.autos.port(asker) if self.autos is not None else None
            self._claims.put(asker, entry.claim)
        return moved

    def _conclude(self, asker: Asker) -> None:
        """Bring an asker's verdict and section up to date; an equal one stays the object that it was."""
        verdict: Verdict | None = None
        section: RouteSection | None = None
        if (entry := self._entries.get(asker)) is not None:
            outcome = self._claim_outcome(asker, entry)
            verdict, section = concluded(entry, outcome, self._settings.sni_port)
            verdict = self._notes.noted(verdict, entry.given)
        if verdict is None or verdict != self._verdicts.get(asker):
            self._verdicts.put(asker, verdict)
        if section is None or section != self._sections.get(asker):
            self._sections.put(asker, section)

    def _claim_outcome(self, asker: Asker, entry: Entry) -> ClaimOutcome:
        if self.autos is not None and entry.is_portless:
            refusal = self._address_use.refusal(asker.namespace, entry.request.address)
            return ClaimOutcome(rejection=entry.withheld or refusal or self.autos.rejection(asker))
        return self._claims.outcome(asker)

    def _publish(self) -> Outcome:
        routes, shared = self._sections.values(), self._gateways.lead(self._claims.shared_frontends())
        policy, model = self._policies.news, self._outcome.model
        if routes is not model.routes or shared is not model.shared or policy.limits != model.namespace_limits:
            model = Model(routes, shared, namespace_limits=policy.limits, advance=self._sections.advance)
        current = Outcome(model, self._verdicts.mapping(), self._name_book.wanted(), policy, self._gateways.states())
        if not current.is_same(self._outcome):
            self._outcome = current
        return self._outcome
