"""Two clusters that reach each other: ``tcp-router pair`` between two API servers, with routers that only write statuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pairing import ADDRESSES, CLAIM, ROUTERS, SHOP, Clusters, PairProcess, clusters
from tests.support.router_process import http_get
from tests.support.servers import echo_server
from tests.support.waiting import wait_for

_PAIRED: dict[str, Any] = {"Copied": "Copied", "Linked": "Written"}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Clusters]:
    """Two clusters."""
    with clusters(tmp_path) as made:
        yield made


def _port(two: Clusters, name: str = "db") -> int:
    claim = two.gold.get(CLAIM, SHOP, name)
    assert claim is not None
    return int(claim["status"]["port"])


def test_a_claim_leads_both_ways_and_leaves_nothing_behind(two: Clusters) -> None:
    """Copied, served with one number, Services that lead to each other; and when the claim goes, all of it goes, in both clusters."""
    pair = two.pair().start()
    two.claim(annotations={"haproxy.router.openshift.io/ip_allowlist": "10.0.0.0/8", "team.example.com/note": "ours"})
    two.wait_for(**_PAIRED)
    port = _port(two)
    assert two.endpoints(two.gold, "db-golddr") == (ADDRESSES[1], port)
    assert two.endpoints(two.golddr, "db-gold") == (ADDRESSES[0], port)
    copy = two.golddr.get(CLAIM, SHOP, "db")
    assert copy is not None
    # What keeps clients out here keeps them out there.
    assert copy["metadata"]["annotations"] == {"haproxy.router.openshift.io/ip_allowlist": "10.0.0.0/8"}
    wait_for(lambda: [each for each in two.gold.list("Event") if each["reason"] == "Written"], "the Event of it")
    assert http_get(pair.http_port, "/healthz")[0] == 200
    assert http_get(pair.http_port, "/readyz") == (200, "ok\n")
    wait_for(lambda: pair.metric('tcp_router_pair_claims{state="paired"}') == 1, "the metric of claims")
    two.gold.delete(CLAIM, SHOP, "db")
    wait_for(lambda: two.left() == [], "everything to be taken back")
    assert pair.stop() == 0


def test_the_other_side_is_connected_to_as_pods_would(two: Clusters) -> None:
    """PeerReachable follows whether the written address takes connections."""
    two.pair().start()
    two.claim()
    two.wait_for(**_PAIRED, PeerReachable="NotReachable")
    with echo_server(b"", ADDRESSES[1], _port(two)):
        two.wait_for(PeerReachable="Reachable")
    two.wait_for(PeerReachable="NotReachable")
    reasons = [each["reason"] for each in two.gold.list("Event")]
    assert reasons.count("Reachable") == 1


def test_what_the_other_claims_say_is_followed(two: Clusters) -> None:
    """The spec of the copy, and endpoints when an address or a port becomes another; a copy that somebody deleted is made again."""
    two.pair().start()
    two.claim()
    two.wait_for(**_PAIRED)
    copy = two.golddr.get(CLAIM, SHOP, "db")
    assert copy is not None
    copy["status"]["address"] = "127.0.0.9"
    two.golddr.update(copy)
    wait_for(lambda: two.endpoints(two.gold, "db-golddr") == ("127.0.0.9", _port(two)), "endpoints to follow")
    claim = two.gold.get(CLAIM, SHOP, "db")
    assert claim is not None
    claim["spec"] = {"service": "db", "servicePort": 5433}
    two.gold.update(claim)
    wait_for(lambda: (two.golddr.get(CLAIM, SHOP, "db") or {})["spec"] == claim["spec"], "the copy to follow")
    two.golddr.delete(CLAIM, SHOP, "db")
    wait_for(lambda: two.golddr.get(CLAIM, SHOP, "db") is not None, "the copy to be made again")
    two.wait_for(**_PAIRED)


def test_nothing_goes_while_the_other_api_is_away_and_all_is_level_after(two: Clusters) -> None:
    """What was written stays, through restarts of the pair, too; it is told; and claims of meanwhile are served here alone, then over there as well."""
    pair = two.pair("--pair-wait", "1s").start()
    two.claim()
    two.claim("gone", service="gone")
    two.wait_for(**_PAIRED)
    two.wait_for("gone", **_PAIRED)
    before = {key: value for key, value in two.state().items() if key[0] == 1}
    two.golddr.faults.refuse_connections()
    two.wait_for(Copied="PeerUnreachable")
    two.gold.delete(CLAIM, SHOP, "gone")
    two.claim("new", service="new")
    wait_for(
        lambda: (two.gold.get(CLAIM, SHOP, "new") or {}).get("status", {}).get("port"), "the new one to be served here"
    )
    assert pair.stop() == 0
    pair.start()
    two.wait_for("new", Copied="PeerUnreachable")
    assert pair.metric('tcp_router_pair_api_connected{cluster="golddr"}') == 0
    wait_for(lambda: http_get(pair.http_port, "/readyz")[0] == 200, "the pair to have read the first cluster")
    assert {key: value for key, value in two.state().items() if key[0] == 1} == before
    assert two.endpoints(two.gold, "db-golddr") is not None
    assert two.gold.get(CLAIM, SHOP, "gone") is not None, "it is held until the other cluster's part is gone"
    two.golddr.faults.refuse_connections(on=False)
    two.wait_for(**_PAIRED)
    two.wait_for("new", **_PAIRED)
    wait_for(lambda: two.gold.get(CLAIM, SHOP, "gone") is None, "the one that was deleted meanwhile to go")
    assert [name for _, name in two.left() if name.startswith("gone")] == []


def test_a_restart_changes_nothing(two: Clusters) -> None:
    """Not a single request that writes, but for the Lease."""
    pair = two.pair().start()
    two.claim()
    two.wait_for(**_PAIRED, PeerReachable="NotReachable")
    assert pair.stop() == 0
    before = [len(server.requests) for server in two.servers]
    pair.start()
    wait_for(lambda: pair.metric('tcp_router_pair_claims{state="paired"}') == 1, "the pair to know its claims")
    wait_for(lambda: pair.metric('tcp_router_pair_peers{reachable="no"}') == 1, "the pair to have probed")
    made = [
        (each.method, each.path)
        for server, count in zip(two.servers, before, strict=True)
        for each in server.requests[count:]
        if each.method != "GET" and "/leases" not in each.path
    ]
    assert made == []


def test_two_processes_write_one_at_a_time(two: Clusters) -> None:
    """The second one waits for the Lease, and goes on where the first one ended."""
    first = two.pair().start()
    wait_for(lambda: first.metric("tcp_router_pair_leader") == 1, "the first to lead")
    second = two.pair().start()
    two.claim()
    two.wait_for(**_PAIRED)
    assert second.metric("tcp_router_pair_leader") == 0
    assert second.events("written") == []
    assert first.stop() == 0
    two.claim("cache", service="cache")
    two.wait_for("cache", **_PAIRED)
    assert second.metric("tcp_router_pair_leader") == 1


def _writes(server: Any, die: Any, *, at: int, count: list[int]) -> None:
    """Call ``die`` when the pair's write of this number was stored, before it is answered."""
    original = server.storage._write  # noqa: SLF001 - where each write comes by

    def stored(resource: Any, old: Any, new: Any) -> Any:
        result = original(resource, old, new)
        if resource.kind not in {"Lease", "Event"} and threading.current_thread().name.startswith("api client"):
            count[0] += 1
            if count[0] == at:
                die()
        return result

    server.storage._write = stored  # noqa: SLF001 - likewise


