"""How ``--haproxy-version`` is written."""

from __future__ import annotations

import re

import click

from router.haproxy.process.binary import OLDEST

_FORM = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})(?:[.-].*)?")


class HaproxyVersionType(click.ParamType[tuple[int, int]]):
    """A version of HAProxy: ``3.4``; what comes after that (``3.4.7``) is read over."""

    name = "version"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read the text; anything else is a value already."""
        if isinstance(value, tuple):
            return value
        found = _FORM.fullmatch(str(value))
        version = (int(found[1]), int(found[2])) if found else (0, 0)
        if version < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            self.fail(f"{value!r} is no version of HAProxy that can be used; write {oldest} or a newer one", param, ctx)
        return version
