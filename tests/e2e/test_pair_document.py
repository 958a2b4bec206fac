"""The commands of docs/pair.md, line by line, with kubectl, between two clusters with routers and HAProxies of their own."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.pairing import SHOP, Clusters
from tests.support.programs import requires_program
from tests.support.servers import echo_server
from tests.support.two_networks import Place, two_networks

PAGE = Path(__file__).parents[2] / "docs" / "pair.md"
NAMESPACE, PORT = "yourlicenceplate-dev", "36760"
ADDRESSES = {"gold": "142.34.229.62", "golddr": "142.34.64.62"}
"""As the page has them."""
_CLAIM = {
    "apiVersion": "porter.devops.gov.bc.ca/v1alpha1",
    "kind": "TransportServerClaim",
    "metadata": {"name": "yourservice-tsc", "namespace": SHOP},
    "spec": {"monitor": {"interval": 10, "timeout": 10, "type": "tcp"}, "service": "yourservice", "servicePort": 8000},
}
_LINE = re.compile(r"\((gold|golddr)\)\$ (.*)")


def steps() -> list[tuple[str, str, list[str]]]:
    """Read the first block: for each command the cluster, and what it prints."""
    found: list[tuple[str, str, list[str]]] = []
    for line in PAGE.read_text("utf-8").split("```\n")[1].splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            found.append((match[1], match[2], []))
        else:
            found[-1][2].append(line)
    return found


def shell(two: Clusters, directory: Path, gold: Place, golddr: Place) -> Callable[[str, str, str], str]:
    """Give what makes a command of the page one of these clusters, runs it in one, and gives what it prints as the page would have it."""
    kubectl = requires_program("kubectl")
    places = {"gold": gold, "golddr": golddr}
    for number, name in enumerate(places):
        commands = directory / f"bin-{name}"
        commands.mkdir()
        oc = commands / "oc"
        cache = directory / f"cache-{name}"
        oc.write_text(
            f'#!/bin/sh\nexec {shlex.quote(str(kubectl))} --kubeconfig {two.admins(number)} --cache-dir {cache} "$@"\n'
        )
        oc.chmod(0o755)

    def run(where: str, command: str, port: str) -> str:
        here = command.replace(NAMESPACE, SHOP).replace(PORT, port)
        for name, address in ADDRESSES.items():
            here = here.replace(address, places[name].address)
        with places[where].entered():
            done = subprocess.run(
                ["bash", "-c", here], cwd=directory, env={"PATH": f"{directory}/bin-{where}:/usr/bin:/bin", "HOME": str(directory)},
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        said = done.stdout + done.stderr
        # The longer one first: it begins with the other.
        for name in ("gold", "golddr"):
            said = said.replace(places[name].address, ADDRESSES[name])
        return said.replace(port, PORT)

    return run


def words(lines: list[str]) -> list[list[str]]:
    """Give lines by their words, without what tells an age."""
    return [[word for word in line.split() if not re.fullmatch(r"\d+[smh]", word)] for line in lines]


@pytest.mark.timeout(180)
def test_the_documents_commands(tmp_path: Path) -> None:
    """Each prints what the page says, in its order; the ports that are tried lead to pods of the other cluster."""
    with two_networks(tmp_path) as (two, gold, golddr):
        for place in (gold, golddr):
            place.serve("yourservice", 8000)
            # kubectl shows no token where there is no TLS.
            place.server.tokens.add("")
        (tmp_path / "yourservice-tsc.yaml").write_text(yaml.safe_dump(_CLAIM))
        two.pair().start()
        run = shell(two, tmp_path, gold, golddr)
        port = PORT
        with golddr.entered():
            there = echo_server(b"", golddr.pod(1), 8000)
        with echo_server(b"", gold.pod(1), 8000), there:
            for where, command, printed in steps():
                if command.endswith("get tscs"):
                    two.wait_for("yourservice-tsc", Linked="Written", PeerReachable="Reachable", Ready="Served")
                    claim = two.gold.get("TransportServerClaim", SHOP, "yourservice-tsc")
                    assert claim is not None
                    port = claim["status"]["port"]
                assert words(run(where, command, port).splitlines()) == words(printed), (where, command)