@pytest.mark.parametrize("at", range(1, 22))
def test_killed_in_the_middle_of_each_step(tmp_path: Path, at: int) -> None:
    """Killed when one of its writes was stored and not answered, the next process brings about the same as one that was never killed."""
    with clusters(tmp_path) as two:
        pair = two.pair()

        def die() -> None:
            assert pair.process is not None
            os.kill(pair.process.pid, signal.SIGKILL)

        count = [0]
        for server in two.servers:
            _writes(server, die, at=at, count=count)
        pair.start()
        two.claim()

        def is_over() -> bool:
            return (pair.process is not None and pair.process.poll() is not None) or two.conditions().get(
                "PeerReachable"
            ) == ("False", "NotReachable")

        wait_for(is_over, "the pair to be killed, or done")
        _go_on(two, pair)
        two.wait_for(**_PAIRED, PeerReachable="NotReachable")
        port = _port(two)
        assert two.endpoints(two.gold, "db-golddr") == (ADDRESSES[1], port)
        assert two.endpoints(two.golddr, "db-gold") == (ADDRESSES[0], port)
        assert sorted(name for kind, name in two.left() if kind != "PortClaim") == sorted(
            ["db", "db-golddr", "db-golddr", "db-golddr-ipv4", "db", "db-gold", "db-gold", "db-gold-ipv4"]
        )
        two.gold.delete(CLAIM, SHOP, "db")
        wait_for(lambda: two.left() == [] or (pair.process and pair.process.poll() is not None), "all to be taken back")
        _go_on(two, pair)
        wait_for(lambda: two.left() == [], "all to be taken back")
        assert count[0] >= at, "it was never killed"


