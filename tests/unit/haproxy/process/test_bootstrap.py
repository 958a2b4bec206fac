"""What a HAProxy that is started by itself finds: which ports a configuration has, and what is done with one that is of no use."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from router.haproxy.process.binary import HaproxyBinary, find_binary
from router.haproxy.process.bootstrap import Bind, binds, prepare, small_config
from router.haproxy.process.check import check_config
from router.settings import RenderSettings
from tests.support.counting import instructions
from tests.support.haproxy_control import configuration
from tests.support.ports import free_port

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def binary() -> HaproxyBinary:
    """The HAProxy of the tests."""
    return find_binary()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("bind [::]:6620 v4v6", [Bind(6620, "v4v6")], id="both families"),
        pytest.param("bind [::]:6620 v6only", [Bind(6620, "v6")], id="IPv6 alone"),
        pytest.param("bind ipv4@*:6620", [Bind(6620, "v4")], id="IPv4 alone"),
        pytest.param("bind 192.0.2.1:6620 accept-proxy", [Bind(6620, "v4", "192.0.2.1")], id="an IPv4 address"),
        pytest.param("bind [2001:db8::1]:6620 v6only", [Bind(6620, "v6", "2001:db8::1")], id="an IPv6 address"),
        pytest.param("bind :80,:443", [Bind(80, "v4"), Bind(443, "v4")], id="several"),
        pytest.param("bind /run/x.sock", [], id="a UNIX socket"),
        pytest.param("bind unix@x.sock", [], id="a UNIX socket by prefix"),
        pytest.param('bind "${ADDRESS}:80"', [], id="an environment variable"),
        pytest.param("bind :5000-5010", [], id="a range"),
        pytest.param("# bind :80", [], id="a comment"),
        pytest.param("stats socket /run/x.sock", [], id="no bind"),
    ],
)
def test_ports_are_read_off_a_configuration(line: str, expected: list[Bind]) -> None:
    """Each plain form of ``bind`` names its port and addresses; what is no plain form is passed over."""
    assert binds(f"frontend x\n  {line}\n  mode tcp\n") == tuple(expected)


def test_to_read_the_ports_of_thousands_of_routes_takes_little() -> None:
    """Clients wait for it when HAProxy was restarted: Python's instructions for each port."""
    ports = range(20_000, 21_000)
    text = "".join(f"frontend fe_tcp:{port}\n  bind 127.0.0.1:{port} tcp-ut 120000ms\n  mode tcp\n" for port in ports)
    assert len(binds(text)) == len(ports)
    assert instructions(lambda: binds(text)) / len(ports) < 95


@pytest.mark.parametrize("name", ["state", "a b", "it's"])
def test_the_small_configuration_is_one(tmp_path: Path, binary: HaproxyBinary, name: str) -> None:
    """HAProxy accepts it without a word, wherever the sockets are."""
    config = tmp_path / "haproxy.cfg"
    config.write_bytes(small_config(tmp_path / name / "haproxy.sock"))
    result = check_config(binary, config, DEADLINE_S)
    assert result.accepted
    assert [each.message for each in result.diagnostics if each.severity != "notice"] == []


@pytest.fixture
def settings(tmp_path: Path) -> RenderSettings:
    """Settings of a state directory that is not there yet."""
    return RenderSettings(state_dir=tmp_path / "state")


def test_an_empty_directory_is_furnished(settings: RenderSettings, binary: HaproxyBinary) -> None:
    """Folders for sockets and maps, and a configuration that serves nothing."""
    config = settings.state_dir / "haproxy.cfg"
    assert not prepare(binary, config, settings, DEADLINE_S)
    assert config.read_bytes() == small_config(settings.stats_socket)
    assert settings.maps_dir.is_dir()
    assert settings.master_socket.parent.is_dir()
    assert prepare(binary, config, settings, DEADLINE_S), "its own configuration is a good one"


