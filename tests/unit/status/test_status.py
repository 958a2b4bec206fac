"""What a Route's status shall say, and the patches that make it so."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.admission import Reason, Verdict
from router.model import Asker
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.status.route import MAX_MESSAGE, Identity, StatusChange, decide_status
from tests.support.fake_api import entries, json_patched, merge_patched
from tests.support.objects import route as route_value

KEY = ObjectKey("team", "db")
US = Identity("tcp-router", "tcp.example.com")
T0, T1 = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
T1_S = 1767229200.0
ADMITTED = Verdict(asker=Asker.route(*KEY), port=6620)
LOST = Verdict(
    asker=Asker.route(*KEY), port=6620, reason=Reason.PORT_ALREADY_CLAIMED, message="port 6620 is held by Route team/a"
)
ASIDE = Verdict(asker=Asker.route(*KEY), port=6620, reason=Reason.PORT_UNAVAILABLE, message="taken", set_aside=True)
REFUSED = Verdict(asker=Asker.route(*KEY), port=6620, reason=Reason.CONFIG_REJECTED, message="spec.to.weight is 300")
FOREIGN = {"routerName": "default", "host": "a.example.com", "futureField": {"x": [1]}, "conditions": []}


def condition(kind: str, status: str = "True", message: str = "", reason: str = "", since: str = T0) -> dict[str, Any]:
    """Make a condition as JSON has it."""
    value = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}
    return {key: member for key, member in value.items() if member}


def ours(*conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make an entry of ours."""
    name = {"routerName": "tcp-router", "routerCanonicalHostname": "tcp.example.com"}
    return {**name, **more, "conditions": list(conditions)}


HELD = ours(condition("Admitted"), condition("PortClaimed", message="6620"))


def value(*ingress: Any, host: str | None = None, **status: Any) -> dict[str, Any]:
    """Make a Route as an API server stores it."""
    result = route_value("db", 6620, host=host)
    result["metadata"] |= {"resourceVersion": "7", "uid": "u"}
    if ingress:
        status["ingress"] = list(ingress)
    return {**result, "status": status} if status else result


def decide(stored: dict[str, Any], verdict: Verdict | None) -> StatusChange | None:
    """Decide at T1."""
    return decide_status(msgspec.convert(stored, Route), verdict, US, T1_S)


def patched(stored: dict[str, Any], change: StatusChange | None) -> dict[str, Any]:
    """Apply a change as an API server does."""
    assert change is not None
    body = json.loads(change.patch.body)
    result: dict[str, Any] = json_patched(stored, body) if isinstance(body, list) else merge_patched(stored, body)
    assert change.patch.content_type.startswith(
        "application/json-patch" if isinstance(body, list) else "application/merge-patch"
    )
    return result


@pytest.mark.parametrize(
    ("before", "verdict", "after"),
    [
        pytest.param(None, ADMITTED, [("Admitted", "True", "", T1), ("PortClaimed", "True", "6620", T1)], id="new"),
        pytest.param(HELD, LOST, [("Admitted", "False", LOST.message, T1)], id="loses the port"),
        pytest.param(
            HELD,
            ASIDE,
            [("Admitted", "False", "taken", T1), ("PortClaimed", "True", "6620", T0)],
            id="set aside keeps its claim",
        ),
        pytest.param(None, ASIDE, [("Admitted", "False", "taken", T1)], id="set aside wins no claim"),
        pytest.param(
            ours(condition("PortClaimed", message="6619")),
            ASIDE,
            [("Admitted", "False", "taken", T1)],
            id="set aside keeps no other port",
        ),
        pytest.param(HELD, REFUSED, [("Admitted", "False", REFUSED.message, T1)], id="rejected claims nothing"),
        pytest.param(
            ours(condition("Admitted"), condition("PortClaimed", message="6619")),
            ADMITTED,
            [("Admitted", "True", "", T0), ("PortClaimed", "True", "6620", T1)],
            id="another port is won anew",
        ),
        pytest.param(
            ours(condition("Admitted", "False", "x", "InvalidPort")),
            LOST,
            [("Admitted", "False", LOST.message, T0)],
            id="another reason, same status, same time",
        ),
    ],
)
def test_conditions(before: Any, verdict: Verdict, after: list[tuple[str, ...]]) -> None:
    """Each verdict has its conditions, and their times move when their status does."""
    stored = value(before) if before else value()
    (entry,) = entries(patched(stored, decide(stored, verdict)), "tcp-router")
    assert [
        (c["type"], c["status"], c.get("message", ""), c["lastTransitionTime"]) for c in entry["conditions"]
    ] == after


def test_new_entry_reads_as_documented() -> None:
    """The whole entry of a Route with a port: nothing empty in it, and no host."""
    stored = value(FOREIGN)
    assert patched(stored, decide(stored, ADMITTED))["status"]["ingress"] == [
        FOREIGN,
        ours(condition("Admitted", since=T1), condition("PortClaimed", message="6620", since=T1)),
    ]


