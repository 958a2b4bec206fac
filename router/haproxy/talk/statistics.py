"""What a worker counts: the answers to ``show stat`` and ``show info`` as tables (management guide, sections 9.1 and 9.3)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from router.errors import UnexpectedReply

FRONTEND = "0"
BACKEND = "1"
SERVER = "2"

_LAST = "ttime_max"
"""Columns after this one are of HTTP, TLS and QUIC, twice as many as those before."""


@dataclass(frozen=True, slots=True)
class StatTable:
    """The rows of ``show stat``, each with its cells as HAProxy wrote them; an empty cell does not apply to its row."""

    columns: tuple[str, ...]
    rows: tuple[list[str], ...]

    def picker(self, *names: str) -> Callable[[list[str]], tuple[str, ...]]:
        """Give what picks these columns, two or more, out of a row.

        Raises:
            UnexpectedReply: this HAProxy has no such column.
        """
        missing = sorted(set(names) - set(self.columns))
        if missing:
            raise UnexpectedReply(f"HAProxy's 'show stat' has no {', '.join(missing)}")
        return itemgetter(*map(self.columns.index, names))


def parse_stat(answer: str) -> StatTable:
    """Read the answer to ``show stat``.

    Raises:
        UnexpectedReply: it is none, or not whole.
    """
    lines = answer.splitlines()
    if not lines or not lines[0].startswith("# pxname,svname,"):
        raise UnexpectedReply(f"HAProxy answered 'show stat' by {answer[:200]!r}")
    columns = lines[0].removeprefix("# ").split(",")
    wanted = columns.index(_LAST) + 1 if _LAST in columns else len(columns)
    rows = tuple(_cells(line, wanted) for line in lines[1:] if line)
    if any(len(row) < wanted for row in rows):
        raise UnexpectedReply("HAProxy answered 'show stat' by rows that are cut off")
    return StatTable(tuple(columns[:wanted]), rows)


def _cells(line: str, wanted: int) -> list[str]:
    # Texts of health checks are quoted, and may have commas in them; nothing else is.
    return next(csv.reader([line])) if '"' in line else line.split(",", wanted)


def parse_info_fields(answer: str) -> Mapping[str, str]:
    """Read the answer to ``show info``, all of it.

    Raises:
        UnexpectedReply: it is none.
    """
    fields = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
    if not {"Pid", "Start_time_sec", "Stopping", "CurrConns"} <= fields.keys():
        raise UnexpectedReply(f"HAProxy answered 'show info' by {answer[:200]!r}")
    return fields
