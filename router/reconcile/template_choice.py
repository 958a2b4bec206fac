"""The templates in use, and those that shall take their place once HAProxy takes what they make."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from router.errors import TemplateError
from router.model import Model
from router.plan import NoChange, Plan, Reload, ReloadCause, ReloadReason, RuntimeUpdate
from router.render import Renderer

log = structlog.get_logger()


class TemplateChoice:
    """Keeps the former templates until new ones proved good.

    Args:
        in_use: renders with the templates of the start.
        load: reads the templates anew; raises TemplateError.
    """

    def __init__(self, in_use: Renderer, load: Callable[[], Renderer]) -> None:
        self._in_use = in_use
        self._load = load
        self._new: Renderer | None = None
        self._problem = ""

    @property
    def renderer(self) -> Renderer:
        """What to render with: the new templates while they are tried, else those in use."""
        return self._new or self._in_use

    @property
    def in_use(self) -> Renderer:
        """What HAProxy was loaded with."""
        return self._in_use

    @property
    def is_trying_new(self) -> bool:
        """Whether there are new templates that have not proved good yet."""
        return self._new is not None

    @property
    def problem(self) -> str:
        """Why the templates that are on disk now are not in use; empty if they are."""
        return self._problem

    def read(self, applied: Model | None) -> bool:
        """Read the templates anew.

        Args:
            applied: what HAProxy serves; None if nothing is known of it.

        Returns:
            Whether they are in use already, since they make of ``applied`` what the former ones made.
        """
        try:
            new = self._load()
            is_level = applied is not None and new.render(applied) == self._in_use.render(applied)
        except TemplateError as error:
            self.drop(str(error))
            return False
        self._new = new
        if is_level:
            self.take_up()
        return is_level

    def try_with(self, todo: Plan) -> Plan:
        """Give the plan with which new templates are tried, if there are any: it has a reload."""
        if not self.is_trying_new:
            return todo
        reason = ReloadReason(ReloadCause.TEMPLATES_CHANGED)
        match todo:
            case NoChange():
                return Reload((reason,))
            case RuntimeUpdate():
                return Reload((reason,), todo)
            case Reload(reasons, meanwhile):
                return Reload((*reasons, reason), meanwhile)

    def forget(self) -> None:
        """Render everything anew."""
        for renderer in (self._in_use, self._new):
            if renderer is not None:
                renderer.forget()

    def take_up(self) -> None:
        """Use the new templates from now on."""
        self._in_use, self._new = self.renderer, None
        self._problem = ""
        log.info("templates taken up")

    def drop(self, problem: str) -> None:
        """Go on with the former templates."""
        self._new = None
        self._problem = problem
        log.error("templates not taken up", problem=problem, consequence="the former templates stay in use")
