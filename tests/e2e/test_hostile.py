"""Hostile manifests through the running router: each costs only itself, is told, and leaves every output well-formed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from router.admission.options import EXTERNAL_TCP_PORT, ROUTER_NAME, TLS_ALPN, WZH_ROUTER_NAME
from tests.e2e.conftest import Make
from tests.support.commands import run_process, write_manifests
from tests.support.hostile import KEYS, NASTY, quoted_yaml
from tests.support.objects import ANNOTATIONS, app, endpoint_slice, route, service
from tests.support.ports import free_port, free_ports
from tests.support.probing import exchange, is_refused, serves
from tests.support.router_process import RouterProcess, http_get
from tests.support.servers import TcpServer
from tests.support.waiting import wait_for

NOT_TEXT: tuple[Any, ...] = (5, -1, 5.5, True, False, ["a"], {"a": "b"}, [], {})
MEANT = [text for text in NASTY if "\ud800" not in text]
"""A surrogate alone is no Unicode text, so no file can hold it."""


NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")
"""Of what looks like this, some is a name after all: 1.5 and 007 are."""


def annotated(name: str, annotations: dict[str, Any], port: int) -> list[dict[str, Any]]:
    """Make a Route with annotations that may be anything, and where it leads to."""
    return app(name, port, ("127.0.0.1", 9), annotations=annotations)


def hostile_texts(port: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give Routes that must be rejected, by their names."""
    for key in KEYS:
        if key in (ROUTER_NAME, WZH_ROUTER_NAME):
            continue
        for number, text in enumerate(MEANT):
            if (key, text) == (TLS_ALPN, "null"):
                # Among names of protocols that is one.
                continue
            name = f"{key.rpartition('/')[2].replace('_', '-')}-{number}"
            yield name, annotated(name, {key: text}, port)


