"""What stops a command, in one line for the person who typed it."""


class Trouble(Exception):
    """Ends the command with `exit_code`: 2 for a mistake in what was asked, 1 for a no."""

    def __init__(self, text: str, exit_code: int = 2):
        super().__init__(text)
        self.exit_code = exit_code
