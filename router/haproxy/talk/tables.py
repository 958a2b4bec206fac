"""The one parser of HAProxy's tables: ``show stat``, ``show servers state`` and ``show info`` (management guide, 9.1 and 9.3); pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

from router.errors import UnexpectedReply

FRONTEND = "0"
BACKEND = "1"
SERVER = "2"

_LAST = "ttime_max"
"""Columns after this one are of HTTP, TLS and QUIC, twice as many as those before."""
_SERVERS_STATE = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "  # and more
)
_SERVER = re.compile(r"^\d+ (\S+) \d+ (\S+) \S* (\d+) (\d+) (\d+) \d+ .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an answer, taken apart anew each time they are gone through: at thousands of Routes their cells take five times the text's memory."""

    text: str
    separator: str
    wanted: int

    def __iter__(self) -> Iterator[list[str]]:
        return (_cells(line, self.separator, self.wanted) for line in _lines(self.text))

    @property
    def are_whole(self) -> bool:
        """Whether each row has the cells that are wanted."""
        return all(
            line.count(self.separator) >= self.wanted - 1
            and ('"' not in line or len(_cells(line, self.separator, self.wanted)) >= self.wanted)
            for line in _lines(self.text)
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, each with its cells as HAProxy wrote them; an empty cell does not apply to its row.

    A row may have one cell more than there are columns: the rest of the line, of which nobody asked.
    """

    columns: tuple[str, ...]
    rows: Iterable[list[str]]
    """May be gone through more than once."""
    command: str = "show stat"
    """What was asked for it."""

    def picker(self, *names: str) -> Callable[[list[str]], tuple[str, ...]]:
        """Give what picks these columns, two or more, out of a row.

        Raises:
            UnexpectedReply: this HAProxy has no such column.
        """
        missing = sorted(set(names) - set(self.columns))
        if missing:
            raise UnexpectedReply(f"HAProxy's {self.command!r} has no {', '.join(missing)}")
        return itemgetter(*map(self.columns.index, names))


def parse_stat(answer: str, last: str = _LAST) -> Table:
    """Read the answer to ``show stat``.

    Args:
        answer: all of it.
        last: the last column that is wanted; lines are not taken apart any further.

    Raises:
        UnexpectedReply: it is none, or not whole.
    """
    if not answer.startswith("# pxname,svname,"):
        raise _unexpected("show stat", answer)
    return _table("show stat", answer, ",", last)


def servers_state(answer: str) -> Iterator[re.Match[str]]:
    """Read the answer to ``show servers state``: of each server its whole line, and in it ``be_name``, ``srv_name``, ``srv_op_state``, ``srv_admin_state``, ``srv_uweight``.

    By one expression, for there may be tens of thousands, which are read before and after each reload.

    Raises:
        UnexpectedReply: it is none, its columns are others, or it is not whole.
    """
    if not answer.startswith(_SERVERS_STATE):
        raise _unexpected("show servers state", answer)
    begin = answer.index("\n", len(_SERVERS_STATE)) + 1
    found = 0
    for row in _SERVER.finditer(answer, begin):
        found += 1
        yield row
    end = len(answer.rstrip("\n"))
    if found != (answer.count("\n", begin, end) + 1 if end > begin else 0):
        raise UnexpectedReply("HAProxy answered 'show servers state' by rows that are cut off")


def _table(command: str, text: str, separator: str, last: str) -> Table:
    header, _, rest = text.partition("\n")
    columns = header.removeprefix("# ").split(separator)
    wanted = columns.index(last) + 1 if last in columns else len(columns)
    rows = Rows(rest, separator, wanted)
    if not rows.are_whole:
        raise UnexpectedReply(f"HAProxy answered {command!r} by rows that are cut off")
    return Table(tuple(columns[:wanted]), rows, command)


def _lines(text: str) -> Iterator[str]:
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin)
        end = len(text) if end < 0 else end
        if end > begin:
            yield text[begin:end]
        begin = end + 1


def _cells(line: str, separator: str, wanted: int) -> list[str]:
    cells = line.split(separator, wanted)
    # Texts of health checks are quoted, and may have commas in them; nothing else is.
    if '"' in line and any('"' in cell for cell in cells[:wanted]):
        return next(csv.reader([line], delimiter=separator))
    return cells


def parse_info_fields(answer: str) -> Mapping[str, str]:
    """Read the answer to ``show info``, all of it.

    Raises:
        UnexpectedReply: it is none.
    """
    fields = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
    if not {"Pid", "Start_time_sec", "Stopping", "CurrConns"} <= fields.keys():
        raise _unexpected("show info", answer)
    return fields


def _unexpected(command: str, answer: str) -> UnexpectedReply:
    return UnexpectedReply(f"HAProxy answered {command!r} by {answer[:200]!r}")
