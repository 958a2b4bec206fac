"""The templates: found, overridden, compiled, and their faults told with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import jinja2

import router
from router.errors import TemplateError
from router.render.faults import ANYTHING, load_fault, render_fault
from router.render.quoting import quoted, quoted_argument
from router.render.tracing import LineMarks, origins, unmarked

GLOBAL, LIMITS, ROUTE, SHARED = "global.cfg.j2", "limits.cfg.j2", "route.cfg.j2", "shared.cfg.j2"
TEMPLATE_NAMES = (GLOBAL, LIMITS, ROUTE, SHARED)
"""What ``--template-dir`` may override."""

_SUFFIX = ".j2"
_HELPER_PREFIX = "_"
_PACKAGED = "packaged/"


def default_template_dir() -> Path:
    """Give the folder of the router's own templates: in the package when installed from a wheel, else beside it."""
    package = Path(router.__file__).parent
    shipped = package / "templates"
    return shipped if shipped.is_dir() else package.parent / "templates"


class TemplateSet:
    """Templates that have been read and compiled; later changes of their files do not reach it."""

    def __init__(self, sources: Mapping[str, tuple[str, str]]) -> None:
        """Compile templates.

        Args:
            sources: template name, as in ``include``, to its text and what to call its file in messages.

        Raises:
            TemplateError: one of them is not correct Jinja, or nothing that Python takes.
        """
        self._sources = dict(sources)
        self._environment = self._make_environment(with_marks=False)
        for name in sorted(self._sources):
            if not self._is_another_name(name):
                self._compile(name)
        self._top = {name: self._compile(name) for name in TEMPLATE_NAMES}
        self._files = frozenset(file for _, file in self._sources.values())

    @classmethod
    def load(cls, override_dir: Path | None = None) -> TemplateSet:
        """Read the router's templates, and those that replace or help them.

        Args:
            override_dir: a file in it replaces the template of the same name. Files ``_*.j2`` are helpers for ``include`` and
                ``import``. The router's own stay reachable as ``packaged/<name>``. Files not ending in ``.j2`` are ignored.

        Raises:
            TemplateError: a file cannot be read, is not correct Jinja, or has a name that nothing would use.
        """
        packaged_dir = default_template_dir()
        sources = {}
        for name in TEMPLATE_NAMES:
            sources[name] = sources[_PACKAGED + name] = (_read(packaged_dir / name), name)
        if override_dir is not None:
            for path in _templates_in(override_dir):
                sources[path.name] = (_read(path), str(path))
        return cls(sources)

    def render(self, name: str, variables: Mapping[str, object]) -> str:
        """Render one of ``TEMPLATE_NAMES``; the text ends with a newline unless it is empty.

        Raises:
            TemplateError: the template failed on these values.
        """
        try:
            text = self._top[name].render(variables)
            # A lone surrogate could be printed by a template and not be written to a file.
            text.encode()
        except ANYTHING as error:
            raise render_fault(self.file(name), self._files, error) from error
        return text if not text or text.endswith("\n") else text + "\n"

    def origins(self, name: str, variables: Mapping[str, object]) -> tuple[str, ...]:
        """Give for each line of what ``render`` gives for the same values the ``file:line`` that wrote it.

        Where a template computes with its own output (``set`` blocks through filters) that cannot be told; then it is the
        file alone.
        """
        text = self.render(name, variables)
        try:
            marked = self._marking_environment.get_template(name).render(variables)
        except ANYTHING:
            marked = ""
        if unmarked(marked).rstrip("\n") != text.rstrip("\n"):
            return (self.file(name),) * text.count("\n")
        return origins(marked)[: text.count("\n")]

    @cached_property
    def is_packaged(self) -> bool:
        """Whether these are the router's own, with nothing replaced or added."""
        return all(file == name.removeprefix(_PACKAGED) for name, (_, file) in self._sources.items())

    def _is_another_name(self, name: str) -> bool:
        """Say whether this is what a template is called from one that takes its place, and nothing did: what includes it has it compiled then."""
        return self._sources.get(name.removeprefix(_PACKAGED)) == self._sources[name] and name.startswith(_PACKAGED)

    def file(self, name: str) -> str:
        """Give what a template's file is called in messages: a path where it is overridden."""
        return self._sources[name][1]

    @cached_property
    def _marking_environment(self) -> jinja2.Environment:
        return self._make_environment(with_marks=True)

    def _make_environment(self, *, with_marks: bool) -> jinja2.Environment:
        environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(self._source),
            undefined=jinja2.StrictUndefined,
            # What is written is haproxy.cfg, which has other special characters than HTML; see router.render.quoting.
            autoescape=False,  # noqa: S701
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
            extensions=[LineMarks] if with_marks else [],
        )
        environment.filters["quoted"] = quoted
        environment.filters["quoted_argument"] = quoted_argument
        return environment

    def _source(self, name: str) -> tuple[str, str, None] | None:
        found = self._sources.get(name)
        return (*found, None) if found is not None else None

    def _compile(self, name: str) -> jinja2.Template:
        try:
            return self._environment.get_template(name)
        except ANYTHING as error:
            source, file = self._sources[name]
            raise load_fault(file, name, source, error, self._environment) from error


def _templates_in(directory: Path) -> list[Path]:
    try:
        # A mounted ConfigMap has its history in folders "..*"; editors hide what they are not done with.
        found = [path for path in sorted(directory.iterdir()) if path.name.endswith(_SUFFIX) and path.name[0] != "."]
    except OSError as error:
        raise TemplateError(str(directory), None, f"cannot be listed: {error.strerror}") from error
    for path in found:
        if path.name not in TEMPLATE_NAMES and not path.name.startswith(_HELPER_PREFIX):
            names = ", ".join(TEMPLATE_NAMES)
            raise TemplateError(
                str(path), None, f"no template has this name; they are {names}, and helpers begin with '_'"
            )
    return found


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise TemplateError(str(path), None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TemplateError(str(path), line, "is not UTF-8") from error
