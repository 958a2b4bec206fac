"""The commands of docs/transport-server-claims.md, line by line, with kubectl, as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_transport_server_claims import rights
from tests.support.cluster import Cluster, http_cluster, write_kubeconfig
from tests.support.objects import endpoint_slice, service
from tests.support.ports import free_port
from tests.support.programs import requires_program
from tests.support.waiting import wait_for

PAGE = Path(__file__).parents[2] / "docs" / "transport-server-claims.md"
NAMESPACE, ADDRESS, PORT = "yourlicenceplate-dev", "142.34.194.68", "36760"
"""As the page has them."""
OURS = "127.0.0.1"
_BLOCK = re.compile(r"```(yaml|console)\n(.*?)```", re.DOTALL)
_VARYING = frozenset({"AGE", "CLUSTER-IP"})
"""Columns whose values are nobody's to say."""
_AGE = re.compile(r"\d+[smhd]")


@dataclass(slots=True)
class Step:
    """A command, and what it prints."""

    command: str
    printed: list[str] = field(default_factory=list)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The cluster made of HTTP."""
    with http_cluster(tmp_path) as made:
        yield made


def blocks(language: str) -> list[str]:
    """Give the blocks of the page in one language."""
    return [text for found, text in _BLOCK.findall(PAGE.read_text("utf-8")) if found == language]


def steps() -> list[Step]:
    """Read the page's commands."""
    found: list[Step] = []
    (text,) = blocks("console")
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line.removeprefix("$ ")))
        else:
            found[-1].printed.append(line)
    return found


def differs(wanted: list[str], printed: str) -> str:
    """Say in what a command's output is not what the page says; no text where it is."""
    lines = printed.splitlines()
    if wanted[0] == "...":
        missing = [line for line in wanted[1:] if line not in lines]
        return f"without {missing}: {printed}" if missing else ""
    if len(lines) != len(wanted):
        return printed
    if wanted[0].startswith("NAME "):
        heads = wanted[0].split()
        told = zip((line.split() for line in wanted), (line.split() for line in lines), strict=True)
        right = all(
            len(one) == len(other)
            and all(a == b or (head in _VARYING and b) for head, a, b in zip(heads, one, other, strict=True))
            for one, other in told
        )
        return "" if right and _AGE.fullmatch(lines[-1].split()[-1]) else printed
    return "" if lines == wanted else printed


def shell(cluster: Cluster, directory: Path, port: str) -> Callable[[str], str]:
    """Give what makes a command of the page one of this cluster, runs it, and gives what it prints as the page would have it."""
    kubectl = requires_program("kubectl")
    kubeconfig = write_kubeconfig(directory / "admin", cluster.client, "admin")
    commands = directory / "bin"
    commands.mkdir()
    oc = commands / "oc"
    oc.write_text(
        f'#!/bin/sh\nexec {shlex.quote(str(kubectl))} --kubeconfig {kubeconfig} --cache-dir {directory}/cache "$@"\n'
    )
    oc.chmod(0o755)

    def run(command: str) -> str:
        here = command.replace(NAMESPACE, cluster.namespace).replace(ADDRESS, OURS).replace(PORT, port)
        done = subprocess.run(
            ["bash", "-c", here], cwd=directory, env={"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(directory)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        return said.replace(cluster.namespace, NAMESPACE).replace(OURS, ADDRESS).replace(port, PORT)

    return run


def test_the_documents_commands(cluster: Cluster, tmp_path: Path) -> None:
    """Each prints what the page says, in its order; the port that is tried leads to the pod."""
    for text in blocks("yaml"):
        name, document = text.partition("\n")[0].removeprefix("# "), yaml.safe_load(text)
        document["metadata"]["namespace"] = cluster.namespace
        (tmp_path / name).write_text(yaml.safe_dump(document))
    port = free_port()
    made = service("yourservice", 8000)
    made["spec"]["selector"] = {"name": "yourappslabel"}
    cluster.create(made, *endpoint_slice("yourservice", cluster.pod()))
    cluster.router(
        "--transport-server-claims", "--claim-ports", str(port), "--canonical-hostname", OURS, rights=rights(cluster.namespace)
    ).start()  # fmt: skip
    run = shell(cluster, tmp_path, str(port))
    for step in steps():
        if step.command.endswith("get tscs"):
            # A team looks again until it is there.
            wait_for(lambda: "Served" in run("oc -n yourlicenceplate-dev get tscs"), "the claim to be served")
        assert differs(step.printed, run(step.command)) == "", step.command


def test_the_page_has_the_documents_commands() -> None:
    """Those that a team copies from it, letter by letter; the manifests are the document's own."""
    commands = [step.command for step in steps()]
    for each in (
        "oc -n yourlicenceplate-dev apply -f yourservice-tsc.yaml",
        "oc -n yourlicenceplate-dev get tscs",
        "oc -n yourlicenceplate-dev get tscs yourservice-tsc -o yaml",
        f'timeout 5 bash -c ">/dev/tcp/{ADDRESS}/{PORT}"; echo $?',
    ):
        assert each in commands
    assert [text.partition("\n")[0] for text in blocks("yaml")] == [
        "# yourservice-tsc.yaml",
        "# allow-from-f5-ingress.yaml",
    ]
