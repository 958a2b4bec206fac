"""MkDocs' hooks: pages that the code makes, pages that lie beside docs/, and links from pages to files of the project.

MkDocs loads this file by its path (``hooks`` in mkdocs.yml) and calls the functions by their names (MkDocs, "Developing plugins", events).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
_BESIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
"""Pages that lie at the top of the project, and where they are in the site."""

# What is asked of the project's own scripts and package, whatever the folder from which mkdocs was started.
sys.path.insert(0, str(_ROOT))
from scripts.site.reference import PAGES  # noqa: E402 - found by the line above


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not a file of docs/: reference pages, pages at the top, and files of the project that pages link to."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    for beside, name in _BESIDE.items():
        if name != "index.md":
            files.append(File.generated(config, name, content=(_ROOT / beside).read_text()))
    for target in sorted(_files_linked(files)):
        # As text: a browser shows it, whatever its suffix.
        files.append(File.generated(config, f"source/{target}.txt", abs_src_path=str(_ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - called by name
    """Lead links to files outside docs/ to where the site has them."""
    at_top = page.file.src_uri in _BESIDE.values() and page.file.src_uri != "index.md"
    here = PurePosixPath("" if at_top else "docs") / page.file.src_uri
    depth = len(PurePosixPath(page.file.src_uri).parents) - 1

    def led(match: re.Match[str]) -> str:
        path = _from_root(here.parent, match[1])
        anchor = match[2] or ""
        if path.startswith("docs/"):
            found = path.removeprefix("docs/")
        elif path in _BESIDE:
            found = _BESIDE[path]
        else:
            found = f"source/{path}.txt"
        return f"]({'../' * depth}{found}{anchor})"

    return markdown if page.file.src_uri.startswith("reference/") else _LINK.sub(led, markdown)


def _from_root(folder: PurePosixPath, target: str) -> str:
    """Give the path of a link's target in the project, without ``..``."""
    parts: list[str] = []
    for part in (folder / target).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _files_linked(files: Files) -> set[str]:
    """Files of the project, no pages, that pages link to."""
    found = set()
    for page in files.documentation_pages():
        uri = page.src_uri
        if uri.startswith("reference/"):
            continue
        at_top = uri in _BESIDE.values() and uri != "index.md"
        folder = (PurePosixPath("" if at_top else "docs") / uri).parent
        for target, _ in _LINK.findall(page.content_string):
            path = _from_root(folder, target)
            if not path.startswith("docs/") and path not in _BESIDE and (_ROOT / path).is_file():
                found.add(path)
    return found
