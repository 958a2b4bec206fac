"""What a process leaves behind that dies of a fault of its own: no image of its memory, in which there are private keys."""

from __future__ import annotations

import resource


def leave_no_core() -> None:
    """Leave none, nor let child processes; who needs one for once raises the limit again (prlimit --core)."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