def _go_on(two: Clusters, pair: PairProcess) -> None:
    """Start the next process where one was killed."""
    if pair.process is not None and pair.process.poll() is not None:
        assert pair.process.returncode == -signal.SIGKILL, pair.log()
        two.forget_lease()
        pair.start()


def test_faults_of_single_objects_cost_only_these(two: Clusters) -> None:
    """A foreign Service, a full quota, and a namespace in which writing is forbidden are told, and mended when the cause is gone; others are paired."""
    for server in two.servers:
        server.create({"kind": "Namespace", "metadata": {"name": "barred"}})
    foreign = {
        "kind": "Service",
        "metadata": {"name": "db-golddr", "namespace": SHOP},
        "spec": {"ports": [{"port": 1}]},
    }
    two.gold.create(foreign)
    mine = two.gold.get("Service", SHOP, "db-golddr")
    two.golddr.faults.fail("POST", "/api/v1/namespaces/barred/", 403, times=10_000)
    two.golddr.faults.fail("POST", "/apis/porter.devops.gov.bc.ca/v1alpha1/namespaces/barred/", 403, times=10_000)
    two.pair().start()
    two.claim()
    two.claim("other", namespace="barred")
    two.wait_for(Copied="Copied", Linked="NameTaken")
    assert two.gold.get("Service", SHOP, "db-golddr") == mine
    assert two.endpoints(two.gold, "db-golddr") is None
    two.wait_for("other", namespace="barred", Copied="Forbidden")
    two.gold.delete("Service", SHOP, "db-golddr")
    two.wait_for(**_PAIRED)
    two.golddr.faults.clear()
    two.wait_for("other", namespace="barred", **_PAIRED)
    two.golddr.storage.quotas[SHOP] = {"services": 1}
    two.claim("cache", service="cache")
    two.wait_for("cache", Copied="Copied", Linked="Denied")
    assert two.endpoints(two.gold, "cache-golddr") is not None
    two.golddr.storage.quotas.clear()
    two.wait_for("cache", **_PAIRED)
    assert {each["reason"] for each in two.gold.list("Event")} >= {
        "NameTaken",
        "Forbidden",
        "Denied",
        "Copied",
        "Written",
    }


