"""Chain ladder: every origin grows as those before it did. With C known and F its growth, C·F."""

from __future__ import annotations

from pricing.errors import InputError
from pricing.reserving.development import Average, Pattern, Tail, development_pattern, said_options
from pricing.reserving.triangle import Floats, Triangle
from pricing.reserving.ultimates import Ultimates, ultimates

__all__ = ["chain_ladder", "growth"]


def chain_ladder(
    triangle: Triangle,
    *,
    measure: str = "amount",
    average: Average = "volume",
    last: int | None = None,
    tail: Tail = 1.0,
    pattern: Pattern | None = None,
) -> Ultimates:
    """Project each origin by the growth of those before it; errors: :func:`pricing.reserving.mack.mack`.

    Parameters
    ----------
    triangle, measure, average, last, tail
        As for :func:`pricing.reserving.development.development_pattern`.
    pattern : Pattern, optional
        Factors of other data, such as the whole book for a segment of it.

    Returns
    -------
    Ultimates
        An origin with nothing known yet has nothing to come: for such take
        :func:`bornhuetter_ferguson` or :func:`cape_cod`.

    Examples
    --------
    >>> from datetime import date
    >>> import polars as pl
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "paid": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "amount": [60.0, 40.0, 90.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> chain_ladder(seen).table.select("latest", "ultimate", "ibnr").rows()
    [(100.0, 100.0, 0.0), (90.0, 150.0, 60.0)]
    """
    grown, notes = growth(triangle, measure, average, last, tail, pattern)
    latest = triangle.latest(measure)
    bare = int((latest == 0).sum())
    if bare:
        notes = (*notes, f"{bare:,} origins have nothing known yet, and so nothing to come")
    return ultimates(
        triangle, "chain_ladder", latest, grown, latest * grown, measure=measure, notes=notes
    )


def growth(
    triangle: Triangle, measure: str, average: Average, last: int | None, tail: Tail,
    pattern: Pattern | None,
) -> tuple[Floats, tuple[str, ...]]:  # fmt: skip
    """Give the growth to ultimate of each origin, the first origin first, and how it was found.

    Parameters are those of :func:`chain_ladder`.

    Examples
    --------
    >>> from datetime import date
    >>> import polars as pl
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "paid": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "amount": [60.0, 40.0, 90.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> growth(seen, "amount", "volume", None, 1.05, None)[0].round(4).tolist()
    [1.05, 1.75]
    """
    size = len(triangle.origins)
    if pattern is None:
        pattern = development_pattern(
            triangle, measure=measure, average=average, last=last, tail=tail
        )
        notes = said_options(average, last, None, tail)
    else:
        if pattern.facts["grain"] != triangle.grain:
            raise InputError(
                f"the pattern is by {pattern.facts['grain']}, the triangle by {triangle.grain}"
            )
        if pattern.table.height < size:
            raise InputError(
                f"the pattern knows {pattern.table.height} lags, the triangle has {size}",
                do="take a pattern of a longer history, or start the triangle later",
            )
        notes = (f"factors of other data: {pattern.basis.source or pattern.basis.fingerprint}",)
    to_ultimate = pattern.table["to_ultimate"].to_numpy()
    return to_ultimate[:size][::-1].copy(), notes
