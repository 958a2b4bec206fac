"""``pytest --cluster``: the tests of a whole cluster against real API servers, instead of the one made of HTTP."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from router.supervisor import SUPERVISOR
from tests.support.cluster import REAL_CLUSTERS, Cluster, http_cluster, real_cluster, real_kubeconfig

# Nothing here measures: how long an example takes says how busy the machine is. pytest ends a test that hangs.
hypothesis.settings.register_profile(
    "router",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("router")


@pytest.fixture(autouse=True)
def _no_thread_dies() -> Iterator[None]:
    """Fail a test in which one of the router's threads dies; a test of such deaths has a supervisor of its own."""
    before = SUPERVISOR.deaths
    yield
    assert SUPERVISOR.deaths == before


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what runs in the background, beside other tests; programs that tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


if _PORTS := os.environ.get("TCP_ROUTER_TEST_PORTS"):
    # Benchmarks that tests start take theirs from the same ones as the tests (tests/support/ports.py).
    os.environ.setdefault("TCP_ROUTER_BENCH_FIRST_PORT", _PORTS.partition("-")[0])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption(
        "--cluster",
        action="store_true",
        help="run the tests that have a cluster, and only them, against the API server of KUBECONFIG and against a control "
        "plane started from the binaries in KUBEBUILDER_ASSETS; each is skipped where its variable is not set",
    )
    parser.addoption(
        "--chaos-seconds", type=float, default=25.0, help="how long faults of an API server come at random (default 25)"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that have a cluster on each kind of it."""
    if "cluster_kind" in metafunc.fixturenames:
        kinds = REAL_CLUSTERS if metafunc.config.getoption("--cluster") else ("http",)
        metafunc.parametrize("cluster_kind", kinds, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With the option, leave out what has nothing to do with a cluster."""
    if config.getoption("--cluster"):
        chosen = [item for item in items if "cluster_kind" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.fixture(scope="session")
def kubeconfig_of() -> Iterator[Callable[[str], Path]]:
    """Give the kubeconfig of a kind of cluster; a control plane is started once, for all tests."""
    known: dict[str, Path] = {}
    with contextlib.ExitStack() as stack:

        def give(kind: str) -> Path:
            if kind not in known:
                known[kind] = stack.enter_context(real_kubeconfig(kind))
            return known[kind]

        yield give


@pytest.fixture
def cluster(cluster_kind: str, tmp_path: Path, kubeconfig_of: Callable[[str], Path]) -> Iterator[Cluster]:
    """A cluster with a namespace of the test's own: made of HTTP, or with ``--cluster`` a real one."""
    made = http_cluster(tmp_path) if cluster_kind == "http" else real_cluster(tmp_path, kubeconfig_of(cluster_kind))
    with made as cluster:
        yield cluster
