"""Settings that cannot be written into a configuration."""

from __future__ import annotations

import os
import re

from router.errors import SettingsError
from router.render.quoting import quoted
from router.settings import RenderSettings

# An address, which is what a socket's path is to HAProxy, ends at a comma and has variables expanded, quoted or not.
_NEVER_LITERAL = re.compile(r"[,$]")
# What the system allows, less the room that HAProxy keeps to bind under another name first.
_SOCKET_PATH_BYTES = 97


def check_usable(settings: RenderSettings) -> None:
    """Refuse paths and addresses that HAProxy would not take as they are.

    Raises:
        SettingsError: one of them.
    """
    try:
        quoted(settings.state_dir)
        quoted(settings.log_address)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    socket = str(settings.stats_socket)
    for path in (socket, settings.log_address):
        found = _NEVER_LITERAL.search(path)
        if found:
            raise SettingsError(f"{path!r} has {found[0]!r} in it, which HAProxy does not take as itself in an address")
    if len(os.fsencode(socket)) > _SOCKET_PATH_BYTES:
        raise SettingsError(
            f"{socket!r} is longer than the {_SOCKET_PATH_BYTES} bytes that the path of a socket may have"
        )
