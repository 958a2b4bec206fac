"""What the demo writes into its folder and what it prints, as text."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from router.demo.gateway import GATEWAY
from router.demo.manifests import CACHE, FILES, MAIL, QUOTA, Layout, manifests
from router.demo.stage import write_manifests
from router.demo.table import Access, PortEntry, table, try_command
from tests.support.seed import SEED_ROUTE

LAYOUT = Layout(
    cache_port=6620,
    mail_port=6621,
    spare_port=6622,
    cache_endpoint=40001,
    mail_endpoint=40002,
    vault_endpoint=40003,
    queue_port=6627,
    queue_endpoint=40004,
)
ACCESS = Access(8443, Path("/tmp/a b/vault.pem"), gateway_tls_port=6635)  # noqa: S108 - a path that is only printed


def test_first_route_is_the_one_the_project_started_from() -> None:
    """The demo shows the seed's Route, to the letter."""
    assert SEED_ROUTE in manifests(LAYOUT)[CACHE]


def test_every_file_is_yaml_with_one_asker() -> None:
    """Each file has one Route, or a Service that asks by itself, or a claim, and a Service with its EndpointSlice where it leads to one of its own."""
    for name, text in manifests(LAYOUT).items():
        kinds = [document["kind"] for document in yaml.safe_load_all(text)]
        if name == QUOTA:
            # Of a namespace that may have less than is asked for in it.
            assert kinds == ["Namespace", "Route", "Route", "Service", "EndpointSlice"]
            continue
        if name == GATEWAY:
            assert kinds == ["GatewayClass", "Gateway", "TCPRoute", "TLSRoute", "TCPRoutePolicy"]
            continue
        assert kinds in (
            ["Route"],
            ["Route", "Service", "EndpointSlice"],
            ["Service", "EndpointSlice"],
            ["TransportServerClaim"],
        )


def test_without_the_echo_its_file_is_gone() -> None:
    """A layout without an endpoint of the echo has no Route to it."""
    assert set(manifests(replace(LAYOUT, cache_endpoint=None))) == set(FILES) - {CACHE}


def test_writing_touches_only_what_changed(tmp_path: Path) -> None:
    """An edit rewrites one file, leaves the others and foreign ones alone, and no draft behind."""
    (tmp_path / "mine.yaml").write_text("kind: List\n")
    write_manifests(tmp_path, LAYOUT)
    inodes = {name: (tmp_path / name).stat().st_ino for name in FILES}
    write_manifests(tmp_path, replace(LAYOUT, mail_port=6623))
    assert {name for name in FILES if (tmp_path / name).stat().st_ino != inodes[name]} == {MAIL}
    write_manifests(tmp_path, replace(LAYOUT, cache_endpoint=None))
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "mine.yaml"} - {CACHE}


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        pytest.param(
            PortEntry(namespace="a", name="b", verdict="admitted", port=6620),
            "6620  a/b    admitted  printf 'hello\\n' | nc -w 2 127.0.0.1 6620",
            id="port of its own",
        ),
        pytest.param(
            PortEntry(namespace="a", name="b", verdict="admitted", host="x.example.com"),
            "8443  a/b    admitted  openssl s_client -brief -connect 127.0.0.1:8443 -servername x.example.com"
            " -CAfile '/tmp/a b/vault.pem' </dev/null",
            id="SNI port",
        ),
        pytest.param(
            PortEntry(namespace="a", name="b", verdict="admitted", port=6631, certificate="some"),
            "6631  a/b    admitted  openssl s_client -brief -connect 127.0.0.1:6631 -servername mail.example.com"
            " -CAfile '/tmp/a b/vault.pem' </dev/null",
            id="TLS that the router ends",
        ),
        pytest.param(
            PortEntry(namespace="default", name="demo", kind="Gateway", section="queue", verdict="admitted", port=6634),
            "6634  Gateway default/demo queue  admitted  printf 'hello\\n' | nc -w 2 127.0.0.1 6634",
            id="listener",
        ),
        pytest.param(
            PortEntry(namespace="default", name="keys", kind="TLSRoute", verdict="admitted"),
            "-     TLSRoute default/keys  admitted  openssl s_client -brief -connect 127.0.0.1:6635 -servername keys.example.com"
            " -CAfile '/tmp/a b/vault.pem' </dev/null",
            id="TLSRoute",
        ),
        pytest.param(
            PortEntry(namespace="a", name="b", verdict="rejected", port=1, reason="PortReserved", message="no"),
            "1     a/b    rejected  PortReserved: no",
            id="rejected",
        ),
        pytest.param(
            PortEntry(namespace="a", name="b", verdict="rejected", reason="InvalidPort", message="no"),
            "-     a/b    rejected  InvalidPort: no",
            id="rejected without a port",
        ),
    ],
)
def test_table_line(entry: PortEntry, line: str) -> None:
    """A line says how to try the Route, or why it is rejected."""
    assert table([entry], ACCESS).splitlines()[1] == line


def test_without_netcat_and_openssl_python_does() -> None:
    """It is what the demo itself needs; what it is told to do is Python."""
    access = replace(ACCESS, programs=frozenset())
    for entry in (
        PortEntry(namespace="a", name="b", verdict="admitted", port=6620),
        PortEntry(namespace="a", name="b", verdict="admitted", host="x.example.com"),
    ):
        python, option, program = shlex.split(try_command(entry, access))
        assert (python, option) == ("python3", "-c")
        compile(program, "demo", "exec")
        assert ("x.example.com" in program) == (entry.port is None)
