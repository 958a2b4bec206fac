"""What a namespace may have: read from annotations and a file, key by key, and kept up to date."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.policy import Policies, PolicyTouched
from router.admission.policy_values import (
    TCP_ADDRESSES,
    TCP_CONNECTIONS_MAX,
    TCP_PORTS,
    TCP_PORTS_EXCLUSIVE,
    TCP_PORTS_MAX,
)
from router.objects.meta import ObjectMeta
from router.objects.namespace import Namespace, PolicyRule, PortPolicy
from router.settings import AdmissionSettings, PortRanges
from tests.unit.admission.builders import SETTINGS

STRICT = replace(SETTINGS, must_know_namespaces=True)


def namespace(name: str, labels: dict[str, str] | None = None, /, **annotations: str) -> Namespace:
    """Make a Namespace; annotations get our prefix, and dashes for their underscores."""
    said = {f"haproxy.router.openshift.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return Namespace(ObjectMeta(name=name, namespace="", annotations=said or None, labels=labels))


def policies_of(
    *namespaces: Namespace, file: PortPolicy | None = None, given: AdmissionSettings = SETTINGS
) -> Policies:
    """Make the policies of these."""
    policies = Policies(given)
    policies.put_file(file)
    for each in namespaces:
        policies.put(each.metadata.name, each)
    policies.take_touched()
    return policies


def ports(text: str) -> PortRanges:
    """Make ranges."""
    return PortRanges.parse(text)


def test_where_nothing_is_said_everything_is_allowed() -> None:
    """A namespace without annotations is the router's to decide about, and so is one that a folder does not have."""
    policies = policies_of(namespace("a"))
    for name in ("a", "unheard-of"):
        assert policies.allows(name, 5432)
        assert policies.max_ports(name) is None
        assert policies.addresses_allowed(name) is None


@pytest.mark.parametrize(
    ("annotations", "port", "refusal"),
    [
        ({"tcp_ports": "5000-5099"}, 5000, ""),
        ({"tcp_ports": "5000-5099"}, 5100, "port 5100 is not allowed to namespace a; allowed are 5000-5099"),
        ({"tcp_ports": " 5000-5099, 7000 "}, 7001, "port 7001 is not allowed to namespace a; allowed are 5000-5099,7000"),
        ({"tcp_ports": "none"}, 5000, "port 5000 is not allowed to namespace a; allowed are none"),
        ({"tcp_ports": "none", "tcp_ports_exclusive": "5000"}, 5000, "port 5000 is not allowed to namespace a; allowed are none"),
        ({"tcp_ports_exclusive": "5000"}, 5000, ""),
        ({"tcp_ports_exclusive": "5000"}, 5001, ""),
    ],
    ids=["inside", "outside", "several", "none", "exclusive to nobody", "exclusive", "beside its exclusive ones"],
)  # fmt: skip
def test_ports_are_those_that_the_annotation_names(annotations: dict[str, str], port: int, refusal: str) -> None:
    """Who asks for another is told which there are."""
    assert policies_of(namespace("a", None, **annotations)).refusal("a", port) == refusal


def test_the_router_says_what_is_allowed_where_a_namespace_does_not() -> None:
    """Absent, --namespace-ports counts, and what is exclusive to the namespace beside it; --namespace-max-ports for how many."""
    given_settings = replace(SETTINGS, namespace_ports=ports("6000-6009"), namespace_max_ports=2)
    policies = policies_of(
        namespace("a"),
        namespace("b", tcp_ports_exclusive="5000"),
        namespace("c", tcp_ports_max="7", tcp_ports="1-9"),
        given=given_settings,
    )
    assert policies.refusal("a", 5999) == "port 5999 is not allowed to namespace a; allowed are 6000-6009"
    assert policies.allows("b", 5000)
    assert policies.refusal("b", 5001) == "port 5001 is not allowed to namespace b; allowed are 5000,6000-6009"
    assert policies.allows("c", 9)
    assert [policies.max_ports(name) for name in ("a", "b", "c", "new")] == [2, 2, 7, 2]
    assert policies.news.max_ports == {"c": 7}


def test_exclusive_ranges_keep_others_out() -> None:
    """Nobody else may claim there, whatever its own ranges are."""
    policies = policies_of(
        namespace("a", tcp_ports_exclusive="5000-5009,5020"), namespace("b", tcp_ports="1024-65535"), namespace("c")
    )
    for name in ("b", "c", "unheard-of"):
        assert (
            policies.refusal(name, 5009)
            == f"port 5009 is not allowed to namespace {name}: 5000-5009 is exclusive to namespace a"
        )
        assert policies.allows(name, 5010)
    assert policies.allows("a", 5020)


