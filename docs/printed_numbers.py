"""Prints the tables at the end of docs/reproduction.md: every printed number and where ours is made.

python docs/printed_numbers.py
"""

from __future__ import annotations

import re

from vadkit.report import published

COLUMNS = ("item", "system", "number", "printed", "from the paper's own numbers", "ours")


def listing() -> str:
    """Every printed number as Markdown, a table a paper: what, where, printed, by the paper's own numbers, ours."""
    computed = {c.claim.key: f"{c.computed:.{c.claim.decimals + 1}f}, {c.verdict}" for c in published.check_claims()}
    parts = []
    for paper, title in published.PAPERS.items():
        parts += [f"### {title}", "", f"| {' | '.join(COLUMNS)} |", "| --- | --- | --- | --- | --- | --- |"]
        for one in published.load():
            if one.paper == paper:
                unit = {"%": " %", "share": "", "": ""}.get(one.unit, f" {one.unit}")
                ours = re.sub(r"^parameter (.*)", r"`\1`", one.ours)
                number, own = one.metric.replace("_", " "), computed.get(one.key, "")
                parts.append(f"| {one.item} | {one.system} | {number} | {one.text}{unit} | {own} | {ours} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(listing())
