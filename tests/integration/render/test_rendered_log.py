"""What HAProxy logs, where to, and who may command it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import tempfile
import time
from pathlib import Path

import pytest

from router.model import ConnectionLimit, Model
from router.render import TemplateSet
from router.settings import RenderSettings
from tests.support.certificates import server_context
from tests.support.clients import TIMEOUT_S, connect, reached, served
from tests.support.haproxy import one_route, running
from tests.support.hellos import client_hello, records
from tests.support.models import port_options, section, server, shared
from tests.support.ports import free_port
from tests.support.servers import echo_server, tls_server
from tests.support.waiting import wait_for


def test_text_log_line(settings: RenderSettings) -> None:
    """A line has the fields of option tcplog, then the Route."""
    with echo_server() as pod, one_route(settings, pod) as (port, haproxy):
        assert served(port)
        line = haproxy.log_line("be_tcp")
    assert re.fullmatch(
        rf"::ffff:127\.0\.0\.1:\d+ \[[^]]+] fe_tcp:{port} be_tcp:team:db/pod:pod-1:svc:tcp:127\.0\.0\.1:{pod.port} "
        r"\d+/\d+/\d+ 4 -- 1/1/0/0/0 0/0 namespace=team route=db",
        line,
    )


def test_json_log_line(state_dir: Path, tmp_path: Path) -> None:
    """With JSON each line is an object, on own and on shared ports, with and without a Route found."""
    own, common = free_port(), free_port()
    settings = RenderSettings(state_dir=state_dir, ip_mode="v4", log_json=True)
    with tls_server(server_context(tmp_path, "a.example.com"), b"hello") as pod:
        route = section("a", own, server(pod.port), check_interval_ms=0)
        empty = section("b", None, namespace="other")
        hosts = {"a.example.com": route, "b.example.com": empty}
        with running(Model((empty, route), (shared(common, hosts),)), settings) as haproxy:
            began_s = time.time()
            for port, host in ((own, "a.example.com"), (common, "a.example.com")):
                assert reached(port, host) == b"hello"
            assert reached(common, "b.example.com") is None
            assert reached(common, "c.example.com") is None
            with connect(common) as leaving:
                # The beginning of a ClientHello, and no more.
                leaving.sendall(b"\x16\x03\x01\x02")
            lines = wait_for(
                lambda: found if len(found := [x for x in haproxy.log_lines() if x.startswith("{")]) == 5 else None,
                "a line for each connection",
            )
    assert lines is not None
    entries = [json.loads(line) for line in lines]
    seen = sorted((entry["port"] == common, entry["namespace"], entry["route"]) for entry in entries)
    assert seen == [(False, "team", "a"), (True, "-", "-"), (True, "-", "-"), (True, "other", "b"), (True, "team", "a")]
    entry = next(entry for entry in entries if entry["port"] == own)
    assert entry["client"] == "127.0.0.1"
    assert entry["server"] == f"pod:pod-1:svc:tcp:127.0.0.1:{pod.port}"
    assert entry["bytes_in"] > 0
    assert entry["bytes_out"] > 0
    assert entry["termination_state"] in {"--", "CD", "SD"}
    assert abs(entry["accepted"] - began_s) < 10
    assert time.strptime(entry["time"], "%Y-%m-%dT%H:%M:%SZ")


def test_connection_without_data_is_not_logged(settings: RenderSettings) -> None:
    """Probes of load balancers leave no line."""
    with echo_server() as pod, one_route(settings, pod) as (port, haproxy):
        with connect(port):
            wait_for(lambda: pod.accepted == 1, "the connection to reach the pod")
        wait_for(lambda: pod.open_connections == 0, "the connection to end")
        assert served(port)
        # HAProxy writes lines in the order in which connections end.
        haproxy.log_line(" 4 -- ")
        assert len([line for line in haproxy.log_lines() if "fe_tcp" in line and "be_tcp" in line]) == 1


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 3306\r\nhello", b"no header at all\r\n"])
def test_the_port_is_the_one_that_the_connection_came_in_by(state_dir: Path, header: bytes) -> None:
    """Whatever a PROXY header says of the load balancer's own, and where it is broken; with which client, it may say."""
    settings = RenderSettings(state_dir=state_dir, ip_mode="v4", log_json=True)
    with echo_server() as pod, one_route(settings, pod, {"accept_proxy": True}) as (port, haproxy):
        with connect(port) as connection:
            connection.sendall(header)
            with contextlib.suppress(ConnectionResetError):
                connection.recv(100)
        entry = json.loads(haproxy.log_line('"port"'))
    assert (entry["port"], entry["namespace"], entry["route"]) == (port, "team", "db")
    assert entry["client"] == ("192.0.2.1" if header.startswith(b"PROXY") else "127.0.0.1")


def test_the_port_on_a_shared_port_behind_a_load_balancer(state_dir: Path, tmp_path: Path) -> None:
    """As on a Route's own; also while no Route is found, and where the PROXY header is broken."""
    settings = RenderSettings(state_dir=state_dir, ip_mode="v4", log_json=True)
    common = free_port()
    with tls_server(server_context(tmp_path, "a.example.com"), b"hello") as pod:
        route = section("a", None, server(pod.port), check_interval_ms=0)
        frontend = shared(common, {"a.example.com": route}, port_options(accept_proxy=True))
        with running(Model((route,), (frontend,)), settings) as haproxy:
            for host in ("a.example.com", "b.example.com"):
                with connect(common) as connection:
                    connection.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 443\r\n" + records(client_hello(host)))
                    with contextlib.suppress(ConnectionResetError):
                        connection.recv(100)
            with connect(common) as connection:
                connection.sendall(b"no header at all\r\n")
                with contextlib.suppress(ConnectionResetError):
                    connection.recv(100)
            lines = wait_for(
                lambda: found if len(found := [x for x in haproxy.log_lines() if x.startswith("{")]) == 3 else None,
                "a line for each connection",
            )
    assert lines is not None
    assert [json.loads(line)["port"] for line in lines] == [common] * 3


