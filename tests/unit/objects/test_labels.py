"""Label selectors for objects that are here already."""

from __future__ import annotations

import pytest

from router.objects.labels import matcher

LABELS = {"team": "blue", "example.com/tier": "gold"}


@pytest.mark.parametrize(
    ("selector", "selects"),
    [
        ("", True), (" ", True), ("team=blue", True), ("team==blue", True), ("team=red", False), ("team!=red", True),
        ("team in (red, blue)", True), ("team in (red)", False), ("team notin (red)", True), ("team notin (blue)", False),
        ("team", True), ("!team", False), ("!other", True), ("other", False), ("other!=x", True), ("other notin (x)", True),
        ("team=blue,example.com/tier in (gold,silver)", True), ("team=blue,!example.com/tier", False),
        ("team=(", False), ("team=blue,,", False),
    ],
)  # fmt: skip
def test_selectors(selector: str, selects: bool) -> None:  # noqa: FBT001 - the second column
    """As the API server reads them; what it would refuse selects nothing."""
    assert matcher(selector)(LABELS) is selects
