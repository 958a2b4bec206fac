"""Options and environment variables: which values are taken, what they change, what is said of others, and the help texts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
import yaml

from router import __version__
from tests.support.cli import commands
from tests.support.commands import invoke, run_process, write_manifests
from tests.support.haproxy import complaints, make_what_it_names
from tests.support.objects import app, route, service

OPENSHIFT_VARIABLES = (
    "RELOAD_INTERVAL", "ROUTER_MAX_CONNECTIONS", "ROUTER_THREADS", "ROUTER_HARD_STOP_AFTER", "ROUTER_IP_V4_V6_MODE",
    "ROUTER_DEFAULT_TUNNEL_TIMEOUT", "ROUTER_DEFAULT_CONNECT_TIMEOUT", "ROUTER_DEFAULT_CLIENT_TIMEOUT",
    "ROUTER_DEFAULT_SERVER_TIMEOUT", "ROUTER_TCP_BALANCE_SCHEME", "ROUTER_BACKEND_CHECK_INTERVAL",
    "ROUTER_SERVICE_NAME", "ROUTER_ALLOW_WILDCARD_ROUTES", "ROUTER_DISABLE_NAMESPACE_OWNERSHIP_CHECK", "ROUTER_CANONICAL_HOSTNAME", "ROUTER_SYSLOG_ADDRESS", "STATS_PORT",
)  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("ROUTER_MAX_CONNECTIONS", "20000", "  maxconn 20000"),
        ("ROUTER_MAX_CONNECTIONS", "200", "  set-var proc.namespace_connections int(150)"),
        ("TCP_ROUTER_MAX_CONNECTIONS_PER_ROUTE", "70", "  set-var proc.route_connections int(70)"),
        ("TCP_ROUTER_MAX_CONNECTIONS_PER_NAMESPACE", "80", "  set-var proc.namespace_connections int(80)"),
        ("ROUTER_THREADS", "4", "  nbthread 4"),
        ("ROUTER_HARD_STOP_AFTER", "1h", "  hard-stop-after 3600000ms"),
        ("ROUTER_HARD_STOP_AFTER", "1h30m", "  hard-stop-after 5400000ms"),
        ("ROUTER_HARD_STOP_AFTER", "2147483647ms", "  hard-stop-after 2147483647ms"),
        ("ROUTER_IP_V4_V6_MODE", "v4", "  bind ipv4@*:6620 tcp-ut 120000ms"),
        ("ROUTER_IP_V4_V6_MODE", "v6", "  bind [::]:6620 v6only tcp-ut 120000ms"),
        ("ROUTER_IP_V4_V6_MODE", "v4v6", "  bind [::]:6620 v4v6 tcp-ut 120000ms"),
        ("ROUTER_DEFAULT_TUNNEL_TIMEOUT", "2h", "  timeout tunnel 7200000ms"),
        ("ROUTER_DEFAULT_TUNNEL_TIMEOUT", "1m30s", "  timeout tunnel 90000ms"),
        ("ROUTER_DEFAULT_CONNECT_TIMEOUT", "1500us", "  timeout connect 2ms"),
        ("ROUTER_DEFAULT_CLIENT_TIMEOUT", "1.5s", "  timeout client 1500ms"),
        ("ROUTER_DEFAULT_SERVER_TIMEOUT", "45000", "  timeout server 45000ms"),
        ("ROUTER_TCP_BALANCE_SCHEME", "source", "  balance source"),
        ("ROUTER_TCP_BALANCE_SCHEME", "random", "  balance random"),
        ("ROUTER_BACKEND_CHECK_INTERVAL", "5000ms", "  default-server check inter 5000ms fastinter 1000ms"),
        ("ROUTER_BACKEND_CHECK_INTERVAL", "2d", "  default-server check inter 172800000ms fastinter 1000ms"),
        ("ROUTER_SYSLOG_ADDRESS", "127.0.0.1", "  log 127.0.0.1 len 4096 local0"),
        ("ROUTER_SYSLOG_ADDRESS", "127.0.0.1:514", "  log 127.0.0.1:514 len 4096 local0"),
        ("ROUTER_SYSLOG_ADDRESS", "[::1]:514", "  log [::1]:514 len 4096 local0"),
        ("ROUTER_SYSLOG_ADDRESS", "localhost:514", "  log localhost:514 len 4096 local0"),
        ("ROUTER_SYSLOG_ADDRESS", "/dev/log", "  log /dev/log len 4096 local0"),
        ("ROUTER_SYSLOG_ADDRESS", "udp@127.0.0.1:514", "  log udp@127.0.0.1:514 len 4096 local0"),
        ("ROUTER_SYSLOG_ADDRESS", "stderr", "  log stderr len 4096 format raw local0"),
        ("TCP_ROUTER_MWORKER_MAX_RELOADS", "5", "  mworker-max-reloads 5"),
        ("TCP_ROUTER_BIND_ADDRESS", "127.0.0.1 ::1", "  bind [::1]:6620 v6only tcp-ut 120000ms"),
        ("TCP_ROUTER_TCP_USER_TIMEOUT", "30s", "  bind [::]:6620 v4v6 tcp-ut 30000ms"),
        ("TCP_ROUTER_TCP_USER_TIMEOUT", "0", "  bind [::]:6620 v4v6"),
        ("TCP_ROUTER_SNI_PORT", "9443", "  bind [::]:9443 v4v6 tcp-ut 120000ms"),
    ],
)
def test_variable_reaches_the_configuration(folder: Path, tmp_path: Path, variable: str, value: str, line: str) -> None:
    """What OpenShift's router understands in its variables, and what ours have, stands in a configuration HAProxy takes."""
    state = tmp_path / "s"
    ended = invoke("render", folder, "--state-dir", state, env={variable: value})
    assert ended.exit_code == 0, ended.stderr
    assert line in ended.stdout.splitlines()
    make_what_it_names(ended.stdout)
    config = tmp_path / "haproxy.cfg"
    config.write_text(ended.stdout)
    assert "error" not in complaints(config)
    assert "[ALERT]" not in complaints(config)


