"""What threads that write while this replica leads have alike: they begin and end, notice that the lead is gained or lost, and keep their pace."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable

from router.status.outage import Outage
from router.status.pacing import TokenBucket
from router.supervisor import SUPERVISOR, Supervisor
from router.supervisor.way import Aside

IDLE_S = 0.25
"""How long a gained leadership may go unnoticed; a lost one is noticed before each request."""
_STOP_S = 0.9


class LeadingWriter(ABC):
    """Writes on a thread of its own, from ``start`` to ``stop``, one request after the other.

    Args:
        name: of the thread, which is what it writes.
        is_leader: says whether this replica may write; is asked before each request, and must not block.
        bucket: the pace of all requests.
        clock: seconds of a clock that never goes back.
        supervisor: owns the thread.
    """

    def __init__(
        self,
        name: str,
        is_leader: Callable[[], bool],
        bucket: TokenBucket,
        *,
        clock: Callable[[], float] = time.monotonic,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        self._is_leader = is_leader
        self._bucket = bucket
        self._clock = clock
        self._outage = Outage(name)
        self._counts: Counter[str] = Counter()
        self._leads = False
        self._stopping = False
        self._aside = Aside()
        self._thread = supervisor.own(name, self._run, ask_to_end=self._ask_to_end)

    # Any thread

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more; returns within a second, even if the API server does not answer a request under way."""
        self._thread.stop(_STOP_S)

    @abstractmethod
    def wake(self) -> None:
        """Look now whether this replica leads."""

    # The writing thread

    @abstractmethod
    def _wait(self, pause_s: float) -> None:
        """Wait until there is news, ``wake`` is called, or so many seconds are over."""

    @abstractmethod
    def _gain(self) -> None:
        """Begin with all that there is to do."""

    @abstractmethod
    def _give_up(self) -> None:
        """Forget what is to be done; it is looked at again with the next lead, however soon that is."""

    @abstractmethod
    def _write_next(self, now_s: float) -> float:
        """Do the next thing that is due; give the seconds until there can be something to do, however many."""

    def step(self) -> float:
        """Do the next thing that is due.

        Returns:
            Seconds until there can be something to do, unless news bring it earlier.
        """
        if not self._may_write():
            return self._rest()
        if not self._leads:
            self._leads = True
            self._gain()
        now_s = self._clock()
        pause_s = max(self._outage.resume_s - now_s, self._bucket.delay_s(now_s))
        return min(pause_s if pause_s > 0 else self._write_next(now_s), IDLE_S)

    def _rest(self) -> float:
        """Do what is to be done while another replica leads; give the seconds as ``step`` does."""
        return IDLE_S

    def _ask_to_end(self) -> None:
        self._stopping = True
        self.wake()

    def _run(self) -> None:
        # A thread that died had taken up something, which is looked at again with all else.
        self._lose()
        while not self._stopping:
            self._aside.step()
            pause_s = self.step()
            if pause_s > 0:
                self._wait(pause_s)

    def _may_write(self) -> bool:
        """Say whether to go on; if not, all is given up now."""
        if not self._stopping and self._is_leader():
            return True
        self._lose()
        return False

    def _lose(self) -> None:
        if self._leads:
            self._leads = False
            self._give_up()
