"""A prediction held against what was seen: the arrays every validation figure is made of.

A row's prediction is its cell's, so a ranking, a band or a recalibration of predictions never needs
a row; and how rows spread inside a cell is among its sums. Figures from cells are those of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.ratio import By, Interval, ratios
from pricing.result.shape import Basis

__all__ = [
    "Bands",
    "Codes",
    "Floats",
    "Prediction",
    "column",
    "predict",
    "quantile_bands",
    "told_apart",
]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

SQUARES = {
    "claims": ("claims_squared", "claims_exposure"),
    "amount": ("amount_squared", "amount_exposure"),
}
STEPS = 14  # bits: cells are sorted into some 16,000 coarse steps before any is ranked
ESTIMATES = {"claims": "frequency", "amount": "pure_premium"}


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model expects of every cell, beside what was seen there.

    Attributes
    ----------
    experience : Experience
        The cells.
    by : {"claims", "amount"}
        What is predicted.
    rate : array, one per cell
        Expected claims (or currency) per policy-year, above zero.
    exposure, actual : array, one per cell
        Policy-years; claims or amounts seen.
    """

    experience: Experience
    by: By
    rate: Floats
    exposure: Floats
    actual: Floats

    @property
    def score(self) -> Floats:
        """The rate to rank cells by, to twelve figures: rounding must not part equal predictions."""
        return told_apart(self.rate)

    @property
    def expected(self) -> Floats:
        """Expected claims or amount of every cell."""
        return self.rate * self.exposure

    @property
    def mean(self) -> float:
        """Claims or amount seen per policy-year over all cells."""
        return float(self.actual.sum() / self.exposure.sum())

    @property
    def squares(self) -> tuple[Floats, Floats, Floats]:
        """Σa², Σae and Σe² over the rows of every cell."""
        square, cross = SQUARES[self.by]
        one, other = (column(self.experience, n) for n in (square, cross))
        return one, other, column(self.experience, "exposure_squared")

    @property
    def row_terms(self) -> tuple[Floats, Floats]:
        """Σ a ln(a/e) and Σ a²/e: over rows for claims; amounts carry neither, so over cells."""
        if self.by == "claims":
            return (
                column(self.experience, "claims_log_rate"),
                column(self.experience, "claims_squared_per_exposure"),
            )
        some = self.actual > 0
        log = np.log(np.where(some, self.actual / self.exposure, 1.0))
        return self.actual * log, self.actual**2 / self.exposure

    def basis(self, *notes: str) -> Basis:
        """Give the cells' basis with what a reader of this result must know."""
        known = self.experience.basis
        return replace(known, notes=tuple(dict.fromkeys([*known.notes, *notes])))

    def banded(
        self,
        codes: Codes,
        names: Sequence[str],
        *,
        scale: Floats | None = None,
        interval: Interval = "robust",
        level: float = 0.95,
    ) -> pl.DataFrame:
        """Add up bands of cells: actual over scale·exposure with its interval.

        A cell of rows e with scale s adds Σse, Σs²e² and Σsae, which is an experience again; its
        ratio has the row-exact interval of :func:`pricing.experience.ratio.ratios`.
        """
        square, cross = SQUARES[self.by]
        aa, ae, ee = self.squares
        held = (self.exposure, ae, ee)
        if scale is not None:
            held = (scale * self.exposure, scale * ae, scale * scale * ee)
        columns = {
            "rows": column(self.experience, "rows"),
            "exposure": held[0],
            "claims": column(self.experience, "claims"),
            self.by: self.actual,
            square: aa,
            cross: held[1],
            "exposure_squared": held[2],
        }
        count = len(names)
        sums = {n: np.bincount(codes, weights=v, minlength=count) for n, v in columns.items()}
        cells = pl.DataFrame(sums).select(
            pl.Series("band", list(names), dtype=pl.Enum(list(names))),
            pl.col("rows").cast(pl.Int64),
            pl.exclude("rows"),
        )
        small = Experience(cells=cells, keys=("band",), basis=self.experience.basis)
        return ratios(small, ["band"], by=self.by, interval=interval, level=level)[0]

    def expect(self, codes: Codes, count: int) -> Floats:
        """Expected claims or amount of each band."""
        found: Floats = np.bincount(codes, weights=self.expected, minlength=count).astype(
            np.float64
        )
        return found


def column(experience: Experience, name: str) -> Floats:
    """Read one sum as doubles without a copy; not to be written to.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [1.0, 2.0], "claims": [0, 1]})
    >>> column(Experience.collect(rows, ["sex"]), "claims").tolist()
    [0.0, 1.0]
    """
    values: Floats = experience.cells[name].cast(pl.Float64).to_numpy()
    return values


