"""Rendered sections taken apart: what of them HAProxy can change while it runs, and which are left to reloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.model.tls import Certificate, PrivateBytes
from router.plan.section_text import (
    Allowlist,
    Before,
    CertificateFile,
    HotFiles,
    SectionText,
    ServerLine,
    default_server_words,
    ends_tls,
    frontend_limit,
    read_section,
)
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from tests.support.models import section, server

_FRONTEND = "frontend fe_tcp:7001\n  bind :7001\n  default_backend be\n"
_BACKEND = "backend be\n  balance leastconn\n"


def _read(text: str, **others: object) -> SectionText | None:
    return read_section(text, frontend="fe_tcp:7001", backend="be", **others)  # type: ignore[arg-type]


def _servers(lines: str, defaults: tuple[str, ...] = ()) -> dict[str, ServerLine] | None:
    found = read_section(_BACKEND + lines, frontend=None, backend="be", defaults={"": defaults})
    return dict(found.servers) if found is not None else None


def test_the_packaged_form_is_read() -> None:
    """Everything but servers is fixed; blanks, empty lines and comments count for nothing."""
    found = _read(f"# Route team/db\n{_FRONTEND}\n\n{_BACKEND}   server  a   10.0.0.1:80 weight 3\n")
    assert found is not None
    assert found.fixed.splitlines() == [
        "frontend fe_tcp:7001",
        "bind :7001",
        "default_backend be",
        "backend be",
        "balance leastconn",
    ]
    assert found.servers == {"a": ServerLine("10.0.0.1:80", 3, 0, ())}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param("server a 10.0.0.1:80\n", ServerLine("10.0.0.1:80", 1, 0, ()), id="bare"),
        pytest.param("server a [fd00::1]:80 weight 0\n", ServerLine("[fd00::1]:80", 0, 0, ()), id="IPv6, weight 0"),
        pytest.param("server a h:1 id 7 check\n", ServerLine("h:1", 1, 0, ("check",), id=7), id="an id"),
        pytest.param("server a h:1 weight 2 weight 5\n", ServerLine("h:1", 5, 0, ()), id="the last weight counts"),
        pytest.param(
            "default-server check inter 5s\ndefault-server maxconn 9\nserver a h:1 weight 2\n",
            ServerLine("h:1", 2, 9, ("check", "inter", "5s")),
            id="default-server lines add up",
        ),
        pytest.param(
            "default-server maxconn 9 weight 7\nserver a h:1 maxconn 3\n",
            ServerLine("h:1", 7, 3, ()),
            id="the server's own word wins",
        ),
        pytest.param(
            "default-server check inter 5s\nserver a h:1 no-check\n",
            ServerLine("h:1", 1, 0, ("inter", "5s")),
            id="no-check",
        ),
        pytest.param("server a h:1 no-check\n", ServerLine("h:1", 1, 0, ()), id="no-check without a check"),
        pytest.param("server a h:1 no-check check\n", ServerLine("h:1", 1, 0, ("check",)), id="check after no-check"),
        pytest.param("server a h:1\ndefault-server check\n", ServerLine("h:1", 1, 0, ()), id="default-server too late"),
    ],
)
def test_servers(lines: str, expected: ServerLine) -> None:
    """A server has what its line says and what ``default-server`` lines before it say, as HAProxy understands them."""
    assert _servers(lines) == {"a": expected}


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        pytest.param("frontend f\n  maxconn 7\nbackend b\n  fullconn 9\n", 7, id="a limit"),
        pytest.param("frontend f\n  maxconn 7\n  maxconn 8\n", 8, id="the last one counts"),
        pytest.param("frontend f\n  bind :1\nbackend b\n  maxconn 9\n", None, id="none of the frontend"),
        pytest.param("frontend f\n  maxconn many\n", None, id="no number"),
    ],
)
def test_limits_of_frontends(text: str, limit: int | None) -> None:
    """What a port was rendered with, whatever the model says."""
    assert frontend_limit(text) == limit


def test_default_servers_of_the_defaults_section_come_first() -> None:
    """What a template adds to ``defaults`` holds for every server; the backend's own lines win."""
    defaults = default_server_words(
        "global\n  x\ndefaults\n  default-server check weight 4\n  default-server inter 9s\n"
    )
    assert defaults == {"": ("check", "weight", "4", "inter", "9s")}
    assert _servers("server a h:1 weight 2\n", defaults[""]) == {"a": ServerLine("h:1", 2, 0, ("check", "inter", "9s"))}
    text = "global\n default-server check\ndefaults\n mode tcp\nbackend x\n default-server check\n"
    assert default_server_words(text) == {"": ()}


