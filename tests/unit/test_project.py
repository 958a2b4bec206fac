"""What the project ships and says of itself."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import click
import pytest

from router import __version__
from router.demo.manifests import CACHE, Layout, manifests
from router.observe.metrics.router import Metrics
from tests.support.cli import commands

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
TEXT = [
    *PAGES,
    ROOT / "pyproject.toml",
    *(path for path in (ROOT / "scripts").iterdir() if path.is_file()),
    *ROOT.glob("scripts/*/*.py"),
    *ROOT.glob("router/**/*.py"),
    *ROOT.glob("tests/**/*.py"),
]

_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def test_version_is_the_installed_one() -> None:
    """The version stands in one place, router/__init__.py."""
    assert importlib.metadata.version("openshift-tcp-router") == __version__


def test_what_is_imported_is_depended_on() -> None:
    """Each package that router/ imports is named with a lowest version; one that another brings may come in any version."""
    imported: set[str] = set()
    for path in ROOT.glob("router/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    distributions = importlib.metadata.packages_distributions()
    needed = {_normal(distributions[name][0]) for name in imported - sys.stdlib_module_names - {"router"}}
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert all(">=" in each for each in stated)
    assert needed <= {_normal(each.partition(">=")[0]) for each in stated}


def _normal(name: str) -> str:
    """Give a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_wheel_has_all_that_runs(tmp_path: Path) -> None:
    """The wheel has every module, script and template, and nothing of the tests."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            tmp_path,
            ROOT,
        ],
        check=True,
        timeout=100,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for module in (*ROOT.glob("router/**/*.py"), *ROOT.glob("router/**/*.lua")):
        assert str(module.relative_to(ROOT)) in names
    templates = [path.name for path in (ROOT / "templates").iterdir()]
    assert templates
    assert {f"router/templates/{name}" for name in templates} <= names
    assert not [name for name in names if name.startswith(("tests", "scripts", "docs"))]


def _commands() -> list[click.Command]:
    return commands()


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", *DOCS], ids=lambda page: page.name)
def test_pages_name_modules_where_they_are(page: Path) -> None:
    """A module that moves is moved in the pages too; names of one part alone, and folders beside router/, are not looked at."""
    named = set(re.findall(r"`(?:router/)?((?:[a-z_]+/)+[a-z_]+)(?:\.py)?`", page.read_text()))
    packages = {path.name for path in (ROOT / "router").iterdir() if path.is_dir()}
    modules = {name for name in named if name.split("/")[0] in packages}
    assert {name for name in modules if not any((ROOT / root / name).exists() for root in ("router", "."))} <= {
        name for name in modules if (ROOT / "router" / f"{name}.py").exists()
    }


def test_the_changelog_has_each_section_and_each_entry_once() -> None:
    """Branches that are merged line by line leave sections and entries twice."""
    unreleased = (ROOT / "CHANGELOG.md").read_text().partition("## [Unreleased]\n")[2].partition("\n## ")[0]
    order = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    sections = re.findall(r"^### (.+)$", unreleased, re.MULTILINE)
    assert sections == [name for name in order if name in sections]
    beginnings = [" ".join(entry.split())[:60] for entry in re.split(r"^- ", unreleased, flags=re.MULTILINE)[1:]]
    assert [beginning for beginning in set(beginnings) if beginnings.count(beginning) > 1] == []


@pytest.mark.parametrize("command", _commands(), ids=lambda command: command.name)
def test_every_option_is_documented(command: click.Command) -> None:
    """docs/settings.md has each option of each command, and the environment variables that stand for it."""
    text = (ROOT / "docs" / "settings.md").read_text()
    missing = []
    for option in command.params:
        if isinstance(option, click.Option) and "--help" not in option.opts:
            names = max(option.opts, key=len), *_variables(option)
            missing += [name for name in names if not re.search(rf"`{re.escape(name)}\b", text)]
    assert missing == []


@pytest.mark.parametrize("command", _commands(), ids=lambda command: command.name)
def test_every_option_has_help(command: click.Command) -> None:
    """`--help` says something about each option."""
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has each metric by its name."""
    exposition = Metrics("2.8.0", lambda: True).exposition().decode()
    text = (ROOT / "docs" / "metrics.md").read_text()
    names = re.findall(r"^# HELP (\S+)", exposition, re.MULTILINE)
    assert names
    assert [name for name in names if f"`{name}" not in text and not name.endswith("_created")] == []


