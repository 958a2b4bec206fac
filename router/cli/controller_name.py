"""The type of options that name a controller, as GatewayClasses do."""

from __future__ import annotations

import re

import click

from router.admission.text import shown

_NAME = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", re.ASCII
)
"""Of the CRD of GatewayClasses."""
_LONGEST = 253


class ControllerNameType(click.ParamType[str]):
    """A domain and a path, as in ``example.com/gateway``."""

    name = "domain/path"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        text = str(value)
        if len(text) > _LONGEST or not _NAME.fullmatch(text):
            self.fail(
                f"{shown(text)} is no name of a controller; write a domain and a path, as in example.com/gateway",
                param,
                ctx,
            )
        return text
