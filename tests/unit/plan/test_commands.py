"""Commands as values: what they say, and how paths are written into them."""

from __future__ import annotations

import pytest

from router.plan.commands import (
    Answer,
    Command,
    add_entry,
    add_server,
    change_networks,
    change_server,
    close_frontend,
    delete_entry,
    open_frontend,
    retire_server,
    revive_server,
    set_entry,
)
from router.plan.section_text import ServerLine

_PLAIN = ServerLine("10.0.0.1:80", 1, 0, ())


@pytest.mark.parametrize(
    ("path", "written"),
    [
        pytest.param("/run/a.map", "/run/a.map", id="plain"),
        pytest.param("/a b/a.map", r"/a\ b/a.map", id="blank"),
        pytest.param("/a;b/a.map", r"/a\;b/a.map", id="end of a command"),
        pytest.param("/a\\b/a.map", r"/a\\b/a.map", id="backslash"),
        pytest.param("/a\tb/a.map", "/a\\\tb/a.map", id="tab"),
        pytest.param("/ä$(x)'\"/a.map", "/ä$(x)'\"/a.map", id="what means nothing to HAProxy"),
    ],
)
def test_paths_are_one_word(path: str, written: str) -> None:
    """What would end a word or a command is escaped, in each command that has a path."""
    assert add_entry(path, "k", "v").text == f"add map {written} k v"
    assert set_entry(path, "k", "v").text == f"set map {written} k v"
    assert delete_entry(path, "k").text == f"del map {written} k"
    assert [each.text for each in change_networks(path, ("::/0",), ("10.0.0.0/8",))] == [
        f"add acl {written} 10.0.0.0/8",
        f"del acl {written} ::/0",
    ]


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        pytest.param(_PLAIN, ["add server be/a 10.0.0.1:80 weight 1", "enable server be/a"], id="plain"),
        pytest.param(
            ServerLine("[fd00::1]:80", 0, 7, ("send-proxy-v2",)),
            ["add server be/a [fd00::1]:80 weight 0 maxconn 7 send-proxy-v2", "enable server be/a"],
            id="all of it",
        ),
        pytest.param(
            ServerLine("10.0.0.1:80", 1, 7, ("send-proxy",), id=1_048_575),
            ["add server be/a 10.0.0.1:80 weight 1 maxconn 7 id 1048575 send-proxy", "enable server be/a"],
            id="with its id",
        ),
        pytest.param(
            ServerLine("10.0.0.1:80", 1, 0, ("check", "inter", "5s")),
            ["add server be/a 10.0.0.1:80 weight 1 check inter 5s", "enable health be/a", "enable server be/a"],
            id="checked",
        ),
    ],
)
def test_adding_a_server(line: ServerLine, texts: list[str]) -> None:
    """All that the server has is said, and its checks begin before it takes connections."""
    commands = list(add_server("be", "a", line))
    assert [each.text for each in commands] == texts
    assert [each.answer for each in commands] == [Answer.SERVER_ADDED] + [Answer.SILENCE] * (len(texts) - 1)


def test_changing_a_server() -> None:
    """Only what differs is said; no limit is a limit of 0."""
    other = ServerLine("[fd00::1]:81", 4, 9, ())
    assert list(change_server("be", "a", _PLAIN, _PLAIN)) == []
    assert list(change_server("be", "a", _PLAIN, other)) == [
        Command("set server be/a addr fd00::1 port 81", Answer.ADDRESS_SET),
        Command("set server be/a weight 4"),
        Command("set maxconn server be/a 9"),
    ]
    assert [each.text for each in change_server("be", "a", other, _PLAIN)] == [
        "set server be/a addr 10.0.0.1 port 80",
        "set server be/a weight 1",
        "set maxconn server be/a 0",
    ]


def test_retiring_and_reviving() -> None:
    """Maintenance, but drain for a server whose sessions that would cut."""
    cutting = ServerLine("10.0.0.1:80", 1, 0, ("check", "on-marked-down", "shutdown-sessions"))
    assert retire_server("be", "a", _PLAIN).text == "set server be/a state maint"
    assert retire_server("be", "a", cutting).text == "set server be/a state drain"
    assert revive_server("be", "a").text == "set server be/a state ready"


def test_frontends() -> None:
    """Ports are opened and closed; that one was open or closed before is no fault."""
    assert open_frontend("fe_tcp:7001") == Command("enable frontend fe_tcp:7001", Answer.FRONTEND_OPEN)
    assert close_frontend("fe_tcp:7001") == Command("disable frontend fe_tcp:7001", Answer.FRONTEND_CLOSED)


def test_networks_that_stay_are_not_touched() -> None:
    """New ones come before former ones go, so that the list is at no moment empty that was not and shall not be."""
    changed = change_networks("/a", ("10.0.0.0/8", "192.0.2.1"), ("fd00::/8", "192.0.2.1"))
    assert [each.text for each in changed] == ["add acl /a fd00::/8", "del acl /a 10.0.0.0/8"]


class Unsearchable(tuple[str, ...]):
    """A list of networks in which nobody may look for one: that would be all of it, for each."""

    __slots__ = ()

    def __contains__(self, _: object) -> bool:
        raise AssertionError("searched from its beginning to its end")


def test_no_network_is_looked_for_in_a_list() -> None:
    """The cost of an allowlist grows with its length, not with its square: 20,000 entries took 10 s, and all others waited."""
    before, after = Unsearchable(("10.0.0.1", "10.0.0.2")), Unsearchable(("10.0.0.2", "10.0.0.3"))
    assert [each.text for each in change_networks("/a", before, after)] == [
        "add acl /a 10.0.0.3",
        "del acl /a 10.0.0.1",
    ]
