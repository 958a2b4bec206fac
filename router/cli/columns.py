"""Text in columns, for people."""

from __future__ import annotations

from collections.abc import Sequence


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Give lines of equally many cells, printable, each column as wide as its widest cell."""
    lines = [[printable(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def printable(text: str) -> str:
    """Give the text without what would move a terminal's cursor: a router that was asked wrote it, or a manifest has it for a name."""
    return "".join(char if char.isprintable() else "?" for char in text)
