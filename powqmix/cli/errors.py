"""An error that ends a command with a message instead of a traceback."""

from __future__ import annotations

from powqmix.process import EXIT_FAILED


class CommandError(Exception):
    """An error whose text is all the user needs; `code` is the exit code."""

    def __init__(self, text: str, code: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.code = code
