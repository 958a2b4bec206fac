"""The part of a configuration that is written once, before all sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from router.model import NamespaceLimits
from router.render import files
from router.render.result import Part
from router.render.templates import GLOBAL, LIMITS, TemplateSet
from router.render.variables import Variables
from router.settings import RenderSettings

_TEMPLATES = (GLOBAL, LIMITS)
"""What it is made of, in this order."""
_HANDS_ON = "\npeers tcp_router\n"


class ProcessPart:
    """Renders it, and remembers what it was.

    Args:
        templates: of all.
        settings: of rendering.
    """

    def __init__(self, templates: TemplateSet, settings: RenderSettings, variables: Variables) -> None:
        self._templates = templates
        self._settings = settings
        self._variables = variables
        self._made: dict[tuple[int, bool], tuple[Part, Mapping[str, object]]] = {}
        """By what ``maxconn`` is a multiple of (0 is none), and whether clients have limits."""

    def part(
        self,
        limits: NamespaceLimits = (),
        stages: int = 1,
        *,
        has_maxconn: bool = True,
        limits_clients: bool = False,
    ) -> Part:
        """Give it.

        Args:
            limits: of namespaces.
            stages: how many connections of HAProxy one of a client may be.
            has_maxconn: False where HAProxy is to find out how many connections its files allow.
            limits_clients: whether some Route has limits of each client.

        Raises:
            TemplateError: a template failed.
        """
        settings = self._settings if has_maxconn else replace(self._settings, maxconn=None)
        key = (stages if settings.maxconn is not None else 0, limits_clients)
        made = dict([files.hello_script(), files.owners_file(), *files.limits_files(limits, settings)])
        known = self._made.get(key)
        if known is not None and known[0].files.keys() == made.keys():
            return known[0]
        more = {"settings": settings, "stages": stages, "limits_clients": limits_clients}
        variables = {**self._variables.of(None, made), **more}
        text = "".join(self._templates.render(name, variables) for name in _TEMPLATES).encode()
        part = Part(None, None, text, text.count(b"\n"), made)
        self._made[key] = part, variables
        return part

    def origins(self, part: Part) -> Sequence[str]:
        """Say of each line of a part that was given which template it is of."""
        with_its = [variables for made, variables in self._made.values() if made is part]
        variables = with_its[0] if with_its else self._variables.of(None, part.files)
        return [line for name in _TEMPLATES for line in self._templates.origins(name, variables)]

    @cached_property
    def text(self) -> str:
        """What it says where no client has limits.

        Raises:
            TemplateError: a template failed.
        """
        return self.part().text.decode()

    @cached_property
    def hands_on(self) -> bool:
        """Whether a worker hands to the next one what it counted of clients; templates of an admin's may not have it.

        Raises:
            TemplateError: a template failed.
        """
        return _HANDS_ON in self.part(limits_clients=True).text.decode()
