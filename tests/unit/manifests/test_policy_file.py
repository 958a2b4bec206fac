"""The file of --port-policy: read as a whole or not at all, and followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.errors import ManifestError
from router.manifests.policy_file import PolicyFile, parse_policy
from router.objects.namespace import PolicyRule, PortPolicy
from router.objects.store import Store
from router.settings import PortRanges
from tests.support.waiting import wait_for

FULL = """\
annotations: ignored
namespaces:
  - selector: team in (payments, billing),stage!=test
    tcp-ports: 5432,7000-7099
    tcp-ports-exclusive: [5432, 7000-7009]
    tcp-ports-max: 3
    tcp-connections-max: "500"
    tcp-addresses: [db, cache]
  - selector: ""
    tcp-ports: none
    tcp-addresses: none
"""


def test_a_file_says_all_that_annotations_say() -> None:
    """Numbers and lists are what they look like."""
    assert parse_policy("p.yaml", FULL.encode()) == PortPolicy(
        rules=(
            PolicyRule(
                selector="team in (payments, billing),stage!=test",
                ports=PortRanges.parse("5432,7000-7099"),
                exclusive=PortRanges.parse("5432,7000-7009"),
                max_ports=3,
                max_connections=500,
                addresses=frozenset({"db", "cache"}),
            ),
            PolicyRule(selector="", ports=PortRanges(()), addresses=frozenset()),
        ),
        counts_annotations=False,
    )
    assert parse_policy("p.yaml", b"namespaces:\n") == PortPolicy()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no single document with the keys namespaces and annotations"),
        ("- a", "is no single document"),
        ("{}\n---\n{}", "is no single document"),
        ("namespace: []", '1:1: "namespace" is no key of this file; there are namespaces and annotations'),
        ("annotations: no", "annotations is false; accepted is counted or ignored"),
        ("namespaces: {}\nannotations: x", 'annotations is "x"; accepted is counted or ignored'),
        ("namespaces: team=a", "namespaces is no list"),
        ("namespaces: [a]", "namespaces[0]: is no mapping"),
        ("namespaces: [{tcp-ports: 1}]", "namespaces[0]: selector is null; accepted is a label selector"),
        ("namespaces: [{selector: 'a=(b'}]", "namespaces[0]: selector is"),
        ("namespaces:\n- selector: a\n- selector: b\n  tcp-port: 1", 'p.yaml:3:3: namespaces[1]: "tcp-port" is no key of an entry'),
        ("namespaces: [{selector: a, tcp-ports: 70000}]", "namespaces[0]: tcp-ports is '70000'; accepted is ports and ranges"),
        ("namespaces: [{selector: a, tcp-ports: true}]", "tcp-ports is true, which is neither text nor a number"),
        ("namespaces: [{selector: a, tcp-ports: [[1]]}]", "which is neither text nor a number, nor a list of such"),
        ("namespaces: [{selector: a, tcp-ports-max: 1.5}]", "tcp-ports-max is 1.5"),
        ("namespaces: [{selector: a, tcp-addresses: [A]}]", "tcp-addresses is 'A'; accepted is names of addresses"),
        ("{", "p.yaml:"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_with_its_place(text: str, problem: str) -> None:
    """A policy of which half counts would be none that anybody wrote."""
    with pytest.raises(ManifestError) as told:
        parse_policy("p.yaml", text.encode())
    assert problem in str(told.value)


@pytest.fixture
def store() -> Store:
    """A store that waits for the file."""
    return Store(frozenset({PolicyFile.SOURCE}))


@pytest.fixture
def file(tmp_path: Path, store: Store) -> Iterator[PolicyFile]:
    """The input, not started yet."""
    made = PolicyFile(tmp_path / "mounted" / "policy.yaml", store)
    (tmp_path / "mounted").mkdir()
    yield made
    made.stop()


def policy(store: Store) -> PortPolicy | None:
    """Give what the store has of the file."""
    store.take()
    return store.objects.port_policy


def test_the_last_good_file_counts(tmp_path: Path, store: Store, file: PolicyFile) -> None:
    """One that is broken, or gone, leaves what was; one that is mended counts at once."""
    path = tmp_path / "mounted" / "policy.yaml"
    path.write_text("namespaces: [{selector: a, tcp-ports: 1}]")
    file.start()
    first = policy(store)
    assert store.is_synced
    assert first is not None
    assert first.rules[0].ports == PortRanges.of(1)
    with capture_logs() as logs:
        path.write_text("namespaces: [{selector: a, tcp-ports: x}]")
        wait_for(lambda: file.problem, "the problem")
        assert policy(store) == first
        path.unlink()
        wait_for(lambda: "No such file" in file.problem, "the file to be missed")
        assert policy(store) == first
        path.write_text("annotations: ignored")
        wait_for(lambda: policy(store) == PortPolicy(counts_annotations=False), "the file that was mended")
    assert not file.problem
    assert {each["event"] for each in logs} == {"port policy not read", "port policy recovered"}
    assert {each.get("consequence") for each in logs} == {"what it said last counts", None}


def test_at_a_first_start_without_the_file_nobody_may_claim(tmp_path: Path, store: Store, file: PolicyFile) -> None:
    """The router does not wait for it: who holds something is served."""
    with capture_logs() as logs:
        file.start()
    assert store.is_synced
    found = policy(store)
    assert found is not None
    assert found.problem.startswith("the file of --port-policy cannot be used: ")
    assert [each["consequence"] for each in logs] == ["nobody may claim anything new"]
    (tmp_path / "mounted" / "policy.yaml").write_text("{annotations: counted}")
    wait_for(lambda: policy(store) == PortPolicy(), "the file")


def test_a_config_map_changes_by_a_link(tmp_path: Path, store: Store, file: PolicyFile) -> None:
    """As the kubelet mounts it: the file is a link into a folder, which is a link that is put in another's place."""
    mounted = tmp_path / "mounted"
    for name, text in (("..1", "{}"), ("..2", "annotations: ignored")):
        (mounted / name).mkdir()
        (mounted / name / "policy.yaml").write_text(text if text != "{}" else "namespaces: []")
    (mounted / "..data").symlink_to("..1")
    (mounted / "policy.yaml").symlink_to("..data/policy.yaml")
    file.start()
    assert policy(store) == PortPolicy()
    (mounted / "..tmp").symlink_to("..2")
    (mounted / "..tmp").rename(mounted / "..data")
    wait_for(lambda: policy(store) == PortPolicy(counts_annotations=False), "the other version")
