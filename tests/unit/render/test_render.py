"""Rendering: sections remembered, faults kept to their section, lines traced to Route and template."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import SettingsError, TemplateError
from router.model import Asker, ConnectionLimit, Model, RouteSection, Spot
from router.render import PortOwner, Rendered, Renderer, TemplateSet, default_template_dir
from router.settings import RenderSettings
from tests.golden.cases import CASES
from tests.support.models import port_options, section, server, shared

_SETTINGS = RenderSettings()
_DOCS = Path(__file__).parents[3] / "docs" / "templates.md"


def _load(tmp_path: Path, **texts: str) -> TemplateSet:
    """Give templates of which some are overridden: ``route="..."`` is route.cfg.j2, ``_x="..."`` the helper _x.j2."""
    for name, text in texts.items():
        (tmp_path / (f"{name}.j2" if name.startswith("_") else f"{name}.cfg.j2")).write_text(text)
    return TemplateSet.load(tmp_path)


def _render(model: Model, templates: TemplateSet | None = None, settings: RenderSettings = _SETTINGS) -> Rendered:
    return Renderer(templates or TemplateSet.load(), settings).render(model)


def _lines(rendered: Rendered) -> list[str]:
    return rendered.config.decode().split("\n")[:-1]


class _CountingTemplates(TemplateSet):
    """Counts how often each Route was rendered."""

    rendered: dict[str, int]

    def render(self, name: str, variables: Mapping[str, object]) -> str:
        route = variables.get("route")
        if isinstance(route, RouteSection):
            self.rendered = getattr(self, "rendered", {})
            self.rendered[route.route] = self.rendered.get(route.route, 0) + 1
        return super().render(name, variables)


# Remembering


def test_unchanged_sections_are_not_rendered_again() -> None:
    """Only the section whose object changed is rendered; one that left and came back is rendered anew."""
    templates = _CountingTemplates.load()
    assert isinstance(templates, _CountingTemplates)
    renderer = Renderer(templates, _SETTINGS)
    # With a file of its own each: what others have alike is known without (test_alike).
    unlike = ("10.0.0.0/8",)
    a, b = section("a", 1001, allowlist=unlike), section("b", 1002, allowlist=unlike)
    renderer.render(Model((a, b)))
    renderer.render(Model((a, b)))
    assert templates.rendered == {"a": 1, "b": 1}
    changed = section("b", 1003, allowlist=unlike)
    again = renderer.render(Model((a, changed)))
    assert templates.rendered == {"a": 1, "b": 2}
    assert b"fe_tcp:1003" in again.config
    assert b"fe_tcp:1002" not in again.config
    renderer.render(Model((changed,)))
    renderer.render(Model((a, changed)))
    assert templates.rendered == {"a": 2, "b": 2}


_sections = st.builds(
    lambda route, port, pods, allowlist, rate: section(
        route,
        port,
        *(server(5432, f"10.0.0.{number}") for number in range(1, pods + 1)),
        allowlist=allowlist,
        connection_limit=ConnectionLimit(rate, None) if rate else None,
    ),
    st.sampled_from("abcd"),
    st.one_of(st.none(), st.integers(1024, 1030)),
    st.integers(0, 3),
    st.sampled_from([None, (), ("10.0.0.0/8",)]),
    st.integers(0, 2),
)


@settings(max_examples=40)
@given(st.lists(st.lists(_sections, max_size=4, unique_by=lambda each: each.route), max_size=5), st.data())
def test_remembering_changes_nothing(steps: list[list[RouteSection]], data: st.DataObject) -> None:
    """After any sequence of models, what is rendered equals what a new renderer gives."""
    templates = TemplateSet.load()
    renderer = Renderer(templates, _SETTINGS)
    kept: dict[str, RouteSection] = {}
    for step in steps:
        # Some of the objects stay, as they do between models that follow each other.
        kept = {name: each for name, each in kept.items() if data.draw(st.booleans(), label=f"{name} stays")}
        kept = {**{each.route: each for each in step}, **kept}
        routes = tuple(kept[name] for name in sorted(kept))
        ports = (shared(8443, {f"{each.route}.example.com": each for each in routes}),) if routes else ()
        model = Model(routes, ports)
        assert renderer.render(model) == Renderer(templates, _SETTINGS).render(model)


# Files


def _lists(rendered: Rendered) -> dict[str, bytes]:
    """Give the map and ACL files of Routes and ports; beside them are those that are always the same."""
    return {name: content for name, content in rendered.files.items() if not name.startswith(("hello-", "owners-"))}


def test_files_are_named_by_content_and_owner() -> None:
    """Two Routes with one list have a file each, and a new list is a new file beside the old one."""
    networks = ("10.0.0.0/8", "2001:db8::/32")
    one = _lists(_render(Model((section("a", 1001, allowlist=networks),))))
    both = _lists(_render(Model((section("a", 1001, allowlist=networks), section("b", 1002, allowlist=networks)))))
    changed = _lists(_render(Model((section("a", 1001, allowlist=networks[:1]),))))
    assert len(both) == 2
    assert one.items() < both.items()
    assert not changed.keys() & both.keys()
    assert all(re.fullmatch(r"allow-[0-9a-f]{16}\.acl", name) for name in both)
    assert list(one.values()) == [b"# Route team/a\n10.0.0.0/8\n2001:db8::/32\n"]


def test_configuration_names_just_its_files() -> None:
    """Each file is read by the configuration, and each that it reads is there."""
    route = section("a", 1001, allowlist=("10.0.0.0/8",))
    rendered = _render(
        Model((route,), (shared(8443, {"a.example.com": route}), shared(9443, {"b.example.com": route})))
    )
    assert set(re.findall(r"/maps/([^\s)]+)", rendered.config.decode())) == set(rendered.files)
    assert len(rendered.files) == 5


# Faults in templates

_BROKEN_FOR_B = "backend {{ route.backend.name }}\n{% if route.route == 'b' %}\n  {{ EXPRESSION }}\n{% endif %}\n"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        pytest.param("rout.name", "'rout' is undefined", id="unknown-variable"),
        pytest.param("route.nam", "has no attribute 'nam'", id="unknown-field"),
        pytest.param("1 // 0", "ZeroDivisionError", id="division-by-zero"),
        pytest.param("'a' + 1", "TypeError", id="types"),
        pytest.param("5 | sort", "TypeError", id="filter"),
        pytest.param("'a\\nb' | quoted", "ValueError: 'a\\nb' has a control character in it", id="unquotable"),
        pytest.param("route.route.index('z')", "ValueError", id="method"),
        pytest.param("'%(x)s' | format(1)", "TypeError", id="format"),
        pytest.param("settings.state_dir.joinpath('none').read_text()", "FileNotFoundError", id="file"),
        pytest.param("'\\ud800'", "UnicodeEncodeError", id="not-encodable"),
        pytest.param("range(2 ** 62) | list", "MemoryError", id="memory"),
        pytest.param("'x' * 2 ** 62", "MemoryError", id="memory-of-text"),
        pytest.param("2.0 ** 10000", "OverflowError", id="overflow"),
        pytest.param("[].__iter__().__next__()", "StopIteration", id="stop-iteration"),
        pytest.param("[route].append.__self__.pop.__call__(7)", "IndexError", id="method-of-a-method"),
        pytest.param("'x'.encode('utf-32').decode()", "UnicodeDecodeError", id="not-decodable"),
        pytest.param("{}.setdefault.__self__.__init__.__self__.popitem()", "KeyError", id="nothing-to-pop"),
        pytest.param(
            "''.join.__self__.__class__.__mro__[1].__subclasses__.__self__.__new__()", "TypeError", id="internals"
        ),
    ],
)
def test_a_section_that_fails_is_left_out(tmp_path: Path, expression: str, problem: str) -> None:
    """A template that fails on one Route costs that Route alone, and is told with file and line."""
    templates = _load(tmp_path, route=_BROKEN_FOR_B.replace("EXPRESSION", expression))
    a, b, c = (section(name, 1001 + number, allowlist=("10.0.0.1",)) for number, name in enumerate("abc"))
    rendered = _render(Model((a, b, c), (shared(8443, {"a.example.com": a, "b.example.com": b}),)), templates)
    (failure,) = rendered.failures
    assert failure.owner == Asker.route("team", "b")
    assert failure.error.template == str(tmp_path / "route.cfg.j2")
    assert failure.error.line in ({None} if "Encode" in problem else {3})
    assert problem in failure.error.problem
    assert re.findall(rb"^backend (be_tcp:.+)", rendered.config, re.MULTILINE) == [b"be_tcp:team:a", b"be_tcp:team:c"]
    # Nothing leads to, or is left of, the Route that is not there.
    assert b"be_tcp:team:b" not in b"".join([rendered.config, *rendered.files.values()])
    assert not [name for name, content in rendered.files.items() if b"team/b" in content]


def test_a_failed_section_comes_back(tmp_path: Path) -> None:
    """When the Route changes so that the template can render it, all of it is there again."""
    templates = _load(tmp_path, route="backend {{ route.backend.name }} {{ 1 // (route.backend.servers | length) }}\n")
    renderer = Renderer(templates, _SETTINGS)
    a, port = section("a", None), shared(8443, {"a.example.com": section("a", None)})
    assert len(renderer.render(Model((a,), (port,))).failures) == 1
    healed = renderer.render(Model((section("a", None, server(5432)),), (port,)))
    assert healed.failures == ()
    assert b"".join(_lists(healed).values()) == b"# Port 8443\na.example.com be_tcp:team:a\n"


def test_a_shared_port_that_fails_is_left_out(tmp_path: Path) -> None:
    """A shared port is set aside like a Route."""
    templates = _load(tmp_path, shared="frontend {{ frontend_name }}{{ 1 // (shared.port - 8443) }}\n")
    rendered = _render(Model((), (shared(8443, {}), shared(9443, {}))), templates)
    assert [failure.owner for failure in rendered.failures] == [PortOwner(Spot(8443))]
    assert b"fe_tcp:9443" in rendered.config
    assert len(_lists(rendered)) == 1


def test_a_global_part_that_fails_is_an_error(tmp_path: Path) -> None:
    """Without the global part there is no configuration."""
    with pytest.raises(TemplateError, match=r"global\.cfg\.j2:2: .*nosuch"):
        _render(Model(), _load(tmp_path, **{"global": "global\n{{ settings.nosuch }}\n"}))


def test_fault_in_a_helper_is_told_there(tmp_path: Path) -> None:
    """The line is that of the innermost template."""
    templates = _load(tmp_path, route="\n{% include '_x.j2' %}\n", _x="\n\n\n{{ nothing }}\n")
    (failure,) = _render(Model((section("a", 1001),)), templates).failures
    assert (failure.error.template, failure.error.line) == (str(tmp_path / "_x.j2"), 4)


def test_include_of_nothing(tmp_path: Path) -> None:
    """A template that is not there is told by name, with the line that wants it."""
    templates = _load(tmp_path, route="\n{% include '_x.j2' %}\n")
    (failure,) = _render(Model((section("a", 1001),)), templates).failures
    assert (failure.error.line, failure.error.problem) == (2, "there is no template _x.j2")


# Loading templates


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        pytest.param(b"a\nb\n{% if x %}\n", 3, "", id="open-block"),
        pytest.param(b"a\n{{ x | nosuchfilter }}\n", 2, "nosuchfilter", id="unknown-filter"),
        pytest.param(b"a\n{{ x\n", None, "", id="open-expression"),
        pytest.param(b"a\nb \xff\n", 2, "not UTF-8", id="not-utf-8"),
        # What follows is Jinja, and nothing that Python compiles, or that either of them can be brought to read.
        pytest.param(
            b"{% for a in b %}\n" * 25 + b"{% endfor %}" * 25, 21, "statically nested blocks", id="nested-loops"
        ),
        pytest.param(b"{% if a %}\n" * 120 + b"{% endif %}" * 120, 99, "levels of indentation", id="nested-ifs"),
        pytest.param(b"\n{{ dict(a=1, a=2) }}\n", 2, "keyword argument repeated", id="argument-twice"),
        pytest.param(b"\n{{ dict(__debug__=1) }}\n", 2, "cannot assign to __debug__", id="debug"),
        pytest.param(b"\n\n{% macro m(a, a) %}{% endmacro %}\n", 3, "duplicate argument", id="parameter-twice"),
        pytest.param(b"\n{{ " + b"(" * 3000 + b"1" + b")" * 3000 + b" }}\n", 2, "RecursionError", id="parentheses"),
        pytest.param(b"\n\n{{ " + b"+".join([b"1"] * 5000) + b" }}\n", 3, "RecursionError", id="long-sum"),
        pytest.param(b"\n{{ x" + b"|abs" * 3000 + b" }}\n", 2, "RecursionError", id="filters"),
        pytest.param(b"\n{{ " + b"9" * 5000 + b" }}\n", 2, "ValueError: Exceeds the limit", id="large-number"),
    ],
)
@pytest.mark.parametrize("name", ["global.cfg.j2", "limits.cfg.j2", "route.cfg.j2", "shared.cfg.j2", "_helper.j2"])
def test_broken_template_is_told_with_its_line(
    tmp_path: Path, name: str, content: bytes, line: int | None, problem: str
) -> None:
    """A template that is no correct Jinja is refused when it is loaded, helpers too."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TemplateError) as caught:
        TemplateSet.load(tmp_path)
    assert caught.value.template == str(path)
    assert line is None or caught.value.line == line
    assert problem in caught.value.problem


