"""HAProxy's tables, taken apart: values in, values out."""

from __future__ import annotations

import tracemalloc

import pytest

from router.errors import UnexpectedReply
from router.haproxy.talk.tables import Table, parse_stat, servers_state

_STAT = "# pxname,svname,scur,last_chk,ttime_max,\n"
_STATE = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port\n"


@pytest.mark.parametrize(
    ("last", "rest"),
    [
        pytest.param("scur", ['"Layer4, refused",7,'], id="not asked for"),
        pytest.param("last_chk", ["Layer4, refused", "7", ""], id="asked for"),
    ],
)
def test_a_text_with_commas_is_one_cell(last: str, rest: list[str]) -> None:
    """The quoted text of a check moves no other cell, whether its column is wanted or only what stands before it."""
    table = parse_stat(_STAT + 'b,s,3,"Layer4, refused",7,\n', last)
    assert tuple(table.rows) == (["b", "s", "3", *rest],)
    assert table.picker("svname", "scur")(next(iter(table.rows))) == ("s", "3")


def test_servers_keep_their_whole_line() -> None:
    """A server's state is taken apart up to its weight, beside the line that HAProxy wrote; of a socket it may write no address."""
    lines = ["4 be_tcp:ns:a 1 pod-a 127.0.0.1 2 0 100 100 8080", "4 be_tcp:ns:a 2 socket  0 1 7 7 0"]
    found = list(servers_state(f"{_STATE}{lines[0]}\n{lines[1]}\n\n"))
    assert [row[0] for row in found] == lines
    assert [row.groups() for row in found] == [
        ("be_tcp:ns:a", "pod-a", "2", "0", "100"),
        ("be_tcp:ns:a", "socket", "0", "1", "7"),
    ]
    assert list(servers_state(f"{_STATE}\n")) == []


@pytest.mark.parametrize("answer", ["", "2\n# be_id\n", _STATE.replace("srv_id srv_name", "srv_name srv_id")])
def test_states_of_another_form_are_not_guessed(answer: str) -> None:
    """What stands where is known of one version of the format alone."""
    with pytest.raises(UnexpectedReply, match="answered 'show servers state'"):
        list(servers_state(answer))


@pytest.mark.parametrize(
    ("parse", "answer"),
    [
        pytest.param(parse_stat, f"{_STAT}b,s\n", id="show stat"),
        pytest.param(lambda text: list(servers_state(text)), f"{_STATE}4 be_tcp:ns:a 1\n", id="show servers state"),
    ],
)
def test_a_row_that_is_cut_off_is_refused(parse: object, answer: str) -> None:
    """Half a row is no row: whoever reads the table would take a column for another."""
    assert callable(parse)
    with pytest.raises(UnexpectedReply, match="cut off"):
        parse(answer)


def test_a_column_that_is_missing_is_named() -> None:
    """Where HAProxy has no such column the message says which, and of which table."""
    with pytest.raises(UnexpectedReply, match="'show servers state' has no srv_agent"):
        Table(("srv_name",), (), "show servers state").picker("srv_name", "srv_agent")


def test_rows_hold_the_text_and_no_more() -> None:
    """What thousands of Routes say is taken apart row by row, and kept as what it is: their cells would take five times as much."""
    columns = "# pxname,svname,qcur,scur,type"
    text = "\n".join(
        (columns, *(f"be_tcp:team:app-{number},BACKEND,{number},1{number},1" for number in range(5_000)), "")
    )
    tracemalloc.start()
    try:
        table = parse_stat(text)
        picked = sum(int(current) for _, current in map(table.picker("pxname", "scur"), table.rows))
        assert picked == sum(int(f"1{number}") for number in range(5_000))
        assert tracemalloc.get_traced_memory()[1] < 2 * len(text)
    finally:
        tracemalloc.stop()
    assert list(table.rows) == list(table.rows)
