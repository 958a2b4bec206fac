"""The container engine that tests talk to, and the project's image built in it.

DOCKER_HOST says where the engine is, as for the ``docker`` command; IMAGE_BASE is the base to build on where that of the
Containerfile cannot be pulled. scripts/image/with-engine sets both.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import BuildError, DockerException
from docker.models.images import Image

ROOT = Path(__file__).parents[2]

_UNIX = "unix://"
_DEFAULT_HOST = f"{_UNIX}/var/run/docker.sock"
_ENGINE_TIMEOUT_S = 120
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Built:
    """An image, and how long its building took."""

    image: Image
    seconds: float

    @property
    def id(self) -> str:
        """What containers are made from."""
        return str(self.image.id)


@contextlib.contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """Give a client of the engine; without one the test is skipped, or fails where ``CI`` is ``true``."""
    try:
        _look_for_socket()
        client = docker.from_env(timeout=_ENGINE_TIMEOUT_S)
    except (OSError, DockerException) as error:
        message = f"needs a container engine, as scripts/image/with-engine starts one: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    with contextlib.closing(client):
        yield client


def _look_for_socket() -> None:
    """Raise OSError where the engine has a socket and does not listen on it. Its client would leave one open, and Python warn of it."""
    host = os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
    if host.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(host.removeprefix(_UNIX))


@contextlib.contextmanager
def built_image(client: docker.DockerClient, **build_arguments: str) -> Iterator[Built]:
    """Build the Containerfile, and take the image away again; layers are kept, for the next time."""
    tag = f"tcp-router-test:{secrets.token_hex(4)}"
    arguments = {name: os.environ[name] for name in _PROXIES if name in os.environ} | build_arguments
    if base := os.environ.get("IMAGE_BASE"):
        arguments["BASE"] = base
    begun_s = time.monotonic()
    try:
        image, _ = client.images.build(
            path=str(ROOT),
            dockerfile="Containerfile",
            tag=tag,
            buildargs=arguments,
            network_mode="host",
            rm=True,
            forcerm=True,
        )
    except BuildError as error:
        said = "".join(str(line.get("stream", line.get("error", ""))) for line in error.build_log)
        pytest.fail(f"the image cannot be built: {error}\n{said[-4000:]}", pytrace=False)
    try:
        yield Built(image, time.monotonic() - begun_s)
    finally:
        client.images.remove(tag, force=True, noprune=True)
