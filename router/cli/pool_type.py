"""How ``--port-pool`` is written."""

from __future__ import annotations

from typing import Literal

import click

from router.cli.types import PortRangesType
from router.settings import PortRanges


class PortPoolType(click.ParamType[PortRanges | Literal["auto"]]):
    """Ports and ranges of them, or ``auto``: the router chooses them."""

    name = "ranges"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> PortRanges | Literal["auto"]:
        """Read the text; anything else is a value already."""
        return "auto" if value == "auto" else PortRangesType().convert(value, param, ctx)
