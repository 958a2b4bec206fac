"""What is read of claims that may say anything, and patches that make one object equal to another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.pair import bodies
from router.pair.objects import PairMeta, PairObject
from router.pair.spec import asked, conditions, said_address, said_port
from router.pair.telling import COPIED, Said, status_write
from tests.support.kube.patches import merge_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70_000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "service", "servicePort"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def _claim(spec: Any = None, status: Any = None, **annotations: str) -> PairObject:
    return PairObject(
        PairMeta(name="db", namespace="shop", generation=3, annotations=annotations), spec=spec, status=status
    )


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return value


@given(there=JSON, wanted=JSON)
def test_a_patch_makes_of_one_value_the_other(there: Any, wanted: Any) -> None:
    """But for nulls, which a merge patch cannot say; and there is none where nothing differs."""
    there, wanted = _without_nulls({"spec": there}), _without_nulls({"spec": wanted})
    patch = bodies.difference(there, wanted)
    after = merge_patch(there, patch) if patch is not None else there
    assert _without_nulls(after) == wanted
    assert bodies.difference(after, wanted) is None


@given(spec=JSON, status=JSON)
def test_whatever_a_claim_says_something_is_made_of_it(spec: Any, status: Any) -> None:
    """A CRD without a schema lets anything through."""
    claim = _claim(spec, status)
    wish = asked(claim)
    assert wish.problem or (wish.service and wish.port)
    assert 0 <= said_port(claim) <= 65535
    said_address(claim)
    conditions(claim)
    status_write(claim, (Said(COPIED, "True", "Copied", "x"),), "now")


@pytest.mark.parametrize(
    ("spec", "service", "port"),
    [
        ({"service": "db", "servicePort": 5432}, "db", 5432),
        ({"service": "db", "servicePort": "5432"}, "db", 5432),
        ({"service": "db", "servicePort": "pg"}, "db", "pg"),
        ({"service": "db", "servicePort": 0}, "", ""),
        ({"service": "db", "servicePort": True}, "", ""),
        ({"service": "DB", "servicePort": 1}, "", ""),
        ({"service": ["db"], "servicePort": 1}, "", ""),
        ("db", "", ""),
    ],
)
def test_what_a_claim_asks_for(spec: Any, service: str, port: int | str) -> None:
    """A name of a Service, and a port by number or name; anything else is told, and nothing is made of it."""
    wish = asked(_claim(spec))
    if service:
        assert (wish.service, wish.port, wish.problem) == (service, port, "")
    else:
        assert wish.problem.startswith("spec.")


def test_conditions_of_others_stay_and_times_only_change_with_the_status() -> None:
    """The whole list is written, for a CRD without a schema takes it for one value."""
    listed = [
        {"type": "Ready", "status": "True", "reason": "Served"},
        {"type": "Copied", "status": "True", "reason": "Copied", "message": "x", "lastTransitionTime": "then", "observedGeneration": 3},
    ]  # fmt: skip
    claim = _claim(status={"conditions": listed})
    assert status_write(claim, (Said(COPIED, "True", "Copied", "x"),), "now") is None
    other = status_write(claim, (Said(COPIED, "True", "PortsDiffer", "y"),), "now")
    assert other is not None
    assert other.body["status"]["conditions"][0] == listed[0]
    assert other.body["status"]["conditions"][1]["lastTransitionTime"] == "then"
    assert other.told == (("True", "PortsDiffer", "y"),)
    gone = status_write(claim, (Said(COPIED, "False", "NotOurs", "z" * 5000),), "now")
    assert gone is not None
    assert gone.body["status"]["conditions"][1]["lastTransitionTime"] == "now"
    assert len(gone.body["status"]["conditions"][1]["message"]) == 1024


def test_annotations_that_say_how_a_claim_is_served_are_kept_level() -> None:
    """Those of the copy alone that begin so are taken away; what others wrote on it stays."""
    ours, theirs = "haproxy.router.openshift.io/ip_allowlist", "team.example.com/x"
    claim = _claim({"service": "db"}, None, **{ours: "10.0.0.0/8", theirs: "here"})
    there = _claim(
        {"service": "db", "x": 1}, None, **{"router.openshift.io/haproxy.health.check.interval": "5s", theirs: "there"}
    )
    assert bodies.copy_patch(claim, there) == {
        "spec": {"x": None},
        "metadata": {"annotations": {ours: "10.0.0.0/8", "router.openshift.io/haproxy.health.check.interval": None}},
    }
