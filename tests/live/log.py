"""What a process says, line by line, for who waits for it."""

import threading
from collections.abc import Iterable

DEADLINE = 20  # seconds that anything in a live test may take: simulated boards share two cores with all else


class Log:
    """`follow` a process's output; when it has been started anew, that of the next one too."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._heard: dict[str, int] = {}

    def follow(self, output: Iterable[str]) -> None:
        """From now on, until it ends."""
        threading.Thread(target=self._listen, args=(output,), daemon=True).start()

    def said(self) -> str:
        """All of it so far."""
        return "".join(self._lines)

    def wait(self, text: str) -> None:
        """Until this text is there once more than when it was last waited for."""
        with self._news:
            found = self._news.wait_for(lambda: self.said().count(text) > self._heard.get(text, 0), DEADLINE)
            assert found, f"it did not say {text!r}: {self.said()}"
            self._heard[text] = self.said().count(text)

    def _listen(self, output: Iterable[str]) -> None:
        for line in output:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
