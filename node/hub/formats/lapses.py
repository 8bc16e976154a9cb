"""A sensor that says that it has no value: once is an accident, again and again it is lost."""

from collections.abc import Mapping

PATIENCE = 3  # times in a row: a DHT22 misses one reading in ten, and that is no news to anybody


class Lapses:
    """Counts them, for the fields of one thing."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def told(self, readings: Mapping[str, str | None]) -> dict[str, str | None]:
        """What is to be reported of these readings: the values, and None for a field that is lost."""
        for name, value in readings.items():
            if value is None:
                self._times[name] = self._times.get(name, 0) + 1
            else:
                self._times.pop(name, None)
        return {name: value for name, value in readings.items() if value is not None or self._times[name] >= PATIENCE}
