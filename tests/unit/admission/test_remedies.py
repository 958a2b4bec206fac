"""What is said of each reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.admission import options, policy_values
from router.admission.remedies import REMEDIES
from router.admission.verdicts import Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    """In whole sentences, for the owner; an admin's part may be empty."""
    remedy = REMEDIES[reason]
    assert remedy.meaning.endswith(".")
    assert remedy.team.endswith(".")
    assert not remedy.admin or remedy.admin.endswith(".")


_SETTINGS = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()
_KEYS = {
    value.rpartition("/")[2]
    for module in (options, policy_values)
    for value in vars(module).values()
    if isinstance(value, str)
}


@pytest.mark.parametrize("reason", list(Reason))
def test_what_a_remedy_names_is_there(reason: Reason) -> None:
    """Options are those of docs/settings.md, keys those that are read."""
    remedy = REMEDIES[reason]
    said = f"{remedy.meaning} {remedy.team} {remedy.admin}"
    assert [each for each in re.findall(r"--[a-z-]+", said) if f"`{each}" not in _SETTINGS] == []
    assert [each for each in re.findall(r"annotation (tcp-[a-z-]+)", said) if each not in _KEYS] == []
