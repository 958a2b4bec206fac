"""Backends that are added while HAProxy runs, under the names that a fresh HAProxy would give them: what it takes; pure.

Who has no port of his own is led there by the map of a shared port, and who is on a port of the pool by a map of such ports. HAProxy adds no frontend.
"""

from __future__ import annotations

from router.model import RouteSection, frontend_name
from router.model.bases import base_of
from router.plan import commands
from router.plan.commands import Command
from router.plan.leaving import LeavingDraft
from router.plan.places import Places
from router.plan.running import Running
from router.plan.step import Step
from router.plan.texts import Texts


def added(running: Running, texts: Texts, places: Places, leaving: LeavingDraft, section: RouteSection) -> Step | None:
    """Give what has HAProxy serve a section by a backend of its own, to which its port, where it has one, leads then.

    Args:
        running: what HAProxy has.
        texts: what the templates make of sections.
        places: what of it is in use.
        leaving: servers that are still there.
        section: of somebody who is served by nothing, or by a port of the pool that is his already.

    Returns:
        None where HAProxy cannot add it: it was loaded with nothing that such a backend could take up, or has one of that name.
    """
    base = base_of(section) if running.bases else None
    declared = running.bases.get(base) if base is not None else None
    name = section.backend.name
    text = texts.text(section) if declared is not None and not places.has_name(name) else None
    if text is None or declared is None:
        return None
    step = Step(section, leaving, text.goes_by_ids)
    step.opening.append(commands.add_backend(name, declared))
    if not step.change_servers(None, text):
        return None
    step.opening.append(commands.publish_backend(name))
    if section.frontend is not None:
        step.leading.append(commands.add_entry(running.leads_file, frontend_name(*section.frontend.spot), name))
    return step


def led_back(running: Running, name: str) -> tuple[Command, ...]:
    """Give what has a port of the pool lead to no added backend any more."""
    section = running.added.get(name)
    if section is None or section.frontend is None:
        return ()
    return (commands.delete_entry(running.leads_file, frontend_name(*section.frontend.spot)),)
