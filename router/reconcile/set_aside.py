"""Leave out of the model what HAProxy refused or could not bind, so that everything else is served; pure.

A Route or port is set aside after HAProxy, or the kernel, said no to it. It is tried again when its Route changes, and with
growing pauses; who decides when is the controller.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter

import msgspec

from router.admission import Outcome, Verdict
from router.admission.verdicts import Reason
from router.model import Asker, Model, RouteSection, SharedFrontend, Spot
from router.ordered import replaced
from router.reconcile.listening import Listening


@dataclass(frozen=True, slots=True)
class Aside:
    """Why something is set aside, as its Route's verdict will say it."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Former:
    """What is served of a Route in the place of what it asks for now, and why."""

    section: RouteSection
    message: str


@dataclass(frozen=True, slots=True)
class Asides:
    """What is set aside: whole Routes, and ports (a dedicated port costs its Route, a shared one those that need it)."""

    routes: Mapping[Asker, Aside]
    ports: Mapping[Spot, Aside]
    former: Mapping[Asker, Former] = field(default_factory=dict)
    """Routes that are served as they were before."""

    def __bool__(self) -> bool:
        return bool(self.routes or self.ports or self.former)

    def all(self) -> Iterator[Aside]:
        """Give every refusal, those of Routes first."""
        yield from self.routes.values()
        yield from self.ports.values()


NOTHING_ASIDE = Asides({}, {})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a Route asks of HAProxy, whatever its endpoints are.

    Equal Asks are refused alike, whatever else was written to the Route: its status, labels, other annotations.
    """

    section: RouteSection
    """Without servers, and without checks, which HAProxy may have to do without (see ``router.reconcile.room``)."""
    spot: Spot | None
    host: str | None
    certificate: str = ""
    """Which is shown under the host, in words."""


def ask_of(outcome: Outcome, asker: Asker) -> Ask | None:
    """Give what an asker asks for; None if it is not to be served, or gone."""
    place = bisect_left(outcome.model.routes, asker, key=asker_of)
    found = outcome.model.routes[place : place + 1]
    if not found or found[0].asker != asker:
        return None
    return ask_for(found[0], outcome)


def ask_for(section: RouteSection, outcome: Outcome) -> Ask:
    """Give what is asked for by a section."""
    verdict = outcome.verdicts[section.asker]
    bare = replace(section, backend=replace(section.backend, servers=(), check_interval_ms=0))
    spot = Spot(verdict.port, verdict.address) if verdict.port is not None else None
    return Ask(bare, spot, verdict.host, verdict.certificate)


def without(outcome: Outcome, refusals: Asides, listening: Listening | None = None) -> Outcome:
    """Give the outcome as it is with these refusals: less in the model, and their Routes rejected.

    A Route that is set aside keeps its claim, because claims follow from the objects alone (docs/admission.md).

    Args:
        outcome: what would be served.
        refusals: what is not.
        listening: who is reached where in the outcome; without it that is found out, by a look at all Routes.
    """
    if refusals.former:
        outcome = _as_before(outcome, refusals.former)
    if not (refusals.routes or refusals.ports):
        return outcome
    if not refusals.ports:
        return _without_routes(outcome, refusals.routes)
    refused: dict[Asker, Aside] = {}
    for asker, spot in (listening or Listening(outcome.model)).cost_by(refusals.ports):
        if spot is None:
            # Reached through shared ports only, and none of them is left: its external port, else the SNI port.
            verdict = outcome.verdicts[asker]
            named = refusals.ports.get(Spot(verdict.port, verdict.address)) if verdict.port is not None else None
            refused[asker] = named or next(iter(refusals.ports.values()))
        else:
            refused[asker] = refusals.ports[spot]
    shared = tuple(frontend for frontend in outcome.model.shared if frontend.spot not in refusals.ports)
    if len(shared) < len(outcome.model.shared):
        outcome = msgspec.structs.replace(outcome, model=replace(outcome.model, shared=shared))
    return _without_routes(outcome, {**refused, **refusals.routes})


def may_stay(former: RouteSection, current: RouteSection) -> bool:
    """Say whether a Route may be served for a while as it was, though it asks for something else: at the same place, and to nobody more."""

    def bounds(section: RouteSection) -> tuple[object, ...]:
        frontend, backend = section.frontend, section.backend
        at = (frontend.spot, frontend.tls, frontend.options.accept_proxy) if frontend is not None else None
        return at, backend.allowlist, backend.connection_limit, backend.tls

    return bounds(former) == bounds(current)


def _as_before(outcome: Outcome, former: Mapping[Asker, Former]) -> Outcome:
    """Give the outcome with these Routes as they were, but for their endpoints."""
    routes = list(outcome.model.routes)
    verdicts: dict[Asker, Verdict] = {}
    for key, each in former.items():
        place = bisect_left(routes, key, key=asker_of)
        if routes[place : place + 1] and routes[place].asker == key:
            servers = routes[place].backend.servers
            routes[place] = replace(each.section, backend=replace(each.section.backend, servers=servers))
            warnings = (*outcome.verdicts[key].warnings, f"this is served as it was before: {each.message}")
            verdicts[key] = replace(outcome.verdicts[key], warnings=warnings)
    model = replace(outcome.model, routes=tuple(routes))
    return msgspec.structs.replace(outcome, model=model, verdicts=replaced(outcome.verdicts, verdicts))


def _without_routes(outcome: Outcome, refused: Mapping[Asker, Aside]) -> Outcome:
    """Give the outcome without these Routes.

    Everybody's changes come through here as long as one Route is refused, so the cost is that of the refused and of copies.
    """
    routes, shared = list(outcome.model.routes), outcome.model.shared
    verdicts: dict[Asker, Verdict] = {}
    for key in sorted(refused, reverse=True):
        place = bisect_left(routes, key, key=asker_of)
        if routes[place : place + 1] and routes[place].asker == key:
            del routes[place]
            verdict = outcome.verdicts[key]
            shared = _without_host(shared, key, verdict.host)
            refusal = refused[key]
            verdicts[key] = replace(
                verdict, reason=refusal.reason, message=refusal.message, warnings=(), set_aside=True
            )
    model = replace(outcome.model, routes=tuple(routes), shared=shared)
    return msgspec.structs.replace(outcome, model=model, verdicts=replaced(outcome.verdicts, verdicts))


def _without_host(
    frontends: tuple[SharedFrontend, ...], asker: Asker, displayed: str | None
) -> tuple[SharedFrontend, ...]:
    if displayed is None:
        return frontends
    name = displayed.removeprefix("*")
    left = list(frontends)
    for number, frontend in enumerate(frontends):
        place = bisect_left(frontend.hosts, name, key=_host)
        for host in frontend.hosts[place : place + 1]:
            if (host.host, host.asker) == (name, asker):
                left[number] = replace(frontend, hosts=(*frontend.hosts[:place], *frontend.hosts[place + 1 :]))
    return tuple(left)


def served_but_rejected(served: Model, refusals: Asides) -> list[str]:
    """Give why Routes and shared ports that are served would not be any more, each reason once."""
    routes = {section.asker for section in served.routes}
    shared = {frontend.spot for frontend in served.shared}
    lost = [refusal for key, refusal in refusals.routes.items() if key in routes]
    lost += [refusal for spot, refusal in refusals.ports.items() if spot in shared]
    return list(dict.fromkeys(refusal.message for refusal in lost if refusal.reason is Reason.CONFIG_REJECTED))


_host = attrgetter("host")
asker_of = attrgetter("asker")
