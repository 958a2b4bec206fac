"""The users' pages name everything that admission knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.admission import options
from router.admission.options import PREFIX
from router.admission.reserved_ports import HOST_LISTENERS, HostListener
from router.admission.verdicts import Reason

DOCS = Path(__file__).parents[3] / "docs"
KEYS = sorted({value for name, value in vars(options).items() if name.isupper() and isinstance(value, str)} - {PREFIX})


@pytest.mark.parametrize("key", KEYS)
def test_every_annotation_is_documented(key: str) -> None:
    """In the table, with our prefix left out."""
    rows = [line for line in (DOCS / "annotations.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    assert any(f"`{key.removeprefix(PREFIX)}`" in row.split("|")[1] for row in rows)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_documented(reason: Reason) -> None:
    """With when it is given, and an example."""
    assert f"\n| `{reason}` | " in (DOCS / "admission.md").read_text("utf-8")


@pytest.mark.parametrize("listener", HOST_LISTENERS, ids=lambda each: str(each.first))
def test_every_reserved_port_is_documented(listener: HostListener) -> None:
    """With what listens there, and who says so."""
    ports = str(listener.first) if listener.first == listener.last else f"{listener.first}-{listener.last}"
    assert f"\n| {ports} | {listener.listener} | " in (DOCS / "admission.md").read_text("utf-8")
