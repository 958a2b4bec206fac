"""What the image is built from: pins that go with pyproject.toml, and a build that gets all it copies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

REQUIREMENTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
CONSTRAINTS = (ROOT / "scripts" / "image" / "constraints.txt").read_text()
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", CONSTRAINTS, re.MULTILINE))


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_requirement_is_pinned(text: str) -> None:
    """Each requirement of the project is pinned to a version that it allows; scripts/image/pin.py mends it where not."""
    requirement = Requirement(text)
    pinned = PINS.get(canonicalize_name(requirement.name))
    assert pinned is not None
    assert requirement.specifier.contains(pinned)


def test_every_pin_has_hashes() -> None:
    """No line installs a file that was not seen when it was pinned."""
    entries = [entry for entry in re.sub(r"\\\n\s*", "", CONSTRAINTS).splitlines() if not entry.startswith("#")]
    assert len(entries) == len(PINS) > 0
    assert [entry for entry in entries if not re.fullmatch(r"\S+==\S+ ( ?--hash=sha256:[0-9a-f]{64})+", entry)] == []


def test_packages_left_out_are_pinned() -> None:
    """What the Containerfile takes out again was installed: a name that is there no longer would be left by mistake."""
    containerfile = (ROOT / "Containerfile").read_text()
    uninstalled = re.search(r"uninstall --yes \\\n(.*)\n", containerfile)
    assert uninstalled is not None
    assert set(uninstalled[1].split()) <= set(PINS)


def test_ignore_file_lets_through_what_is_copied() -> None:
    """The build gets each file and folder that the Containerfile copies."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied
    assert copied == let_through
    assert [source for source in copied if not (ROOT / source).exists()] == []
