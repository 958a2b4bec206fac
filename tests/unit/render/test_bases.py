"""What backends take up that are added while HAProxy runs is what stands in the sections of those that it was loaded with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.cli.bases import common_bases
from router.haproxy.process.binary import HaproxyBinary
from router.model import Model, RouteSection
from router.model.bases import Base, base_of
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings, RouteDefaults
from tests.support.models import section, server
from tests.support.random_sections import RandomSections

_PLAIN = Base("leastconn", None, 5_000, 30_000, 3_600_000, tcp_keepalive=True)
_SETTINGS = RenderSettings(state_dir=Path("/s"), bases=(_PLAIN,))
_TEMPLATES = TemplateSet.load()
_SECTIONS = RandomSections(
    addresses=("10.0.0.1",), ports=(5000,), weights=(0, 1), checks=(True, False), other_ids=(1, 2)
)


def _lines(text: str, head: str) -> list[str]:
    """Give the lines of a section."""
    found: list[str] = []
    is_in = False
    for line in text.splitlines():
        if line and not line[0].isspace():
            is_in = line == head
        elif is_in and line.strip() and not line.lstrip().startswith("#"):
            found.append(line.strip())
    return found


@given(_SECTIONS.one("web", None), st.sampled_from((None, 150)), st.booleans())
def test_it_is_what_a_section_has_but_for_servers(one: RouteSection, factor: int | None, keepalive: bool) -> None:  # noqa: FBT001 - drawn
    """Of whatever Route that can be added: word for word, behind the rules that all of them have."""
    one = replace(one, backend=replace(one.backend, hash_balance_factor=factor, tcp_keepalive=keepalive))
    model = Model((one,))
    renderer = Renderer(_TEMPLATES, _SETTINGS)
    text = renderer.render(model).config.decode()
    base = base_of(one)
    if base is None:
        assert one.backend.allowlist is not None
        return
    own = _lines(text, f"backend {one.backend.name} from routes")
    own = [line for line in own if not line.startswith(("server ", "default-server "))]
    name = renderer.loaded(model).bases[base]
    assert _lines(text, f"defaults {name} from common") == [*_lines(text, "defaults routes from common"), *own]


def test_common_ones_and_those_most_in_use_are_declared() -> None:
    """In an order that does not depend on who came first; beyond the most that there may be, who has what few have is served by reloads."""
    rare = [section(f"r{number:03}", None, server(1), timeout_tunnel_ms=1_000 + number) for number in range(100)]
    often = [section(f"s{number}", None, server(1), timeout_connect_ms=77) for number in range(3)]
    renderer = Renderer(_TEMPLATES, _SETTINGS)
    found = renderer.loaded(Model((*rare, *often))).bases
    assert len(found) == 65
    assert {_PLAIN, base_of(often[0])} < set(found)
    assert list(renderer.loaded(Model((*often, *reversed(rare)))).bases) == list(found)
    assert renderer.render(Model((*rare, *often))).config.count(b"\ndefaults routes-") == 65


def test_templates_of_an_admin_have_none(tmp_path: Path) -> None:
    """They may write into a section what no other one may take up."""
    (tmp_path / "route.cfg.j2").write_text((Path("templates") / "route.cfg.j2").read_text() + "\n# mine\n")
    renderer = Renderer(TemplateSet.load(tmp_path), _SETTINGS)
    assert not renderer.loaded(Model()).bases
    assert b"defaults routes-" not in renderer.render(Model()).config


@pytest.mark.parametrize(("version", "number"), [((2, 8, 25), 0), ((3, 3, 9), 0), ((3, 4, 0), 10), ((4, 0, 1), 10)])
def test_a_haproxy_that_adds_no_backends_is_rendered_for_as_ever(version: tuple[int, int, int], number: int) -> None:
    """Byte for byte."""
    found = common_bases(HaproxyBinary(Path("haproxy"), version, ""), RouteDefaults())
    assert len(set(found)) == number
    model = Model((section("web", 7000, server(1)),))
    text = Renderer(_TEMPLATES, replace(_SETTINGS, bases=found)).render(model).config
    assert (text == Renderer(_TEMPLATES, replace(_SETTINGS, bases=())).render(model).config) == (not number)