def test_template_of_unknown_name_is_refused(tmp_path: Path) -> None:
    """A misspelt override would change nothing; it is told, with the names there are."""
    (tmp_path / "routes.cfg.j2").touch()
    with pytest.raises(
        TemplateError, match=r"routes\.cfg\.j2: .*global\.cfg\.j2, limits\.cfg\.j2, route\.cfg\.j2, shared\.cfg\.j2"
    ):
        TemplateSet.load(tmp_path)


def test_unreadable_templates_are_refused(tmp_path: Path) -> None:
    """A folder that is not there, and a file that is a folder, are told."""
    with pytest.raises(TemplateError, match="missing: cannot be listed: No such file"):
        TemplateSet.load(tmp_path / "missing")
    (tmp_path / "route.cfg.j2").mkdir()
    with pytest.raises(TemplateError, match=r"route\.cfg\.j2: cannot be read: Is a directory"):
        TemplateSet.load(tmp_path)


def test_configmap_mount(tmp_path: Path) -> None:
    """The folder that Kubernetes makes of a ConfigMap works; what else lies there is ignored."""
    data = tmp_path / "..2026_01_01"
    data.mkdir()
    (data / "route.cfg.j2").write_text("# mine\n")
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "route.cfg.j2").symlink_to("..data/route.cfg.j2")
    for name in ("README.md", ".route.cfg.j2.swp", ".#route.cfg.j2", "route.cfg.j2~"):
        (tmp_path / name).write_text("{% nonsense")
    assert _lines(_render(Model((section("a", 1001),)), TemplateSet.load(tmp_path)))[-1] == "# mine"


