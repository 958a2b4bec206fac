"""What TCPRoutePolicies come to, in words: of one policy, and at a listener or a route."""

from __future__ import annotations

from collections.abc import Iterator

from router.admission.gateway.states import LISTENER_SET_KIND, AncestorState, PolicyState, StateKey
from router.admission.gateway.ways import gateway_of
from router.objects.gateway import Gateway, ListenerSet
from router.objects.gateway_objects import GatewayObjects
from router.objects.meta import ObjectKey
from router.objects.tcp_route_policy import POLICY_KIND, PolicyTarget, TcpRoutePolicy
from router.observe.explanation.facts import Facts, Wanted
from router.observe.explanation.in_force import (
    Level,
    Word,
    fields_in,
    level_of_route,
    levels_of_listener,
    words_on,
)
from router.observe.explanation.words import Explanation, State, Step

_MOST = 10
_ALL_ELSE = "all else is the router's"
_TODO = {
    "Conflicted": "Put both into one policy, or take the target out of one of them: of several for one target the oldest counts.",
    "TargetNotFound": "Look for the name of the target and of its listener (sectionName); targets are of the policy's own namespace.",
    "Invalid": "Mend what the message names. Until then nothing is led on by what the policy targets, for it may keep somebody out.",
}


def options_step(facts: Facts, levels: tuple[Level, ...], problem: str = "", rest: str = "") -> Iterator[Step]:
    """Give the step that says which policy set which option; none where no policy has a word.

    Args:
        facts: what is known.
        levels: the policies that hold, the most specific one first.
        problem: why they lead nobody anywhere; empty where they do not.
        rest: what is to be said of others; empty where there are none.
    """
    state: State = "unknown" if problem else "yes"
    steps = tuple(Step(path, state, _worded(words)) for path, words in words_on(levels))
    if problem:
        yield Step("options", "no", problem, steps)
    elif levels:
        names = ", ".join(dict.fromkeys(f"{level.policy.key} (of {level.place})" for level in levels))
        said = f"by {POLICY_KIND} {names}; {rest or _ALL_ELSE}"
        yield Step("options", "yes", said, steps)
    elif rest:
        yield Step("options", "yes", rest)
    elif facts.objects.gateway_api.policies:
        yield Step("options", "yes", f"no {POLICY_KIND} says anything: all options are the router's")


def withheld(api: GatewayObjects, *namespaces: str) -> str:
    """Say why policies of these namespaces are not known; empty where they are."""
    there = {key.namespace: each.problem for key, each in list(api.unread.items())}
    return next((there[each] for each in ("", *namespaces) if each in there), "")


def explain_policy(facts: Facts, wanted: Wanted) -> Explanation:
    """Give what a policy says, and what became of it at each of its targets."""
    api, key = facts.objects.gateway_api, ObjectKey(wanted.namespace, wanted.name)
    policy = api.policies.get(key)
    if policy is None:
        unknown = withheld(api, key.namespace)
        said = unknown or f"there is no {POLICY_KIND} {key} here"
        todo = "Look for its name and namespace (oc get tcppolicy -A), and whether the router may read policies."
        return wanted.explained(POLICY_KIND, "not there", [Step("object", "no", said)], (todo,), served=False)
    state = facts.gateway_api.get(StateKey(POLICY_KIND, *key))
    told = {each.ref: each for each in state.ancestors} if isinstance(state, PolicyState) else {}
    steps = [_object(policy), _says(policy), *(_target(api, policy, ref, told.get(ref)) for ref in _refs(policy))]
    reasons = [each.accepted.reason for each in told.values() if not each.accepted.holds]
    if not told:
        advice = (
            "Target a Gateway or ListenerSet of this router's class, a listener of one, or a route that one takes.",
        )
        return wanted.explained(POLICY_KIND, "left alone", steps, advice, served=False)
    verdict = "in force" if not reasons else "in force in part" if len(reasons) < len(told) else reasons[0]
    todos = tuple(_TODO[each] for each in dict.fromkeys(reasons) if each in _TODO)
    return wanted.explained(POLICY_KIND, verdict, steps, todos, served=not reasons)


