"""The routers of a scene, one after another: pods on one node, on the host's network."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tests.support import few_files
from tests.support.api_server import ApiServer
from tests.support.chaos.log import BreakableLog
from tests.support.router_process import RouterProcess
from tests.support.sabotage import Sabotage

NAMESPACE = "team"
"""Of Routes, and of the routers' pods and their Lease."""
DEFAULT_CERTIFICATE = "default-certificate.pem"
"""The file with that of Routes without one of their own, beside the routers' folders."""
SNI_POOL = 3
"""How many places a router's pool has for Routes on shared ports."""


def routers(
    directory: Path, api: ApiServer, pool: tuple[int, ...], sni_port: int, http_port: int, haproxy: str | None
) -> Callable[[], FollowingRouter]:
    """Give what makes one router after another, each with a pod, a log and a state directory of its own."""
    api.tokens.add("token")
    kubeconfig = api.kubeconfig(directory, "token")
    (directory / "templates").mkdir()
    numbers = itertools.count()

    def router() -> FollowingRouter:
        name = f"router-{next(numbers)}"
        (directory / name).mkdir()
        spec = {"nodeName": "node", "hostNetwork": True, "serviceAccountName": "tcp-router", "containers": []}
        labels = {"app.kubernetes.io/name": "tcp-router"}
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
        api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return FollowingRouter(
            directory / name, "--kubeconfig", str(kubeconfig), "--lease-namespace", NAMESPACE, "--check-interval", "1s",
            "--port-pool", ",".join(map(str, pool)), "--sni-pool", str(SNI_POOL),
            "--default-certificate", str(directory / DEFAULT_CERTIFICATE), "--template-dir", str(directory / "templates"), *(("--haproxy", haproxy) if haproxy is not None else ()),
            "--host-network", "--reserved-ports", "", "--listen", f"127.0.0.1:{http_port}", "--pod-name", name,
            sni_port=sni_port,
        )  # fmt: skip

    return router


class FollowingRouter(RouterProcess):
    """One that follows an API server, and so no folder; its log and its threads can be broken."""

    def __init__(self, directory: Path, *options: str, sni_port: int) -> None:
        self.sabotage = Sabotage(directory)
        self.breakable_log = BreakableLog(directory / "log")
        super().__init__(directory, *options, sni_port=sni_port, launcher=self.sabotage.launcher)
        self.files_limit: int | None = None
        """How many files it and its HAProxy may open when it is started next; None is as many as we may."""

    def open_log(self) -> BinaryIO:
        """Give the pipe that its log goes through."""
        return os.fdopen(self.breakable_log.open(), "wb")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, and read its log to the end."""
        code = super().stop(how)
        self.breakable_log.finish()
        self.sabotage.close()
        return code

    def command(self) -> list[str]:
        """Give the command line, without the folder."""
        command = super().command()
        position = command.index("--manifests")
        command = command[:position] + command[position + 2 :]
        if self.files_limit is not None:
            return [sys.executable, few_files.__file__, str(self.files_limit), *command]
        return command
