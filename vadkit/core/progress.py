"""How long steps say how far they are."""

from __future__ import annotations

import sys
from collections.abc import Callable

Progress = Callable[[int, int, str], None]  # progress(done, total, what): called at each part of a step that is done


class ProgressBar:
    """A `Progress` with a bar a step, anew where the total changes or the count falls; none for what is done."""

    def __init__(self):
        self.bar = None

    def __call__(self, done: int, total: int, what: str) -> None:
        from tqdm import tqdm  # tqdm.auto wants ipywidgets, and warns on the page where they are missing

        if self.bar is not None and (self.bar.total != total or done < self.bar.n):
            self.close()
        if self.bar is None and done >= total:
            return
        if self.bar is None:
            form = "{percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}] {desc}"
            self.bar = tqdm(total=total, initial=done, mininterval=2.0, file=sys.stdout, ncols=100, bar_format=form)
        self.bar.set_description_str(what[:60], refresh=False)
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
