"""Two runs held against each other, as a terminal shows it."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pricing.plans.run_difference import RunDifference
from pricing.result.readable import amount_text
from pricing.result.words import label

__all__ = ["print_difference"]


def print_difference(found: RunDifference) -> None:
    """Print what differs between two runs: the finding, the inputs, the figures that moved.

    Examples
    --------
    >>> from pricing.plans.run_difference import RunInputs, run_difference
    >>> run = RunInputs("a", "", {"mean_discount": 0.1}, "d", "f", "c", {})
    >>> print_difference(run_difference(run, run))
    The two runs give the same results.
    """
    console = Console(width=None if sys.stdout.isatty() else 160)
    print(found.finding("en"))
    changed = Table(title="inputs that differ", title_justify="left")
    for heading in ("input", "keys"):
        changed.add_column(heading, overflow="fold")
    for (kind,), rows in found.frames["changed"].group_by("input_group", maintain_order=True):
        changed.add_row(kind, escape(", ".join(rows["changed_key"])))
    if changed.row_count:
        console.print(changed)
    moved = found.table.filter(found.table["difference"] != 0)
    parts = [n for n in moved.columns[4:] if (moved[n] != 0).any()]
    table = Table(title="figures that moved", title_justify="left")
    for name in ("quantity", "before", "after", "difference", *parts):
        table.add_column(label(name, "en"), justify="left" if name == "quantity" else "right")
    for row in moved.iter_rows(named=True):
        ends = (amount_text(row[n], "en") for n in ("before", "after"))
        gaps = (amount_text(row[n], "en", signed=True) for n in ("difference", *parts))
        table.add_row(escape(label(row["quantity"], "en")), *ends, *gaps)
    if table.row_count:
        console.print(table)
    for note in found.basis.notes[1:]:
        console.print(f"not divided: {note}", highlight=False, markup=False)
