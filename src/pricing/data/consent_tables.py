"""The ledger of consents: who agreed to what purpose, from when, until when."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, day, key, text

__all__ = ["PURPOSES", "TABLES", "Consents"]

PURPOSES = ("activity", "discount", "research")


class Consents(dy.Schema):
    """One row per person, purpose and day of agreeing; rows are added, none is ever taken away."""

    person_id = key("The person, as in the policies or under the same keyed name")
    purpose = dy.Enum(PURPOSES, primary_key=True, **about("What was agreed to"))
    agreed = dy.Date(primary_key=True, **about("Day of agreeing", "day"))
    withdrawn = day("Day from which it no longer holds; empty while it does", optional=True)
    wording = text("Version of the text that was agreed to", optional=True)

    @dy.rule()
    def withdrawn_after_agreed(cls) -> pl.Expr:
        """`withdrawn` must not be before `agreed`."""
        return pl.col("withdrawn").is_null() | (pl.col("withdrawn") >= pl.col("agreed"))


TABLES: dict[str, type[dy.Schema]] = {"consents": Consents}
