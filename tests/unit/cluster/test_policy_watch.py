"""Who is told that NetworkPolicies may keep the router out, and what that costs the API server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from router.admission.network_policy import RouterPeer
from router.cluster.policy_watch import PolicyWatch
from router.errors import ApiForbidden, ApiNotFound, ApiUnreachable
from router.haproxy.talk.stats import BackendNow
from router.kube.api import Query
from router.model import Asker, Model, RouteSection
from router.objects.asker_note import AskerNote
from router.objects.store import Store
from router.shapes import write
from tests.support.models import section, server
from tests.support.unused_api import UnusedApi

ASKER = Asker.route("team", "db")
DENY: dict[str, Any] = {"metadata": {"name": "deny", "namespace": "team"}, "spec": {"podSelector": {}}}
LET: dict[str, Any] = {
    "metadata": {"name": "let", "namespace": "team"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [
            {"from": [{"namespaceSelector": {"matchLabels": {"network.openshift.io/policy-group": "ingress"}}}]}
        ],
    },
}


class PoliciesApi(UnusedApi):
    """Has NetworkPolicies and Services, and counts what is asked."""

    def __init__(self) -> None:
        self.policies: list[dict[str, Any]] = [DENY]
        self.selector: dict[str, str] | None = {"app": "db"}
        self.labels: dict[str, str] | None = {"network.openshift.io/policy-group": "ingress"}
        self.error: Exception | None = None
        self.asked: Counter[str] = Counter()

    def get(self, path: str, query: Query | None = None) -> bytes:  # noqa: ARG002 - of every Api
        """Answer, or raise the error."""
        *_, before, last = path.split("/")
        kind = last if last == "networkpolicies" else before
        self.asked[kind] += 1
        if kind == "namespaces":
            if self.labels is None:
                raise ApiForbidden("no", 403)
            return write({"metadata": {"name": "openshift-ingress", "labels": self.labels}})
        if self.error is not None:
            raise self.error
        if kind == "services":
            if self.selector is None:
                raise ApiNotFound("no", 404)
            return write({"metadata": {"name": "db", "namespace": "team"}, "spec": {"selector": self.selector}})
        found = [{**each, "metadata": {**each["metadata"], "namespace": before}} for each in self.policies]
        return write({"metadata": {}, "items": found})


class Bench:
    """A router whose servers are all down, and a clock that the test moves."""

    def __init__(self, sections: Iterable[RouteSection] = ()) -> None:
        self.api = PoliciesApi()
        self.store = Store()
        self.now_s = 1000.0
        self.sections = tuple(sections) or (failing(),)
        self.up = 0
        self.watch = PolicyWatch(
            self.api,
            self.store,
            lambda: Model(self.sections),
            lambda: {each.backend.name: BackendNow(0, self.up) for each in self.sections},
            lambda: RouterPeer(
                namespace="openshift-ingress", namespace_labels={"network.openshift.io/policy-group": "ingress"}
            ),
            clock=lambda: self.now_s,
        )

    def look(self, times: int = 1) -> dict[str, str]:
        """Look, and give the warnings that are in the store, by the name of the asker."""
        for _ in range(times):
            self.now_s += 5
            self.watch.look()
        self.store.take()
        return {note.asker.name: note.warning for note in self.store.objects.asker_notes.values()}


def failing(name: str = "db", namespace: str = "team", **of_backend: Any) -> RouteSection:
    """Make a Route with a server."""
    return section(name, 6620, server(5432), namespace=namespace, **of_backend)


def test_who_may_be_kept_out_is_told_once_that_was_so_twice() -> None:
    """With the policies for its pods, and the command that prints one; and no more when a server is up."""
    bench = Bench()
    assert bench.look() == {}
    assert bench.api.asked == {}
    told = (
        "NetworkPolicyMayBlock: none of its endpoints passes its health check, and no NetworkPolicy of those for its pods (deny) "
        "names the router; one that does is printed by: tcp-router network-policy team/db"
    )
    assert bench.look() == {"db": told}
    assert bench.look(5) == {"db": told}
    assert bench.api.asked == {"networkpolicies": 1, "services": 1, "namespaces": 1}
    bench.up = 1
    assert bench.look() == {}


def test_who_is_let_in_is_told_nothing() -> None:
    """By a policy that names the router; one for other pods is none. A new policy is seen within a minute."""
    bench = Bench()
    bench.api.policies = [DENY, LET]
    assert bench.look(3) == {}
    bench.api.selector = {"app": "other"}
    assert bench.look(15).keys() == {"db"}
    bench.api.selector = {"app": "db"}
    assert bench.look(15) == {}


@pytest.mark.parametrize(
    "policies", [[], [{**DENY, "spec": {"podSelector": {"matchLabels": {"app": "web"}}}}]], ids=["none", "for others"]
)
def test_without_policies_for_its_pods(policies: list[dict[str, Any]]) -> None:
    """It is something else that is wrong."""
    bench = Bench()
    bench.api.policies = policies
    assert bench.look(3) == {}


def test_who_is_not_checked_or_has_no_endpoints() -> None:
    """Of these it is not known whether anything is reached."""
    for each in (failing(check_interval_ms=0), section("db", 6620), section("db", 6620, server(5432, weight=0))):
        bench = Bench([each])
        assert bench.look(3) == {}
        assert bench.api.asked == {}


def test_rights_are_optional() -> None:
    """Where policies may not be read nothing is told, and they are asked for again after ten minutes."""
    bench = Bench()
    bench.api.error = ApiForbidden("no", 403)
    assert bench.look(20) == {}
    assert bench.api.asked == {"networkpolicies": 1}
    bench.api.error = None
    assert bench.look(110).keys() == {"db"}


def test_without_the_right_to_read_its_own_namespace() -> None:
    """It is taken for one that OpenShift's ingress comes from: who named that is not told that it blocks."""
    bench = Bench()
    bench.api.labels = None
    bench.api.policies = [DENY, LET]
    assert bench.look(3) == {}
    plain = Bench()
    plain.api.labels = {}
    plain.api.policies = [DENY, LET]
    assert plain.look(3).keys() == {"db"}


def test_an_outage_changes_nothing_that_was_told() -> None:
    """Nothing is taken back because the API server does not answer."""
    bench = Bench()
    told = bench.look(2)
    assert told
    bench.api.error = ApiUnreachable("no answer")
    assert bench.look(30) == told


def test_a_service_that_is_not_there() -> None:
    """Its selector is not known: policies may select its pods."""
    bench = Bench()
    bench.api.selector = None
    bench.api.policies = [{**DENY, "spec": {"podSelector": {"matchLabels": {"x": "y"}}}}]
    assert bench.look(2).keys() == {"db"}


def test_many_who_fail_have_few_requests_made() -> None:
    """Thousands of dead Routes in hundreds of namespaces: some namespaces at each look, each once a minute."""
    sections = [failing(f"r{number}", f"n{number % 100}") for number in range(1000)]
    bench = Bench(sorted(sections, key=lambda each: each.asker))
    bench.look(2)
    assert bench.api.asked["networkpolicies"] == 10
    assert bench.api.asked["services"] == 10
    assert len(bench.look(9)) == 1000
    assert bench.api.asked["networkpolicies"] <= 110


def test_it_is_a_warning_of_the_asker() -> None:
    """Who is made again is another, and is told anew."""
    bench = Bench()
    bench.look(2)
    (note,) = bench.store.objects.asker_notes.values()
    assert note == AskerNote.about(ASKER, note.warning, "network policies")
