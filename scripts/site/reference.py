"""Reference pages, made of the product itself, so that they say what it does."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping

import click

from router.admission import Admission, options
from router.admission.options import PREFIX
from router.admission.remedies import REMEDIES
from router.admission.verdicts import Reason
from router.cli import main
from router.objects.meta import ObjectMeta
from router.objects.route import Route, RoutePort, RouteSpec, RouteTarget
from router.objects.store import Store
from router.observe.metrics.router import Metrics
from router.settings import AdmissionSettings

_ACCEPTED = re.compile(r"accepted (?:is|are) (.*)")
_NO_VALUE = "~"
"""Of the form of no annotation."""


_NEVER_REJECTED = {
    options.ROUTER_NAME: "the name of a router (--router-name); with any other the object is left alone",
    options.WZH_ROUTER_NAME: "the same",
    options.EXTERNAL_ADDRESS: "the name of an address of --address",
}
"""Of which any value is some router's."""


def options_page() -> str:
    """Every option of every command: variable, default and help."""
    lines = [
        "# Options",
        "",
        "Made from the commands themselves; `tcp-router COMMAND --help` prints the same. [Settings](../settings.md) explains them in their context.",
    ]
    for path, command in _commands(main, click.Context(main, info_name="tcp-router")):
        rows = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
        if not rows:
            continue
        lines += ["", f"## {path}", "", "| option | variable | default | meaning |", "|---|---|---|---|"]
        lines += [_option_row(each) for each in rows]
    return "\n".join(lines) + "\n"


def _commands(group: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(group, click.Group):
        yield context.command_path, group
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield from _commands(command, click.Context(command, parent=context, info_name=name))


def _option_row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    variables = (option.envvar,) if isinstance(option.envvar, str) else tuple(option.envvar or ())
    shown = option.show_default if isinstance(option.show_default, str) else _default(option.default)
    return f"| {names} | {', '.join(f'`{each}`' for each in variables)} | {_cell(shown)} | {_cell(option.help or '')} |"


def _default(value: object) -> str:
    if value is None or callable(value) or value is False or repr(value).startswith("Sentinel"):
        return ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "yes" if value is True else str(value)


def annotations_page() -> str:
    """Every annotation, with the form that a router says it accepts."""
    lines = [
        "# Annotations",
        "",
        f"Keys have the prefix `{PREFIX}` unless written out. What is accepted is what the router answers to a value that is not. What each does: [annotations](../annotations.md).",
        "",
        "| annotation | accepted |",
        "|---|---|",
    ]
    keys = {value for name, value in vars(options).items() if name.isupper() and isinstance(value, str)} - {PREFIX}
    return (
        "\n".join([*lines, *(f"| `{key.removeprefix(PREFIX)}` | {_cell(_accepted(key))} |" for key in sorted(keys))])
        + "\n"
    )


def _accepted(key: str) -> str:
    """Ask admission: what it says of a Route with a value that no annotation takes."""
    if key in _NEVER_REJECTED:
        return _NEVER_REJECTED[key]
    name = AdmissionSettings().router_name
    annotations = {options.ROUTER_NAME: name, options.EXTERNAL_TCP_PORT: "6620"} | {key: _NO_VALUE}
    route = Route(
        metadata=ObjectMeta(name="db", namespace="shop", annotations=annotations),
        spec=RouteSpec(
            host="db.example.com", to=RouteTarget(kind="Service", name="db"), port=RoutePort(target_port=5432)
        ),
    )
    store = Store()
    store.put(route)
    store.take()
    objects = store.objects
    verdicts = Admission(AdmissionSettings()).update(objects, objects.everything()).verdicts
    for verdict in verdicts.values():
        for text in (verdict.message, *verdict.warnings):
            found = _ACCEPTED.search(text)
            if found:
                return found[1]
    return ""


def reasons_page() -> str:
    """Every reason of a rejection: what it means, and what to do."""
    lines = [
        "# Reasons",
        "",
        (
            "The `reason` of a Route's `Admitted` condition where it is `False`, and what to do. The message beside it names what is wrong with the one object. "
            "[Admission](../admission.md#reasons) has an example of each."
        ),
    ]
    for reason in sorted(Reason):
        remedy = REMEDIES[reason]
        lines += ["", f"## {reason}", "", remedy.meaning, "", f"- As the owner: {remedy.team}"]
        lines += [f"- As an admin: {remedy.admin}"] if remedy.admin else []
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric of the router itself, as an exposition has it."""
    lines = [
        "# Metrics",
        "",
        "Of the router itself, made from its exposition. Their labels, those of HAProxy, and what an API server adds: [metrics](../metrics.md).",
        "",
        "| metric | type | meaning |",
        "|---|---|---|",
    ]
    for family in sorted(Metrics("2.8.0", lambda: True).registry.collect(), key=lambda each: each.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        lines.append(f"| `{name}` | {family.type} | {_cell(family.documentation)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


PAGES: Mapping[str, Callable[[], str]] = {
    "options": options_page,
    "annotations": annotations_page,
    "reasons": reasons_page,
    "metrics": metrics_page,
}
"""What is made, by the name of its page."""