def test_defaults_are_taken_from_where_the_backend_says() -> None:
    """A backend has the words of the section that it names, with what that one has of another; without a name of the last one."""
    text = (
        "defaults base\n default-server check\ndefaults routes from base\n default-server inter 9s\n"
        "backend table from base\n default-server weight 3\ndefaults from base\n default-server inter 2s\n"
    )
    defaults = default_server_words(text)
    assert defaults == {"base": ("check",), "routes": ("check", "inter", "9s"), "": ("check", "inter", "2s")}
    for head, expected in (("be from routes", "9s"), ("be", "2s")):
        found = read_section(f"backend {head}\n server a h:1\n", frontend=None, backend="be", defaults=defaults)
        assert found is not None
        assert found.servers["a"].options == ("check", "inter", expected)
        assert found.fixed == f"backend {head}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(_BACKEND, id="no frontend"),
        pytest.param(_FRONTEND, id="no backend"),
        pytest.param(_FRONTEND.replace("7001\n", "mine\n", 1) + _BACKEND, id="frontend of another name"),
        pytest.param(_FRONTEND + _BACKEND.replace("be\n", "mine\n"), id="backend of another name"),
        pytest.param(_FRONTEND + _BACKEND + "backend more\n", id="a further backend"),
        pytest.param(_FRONTEND + _BACKEND + _BACKEND, id="the backend twice"),
        pytest.param("listen be\n  bind :7001\n", id="listen"),
        pytest.param("defaults\n  mode tcp\n" + _FRONTEND + _BACKEND, id="defaults of its own"),
        pytest.param(_FRONTEND + _BACKEND + "server a h:1\nserver a h:2\n", id="a server twice"),
        pytest.param(_FRONTEND + _BACKEND + "server a\n", id="a server without address"),
        pytest.param(_FRONTEND + _BACKEND + "server a h:1 weight\n", id="weight without a number"),
        pytest.param(_FRONTEND + _BACKEND + "server a h:1 maxconn many\n", id="maxconn that is no number"),
        pytest.param(_FRONTEND + _BACKEND + 'server a h:1 sni str("x y")\n', id="quotes in a server"),
        pytest.param(_FRONTEND + _BACKEND + "server a h:1 # the first\n", id="a comment after a server"),
        pytest.param(_FRONTEND + _BACKEND + "default-server source $ADDRESS\nserver a h:1\n", id="a variable"),
        pytest.param(_FRONTEND + _BACKEND + "server a\\ b h:1\n", id="an escape"),
        pytest.param(_FRONTEND + _BACKEND + "server a h:1 disabled\n", id="a server that is disabled"),
        pytest.param(_FRONTEND + _BACKEND + "default-server agent-check\nserver a h:1\n", id="a server with an agent"),
        pytest.param(_FRONTEND + _BACKEND + "server a h:1 track be/b\n", id="a server that tracks another"),
    ],
)
def test_other_forms_are_left_to_reloads(text: str) -> None:
    """What a template makes that is of no usual form is never changed by commands."""
    assert _read(text) is None


