"""The Routes of docs/how-to.md, with the real servers and clients that Debian has."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.daemons import (
    Command,
    hand_over,
    own_folder,
    redis_server,
    running,
    set_up,
    smtp_server,
    ssh_server,
    succeeds,
)
from tests.support.databases import mariadb, mariadb_server, postgresql, psql
from tests.support.objects import ANNOTATIONS, app
from tests.support.ports import free_port
from tests.support.probing import is_refused
from tests.support.programs import requires_program
from tests.support.router_process import RouterProcess
from tests.support.waiting import wait_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to.md"
ROUTES: dict[str, dict[str, Any]] = {
    made["metadata"]["name"]: made
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for made in [yaml.safe_load(block)]
}
BASE = "dc=example,dc=com"


def served(router: RouterProcess, name: str, pod_port: int, more: Mapping[str, str] | None = None) -> int:
    """Serve a Route of the page, on a port that is free here, with more annotations; give the port."""
    port, made = free_port(), ROUTES[name]
    annotations = {**made["metadata"]["annotations"], f"{ANNOTATIONS}external-tcp-port": str(port), **(more or {})}
    made = {**made, "metadata": {**made["metadata"], "namespace": "team", "annotations": annotations}}
    router.write("route.yaml", made, *app(name, None, ("127.0.0.1", pod_port))[1:])
    router.start()
    router.wait_admitted(f"team/{name}")
    assert router.ports()[f"team/{name}"]["warnings"] == []
    return port


def said(command: Command, text: str = "") -> str:
    """Run a client; give what it printed."""
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@contextmanager
def mosquitto() -> Iterator[int]:
    """Run an MQTT broker; give its port."""
    server, port = requires_program("mosquitto"), free_port()
    with own_folder() as folder:
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser nobody\n")
        config.chmod(0o644)
        with running([server, "-c", config], folder, signal.SIGTERM, lambda: not is_refused(port)):
            yield port


@contextmanager
def slapd() -> Iterator[int]:
    """Run an LDAP server with one entry; give its port."""
    server, port = requires_program("slapd"), free_port()
    with own_folder() as folder:
        data = folder / "data"
        data.mkdir(mode=0o777)
        data.chmod(0o777)
        config = folder / "slapd.conf"
        config.write_text(
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
            f'database mdb\nsuffix "{BASE}"\ndirectory {data}\nrootdn "cn=admin,{BASE}"\nrootpw secret\n'
        )
        config.chmod(0o644)
        entry = folder / "entry.ldif"
        entry.write_text(f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n")
        entry.chmod(0o644)
        set_up([requires_program("slapadd"), "-f", config, "-l", entry], folder)
        address = f"ldap://127.0.0.1:{port}/"
        command: Command = [server, "-d", "0", "-f", config, "-h", address]
        with running(command, folder, signal.SIGTERM, lambda: succeeds(search(port))):
            yield port


def search(port: int) -> Command:
    """Give a search for the one entry."""
    return [requires_program("ldapsearch"), "-x", "-LLL", "-H", f"ldap://127.0.0.1:{port}/", "-b", BASE, "o"]


def test_mqtt(router: RouterProcess) -> None:
    """A subscriber that waits gets what a publisher sends by another connection; both see a keepalive through."""
    subscribe, publish = requires_program("mosquitto_sub"), requires_program("mosquitto_pub")
    with mosquitto() as broker:
        port = served(router, "mqtt", broker)
        address = ["-h", "127.0.0.1", "-p", str(port)]
        waiting = subprocess.Popen(
            # Without that it tells nothing of what it does before it ends.
            ["stdbuf", "-oL", subscribe, *address, "-t", "rain", "-C", "1", "-k", "5", "-W", "30", "-d"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert waiting.stdout is not None
        try:
            while "SUBACK" not in waiting.stdout.readline():
                assert waiting.poll() is None
            said([publish, *address, "-t", "rain", "-m", "12 mm", "-d"])
            assert "12 mm" in waiting.stdout.read()
            assert waiting.wait(30) == 0
        finally:
            waiting.kill()
            waiting.wait()
            waiting.stdout.close()


@contextmanager
def rabbitmq(*settings: str) -> Iterator[int]:
    """Run a broker of AMQP, with lines of its configuration; give its port."""
    # The program of this name in PATH wants to be another user.
    requires_program("rabbitmq-server")
    server, epmd, port = "/usr/lib/rabbitmq/bin/rabbitmq-server", requires_program("epmd"), free_port()
    names, distribution = free_port(), free_port()
    with own_folder() as folder:
        hand_over(folder / "rabbitmq.conf", "\n".join(settings) + "\n")
        hand_over(folder / "plugins", "[].\n")
        given = {
            "HOME": folder, "ERL_EPMD_PORT": names, "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_NODENAME": f"test{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": port, "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_CONFIG_FILE": folder / "rabbitmq", "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
            "RABBITMQ_MNESIA_BASE": folder / "data", "RABBITMQ_LOG_BASE": folder / "log",
        }  # fmt: skip
        begin = ["env", *(f"{name}={value}" for name, value in given.items())]
        # Else the broker leaves one behind.
        with (
            running([*begin, epmd], folder, signal.SIGTERM, lambda: not is_refused(names)),
            running([*begin, server], folder, signal.SIGTERM, lambda: not is_refused(port)),
        ):
            yield port


@pytest.mark.parametrize("proxied", [False, True], ids=["plain", "proxy-protocol"])
def test_rabbitmq(router: RouterProcess, proxied: bool) -> None:  # noqa: FBT001 - a parameter
    """What is published by one connection is got by another; also where the broker is told the client's address."""
    publish, get = requires_program("amqp-publish"), requires_program("amqp-get")
    with rabbitmq(f"proxy_protocol = {str(proxied).lower()}") as broker:
        port = served(router, "rabbitmq", broker, {f"{ANNOTATIONS}send-proxy": "v2"} if proxied else {})
        address = ["-u", f"amqp://guest:guest@127.0.0.1:{port}"]
        declare: Command = [requires_program("amqp-declare-queue"), *address, "-q", "rain"]
        wait_for(lambda: succeeds(declare), "the broker to take clients")
        said([publish, *address, "-r", "rain", "-b", "12 mm"])
        assert said([get, *address, "-q", "rain"]) == "12 mm"