def predict(experience: Experience, expected: pl.Expr | str, *, by: By = "claims") -> Prediction:
    """Evaluate a prediction on every cell, once.

    Parameters
    ----------
    experience : Experience
        Cells that carry what ``expected`` reads; by amount, collected with ``amount=``.
    expected : polars.Expr or str
        Expected claims (by amount: currency) per policy-year, such as ``model.rate()``; or the
        name of a sum of expected claims or premium, whose cell mean is then every row's rate.
    by : {"claims", "amount"}
        What is predicted.

    Raises
    ------
    InputError
        For a column that is no sum, no amounts, no claims (or amounts) at all, and cells whose rate
        is null (a level never seen), not finite or not above zero: with their count and exposure.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [1.0, 2.0], "claims": [0, 1]})
    >>> seen = predict(Experience.collect(rows, ["sex"]), pl.lit(0.25))
    >>> seen.expected.tolist()
    [0.25, 0.5]
    """
    if by not in get_args(By):
        raise InputError(f"no such choice: {by!r}{nearest(str(by), get_args(By))}")
    if not experience.keys:
        raise InputError("the experience has no keys, so every prediction would be the same")
    absent = [n for n in SQUARES[by] if n not in experience.cells.columns]
    if absent:
        raise InputError(
            f"the experience carries no amounts ({', '.join(absent)})",
            do="collect it with amount='...'",
        )
    if isinstance(expected, str):
        sums = [
            n
            for n, kind in experience.cells.schema.items()
            if n not in experience.keys and kind.is_numeric()
        ]
        if expected not in sums:
            raise InputError(
                f"{expected!r} is not a sum of this experience{nearest(expected, sums)}",
                do="collect it with sums=[...], or give the expected rate as an expression",
            )
        expected = pl.col(expected).cast(pl.Float64) / pl.col("exposure")
    rate = column(experience.rated(expected, experience.keys[0]), "_rate")
    actual = column(experience, by)
    if not actual.sum() > 0:
        raise InputError(
            f"there are no {by if by == 'claims' else 'amounts'} in "
            f"{experience.basis.exposure:,.1f} policy-years to hold the prediction against"
        )
    return Prediction(
        experience=experience,
        by=by,
        rate=rate,
        exposure=column(experience, "exposure"),
        actual=actual,
    )


@dataclass(frozen=True, kw_only=True)
class Bands:
    """Cells cut into bands of rising score.

    Attributes
    ----------
    codes : array of int, one per cell
        Band from 0, without gaps.
    lowest, highest : array, one per band
        Scores at its ends.
    """

    codes: Codes
    lowest: Floats
    highest: Floats

    @property
    def names(self) -> list[str]:
        """Bands as a reader numbers them, from 1."""
        return [str(i + 1) for i in range(len(self.lowest))]


def quantile_bands(score: Floats, weight: Floats, count: int) -> Bands:
    """Cut cells into bands of equal weight by their score; equal scores stay together.

    A cell is never shared: it goes to the band that holds the middle of its weight (with its ties),
    so claims stay whole numbers and a band is a list of cells. Bands that stay empty are left out.

    Parameters
    ----------
    score, weight : array
        One per cell; weights above zero.
    count : int
        Bands wanted, two or more.

    Raises
    ------
    InputError
        For fewer than two bands wanted, and where only one comes of it.

    Examples
    --------
    >>> quantile_bands(np.array([0.3, 0.1, 0.2, 0.2]), np.ones(4), 2).codes.tolist()
    [1, 0, 1, 1]
    """
    if count < 2:
        raise InputError(f"two bands or more are needed, got {count}")
    coarse, begins = _steps(score)
    held = np.bincount(coarse, weights=weight)
    until = np.cumsum(held)
    target = until[-1] * np.arange(1, count) / count
    # only the cells of the coarse steps that hold a border need to be ranked
    split = np.zeros(len(held), dtype=bool)
    split[np.minimum(np.searchsorted(until, target), len(held) - 1)] = True
    near = np.flatnonzero(split[coarse])
    near = near[np.argsort(score[near])]
    ranked, step = score[near], coarse[near]
    within = np.cumsum(weight[near])
    opens = np.flatnonzero(np.diff(step, prepend=-1))
    skipped = (until - held)[step[opens]] - np.where(opens > 0, within[opens - 1], 0.0)
    up_to = within + np.repeat(skipped, np.diff(opens, append=len(near)))
    value = ranked[np.minimum(np.searchsorted(up_to, target), len(ranked) - 1)]
    first, after = np.searchsorted(ranked, value, "left"), np.searchsorted(ranked, value, "right")
    middle = (up_to[first] - weight[near[first]] + up_to[after - 1]) / 2
    # the tied cells at a border lie in the lower band where their middle does
    border = np.unique(np.where(middle < target, np.nextafter(value, np.inf), value))
    codes = np.searchsorted(border, begins, side="right")[coarse]
    codes[near] = np.searchsorted(border, ranked, side="right")
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, codes, score)
    np.maximum.at(high, codes, score)
    some = np.flatnonzero(low <= high)
    if len(some) < 2:
        raise InputError(
            "all predictions are the same, or one cell holds nearly all exposure: there is one band",
            do="collect the experience by more factors",
        )
    if len(some) < count:
        codes = np.searchsorted(some, codes)
    return Bands(codes=codes, lowest=low[some], highest=high[some])


def _steps(score: Floats) -> tuple[Codes, Floats]:
    """Coarse steps of rising score, and where each begins: a positive double's bits rise with it."""
    bits = score.view(np.int64)
    least, span = bits.min(), int(np.ptp(bits))
    wide = max(span.bit_length() - STEPS, 0)
    begins = (np.arange((span >> wide) + 1, dtype=np.int64) << wide) + least
    return (bits - least) >> wide, begins.view(np.float64)


def told_apart(score: Floats) -> Floats:
    """Round to twelve figures: the last bits of a division must not part cells that are equal.

    Examples
    --------
    >>> ones = told_apart(np.array([1.0 + 2e-16, 1.0, 1.0 - 1e-16]))
    >>> len(np.unique(ones))
    1
    """
    bits = score.view(np.int64) + (1 << 11)
    bits >>= 12
    bits <<= 12
    rounded: Floats = bits.view(np.float64)
    return rounded