def _object(policy: TcpRoutePolicy) -> Step:
    created = policy.metadata.creation_timestamp
    return Step("object", "yes", f"{POLICY_KIND} {policy.key} is there{f', since {created}' if created else ''}")


def _says(policy: TcpRoutePolicy) -> Step:
    if policy.problem:
        return Step("says", "no", f"spec cannot be read: {policy.problem}")
    steps = tuple(Step(path, "yes", value) for path, value in fields_in(policy).items())
    return Step("says", "yes", "what it sets, of what it targets:" if steps else "nothing: it sets no option", steps)


def _refs(policy: TcpRoutePolicy) -> tuple[PolicyTarget, ...]:
    return tuple(dict.fromkeys(policy.spec.target_refs))


def _target(api: GatewayObjects, policy: TcpRoutePolicy, ref: PolicyTarget, told: AncestorState | None) -> Step:
    section = f" listener {ref.section_name}" if ref.section_name else ""
    name = f"target {ref.kind} {ref.name}{section}"
    if told is None:
        return Step(name, "warning", "it is of no Gateway of this router: nothing is said of it")
    reason, message = told.accepted.reason, told.accepted.message
    if not told.accepted.holds:
        return Step(name, "no", f"{reason}: {message}")
    steps = tuple(_effects(api, policy, ref))
    return Step(name, "warning" if message else "yes", f"in force{f'; {message}' if message else ''}", steps[:_MOST])


def _effects(api: GatewayObjects, policy: TcpRoutePolicy, ref: PolicyTarget) -> Iterator[Step]:
    """Give what a policy does at each listener that it holds for, or for a route."""
    key = ObjectKey(policy.metadata.namespace, ref.name)
    if ref.kind not in {"Gateway", LISTENER_SET_KIND}:
        yield _effect(ref.kind, f"{ref.kind} {key}", policy, level_of_route(api, ref.kind, key))
        return
    for parent in _parents(api, ref.kind, key, whole=not ref.section_name):
        kind = LISTENER_SET_KIND if isinstance(parent, ListenerSet) else "Gateway"
        for listener in parent.spec.listeners or ():
            if ref.section_name in {None, "", listener.name}:
                levels = levels_of_listener(api, kind, parent.key, listener.name)
                yield _effect(f"listener {listener.name}", f"{kind} {parent.key}", policy, levels)


def _parents(api: GatewayObjects, kind: str, key: ObjectKey, *, whole: bool) -> Iterator[Gateway | ListenerSet]:
    found = (api.gateways if kind == "Gateway" else api.listener_sets).get(key)
    if found is not None:
        yield found
    if kind == "Gateway" and whole:
        yield from (each for _, each in sorted(api.listener_sets.items()) if gateway_of(each) == key)


def _effect(name: str, of: str, policy: TcpRoutePolicy, levels: tuple[Level, ...]) -> Step:
    counts, passed = [], []
    for path, words in words_on(levels):
        own = next((each for each in words if each.level.policy.key == policy.key), None)
        if own is not None and own.counts:
            counts.append(f"{path} {own.value}")
        elif own is not None:
            others = next(each.level.policy.key for each in words if each.counts)
            passed.append(f"{path} ({POLICY_KIND} {others} says otherwise)")
    said = "; ".join(filter(None, (", ".join(counts), f"passed over: {', '.join(passed)}" if passed else "")))
    return Step(name, "yes", f"of {of}: {said or 'nothing is set'}")


def _worded(words: tuple[Word, ...]) -> str:
    counting = [each for each in words if each.counts]
    said = "; and ".join(f"{each.value}, by {each.level.policy.key} (of {each.level.place})" for each in counting)
    together = "; who connects has to be in each" if len(counting) > 1 else ""
    passed = ", ".join(f"{each.value} of {each.level.policy.key}" for each in words if not each.counts)
    return f"{said}{together}{f'; passed over: {passed}' if passed else ''}"