def test_ldap(router: RouterProcess) -> None:
    """An anonymous search, and a bind with a change."""
    with slapd() as server:
        port = served(router, "ldap", server)
        assert "o: Example" in said(search(port))
        change = f"dn: {BASE}\nchangetype: modify\nreplace: o\no: Changed\n"
        modify: Command = [
            requires_program("ldapmodify"),
            "-x",
            "-H",
            f"ldap://127.0.0.1:{port}/",
            "-D",
            f"cn=admin,{BASE}",
            "-w",
            "secret",
        ]
        said(modify, change)
        assert "o: Changed" in said(search(port))


def test_redis(router: RouterProcess) -> None:
    """What is set by one connection is read by another."""
    with redis_server() as server:
        port = served(router, "redis", server)
        client: tuple[str | Path, ...] = (requires_program("redis-cli"), "-h", "127.0.0.1", "-p", str(port))
        assert said([*client, "set", "word", "here"]).strip() == "OK"
        assert said([*client, "get", "word"]).strip() == "here"


def test_ssh(router: RouterProcess, tmp_path: Path) -> None:
    """A command on the other side, and its answer."""
    with ssh_server(tmp_path) as server:
        port = served(router, "ssh", server.port)
        assert said(server.command(port, "echo", "here")).strip() == "here"


@pytest.mark.parametrize("name", ["pg", "mysql"])
def test_databases(router: RouterProcess, name: str) -> None:
    """A statement and its answer."""
    with postgresql() if name == "pg" else mariadb_server() as server:
        port = served(router, name, server)
        if name == "pg":
            assert said(psql(port, "-c", "SELECT 6 * 7")).strip() == "42"
        else:
            assert said(mariadb(port, "--execute", "SELECT 6 * 7")).strip() == "42"


def test_smtp_behind_a_proxy_header(router: RouterProcess) -> None:
    """The server is told the client's address in a line before anything else: that is what a server has to be set up for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        port = served(router, "smtp", listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port), 30) as client:
            client.sendall(b"EHLO me\r\n")
            while True:
                pod, _ = listener.accept()
                pod.settimeout(30)
                with pod:
                    first = pod.recv(4096)
                if first.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 "):
                    break
                # A health check says that it is one.
                assert first.startswith(b"PROXY UNKNOWN") or first == b""
    with smtp_server() as (server, mail):
        # And a server that is not set up for it takes the line for a command that it does not know.
        with socket.create_connection(("127.0.0.1", server), 30) as plain:
            assert plain.recv(4096).startswith(b"220")
            plain.sendall(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")
            assert plain.recv(4096).startswith(b"5")
        assert not mail.exists()


def test_every_protocol_of_the_page_is_tried() -> None:
    """But for Kafka's, of which Debian has no server."""
    assert set(ROUTES) == {"pg", "mysql", "redis", "mqtt", "rabbitmq", "kafka-0", "ssh", "ldap", "smtp"}
