"""What a driver reports, for tests that wait until it is as it should be."""

import asyncio
from collections.abc import Callable


class Reports:
    """`now` are the values that were told last, `all` the reports one by one; `seconds` is how long one waits."""

    def __init__(self, seconds: float):
        self.now: dict[str, str] = {}
        self.all: list[dict[str, str]] = []
        self._seconds = seconds
        self._news = asyncio.Event()

    def __call__(self, readings: dict[str, str]) -> None:
        self.now |= readings
        self.all.append(readings)
        self._news.set()

    async def until(self, wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """The values, when they are so."""
        async with asyncio.timeout(self._seconds):
            while not wanted(self.now):
                self._news.clear()
                await self._news.wait()
        return dict(self.now)

    async def number(self, wanted: int, *names: str) -> None:
        """Waits until there are so many reports of just these fields."""
        await self.until(lambda now: self.count(*names) >= wanted)

    def count(self, *names: str) -> int:
        """How many reports there are of just these fields."""
        return sum(each.keys() == set(names) for each in self.all)