def hostile_hosts(port: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give Routes with a host that is none."""
    for number, text in enumerate(MEANT):
        # No host at all is fine on a port of its own.
        if text and not NAME.fullmatch(text):
            name = f"host-{number}"
            yield name, [route(name, port, host=text, passthrough=True)]


def test_hostile_annotations_and_hosts(make_router: Make, echo: TcpServer) -> None:
    """Every nasty text in every annotation and as a host: each Route is rejected by itself, the good one serves."""
    router = make_router(sni_port=free_port())
    good, other = free_ports(2)
    router.write("good.yaml", *app("good", good, ("127.0.0.1", echo.port)))
    hostile = dict(itertools.chain(hostile_texts(other), hostile_hosts(other)))
    for number, (_, objects) in enumerate(hostile.items()):
        with (router.manifests / f"hostile-{number % 50}.yaml").open("a") as file:
            file.write(quoted_yaml(*objects))
    router.start()
    router.wait_admitted("team/good")
    rows = router.ports()
    assert serves(good)
    assert is_refused(other)
    assert set(rows) == {"team/good", *(f"team/{name}" for name in hostile)}
    assert [name for name in hostile if rows[f"team/{name}"]["verdict"] != "rejected"] == []
    reasons = {row["reason"] for row in rows.values()}
    assert reasons == {None, "InvalidAnnotation", "InvalidPort", "InvalidHost"}
    assert router.events("manifest problem") == []
    look_at_outputs(router)
    look_at_haproxy(router)


@pytest.mark.parametrize("value", NOT_TEXT, ids=repr)
def test_values_that_are_no_text(router: RouterProcess, echo: TcpServer, value: Any) -> None:
    """An annotation that is no text is refused as the API would, with the hint to quote what can be; others serve."""
    good, other = free_ports(2)
    router.write("good.yaml", *app("good", good, ("127.0.0.1", echo.port)))
    router.start()
    router.wait_admitted("team/good")
    router.write(
        "bad.yaml",
        *annotated("bad", {EXTERNAL_TCP_PORT: value}, other),
        *app("beside", other, ("127.0.0.1", echo.port)),
    )
    router.wait_admitted("team/beside")
    (told,) = router.events("manifest problem")
    assert told["path"].endswith("/bad.yaml")
    assert "Route team/bad" in told["problem"]
    assert EXTERNAL_TCP_PORT in told["problem"]
    if isinstance(value, (bool, int, float)):
        spelled = json.dumps(value)
        assert f'write "{spelled}"' in told["problem"]
    assert "team/bad" not in router.ports()
    assert serves(good)
    assert serves(other)
    look_at_outputs(router)


def test_names_that_are_none(router: RouterProcess, echo: TcpServer) -> None:
    """Nasty texts as name or namespace of any kind: a problem for each, with its file; what is good in the file counts."""
    good = free_port()
    router.write("good.yaml", *app("good", good, ("127.0.0.1", echo.port)))
    expected = set()
    for number, text in enumerate(MEANT):
        if NAME.fullmatch(text):
            continue
        objects = [
            route(text, 6620),
            route("x", 6620, namespace=text),
            service(text),
            service("x", namespace=text),
            *endpoint_slice("y", ("127.0.0.1", 1), namespace=text),
        ]
        if not text:
            # An empty namespace is the default one, as for kubectl.
            objects = [objects[0], objects[2]]
        (router.manifests / f"names-{number}.yaml").write_text(quoted_yaml(*objects))
        expected.add((f"names-{number}.yaml", len(objects)))
    router.start()
    router.wait_admitted("team/good")
    problems = router.events("manifest problem")
    counted = {(name, sum(problem["path"].endswith(f"/{name}") for problem in problems)) for name, _ in expected}
    assert counted == expected
    assert all(problem["line"] for problem in problems)
    assert set(router.ports()) == {"team/good"}
    assert serves(good)
    look_at_outputs(router)
    look_at_haproxy(router)


def test_odd_services_and_endpoints(router: RouterProcess, echo: TcpServer) -> None:
    """What slices and Services say is made fit for HAProxy's names, or dropped and told; the Route serves by the rest."""
    port = free_port()
    interval = {"router.openshift.io/haproxy.health.check.interval": "200ms"}
    of_route, of_service, good = app(
        "odd", port, ("127.0.0.1", echo.port), target_port=echo.port, annotations=interval
    )  # fmt: skip
    of_service["spec"]["ports"] += [{"name": text, "port": 1 + number} for number, text in enumerate(MEANT)]
    slices = []
    for number, text in enumerate(MEANT):
        (odd,) = endpoint_slice("odd", ("127.0.0.1", echo.port), port_name=text)
        odd["metadata"]["name"] = f"odd-of-{number}"
        odd["metadata"]["labels"][text] = text
        target = {"kind": "Pod", "name": text, "namespace": text}
        # Nobody listens there: the checks find out.
        odd["endpoints"] = [{"addresses": [f"127.0.1.{number + 1}"], "hostname": text, "targetRef": target}]
        odd["endpoints"].append({"addresses": [text]})
        slices.append(odd)
    (router.manifests / "odd.yaml").write_text(quoted_yaml(of_route, of_service, good, *slices))
    router.start()
    router.wait_admitted("team/odd")
    row = router.ports()["team/odd"]
    addresses = {server["address"] for server in row["servers"]}
    assert addresses == {"127.0.0.1", *(f"127.0.1.{number + 1}" for number in range(len(MEANT)))}
    assert any("were dropped: " in warning for warning in row["warnings"])
    wait_for(lambda: serves(port), "the endpoint that there is to serve")
    look_at_outputs(router)
    look_at_haproxy(router)


def test_signed_number_costs_only_its_route(router: RouterProcess, echo: TcpServer) -> None:
    """``rate-limit-connections.concurrent-tcp: "+5"`` is that Route's affair; changes to others go on."""
    good, bad, later = free_ports(3)
    limit = f"{ANNOTATIONS}rate-limit-connections"
    router.write("good.yaml", *app("good", good, ("127.0.0.1", echo.port)))
    signed = app("bad", bad, ("127.0.0.1", echo.port), annotations={limit: "true", f"{limit}.concurrent-tcp": "+5"})
    router.write("bad.yaml", *signed)
    router.start()
    router.wait_admitted("team/good")
    row = router.ports()["team/bad"]
    assert (row["verdict"], row["reason"], row["servers"]) == ("rejected", "InvalidAnnotation", [])
    assert row["message"].startswith(f"annotation {limit}.concurrent-tcp is '+5'; accepted is a whole number from 1")
    assert is_refused(bad)
    router.write("later.yaml", *app("later", later, ("127.0.0.1", echo.port)))
    router.wait_admitted("team/later")
    assert exchange(later) == exchange(good) == b"ping"
    signed[0]["metadata"]["annotations"][f"{limit}.concurrent-tcp"] = "5"
    router.write("bad.yaml", *signed)
    router.wait_admitted("team/bad")
    assert serves(bad)


FILE_NAMES = [b"new\nline.yaml", b"\x1b[31mred.yaml", b"\xff\xfe.yaml", "\u202egnp.yaml".encode(), b"\x7f.json"]
"""Names that no terminal and no log should show as they are."""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_names_of_files(router: RouterProcess, echo: TcpServer, log_format: str) -> None:
    """A file with an odd name is one problem and one line of the log, without control characters; others serve."""
    router.log_format = log_format
    good, printable = free_ports(2)
    router.write("good.yaml", *app("good", good, ("127.0.0.1", echo.port)))
    objects = app("printable", printable, ("127.0.0.1", echo.port))
    router.write('it\'s "%s" $x {y} \N{SNOWMAN}.yaml', *objects, {"kind": "Route"})
    for name in FILE_NAMES:
        Path(os.fsdecode(os.fsencode(router.manifests) + b"/" + name)).write_text(yaml.safe_dump(route("x", 6620)))
    router.start()
    router.wait_admitted("team/good", "team/printable")
    assert serves(good)
    assert serves(printable)
    assert set(router.ports()) == {"team/good", "team/printable"}
    lines = router.log().split("\n")
    assert sum("manifest problem" in line for line in lines) == len(FILE_NAMES) + 1
    assert all(line.isprintable() for line in lines)
    if log_format == "json":
        look_at_outputs(router)


def test_check_of_hostile_manifests(tmp_path: Path) -> None:
    """`check` prints a line per Route and a line per problem, whatever names and values there are."""
    folder = write_manifests(tmp_path / "manifests", *app("good", 6620, ("10.1.0.1", 1)))
    for number, text in enumerate(MEANT):
        (folder / f"bad-{number}.yaml").write_text(
            quoted_yaml(*annotated(f"bad-{number}", {f"{ANNOTATIONS}balance": text}, 6620))
        )
    for name in FILE_NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("kind: Route\n")
    for output in ("table", "json"):
        ended = run_process("check", folder, "--output", output)
        assert ended.exit_code == 2
        told = ended.stderr.split("\n")
        assert told.pop() == ""
        assert len(told) == len(FILE_NAMES)
        assert all(line.startswith(f"Error: {folder}/") and line.isprintable() for line in told)
        if output == "json":
            assert len(ended.rows) == len(MEANT) + 1
        else:
            assert len(ended.stdout.splitlines()) == len(MEANT) + 2
            assert all(line.isascii() and line.isprintable() for line in ended.stdout.splitlines())


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"\x00" * 4096, id="zeros"),
        pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", id="long path"),
        pytest.param(b"GET /ports HTTP/9.9\r\n\r\n", id="version"),
        pytest.param(b"POST /ports HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", id="post"),
        pytest.param(b"GET /%0d%0aX: HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", id="many headers"),
        pytest.param("GET /p\u00f6rts HTTP/1.1\r\n\r\n".encode(), id="no ascii"),
    ],
)
def test_hostile_requests(router: RouterProcess, request_bytes: bytes) -> None:
    """Whatever is sent to the HTTP port is answered or cut, is no line in the log, and the next one is served."""
    router.start()
    lines = router.log().count("\n")
    with socket.create_connection(("127.0.0.1", router.http_port), timeout=10) as connection:
        answer = b""
        # The router may hang up before it has read all.
        with contextlib.suppress(OSError):
            connection.sendall(request_bytes)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
    assert answer == b"" or b"HTTP/1" in answer or b"<" in answer
    assert b" 200 " not in answer.partition(b"\r\n")[0] or request_bytes.startswith(b"GET /ports")
    wait_for(lambda: http_get(router.http_port, "/healthz") == (200, "ok\n"), "to be healthy")
    assert router.log().count("\n") == lines


def look_at_outputs(router: RouterProcess) -> None:
    """Every output is of its form: a JSON object in each line of the log, JSON, and Prometheus' text."""
    text = router.log()
    for line in text.split("\n")[:-1]:
        assert isinstance(json.loads(line)["event"], str)
        assert line.isascii()
        assert len(line) < 10_000
    status, ports = http_get(router.http_port, "/ports")
    assert status == 200
    assert ports.isascii()
    for row in json.loads(ports):
        for message in (row["message"], *row["warnings"]):
            assert message.isprintable()
    status, metrics = http_get(router.http_port, "/metrics")
    assert status == 200
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]
    assert any(sample.name == "tcp_router_routes" for sample in samples)
    wait_for(lambda: http_get(router.http_port, "/healthz") == (200, "ok\n"), "to be healthy")


def look_at_haproxy(router: RouterProcess) -> None:
    """HAProxy refused nothing: what runs is one configuration, applied at the first attempt."""
    assert router.events("not applied") == []
    assert router.events("route set aside") == []
    config = (router.state / "haproxy.cfg").read_bytes()
    assert config.isascii()
    assert b"server evil" not in config
