"""The end of the way: Services, endpoints, and HAProxy's servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from router.admission import Verdict
from router.admission.endpoints import service_of
from router.admission.kinds import KINDS
from router.admission.verdicts import Reason
from router.haproxy.talk.stats import ServerNow
from router.model import Asker, Backend, Server
from router.objects.discovery import Endpoint
from router.objects.gateway import TlsRoute
from router.objects.kinds import AskingObject
from router.objects.meta import ObjectKey
from router.observe.explanation.facts import Facts
from router.observe.explanation.words import Step, worst

_OF_HAPROXY = frozenset(
    {Reason.CONFIG_REJECTED, Reason.OUT_OF_FILES, Reason.PORT_UNAVAILABLE, Reason.ADDRESS_UNAVAILABLE}
)
OF_PODS = frozenset({Reason.AMBIGUOUS_TARGET_PORT, Reason.EXTERNAL_NAME_NOT_ALLOWED, Reason.REF_NOT_PERMITTED})
"""Why something is rejected for what it leads to."""
_MOST = 50
"""Servers that are told one by one."""


def lead(facts: Facts, obj: AskingObject | TlsRoute, asker: Asker, verdict: Verdict, said: list[str]) -> Iterator[Step]:
    """Give the steps from the object's Services to HAProxy's servers.

    Args:
        facts: what is known.
        obj: who asks, or the object whose section does.
        asker: who asks.
        verdict: what became of it.
        said: what admission said of where it leads to.
    """
    backend = _backend(facts, asker)
    yield _pods(facts, obj, backend, verdict, said)
    if verdict.reason in _OF_HAPROXY:
        yield Step("haproxy", "no", verdict.message)
        return
    if not verdict.admitted or not facts.runs:
        return
    if backend is None:
        yield Step(
            "haproxy", "unknown", "what HAProxy serves is not known: it is being started, or a change is on its way"
        )
        return
    yield Step("haproxy", "yes", f"it has the backend {backend.name}")
    yield _servers(facts, backend)


def _backend(facts: Facts, asker: Asker) -> Backend | None:
    if facts.model is None:
        return None
    return next((each.backend for each in facts.model.routes if each.asker == asker), None)


def _pods(
    facts: Facts, obj: AskingObject | TlsRoute, backend: Backend | None, verdict: Verdict, said: list[str]
) -> Step:
    # What is in a namespace that does not let it is not told to who may not lead there.
    told = frozenset() if verdict.reason is Reason.REF_NOT_PERMITTED else KINDS[type(obj)].services_of(obj)
    steps = tuple(services_shown(facts, told))
    if verdict.reason in OF_PODS:
        return Step("pods", "no", verdict.message, steps)
    warned = tuple(Step("warning", "warning", each) for each in said)
    if backend is None and verdict.admitted and facts.model is not None:
        return Step("pods", "no", "none is led to", (*steps, *warned))
    if backend is None:
        return Step("pods", worst((*steps, *warned)), "its Services", (*steps, *warned))
    takes = [each for each in backend.servers if each.weight]
    drains = len(backend.servers) - len(takes)
    of_each = ", ".join(f"{number} of {name}" for name, number in sorted(_by_service(takes).items()))
    text = f"{len(takes)} take{_s(len(takes))} connections{f' ({of_each})' if of_each else ''}{f', {drains} drain{_s(drains)}' if drains else ''}"
    state = "no" if not takes else worst((*steps, *warned))
    return Step("pods", state, text, (*steps, *warned))


def _by_service(servers: list[Server]) -> Counter[str]:
    return Counter(service_of(each.name) if each.name.startswith("pod:") else each.name for each in servers)


def services_shown(facts: Facts, keys: Iterable[ObjectKey]) -> Iterator[Step]:
    """Give a step for each Service: its ports, and how many endpoints it has."""
    return (_service(facts, key) for key in sorted(keys))


def _service(facts: Facts, key: ObjectKey) -> Step:
    service = facts.objects.services.get(key)
    name = f"Service {key}"
    if service is None:
        return Step(name, "no", "there is none")
    if service.spec.type == "ExternalName":
        resolved = facts.objects.names.get(key)
        known = (
            ", ".join(resolved.addresses) if resolved is not None and resolved.addresses else "no addresses are known"
        )
        return Step(
            name,
            "yes" if resolved is not None and resolved.addresses else "warning",
            f"the name {service.spec.external_name}: {known}",
        )
    ports = ", ".join(f"{each.name or each.port} ({each.port})" for each in service.spec.ports or ())
    slices = dict(facts.objects.slices.get(key, {}))
    counts = Counter(_condition(endpoint) for each in slices.values() for endpoint in each.endpoints or ())
    told = ", ".join(f"{counts[each]} {each}" for each in ("ready", "terminating", "not ready") if counts[each])
    said = f"ports {ports or 'none'}; endpoints: {told or 'none'}, in {len(slices)} EndpointSlice{'' if len(slices) == 1 else 's'}"
    return Step(name, "yes" if counts["ready"] else "warning", said)


def _condition(endpoint: Endpoint) -> str:
    if endpoint.conditions.ready is not False:
        return "ready"
    return "terminating" if endpoint.conditions.terminating else "not ready"


def _servers(facts: Facts, backend: Backend) -> Step:
    if not backend.servers:
        return Step("servers", "no", "HAProxy has none: connections are closed at once")
    if facts.servers is None:
        return Step("servers", "unknown", "HAProxy was not asked")
    steps = [_server(each, facts.servers.get(each.name), facts.probes.get(each.name)) for each in backend.servers]
    draining = sum(not each.weight for each in backend.servers)
    up = sum(each.state == "yes" for each in steps) - draining
    state = worst(tuple(steps))
    state = "no" if not up and state == "yes" else state
    # One that is down beside others that are not is no fault of the way.
    state = "warning" if state == "no" and up else state
    shown = (*sorted(steps, key=lambda each: each.state == "yes")[:_MOST],)
    more = f"; {len(steps) - _MOST} more are not shown" if len(steps) > _MOST else ""
    return Step(
        "servers",
        state,
        f"{up} of {len(steps)} up{f', {draining} drain{_s(draining)}' if draining else ''}{more}",
        shown,
    )


def _server(server: Server, now: ServerNow | None, probe: str | None) -> Step:
    name = f"{server.address}:{server.port}" if ":" not in server.address else f"[{server.address}]:{server.port}"
    probed = f"; connecting from the router: {probe}" if probe is not None else ""
    if now is None:
        return Step(name, "unknown", f"HAProxy does not have it yet{probed}")
    since = f" for {_time(now.since_s)}" if now.since_s is not None else ""
    check = f", last check {now.check}" if now.check else ""
    what = "drains" if not server.weight else "is not checked" if now.status == "no check" else f"is {now.status}"
    said = f"{what}{since}{check}, {now.sessions} connection{'' if now.sessions == 1 else 's'}, weight {server.weight}{probed}"
    if not server.weight:
        return Step(name, "yes", said)
    is_up = now.status.startswith("UP") or now.status == "no check"
    return Step(name, "yes" if is_up and probe in {None, "ok"} else "no", said)


def _time(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _s(number: int) -> str:
    """Give the end of a verb."""
    return "s" if number == 1 else ""
