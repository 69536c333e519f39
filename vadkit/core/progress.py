"""How long steps say how far they are."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vadkit.core.errors import shown

Progress = Callable[[int, int, str], None]  # progress(done, total, what): called at each part of a step that is done

VARIABLE = "VADKIT_PROGRESS"  # names the file in which `vadkit run` reads how far a notebook is
EVERY_SECONDS = 0.5


class ProgressBar:
    """A `Progress` as one line, which goes once the step is done: nothing of it stays on a notebook's page."""

    def __init__(self):
        self.done, self.total, self.began, self.shown, self.place = 0, 0, 0.0, 0.0, None

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if total != self.total or done < self.done or self.done >= self.total:
            self.began = now
        self.done, self.total = done, total
        if done >= total:
            self._show("")
        elif now - self.shown >= EVERY_SECONDS:
            minutes, seconds = divmod(int(now - self.began), 60)
            self._show(f"{done / total:3.0%} {done}/{total} [{minutes:02}:{seconds:02}] {shown(what, 60)}")
            self.shown = now

    def _show(self, line: str) -> None:
        if path := os.environ.get(VARIABLE):
            with suppress(OSError):  # a full disk, say: what the step itself writes will tell
                Path(path).write_text(line)
        elif "ipykernel" not in sys.modules:
            print(f"\r{line:<100}", end="" if line else "\r", flush=True)
        elif self.place is not None:
            self.place.update({"text/plain": line}, raw=True)
        elif line:
            from IPython.display import display

            self.place = display({"text/plain": line}, raw=True, display_id=True)
