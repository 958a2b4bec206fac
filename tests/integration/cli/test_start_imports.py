"""What a start of ``tcp-router run`` on an API server imports: what Routes need, and no more, for all that comes later waits for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import router
from tests.support.scripted_api import ScriptedApi, write_kubeconfig

_NOT_AT_START = frozenset(
    {"kubernetes", "watchdog", "websocket", "cryptography", "dns", "asyncio"}
    # What the kubernetes client brings with it, and what structlog would bring: rich itself, which it tries, is among what Python names.
    | {"pygments"}
    | {"requests", "requests_oauthlib", "oauthlib", "dateutil", "pydantic", "durationpy", "google", "certifi"}
)
_IMPORTED = re.compile(r"^import time: .*\| +(\S+)$", re.MULTILINE)
_ON_FIRST_USE = re.compile(
    r"router\.(manifests|demo|kube\.(by_client|portforward)|admission\.network_policy|cluster\.(names|policy_watch|named)"
    r"|cli\.(check|render|ports|claims|haproxy|inputs))\b"
)


def _imported(directory: Path) -> set[str]:
    """Start a router on an API server, wait until it follows it, and give the modules that it has imported by then."""
    with ScriptedApi(lambda _, reply: reply.json({"message": "no"}, 403)) as api:
        kubeconfig = write_kubeconfig(directory / "kubeconfig", api.url, user={"token": "secret"})
        command = [sys.executable, "-X", "importtime", "-m", "router", "run", "--kubeconfig", str(kubeconfig)]
        command += ["--state-dir", str(directory / "state"), "--listen", "127.0.0.1:0", "--log-format", "json"]
        with subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(router.__file__).parents[1],
            env={"PATH": os.environ["PATH"]},
        ) as process:
            try:
                assert process.stderr is not None
                lines = []
                for line in process.stderr:
                    lines.append(line)
                    if '"watch failed"' in line and '"routes"' in line:
                        break
            finally:
                process.terminate()
                rest = process.stderr.read() if process.stderr is not None else ""
    text = "".join(lines)
    assert "router started" in text, text[-2000:] + rest
    return set(_IMPORTED.findall(text))


def test_what_is_not_needed_for_routes_is_imported_on_first_use(tmp_path: Path) -> None:
    """No kubernetes client, manifests, demo, other commands or tables for people."""
    modules = _imported(tmp_path)
    assert "router.cli.cluster" in modules
    assert {name.partition(".")[0] for name in modules} & _NOT_AT_START == set()
    assert sorted(filter(_ON_FIRST_USE.match, modules)) == []


def test_haproxy_alone_waits_for_no_router(tmp_path: Path) -> None:
    """The command of HAProxy's container imports nothing of admission, templates or metrics: a HAProxy that was restarted serves before."""
    command = [sys.executable, "-X", "importtime", "-m", "router", "haproxy", "--probe", "--state-dir", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(router.__file__).parents[1], timeout=60
    )
    modules = set(_IMPORTED.findall(done.stderr))
    assert "router.haproxy.process.bootstrap" in modules, done.stderr[-2000:]
    assert {name.partition(".")[0] for name in modules} & ({"jinja2", "prometheus_client"} | _NOT_AT_START) == set()
    assert (
        sorted(filter(re.compile(r"router\.(render|plan|reconcile|cluster|status|admission\.decide)\b").match, modules))
        == []
    )


def test_a_kept_configuration_waits_for_no_router() -> None:
    """What ``tcp-router run`` imports before it starts HAProxy on what is kept has nothing of the router's parts, the API or metrics."""
    command = [sys.executable, "-X", "importtime", "-c", "import router.cli.run, router.haproxy.kept"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(router.__file__).parents[1], timeout=60
    )
    modules = set(_IMPORTED.findall(done.stderr))
    assert "router.haproxy.kept" in modules
    assert {name.partition(".")[0] for name in modules} & (
        {"jinja2", "prometheus_client", "urllib3", "ssl", "http"} | _NOT_AT_START
    ) == set()
    parts = re.compile(
        r"router\.(render|plan|cluster|kube|status|observe|admission\.decide|cli\.(run_settings|assemble))\b"
    )
    assert sorted(filter(parts.match, modules)) == []


def test_the_api_server_is_asked_before_the_router_s_parts_are_imported() -> None:
    """It makes its lists meanwhile: what asks it needs nothing of what reads them, nor of a HAProxy that is kept."""
    command = [sys.executable, "-X", "importtime", "-c", "import router.cli.run, router.cli.asked"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(router.__file__).parents[1], timeout=60
    )
    modules = set(_IMPORTED.findall(done.stderr))
    assert "router.kube.ahead" in modules
    parts = re.compile(
        r"router\.(render|plan|cluster|status|observe|admission\.decide|haproxy\.(kept|talk|generations)|cli\.assemble)\b"
    )
    assert sorted(filter(parts.match, modules)) == []
