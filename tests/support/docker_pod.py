"""The pod of manifests/base, its two containers on a real engine: arguments, variables, rights and probes are the Deployment's.

What an engine does not have is left out: fields of the pod (``valueFrom``), and who restarts a container, which is the test.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import yaml
from docker.models.containers import Container

from tests.support.docker_engine import ROOT, Built
from tests.support.ports import free_port
from tests.support.router_process import http_get
from tests.support.waiting import wait_for

DEPLOYMENT = ROOT / "manifests" / "base" / "deployment.yaml"
STATE_DIR = "/var/lib/tcp-router"
MANIFESTS = "/manifests"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

ASSIGNED_UID = 1000640000
"""As OpenShift gives them to namespaces; nobody in the image's /etc/passwd."""
_KILLED_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class ContainerTemplate:
    """One container of the Deployment, as far as an engine can follow it."""

    args: tuple[str, ...]
    env: Mapping[str, str]
    rights: Mapping[str, Any]
    """Arguments of the engine that its securityContext stands for."""
    probes: Mapping[str, Mapping[str, Any]]
    """By kind: ``startupProbe`` and so on."""

    @classmethod
    def of(cls, container: Mapping[str, Any]) -> Self:
        """Read a container's manifest."""
        security = container["securityContext"]
        return cls(
            args=tuple(container["args"]),
            env={entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry},
            rights={
                "read_only": security["readOnlyRootFilesystem"],
                "cap_drop": security["capabilities"]["drop"],
                "cap_add": security["capabilities"].get("add", []),
                "security_opt": [] if security["allowPrivilegeEscalation"] else ["no-new-privileges"],
            },
            probes={kind: probe for kind, probe in container.items() if kind.endswith("Probe")},
        )


def containers_of_the_deployment() -> dict[str, ContainerTemplate]:
    """Give the containers by name, the sidecar too."""
    pod = yaml.safe_load(DEPLOYMENT.read_text(encoding="utf-8"))["spec"]["template"]["spec"]
    containers = [*pod.get("initContainers", ()), *pod["containers"]]
    return {container["name"]: ContainerTemplate.of(container) for container in containers}


class DockerPod:
    """One pod; a context manager that takes away all it made.

    Args:
        client: the engine.
        built: the project's image.
        network: ``host``, so that the test's own sockets reach it, or ``container:<id>``.
        router_options: further options of the router's container.
        mounts: folders of this machine that the router's container sees, read-only, by their path there.
        env: further variables of the router's container.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        built: Built,
        *,
        network: str = "host",
        user: str = f"{ASSIGNED_UID}:0",
        router_options: Sequence[str] = (),
        mounts: Mapping[str, Path] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._built = built
        self._network = network
        self._user = user
        self._router_options = tuple(router_options)
        self._mounts = dict(mounts or {})
        self._env = dict(env or {})
        self._name = f"tcp-router-test-{secrets.token_hex(4)}"
        self._templates = containers_of_the_deployment()
        self._undo = contextlib.ExitStack()
        self.http_port = free_port()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._volume = self._client.volumes.create(self._name)
            undo.callback(self._volume.remove, force=True)
            self.haproxy = self._create(undo, "haproxy", (), {}, {})
            listen = {"TCP_ROUTER_LISTEN": f"127.0.0.1:{self.http_port}", **self._env}
            self.router = self._create(undo, "router", self._router_options, listen, self._mounts)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # pytest shows it with failures.
        for container in (self.haproxy, self.router):
            print(f"--- log of {container.name}:\n{self.log(container)}")  # noqa: T201 - see above
        self._undo.close()

    def start(self) -> None:
        """Start both as the kubelet does: HAProxy's first, the router's when HAProxy's startup probe succeeds."""
        self.haproxy.start()
        self.wait_for_probe("haproxy", "startupProbe")
        self.router.start()
        wait_for(self.is_ready, "the router to be ready", 60)

    def wait_for_probe(self, name: str, kind: str) -> None:
        """Wait until an exec probe of the Deployment succeeds in its container."""
        wait_for(lambda: self.probe(name, kind)[0] == 0, f"{kind} of {name} to succeed", 60)

    def exec_probes(self, name: str) -> tuple[str, ...]:
        """Give the kinds of probes that a container of the Deployment has as commands."""
        return tuple(kind for kind, probe in self._templates[name].probes.items() if "exec" in probe)

    def probe(self, name: str, kind: str) -> tuple[int, str]:
        """Run an exec probe of the Deployment; give its exit code and what it said."""
        container = {"haproxy": self.haproxy, "router": self.router}[name]
        return run_in(container, *self._templates[name].probes[kind]["exec"]["command"])

    def is_ready(self) -> bool:
        """Whether the router's /readyz says so."""
        return http_get(self.http_port, "/readyz")[0] == 200

    def admitted(self) -> set[str]:
        """Give the Routes that are admitted, as ``namespace/name``."""
        rows = json.loads(http_get(self.http_port, "/ports")[1])
        return {f"{row['namespace']}/{row['name']}" for row in rows if row["verdict"] == "admitted"}

    def wait_admitted(self, *routes: str) -> None:
        """Wait until these Routes are admitted."""
        wait_for(lambda: set(routes) <= self.admitted(), f"{', '.join(routes)} to be admitted")

    def events(self, container: Container, name: str) -> list[dict[str, Any]]:
        """Give the log lines of this event."""
        lines = [json.loads(line) for line in self.log(container).splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    @staticmethod
    def log(container: Container) -> str:
        """Give what a container wrote since it was made."""
        lines = container.logs(stream=False)
        assert isinstance(lines, bytes)
        return lines.decode(errors="replace")

    @staticmethod
    def kill(container: Container) -> None:
        """End a container's processes with SIGKILL, as the kernel does that lacks memory, and wait for it."""
        container.kill("SIGKILL")
        container.wait(timeout=_KILLED_AFTER_S)

    def begin_stop(self, container: Container) -> None:
        """Send a container the signal by which engines stop containers of the image, and return at once."""
        container.kill(self._built.image.attrs["Config"]["StopSignal"])

    @staticmethod
    def exit_code(container: Container) -> int:
        """Wait for the end of a container; give its exit code."""
        code: int = container.wait(timeout=_KILLED_AFTER_S)["StatusCode"]
        return code

    def _create(
        self,
        undo: contextlib.ExitStack,
        name: str,
        options: Sequence[str],
        env: Mapping[str, str],
        mounts: Mapping[str, Path],
    ) -> Container:
        template = self._templates[name]
        container = self._client.containers.create(
            self._built.id,
            [*template.args, *options],
            name=f"{self._name}-{name}",
            user=self._user,
            environment={**template.env, **env},
            network_mode=self._network,
            volumes={
                self._volume.name: {"bind": STATE_DIR, "mode": "rw"},
                **{str(path): {"bind": place, "mode": "ro"} for place, path in mounts.items()},
            },
            **template.rights,
        )
        undo.callback(container.remove, force=True)
        return container


def run_in(container: Container, *command: str) -> tuple[int, str]:
    """Run a command in a running container; give exit code and output. A container that does not run counts as a failure."""
    with contextlib.suppress(docker.errors.APIError):
        code, output = container.exec_run(list(command))
        assert isinstance(output, bytes)
        return (1 if code is None else code), output.decode(errors="replace")
    return 1, "the container does not run"
