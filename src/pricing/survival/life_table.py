"""Life table: q, p, l, d, L and e by age or duration, from exposure and deaths by cell.

Central exposure E: m = D/E and q = m/(1 + (1 − a)m), a the share of the year lived by those who die
in it (½), or q = 1 − exp(−m) under a constant force. Initial exposure: q = D/E. Sources: Greville
(1943); Chiang, The Life Table and its Applications (1984), chapters 6 and 8, for the variance of e;
Wilson (1927) and the chi-square limits of Garwood (1936) for those of q.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtri

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns
from pricing.result.series import band_figure
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say
from pricing.survival.interval import normal_quantile

__all__ = ["Exposure", "LifeTable", "life_table"]

Exposure = Literal["central", "initial"]
Within = Literal["uniform", "constant"]
Floats = npt.NDArray[np.float64]


class LifeTable(Result):
    """A life table of single years.

    ``.table``: the age or duration, exposure, deaths, q_x with lower and upper, p_x, l_x, d_x, years_x
    (lived in the year by the l_x), e_x (years to come) with e_x_std_error, e_x_lower, e_x_upper.
    """

    kind = "life_table"

    def finding(self, lang: Language = "en") -> str:
        """Say what a life at the first age may expect."""
        facts = dict(self.facts)
        key = "life_table_open" if facts["open"] else "life_table_ends"
        facts["open_text"] = say(f"sentence.{key}", lang, **facts)
        facts["kind_name"] = level_label(facts["exposure_kind"], lang)
        return say("finding.life_table", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw q on a logarithmic axis in its band over bars of exposure."""
        seen = self.table[:-1] if self.facts["open"] else self.table  # at the end all die
        seen = seen.filter(pl.col("lower") > 0)
        figure = band_figure(
            seen[self.details["by"]].cast(pl.Float64).to_list(),
            seen["q_x"].to_list(),
            seen["lower"].to_list(),
            seen["upper"].to_list(),
            points=None,
            points_name="q_x",
            name="q_x",
            factor=self.details["by"],
            lang=lang,
            bars=seen["exposure"].to_list(),
        )
        return figure.update_layout(yaxis={"type": "log"})


def life_table(
    experience: Experience,
    by: str = "age",
    *,
    exposure: Exposure = "central",
    within: Within = "uniform",
    radix: float = 100_000.0,
    open_end: bool = True,
    level: float = 0.95,
) -> LifeTable:
    """Make a life table of deaths (or exits) and exposure by single year of age or duration.

    Parameters
    ----------
    experience : Experience
        Cells by ``by``, whole numbers; ``claims`` are the deaths.
    by : str
        Key of age or duration, single years without a gap.
    exposure : {"central", "initial"}
        Whether the exposure counts the time lived (a death ends it) or whole years to those who die.
    within : {"uniform", "constant"}
        Of central exposure: deaths even over the year, q = m/(1 + m/2), or a constant force,
        q = 1 − exp(−m).
    radix : float
        l at the first age.
    open_end : bool
        Close the table at its last age by the last rate: all l die there, living 1/m years each on
        average. Without, e counts the years within the table only.
    level : float
        Confidence level. Of q: from exact Poisson limits of the deaths (Garwood 1936) for central,
        Wilson's score interval for initial exposure. Of e: normal.

    Returns
    -------
    LifeTable
        ``.table``, ``.facts``: expectation at the first age with lower and upper.

    Raises
    ------
    InputError
        For a key that is no whole number, ages missing in between, more deaths than initial exposure,
        q above 1 before the end, and an open end without deaths.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": [60, 61, 62], "exposure": [95.0, 80.0, 60.0], "claims": [10, 20, 30]})
    >>> table = life_table(Experience.collect(rows, ["age"])).table
    >>> [round(q, 4) for q in table["q_x"]], round(table["e_x"][2], 2)
    ([0.1, 0.2222, 1.0], 2.0)
    """
    for what, of, all_of in (("exposure", exposure, Exposure), ("assumption", within, Within)):
        if of not in get_args(all_of):
            raise InputError(f"no {what} {of!r}{nearest(str(of), get_args(all_of))}")
    z = normal_quantile(level)
    if not radix > 0:
        raise InputError(f"the radix is above zero, got {radix}")
    cells = _years(experience, by)
    e, d = (cells[n].cast(pl.Float64).to_numpy() for n in ("exposure", "claims"))
    central = exposure == "central"
    q, low, high, variance = _rates(e, d, central, within, z, level)
    _require_rates(cells, by, q, d, e, central, open_end)
    rate = d[-1] / e[-1] if central else -np.log1p(-q[-1]) if q[-1] < 1 else np.inf
    last_mean = 0.5 if not 0 < rate < np.inf else 1 / rate
    if open_end:  # all die at the last age, at the last rate
        q[-1], low[-1], high[-1] = 1.0, 1.0, 1.0
    lives = radix * np.concatenate([[1.0], np.cumprod(1 - q[:-1])])
    dead = lives * q
    share = _lived(q, within if central else "uniform")  # years lived in the year by those who die
    lived = 1 - q * (1 - share)  # in the year, by one who begins it
    if open_end:
        lived[-1] = last_mean
    years = lives * lived
    # backwards, e_x = lived + p e_{x+1}: of one alive at x, also where nobody of the first age is
    expected = _backwards(lived, 1 - q)
    after = np.append(expected[1:], 0.0)
    # d e_x / d q_x = −(1 − a + e_{x+1}); a's own change with q is left out (Chiang)
    terms = (1 - share + after) ** 2 * variance
    if open_end:  # the last mean lifetime, 1/m, has variance 1/(m²D)
        terms[-1] = last_mean**2 / d[-1]
    error = np.sqrt(_backwards(terms, (1 - q) ** 2))
    table = pl.DataFrame({
        by: cells[by], "exposure": e, "deaths": d, "q_x": q, "lower": low, "upper": high,
        "p_x": 1 - q, "l_x": lives, "d_x": dead, "years_x": years, "e_x": expected,
        "e_x_std_error": error, "e_x_lower": np.maximum(expected - z * error, 0.0),
        "e_x_upper": expected + z * error,
    })  # fmt: skip
    ages = cells[by].to_list()
    facts = {
        "first": float(ages[0]), "closed": float(ages[-1]), "span": float(len(ages)),
        "expectation": float(expected[0]), "lower": float(table["e_x_lower"][0]),
        "upper": float(table["e_x_upper"][0]), "deaths": float(d.sum()), "level": level,
        "open": bool(open_end), "exposure_kind": exposure,
    }  # fmt: skip
    told = f"q from {exposure} exposure" + (
        "" if not central else ", deaths even over the year" if within == "uniform"
        else ", constant force within the year"
    )  # fmt: skip
    end = "closed at the last age by its rate" if open_end else "e counts the table's years only"
    notes = (*experience.basis.notes, f"{told}; {end}; e with Chiang's variance")
    return LifeTable(
        table=table,
        basis=replace(experience.basis, notes=notes),
        facts=facts,
        details={"by": by, "exposure": exposure, "within": within, "level": level, "radix": radix},
    )


