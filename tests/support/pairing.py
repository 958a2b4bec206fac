"""``tcp-router pair`` as a user runs it, between two API servers of tests; and routers that only write statuses, by what PortClaims say."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.api_server import EVERY_ADDRESS, ApiServer
from tests.support.router_process import http_get
from tests.support.waiting import wait_for

Object = dict[str, Any]

_MANIFESTS = Path(__file__).parents[2] / "manifests" / "overlays" / "pair"
_RIGHTS = {"gold": _MANIFESTS / "rbac.yaml", "golddr": _MANIFESTS / "remote" / "rbac.yaml"}
SHOP, ROUTERS = "shop", "openshift-ingress"
ADDRESSES = ("127.0.0.1", "127.0.0.2")
"""By which clients reach the routers of the two clusters."""
CLAIM, WRITTEN = "TransportServerClaim", ("TransportServerClaim", "Service", "Endpoints", "EndpointSlice", "PortClaim")


class PairProcess:
    """One running pair.

    Args:
        directory: an empty folder; gets the logs.
        gold: kubeconfig of the first cluster.
        golddr: that of the other one.
        options: further options.
        launcher: what the command line begins with.
    """

    def __init__(
        self, directory: Path, gold: Path, golddr: Path, *options: str, launcher: tuple[str, ...] = ()
    ) -> None:
        self._log = directory / "log"
        self._command = [
            *launcher, sys.executable, "-m", "router", "pair", "--local-name", "gold", "--remote-name", "golddr",
            "--kubeconfig", str(gold), "--remote-kubeconfig", str(golddr), "--claim-ports", "31000-31019",
            "--listen", "127.0.0.1:0", "--log-format", "json", *options,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.http_port = 0

    def start(self) -> PairProcess:
        """Start it, and wait until it answers."""
        before = len(self.log())
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        process = self.process
        wait_for(lambda: process.poll() is not None or "pair started" in self.log()[before:], "the pair to start")
        assert process.poll() is None, self.log()
        told = re.search(r'"http": ?"127\.0\.0\.1:(\d+)"', self.log()[before:])
        assert told is not None, self.log()
        self.http_port = int(told[1])
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and give its exit code; safe to call again."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=20)

    def log(self) -> str:
        """Give what it printed so far."""
        return self._log.read_text() if self._log.exists() else ""

    def events(self, name: str) -> list[Object]:
        """Give the lines of the log about this."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def metric(self, name: str) -> float:
        """Give a metric, with its labels as they are written."""
        text = http_get(self.http_port, "/metrics")[1]
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return float(found[1])