def test_where_exclusive_ranges_meet_nobody_gets_anything() -> None:
    """Both namespaces are told, by the ports that they have in common; elsewhere each has its own."""
    policies = policies_of(namespace("a", tcp_ports_exclusive="10-20"), namespace("b", tcp_ports_exclusive="18-30"))
    for name in ("a", "b", "c"):
        assert policies.refusal(name, 18) == (
            f"port 18 is not allowed to namespace {name}: "
            "it is exclusive to namespace a and to namespace b, so that nobody gets it anew"
        )
    assert policies.allows("a", 17)
    assert policies.allows("b", 21)
    assert policies.news.problems == {
        "a": ("ports 18-20 are exclusive to namespace b too, so that nobody gets new claims there",),
        "b": ("ports 18-20 are exclusive to namespace a too, so that nobody gets new claims there",),
    }
    policies.put("b", namespace("b", tcp_ports_exclusive="21-30"))
    assert (18, 30) in policies.take_touched().ranges
    assert policies.allows("a", 18)
    assert policies.news.problems == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (TCP_PORTS, ""),
        (TCP_PORTS, "5000-"),
        (TCP_PORTS, "5000-4000"),
        (TCP_PORTS, "0"),
        (TCP_PORTS, "65536"),
        (TCP_PORTS, "all"),
        (TCP_PORTS, "5000," * 3000),
        (TCP_PORTS_EXCLUSIVE, "x"),
        (TCP_PORTS_MAX, "-1"),
        (TCP_PORTS_MAX, "many"),
        (TCP_PORTS_MAX, "1.5"),
        (TCP_CONNECTIONS_MAX, "1k"),
        (TCP_ADDRESSES, "10.0.0.1,"),
        (TCP_ADDRESSES, "A"),
    ],
)
def test_a_value_that_does_not_parse_closes_the_namespace(key: str, value: str) -> None:
    """It gets nothing new, wherever, and the admin is told by which annotation; other namespaces are as they were."""
    bad = Namespace(ObjectMeta(name="a", namespace="", annotations={key: value}))
    policies = policies_of(bad, namespace("b"))
    assert not policies.allows("a", 5432)
    (problem,) = policies.news.problems["a"]
    assert problem.startswith(f"annotation {key} is ")
    assert policies.refusal("a", 5432) == f"namespace a gets no new ports: {problem}"
    assert policies.allows("b", 5432)


def test_a_namespace_that_is_not_known_gets_nothing() -> None:
    """On an API server everything is in some Namespace; until that was read, what it may have is not known."""
    policies = policies_of(given=STRICT)
    assert policies.refusal("a", 5432).startswith("namespace a gets no new ports: its policy has not been read")
    assert policies.news.problems == {}
    policies.put("a", namespace("a"))
    assert policies.take_touched() == PolicyTouched(frozenset({"a"}))
    assert policies.allows("a", 5432)
    policies.put("a", None)
    assert policies.take_touched().namespaces == {"a"}
    assert not policies.allows("a", 5432)


FILE = PortPolicy(
    rules=(
        PolicyRule(selector="team=a", ports=ports("7000-7009"), max_ports=1),
        PolicyRule(selector="team in (a, b)", ports=ports("8000"), exclusive=ports("7000-7009"), max_connections=5),
        PolicyRule(selector="", addresses=frozenset({"db"})),
    )
)


def test_key_by_key_the_file_wins_and_its_first_rule() -> None:
    """What no rule says, the annotation does; an annotation that is overruled cannot be wrong."""
    policies = policies_of(
        namespace("a", {"team": "a"}, tcp_ports="nonsense", tcp_connections_max="9"),
        namespace("b", {"team": "b"}, tcp_ports_max="3"),
        namespace("c", {"team": "c"}, tcp_ports="7000-9000"),
        file=FILE,
    )
    assert policies.news.problems == {}
    assert policies.allows("a", 7000)
    assert not policies.allows("a", 8000)
    assert policies.max_ports("a") == 1
    # The rule has one owner of its ports, whom all that it selects are.
    assert policies.refusal("b", 7000) == "port 7000 is not allowed to namespace b; allowed are 8000"
    assert policies.max_ports("b") == 3
    assert (
        policies.refusal("c", 7000)
        == "port 7000 is not allowed to namespace c: 7000-7009 is exclusive to namespaces with team in (a, b)"
    )
    assert policies.news.max_connections == {"a": 5, "b": 5}
    assert policies.addresses_allowed("unheard-of") == frozenset({"db"})


