"""The demo's services and clients, with each other."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from router.demo import client
from router.demo.certificate import write_certificate
from router.demo.ports import Ports
from router.demo.services import Service, echo, greeter, over_tls, server_context
from router.errors import DemoFailed

HOST = "vault.example.com"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for HOST, its key beside it."""
    write_certificate((HOST,), tmp_path / "cert.pem", tmp_path / "key.pem")
    return tmp_path / "cert.pem"


@pytest.fixture
def vault(certificate: Path) -> Iterator[Service]:
    """An echo behind TLS."""
    with Service(over_tls(echo("vault"), server_context(certificate, certificate.with_name("key.pem")))) as service:
        yield service


def test_echo_answers_each_line_under_its_name() -> None:
    """Two echoes can be told apart by what they answer."""
    with Service(echo("one")) as one, Service(echo("two")) as two:
        assert client.ask(one.port, "hello") == "one: hello"
        assert client.ask(two.port, "hello") == "two: hello"


def test_greeter_speaks_first() -> None:
    """The greeting comes before the client has said a word, and QUIT ends the conversation."""
    with Service(greeter("mail")) as service, client.connect(service.port) as connection:
        assert client.exchange(connection).startswith("220 mail")
        assert client.exchange(connection, "NOOP") == "250 NOOP"
        assert client.exchange(connection, "quit") == "221 bye"
        assert client.exchange(connection) == ""


def test_tls_client_accepts_the_certificate_of_the_host(vault: Service, certificate: Path) -> None:
    """The certificate is good for the name that it was made for."""
    assert client.ask_over_tls(vault.port, HOST, certificate, "hello") == "vault: hello"


def test_tls_client_accepts_no_other_name(vault: Service, certificate: Path) -> None:
    """The client checks the name, so a self-test that passes has seen the right certificate."""
    with pytest.raises(ssl.SSLCertVerificationError):
        client.ask_over_tls(vault.port, "other.example.com", certificate, "hello")


def test_tls_service_survives_a_client_without_handshake(vault: Service, certificate: Path) -> None:
    """A health check that connects and leaves costs nothing but its own connection."""
    client.connect(vault.port).close()
    assert client.ask_over_tls(vault.port, HOST, certificate, "hello") == "vault: hello"


def test_private_key_is_for_the_owner_alone(certificate: Path) -> None:
    """Nobody else on the machine can read the demo's key."""
    assert certificate.with_name("key.pem").stat().st_mode & 0o777 == 0o600


def test_service_ends_its_connections_when_it_ends() -> None:
    """A held connection is hung up on, and does not keep the demo from ending."""
    with Service(echo("one")) as service:
        held = client.connect(service.port)
        assert client.exchange(held, "hello") == "one: hello"
    with closing(held):
        assert client.exchange(held) == ""
    assert client.is_refused(service.port)


def test_two_demos_take_different_ports() -> None:
    """A port that one demo keeps is passed by for another, though nobody listens there yet."""
    with Ports() as first, Ports() as second:
        port = first.keep(16620)
        assert second.keep(port) == port + 10


def test_port_that_is_listened_on_is_passed_by() -> None:
    """The demo looks for another port where the one that it prefers is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken, Ports() as ports:
        port = taken.getsockname()[1]
        assert ports.keep(port) != port


def test_port_is_free_for_the_next_demo() -> None:
    """What a demo kept is given back at its end."""
    with Ports() as first:
        port = first.keep(16620)
    with Ports() as second:
        assert second.keep(16620) == port


def test_until_says_what_was_seen_last() -> None:
    """A wait that fails names the last thing that was seen."""
    with pytest.raises(DemoFailed, match="seen last: wrong"):
        client.until(lambda: "wrong", lambda seen: seen == "right", deadline_s=0)


def test_until_says_which_connection_failed() -> None:
    """A wait on a connection that fails names its error."""

    def refused() -> str:
        raise ConnectionRefusedError("refused")

    with pytest.raises(DemoFailed, match="seen last: refused"):
        client.until(refused, bool, deadline_s=0)
