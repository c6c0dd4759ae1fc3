"""Who becomes disabled, who recovers and who dies, by sex, age and time since onset, as monthly chances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.care.intensity import checked_intensities
from pricing.care.number import is_number
from pricing.care.population import OLDEST, deaths_of
from pricing.data.rates import RateTable, rate_table
from pricing.data.transitions import disability_rates
from pricing.errors import InputError, nearest
from pricing.multistate.exponential import exponentials

__all__ = ["MOVES", "Morbidity", "china_trend", "morbidity"]

Floats = NDArray[np.float64]
MOVES = ("inception", "recovery", "mortality_healthy", "mortality_disabled")
_STATES = {
    ("healthy", "disabled"): 0,
    ("disabled", "healthy"): 1,
    ("healthy", "dead"): 2,
    ("disabled", "dead"): 3,
}
FROM = 65


@dataclass(frozen=True, kw_only=True)
class Morbidity:
    """Intensities per year: 4 moves × 2 sexes × ages 0 to 105, with duration and trend.

    Attributes
    ----------
    rates : array, 4 × 2 × 106
        In the order of :data:`MOVES`.
    duration_months : tuple of int
        Months since onset at which a new multiple of recovery and disabled mortality starts, from 0.
    recovery_by_duration, mortality_by_duration : tuple of float
        The multiples, one per start.
    trend : mapping of str to float
        Yearly change of the logarithm of a move's intensity.
    source : str
    notes : tuple of str

    Raises
    ------
    InputError
        For multiples that do not fit their starts or are below 0, and unknown moves.
    """

    rates: Floats
    duration_months: tuple[int, ...] = (0,)
    recovery_by_duration: tuple[float, ...] = (1.0,)
    mortality_by_duration: tuple[float, ...] = (1.0,)
    trend: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        starts = self.duration_months
        faults = [f"no move {m!r}{nearest(m, MOVES)}" for m in self.trend if m not in MOVES]
        faults += [f"the trend of {m} is {v}" for m, v in self.trend.items() if not np.isfinite(v)]
        if not starts or starts[0] != 0 or list(starts) != sorted(set(starts)):
            faults.append(f"the starts of durations must rise from 0, got {list(starts)}")
        for name in ("recovery_by_duration", "mortality_by_duration"):
            given = np.asarray(getattr(self, name), dtype=float)
            if len(given) != len(starts):
                faults.append(f"{name} has {len(given)} multiples for {len(starts)} durations")
            elif not np.isfinite(given).all() or (given < 0).any():
                faults.append(f"{name} must be 0 or more")
        if self.rates.shape != (4, 2, OLDEST + 1):
            faults.append(f"rates of shape {self.rates.shape}, not (4, 2, {OLDEST + 1})")
        elif not np.isfinite(self.rates).all() or (self.rates < 0).any():
            faults.append("rates must be finite and 0 or more")
        if faults:
            raise InputError("intensities that cannot be used", faults=faults)

    def stressed(self, **factors: float) -> Morbidity:
        """Multiply moves: ``stressed(inception=1.2)``.

        Examples
        --------
        >>> base = morbidity()
        >>> round(float(base.stressed(recovery=0.8).rates[1, 0, 70] / base.rates[1, 0, 70]), 12)
        0.8
        """
        wrong = [m for m in factors if m not in MOVES]
        if wrong:
            raise InputError(f"no move {wrong[0]!r}{nearest(wrong[0], MOVES)}")
        rates = self.rates.copy()
        for move, factor in factors.items():
            if not (is_number(factor) and factor >= 0):
                raise InputError(f"the factor of {move} must be 0 or more, got {factor!r}")
            rates[MOVES.index(move)] *= factor
        return replace(self, rates=rates)

    def by_month(self, kept: int) -> tuple[Floats, NDArray[np.intp]]:
        """Multiples of recovery and disabled mortality, and which of them each month since onset takes.

        Who has been disabled for m whole months and up to one more at the start of a month spends half
        of it, on average, on either side of m + 1: the mean of both multiples. The last holds on.
        """
        at = np.searchsorted(self.duration_months, np.arange(kept + 1), side="right") - 1
        given = np.array([self.recovery_by_duration, self.mortality_by_duration], dtype=float).T[at]
        multiples, place = np.unique((given[:-1] + given[1:]) / 2, axis=0, return_inverse=True)
        return multiples, np.asarray(place, dtype=np.intp).reshape(-1)

    def months(self, year: int = 0, multiples: Floats | None = None) -> Floats:
        """Chances over a month in a year of the projection, exact where rates are level over it.

        Parameters
        ----------
        year : int
            Of the projection, from 0; the trend is compounded to it.
        multiples : array, n × 2, optional
            Of :meth:`by_month`; those of a new stay where left out.

        Returns
        -------
        array, n × 2 × 106 × 4 × 4
            States: healthy, disabled since before the month, disabled since the month, dead. A stay
            that began in the month has the multiples of duration 0.
        """
        grown = np.exp(np.array([self.trend.get(m, 0.0) for m in MOVES]) * year)
        onset, back, dead, worse = self.rates * grown[:, None, None]
        r0, m0 = self.recovery_by_duration[0], self.mortality_by_duration[0]
        r, m = (np.array([[r0, m0]]) if multiples is None else multiples).T[:, :, None, None]
        q = np.zeros((len(r), *onset.shape, 4, 4))
        q[..., 0, 2], q[..., 0, 3] = onset, dead
        q[..., 1, 0], q[..., 1, 3] = back * r, worse * m
        q[..., 2, 0], q[..., 2, 3] = back * r0, worse * m0
        i = np.arange(4)
        q[..., i, i] = -q.sum(axis=-1)
        flat = q.reshape(-1, 4, 4)
        chances = np.empty_like(flat)
        ill = flat[:, 0, 2] > 0
        chances[ill] = exponentials(flat[ill], np.full(int(ill.sum()), 1 / 12))
        chances[~ill] = _without_onset(flat[~ill])
        return chances.reshape(q.shape)


def morbidity(
    study: str | pl.DataFrame = "clhls",
    *,
    table: RateTable | None = None,
    year: int | None = None,
    trend: bool = False,
    deaths: Literal["study", "table"] = "study",
    duration_months: tuple[int, ...] = (0,),
    recovery_by_duration: tuple[float, ...] = (1.0,),
    mortality_by_duration: tuple[float, ...] = (1.0,),
    source: str = "",
) -> Morbidity:
    """Put together intensities of onset, recovery and death at ages 0 to 105.

    Parameters
    ----------
    study : {"clhls", "hrs"} or polars.DataFrame
        A published three-state model, or own rates: sex, age, from_state, to_state (healthy, disabled,
        dead) and rate per year, every age from the first one, 1 or more, without a gap; the last holds on.
    table : RateTable, optional
        Deaths below the first age, where nobody becomes disabled; CL3 of 2025 where left out.
    year : int, optional
        Calendar year of the rates, by the model with trend; the static model where left out.
    trend : bool
        Let the trend go on after ``year``; a year must be given.
    deaths : {"study", "table"}
        Deaths as the study has them, or scaled at each age so that healthy and disabled together die
        as the life table says, their ratio as the study has it.
    duration_months, recovery_by_duration, mortality_by_duration : tuple
        How recovery and mortality depend on months since onset: none where left out.

    Raises
    ------
    InputError
        For tables with gaps, states or sexes that lack, trend without a year.

    Examples
    --------
    >>> found = morbidity()
    >>> found.rates[:, 1, 65].round(5).tolist()  # men of 65
    [0.00811, 0.10875, 0.02491, 0.10808]
    """
    if deaths not in ("study", "table"):
        raise InputError(f"deaths must be study or table, not {deaths!r}")
    if trend and (year is None or study != "clhls"):
        raise InputError(
            "a trend needs a year and study='clhls'", do="give year=2026, or leave trend out"
        )
    if year is not None and not isinstance(year, int):
        raise InputError(f"the year must be a calendar year, got {year!r}")
    if not isinstance(study, str | pl.DataFrame):
        raise InputError(f"the study must be clhls, hrs or a table of rates, got {study!r}")
    known = rate_table("cn_life_2025", "cl3") if table is None else table
    if isinstance(study, str):
        if study not in ("clhls", "hrs"):
            raise InputError(f"no study {study!r}{nearest(study, ('clhls', 'hrs'))}")
        model = "static" if year is None else "trend"
        frame = disability_rates(study, range(FROM, OLDEST + 1), model=model, year=year)
        said = f"{study}, {'static' if year is None else f'trend at {year}'}"
    else:
        frame, said = study, "own rates"
    rates, first = _laid_out(checked_intensities(frame, name=source or said), source or said)
    force = -np.log1p(-np.minimum(deaths_of(known), 0.9999))
    below = np.arange(OLDEST + 1) < first
    rates[2][:, below] = rates[3][:, below] = force[:, below]
    if deaths == "table":
        rates = _as_the_table(rates, force, first)
    notes = (
        f"intensities: {said}; below age {first} nobody becomes disabled and deaths are those of {known.name}",
        "deaths of the ages above: " + (known.name if deaths == "table" else "those of the study"),
        "exact chances over each month from intensities level over it (matrix exponentials)",
    )
    return Morbidity(
        rates=rates, duration_months=duration_months, recovery_by_duration=recovery_by_duration,
        mortality_by_duration=mortality_by_duration, trend=china_trend() if trend else {},
        source=source or said, notes=notes,
    )  # fmt: skip


def china_trend() -> Mapping[str, float]:
    """Yearly change of the logarithm of each intensity, China, 1998-2014 (Fu, Sherris and Xu 2021).

    Examples
    --------
    >>> round(china_trend()["inception"], 5)
    -0.05349
    """
    now, then = (disability_rates("clhls", [80], model="trend", year=y) for y in (2027, 2026))
    both = now.join(then, on=["sex", "age", "from_state", "to_state"], suffix="_before")
    moves = both.filter(pl.col("sex").cast(pl.String) == "male").iter_rows(named=True)
    return {
        MOVES[_STATES[row["from_state"], row["to_state"]]]: float(
            np.log(row["rate"] / row["rate_before"])
        )
        for row in moves
    }


def _laid_out(frame: pl.DataFrame, name: str) -> tuple[Floats, int]:
    """Rates as an array, and the first age they know; the last age holds on."""
    if "sex" not in frame.columns:
        raise InputError("the rates need a sex", where=name)
    keys = {(s, *move) for s in ("female", "male") for move in _STATES}
    text = pl.col("sex", "from_state", "to_state").cast(pl.String)
    found = set(frame.select(text).unique().rows())
    if found != keys:
        lacking, other = sorted(keys - found), sorted(found - keys)
        faults = [f"lacks {', '.join(k)}" for k in lacking] + [
            f"knows no {', '.join(k)}" for k in other
        ]
        raise InputError(
            "the moves must be those of healthy, disabled and dead", where=name, faults=faults
        )
    first, last = int(frame["age"].min()), int(frame["age"].max())  # type: ignore[arg-type]
    if not 1 <= first <= OLDEST:
        raise InputError(f"the first age must lie in 1 to {OLDEST}, got {first}", where=name)
    rates = np.zeros((4, 2, max(OLDEST, last) + 1))
    move = pl.concat_str("from_state", "to_state", separator=" ").replace_strict(
        {" ".join(pair): place for pair, place in _STATES.items()}, return_dtype=pl.Int64
    )
    at = frame.with_columns(text).select(
        move=move, sex=(pl.col("sex") == "male").cast(pl.Int64), age=pl.col("age").cast(pl.Int64)
    )
    place = tuple(at[name].to_numpy() for name in ("move", "sex", "age"))
    rates[place] = frame["rate"].cast(pl.Float64).to_numpy()
    rates[:, :, last + 1 :] = rates[:, :, last : last + 1]
    return rates[:, :, : OLDEST + 1], first


def _as_the_table(rates: Floats, force: Floats, first: int) -> Floats:
    """Scale both deaths, age by age along a cohort, so that together they are the life table's."""
    found, ill = rates.copy(), np.zeros(2)
    for age in range(first, OLDEST + 1):
        ratio = rates[3, :, age] / rates[2, :, age]
        found[2, :, age] = force[:, age] / (1 - ill + ill * ratio)
        found[3, :, age] = found[2, :, age] * ratio
        q = np.zeros((2, 3, 3))
        q[:, 0, 1], q[:, 1, 0] = found[0, :, age], found[1, :, age]
        q[:, 0, 2], q[:, 1, 2] = found[2, :, age], found[3, :, age]
        q[:, range(3), range(3)] = -q.sum(axis=-1)
        p = exponentials(q, np.ones(2))
        lives = np.stack([1 - ill, ill], axis=1)[:, None, :] @ p[:, :2, :2]
        ill = lives[:, 0, 1] / lives[:, 0].sum(axis=-1)
    return found


def _without_onset(q: Floats) -> Floats:
    """Chances where the healthy cannot become disabled: one may only leave each state."""
    p = np.zeros_like(q)
    h, (a, b, c) = 1 / 12, (-q[:, i, i] for i in range(3))
    p[:, 0, 0], p[:, 3, 3] = np.exp(-a * h), 1.0
    for state, out in ((1, b), (2, c)):
        p[:, state, state] = np.exp(-out * h)
        gap = out - a
        close = np.abs(gap) < 1e-9
        slope = np.where(close, h, -np.expm1(-gap * h) / np.where(close, 1.0, gap))
        p[:, state, 0] = q[:, state, 0] * np.exp(-a * h) * slope
    p[:, :3, 3] = 1 - p[:, :3, :3].sum(axis=-1)
    return p