def test_sections_before_each_other_in_any_order() -> None:
    """The backend may come first; a server line in the frontend would be HAProxy's to refuse, and is not read as one."""
    found = _read(_BACKEND + "server a h:1\n" + _FRONTEND)
    assert found is not None
    assert list(found.servers) == ["a"]


@pytest.mark.parametrize("written", ['"/a b/allow.acl"', "/ab/allow.acl", "'/a  b/allow.acl'"])
def test_path_of_the_allowlist_is_left_out(written: str) -> None:
    """Two sections that differ in the name of the ACL file only are the same but for it."""
    one = Allowlist(("/a b/allow.acl",), (written,), ("10.0.0.0/8",))
    text = f"{_FRONTEND}{_BACKEND}  tcp-request content reject if !{{ src -f {written} }}\n"
    found = _read(text, hot=HotFiles(one))
    assert found is not None
    assert found.fixed.endswith("src -f <allowlist> }")
    assert found.allowlist == one


@pytest.mark.parametrize("written", ["/maps/cert.pem", "'/a  b/cert.pem'"])
def test_certificate(written: str) -> None:
    """What a port shows can change while HAProxy runs; that it ends TLS cannot."""
    file = CertificateFile("/a  b/cert.pem", written, Certificate(PrivateBytes(b"key"), 1, 2))
    bind = f"frontend fe_tcp:7001\n  bind :7001 ssl crt {written} ssl-min-ver TLSv1.2\n"
    found = _read(bind + _BACKEND, hot=HotFiles(certificate=file))
    assert found is not None
    assert found.certificate == file
    assert "bind :7001 ssl crt <certificate> ssl-min-ver TLSv1.2" in found.fixed
    assert ends_tls(bind, file)
    assert not ends_tls(f"{bind}  bind :::7001\n", file)
    assert not ends_tls(f"# crt {written} ssl\n", file)


def test_other_authorities_are_no_matter_of_servers_alone() -> None:
    """Also while there is no server that goes by them: HAProxy would add none, as it does not know the file."""
    one, other, same = (
        _read(f"{_FRONTEND}{_BACKEND}  default-server ssl verify required ca-file /maps/ca-{name}.pem check\n{servers}")
        for name, servers in (("1", ""), ("2", ""), ("1", "  server a h:1\n"))
    )
    assert one is not None
    assert other is not None
    assert same is not None
    assert one.fixed != other.fixed
    assert one.fixed == same.fixed


def test_a_certificate_behind_the_port() -> None:
    """Where clients may ask in plain text it is not the port that shows it; a template that knows nothing of that shows it at the port."""
    file = CertificateFile("/c.pem", "/c.pem", Certificate(PrivateBytes(b"key"), 1, 2))
    behind = "frontend fe_tls:7001 from ports\n  bind unix@/s ssl crt /c.pem\n  default_backend be\n"
    before = "backend tls:be\n  server fe_tcp:7001 unix@/s weight 0\n"
    found = _read(
        behind + _FRONTEND + before + _BACKEND, hot=HotFiles(certificate=file), before=Before("tls:be", "fe_tls:7001")
    )
    assert found is not None
    assert "bind unix@/s ssl crt <certificate>" in found.fixed
    assert _read(_FRONTEND + before + _BACKEND, before=Before("tls:be", "fe_tls:7001")) is None
    assert ends_tls(behind + _FRONTEND, file, "tls:7001")
    assert not ends_tls(behind.replace(" ssl", "") + _FRONTEND, file, "tls:7001")
    assert not ends_tls(_FRONTEND, file, "tls:7001")
    assert not ends_tls(behind + _FRONTEND, file)
    assert ends_tls("frontend fe_tcp:7001\n  bind :7001 ssl crt /c.pem\n", file, "tls:7001")