class Clusters:
    """Two API servers, with a namespace of a team in each, and routers that serve what PortClaims give.

    Args:
        directory: for kubeconfigs and logs.
        gold: the first.
        golddr: the other.
        stack: ends what is begun.
        has_routers: real ones, so that statuses are not written here.
    """

    def __init__(
        self,
        directory: Path,
        gold: ApiServer,
        golddr: ApiServer,
        stack: contextlib.ExitStack,
        *,
        has_routers: bool = False,
    ) -> None:
        self.gold, self.golddr = gold, golddr
        self.servers = (gold, golddr)
        self._directory = directory
        self._stack = stack
        self._pairs = 0
        self._made: list[PairProcess] = []
        self.kubeconfigs: list[Path] = []
        for name, server in zip(("gold", "golddr"), self.servers, strict=True):
            folder = directory / name
            folder.mkdir()
            for namespace in (SHOP, ROUTERS):
                server.create({"kind": "Namespace", "metadata": {"name": namespace}})
            server.apply(*filter(None, yaml.safe_load_all(_RIGHTS[name].read_text(encoding="utf-8"))))
            server.tokens.add("admin")
            self.kubeconfigs.append(server.kubeconfig(folder, self.token(server)))
        self._ending = threading.Event()
        self._routers = threading.Thread(target=self._serve, name="routers of two clusters")
        if not has_routers:
            self._routers.start()
            stack.callback(self._end)

    @staticmethod
    def token(server: ApiServer) -> str:
        """Give a token of the pair's service account, which has the rights of manifests/overlays/pair."""
        return server.access.issue(ROUTERS, "tcp-router-pair")

    def admins(self, number: int) -> Path:
        """Give a kubeconfig by which everything may be done in a cluster."""
        folder = self._directory / f"admin-{number}"
        folder.mkdir(exist_ok=True)
        return self.servers[number].kubeconfig(folder, "admin")

    def pair(self, *options: str) -> PairProcess:
        """Make a pair, not started yet; it is stopped after the test."""
        directory = self._directory / f"pair-{self._pairs}"
        directory.mkdir()
        self._pairs += 1
        made = PairProcess(directory, self.kubeconfigs[0], self.kubeconfigs[1], *options)
        self._stack.callback(made.stop)
        self._made.append(made)
        return made

    def stop_pairs(self) -> None:
        """End all pairs."""
        for made in self._made:
            made.stop()

    def claim(self, name: str = "db", namespace: str = SHOP, annotations: Object | None = None, **spec: Any) -> None:
        """Make a claim in the first cluster."""
        wanted = {"service": "db", "servicePort": 5432, "monitor": {"type": "tcp", "interval": 1, "timeout": 1}, **spec}
        metadata = {"name": name, "namespace": namespace, "annotations": annotations or {}}
        self.gold.create({"kind": CLAIM, "metadata": metadata, "spec": wanted})

    def conditions(self, name: str = "db", namespace: str = SHOP) -> dict[str, tuple[str, str]]:
        """Give status and reason of a claim's conditions."""
        claim = self.gold.get(CLAIM, namespace, name) or {}
        return {
            each["type"]: (each["status"], each["reason"]) for each in claim.get("status", {}).get("conditions") or ()
        }

    def wait_for(self, name: str = "db", *, namespace: str = SHOP, deadline_s: float = 20.0, **wanted: str) -> None:
        """Wait until conditions of a claim have these reasons."""

        def holds() -> bool:
            has = self.conditions(name, namespace)
            return all(has.get(kind, ("", ""))[1] == reason for kind, reason in wanted.items())

        try:
            wait_for(holds, f"{namespace}/{name} to be {wanted}", deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.conditions(name, namespace)}") from None

    def endpoints(self, server: ApiServer, name: str, namespace: str = SHOP) -> tuple[str, int] | None:
        """Give to where Endpoints lead."""
        found = server.get("Endpoints", namespace, name)
        if found is None:
            return None
        subset = found["subsets"][0]
        return subset["addresses"][0]["ip"], subset["ports"][0]["port"]

    def left(self) -> list[tuple[str, str]]:
        """Give what of a pair is there, in whichever cluster: kind and name."""
        return [
            (kind, each["metadata"]["name"])
            for server in self.servers
            for kind in WRITTEN
            for each in server.list(kind)
            if kind == CLAIM or "tcp-router.openshift.io/paired-with" in (each["metadata"].get("labels") or {})
        ]

    def state(self) -> dict[tuple[int, str, str, str], Object]:
        """Give all that matters of what was written."""
        found = {}
        for number, server in enumerate(self.servers):
            for kind in WRITTEN:
                for each in server.list(kind):
                    metadata = each["metadata"]
                    kept = {key: metadata.get(key) or None for key in ("labels", "annotations", "finalizers")}
                    spec: Any = each.get("spec")
                    if kind == "Service":
                        spec = spec["ports"]
                    status = each.get("status", {})
                    conditions = (
                        [(c["type"], c["reason"]) for c in status.get("conditions") or ()] if kind == CLAIM else ()
                    )
                    found[number, kind, metadata["namespace"], metadata["name"]] = {
                        **kept, "spec": spec, "subsets": each.get("subsets"), "endpoints": each.get("endpoints"),
                        "port": status.get("port"), "conditions": sorted(conditions),
                    }  # fmt: skip
        return found

    def forget_lease(self) -> None:
        """Delete the Lease, as if it had run out: a process that was killed does not release it."""
        for each in self.gold.list("Lease"):
            self.gold.delete("Lease", each["metadata"]["namespace"], each["metadata"]["name"])

    def _serve(self) -> None:
        while not self._ending.wait(0.02):
            for server, address in zip(self.servers, ADDRESSES, strict=True):
                held = {
                    (each["spec"]["holder"]["namespace"], each["spec"]["holder"]["name"]): each["spec"]["port"]
                    for each in server.list("PortClaim")
                    if each["spec"].get("holder", {}).get("kind") == CLAIM
                }
                for claim in server.list(CLAIM):
                    metadata = claim["metadata"]
                    port = held.get((metadata["namespace"], metadata["name"]))
                    if port is None or claim.get("status", {}).get("port"):
                        continue
                    status = {**claim.get("status", {}), "address": address, "port": str(port)}
                    with contextlib.suppress(Exception):
                        server.update({**claim, "status": status})

    def _end(self) -> None:
        self._ending.set()
        self._routers.join()


@contextlib.contextmanager
def clusters(directory: Path) -> Iterator[Clusters]:
    """Give two clusters; what is started in them ends with them."""
    with (
        ApiServer(loopback=EVERY_ADDRESS) as gold,
        ApiServer(loopback=EVERY_ADDRESS) as golddr,
        contextlib.ExitStack() as stack,
    ):
        yield Clusters(directory, gold, golddr, stack)
