"""One engine and one image for all tests of containers; printed measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import docker
import pytest

from router import __version__
from tests.support.docker_engine import Built, built_image, engine

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """A client of the engine."""
    with engine() as client:
        yield client


@pytest.fixture(scope="session")
def built(docker_client: docker.DockerClient) -> Iterator[Built]:
    """The project's image, built as scripts/image/build does."""
    with built_image(docker_client, VERSION=__version__, REVISION=REVISION) as built:
        yield built


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line that is seen in the output of a run that passes, too."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", flush=True)  # noqa: T201 - printing is its job

    return tell