def _years(experience: Experience, by: str) -> pl.DataFrame:
    """Cells by single year, none missing."""
    require_columns([by], experience.keys)
    cells = experience.by(by).cells
    kind = cells.schema[by]
    whole = kind.is_integer() or (
        kind.is_float() and bool((cells[by] == cells[by].round()).all())  # counts from elsewhere
    )
    if not whole:
        raise InputError(
            f"{by!r} is {kind}, not whole years", do="collect by single year, without bands"
        )
    cells = cells.with_columns(pl.col(by).cast(pl.Int64)).sort(by)
    steps = cells[by].diff().drop_nulls()
    if (steps != 1).any():
        gaps = cells.filter(pl.col(by).diff().shift(-1) > 1)[by].head(5).to_list()
        raise InputError(
            f"years without exposure after {', '.join(map(str, gaps))}",
            do="take a range of years without a gap: experience.where(...)",
        )
    return cells


def _rates(
    e: Floats, d: Floats, central: bool, within: Within, z: float, level: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """q, its limits and its variance."""
    if not central:
        q = d / e
        middle, n = (d + z * z / 2) / (e + z * z), e + z * z
        inside = np.maximum(d * (e - d) / e + z * z / 4, 0.0)
        reach = z * np.sqrt(inside) / n
        low, high = np.where(d > 0, middle - reach, 0.0), np.where(d < e, middle + reach, 1.0)
        return q, low, high, q * (1 - q) / e
    tail = (1 - level) / 2
    with np.errstate(divide="ignore"):
        below = np.where(d > 0, chdtri(2 * np.maximum(d, 1e-12), 1 - tail) / 2, 0.0)
    above = chdtri(2 * (d + 1), tail) / 2

    def chance(m: Floats) -> Floats:
        found: Floats = m / (1 + m / 2) if within == "uniform" else -np.expm1(-m)
        return found

    q = chance(d / e)
    slope = 1 / (1 + d / e / 2) ** 2 if within == "uniform" else np.exp(-d / e)
    limits = [np.minimum(chance(x / e), 1.0) for x in (below, above)]
    return q, limits[0], limits[1], slope**2 * d / e**2


def _backwards(own: Floats, kept: Floats) -> Floats:
    """x_n = own_n + kept_n · x_{n+1}, the last first; each age rests on the next."""
    found = np.append(own, 0.0)
    for n in range(len(own) - 1, -1, -1):
        found[n] += kept[n] * found[n + 1]
    return np.asarray(found[:-1])


def _lived(q: Floats, within: Within) -> Floats:
    """Years lived in the year by those who die in it: ½, or 1/m − p/q under a constant force."""
    if within == "uniform":
        return np.full_like(q, 0.5)
    inside = (q > 1e-8) & (q < 1)
    safe = np.where(inside, q, 0.5)
    return np.where(inside, -1 / np.log1p(-safe) - (1 - safe) / safe, 0.5)


def _require_rates(
    cells: pl.DataFrame, by: str, q: Floats, d: Floats, e: Floats, central: bool, open_end: bool
) -> None:
    ages = cells[by].to_numpy()
    before = slice(None, -1) if open_end else slice(None)
    high = ages[before][q[before] > 1]
    faults = [f"q is above 1 at {age}" for age in high[:5]]
    if not central:
        faults += [f"more deaths than exposure at {age}" for age in ages[d > e][:5]]
    if open_end and d[-1] <= 0:
        faults.append(f"no death at {ages[-1]}, the open end")
    if faults:
        raise InputError(
            "a life table cannot be made",
            faults=list(dict.fromkeys(faults)),
            do="join thin years, leave the last ones out (experience.where), or open_end=False",
        )