def test_later_changes_do_not_reach_loaded_templates(tmp_path: Path) -> None:
    """What was loaded stays as it was; half a change on disk does no harm."""
    templates = _load(tmp_path, route="# {% include '_x.j2' %}\n", _x="before")
    _load(tmp_path, _x="after")
    assert _lines(_render(Model((section("a", 1001),)), templates))[-1] == "# before"


def test_override_can_build_on_the_packaged_template(tmp_path: Path) -> None:
    """The example of docs/templates.md: one line more for the Routes of one namespace."""
    example = re.search(r"```jinja\n(.*?)```", _DOCS.read_text(), re.DOTALL)
    assert example is not None
    templates = _load(tmp_path, route=example[1])
    routes = (section("a", 1001, namespace="legacy"), section("b", 1002))
    plain, changed = _lines(_render(Model(routes))), _lines(_render(Model(routes), templates))
    assert [line for line in changed if line not in plain] == ["  option tcp-check"]
    assert changed.index("  option tcp-check") < changed.index("# Route team/b")
    assert [line for line in changed if line in plain] == plain


def test_sections_never_run_into_each_other(tmp_path: Path) -> None:
    """A template without a newline at its end does no harm to the next section."""
    templates = _load(tmp_path, route="# {{ route.route }}")
    assert _lines(_render(Model((section("a", 1001), section("b", 1002))), templates))[-2:] == ["# a", "# b"]


