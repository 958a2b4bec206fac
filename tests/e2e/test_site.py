"""The documentation as a site, as ``scripts/docs`` builds it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from router.admission import options
from router.admission.options import PREFIX
from router.admission.verdicts import Reason

ROOT = Path(__file__).resolve().parents[2]
_ASKED = re.compile(
    r"""(?:<(?:script|img|iframe)[^>]*\ssrc|<link[^>]*\shref)=["'](https?:)?//|url\(["']?https?://|@import\s+["']?https?://"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it; links and anchors that lead nowhere end the build."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [ROOT / "scripts" / "docs", folder], capture_output=True, text=True, timeout=100, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_it_and_in_its_menu(site: Path) -> None:
    """A page that is not in the menu is found by nobody."""
    pages = {path.stem for path in (ROOT / "docs").glob("**/*.md")}
    assert pages <= {path.stem for path in site.glob("**/*.html")}
    menu = yaml.safe_load((ROOT / "scripts" / "site" / "mkdocs.yml").read_text())["nav"]
    assert pages <= {Path(name).stem for name in _names(menu)}


def _names(menu: object) -> list[str]:
    if isinstance(menu, str):
        return [menu]
    if isinstance(menu, dict):
        menu = list(menu.values())
    return [name for each in menu for name in _names(each)] if isinstance(menu, list) else []


def test_it_asks_nobody_for_anything(site: Path) -> None:
    """No script, style, font or picture comes from another host: it works without a network."""
    asking = {
        str(path.relative_to(site)): found[0]
        for path in (*site.glob("**/*.html"), *site.glob("**/*.css"))
        if (found := _ASKED.search(path.read_text("utf-8")))
    }
    assert asking == {}


def test_reference_pages_have_all_that_the_code_has(site: Path) -> None:
    """Each annotation with the form that is accepted, each reason, and what the commands say of their options."""
    annotations = (site / "reference" / "annotations.html").read_text()
    keys = {value for name, value in vars(options).items() if name.isupper() and isinstance(value, str)} - {PREFIX}
    for key in keys:
        assert re.search(rf"<td><code>{re.escape(key.removeprefix(PREFIX))}</code></td>\s*<td>\w", annotations), key
    reasons = (site / "reference" / "reasons.html").read_text()
    assert [reason for reason in Reason if f'id="{reason.lower()}"' not in reasons] == []
    assert "<code>--port-pool</code>" in (site / "reference" / "options.html").read_text()
    assert "tcp_router_reloads_total" in (site / "reference" / "metrics.html").read_text()


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    """So a page that is moved or a heading that is renamed is noticed."""
    config = (ROOT / "scripts" / "site" / "mkdocs.yml").read_text()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Here\n[there](index.md#there)\n")
    changed = re.sub(r"^(docs_dir|site_dir|hooks|nav):.*\n(?:  .*\n)*", "", config, flags=re.MULTILINE)
    (tmp_path / "mkdocs.yml").write_text(f"{changed}\ndocs_dir: docs\nsite_dir: site\n")
    built = subprocess.run(
        [
            ROOT / ".venv" / "bin" / "python",
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--config-file",
            tmp_path / "mkdocs.yml",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert built.returncode != 0
    assert "'index.md#there', but there is no such anchor" in built.stderr