def test_allowlist_that_is_not_written_is_none() -> None:
    """What the Route asks for is of no use where the template does not write it: HAProxy knows nothing of it."""
    text = "backend be_tcp:team:db\n  balance leastconn\n"
    found = read_section(
        text, frontend=None, backend="be_tcp:team:db", hot=HotFiles(Allowlist(("#7001",), ("-u 7001",), ()))
    )
    assert found is not None
    assert found.allowlist is None


def test_packaged_template_of_every_kind_is_read() -> None:
    """The router's own templates make sections that runtime updates can change, whatever the Route asks for."""
    renderer = Renderer(TemplateSet.load(), RenderSettings(state_dir=Path("/state of things")))
    plain = section("a", 7001, server(1), server(2, check=False), allowlist=("10.0.0.0/8",), send_proxy="v2")
    text = renderer.text(plain)
    assert text is not None
    assert [line.is_checked for line in text.servers.values()] == [True, False]
    assert text.allowlist is not None
    assert text.allowlist.networks == ("10.0.0.0/8",)
    assert "allow-" not in text.fixed
    cut = renderer.text(section("b", None, server(1), shutdown_sessions_on_marked_down=True))
    assert cut is not None
    assert [line.cuts_sessions_when_down for line in cut.servers.values()] == [True]


def test_text_in_place_is_that_of_the_place(tmp_path: Path) -> None:
    """A Route in a place of the pool differs from the place in its servers only; what its template adds shows."""
    (tmp_path / "route.cfg.j2").write_text(
        '{% include "packaged/route.cfg.j2" %}\n{% if route.namespace == "legacy" %}\n  option tcp-check\n{% endif %}\n'
    )
    renderer = Renderer(TemplateSet.load(tmp_path), RenderSettings(state_dir=Path("/state")))
    place = section("", 7001, namespace="", allowlist=("0.0.0.0/0", "::/0"))
    plain, legacy = section("a", 7001, server(1)), section("a", 7001, server(1), namespace="legacy")
    of_place = renderer.text(place)
    assert of_place is not None
    in_place = renderer.text_in_place(plain, place)
    assert in_place is not None
    assert in_place.fixed == of_place.fixed
    assert in_place.allowlist == of_place.allowlist
    other = renderer.text_in_place(legacy, place)
    assert other is not None
    assert other.fixed != of_place.fixed


def test_allowlist_that_the_pool_has_no_line_for_is_left_to_reloads(tmp_path: Path) -> None:
    """A template that writes allowlists for Routes alone: served by the pool, a Route that has one would be open to everybody."""
    (tmp_path / "route.cfg.j2").write_text(
        "frontend {{ frontend_name }}\n  default_backend {{ route.backend.name }}\nbackend {{ route.backend.name }}\n"
        "{% if allowlist_file is not none %}\n  tcp-request content reject if !{ src -f {{ allowlist_file | quoted }} }\n{% endif %}\n"
    )
    renderer = Renderer(TemplateSet.load(tmp_path), RenderSettings(state_dir=Path("/state")))
    place = section("", 7001, namespace="", allowlist=("0.0.0.0/0", "::/0"))
    own = renderer.text(section("a", 7001, allowlist=("10.0.0.0/8",)))
    assert own is not None
    assert own.allowlist is not None
    assert renderer.text_in_place(section("a", 7001, allowlist=("10.0.0.0/8",)), place) is None
    assert renderer.text_in_place(section("a", 7001), place) is not None


def test_section_that_its_template_fails_on_is_left_to_reloads(tmp_path: Path) -> None:
    """A template with a fault in one Route's section gives no text for it."""
    (tmp_path / "route.cfg.j2").write_text(
        '{% if route.route == "bad" %}{{ 1 // 0 }}{% endif %}backend {{ route.backend.name }}\n'
    )
    renderer = Renderer(TemplateSet.load(tmp_path), RenderSettings(state_dir=Path("/state")))
    assert renderer.text(section("bad", None)) is None
    assert renderer.text(section("good", None)) is not None
    assert not renderer.renders(section("bad", None, namespace=""))
