"""The last connections, of lines that HAProxy logged."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.observe.page.recent import REFUSED_AT_ONCE, in_words, last_of

TEXT = (
    "192.0.2.7:50266 [21/Nov/2026:03:10:20.387] fe_tcp:15432 be_tcp:team:db/pod:db-1:db:tcp:10.128.0.7:5432 1/0/5017 812 cD "
    "2/2/0/0/0 0/0 namespace=team route=db"
)
JSON = (
    '{"time":"2026-11-21T03:10:25Z","accepted":1,"client":"2001:db8::7","client_port":50266,"port":15432,"namespace":"team","route":"db",'
    '"server":"pod:db-1","bytes_in":1,"bytes_out":812,"queue_ms":1,"connect_ms":0,"total_ms":5017,"termination_state":"--"}'
)


def test_both_forms_of_lines_are_read() -> None:
    """The newest first; who it was, how long, and how it ended, in words."""
    newest, oldest = last_of([TEXT, "", "<134>1 - " + JSON], "team", "db", 10)
    assert (oldest.client, oldest.server, oldest.seconds, oldest.bytes_out) == (
        "192.0.2.7:50266",
        "pod:db-1:db:tcp:10.128.0.7:5432",
        5.017,
        812,
    )
    assert oldest.how == "the client was silent for the timeout while data was passed on"
    assert (newest.client, newest.how, newest.time) == (
        "2001:db8::7:50266",
        "it ended in order",
        "2026-11-21T03:10:25Z",
    )


def test_those_of_others_are_not() -> None:
    """By namespace and name, exactly: one's name may begin as another's, and lines may be cut."""
    others = [
        TEXT.replace("route=db", "route=db2"),
        TEXT.replace("namespace=team", "namespace=team2"),
        JSON.replace('"team"', '"other"'),
        JSON[: len(JSON) // 2],
        "namespace=team route=db",
        '{"namespace":["team"],"route":"db"}',
        "[1]{",
    ]
    assert last_of(others, "team", "db", 10) == ()


def test_so_many_at_most() -> None:
    """The newest of them."""
    lines = [JSON.replace("50266", str(number)) for number in range(100, 140)]
    assert [each.client.rpartition(":")[2] for each in last_of(lines, "team", "db", 3)] == ["139", "138", "137"]


def test_a_handshake_that_failed() -> None:
    """TLS ended before there was a connection to a pod."""
    (failed,) = last_of([JSON.replace('"server"', '"tls_error":"unsupported protocol","server"')], "team", "db", 3)
    assert failed.how == "it did not get through the handshake: unsupported protocol"


def test_one_that_was_refused_as_soon_as_it_connected() -> None:
    """By the allowlist of a port at which TLS ends, in the words of the template."""
    assert f'"error":"{REFUSED_AT_ONCE}"' in (Path(__file__).parents[4] / "templates/limits.cfg.j2").read_text()
    (refused,) = last_of([JSON.replace('"server"', f'"error":"{REFUSED_AT_ONCE}","server"')], "team", "db", 3)
    assert refused.how == "it was turned away: not on the allowlist"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("--", "it ended in order"),
        ("cD", "the client was silent for the timeout while data was passed on"),
        ("sD", "the pod was silent for the timeout while data was passed on"),
        ("CD", "the client cut the connection while data was passed on"),
        ("SC", "the pod cut the connection, or refused it while HAProxy was connecting to the pod"),
        ("sC", "the pod was silent for the timeout while HAProxy was connecting to the pod"),
        ("PR", "it was turned away: by an allowlist or a limit before it said what it wanted"),
        ("KD", "it was cut by the router or an admin while data was passed on"),
        ("xy", "it ended as xy"),
        ("", "it ended as"),
    ],
)
def test_two_letters_in_words(state: str, words: str) -> None:
    """As the configuration manual has them."""
    assert in_words(state).strip() == words
