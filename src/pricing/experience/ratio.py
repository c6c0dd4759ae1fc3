"""A ratio of two sums by level, with its interval: what every first look rests on.

A level has actual claims or amounts A = Σa and a base B = Σb: its exposure, or what was expected.
The ratio is R = A/B, and its spread Σ(a − Rb)² is

* that of the rows where b is a cell's rate times exposure: Σa² − 2R·rate·Σae + (R·rate)²Σe², all
  of them sums of the cells (Cochran 1977, section 6.3; Huber 1967);
* Σn for claims, Σa² for amounts (compound Poisson) where b is a column added up beforehand.

It is never taken below A²/n, the spread of n Poisson claims of one size, so that a level with a
single row is not taken for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import polars as pl
from scipy.special import gammaincinv, ndtri

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.result.shape import Basis

__all__ = ["By", "Interval", "ratios"]

By = Literal["claims", "amount"]
Interval = Literal["robust", "poisson", "normal"]

NOTES = {
    "robust": "interval from the spread of the rows, on the log scale, never narrower than Poisson",
    "normal": "symmetric normal interval from the spread of the rows, cut off at zero",
    "poisson": "exact Poisson interval (Garwood 1936): over-dispersion is not in it",
    "normal claims": "symmetric normal interval with Poisson variance, cut off at zero: "
    "over-dispersion is not in it",
    "normal amount": "symmetric normal interval with compound-Poisson variance (sum of squared "
    "amounts), cut off at zero",
}
OURS = {"exposure", "claims", "amount", "expected", "expected_amount", "frequency", "severity",
        "pure_premium", "actual_to_expected", "lower", "upper", "main_effects", "departure",
        "departure_lower", "departure_upper", "graduated", "std_error", "complement"}  # fmt: skip


def ratios(
    experience: Experience,
    keys: Sequence[str],
    *,
    by: By = "claims",
    expected: pl.Expr | str | None = None,
    interval: Interval | None = None,
    level: float = 0.95,
) -> tuple[pl.DataFrame, Basis]:
    """Compute actual over base by level, with spread and interval; the verbs give it its names.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``keys`` and, for amounts, were collected with ``amount=``.
    keys : sequence of str
        Keys to look by.
    by : {"claims", "amount"}
        Number of claims, or currency.
    expected : polars.Expr or str, optional
        Expected claims or amount per policy-year as an expression, or the name of a sum column
        that holds them added up. Left out, the base is exposure.
    interval : {"robust", "poisson", "normal"}, optional
        Left out: ``"robust"``; with an expected column ``"poisson"`` by claims, ``"normal"`` by
        amount.
    level : float
        Confidence level.

    Returns
    -------
    tuple of polars.DataFrame and Basis
        Keys, rows, exposure, claims, amount (if there), ``_actual``, ``_base``, ``_ratio``,
        ``_spread``, lower, upper, in the order of the levels; and the basis with a note on the
        interval.

    Raises
    ------
    InputError
        For unknown keys or options, no amounts, a rate or an expected sum that cannot be one, and
        an interval that the sums cannot give.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "f"], "exposure": [1.0, 2.0], "claims": [1, 1]})
    >>> table, basis = ratios(Experience.collect(rows, ["sex"]), ["sex"], interval="poisson")
    >>> table.select("_actual", "_base", "_spread").rows()
    [(2.0, 3.0, 2.0)]
    """
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    kind = _kind(by, expected, interval)
    _require_amounts(experience, by)
    taken = [name for name in keys if name in OURS or name.startswith("_")]
    if taken:
        raise InputError(f"{taken[0]!r} is the name of a result's column", do="rename the factor")
    if isinstance(expected, str):
        table = _of_column(experience, keys, by, expected)
        note = NOTES[kind if kind == "poisson" else f"normal {by}"]
    else:
        table = _of_rate(experience, keys, by, pl.lit(1.0) if expected is None else expected)
        note = NOTES[kind]
    table = _limits(table.sort(keys), by, kind, level)
    notes = tuple(dict.fromkeys([*experience.basis.notes, note]))
    return table, replace(experience.basis, notes=notes)


def _of_rate(experience: Experience, keys: Sequence[str], by: By, rate: pl.Expr) -> pl.DataFrame:
    """Ratios against a rate per policy-year; the spread is that of the rows."""
    for key in keys:
        rated = experience.rated(rate, key)
    square, cross = {
        "claims": ("claims_squared", "claims_exposure"),
        "amount": ("amount_squared", "amount_exposure"),
    }[by]
    actual, base = pl.col(by).cast(pl.Float64), pl.col("_rate") * pl.col("exposure")
    scale = pl.col("_rate") * (actual.sum() / base.sum())
    spread = pl.col(square) - 2 * scale * pl.col(cross) + scale.pow(2) * pl.col("exposure_squared")
    return rated.cells.group_by(keys, maintain_order=True).agg(
        pl.col(_carried(experience)).sum(),
        _actual=actual.sum(),
        _base=base.sum(),
        _spread=spread.sum(),
    )


def _of_column(experience: Experience, keys: Sequence[str], by: By, name: str) -> pl.DataFrame:
    """Ratios against a sum of the cells; how it varies from row to row is not known."""
    for key in keys:
        experience.rated(pl.lit(1.0), key)  # refuses what is no key
    cells = experience.cells
    sums = [n for n in cells.columns if n not in experience.keys]
    if name not in sums or not cells.schema[name].is_numeric():
        raise InputError(
            f"{name!r} is not a sum of this experience{nearest(name, sums)}",
            do="collect it with sums=[...], or give the expected rate as an expression",
        )
    value = pl.col(name).cast(pl.Float64)
    broken = cells.filter(~((value >= 0) & value.is_finite()).fill_null(False)).height
    if broken:
        raise InputError(
            f"{name!r} is null, not finite or negative in {broken:,} of {cells.height:,} cells"
        )
    table = cells.group_by(keys, maintain_order=True).agg(
        pl.col(_carried(experience)).sum(),
        _actual=pl.col(by).cast(pl.Float64).sum(),
        _base=value.sum(),
        _spread=pl.col("claims" if by == "claims" else "amount_squared").cast(pl.Float64).sum(),
    )
    empty = table.filter(pl.col("_base") <= 0)
    if not empty.is_empty():
        raise InputError(
            f"{name!r} adds up to zero for {empty.height:,} level(s)",
            faults=[", ".join(map(str, row)) for row in empty.select(keys).head(5).rows()],
            do="leave these levels out with .where(...), or expect something of them",
        )
    return table


def _carried(experience: Experience) -> list[str]:
    amounts = ["amount"] if "amount" in experience.cells.columns else []
    return ["rows", "exposure", "claims", *amounts]


def _limits(table: pl.DataFrame, by: By, kind: Interval, level: float) -> pl.DataFrame:
    """Add ratio, spread with its floor, and interval; where nothing was seen, the exact one."""
    actual, base, claims = (
        table[name].cast(pl.Float64).to_numpy() for name in ("_actual", "_base", "claims")
    )
    if by == "amount" and not actual.sum() > 0:
        raise InputError("there is no amount above zero")
    tail, seen = (1 - level) / 2, actual > 0
    ratio, some = actual / base, np.where(seen, actual, 1.0)
    # n claims of one size; an amount that no claim stands behind counts as one
    spread = np.maximum(table["_spread"].to_numpy(), actual**2 / np.where(claims > 0, claims, 1.0))
    count = actual if by == "claims" else np.zeros_like(actual)
    size = 1.0 if by == "claims" else actual.sum() / (claims.sum() or 1.0)
    lower = np.where(count > 0, gammaincinv(count.clip(1e-300), tail), 0.0) / base
    upper = gammaincinv(count + 1, 1 - tail) * size / base
    z = float(ndtri(1 - tail))
    if kind == "robust":
        reach = np.exp(z * np.sqrt(spread) / some)
        lower, upper = np.where(seen, ratio / reach, lower), np.where(seen, ratio * reach, upper)
    elif kind == "normal":
        reach = z * np.sqrt(spread) / base
        lower = np.where(seen, (ratio - reach).clip(0), lower)
        upper = np.where(seen, ratio + reach, upper)
    return table.with_columns(
        _ratio=pl.Series(ratio),
        _spread=pl.Series(spread),
        lower=pl.Series(lower),
        upper=pl.Series(upper),
    )


def _kind(by: By, expected: pl.Expr | str | None, interval: Interval | None) -> Interval:
    for value, choices in ((by, get_args(By)), (interval, (None, *get_args(Interval)))):
        if value not in choices:
            names = [str(choice) for choice in choices if choice]
            raise InputError(f"no such choice: {value!r}{nearest(str(value), names)}")
    column = isinstance(expected, str)
    kind: Interval = interval or (
        "robust" if not column else "poisson" if by == "claims" else "normal"
    )
    if kind == "poisson" and by == "amount":
        raise InputError(
            "an exact Poisson interval is one of counts, not of amounts",
            do="take the robust interval, or the normal one",
        )
    if kind == "robust" and column:
        raise InputError(
            "expected claims added up beforehand do not tell how the rows spread around them",
            do="give the expected rate as an expression, or take interval='poisson' or 'normal'",
        )
    return kind


def _require_amounts(experience: Experience, by: By) -> None:
    wanted = ("amount", "amount_squared", "amount_exposure")
    missing = [name for name in wanted if name not in experience.cells.columns]
    if by == "amount" and missing:
        raise InputError(
            f"the experience carries no amounts ({', '.join(missing)})",
            do="collect it with amount='...'",
        )
