"""``--address`` and its relatives, and what they make of the settings."""

from __future__ import annotations

import click
import pytest

from router.cli.pool import pool_of
from router.cli.run import run
from router.cli.run_settings import RunSettings
from router.errors import SettingsError
from router.model import Model
from router.settings import PortRanges


def settings(*arguments: str) -> RunSettings:
    """Read options as the command does."""
    return RunSettings(**run.make_context("run", list(arguments)).params)


def test_addresses_by_name() -> None:
    """In one order however they are given; IP addresses in their usual form, those of one name together."""
    given = settings("--address", "pg=10.0.0.1,2001:DB8::0001", "--address", "my=10.0.0.2", "--address", "pg=10.0.0.3")
    expected = {"my": ("10.0.0.2",), "pg": ("10.0.0.1", "2001:db8::1", "10.0.0.3")}
    assert given.render().addresses == expected
    assert list(given.render().addresses) == ["my", "pg"]
    assert {name: each.ips for name, each in given.admission().addresses.items()} == expected
    assert settings().admission().addresses == {}


def test_addresses_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """With spaces between; the variable of the command ports is another."""
    monkeypatch.setenv("TCP_ROUTER_ADDRESSES", "pg=10.0.0.1,10.0.0.2 my=10.0.0.3")
    assert settings().render().addresses == {"my": ("10.0.0.3",), "pg": ("10.0.0.1", "10.0.0.2")}


@pytest.mark.parametrize(
    ("bind", "overlapping"),
    [
        pytest.param((), ("four", "six"), id="all addresses"),
        pytest.param(("0.0.0.0",), ("four",), id="all of IPv4"),  # noqa: S104 - compared with, not listened on
        pytest.param(("::",), ("six",), id="named :: is IPv6 alone"),
        pytest.param(("10.0.0.1", "10.0.0.9"), ("four",), id="one of them"),
        pytest.param(("10.0.0.9",), (), id="another one"),
    ],
)
def test_what_overlaps(bind: tuple[str, ...], overlapping: tuple[str, ...]) -> None:
    """A port of --bind-address and the same of a named address are one where the one has the other, too."""
    binds = [word for each in bind for word in ("--bind-address", each)]
    given = settings("--address", "four=10.0.0.1", "--address", "six=2001:db8::1", *binds)
    assert given.admission().overlapping == overlapping


@pytest.mark.parametrize(
    ("options", "reserved"),
    [
        pytest.param((), "", id="on loopback HTTP is in nobody's way"),
        pytest.param(("--listen", "[::]:1936"), "1936", id="HTTP on all addresses"),
        pytest.param(("--listen", "10.0.0.1:1936"), "1936", id="HTTP on this one"),
        pytest.param(("--listen", "10.0.0.2:1936"), "", id="HTTP on another one"),
        pytest.param(("--reserved-ports", "22"), "22", id="what listens listens everywhere"),
        pytest.param(("--reserved-ports", "22", "--address-reserved-ports", "25"), "25", id="unless told otherwise"),
        pytest.param(("--tcp-health-port", "1000"), "1000", id="checks of TCP, on all addresses"),
        pytest.param(("--tcp-health-port", "1000", "--bind-address", "10.0.0.2"), "", id="checks of TCP, elsewhere"),
    ],
)
def test_reserved_ports_of_an_address(options: tuple[str, ...], reserved: str) -> None:
    """The router's own ports are reserved where the router has them."""
    given = settings("--address", "pg=10.0.0.1", *options)
    assert given.admission().addresses["pg"].reserved_ports == PortRanges.parse(reserved)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--address", "10.0.0.1"),
        ("--address", "=10.0.0.1"),
        ("--address", "Pg=10.0.0.1"),
        ("--address", f"{46 * 'a'}=10.0.0.1"),
        ("--address", "5432=10.0.0.1"),
        ("--address", "pg="),
        ("--address", "pg=db.example.com"),
        ("--address", "pg=0.0.0.0"),
        ("--address", "pg=::"),
        ("--address", "pg=224.0.0.1"),
        ("--address", "pg=fe80::1"),
        ("--address-port-pool", "pg"),
        ("--address-port-pool", "pg=0"),
        ("--address-hostname", "pg"),
        ("--address-hostname", "pg=192.0.2.1"),
        ("--address-hostname", "pg=Db.example.com"),
        ("--publish-service", "tcp-router"),
        ("--publish-service", "openshift-ingress/tcp_router"),
    ],
    ids=" ".join,
)
def test_what_is_no_address(arguments: tuple[str, ...]) -> None:
    """A name that a PortClaim has room for, and addresses on which a port can be."""
    with pytest.raises(click.BadParameter):
        settings(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--address", "a=10.0.0.1", "--address", "b=10.0.0.1"), "one address, with one name"),
        (("--address", "a=2001:db8::1", "--ip-mode", "v4"), "does not go with --ip-mode v4"),
        (("--address", "a=10.0.0.1", "--address-default-allowed", "b"), "--address gives a"),
        (("--address-default-allowed", "b"), "--address gives none"),
    ],
)
def test_what_does_not_go_together(arguments: tuple[str, ...], said: str) -> None:
    """It ends the start, and says what is wrong."""
    with pytest.raises(SettingsError, match=said):
        settings(*arguments).admission()


def test_what_is_told_of_addresses() -> None:
    """Names by the address; IPs with their option alone, and not before it is known which are the nodes', of which the process knows its own."""
    named = ("--address", "pg=10.0.0.1", "--address-hostname", "pg=pg.example.com")
    told = settings(*named).balancing(frozenset)
    assert (told.hostnames, told.ips) == ({"pg": "pg.example.com"}, {})
    told = settings(*named, "--load-balancer-ips", "--host-ips", "10.0.0.9").balancing(lambda: frozenset({"10.0.0.8"}))
    assert told.ips == {"pg": ("10.0.0.1",)}
    assert told.node_ips() == frozenset({"10.0.0.8", "10.0.0.9"})
    assert settings(*named, "--host-ips", "10.0.0.9").balancing(lambda: None).node_ips() is None
    with pytest.raises(SettingsError, match="--address-hostname names the address my"):
        settings(*named, "--address-hostname", "my=my.example.com").balancing(frozenset)


def test_a_pool_of_each_address() -> None:
    """Ports of the pool are of --bind-address or of a named address; where one is open, what overlaps with it is not declared."""
    given = settings(
        "--port-pool",
        "7000",
        "--address",
        "pg=10.0.0.1",
        "--address-port-pool",
        "pg=7000-7001",
        "--address-port-pool",
        "pg=7003",
    )
    pool = pool_of(given, given.admission())
    assert [each.backend.name for each in pool.sections(Model())] == [
        "pool:7000",
        "pool:7000:pg",
        "pool:7001:pg",
        "pool:7003:pg",
    ]
    for wrong, said in (("my=7000", "--address gives pg"), ("pg=80", "--ports does not let")):
        other = settings("--address", "pg=10.0.0.1", "--address-port-pool", wrong)
        with pytest.raises(SettingsError, match=said):
            pool_of(other, other.admission())
