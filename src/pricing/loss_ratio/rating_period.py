"""When the premium of new rates will be earned: the days a trend must reach."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError

__all__ = ["earned_by", "rating_period"]

Floats = npt.NDArray[np.float64]


def rating_period(
    effective: date, *, in_force_months: int = 12, term_months: int = 12
) -> dict[date, float]:
    """Share of the new rates' premium that is earned in each calendar month.

    Policies are written evenly from ``effective`` for as long as the rates are in force, and each is
    earned evenly over its term.

    Parameters
    ----------
    effective : date
        First day on which a policy is written at the new rates.
    in_force_months, term_months : int
        How long the rates stay, and the term of a policy; 1 or more.

    Returns
    -------
    dict of date to float
        First day of the month to its share; they add to 1.

    Notes
    -----
    With h(y) = ∫₀^y min(u / term, 1) du, what is earned by x after the effective date is
    [h(x) − h(x − in force)] / in force: the area of the parallelogram cut at x (Werner and Modlin
    2016, chapter 5). Time is in days over the days of the period.

    Examples
    --------
    >>> weights = rating_period(date(2024, 1, 1))
    >>> len(weights), round(sum(weights.values()), 12), round(weights[date(2024, 12, 1)], 3)
    (24, 1.0, 0.081)
    >>> middle = sum(w * (day - date(2024, 1, 1)).days for day, w in weights.items()) + 15
    >>> round(middle / 365.25, 1)
    1.0
    """
    for name, value in (("in_force_months", in_force_months), ("term_months", term_months)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} = {value!r} is no number of months", do="give 1 or more")
    if not isinstance(effective, date) or isinstance(effective, datetime):
        raise InputError(
            f"the effective date is a {type(effective).__name__}, not a date",
            do="give the first day at the new rates as datetime.date(...)",
        )
    first = effective.replace(day=1)
    months = in_force_months + term_months + (effective.day > 1)
    edges = pl.select(
        pl.lit(first).dt.offset_by(pl.format("{}mo", pl.int_range(months + 1)))
    ).to_series()
    written = _days(effective, in_force_months)
    term = _days(effective, in_force_months + term_months) - written
    days = (edges - effective).dt.total_days().to_numpy().astype(np.float64)
    shares = np.diff(earned_by(days, float(written), float(term)))
    return dict(zip(edges[:-1].to_list(), (shares / shares.sum()).tolist(), strict=True))


def earned_by(days: Floats, written: float, term: float) -> Floats:
    """Share earned by a number of days after the first policy, written evenly over ``written`` days.

    Examples
    --------
    >>> earned_by(np.array([-5.0, 365.0, 730.0]), 365.0, 365.0).tolist()
    [0.0, 0.5, 1.0]
    """

    def within(y: Floats) -> Floats:
        inside = np.clip(y, 0.0, term)
        area: Floats = inside**2 / (2 * term) + np.maximum(y - term, 0.0)
        return area

    share: Floats = (within(days) - within(days - written)) / written
    return share


def _days(start: date, months: int) -> int:
    end = pl.select(pl.lit(start).dt.offset_by(f"{months}mo")).item()
    return int((end - start).days)