@pytest.mark.parametrize(
    ("variable", "value", "without"),
    [
        ("ROUTER_MAX_CONNECTIONS", "auto", "  maxconn "),
        ("ROUTER_MAX_CONNECTIONS", "-1", "  maxconn "),
        ("ROUTER_THREADS", "0", "  nbthread "),
        ("ROUTER_BACKEND_CHECK_INTERVAL", "0", "server check "),
        ("TCP_ROUTER_SNI_PORT", "0", "8443"),
        ("ROUTER_HARD_STOP_AFTER", "", "hard-stop-after"),
    ],
)
def test_variable_that_leaves_it_to_haproxy(folder: Path, variable: str, value: str, without: str) -> None:
    """Values that mean "no such setting", as OpenShift's installers write them, leave the line out."""
    ended = invoke("render", folder, env={variable: value})
    assert ended.exit_code == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert [line for line in lines if without in line and not line.lstrip().startswith(("#", "log-format"))] == []


def test_hosts_of_several_namespaces_by_the_variables_of_openshifts_router(tmp_path: Path) -> None:
    """Wildcards are served where they are allowed, and beside another namespace's host where nobody owns hosts."""
    folder = tmp_path / "manifests"
    wildcard = {"wildcardPolicy": "Subdomain"}
    write_manifests(folder, *app("db", None, ("10.1.0.1", 1), host="db.example.com", passthrough=True))
    write_manifests(
        folder,
        route("wild", namespace="wild", host="www.example.com", passthrough=True, spec=wildcard),
        service("wild", namespace="wild"),
    )

    def rejected(**env: str) -> str | None:
        rows = invoke("check", folder, "--output", "json", env=env).rows
        assert rows["team/db"]["reason"] is None
        reason: str | None = rows["wild/wild"]["reason"]
        return reason

    assert rejected() == "RouteNotAdmitted"
    assert rejected(ROUTER_ALLOW_WILDCARD_ROUTES="false") == "RouteNotAdmitted"
    assert rejected(ROUTER_ALLOW_WILDCARD_ROUTES="true") == "HostAlreadyClaimed"
    both = {"ROUTER_ALLOW_WILDCARD_ROUTES": "true", "ROUTER_DISABLE_NAMESPACE_OWNERSHIP_CHECK": "true"}
    assert rejected(**both) is None


def test_router_name_of_the_environment(tmp_path: Path) -> None:
    """ROUTER_SERVICE_NAME names the router, before the seed's WZH_ROUTER_NAME; the option wins over both."""
    folder = tmp_path / "manifests"
    for number, name in enumerate(("one", "two", "three")):
        write_manifests(folder, *app(name, 6620 + number, ("10.1.0.1", 1), router_name=name))
    env = {"WZH_ROUTER_NAME": "one"}
    assert set(invoke("check", folder, "--output", "json", env=env).rows) == {"team/one"}
    env["ROUTER_SERVICE_NAME"] = "two"
    assert set(invoke("check", folder, "--output", "json", env=env).rows) == {"team/two"}
    ended = invoke("check", folder, "--output", "json", "--router-name", "three", env=env)
    assert set(ended.rows) == {"team/three"}


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ("20000-20009", "--port-pool has the ports 20000,20001"),
        (
            "6620,7000,80",
            "--port-pool has the ports 80,7000, which --ports does not let any Route have; it allows 6620",
        ),
        ("7000-7999", "and 990 more"),
    ],
)
def test_a_pool_outside_of_the_ports_of_routes(tmp_path: Path, pool: str, told: str) -> None:
    """It would hold ports that nobody can have; the router says so and does not start."""
    manifests = write_manifests(tmp_path / "manifests")
    ended = run_process(
        "run", "--manifests", manifests, "--state-dir", tmp_path / "s", "--ports", "6620-6630", "--port-pool", pool
    )
    assert ended.exit_code == 2
    assert told in ended.stderr


