"""What commands print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pricing.plans.plan_study import PlanStudy
    from pricing.study.chain import Study

__all__: list[str] = []  # of the command line alone


def print_check(study: Study | PlanStudy) -> None:
    """Print what came in, what was set aside and why."""
    from rich.console import Console
    from rich.table import Table

    from pricing.study.missing_money import missing_money
    from pricing.study.settings import Settings

    console = Console(width=None if sys.stdout.isatty() else 160)
    for name, checked in study.checked.items():
        totals = Table(title=f"{name}: what came in", title_justify="left")
        for heading in ("quantity", "accepted", "set aside", "input", "unreadable"):
            totals.add_column(heading, justify="left" if heading == "quantity" else "right")
        for row in checked.totals.iter_rows(named=True):
            figures = [
                f"{row[c]:,.2f}".removesuffix(".00") for c in ("accepted", "rejected", "input")
            ]
            totals.add_row(row["quantity"], *figures, f"{row['unreadable']:,}")
        console.print(totals)
        if not checked.faults.is_empty():
            console.print(fault_table(name, checked.faults))
        for warning in checked.warnings:
            console.print(f"warning: {warning}", highlight=False, markup=False)
    settings = study.settings
    for warning in missing_money(settings, study.checked) if isinstance(settings, Settings) else ():
        console.print(f"warning: {warning}", highlight=False, markup=False)


def fault_table(name: str, faults: Any) -> Any:
    """Lay the faults of a table out."""
    from rich.table import Table
    from rich.text import Text

    from pricing.errors import plain

    table = Table(title=f"{name}: rows set aside, by rule", title_justify="left")
    columns = ("file", "column", "rule", "count", "first_keys", "meaning")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column == "count" else "left")
    for row in faults.iter_rows(named=True):
        cells = [f"{row[c]:,}" if c == "count" else str(row[c]) for c in columns]
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def print_ledger(totals: Any) -> None:
    """Print the ledger of the renewals priced."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from pricing.errors import plain

    table = Table(title="ledger", title_justify="left")
    for name in totals.columns:
        table.add_column(name, justify="left" if name == "discount_group" else "right")
    for row in totals.iter_rows(named=True):
        cells = [f"{v:,}" if isinstance(v, int) else f"{v:,.2f}" if isinstance(v, float) else str(v)
                 for v in (row | {"mean_discount": f"{row['mean_discount']:.2%}"}).values()]  # fmt: skip
        table.add_row(*(Text(plain(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def print_figures(found: Sequence[Any]) -> None:
    """Print published figures beside ours."""
    from itertools import groupby

    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    for source, group in groupby(found, key=lambda figure: str(figure.source)):
        table = Table(title=source, title_justify="left", title_style="bold")
        for heading in ("area", "figure", "published", "ours", "difference", ""):
            right = heading in ("published", "ours", "difference")
            table.add_column(heading, justify="right" if right else "left")
        for f in group:
            verdict = "ok" if f.ok else "OFF"
            gap = f"{f.ours - f.published:+.1e}"
            table.add_row(f.area, f.name, f.printed, f"{f.ours:.10g}", gap, verdict)
        console.print(table)
    agreed = sum(f.ok for f in found)
    said = f"{agreed} of {len(found)} published figures reproduced to the last printed digit"
    predicted = [f for f in found if f.within is not None]
    if predicted:
        said += f" ({len(predicted)} of them predictions, within {predicted[0].within:.0%})"
    print(said)