def test_host_is_the_routes_own() -> None:
    """A Route that is reached by its host has that in its entry, as its spec spells it, with the wildcard policy."""
    stored = value(host="Db.example.com")
    change = decide(stored, Verdict(asker=Asker.route(*KEY), host="db.example.com"))
    (entry,) = entries(patched(stored, change), "tcp-router")
    assert (entry["host"], entry["wildcardPolicy"]) == ("Db.example.com", "None")
    (entry,) = entries(patched(stored, decide(stored, ADMITTED)), "tcp-router")
    assert "host" not in entry
    assert "wildcardPolicy" not in entry


def test_rejection_has_reason() -> None:
    """A rejected Route has reason and message, cut where it is too long."""
    long = Verdict(asker=Asker.route(*KEY), reason=Reason.INVALID_PORT, message="x" * 5000)
    (entry,) = entries(patched(value(), decide(value(), long)), "tcp-router")
    (admitted,) = entry["conditions"]
    assert (admitted["status"], admitted["reason"]) == ("False", "InvalidPort")
    assert admitted["message"] == "x" * MAX_MESSAGE


@pytest.mark.parametrize(
    "status",
    [None, {}, {"ingress": None}, {"ingress": []}, {"future": 1}],
    ids=["absent", "empty", "null", "no entries", "unknown field"],
)
def test_first_entry_whatever_there_was(status: Any) -> None:
    """An entry is added to a status of each form, and what else is there stays."""
    stored = value()
    if status is not None:
        stored["status"] = status
    result = patched(stored, decide(stored, ADMITTED))
    assert len(entries(result, "tcp-router")) == 1
    assert {k: v for k, v in result["status"].items() if k != "ingress"} == (
        {"future": 1} if status == {"future": 1} else {}
    )


def test_same_is_not_written() -> None:
    """A status that says what it shall is left alone, whoever else is in it."""
    assert decide(value(FOREIGN, HELD), ADMITTED) is None
    assert decide(value(FOREIGN), None) is None
    assert decide(value(), None) is None


def test_removal_takes_every_entry_of_ours() -> None:
    """A Route that stops being ours loses our entries, and no other."""
    stored = value(HELD, FOREIGN, HELD)
    assert patched(stored, decide(stored, None))["status"]["ingress"] == [FOREIGN]


def test_stale_patch_is_a_conflict() -> None:
    """Each patch names the resourceVersion that was read, where API servers look for it."""
    for stored in (value(), value(FOREIGN), value(HELD)):
        change = decide(stored, LOST)
        newer = {**stored, "metadata": {**stored["metadata"], "resourceVersion": "8"}}
        assert patched(newer, change)["metadata"]["resourceVersion"] == "7"


texts = st.text(max_size=8)
conditions = st.builds(
    condition,
    st.sampled_from(["Admitted", "PortClaimed", "Other"]),
    st.sampled_from(["True", "False", "Unknown"]),
    st.sampled_from(["", "6620", "6619"]),
    texts,
    st.sampled_from([T0, ""]),
)
own_entries = st.lists(conditions, max_size=3).map(lambda each: ours(*each)) | st.just(
    {"routerName": "tcp-router", "host": "old.example.com"}
)
json_values = st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda each: st.lists(each, max_size=2))
foreign_entries = st.fixed_dictionaries(
    {"routerName": st.sampled_from(["default", "tcp-router2", ""])},
    optional={"host": texts, "future": json_values, "conditions": st.lists(conditions, max_size=2)},
)
verdicts = st.none() | st.builds(
    Verdict,
    asker=st.just(Asker.route(*KEY)),
    port=st.sampled_from([None, 6619, 6620]),
    host=st.sampled_from([None, "db.example.com"]),
    reason=st.none() | st.sampled_from(Reason),
    message=texts,
    set_aside=st.booleans(),
)


@given(st.lists(own_entries | foreign_entries, max_size=4), verdicts)
def test_patch_is_the_last_and_touches_only_ours(ingress: list[dict[str, Any]], verdict: Verdict | None) -> None:
    """After the patch no other is needed, and the entries of others are as they were, byte for byte and in order."""
    stored = value(*ingress, host="db.example.com")
    change = decide(stored, verdict)
    after = patched(stored, change) if change is not None else stored
    assert decide(after, verdict) is None
    others = [
        [json.dumps(e) for e in (each.get("status") or {}).get("ingress", []) if e["routerName"] != "tcp-router"]
        for each in (stored, after)
    ]
    assert others[0] == others[1]
    assert len(entries(after, "tcp-router")) == (0 if verdict is None else 1)
    assert {k: v for k, v in after.items() if k != "status"} == {k: v for k, v in stored.items() if k != "status"}