def test_streams_that_are_cut_and_servers_that_forget_lose_nothing(two: Clusters) -> None:
    """Claims that come and go while watches are cut, gone or silent for a while are paired and taken back like any others."""
    two.pair().start()
    for number in range(6):
        two.claim(f"db{number}", service=f"db{number}")
        server = two.servers[number % 2]
        server.faults.cut_streams()
        server.expire_history()
        server.faults.fail("", "/apis/", 500, times=3)
        if number:
            two.gold.delete(CLAIM, SHOP, f"db{number - 1}")
        if number % 3 == 0:
            # Each cut of the same event makes the next pause longer.
            two.gold.faults.cut_mid_object(CLAIM)
    two.wait_for("db5", **_PAIRED)
    wait_for(lambda: {name for kind, name in two.left() if kind == CLAIM} == {"db5"}, "the others to go")
    wait_for(lambda: not [name for _, name in two.left() if "db4" in name], "what was written for them to go")


def test_a_kind_that_the_other_cluster_has_not_yet_is_waited_for(two: Clusters) -> None:
    """Without PortClaims over there a claim is served here alone after the wait, and paired when they come."""
    two.golddr.has_port_claims = False
    two.pair("--pair-wait", "1s").start()
    two.claim()
    wait_for(lambda: _said_port(two) is not None, "the claim to be served here")
    two.wait_for(Copied="PeerUnreachable")
    two.golddr.has_port_claims = True
    two.wait_for(**_PAIRED, deadline_s=40)


def _said_port(two: Clusters) -> str | None:
    claim = two.gold.get(CLAIM, SHOP, "db") or {}
    port: str | None = claim.get("status", {}).get("port")
    return port


def test_a_namespace_that_comes_later_and_one_that_goes(two: Clusters) -> None:
    """Told as missing, served here; paired with the same number when it is made. A namespace that is deleted takes its claims with it."""
    two.gold.create({"kind": "Namespace", "metadata": {"name": "late"}})
    two.pair().start()
    two.claim(namespace="late")
    two.wait_for(namespace="late", Copied="NamespaceMissing")
    wait_for(lambda: (two.gold.get(CLAIM, "late", "db") or {}).get("status", {}).get("port"), "it to be served here")
    two.golddr.create({"kind": "Namespace", "metadata": {"name": "late"}})
    two.wait_for(namespace="late", **_PAIRED)
    two.golddr.delete("Namespace", "", "late")
    two.wait_for(namespace="late", Copied="NamespaceMissing")
    two.gold.delete(CLAIM, "late", "db")
    wait_for(lambda: two.left() == [], "all to be taken back")


def test_a_team_with_many_claims_does_not_hold_up_the_others(two: Clusters) -> None:
    """Namespaces take turns: one claim of another is paired long before all of a hundred are; and those beyond what may be are told."""
    for server in two.servers:
        server.create({"kind": "Namespace", "metadata": {"name": "many"}})
    for number in range(110):
        two.claim(f"c{number:03}", namespace="many", service=f"s{number}")
    two.claim()
    two.pair("--claim-ports", "31000-32000").start()
    two.wait_for(**_PAIRED)

    def paired() -> int:
        return sum(
            two.conditions(f"c{number:03}", "many").get("Linked", ("", ""))[1] == "Written" for number in range(110)
        )

    assert paired() < 100
    wait_for(lambda: paired() == 100, "as many as may be to be paired", 60)
    two.wait_for("c109", namespace="many", Copied="TooManyClaims")


def test_only_namespaces_that_are_selected(two: Clusters) -> None:
    """Others are not written to at all; one that is selected no more is given back."""
    two.pair("--namespace-selector", "paired=yes").start()
    two.claim()
    two.gold.create({"kind": "Namespace", "metadata": {"name": "in", "labels": {"paired": "yes"}}})
    two.golddr.create({"kind": "Namespace", "metadata": {"name": "in"}})
    two.claim(namespace="in")
    two.wait_for(namespace="in", **_PAIRED)
    assert two.conditions() == {}
    assert (two.gold.get(CLAIM, SHOP, "db") or {})["metadata"].get("finalizers") is None
    namespace = two.gold.get("Namespace", "", "in")
    assert namespace is not None
    namespace["metadata"]["labels"] = {}
    two.gold.update(namespace)
    wait_for(lambda: [kind for kind, _ in two.left()] == [CLAIM, CLAIM], "it to be given back")


