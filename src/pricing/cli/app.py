"""The application that every command belongs to, and how its numbers are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import App, Parameter, Token

__all__ = ["Engine", "Whole", "app"]

app = App(
    name="pricing",
    help="Health-insurance pricing: from person-years to a discount the claims can pay for.",
    version_flags=["--version"],
)


def _whole(kind: type, tokens: Sequence[Token]) -> int:
    """Read 1000, 1_000 or 1e3; a fraction is refused, where the default would round it."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not number.is_integer():
        raise ValueError
    return int(number)


Whole = Annotated[int, Parameter(converter=_whole)]
Engine = Literal["polars", "duckdb", "spark"]