def test_check_of_standard_input(tmp_path: Path) -> None:
    """``-`` is what ``oc get ... -o yaml`` prints, also beside files; what is wrong with it is told by that name."""
    listed = {"apiVersion": "v1", "kind": "List", "items": app("db", 6620, ("10.1.0.1", 5432))}
    beside = write_manifests(tmp_path / "manifests", *app("web", 6621, ("10.1.0.2", 80)))
    ended = invoke("check", "--output", "json", "-", beside, text=yaml.safe_dump(listed))
    assert (ended.exit_code, set(ended.rows)) == (0, {"team/db", "team/web"})
    assert "be_tcp:team:db" in invoke("render", "-", text=json.dumps(listed)).stdout
    broken = invoke("check", "-", text="a: [")
    assert broken.exit_code == 2
    assert broken.stderr.startswith("Error: standard input:2:1: not YAML")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--default-tunnel-timeout", "1 hour", "'1 hour' is no time; write a number with the unit ms, s, m, h or d"),
        ("--default-tunnel-timeout", "0", "write a number with the unit"),
        ("--default-tunnel-timeout", "-5s", "is no time"),
        ("--default-tunnel-timeout", "500us", "is no time"),
        ("--default-tunnel-timeout", "25d", "up to 2147483647ms (24 days)"),
        ("--default-tunnel-timeout", "9" * 100_000, "is no time"),
        ("--default-tunnel-timeout", "\N{ARABIC-INDIC DIGIT FIVE}s", "is no time"),
        ("--default-connect-timeout", "5s5", "is no time"),
        ("--default-client-timeout", "s", "is no time"),
        ("--default-server-timeout", "1.s", "is no time"),
        ("--check-interval", "soon", "write 0, or a number with the unit"),
        ("--hard-stop-after", "0", "is no time"),
        ("--balance", "fastest", "not one of 'roundrobin', 'leastconn', 'source', 'random', 'first'"),
        ("--router-name", "My Router", "is no DNS label: at most 63 of a-z, 0-9 and '-'"),
        ("--router-name", "x\n", "is no DNS label"),
        ("--ports", "1024:65535", "'1024:65535' is neither a port (1-65535) nor a range of ports such as 1024-65535"),
        ("--ports", "65535-1024", "is neither a port"),
        ("--ports", "0-70000", "is neither a port"),
        ("--reserved-ports", "\N{FULLWIDTH DIGIT EIGHT}0", "is neither a port"),
        ("--sni-port", "70000", "is not in the range 0<=x<=65535"),
        ("--max-connections", "many", "is not a number from 1 to 10000000, nor auto or -1 for HAProxy's own choice"),
        ("--max-connections", "0", "is not a number from 1"),
        ("--max-connections", "99999999999", "is not a number from 1"),
        ("--max-connections-per-route", "0", "is not a number from 1 to 10000000, nor auto for a share of all"),
        ("--max-connections-per-namespace", "-1", "is not a number from 1 to 10000000, nor auto for a share of all"),
        ("--threads", "300", "is not a number from 1 to 256, nor 0 for HAProxy's own choice"),
        ("--threads", "\N{FULLWIDTH DIGIT FOUR}", "is not a number from 1 to 256"),
        ("--ip-mode", "v5", "not one of 'v4', 'v6', 'v4v6'"),
        ("--bind-address", "localhost", "'localhost' is no IP address"),
        ("--bind-address", "10.0.0.0/8", "is no IP address"),
        ("--bind-address", "fe80::1%eth0", "has a zone, which HAProxy does not take"),
        ("--log-address", "syslog server", "write stdout, stderr, the address or name of a syslog server"),
        ("--log-address", "::1:514", "or [2001:db8::1]:514, or the path of a syslog socket"),
        ("--log-address", "[1.2.3.4]:514", "is nothing to log to"),
        ("--log-address", "127.0.0.1:70000", "is nothing to log to"),
        ("--log-address", "/dev/log\n  daemon", "has a control character in it"),
        ("--log-address", "", "is nothing to log to"),
        ("--mworker-max-reloads", "0", "is not in the range"),
        ("--template-dir", "/nonexistent", "Directory '/nonexistent' does not exist"),
        ("--state-dir", "/srv/a\nb", "has a control character in it"),
        ("--state-dir", "/srv/$HOME", "has '$' in it, which HAProxy does not take as itself in an address"),
        ("--state-dir", "/" + "x" * 100, "is longer than the 97 bytes that the path of a socket may have"),
        ("--listen", "localhost:1936", "is no address with a port, such as 127.0.0.1:1936 or [::]:1936"),
        ("--listen", "::1:1936", "is no address with a port"),
        ("--listen", "127.0.0.1:65536", "is no address with a port"),
        ("--stats-port", "http", "is not a valid integer"),
        ("--no-such-option", "1", "No such option"),
    ],
)
def test_bad_value_says_what_would_be_right(folder: Path, option: str, value: str, told: str) -> None:
    """A value that is not of its form ends the command with 2, nothing on standard output, and a message that helps."""
    ended = invoke("render", folder, option, value)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert told in re.sub(r"\s+", " ", ended.stderr)
    assert len(ended.stderr) < 2000


