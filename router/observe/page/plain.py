"""The page without scripts: its frame, and the table for a browser that runs none; pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from router.observe.page.rows import Row

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy: all comes from here, and nothing that an object says is run."""

_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
    '<link rel="stylesheet" href="page.css">'
)
_COLUMNS = ("Port", "Host", "Asker", "Verdict", "Servers", "Connections", "Message")


def frame(router_name: str) -> bytes:
    """Give the page that the script fills."""
    name = escape(router_name)
    return (
        f"{_HEAD}<title>{name}: TCP ports</title>"
        '<noscript><meta http-equiv="refresh" content="0; url=plain"></noscript><script src="page.js" type="module"></script></head>'
        f'<body data-router="{name}"><noscript><p><a href="plain">The table of ports</a>, without scripts.</p></noscript></body></html>'
    ).encode()


def plain(router_name: str, rows: Iterable[Row]) -> bytes:
    """Give the table of ports as it is, sorted by port."""
    name = escape(router_name)
    head = "".join(f'<th scope="col">{each}</th>' for each in _COLUMNS)
    ordered = sorted(rows, key=lambda row: (not row.port, row.port, row.id))
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(row))}</tr>" for row in ordered)
    return (
        f"{_HEAD}<title>{name}: TCP ports</title></head><body class=plain><main><h1>{name}: TCP ports</h1>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></main></body></html>"
    ).encode()


def _cells(row: Row) -> tuple[str, ...]:
    section = f" port {row.section}" if row.section else ""
    said = "; ".join(filter(None, (row.message, *row.warnings)))
    return (
        f"{row.port or '-'}{f' on {row.address}' if row.address else ''}",
        row.host or "-",
        f"{row.kind} {row.namespace}/{row.name}{section}",
        row.reason or "admitted",
        f"{row.up if row.up >= 0 else '?'}/{row.servers}",
        str(row.sessions) if row.sessions >= 0 else "?",
        said,
    )
