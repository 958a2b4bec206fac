"""The owner of every thread that lives long: it starts them, ends them, notices their death, says so, and begins them again.

No thread is started beside it; ruff's list of banned calls in pyproject.toml proves that.
"""

from router.supervisor.pool import Pool
from router.supervisor.threads import SUPERVISOR, OwnedThread, Pauses, Supervisor

__all__ = ["SUPERVISOR", "OwnedThread", "Pauses", "Pool", "Supervisor"]
