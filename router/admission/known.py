"""What an object is read by beside itself."""

from __future__ import annotations

from typing import NamedTuple

from router.admission.gateway.grants import Grants
from router.admission.termination import NO_CREDENTIALS, Credentials


class Known(NamedTuple):
    """What there is of what an object may refer to."""

    credentials: Credentials
    grants: Grants
    """Who may refer to what of another namespace."""


NOTHING_KNOWN = Known(NO_CREDENTIALS, Grants())
"""Where nobody looks, as for who only wants to know which port an object asks for."""
