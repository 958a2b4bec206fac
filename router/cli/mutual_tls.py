"""The options of what clients of all Routes that end TLS have to show: those of OpenShift's router, by its variables."""

from __future__ import annotations

from pathlib import Path

import click

from router.admission.text import shown
from router.errors import SettingsError
from router.model.tls import CLIENTS_OPTION, REVOKED_OPTION

_MAX_PATTERN = 4096
FILTER_OPTION = "--mutual-tls-auth-filter"


class PatternType(click.ParamType[str]):
    """A regular expression that HAProxy takes; whether it is one, HAProxy finds out."""

    name = "pattern"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the text."""
        text = str(value)
        if len(text) > _MAX_PATTERN or not text.isprintable():
            self.fail(
                f"{shown(text)} is no regular expression of up to {_MAX_PATTERN} printable characters", param, ctx
            )
        return text


def check_mutual_tls(auth: str, authorities: Path | None, revoked: Path | None, pattern: str) -> None:
    """Refuse what would let in whom it seems to keep out.

    Raises:
        SettingsError: certificates are asked for that nothing can verify, or they are not, and what is said of them has no effect.
    """
    if auth != "none" and authorities is None:
        raise SettingsError(
            f"--mutual-tls-auth is {auth}; that needs {CLIENTS_OPTION}: who signs the certificates of clients"
        )
    others = {CLIENTS_OPTION: authorities, REVOKED_OPTION: revoked, FILTER_OPTION: pattern or None}
    useless = [each for each, value in others.items() if value is not None]
    if auth == "none" and useless:
        raise SettingsError(
            f"{useless[0]} has no effect while --mutual-tls-auth is none; say required or optional there"
        )