def test_packaged_templates_are_there() -> None:
    """The folder has the templates, and nothing that would be no template."""
    names = {path.name for path in default_template_dir().iterdir()}
    assert names == {"global.cfg.j2", "limits.cfg.j2", "route.cfg.j2", "shared.cfg.j2"}


# What HAProxy reads anew for each port


@pytest.mark.parametrize("name", sorted(CASES))
def test_only_ports_that_need_it_say_how_a_broken_beginning_is_logged(name: str) -> None:
    """HAProxy takes such a form apart for each port that has it, a fifth of the load of a Route: those with PROXY headers or TLS have one."""
    model, settings = CASES[name]
    text = Renderer(TemplateSet.load(), settings).render(model).config.decode()
    before, *frontends = re.split(r"^frontend ", text, flags=re.MULTILINE)
    assert "error-log-format" not in before
    for each in frontends:
        of_port = re.split(r"^(?:backend|listen|defaults) ", each, flags=re.MULTILINE)[0]
        has_beginning = re.search(r"^  bind .*\b(?:accept-proxy|ssl)\b", of_port, re.MULTILINE) is not None
        assert ("  error-log-format " in of_port) == has_beginning, of_port


def test_a_template_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name by which a template that replaces it reaches it costs nothing where none does."""
    compiled: list[str] = []
    compile_one = jinja2.Environment.compile

    def note(self: jinja2.Environment, source: str, name: str | None = None, filename: str | None = None) -> object:
        compiled.append(source)
        return compile_one(self, source, name, filename)

    monkeypatch.setattr(jinja2.Environment, "compile", note)
    TemplateSet.load()
    assert compiled
    assert len(compiled) == len(set(compiled))


# Lines


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_line_is_traced(name: str) -> None:
    """Each line of a configuration has its owner, and comes from the template line that begins as it does."""
    model, settings = CASES[name]
    rendered = Renderer(TemplateSet.load(), settings).render(model)
    owner: Asker | PortOwner | None = None
    for number, line in enumerate(_lines(rendered), start=1):
        if match := re.match(r"# Route (.+)/(.+)", line):
            owner = Asker.route(match[1], match[2])
        elif match := re.match(r"# Port (\d+)", line):
            owner = PortOwner(Spot(int(match[1])))
        # The blank line before a section is its first.
        assert rendered.owner(number) == owner or line == ""
        file, _, template_line = rendered.origin(number).rpartition(":")
        source = (default_template_dir() / file).read_text().split("\n")[int(template_line) - 1]
        assert line.startswith(re.split(r"\{[{%#]", source)[0])
        assert bool(line) == bool(source)


def test_line_of_an_override_is_told_by_path(tmp_path: Path) -> None:
    """An overridden template is named by its path, a helper by its own, a packaged one by its name."""
    text = "# {{ route.route }}\n{% for x in 'ab' %}\n\n  # {{ x }}\n{% endfor %}\n{% include '_x.j2' %}\n{% include 'packaged/route.cfg.j2' %}\n"
    rendered = _render(Model((section("a", 1001),)), _load(tmp_path, route=text, _x="# helper\n# more\n"))
    lines = _lines(rendered)
    first = lines.index("# a") + 1
    mine, helper = tmp_path / "route.cfg.j2", tmp_path / "_x.j2"
    expected = [f"{mine}:1", *[f"{mine}:3", f"{mine}:4"] * 2, f"{helper}:1", f"{helper}:2"]
    assert [rendered.origin(first + offset) for offset in range(len(expected))] == expected
    assert rendered.origin(lines.index("# Route team/a") + 1).startswith("route.cfg.j2:")


def test_line_of_a_template_that_computes_with_its_output(tmp_path: Path) -> None:
    """Where the line in the template cannot be told, its file is."""
    templates = _load(tmp_path, route="{% set x %}abc{% endset %}\n# {{ x | length }}\n# end\n")
    rendered = _render(Model((section("a", 1001),)), templates)
    assert _lines(rendered)[-2:] == ["# 3", "# end"]
    assert rendered.origin(len(_lines(rendered))) == str(tmp_path / "route.cfg.j2")


def test_lines_that_are_not_there() -> None:
    """A line outside of the configuration is an error, not somebody's."""
    rendered = _render(Model((section("a", 1001),)))
    for line in (0, len(_lines(rendered)) + 1):
        with pytest.raises(IndexError):
            rendered.owner(line)