def _variables(option: click.Option) -> tuple[str, ...]:
    if option.envvar is None:
        return ()
    return (option.envvar,) if isinstance(option.envvar, str) else tuple(option.envvar)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link between pages, or to a file of the project, has its file."""
    broken = [target for target in _LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    """No page of docs/ is without a link from the README."""
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in DOCS if f"docs/{page.name}" not in readme] == []


def test_every_page_is_in_the_menu_of_the_site() -> None:
    """A page that is not in ``nav`` of scripts/site/mkdocs.yml ends the build of the site."""
    menu = (ROOT / "scripts" / "site" / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert [page.name for page in DOCS if f"- {page.name}" not in menu] == []


def test_readme_shows_the_route_of_the_demo() -> None:
    """The first example of the README and the first Route of the demo are the same."""
    layout = Layout(
        cache_port=6620,
        mail_port=6621,
        spare_port=6622,
        cache_endpoint=1,
        mail_endpoint=2,
        vault_endpoint=3,
        queue_port=6627,
        queue_endpoint=4,
    )
    route = manifests(layout)[CACHE].partition("---")[0]
    manifest = "".join(line for line in route.splitlines(keepends=True) if not line.startswith("#"))
    assert f"```yaml\n{manifest}```" in (ROOT / "README.md").read_text()


def test_extras_are_those_that_messages_name() -> None:
    """An extra that a message or page tells users to install exists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        extra
        for path in TEXT
        for extras in re.findall(r"openshift-tcp-router\[([a-z,]+)\]", path.read_text())
        for extra in extras.split(",")
    }
    assert named <= set(project["optional-dependencies"])


def test_no_thread_is_started_beside_the_supervisor() -> None:
    """What starts threads is called in the supervisor alone, but for servers whose threads end with a request or connection."""
    ruff = subprocess.run(
        ["ruff", "check", "--select", "TID251", "--ignore-noqa", "--output-format", "json", "router"],
        cwd=ROOT,
        env={"PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        check=False,
    )
    found = {
        (str(Path(each["filename"]).relative_to(ROOT)), each["message"].partition(" is banned")[0].strip("`"))
        for each in json.loads(ruff.stdout)
    }
    assert found == {
        ("router/supervisor/threads.py", "threading.Thread"),
        ("router/demo/services.py", "socketserver.ThreadingTCPServer"),
    }


def test_the_top_of_the_product_fits_in_a_head() -> None:
    """At most 25 packages and modules lie at the top of router/."""
    top = {path.stem for path in (ROOT / "router").glob("*.py")} | _packages(ROOT / "router")
    assert len(top - {"__init__"}) <= 25


def test_no_module_is_long() -> None:
    """A module has one job, and at most 350 lines for it."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ROOT.glob("router/**/*.py")}
    assert {name: count for name, count in lines.items() if count > 350} == {}


def test_every_package_says_its_one_job() -> None:
    """The docstring of each package of router/ begins with it; docs/architecture.md has each package of the top, and each above it."""
    packages = [path.parent for path in ROOT.glob("router/**/__init__.py")]
    assert {path.parent for path in ROOT.glob("router/**/*.py")} == set(packages)
    told = {path: ast.get_docstring(ast.parse((path / "__init__.py").read_text())) or "" for path in packages}
    assert [str(path) for path, text in told.items() if not text.partition("\n")[0].endswith((".", ":"))] == []
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    assert [name for name in _packages(ROOT / "router") if f"`{name}/`" not in architecture] == []


def test_tests_lie_as_the_product_lies() -> None:
    """A folder of tests is one of the product's, and a test named after what is at the top of router/ is where that is."""
    of_the_repository = {Path("kustomize"), Path("monitoring")}
    modules, packages = {path.stem for path in (ROOT / "router").glob("*.py")}, _packages(ROOT / "router")
    astray = []
    for kind in ("unit", "integration"):
        for path in (ROOT / "tests" / kind).glob("**/test_*.py"):
            folder, name = path.parent.relative_to(ROOT / "tests" / kind), path.stem.removeprefix("test_")
            is_known = folder in of_the_repository or (ROOT / "router" / folder / "__init__.py").exists()
            if (
                not is_known
                or (folder == Path() and name in packages)
                or (folder != Path() and folder not in of_the_repository and name in modules)
            ):
                astray.append(str(path.relative_to(ROOT)))
    assert astray == []


def _packages(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/__init__.py")}
