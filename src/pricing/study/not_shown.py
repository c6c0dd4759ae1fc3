"""What a study was asked for and could not show: each with its reason, in place of a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["NotShown", "Refusals"]

T = TypeVar("T")


class NotShown(Result):
    """What could not be shown; ``.table``: shown_as (the result asked for), reason, remedy."""

    kind = "not_shown"

    def finding(self, lang: Language = "en") -> str:
        """Say how many results are missing, and the first of them with its reason."""
        first = self.table.row(0, named=True)
        name = say("section." + first["shown_as"].partition(":")[0], lang)
        return say(
            "finding.not_shown", lang, number=self.table.height, name=name, reason=first["reason"]
        )


class Refusals:
    """Collects results that data do not bear, so that one of them does not stop a study.

    Examples
    --------
    >>> refused = Refusals()
    >>> def fails():
    ...     raise InputError("no claim in G4", do="join groups")
    >>> refused.attempt("groups_later", fails) is None
    True
    >>> refused.result(Basis())["not_shown"].table.row(0)
    ('groups_later', 'no claim in G4', 'join groups')
    """

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []

    def attempt(self, name: str, compute: Callable[[], T]) -> T | None:
        """Compute a result; where the data refuse it, keep the reason and give None."""
        try:
            return compute()
        except InputError as error:
            told = [error.problem, *error.faults[:3]]
            self._rows.append((name, "; ".join(told), error.do))
            return None

    def result(self, basis: Basis) -> dict[str, Result]:
        """Give what was refused as one result; nothing where all was shown."""
        if not self._rows:
            return {}
        table = pl.DataFrame(self._rows, schema=["shown_as", "reason", "remedy"], orient="row")
        hashed = fingerprint(basis.fingerprint, *(text for row in self._rows for text in row))
        return {"not_shown": NotShown(table=table, basis=replace(basis, fingerprint=hashed))}
