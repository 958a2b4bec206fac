"""What is told of listeners of Gateways that lead on by names, and of TLSRoutes, which these lead to and which claim nothing themselves."""

from __future__ import annotations

from router.admission import Verdict
from router.model import Asker
from router.objects.gateway import Gateway, TlsRoute
from router.objects.meta import ObjectKey
from router.observe.explanation.facts import TLS_ROUTE, Facts
from router.observe.explanation.words import Step

_MANY = 10


def leads_by_names(obj: object, asker: Asker) -> bool:
    """Say whether it is a listener from which TLSRoutes lead on, so that it has no pods of its own."""
    return isinstance(obj, Gateway) and any(
        each.name == asker.section and each.protocol == "TLS" for each in obj.spec.listeners or ()
    )


def led_on(facts: Facts, asker: Asker) -> Step:
    """Give the step from such a listener to the TLSRoutes that are served."""
    known = facts.objects.of(TlsRoute)
    served = [each for each, verdict in facts.verdicts.items() if each.kind == TLS_ROUTE and verdict.admitted]
    routes = [
        f"{each.namespace}/{each.name}"
        for each in served
        if _wants(known.get(ObjectKey(each.namespace, each.name)), asker)
    ]
    if not routes:
        return Step("routes", "no", "no TLSRoute leads on from it: clients are refused, whatever name they ask for")
    more = f" and {len(routes) - _MANY} more" if len(routes) > _MANY else ""
    said = ", ".join(sorted(routes)[:_MANY])
    return Step("routes", "yes", f"by the name that clients ask for it leads on to TLSRoute {said}{more}")


def led_to(route: TlsRoute, verdict: Verdict | None) -> Step:
    """Give the step from listeners to a TLSRoute; its verdict is None where no listener of ours takes it."""
    refs = [f"{each.namespace or route.metadata.namespace}/{each.name}" for each in route.spec.parent_refs or ()]
    asked = f"it asks for {', '.join(refs)}" if refs else "it names no Gateway in parentRefs"
    if verdict is None:
        return Step("gateways", "no", f"no listener of a Gateway of this router takes it; {asked}")
    names = f", for the names {', '.join(route.spec.hostnames)}" if route.spec.hostnames else ""
    if not verdict.admitted:
        return Step("gateways", "no", verdict.message)
    return Step("gateways", "yes", f"{asked}{names}, and is taken; it claims no port itself")


def _wants(route: object, asker: Asker) -> bool:
    """Say whether a TLSRoute wants to be reached by a listener."""
    return isinstance(route, TlsRoute) and any(
        (each.namespace or route.metadata.namespace, each.name) == (asker.namespace, asker.name)
        and each.section_name in {None, asker.section}
        for each in route.spec.parent_refs or ()
    )