def test_bad_value_of_a_variable_names_the_variable(folder: Path) -> None:
    """Whose variable is wrong finds its name, or the option's, in the message."""
    ended = invoke("render", folder, env={"ROUTER_DEFAULT_TUNNEL_TIMEOUT": "forever"})
    assert ended.exit_code == 2
    assert "ROUTER_DEFAULT_TUNNEL_TIMEOUT" in ended.stderr
    assert "'forever' is no time" in ended.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--ip-mode", "v4", "--bind-address", "::1"), "--bind-address ::1 does not go with --ip-mode v4"),
        (("--ip-mode", "v6", "--bind-address", "127.0.0.1"), "--bind-address 127.0.0.1 does not go with --ip-mode v6"),
    ],
)
def test_options_that_contradict_each_other(folder: Path, options: tuple[str, ...], told: str) -> None:
    """Options that exclude each other are told by their names."""
    ended = invoke("render", folder, *options)
    assert (ended.exit_code, ended.stderr) == (2, f"Error: {told}\n")


def test_canonical_hostname_must_be_a_name(folder: Path) -> None:
    """ROUTER_CANONICAL_HOSTNAME takes what OpenShift's router takes: a DNS name in lower case."""
    for value in ("Tcp.Example.com", "https://tcp.example.com", "a b", "x\n", "tcp.example.com:6620"):
        ended = invoke("run", "--manifests", folder, env={"ROUTER_CANONICAL_HOSTNAME": value})
        assert ended.exit_code == 2
        assert "is no DNS name in lower case, such as tcp.apps.example.com" in ended.stderr


@pytest.mark.parametrize(
    "path", ["absent", "file"], ids=["that is not there", "that is no folder"]
)  # fmt: skip
def test_run_needs_a_folder(tmp_path: Path, path: str) -> None:
    """`run` follows a folder; anything else is told at once."""
    (tmp_path / "file").touch()
    ended = invoke("run", "--manifests", tmp_path / path)
    assert ended.exit_code == 2
    assert "--manifests" in ended.stderr


# help


def _options(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option) and each.name != "help"]


@pytest.mark.parametrize("command", ["run", "render", "check", "demo"])
def test_help_names_every_option_and_variable(command: str) -> None:
    """`--help` has every option with its variable, exit codes line by line, and no leftover of its own markup."""
    ended = invoke(command, "--help")
    assert ended.exit_code == 0
    text = re.sub(r"\s+", " ", ended.stdout)
    for option in _options({each.name: each for each in commands()}[command]):
        assert max(option.opts, key=len) in text
        variables = option.envvar if isinstance(option.envvar, (list, tuple)) else [option.envvar]
        for variable in variables:
            # Long lines break at dashes and blanks only; names of variables have neither.
            assert str(variable) in text
    assert "\\b" not in ended.stdout
    assert "\b" not in ended.stdout
    if command != "demo":
        assert re.search(r"^Exit status:\n +0  ", re.sub(r"^  ", "", ended.stdout, flags=re.MULTILINE), re.MULTILINE)


def test_every_variable_of_openshift_is_there() -> None:
    """`run --help` has each variable of OpenShift's router that has a meaning here."""
    text = invoke("run", "--help").stdout
    assert [name for name in OPENSHIFT_VARIABLES if name not in text] == []


def test_variables_are_not_used_twice() -> None:
    """No environment variable sets two options of one command."""
    for command in commands():
        names = [
            name
            for option in _options(command)
            for name in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or [])
        ]
        assert len(names) == len(set(names))


def test_group_help_and_version() -> None:
    """`tcp-router`, `--help` and `--version`."""
    assert run_process("--version").stdout == f"tcp-router, version {__version__}\n"
    ended = invoke("--help")
    assert ended.exit_code == 0
    for command in ("run", "render", "check", "demo"):
        assert re.search(rf"^  {command} +[A-Z]", ended.stdout, re.MULTILINE)
    assert invoke("serve").exit_code == 2