def test_a_good_configuration_is_kept(settings: RenderSettings, binary: HaproxyBinary) -> None:
    """Not a byte of it is changed."""
    settings.state_dir.mkdir()
    config = settings.state_dir / "haproxy.cfg"
    text = configuration(settings.stats_socket, [free_port()], 1)
    config.write_text(text)
    assert prepare(binary, config, settings, DEADLINE_S)
    assert config.read_text() == text
    assert not config.with_name("haproxy.cfg.refused").exists()


def test_what_haproxy_refuses_is_put_aside(settings: RenderSettings, binary: HaproxyBinary) -> None:
    """It can still be looked at; one that was put aside earlier gives way."""
    settings.state_dir.mkdir()
    config = settings.state_dir / "haproxy.cfg"
    for text in ("nonsense\n", "", "frontend x\n  bind :1\n"):
        config.write_text(text)
        assert not prepare(binary, config, settings, DEADLINE_S)
        assert config.read_bytes() == small_config(settings.stats_socket)
        assert config.with_name("haproxy.cfg.refused").read_text() == text


def test_a_port_of_somebody_else_puts_a_configuration_aside(settings: RenderSettings, binary: HaproxyBinary) -> None:
    """HAProxy would accept it, and then not start."""
    settings.state_dir.mkdir()
    config = settings.state_dir / "haproxy.cfg"
    with socket.create_server(("127.0.0.1", 0)) as other:
        config.write_text(configuration(settings.stats_socket, [other.getsockname()[1]], 1))
        assert not prepare(binary, config, settings, DEADLINE_S)
    assert config.read_bytes() == small_config(settings.stats_socket)


def test_what_haproxy_judges_by_starting_is_not_judged_before(settings: RenderSettings, binary: HaproxyBinary) -> None:
    """It is kept, whatever HAProxy would say; but not without a socket for the router, nor on somebody else's port."""
    settings.state_dir.mkdir()
    config = settings.state_dir / "haproxy.cfg"
    refused = configuration(settings.stats_socket, [free_port()], 1) + "nonsense\n"
    config.write_text(refused)
    assert prepare(binary, config, settings, DEADLINE_S, judge=False)
    assert config.read_text() == refused
    with socket.create_server(("127.0.0.1", 0)) as other:
        config.write_text(configuration(settings.stats_socket, [other.getsockname()[1]], 1))
        assert not prepare(binary, config, settings, DEADLINE_S, judge=False)
    config.write_text("frontend x\n  bind :1\n")
    assert not prepare(binary, config, settings, DEADLINE_S, judge=False)


def test_what_cannot_be_bound_is_left_out(settings: RenderSettings, binary: HaproxyBinary) -> None:
    """A port of somebody else, and an address that is another node's now, cost themselves; the next start tries them again."""
    settings.state_dir.mkdir()
    config, whole = settings.state_dir / "haproxy.cfg", settings.state_dir / "haproxy.cfg.whole"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = other.getsockname()[1], free_port()
        elsewhere = f"\nfrontend elsewhere\n  mode tcp\n  bind 203.0.113.1:{free}\n  bind 127.0.0.1:{free_port()}\n"
        text = configuration(settings.stats_socket, [taken, free], 1) + elsewhere
        config.write_text(text)
        assert prepare(binary, config, settings, DEADLINE_S)
        reduced = config.read_text()
        bound = {(bind.host, bind.port) for bind in binds(reduced)}
        assert {("127.0.0.1", taken), ("203.0.113.1", free)}.isdisjoint(bound)
        assert len(bound) == len(binds(text)) - 2
        assert whole.read_text() == text
        # As it is, it is one that HAProxy starts with.
        assert check_config(binary, config, DEADLINE_S).accepted
    assert prepare(binary, config, settings, DEADLINE_S)
    assert {(bind.host, bind.port) for bind in binds(config.read_text())} == bound | {("127.0.0.1", taken)}
    config.write_text(configuration(settings.stats_socket, [free], 1))
    assert prepare(binary, config, settings, DEADLINE_S)
    assert [bind.port for bind in binds(config.read_text())] == [free], "what the router wrote since goes before"
