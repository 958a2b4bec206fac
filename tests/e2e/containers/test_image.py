"""The image: what is in it, what is not, and who runs it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from router import __version__
from tests.e2e.containers.conftest import REVISION
from tests.support.commands import write_manifests
from tests.support.docker_engine import Built
from tests.support.docker_pod import ASSIGNED_UID
from tests.support.objects import app

# The first of them builds the image.
pytestmark = pytest.mark.timeout(900)

MOST_BYTES = 230_000_000
"""Some more than it has; what makes it larger shall be meant."""


@pytest.fixture
def config(built: Built) -> dict[str, Any]:
    """What the image tells engines."""
    found: dict[str, Any] = built.image.attrs["Config"]
    return found


def test_size(built: Built, tell: Callable[[str], None]) -> None:
    """The image is as small as docs/image.md says."""
    size = built.image.attrs["Size"]
    compressed = io.BytesIO()
    with gzip.GzipFile(fileobj=compressed, mode="wb", compresslevel=6) as file:
        for chunk in built.image.save():
            file.write(chunk)
    tell(f"image: {size / 1e6:.0f} MB, {compressed.tell() / 1e6:.0f} MB compressed; built in {built.seconds:.0f} s")
    assert size < MOST_BYTES


def test_who_and_what_is_run(config: dict[str, Any]) -> None:
    """Without being told otherwise an engine runs the router, as a numeric user that is not root, in group 0."""
    uid, _, gid = config["User"].partition(":")
    assert (int(uid) > 0, gid) == (True, "0")
    assert (config["Entrypoint"], config["Cmd"]) == (["tcp-router"], ["run"])
    assert config["StopSignal"] == "SIGUSR1"
    assert not config.get("Volumes")


def test_labels(config: dict[str, Any]) -> None:
    """The labels of the OCI's image specification say what it is, and from which source."""
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in config["Labels"].items() if name.startswith(prefix)}
    assert (labels["version"], labels["revision"]) == (__version__, REVISION)
    assert set(labels) >= {"title", "description", "licenses"}
    assert all(labels.values())


def shell(client: docker.DockerClient, built: Built, script: str, user: str) -> str:
    """Give what a shell script prints in a container of the image, with a read-only root and no network."""
    output: bytes = client.containers.run(
        built.id, ["-ec", script], entrypoint="/bin/sh", user=user, remove=True, network_mode="none",
        read_only=True, cap_drop=["ALL"],
    )  # fmt: skip
    return output.decode()


def test_has_the_programs(docker_client: docker.DockerClient, built: Built) -> None:
    """HAProxy is 3.0, and the router is the version of this checkout."""
    script = "haproxy -v; tcp-router --version"
    said = shell(docker_client, built, script, f"{ASSIGNED_UID}:0")
    assert "HAProxy version 3.0." in said
    assert __version__ in said


def test_check_needs_no_folder_to_write(docker_client: docker.DockerClient, built: Built, tmp_path: Path) -> None:
    """`tcp-router check` finds a place for its files, with a read-only root and nothing mounted but the manifests."""
    folder = tmp_path / "manifests"
    folder.mkdir(mode=0o755)
    (write_manifests(folder, *app("db", 6620, ("10.1.0.1", 5432))) / "0.yaml").chmod(0o644)
    output = docker_client.containers.run(
        built.id, ["check", "/manifests"], user=f"{ASSIGNED_UID}:0", remove=True, network_mode="none", read_only=True,
        volumes={str(folder): {"bind": "/manifests", "mode": "ro"}},
    )  # fmt: skip
    assert "admitted" in output.decode()


def test_lacks_what_builds(docker_client: docker.DockerClient, built: Built) -> None:
    """No compiler, no pip, no caches of apt and pip, no modules that nothing imports."""
    script = """
        for program in cc gcc c++ ld as make pip pip3; do command -v "$program" || true; done
        for module in pip ensurepip setuptools aiohttp kubernetes.aio; do
            python3 -c "import $module" 2>/dev/null && echo "$module" || true
        done
        find /var/lib/apt/lists /var/cache/apt /root -type f -size +0 ! -name ".*"
        find / -xdev -name '*.whl' || true
    """
    assert shell(docker_client, built, script, "0:0") == ""


def test_is_compiled(docker_client: docker.DockerClient, built: Built) -> None:
    """What a start imports is compiled ahead: with a read-only root Python would compile it at every start."""
    script = """
        for modules in router.cli router.cli.run router.cli.haproxy router.cli.cluster; do
            python3 -v -c "import $modules" 2>&1 | grep '^# code object from .*[.]py$' || true
        done
    """
    assert shell(docker_client, built, script, f"{ASSIGNED_UID}:0") == ""


def test_nobody_becomes_somebody_else(docker_client: docker.DockerClient, built: Built) -> None:
    """There is no setuid or setgid program, and no file with capabilities of its own."""
    script = """
        find / -xdev -type f -perm /6000
        python3 - <<'END'
import os
for folder, _, names in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/dev")):
        continue
    for path in (os.path.join(folder, name) for name in names):
        if not os.path.islink(path) and "security.capability" in os.listxattr(path):
            print(path)
END
    """
    assert shell(docker_client, built, script, "0:0") == ""


def test_assigned_user_owns_nothing_but_the_state(docker_client: docker.DockerClient, built: Built) -> None:
    """A uid that OpenShift assigned, in group 0, may write the state directory and the usual temporary ones alone."""
    script = "find / -xdev ! -type l -writable 2>/dev/null | grep -vE '^/(dev|proc|sys)(/|$)' | sort"
    output = docker_client.containers.run(
        built.id, ["-c", script], entrypoint="/bin/sh", user=f"{ASSIGNED_UID}:0", remove=True, network_mode="none"
    )
    assert set(output.decode().split()) <= {"/run/lock", "/tmp", "/var/lib/tcp-router", "/var/tmp"}  # noqa: S108 - told, not used
    assert "/var/lib/tcp-router" in output.decode().split()