def test_a_port_of_the_admins_own_has_no_number(state_dir: Path, tmp_path: Path) -> None:
    """A frontend that a template adds has a name of its own: the line is an object all the same."""
    settings = RenderSettings(state_dir=state_dir, ip_mode="v4", log_json=True)
    own = free_port()
    (tmp_path / "shared.cfg.j2").write_text(
        f'{{% include "packaged/shared.cfg.j2" %}}\nfrontend odd\n  bind 127.0.0.1:{own}\n  timeout client 9s\n  tcp-request inspect-delay 5s\n'
        "  tcp-request content reject if { req.len gt 3 }\n"
    )
    model = Model((), (shared(free_port(), {}),))
    with running(model, settings, TemplateSet.load(tmp_path)) as haproxy:
        with connect(own) as connection:
            connection.sendall(b"hello")
            connection.recv(100)
        assert json.loads(haproxy.log_line('"port"'))["port"] == 0


def test_a_connection_over_a_limit_is_not_logged(settings: RenderSettings) -> None:
    """Neither where its client spoke before it was turned away; others of the same Route are."""
    limit = ConnectionLimit(None, 1)
    with echo_server() as pod, one_route(settings, pod, connection_limit=limit) as (port, haproxy):
        assert served(port, source="127.0.0.1")
        assert not any(served(port, source="127.0.0.1") for _ in range(20))
        assert served(port, source="127.0.0.2")
        # HAProxy writes lines in the order in which connections end.
        haproxy.log_line("127.0.0.2:")
        assert len([line for line in haproxy.log_lines() if "fe_tcp" in line and "namespace=" in line]) == 2
        rows = [line.split(",") for line in haproxy.ask("show stat").splitlines() if line.startswith(f"fe_tcp:{port}")]
    # They are counted, though: dreq.
    assert [row[10] for row in rows] == ["20"]


def test_a_client_that_is_not_on_the_allowlist_is_logged_once_it_spoke(settings: RenderSettings) -> None:
    """So that its owner finds out with which address it came."""
    with echo_server() as pod, one_route(settings, pod, allowlist=("127.0.0.2",)) as (port, haproxy):

        def is_logged() -> bool:
            served(port)
            return any(" PR " in line and "127.0.0.1:" in line for line in haproxy.log_lines())

        wait_for(is_logged, "a line of a client whose bytes were read before it was turned away")


def test_events_of_ports_and_servers_are_no_log_lines(settings: RenderSettings) -> None:
    """Where connections are logged nothing else is: HAProxy says it on standard error too, where it is filtered."""
    with echo_server() as pod, one_route(settings, pod) as (port, haproxy):
        for change in (
            f"disable frontend fe_tcp:{port}",
            f"set server be_tcp:team:db/{server(pod.port, pod.address).name} state maint",
            f"set server be_tcp:team:db/{server(pod.port, pod.address).name} state ready",
            f"enable frontend fe_tcp:{port}",
        ):
            assert not haproxy.ask(change).strip()
        assert served(port)
        haproxy.log_line(" 4 -- ")
        lines = haproxy.log_lines()
    on_stderr = [line for line in lines if line.startswith("[")]
    assert any("Paused frontend" in line for line in on_stderr)
    assert any("going DOWN" in line for line in on_stderr)
    assert [line for line in lines if line not in on_stderr and "namespace=team route=db" not in line] == []


def test_log_to_a_syslog_socket(state_dir: Path) -> None:
    """Lines go to the syslog socket that is named, with syslog's header."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog, tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "my log"
        syslog.bind(str(path))
        syslog.settimeout(TIMEOUT_S)
        settings = RenderSettings(state_dir=state_dir, log_address=str(path))
        with echo_server() as pod, one_route(settings, pod) as (port, _):
            assert served(port)
            messages = iter(lambda: syslog.recv(65536).decode(), "")
            assert next(message for message in messages if "be_tcp:team:db/" in message).startswith("<134>")


def test_stats_socket_is_for_the_owner_alone(settings: RenderSettings) -> None:
    """Nobody else on the machine can command HAProxy."""
    with running(Model(), settings):
        assert settings.stats_socket.stat().st_mode & 0o777 == 0o600


def test_a_syslog_server_gets_lines_of_connections_alone(state_dir: Path) -> None:
    """None for each port that is closed or opened, nor for each server that changes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog, echo_server() as pod:
        syslog.bind(("127.0.0.1", 0))
        syslog.settimeout(TIMEOUT_S)
        address = f"127.0.0.1:{syslog.getsockname()[1]}"
        settings = RenderSettings(state_dir=state_dir, log_json=True, log_address=address)
        with one_route(settings, pod) as (port, haproxy):
            name = f"be_tcp:team:db/{haproxy.ask('show servers state').splitlines()[2].split()[3]}"
            for command in (f"set server {name} state maint", f"set server {name} state ready"):
                haproxy.ask(command)
            for command in (f"disable frontend fe_tcp:{port}", f"enable frontend fe_tcp:{port}"):
                haproxy.ask(command)
            assert served(port)
            first = syslog.recv(65536).decode()
    assert first.startswith("<134>")
    assert '"route":"db"' in first
