"""Label selectors of the command line: what an API server takes is taken, and what it refuses is refused at once."""

from __future__ import annotations

import click
import pytest

from router.cli.types import SelectorType


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "  ",
        "team=a",
        "team==a",
        "team!=a",
        "team=",
        "team",
        "!team",
        "! team",
        "a=1,b!=2,c",
        " a = 1 , b ",
        "example.com/stage in (test, prod)",
        "stage notin(test)",
        "stage in (a,)",
        "size>3",
        "size < -4",
        "in in (in)",
    ],
)
def test_selectors_are_taken(selector: str) -> None:
    """Each form of Kubernetes' label selectors, with spaces where they may be."""
    assert SelectorType().convert(selector, None, None) == selector.strip()


@pytest.mark.parametrize(
    "selector",
    ["=a", "a=b=c", "a in", "a in (", "a in b", "in (a)b", "a,", ",a", "a,,b", "a b", "-a", "a=-b", "A/b/c", "a=\n,=", "size>x", "a" * 64],
    ids=repr,
)  # fmt: skip
def test_what_is_no_selector_is_refused(selector: str) -> None:
    """The message names the value."""
    with pytest.raises(click.BadParameter, match="is no label selector"):
        SelectorType().convert(selector, None, None)
