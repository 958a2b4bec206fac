"""What is told of listeners of Gateways and ListenerSets, of the routes that these lead on to, and of routes, which claim nothing themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from router.admission import Verdict
from router.admission.gateway.attachment import attach, parent_of
from router.admission.gateway.backends import services_of
from router.admission.gateway.listeners import KINDS_OF, views
from router.admission.gateway.merging import age_of
from router.admission.gateway.states import (
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    SERVES,
    ParentState,
    RouteState,
    Said,
    StateKey,
)
from router.admission.gateway.things import labels_in
from router.model import Asker
from router.objects.gateway import Gateway, ListenerSet, ParentRef, TcpRoute, TlsRoute
from router.objects.meta import ObjectKey
from router.observe.explanation.facts import TCP_ROUTE, TLS_ROUTE, Facts, Wanted
from router.observe.explanation.in_force import Level, level_of_route, levels_of_listener
from router.observe.explanation.pods import services_shown
from router.observe.explanation.policies import options_step, withheld
from router.observe.explanation.words import Explanation, State, Step, worst

_MANY = 10
_OF_POLICIES = frozenset({"PolicyInvalid", "PoliciesNotRead"})
"""Reasons of ``Serves``."""
_Parent = Gateway | ListenerSet
_Route = TcpRoute | TlsRoute


def leads_by_names(obj: object, asker: Asker) -> bool:
    """Say whether it is a listener from which TLSRoutes lead on, so that it has no pods of its own."""
    return isinstance(obj, _Parent) and any(
        each.name == asker.section and each.protocol == "TLS" for each in obj.spec.listeners or ()
    )


def led_on(facts: Facts, obj: _Parent, asker: Asker) -> Step:
    """Give the step from a listener to the routes that it takes, and which of them have its connections."""
    kind = TLS_ROUTE if leads_by_names(obj, asker) else TCP_ROUTE
    there = sorted(_taken(facts, obj, asker.section, kind), key=lambda each: age_of(each[0].metadata))
    if not there:
        lost = ", whatever name they ask for" if kind == TLS_ROUTE else ""
        return Step("routes", "no", f"no {kind} leads on from it: clients are refused{lost}")
    told = [(route, _serves(facts, kind, route, ref)) for route, ref in there]
    others = [(route, said) for route, said in told if said is not None and not said.holds]
    served = [route for route, said in told if said is None or said.holds]
    steps = tuple(Step(f"{kind} {route.key}", "warning", f"{said.reason}: {said.message}") for route, said in others[:_MANY])  # fmt: skip
    if not served:
        return Step("routes", "no", f"none of its {kind}s is led to", steps)
    names = _listed(str(route.key) for route in served)
    rest = f"; {len(others)} more get nothing" if others else ""
    if kind == TCP_ROUTE:
        return Step("routes", "yes", f"its connections go to {kind} {names}{rest}", steps)
    return Step("routes", "yes", f"by the name that clients ask for it leads on to {kind} {names}{rest}", steps)


def served_by(facts: Facts, obj: _Parent, asker: Asker) -> tuple[Level, ...]:
    """Give the policies that connections of a listener are served by, the most specific first: those of a TCP port are all of one route, which may have its own."""
    own = levels_of_listener(facts.objects.gateway_api, asker.kind, obj.key, asker.section)
    if leads_by_names(obj, asker):
        return own
    there = sorted(_taken(facts, obj, asker.section, TCP_ROUTE), key=lambda each: age_of(each[0].metadata))
    told = ((route, _serves(facts, TCP_ROUTE, route, ref)) for route, ref in there)
    served = next((route for route, said in told if said is None or said.holds), None)
    return (*level_of_route(facts.objects.gateway_api, TCP_ROUTE, served.key), *own) if served is not None else own


def options_of(facts: Facts, kind: str, route: _Route) -> Iterator[Step]:
    """Give the step that says which policy set which option for a route's connections: its own one, then those of the listeners that took it."""
    api, namespace = facts.objects.gateway_api, route.metadata.namespace
    own = level_of_route(api, kind, route.key)
    at = dict.fromkeys(levels_of_listener(api, *place) for place in _places(facts, kind, route))
    conditions = (said for each in _told(facts, kind, route.key) for said in each.conditions)
    problem = next((each.message for each in conditions if each.type == SERVES and each.reason in _OF_POLICIES), "")
    if len(at) == 1:
        return options_step(facts, (*own, *next(iter(at))), withheld(api, namespace) or problem)
    rest = "its listeners have several, which explain tells of each" if at else ""
    return options_step(facts, own, withheld(api, namespace) or problem, rest)


def _places(facts: Facts, kind: str, route: _Route) -> Iterator[tuple[str, ObjectKey, str]]:
    """Give the listeners that took a route: kind and key of what has it, and its name."""
    api = facts.objects.gateway_api
    for ref in route.spec.parent_refs or ():
        parent = parent_of(ref, route.metadata.namespace)
        if parent is None:
            continue
        key = ObjectKey(parent.namespace, parent.name)
        obj: _Parent | None = (api.listener_sets if parent.kind == LISTENER_SET_KIND else api.gateways).get(key)
        if obj is None:
            continue
        for listener in obj.spec.listeners or ():
            if any(each.key == route.key for each, _ in _taken(facts, obj, listener.name, kind, (route,))):
                yield parent.kind, key, listener.name


