"""Where in a template something went wrong, whatever it was that failed: Jinja, Python's compiler, or what the template calls."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection
from types import FrameType, TracebackType

import jinja2
from jinja2 import nodes
from jinja2.parser import Parser

from router.errors import TemplateError

ANYTHING: tuple[type[Exception], ...] = (Exception,)
"""What a template may raise. It is a program of the admin's: any exception of it is a fault of the template, and none is one of ours."""

_LINES = re.compile(r"^debug_info = '([0-9=&]*)'$", re.MULTILINE)
_LONGEST_PROBLEM = 300


def load_fault(file: str, name: str, source: str, error: Exception, environment: jinja2.Environment) -> TemplateError:
    """Give the fault of a template that cannot be loaded.

    Args:
        file: what the template is called in messages.
        name: of the template.
        source: its text.
        error: what Jinja, or Python's compiler, raised.
        environment: that of the template.
    """
    if isinstance(error, jinja2.TemplateSyntaxError):
        return TemplateError(file, error.lineno, error.message or "not correct Jinja")
    if isinstance(error, SyntaxError):
        # Of the Python program that Jinja made of the template.
        line = _template_line(environment, source, name, error.lineno)
        return TemplateError(file, line, f"Python cannot compile this: {error.msg}")
    return TemplateError(file, _line_in_jinja(error.__traceback__), _problem(error))


def render_fault(file: str, files: Collection[str], error: Exception) -> TemplateError:
    """Give the fault of a template that fails while it renders; Jinja writes template lines into tracebacks.

    Args:
        file: what the template is called in messages.
        files: what all templates are called.
        error: what it raised.
    """
    line = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename in files:
            file, line = frame.f_code.co_filename, number
    if isinstance(error, jinja2.TemplateNotFound):
        return TemplateError(file, line, f"there is no template {error}")
    return TemplateError(file, line, _problem(error))


def _problem(error: Exception) -> str:
    text = str(error)
    if len(text) > _LONGEST_PROBLEM:
        text = text[:_LONGEST_PROBLEM] + "..."
    if isinstance(error, jinja2.TemplateError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _template_line(environment: jinja2.Environment, source: str, name: str, python_line: int | None) -> int | None:
    """Give the line of a template of which Jinja made this line of Python, as far as that is told."""
    program = str(environment.compile(source, name, raw=True))
    told = _LINES.search(program)
    if told is None or python_line is None:
        return None
    pairs = [pair.split("=") for pair in told[1].split("&") if pair]
    return max((int(line) for line, made in pairs if int(made) <= python_line), default=None)


def _line_in_jinja(trace: TracebackType | None) -> int | None:
    """Give the line that Jinja read, or made Python of, when it failed."""
    line = None
    for frame, _ in traceback.walk_tb(trace):
        line = _line_of(frame) or line
    return line


def _line_of(frame: FrameType) -> int | None:
    for each in (frame.f_locals.get("node"), frame.f_locals.get("self")):
        if isinstance(each, nodes.Node):
            return int(each.lineno)
        if isinstance(each, Parser):
            return int(each.stream.current.lineno)
    return None
