"""From facts to the way of one asker."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from router.admission import Verdict
from router.admission.gateway.states import GatewayState, ListenerSetState, StateKey
from router.admission.near_keys import left_alone, near_keys
from router.admission.options import PREFIX, ROUTER_NAME, WZH_ROUTER_NAME
from router.admission.remedies import REMEDIES
from router.admission.verdicts import Reason
from router.model import Asker
from router.objects.gateway import Gateway, ListenerSet, TlsRoute
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.objects.porter import TransportServerClaim
from router.objects.portnote import PortNote
from router.observe.explanation.claims import claims_shown
from router.observe.explanation.facts import BESIDE, EXPLAINED, TCP_ROUTE, Facts, Wanted
from router.observe.explanation.gateways import explain_tcp_route, leads_by_names, led_on, led_to, options_of, served_by
from router.observe.explanation.pods import OF_PODS, lead
from router.observe.explanation.policies import explain_policy, options_step
from router.observe.explanation.words import Explanation, Step

_OF_ANNOTATIONS = frozenset({
    Reason.INVALID_PORT, Reason.INVALID_ANNOTATION, Reason.INVALID_SOURCE_RANGES, Reason.INVALID_HOST, Reason.ROUTE_NOT_ADMITTED,
    Reason.INVALID_SPEC, Reason.LEFT_TO_OTHERS, Reason.LISTENER_NOT_TAKEN,
})  # fmt: skip
_OF_NAMESPACE = frozenset(
    {Reason.PORT_NOT_ALLOWED, Reason.PORT_QUOTA_EXCEEDED, Reason.ADDRESS_NOT_ALLOWED, Reason.PORT_RESERVED}
)
_OF_CLAIM = frozenset({
    Reason.PORT_ALREADY_CLAIMED, Reason.HOST_ALREADY_CLAIMED, Reason.ALLOCATING, Reason.NO_PORT_FREE, Reason.CLAIMS_UNAVAILABLE,
    Reason.PAIRING,
})  # fmt: skip
_OF_TLS = frozenset({
    Reason.UNSUPPORTED_TERMINATION, Reason.EXTENDED_VALIDATION_FAILED, Reason.CERTIFICATE_MISSING, Reason.CLIENT_CA_INVALID,
    Reason.EXTERNAL_CERTIFICATE_VALIDATION_FAILED, Reason.EXTERNAL_CERTIFICATE_GET_FAILED,
})  # fmt: skip
_BEFORE_POLICY = _OF_ANNOTATIONS | _OF_TLS | OF_PODS
_UNDECIDED = "not decided yet, because another step is not well"
_UNREACHED = (
    "The pods are ready, and HAProxy cannot connect to them: look whether they listen on that port on all addresses, and whether a "
    "NetworkPolicy keeps the router out (tcp-router network-policy prints the one that lets it in)."
)
_ROUTES_TOLD = "Mend what is said of its routes; explain of each shows its way."
_NEXT = {
    "options": "Mend the policy that is named: until then nobody is led on, for it may keep somebody out.",
    "routes": "Make a TCPRoute (of a listener of protocol TCP) or a TLSRoute (TLS) with this Gateway or ListenerSet, and this listener, in its parentRefs; its status.parents say what became of it.",
    "pods": "See to it that the Service has the port and ready pods: oc get service,endpointslice,pod.",
    "servers": _UNREACHED,
}
"""What to do where a step is not well; of several, about the first."""
_MANY = 3
_NETWORK_POLICY = "NetworkPolicyMayBlock"


def explain(facts: Facts, wanted: Wanted) -> tuple[Explanation, ...]:
    """Give the way of one asker, for each of its sections that is wanted; at least one."""
    if wanted.kind in BESIDE:
        return ((explain_tcp_route if wanted.kind == TCP_ROUTE else explain_policy)(facts, wanted),)
    wanted = wanted.of(facts.objects)
    obj = facts.objects.of(EXPLAINED[wanted.kind]).get(ObjectKey(wanted.namespace, wanted.name))
    found = [
        asker
        for asker in facts.verdicts
        if (asker.kind, asker.namespace, asker.name) == wanted[:3] and wanted.section in {"", asker.section}
    ]
    if obj is None:
        return (_absent(facts, wanted),)
    if isinstance(obj, TlsRoute):
        return tuple(_of_tls_route(facts, obj, wanted, each) for each in found or (None,))
    if not found:
        return (_not_ours(facts, wanted, obj),)
    return tuple(_explained(facts, obj, asker, facts.verdicts[asker]) for asker in found)


def _absent(facts: Facts, wanted: Wanted) -> Explanation:
    keys = list(facts.objects.of(EXPLAINED[wanted.kind]))
    names = sorted({key.name for key in keys if key.namespace == wanted.namespace})
    near = difflib.get_close_matches(wanted.name, names, _MANY)
    elsewhere = sorted(key.namespace for key in keys if key.name == wanted.name)[:_MANY]
    hint = f"; there is {', '.join(near)}" if near else f"; there is one in {', '.join(elsewhere)}" if elsewhere else ""
    passed_over = (
        " A router keeps only those Services to which somebody of its own leads."
        if facts.runs and wanted.kind == "Service"
        else ""
    )
    said = f"there is no {wanted.kind} {wanted.namespace}/{wanted.name} here{hint}"
    return Explanation(
        kind=wanted.kind,
        namespace=wanted.namespace,
        name=wanted.name,
        section=wanted.section or None,
        served=False,
        verdict="not there",
        steps=(Step("object", "no", said),),
        todo=(f"Look for its name and namespace, and whether a selector of the router leaves it out.{passed_over}",),
    )


def _not_ours(facts: Facts, wanted: Wanted, obj: AskingObject) -> Explanation:
    steps = [_object(wanted.kind, obj)]
    alone = left_alone(obj, facts.router_name)
    sections = sorted(
        asker.section for asker in facts.verdicts if (asker.kind, asker.namespace, asker.name) == wanted[:3]
    )
    if sections:
        said = f"it asks for no port {wanted.section}; it asks for {', '.join(sections)}"
        steps.append(Step("router", "no", said))
        todo = "Name one of these, or add the port to external-tcp-port."
    else:
        said = alone.reason if alone is not None else "it asks for nothing: no annotation of it is this router's"
        steps.append(Step("router", "no", said))
        todo = f"Add the annotations {ROUTER_NAME}: {facts.router_name} and {PREFIX}external-tcp-port, if this router shall serve it."
    if alone is not None and alone.names_router == "":
        todo = "Ask the router's admin for that option, or name the router in an annotation of it."
    return Explanation(
        kind=wanted.kind,
        namespace=wanted.namespace,
        name=wanted.name,
        section=wanted.section or None,
        served=False,
        verdict="left alone",
        steps=tuple(steps),
        todo=(todo,),
    )


def _explained(facts: Facts, obj: AskingObject, asker: Asker, verdict: Verdict) -> Explanation:
    steps = [
        _object(asker.kind, obj),
        _router(facts, obj),
        *_annotations(obj, verdict),
        _port(verdict),
        _namespace(facts, asker, verdict),
        _claim(facts, asker, verdict),
        *_tls(verdict),
        *(_of_listener(facts, obj, asker) if verdict.admitted and isinstance(obj, Gateway | ListenerSet) else ()),
        *(
            ()
            if verdict.admitted and leads_by_names(obj, asker)
            else lead(facts, obj, asker, verdict, [*_of_pods(facts, obj, verdict)])
        ),
        *_warned(verdict),
    ]
    if verdict.admitted and verdict.port:
        steps.extend(_reached(facts, verdict, verdict.port))
    return _summed(facts, asker, verdict, steps)


def _of_listener(facts: Facts, obj: Gateway | ListenerSet, asker: Asker) -> Iterator[Step]:
    """Give what policies make of a listener, and the routes that it leads on to."""
    state = facts.gateway_api.get(StateKey(asker.kind, *asker.key))
    listeners = state.listeners if isinstance(state, GatewayState | ListenerSetState) else ()
    problem = next((each.problem for each in listeners if each.name == asker.section), "")
    yield from options_step(facts, served_by(facts, obj, asker), problem)
    yield led_on(facts, obj, asker)


def _of_tls_route(facts: Facts, obj: TlsRoute, wanted: Wanted, asker: Asker | None) -> Explanation:
    """Explain a TLSRoute, which listeners lead to and which claims nothing itself; None is one that none of ours leads to."""
    verdict = facts.verdicts[asker] if asker is not None else None
    steps = [_object(wanted.kind, obj), led_to(facts, obj, verdict), *options_of(facts, wanted.kind, obj)]
    if asker is not None and verdict is not None:
        steps.extend(lead(facts, obj, asker, verdict, list(verdict.warnings)))
        return _summed(facts, asker, verdict, steps)
    return Explanation(
        kind=wanted.kind,
        namespace=wanted.namespace,
        name=wanted.name,
        served=False,
        verdict="left alone",
        steps=tuple(steps),
        todo=("Its status.parents say for each Gateway whether a listener takes it, and why not.",),
    )


def _summed(facts: Facts, asker: Asker, verdict: Verdict, steps: list[Step]) -> Explanation:
    """Say what all of the way comes to."""
    states = {each.name: each.state for each in steps}
    served: bool | None = verdict.admitted and "no" not in {states.get("pods"), states.get("routes")}
    if served and facts.runs and states.get("servers") in {"no", "unknown"}:
        served = None if states["servers"] == "unknown" else False
    said = {True: "served" if facts.runs else "would be served", None: "admitted", False: "no pod takes connections"}
    return Explanation(
        kind=asker.kind,
        namespace=asker.namespace,
        name=asker.name,
        section=asker.section or None,
        served=served,
        verdict=said[served] if verdict.admitted else f"rejected: {verdict.reason}",
        steps=tuple(steps),
        todo=_todo(verdict, steps),
    )


def _reached(facts: Facts, verdict: Verdict, port: int) -> Iterator[Step]:
    """Give the way of clients to the port."""
    if (probe := facts.probes.get(str(port))) is not None:
        yield Step("connecting", "yes" if probe == "ok" else "no", f"to port {port}, from the router: {probe}")
    if facts.published_by and not verdict.address:
        note = facts.objects.notes.get(PortNote.about(port).key)
        is_lacking = note is not None and bool(note.warning)
        said = note.warning if note is not None and is_lacking else f"Service {facts.published_by} has the port"
        yield Step("published", "no" if is_lacking else "yes", said)
    if facts.canonical_hostname:
        yield Step("address", "yes", f"clients reach it at {verdict.reached_at(facts.canonical_hostname)}")


def _object(kind: str, obj: AskingObject | TlsRoute) -> Step:
    meta = obj.metadata
    since = f", since {meta.creation_timestamp}" if meta.creation_timestamp else ""
    return Step("object", "yes", f"{kind} {meta.namespace}/{meta.name} is there{since}")


def _router(facts: Facts, obj: AskingObject) -> Step:
    annotations = obj.metadata.annotations or {}
    named = next((key for key in (ROUTER_NAME, WZH_ROUTER_NAME) if key in annotations), None)
    how = f"{named.removeprefix(PREFIX)} is {annotations[named]}" if named else "its class leads here"
    if named is None and isinstance(obj, TransportServerClaim):
        how = "it names no router, and is for the default one"
    return Step("router", "yes", f"{how}, which is this one ({facts.router_name})")


def _annotations(obj: AskingObject, verdict: Verdict) -> Iterator[Step]:
    if verdict.reason in _OF_ANNOTATIONS:
        yield Step("annotations", "no", verdict.message)
        return
    annotations = obj.metadata.annotations or {}
    said = tuple(
        Step(key.removeprefix(PREFIX), "yes", value)
        for key, value in sorted(annotations.items())
        if key.startswith((PREFIX, "router.openshift.io/haproxy.")) and key not in {ROUTER_NAME, WZH_ROUTER_NAME}
    )
    near = {str(each) for each in near_keys(annotations)}
    warned = tuple(
        Step("warning", "warning", each) for each in verdict.warnings if each in near or each.startswith("annotation ")
    )
    text = "they can be read" if said else "there are none beside that: all options have their defaults"
    if said or warned or not isinstance(obj, Gateway | ListenerSet):
        yield Step("annotations", "warning" if warned else "yes", text, (*said, *warned))


def _port(verdict: Verdict) -> Step:
    parts = []
    if verdict.port is not None:
        given = " (given by the router, for it asks for any)" if verdict.auto else ""
        where = f" of the address {verdict.address}" if verdict.address else ""
        parts.append(f"port {verdict.port}{where}{given}")
    if verdict.host:
        parts.append(f"host {verdict.host}, by the server name of TLS")
    if not parts:
        asks = "any port" if verdict.auto else "a port that cannot be read"
        return Step("port", "unknown" if not verdict.admitted else "yes", f"it asks for {asks}")
    if verdict.client_port is not None:
        parts.append(f"clients use port {verdict.client_port}")
    return Step("port", "yes", "; ".join(parts))


def _namespace(facts: Facts, asker: Asker, verdict: Verdict) -> Step:
    if verdict.reason in _OF_NAMESPACE:
        return Step("policy", "no", verdict.message)
    if verdict.reason in _BEFORE_POLICY:
        return Step("policy", "unknown", _UNDECIDED)
    most = facts.policy.max_ports.get(asker.namespace, facts.policy.default_max_ports)
    problems = facts.policy.problems.get(asker.namespace, ())
    if problems:
        return Step(
            "policy", "warning", f"what is said of namespace {asker.namespace} cannot be used: {'; '.join(problems)}"
        )
    bound = f"at most {most} port{'' if most == 1 else 's'}" if most is not None else "any number of ports"
    return Step("policy", "yes", f"namespace {asker.namespace} may have it, and {bound}")


def _claim(facts: Facts, asker: Asker, verdict: Verdict) -> Step:
    if verdict.reason in _OF_CLAIM:
        return Step("claim", "no", verdict.message, tuple(claims_shown(facts, verdict)))
    if verdict.reason is not None and not verdict.held:
        return Step("claim", "unknown", _UNDECIDED)
    rivals = [
        each
        for each, other in facts.verdicts.items()
        if other.reason in {Reason.PORT_ALREADY_CLAIMED, Reason.HOST_ALREADY_CLAIMED}
        and each.unnumbered != asker.unnumbered
        and (other.port, other.address, other.host if verdict.port is None else None)
        == (verdict.port, verdict.address, verdict.host if verdict.port is None else None)
    ]
    waiting = ""
    if rivals:
        more = f" and {len(rivals) - _MANY} more" if len(rivals) > _MANY else ""
        waiting = f"; {', '.join(each.shown for each in rivals[:_MANY])}{more} would have it next"
    return Step("claim", "yes", f"it has what it asks for{waiting}", tuple(claims_shown(facts, verdict)))


def _tls(verdict: Verdict) -> Iterator[Step]:
    if verdict.reason in _OF_TLS:
        yield Step("tls", "no", verdict.message)
    elif verdict.certificate:
        warned = tuple(Step("warning", "warning", each) for each in verdict.warnings if "certificate" in each)
        yield Step("tls", "warning" if warned else "yes", f"TLS ends here, by {verdict.certificate}", warned)


def _of_pods(facts: Facts, obj: AskingObject, verdict: Verdict) -> Iterator[str]:
    """Give the warnings that are about where connections go."""
    elsewhere = set(_elsewhere(facts, obj, verdict))
    yield from (each for each in verdict.warnings if each not in elsewhere)


def _elsewhere(facts: Facts, obj: AskingObject, verdict: Verdict) -> Iterator[str]:
    near = {str(each) for each in near_keys(obj.metadata.annotations or {})}
    note = facts.objects.notes.get(PortNote.about(verdict.port or 0).key) if facts.published_by else None
    said = {note.warning} if note is not None else set()
    for each in verdict.warnings:
        if (
            each in near
            or each in said
            or each.startswith(("annotation ", _NETWORK_POLICY, "host ", "spec."))
            or (verdict.certificate and "certificate" in each)
        ):
            yield each


def _warned(verdict: Verdict) -> Iterator[Step]:
    """Give what stands in no other step."""
    for each in verdict.warnings:
        if each.startswith(_NETWORK_POLICY):
            yield Step("network policy", "warning", each)
        elif each.startswith(("host ", "spec.")):
            yield Step("warning", "warning", each)


def _todo(verdict: Verdict, steps: list[Step]) -> tuple[str, ...]:
    if verdict.reason is not None:
        remedy = REMEDIES[verdict.reason]
        return (remedy.team, *((f"An admin: {remedy.admin}",) if remedy.admin else ()))
    bad = {each.name: each for each in steps if each.state == "no"}
    told = (
        _ROUTES_TOLD if name == "routes" and bad[name].steps else said for name, said in _NEXT.items() if name in bad
    )
    return tuple(told)[:1]