def led_to(facts: Facts, route: TlsRoute, verdict: Verdict | None) -> Step:
    """Give the step from listeners to a TLSRoute; its verdict is None where no listener of ours takes it."""
    refs = [f"{each.namespace or route.metadata.namespace}/{each.name}" for each in route.spec.parent_refs or ()]
    asked = f"it asks for {', '.join(refs)}" if refs else "it names no Gateway in parentRefs"
    steps = tuple(_parents_told(facts, TLS_ROUTE, route.key))
    if verdict is None:
        return Step("gateways", "no", f"no listener of a Gateway of this router takes it; {asked}", steps)
    names = f", for the names {', '.join(route.spec.hostnames)}" if route.spec.hostnames else ""
    if not verdict.admitted:
        return Step("gateways", "no", verdict.message, steps)
    said = f"{asked}{names}, and is taken; it claims no port itself"
    return Step("gateways", "warning" if worst(steps) != "yes" else "yes", said, steps)


def explain_tcp_route(facts: Facts, wanted: Wanted) -> Explanation:
    """Give the way from a TCPRoute's parents to its Services; its pods are those of the listeners that lead to it."""
    key = ObjectKey(wanted.namespace, wanted.name)
    route = facts.objects.gateway_api.tcp_routes.get(key)
    if route is None:
        steps = [Step("object", "no", f"there is no {TCP_ROUTE} {key} here")]
        return wanted.explained(TCP_ROUTE, "not there", steps, ("Look for its name and namespace.",), served=False)
    created = route.metadata.creation_timestamp
    steps = [Step("object", "yes", f"{TCP_ROUTE} {key} is there{f', since {created}' if created else ''}")]
    told = tuple(_parents_told(facts, TCP_ROUTE, key))
    if not told:
        refs = _listed(f"{each.namespace or key.namespace}/{each.name}" for each in route.spec.parent_refs or ())
        said = f"it is of no Gateway of this router; it asks for {refs or 'none'}"
        steps.append(Step("gateways", "no", said))
        advice = ("Name a Gateway of this router's class, or a ListenerSet of one, in parentRefs.",)
        return wanted.explained(TCP_ROUTE, "left alone", steps, advice, served=False)
    served = any(each.state != "no" for each in told)
    steps.append(Step("gateways", "yes" if all(each.state == "yes" for each in told) else "warning" if served else "no", "what its parents say", told))  # fmt: skip
    steps.extend(options_of(facts, TCP_ROUTE, route))
    shown = tuple(services_shown(facts, services_of(route.spec.rules, key.namespace)))
    steps.append(Step("pods", "warning" if worst(shown) != "yes" else "yes", "its Services", shown))
    todo = (
        ()
        if served
        else ("See what its parents say; explain of the Gateway's listener shows who has its connections.",)
    )
    verdict = ("served" if facts.runs else "would be served") if served else "not served"
    return wanted.explained(TCP_ROUTE, verdict, steps, todo, served=served)


def _taken(
    facts: Facts, obj: _Parent, section: str, kind: str, among: Iterable[_Route] | None = None
) -> Iterator[tuple[_Route, ParentRef]]:
    """Give the routes of a kind that a listener takes, by whichever parentRef; of all, or among some."""
    api, parent = facts.objects.gateway_api, _key(obj)
    seen = views(obj.spec.listeners or (), KINDS_OF, may_end_tls=True)
    labels_of = labels_in(facts.objects)
    routes: list[_Route] = [*list(api.tls_routes.values())] if kind == TLS_ROUTE else [*list(api.tcp_routes.values())]
    for route in routes if among is None else among:
        hostnames = route.spec.hostnames if isinstance(route, TlsRoute) else None
        for ref in route.spec.parent_refs or ():
            if parent_of(ref, route.metadata.namespace) != parent:
                continue
            if section in attach(ref, kind, route.metadata.namespace, parent, seen, labels_of, hostnames).listeners:
                yield route, ref
                break


def _key(obj: _Parent) -> StateKey:
    return StateKey(LISTENER_SET_KIND if isinstance(obj, ListenerSet) else GATEWAY_KIND, *obj.key)


def _told(facts: Facts, kind: str, key: ObjectKey) -> tuple[ParentState, ...]:
    state = facts.gateway_api.get(StateKey(kind, *key))
    return state.parents if isinstance(state, RouteState) else ()


def _serves(facts: Facts, kind: str, route: _Route, ref: ParentRef) -> Said | None:
    """Give what a route is told of connections by one of its parentRefs; None where nothing is."""
    conditions = (said for each in _told(facts, kind, route.key) if each.ref == ref for said in each.conditions)
    return next((each for each in conditions if each.type == SERVES), None)


def _parents_told(facts: Facts, kind: str, key: ObjectKey) -> Iterator[Step]:
    """Give what a route is told of each of its parents."""
    for each in _told(facts, kind, key):
        ref = each.ref
        section = f" listener {ref.section_name}" if ref.section_name else ""
        port = f" port {ref.port}" if ref.port else ""
        bad = [said for said in each.conditions if not said.holds]
        serves = any(said.type == SERVES and said.holds for said in each.conditions)
        said = "; ".join(f"{said.reason}: {said.message}" for said in bad) or "it is served there"
        state: State = "yes" if not bad else "warning" if serves else "no"
        yield Step(f"{ref.kind} {ref.namespace or key.namespace}/{ref.name}{section}{port}", state, said)


def _listed(names: Iterable[str]) -> str:
    there = list(names)
    more = f" and {len(there) - _MANY} more" if len(there) > _MANY else ""
    return f"{', '.join(there[:_MANY])}{more}"