def test_credentials_that_are_replaced(two: Clusters) -> None:
    """A kubeconfig whose token was rotated is read again; nothing is lost by it."""
    pair = two.pair().start()
    two.claim()
    two.wait_for(**_PAIRED)
    for number, server in enumerate(two.servers):
        server.tokens.clear()
        server.kubeconfig(two.kubeconfigs[number].parent, two.token(server))
        server.faults.cut_streams()
    two.claim("cache", service="cache")
    two.wait_for("cache", **_PAIRED)
    assert pair.process is not None
    assert pair.process.poll() is None


def _forget(kubeconfig: Path, local: str, remote: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "router", "pair", "--forget", "--local-name", local, "--remote-name", remote,
        "--kubeconfig", str(kubeconfig),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_forgetting_a_cluster_that_is_gone_for_good(two: Clusters) -> None:
    """Claims are let go and Services taken back without asking the other cluster; who lives keeps its number. Over there copies become claims of their own."""
    pair = two.pair().start()
    two.claim()
    two.claim("going", service="going")
    two.wait_for(**_PAIRED)
    two.wait_for("going", **_PAIRED)
    port = _port(two)
    two.golddr.faults.refuse_connections()
    two.gold.delete(CLAIM, SHOP, "going")
    wait_for(lambda: two.gold.get("Service", SHOP, "going-golddr") is None, "what is here to go at once")
    running = _forget(two.admins(0), "gold", "golddr")
    assert running.returncode == 2
    assert "End the pair first" in running.stderr
    assert pair.stop() == 0
    done = _forget(two.admins(0), "gold", "golddr")
    assert done.returncode == 0, done.stderr
    assert two.gold.get(CLAIM, SHOP, "going") is None
    claim = two.gold.get(CLAIM, SHOP, "db")
    assert claim is not None
    assert not claim["metadata"].get("finalizers")
    assert two.gold.list("Endpoints") == []
    assert [each["spec"]["port"] for each in two.gold.list("PortClaim")] == [port]
    assert "nothing was written" in _forget(two.admins(0), "gold", "golddr").stdout
    two.golddr.faults.refuse_connections(on=False)
    assert _forget(two.admins(1), "golddr", "gold").returncode == 0
    copy = two.golddr.get(CLAIM, SHOP, "db")
    assert copy is not None
    assert not copy["metadata"].get("labels")
    assert two.golddr.list("Endpoints") == []
    assert ROUTERS in {each["metadata"]["namespace"] for each in two.golddr.list("PortClaim")}


def test_what_cannot_be_used_is_said(two: Clusters) -> None:
    """One name for two clusters, one API server for both, no kubeconfig, no ports."""
    base = [sys.executable, "-m", "router", "pair", "--local-name", "gold", "--remote-name", "golddr"]
    ports = ["--claim-ports", "31000-31019"]
    kubeconfig = ["--kubeconfig", str(two.kubeconfigs[0])]
    for options, said in (
        ([*ports, *kubeconfig], "--remote-kubeconfig is missing"),
        ([*ports, *kubeconfig, "--remote-kubeconfig", str(two.kubeconfigs[0])], "both clusters have the API server"),
        ([*ports, *kubeconfig, "--remote-name", "gold"], "are both gold"),
        ([*kubeconfig], "--claim-ports"),
        ([*ports, *kubeconfig, "--remote-address", "not an address"], "neither an IP address nor a DNS name"),
    ):
        done = subprocess.run([*base, *options], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2, done
        assert said in done.stderr