@pytest.mark.parametrize("backend", ["", "# backend tls:be_tcp:team:a from routes"])
def test_a_template_that_knows_nothing_of_tls_at_shared_ports(tmp_path: Path, backend: str) -> None:
    """Its clients would be led to a backend that is not there, or past allowlists: such a Route is left out, and others are not."""
    text = backend + "\nbackend {{ route.backend.name }} from routes\n  tcp-request content accept\n"
    staged, other = section("a", None, stages=(Spot(8443),)), section("b", None)
    rendered = _render(Model((staged, other)), _load(tmp_path, route=text))
    (failure,) = rendered.failures
    assert failure.owner == staged.asker
    assert "backend_before" in str(failure.error)


# Settings


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"state_dir": Path("/tmp/a\nglobal")}, "control character", id="newline-in-path"),  # noqa: S108 - never made
        pytest.param({"log_address": "stdout\n"}, "control character", id="newline-in-log-address"),
        pytest.param({"state_dir": Path("/srv/a,b")}, "','", id="comma"),
        pytest.param({"state_dir": Path("/srv/$HOME")}, r"'\$'", id="variable"),
        pytest.param({"log_address": "$HOST:514"}, r"'\$'", id="variable-in-log-address"),
        pytest.param({"state_dir": Path("/" + "d" * 80)}, "97 bytes", id="long-path"),
        pytest.param({"bind_addresses": ("localhost",)}, "'localhost' is not an IP address", id="name"),
        pytest.param({"bind_addresses": ("fe80::1%eth0",)}, "has a zone", id="zone"),
        pytest.param({"bind_addresses": ("::1",), "ip_mode": "v4"}, "does not go with", id="v6-in-v4-mode"),
        pytest.param({"bind_addresses": ("127.0.0.1",), "ip_mode": "v6"}, "does not go with", id="v4-in-v6-mode"),
    ],
)
def test_settings_that_cannot_be_written(changes: dict[str, object], problem: str) -> None:
    """What no configuration can say is refused before anything is rendered."""
    settings = dataclasses.replace(_SETTINGS, **changes)  # type: ignore[arg-type]  # any of its fields
    with pytest.raises(SettingsError, match=problem):
        Renderer(TemplateSet.load(), settings)


def test_repeated_bind_addresses_are_one() -> None:
    """The same address written twice, or in two ways, is bound once."""
    settings = dataclasses.replace(_SETTINGS, bind_addresses=("::1", "0:0:0:0:0:0:0:1", "127.0.0.1", "127.0.0.1"))
    rendered = _render(Model((section("a", 1001, options=port_options(accept_proxy=True)),)), settings=settings)
    binds = [line for line in _lines(rendered) if line.startswith("  bind")]
    assert binds == [
        "  bind 127.0.0.1:1001 tcp-ut 120000ms accept-proxy",
        "  bind [::1]:1001 v6only tcp-ut 120000ms accept-proxy",
    ]


def test_packaged_templates_are_told_from_others(tmp_path: Path) -> None:
    """A file that replaces one, and one that only helps, may make sections that do not go together."""
    assert TemplateSet.load().is_packaged
    assert TemplateSet.load(tmp_path).is_packaged
    assert not _load(tmp_path, _help="nothing").is_packaged
