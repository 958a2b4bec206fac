"""What HAProxy logs, where to, and who may command it."""

from __future__ import annotations

import json
import re
import socket
import tempfile
import time
from pathlib import Path

from router.model import Model
from router.settings import RenderSettings
from tests.support.certificates import server_context
from tests.support.clients import TIMEOUT_S, connect, reached, served
from tests.support.haproxy import one_route, running
from tests.support.models import section, server, shared
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