def test_the_file_may_forbid_annotations() -> None:
    """Then they say nothing, and cannot be wrong."""
    file = PortPolicy(counts_annotations=False)
    policies = policies_of(namespace("a", tcp_ports="none", tcp_ports_max="x"), file=file)
    assert policies.allows("a", 1)
    assert policies.news.problems == {}
    policies.put_file(None)
    assert policies.take_touched().everything
    assert not policies.allows("a", 1)


def test_a_file_that_could_never_be_read_closes_all() -> None:
    """Whom it would let have what is not known."""
    policies = policies_of(namespace("a"), file=PortPolicy(problem="port-policy.yaml: is no YAML"))
    for name in ("a", "unheard-of"):
        assert policies.refusal(name, 1) == f"namespace {name} gets no new ports: port-policy.yaml: is no YAML"
    policies.put_file(PortPolicy())
    assert policies.allows("a", 1)


def test_a_namespace_may_be_named_by_its_own_label() -> None:
    """As Kubernetes gives it to each; a manifest need not have it."""
    rule = PolicyRule(selector="kubernetes.io/metadata.name=a", ports=ports("1"))
    policies = policies_of(namespace("a"), file=PortPolicy(rules=(rule,)))
    assert not policies.allows("a", 2)
    assert policies.allows("b", 2)


def test_many_exclusive_ranges_over_each_other_are_found_fast() -> None:
    """Of a thousand namespaces that have the same range, each is told of one other."""
    policies = policies_of(*(namespace(f"n{number}", tcp_ports_exclusive="5000-6000") for number in range(1000)))
    assert len(policies.news.problems) == 1000
    assert policies.news.problems["n1"] == (
        "ports 5000-6000 are exclusive to namespace n0 too, so that nobody gets new claims there",
    )


RANGES = st.sampled_from(["1-3", "2-4", "5", "none", "x", "1,3"])
NAMESPACES = st.builds(
    lambda name, labels, said: namespace(name, labels, **said),
    st.sampled_from("abc"),
    st.sampled_from([None, {"team": "a"}, {"team": "b"}]),
    st.fixed_dictionaries(
        {},
        optional={
            "tcp_ports": RANGES,
            "tcp_ports_exclusive": RANGES,
            "tcp_ports_max": st.sampled_from(["0", "1", "x"]),
            "tcp_connections_max": st.sampled_from(["0", "9"]),
        },
    ),
)
PARSED = st.none() | st.sampled_from(["1-3", "2-4", "5", ""]).map(ports)
FILES = st.none() | st.builds(
    PortPolicy,
    rules=st.lists(
        st.builds(
            PolicyRule,
            selector=st.sampled_from(["", "team=a", "team", "team!=a"]),
            ports=PARSED,
            exclusive=PARSED,
            max_ports=st.sampled_from([None, 1]),
        ),
        max_size=3,
    ).map(tuple),
    counts_annotations=st.booleans(),
    problem=st.sampled_from(["", "", "unreadable"]),
)


@given(st.lists(NAMESPACES | st.sampled_from("abc") | FILES, max_size=12), st.sampled_from([SETTINGS, STRICT]))
@settings(max_examples=300)
def test_after_any_changes_they_are_those_made_anew(
    changes: list[Namespace | str | PortPolicy | None], given_settings: AdmissionSettings
) -> None:
    """And whatever is decided otherwise was named."""
    policies = Policies(given_settings)
    policies.take_touched()
    there: dict[str, Namespace] = {}
    file: PortPolicy | None = None
    before: dict[tuple[str, int], str] = {}
    for change in changes:
        if isinstance(change, Namespace):
            there[change.metadata.name] = change
            policies.put(change.metadata.name, change)
        elif isinstance(change, str):
            there.pop(change, None)
            policies.put(change, None)
        else:
            file = change
            policies.put_file(change)
        touched = policies.take_touched()
        anew = policies_of(*there.values(), file=file, given=given_settings)
        assert policies.news == anew.news
        now = {(name, port): policies.refusal(name, port) for name in "abcd" for port in range(1, 7)}
        assert now == {key: anew.refusal(*key) for key in now}
        assert [policies.max_ports(name) for name in "abcd"] == [anew.max_ports(name) for name in "abcd"]
        for (name, port), refusal in now.items():
            named = touched.everything or name in touched.namespaces
            named |= any(low <= port <= high for low, high in touched.ranges)
            assert named or before.get((name, port), refusal) == refusal
        before = now
