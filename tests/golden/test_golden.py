"""Configurations compared with golden files, and judged by a real HAProxy."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path

import pytest

from router.model import Model
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from tests.golden.cases import CASES, Case
from tests.support.haproxy import complaints, write
from tests.support.models import section, server

_HERE = Path(__file__).parent
_DOCS = _HERE.parents[1] / "docs" / "templates.md"
_FILE_HEADER = "##### {}\n"

_each_case = pytest.mark.parametrize("name", sorted(CASES))


def _whole(case: Case) -> str:
    """Give the configuration and its files in one text."""
    rendered = Renderer(TemplateSet.load(), case[1]).render(case[0])
    assert rendered.failures == ()
    # The script is the same in each of them.
    made = sorted((name, content) for name, content in rendered.files.items() if not name.endswith(".lua"))
    files = [_FILE_HEADER.format(name) + content.decode() for name, content in made]
    return "".join([rendered.config.decode(), *files])


@_each_case
def test_configuration_is_the_golden_one(name: str, *, update_golden: bool) -> None:
    """A model gives, byte for byte, the configuration that was last looked at and found right."""
    golden = _HERE / f"{name}.cfg"
    whole = _whole(CASES[name])
    if update_golden:
        golden.write_text(whole)
    assert golden.read_text() == whole


@_each_case
def test_haproxy_accepts_without_a_word(name: str) -> None:
    """HAProxy takes the configuration of each case, and warns of nothing."""
    model, settings = CASES[name]
    # Not pytest's folder: the path of a socket may have 97 characters.
    with tempfile.TemporaryDirectory() as directory:
        settings = dataclasses.replace(settings, state_dir=Path(directory) / settings.state_dir.name)
        rendered = Renderer(TemplateSet.load(), settings).render(model)
        assert complaints(write(rendered, settings)) == ""


def test_haproxy_accepts_the_documented_example() -> None:
    """The override that docs/templates.md shows works as it stands there."""
    example = re.search(r"```jinja\n(.*?)```", _DOCS.read_text(), re.DOTALL)
    assert example is not None
    with tempfile.TemporaryDirectory() as directory:
        settings = RenderSettings(state_dir=Path(directory))
        (settings.state_dir / "route.cfg.j2").write_text(example[1])
        model = Model((section("db", 15432, server(5432, "10.128.0.1"), namespace="legacy"),))
        rendered = Renderer(TemplateSet.load(settings.state_dir), settings).render(model)
        assert b"option tcp-check" in rendered.config
        assert complaints(write(rendered, settings)) == ""


def test_every_golden_file_has_a_case() -> None:
    """A golden file that no case makes any more is deleted."""
    assert {path.stem for path in _HERE.glob("*.cfg")} == set(CASES)


def test_state_dir_is_the_one_of_the_product() -> None:
    """The golden files show the paths that an installed router has."""
    assert CASES["empty"][1].state_dir == RenderSettings().state_dir
