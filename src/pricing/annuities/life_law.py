"""Who is alive: a table of yearly rates or a law of mortality, as chances of survival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from pricing.data.rates import RateTable
from pricing.errors import InputError, nearest

__all__ = ["STANDARD_ULTIMATE", "Fraction", "MakehamLaw", "hold_fraction", "survival"]

Floats = NDArray[np.float64]
Fraction = Literal["uniform", "constant_force", "exact"]
_LAST = 150


@dataclass(frozen=True)
class MakehamLaw:
    """Makeham's law: force of mortality a + b cˣ; Gompertz's where a is 0.

    Attributes
    ----------
    a, b : float
        Per year, 0 or more, not both 0.
    c : float
        Above 0; growth of the second part per year of age.

    Raises
    ------
    InputError
        For parameters outside these.

    Notes
    -----
    ₜpₓ = exp(−at − b cˣ (cᵗ − 1) / ln c) (Makeham 1860).

    Examples
    --------
    >>> law = MakehamLaw(0.00022, 2.7e-6, 1.124)  # the standard ultimate model
    >>> float(law.force(60.0).round(6)), float(law.survive(60.0, 10.0).round(6))
    (0.003222, 0.942549)
    """

    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        ok = np.isfinite([self.a, self.b, self.c]).all() and self.a >= 0 and self.b >= 0
        if not (ok and self.c > 0 and self.a + self.b > 0):
            raise InputError(f"no law of mortality: a {self.a}, b {self.b}, c {self.c}")

    def force(self, age: ArrayLike) -> Floats:
        """Force of mortality at ages."""
        return np.asarray(self.a + self.b * self.c ** np.asarray(age, dtype=float))

    def survive(self, age: float, years: ArrayLike) -> Floats:
        """Chance of living some years from an age."""
        t = np.asarray(years, dtype=float)
        grown = t if self.c == 1 else np.expm1(t * np.log(self.c)) / np.log(self.c)
        return np.asarray(np.exp(-self.a * t - self.b * self.c**age * grown))


#: Dickson, Hardy and Waters (2013), Actuarial Mathematics for Life Contingent Risks, 2nd ed.,
#: chapter 4: the Standard Ultimate Survival Model.
STANDARD_ULTIMATE = MakehamLaw(0.00022, 2.7e-6, 1.124)


def survival(
    mortality: RateTable | MakehamLaw,
    age: int,
    years: int | None = None,
    *,
    per_year: int = 1,
    fraction: Fraction = "uniform",
) -> Floats:
    """Chance of living from an age to each part of a year on.

    Parameters
    ----------
    mortality : RateTable or MakehamLaw
        Yearly probabilities of death by age alone, or a law.
    age : int
        Attained age, whole years.
    years : int, optional
        How far; to the end of the table, or to 150 under a law, where left out.
    per_year : int
        Parts of a year.
    fraction : {"uniform", "constant_force", "exact"}
        How deaths fall within a year: evenly, at one force, or as the law has it.

    Returns
    -------
    numpy.ndarray, shape (years × per_year + 1,)

    Raises
    ------
    InputError
        For a table by sex or duration or of something else, ages outside it, a table that is not
        closed where no term is given, and "exact" of a table, which has no law within the year.

    Examples
    --------
    >>> survival(STANDARD_ULTIMATE, 60, 2).round(6).tolist()
    [1.0, 0.996602, 0.992823]
    """
    hold_fraction(fraction)
    if per_year < 1 or per_year != int(per_year):
        raise InputError(f"{per_year} parts of a year")
    if age != int(age) or age < 0:
        raise InputError(f"the age must be whole years, got {age}")
    if years is not None and (years != int(years) or years < 1):
        raise InputError(f"a term of {years} years; it must be whole years from 1")
    if isinstance(mortality, MakehamLaw):
        span = _LAST - int(age) if years is None else int(years)
        if span < 1:
            raise InputError(f"age {age} is beyond {_LAST}, where laws end here")
        left = float(mortality.survive(age, span))
        if years is None and left > 1e-10:
            raise InputError(
                f"the law leaves {left:.3g} of the lives of {age} alive at {_LAST}",
                do="give a term, or a law that grows with age",
            )
        if fraction == "exact":
            return mortality.survive(age, np.arange(span * per_year + 1) / per_year)
        whole = mortality.survive(age, np.arange(span + 1))
        safe = np.where(whole[:-1] > 0, whole[:-1], 1.0)
        return _within(whole, 1.0 - whole[1:] / safe, per_year, fraction)
    if fraction == "exact":
        raise InputError(
            "a table has no law within the year", do='take fraction="uniform" or a MakehamLaw'
        )
    rates = _deaths(mortality, int(age), years)
    return _within(np.concatenate([[1.0], np.cumprod(1 - rates)]), rates, per_year, fraction)


def hold_fraction(fraction: str) -> None:
    """Refuse a fraction-of-year assumption that is not offered.

    Examples
    --------
    >>> hold_fraction("uniform")
    """
    if fraction not in get_args(Fraction):
        raise InputError(f"no assumption {fraction!r}{nearest(str(fraction), get_args(Fraction))}")


def _deaths(table: RateTable, age: int, years: int | None) -> Floats:
    if table.keys != ("age",) or table.measure != "rate":
        raise InputError(
            f"expects probabilities of death by age alone, got {table.measure}s by "
            f"{', '.join(table.keys)}",
            where=table.name,
            do='keep one sex: table.only("female")',
        )
    first, last = int(table.rates["age"][0]), int(table.rates["age"][-1])
    until = last if years is None else age + int(years) - 1
    if not first <= age or until > last or until < age:
        raise InputError(
            f"runs from age {first} to {last}; asked for {age} to {until}", where=table.name
        )
    rates = table.rates.filter(pl.col("age").is_between(age, until))["rate"].to_numpy()
    if years is None and rates[-1] != 1:
        raise InputError(
            f"must have the rate 1 at its last age, {last}; it is {rates[-1]:g}",
            where=table.name,
            do="give a term, or close the table at the age where everyone is taken to die",
        )
    return np.asarray(rates, dtype=float)


def _within(whole: Floats, rates: Floats, per_year: int, fraction: Fraction) -> Floats:
    part = np.arange(per_year) / per_year
    even = fraction == "uniform"
    inside = 1 - np.outer(rates, part) if even else (1 - rates)[:, None] ** part
    return np.append((whole[:-1, None] * inside).ravel(), whole[-1])
