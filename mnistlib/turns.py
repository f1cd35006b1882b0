"""Turns: a queue in which one is served after the other, and who has left is not served.

Imports without TensorFlow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class TooManyWaiting(RuntimeError):
    """So many wait already that another would wait too long."""


class Turns:
    """A queue for work that takes a processor for a while, in a thread of its own.

    One thread, always the same: two pictures at a time would take twice the memory, and on two
    cores hardly less time.
    """

    def __init__(self, most: int = 64) -> None:
        """Make an empty queue.

        Args:
            most: How many may wait.
        """
        self.most, self.waiting = most, 0
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "turns")

    async def take(self, work: Callable[[], T], *, gone: Callable[[], Awaitable[bool]]) -> T | None:
        """Wait for one's turn and do the work; None, without doing it, for one who is gone by then.

        Args:
            work: What to do, in another thread.
            gone: Tells, when it is one's turn, whether nobody waits for it any more.

        Raises:
            TooManyWaiting: ``most`` wait already.
        """
        if self.waiting >= self.most:
            raise TooManyWaiting(f"{self.waiting} wait already: try again in a few seconds")
        self.waiting += 1
        try:
            # First come, first served.
            async with self._turn:
                if await gone():
                    return None
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.waiting -= 1
