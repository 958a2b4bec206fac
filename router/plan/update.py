"""A plan in the making: Route by Route, then the shared ports.

Routes, or whoever else asks, are told apart by the names that their backends have or would have: HAProxy knows no others.
"""

from __future__ import annotations

from functools import cached_property, partial

from router.model import Model, RouteSection, SharedFrontend, SniHost, Spot
from router.model.stages import door
from router.ordered import Advance, differences
from router.plan import commands, owners
from router.plan.adding import added, led_back
from router.plan.commands import Command
from router.plan.difference import difference, ending, is_alike, is_led_alike, is_same_place, is_same_port
from router.plan.endings import change_endings, possible
from router.plan.gates import change_gates
from router.plan.hosts import change_hosts, that_can_be
from router.plan.leaving import LeavingDraft, ServerName
from router.plan.outcome import NoChange, Plan, Reload, ReloadCause, ReloadReason, RuntimeUpdate
from router.plan.partly import partly
from router.plan.places import Places
from router.plan.running import Running
from router.plan.section_text import SectionText
from router.plan.step import Step, networks_of
from router.plan.texts import Texts


class Update:
    """One plan in the making.

    Commands come in this order: Routes that are gone are closed; new servers are added; connections are led to them; servers
    that others took the place of are retired. So a Route that only changes is without a server at no moment, and none ever
    meets another Route's connections.
    """

    def __init__(self, running: Running, texts: Texts) -> None:
        self._running = running
        self._texts = texts
        self._gates = dict(running.gates)
        self._leaving = LeavingDraft(running.leaving)
        self._networks = dict(running.networks)
        self._closing: list[Command] = []
        self._unmapping: list[Command] = []
        self._opening: list[Command] = []
        self._leading: list[Command] = []
        self._retiring: list[Command] = []
        self._back: list[ServerName] = []
        self._relocated: set[str] = set()
        self._removed: set[str] = set()
        self._vacated: list[RouteSection] = []
        """Places of the pool that are free when all is done, and not before."""
        self._kept: dict[str, RouteSection | None] = {}
        """Routes that need a reload, and the sections by which they are served until then."""
        self._kept_shared: dict[Spot, SharedFrontend | None] = {}
        self._hosts: dict[Spot, tuple[SniHost, ...]] = {}
        self._reasons: set[ReloadReason] = set()
        self._new_sections = False
        self._changed = False

    @cached_property
    def _places(self) -> Places:
        return Places(self._running)

    def routes(self, desired: tuple[RouteSection, ...], advance: Advance[RouteSection] | None = None) -> None:
        """Plan for the Routes; ``advance`` may say how these came from others."""
        before, after = differences(self._running.model.routes, desired, advance)
        former = {section.backend.name: section for section in before}
        wanted = {section.backend.name: section for section in after}
        for name, section in former.items():
            if name not in wanted:
                self._changed = True
                self._remove(name, section)
        for name, section in wanted.items():
            there = former.get(name)
            if there is None:
                self._changed = True
                self._add(name, section)
            elif there.backend.servers != section.backend.servers or there != section:
                self._changed = True
                self._change(name, there, section)

    def _remove(self, name: str, section: RouteSection) -> None:
        step = self._closed_step(name, section)
        if step is None:
            self._keep(section, section, ReloadCause.ROUTE_REMOVED)
            return
        self._closing += step.leading + step.retiring
        self._leaving.add(step.leaving)
        moved = self._places.forget(name)
        if moved is not None:
            self._places.release(moved)
        self._removed.add(name)

    def _closed_step(self, name: str, section: RouteSection, after: RouteSection | None = None) -> Step | None:
        """Give what takes a Route, named by its backend, out of the place that serves it; ``after`` is what it shall be elsewhere."""
        place = self._running.place(name)
        is_slot = place is not None and place.slot is not None
        # Where a place of the pool serves it, its own section has not been needed so far.
        moved = self._running.moved.get(name)
        text = self._texts.text_in_place(section, moved) if moved is not None else self._texts.text(section)
        place_text = self._texts.text(place) if place is not None and is_slot else None
        if text is None or place is None:
            return None
        step = Step(place, self._leaving, text.goes_by_ids)
        step.close_port()
        if name in self._running.moved:
            step.retiring += owners.disown(self._running.owners_file, place)
        else:
            step.leading += led_back(self._running, name)
        if place_text is not None:
            # Nobody's key stays in it.
            step.retiring += step.certificate(place_text, place_text)
        step.change_servers(text, None, ending(section, after) if after is not None else ())
        return step

    def _add(self, name: str, section: RouteSection) -> None:
        if not self._open(name, section):
            self._keep(section, None, ReloadCause.ROUTE_ADDED)

    def _open(self, name: str, section: RouteSection) -> bool:
        """Serve a Route by a place that nobody uses, if there is one that is just as the Route's own would be."""
        own = self._places.own(name)
        if own is not None and is_same_port(own, section):
            place_text, text = self._texts.text(own), self._texts.text(section)
            step = self._opened_step(own, place_text, text)
            if step is not None:
                if name in self._running.left:
                    step.opening.append(commands.publish_backend(name))
                self._places.reopen(name)
                self._take(step)
                return True
        if section.frontend is None and self._added(name, section):
            return True
        place = self._places.free_for(section)
        text = self._texts.text_in_place(section, place) if place is not None else None
        step = self._opened_step(place, self._texts.text(place), text) if place is not None else None
        if place is None or step is None:
            return self._places.port_for(section) is not None and self._added(name, section)
        step.opening += owners.own(self._running.owners_file, place, name)
        self._places.take(name, place)
        self._take(step)
        return True

    def _added(self, name: str, section: RouteSection) -> bool:
        """Serve a Route by a backend that is added for it."""
        step = added(self._running, self._texts, self._places, self._leaving, section)
        if step is None:
            return False
        step.open_port()
        self._places.add(name, section)
        self._take(step)
        self._new_sections = True
        return True

    def _opened_step(
        self, place: RouteSection, place_text: SectionText | None, text: SectionText | None
    ) -> Step | None:
        if place_text is None or text is None or place_text.fixed != text.fixed:
            return None
        step = Step(place, self._leaving, text.goes_by_ids)
        lets_in = step.set_networks(place_text, self._networks.get(door(step.place)), text)
        if not lets_in or not step.set_certificate(place_text, text) or not self._places.can_tell(text.authorities):
            return None
        step.tell_authorities(text, self._places.known_authorities)
        if not step.change_servers(None, text):
            return None
        step.open_port()
        self._new_sections = True
        return step

    def _change(self, name: str, before: RouteSection, after: RouteSection) -> None:
        if is_led_alike(before, after) and self._change_in_place(name, before, after):
            return
        # It keeps its place until it is served by another one.
        closed = self._closed_step(name, before, after) if not is_same_place(before, after) else None
        goes = closed is not None and (self._switch(name, closed, after) or self._relocate(name, closed, after))
        if goes or self._lead_on(name, before, after):
            return
        self._keep(after, before, difference(before, after))

    def _switch(self, name: str, closed: Step, after: RouteSection) -> bool:
        """Have TLS end, or not any more, for a port of the pool: it is closed as long as that takes, which is no time at all."""
        place = self._places.moved.get(name)
        port, wanted = place.frontend if place is not None else None, after.frontend
        if place is None or port is None or wanted is None or port.spot != wanted.spot:
            return False
        kept, leaving = self._places.kept(), self._leaving.kept()
        self._places.forget(name)
        self._places.release(place)
        self._leaving.add(closed.leaving)
        if self._open(name, after):
            self._closing += closed.leading + closed.retiring
            self._relocated.add(name)
            return True
        self._leaving.restore(leaving)
        self._places.restore(kept)
        return False

    def _relocate(self, name: str, closed: Step, after: RouteSection) -> bool:
        """Serve a Route by another place; the one that it has is closed when it is."""
        kept = self._places.kept()
        former = self._places.forget(name)
        if self._open(name, after):
            self._retiring += closed.leading + closed.retiring
            self._leaving.add(closed.leaving)
            self._relocated.add(name)
            self._vacated += [former] if former is not None else []
            return True
        self._places.restore(kept)
        return False

    def _lead_on(self, name: str, before: RouteSection, after: RouteSection) -> bool:
        """Have a port of the pool lead to a backend that is added, in the place of its own one."""
        place = self._places.moved.get(name)
        if place is None or place.slot is not None or place.frontend is None or place.frontend != after.frontend:
            return False
        step = added(self._running, self._texts, self._places, self._leaving, after)
        closed = self._closed_step(name, before, after) if step is not None else None
        if step is None or closed is None:
            return False
        self._places.forget(name)
        self._places.release(place)
        self._places.add(name, after)
        self._take(step)
        self._retiring += closed.retiring
        self._leaving.add(closed.leaving)
        self._relocated.add(name)
        self._new_sections = True
        return True

    def _change_in_place(self, name: str, before: RouteSection, after: RouteSection) -> bool:
        place = self._running.place(name)
        text_before, text = self._texts.text(before), self._texts.text_after(before, after)
        if place is None or text_before is None or text is None or not is_alike(before, after):
            return False
        place_text: SectionText | None = None
        shows_another = (text.certificate, text.clients) != (text_before.certificate, text_before.clients)
        if text.fixed != text_before.fixed or networks_of(text) != networks_of(text_before) or shows_another:
            place_text = self._texts.text(place)
            if name in self._running.moved:
                text_before = self._texts.text_in_place(before, place)
                text = self._texts.text_in_place(after, place)
            if place_text is None or text_before is None or text is None or text.fixed != place_text.fixed:
                return False
        step = Step(place, self._leaving, text.goes_by_ids)
        if place_text is not None and not step.set_networks(place_text, self._networks.get(door(step.place)), text):
            return False
        if place_text is not None and shows_another:
            if not step.set_certificate(place_text, text, text_before):
                return False
            self._new_sections = True
        if not step.change_servers(text_before, text, ending(before, after)):
            return False
        self._take(step)
        return True

    def _take(self, step: Step) -> None:
        self._opening += step.opening
        self._leading += step.leading
        self._retiring += step.retiring
        self._leaving.take_back(step.back)
        self._back += step.back
        self._leaving.add(step.leaving)
        if step.authorities:
            self._places.more_authorities |= step.authorities
        if step.networks is not None:
            self._networks[door(step.place)] = step.networks

    def _keep(self, asked: RouteSection, section: RouteSection | None, cause: ReloadCause) -> None:
        self._kept[asked.backend.name] = section
        self._reasons.add(ReloadReason(cause, f"{asked.namespace}/{asked.route}"))

    def shared(self, desired: tuple[SharedFrontend, ...]) -> None:
        """Plan for the shared ports, after the Routes."""
        if desired is self._running.model.shared and not self._relocated:
            return
        both = self._running.model.shared, desired
        # Hosts of a port that is what it was lead elsewhere only with Routes that moved, or wait.
        both = both if self._relocated or self._kept else differences(*both)
        before, after = ({shared.spot: shared for shared in ports} for ports in both)
        for spot in before.keys() ^ after.keys():
            self._keep_shared(spot, before.get(spot), ReloadCause.PORT_CHANGED)
        for spot in before.keys() & after.keys():
            if before[spot].ips != after[spot].ips:
                self._keep_shared(spot, before[spot], ReloadCause.ADDRESS_CHANGED)
            elif before[spot].options != after[spot].options:
                self._keep_shared(spot, before[spot], ReloadCause.OPTIONS_CHANGED)
        for spot, shared in before.items():
            self._change_hosts(shared, after.get(spot))

    def _keep_shared(self, spot: Spot, shared: SharedFrontend | None, cause: ReloadCause) -> None:
        self._kept_shared[spot] = shared
        self._reasons.add(ReloadReason(cause, str(spot)))

    def _change_hosts(self, shared: SharedFrontend, desired: SharedFrontend | None) -> None:
        spot, before, advance = shared.spot, shared.hosts, desired.advance if desired else None
        # Also of a port that waits for a reload: the places that its hosts lead to may be another Route's soon.
        after = desired.hosts if desired else tuple(host for host in before if host.backend not in self._removed)
        if self._kept:
            after = that_can_be(before, after, self._kept)
        files, gates = self._running.ending_files.get(spot), self._gates.get(spot)
        if (hosts := possible(files, gates, before, after, self._removed, advance)) is not after and hosts != after:
            self._reasons.add(ReloadReason(ReloadCause.PORT_CHANGED, str(spot)))
        self._hosts[spot] = after = hosts
        removed, added = differences(before, after, advance)
        file = self._running.hosts_files[spot]
        unmapping, leading = change_hosts(file, removed, added, after, self._relocated, self._backend)
        if files is not None:
            shut, opening, retiring = change_endings(files, partial(self._texts.certificate_line, spot), removed, added)
            unmapping += shut
            self._new_sections |= bool(opening)
            self._opening += opening
            self._retiring += retiring
        if gates is not None:
            change = change_gates(gates, partial(self._texts.gate_line, spot), removed, added)
            self._new_sections |= bool(change.opening)
            unmapping += change.unmapping
            self._opening += change.opening
            leading = change.leading + leading + change.naming
            self._retiring += change.retiring
            self._gates[spot] = change.after
        self._changed |= {host.host: host for host in removed} != {host.host: host for host in added}
        self._unmapping += unmapping
        self._leading += leading

    def _backend(self, host: SniHost) -> str:
        moved = self._places.moved.get(host.backend)
        return moved.backend.name if moved is not None else host.backend

    def result(self, desired: Model) -> Plan:
        """Give the plan."""
        reasons = tuple(sorted(self._reasons))
        for place in self._vacated:
            self._places.release(place)
        todo = (*self._unmapping, *self._closing, *self._opening, *self._leading, *self._retiring)
        if not reasons and not self._changed:
            return NoChange()
        update = RuntimeUpdate(todo, partial(self._after, desired), self._new_sections, tuple(self._back))
        return Reload(reasons, update if todo else None) if reasons else update

    def _after(self, desired: Model) -> Running:
        former = self._running.model
        model = Model(desired.routes, desired.shared, former.pool, desired.saved, desired.namespace_limits)
        if self._reasons:
            model = partly(desired, former, self._kept, self._kept_shared, self._hosts)
        return self._places.afterwards(model, self._leaving.done(), self._networks, self._gates)
