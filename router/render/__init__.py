"""From the model to the bytes of haproxy.cfg and its map files, by Jinja templates (docs/templates.md)."""

from router.render.quoting import quoted, quoted_argument
from router.render.renderer import Renderer
from router.render.result import Owner, Part, PortOwner, Rendered, SectionFailure
from router.render.templates import TEMPLATE_NAMES, TemplateSet, default_template_dir

__all__ = [
    "TEMPLATE_NAMES",
    "Owner",
    "Part",
    "PortOwner",
    "Rendered",
    "Renderer",
    "SectionFailure",
    "TemplateSet",
    "default_template_dir",
    "quoted",
    "quoted_argument",
]
