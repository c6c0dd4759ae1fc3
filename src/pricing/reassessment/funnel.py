"""Funnel: which providers or assessors stand out by more than chance, given how many cases they have."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.stats import binom, false_discovery_control, norm, poisson

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import Floats, numbers, require_rows_there, require_settings
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Funnel", "Spread", "control_limit", "funnel", "overdispersion"]

Spread = Literal["additive", "multiplicative", "none"]
PRINTED = 15  # rows on a page; all are in the workbook
VERDICTS = ("few", "in_control", "high", "low")


class Funnel(Result):
    """Providers (or assessors) against control limits.

    ``.table``: unit, seen (visits or cases), events_seen, expected_number, share_seen, target, lower_limit,
    upper_limit (exact, of chance alone), z (standardised), z_adjusted (for over-dispersion), p_two,
    q_two (Benjamini and Hochberg 1995), verdict (few, in_control, high, low).
    ``.frames["limits"]``: the funnel's lines by number seen, where all have one target.
    """

    kind = "funnel"

    def finding(self, lang: Language = "en") -> str:
        """Say how many stand out, of how many, and how dispersed they are."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the units that lie furthest out, as many as a page holds."""
        del lang
        furthest = pl.col("z_adjusted").abs()
        judged = self.table.filter(pl.col("verdict").cast(pl.String) != "few")
        return judged.sort(furthest, descending=True, maintain_order=True).head(PRINTED)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw shares (or ratios) against numbers seen, with exact limits and the verdicts marked."""
        table, ratio = self.table, self.facts["by_expected"]
        x_name, y_name = ("expected_number", "ratio_seen") if ratio else ("seen", "share_seen")
        figure = go.Figure(layout={"template": "pricing", "hovermode": "closest"})
        lines = self.frames["limits"]
        for k, (name, dash) in enumerate((("limit_95", "dot"), ("limit_998", "dash"), ("limit_adjusted", "solid"))):  # fmt: skip
            for end in ("lower", "upper"):
                figure.add_scatter(
                    x=lines["at"].to_list(), y=lines[f"{name}_{end}"].to_list(), mode="lines",
                    name=label(name, lang), showlegend=end == "lower", legendgroup=name,
                    hoverinfo="skip", line={"dash": dash, "width": 1.5, "color": COLOURS["line" if k < 2 else "third"]},
                )  # fmt: skip
        marks = {
            "few": (COLOURS["bars"], "circle-open"),
            "in_control": (COLOURS["estimate"], "circle"),
            "high": (COLOURS["second"], "diamond"),
            "low": (COLOURS["third"], "square"),
        }
        for verdict, (colour, symbol) in marks.items():
            own = table.filter(pl.col("verdict").cast(pl.String) == verdict)
            if own.height:
                figure.add_scatter(
                    x=own[x_name].to_list(), y=own[y_name].to_list(), mode="markers",
                    text=own["unit"].to_list(), name=level_label(verdict, lang),
                    marker={"color": colour, "symbol": symbol, "size": 8, "line": {"width": 1, "color": COLOURS["line"]}},
                )  # fmt: skip
        figure.add_hline(y=self.facts["target"], line={"color": COLOURS["text"], "width": 1})
        half = float(lines["limit_998_upper"].median() or 0.0)  # type: ignore[arg-type]
        top = max(float(table[y_name].max() or 0.0), self.facts["target"], half) * 1.15  # type: ignore[arg-type]
        return figure.update_layout(
            xaxis={"title": {"text": label(x_name, lang)}, "rangemode": "tozero"},
            yaxis={"title": {"text": label(y_name, lang)}, "tickformat": None if ratio else ".0%", "range": [0, top]},
        )  # fmt: skip


def funnel(
    rows: pl.DataFrame,
    *,
    by: str = "provider",
    event: str = "ineligible",
    expected: str | None = None,
    spread: Spread = "additive",
    least: int = 10,
    limit: float = 0.998,
    discovery: float = 0.05,
    winsorise: float = 0.10,
    source: str = "",
) -> Funnel:
    """Hold the rate of each provider or assessor against what chance alone would give it.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per visit (or case): the unit, and the event, 0 or 1 (found ineligible; highest grade
        given).
    by : str
        Column of the unit.
    event : str
        Column of the event.
    expected : str, optional
        Column of each row's probability of the event (a model's, without the unit in it): units are then
        held against their own mix by the ratio seen ÷ expected, with Poisson limits. Else all are held
        against the overall share, with binomial limits.
    spread : {"additive", "multiplicative", "none"}
        What more variation between units than chance explains becomes: a random effect of units, a
        factor on the variance, or nothing (chance alone).
    least : int
        Units with fewer rows are shown and never accused.
    limit : float
        Two-sided level of the outer limits.
    discovery : float
        Share of false accusations among the accused that is tolerated.
    winsorise : float
        Part of the z-scores at either end drawn in before dispersion is measured, so that the very
        outliers looked for do not hide behind it.
    source : str
        For the basis.

    Returns
    -------
    Funnel

    Raises
    ------
    InputError
        For events that are not 0 or 1, expected probabilities outside (0, 1], units without a name, or
        fewer than two units with rows enough.

    Notes
    -----
    Spiegelhalter (2005), Statistics in Medicine 24: exact limits by interpolation between whole
    numbers (:func:`control_limit`), z = (y/n − θ) ÷ √(θ(1 − θ)/n) or (O/E − 1) √E, φ = mean of the
    winsorised z², and for the random effect τ² = (Iφ − (I − 1)) ÷ (Σw − Σw² ÷ Σw), w = 1/s², added to
    s²; both only where Iφ > I − 1. A unit is accused where it is outside the adjusted limits at
    ``limit`` or its q-value is at most ``discovery`` after the adjustment, and outside the exact limits of chance
    too. Visits chosen by a score that knows the provider speak of the score as well: judge on the random
    share where it is large enough. What the exact test (binomial or Poisson, twice the smaller tail) says of chance alone is p_two; its
    normal score, over the spread added, is z_adjusted, from which q_two.

    Examples
    --------
    >>> rows = pl.DataFrame({"provider": ["甲"] * 40 + ["乙"] * 40 + ["丙"] * 40 + ["丁"] * 3,
    ...     "ineligible": [1] * 24 + [0] * 16 + [1] * 4 + [0] * 36 + [1] * 4 + [0] * 36 + [1] * 3})
    >>> found = funnel(rows, spread="none")
    >>> dict(found.table.select("unit", pl.col("verdict").cast(pl.String)).iter_rows())
    {'丁': 'few', '丙': 'in_control', '乙': 'in_control', '甲': 'high'}
    """
    if spread not in ("additive", "multiplicative", "none"):
        raise InputError(f"spread={spread!r} is not offered: additive, multiplicative or none")
    inner = ("limit", "discovery", "winsorise")
    require_settings({n: (0.0, 0.5 if n == "winsorise" else 0.999999) for n in inner}, ("limit", "discovery"), limit=limit, discovery=discovery, winsorise=winsorise)  # fmt: skip
    if not isinstance(least, int) or least < 1:
        raise InputError(f"least must be a whole number above 0, got {least!r}")
    require_rows_there(rows, "rows", [by, event, *([expected] if expected else [])])
    read = numbers(rows, "rows", {event: (0.0, 1.0), **({expected: (0.0, 1.0)} if expected else {})}, open_low=[expected] if expected else [])  # fmt: skip
    if not np.isin(read[event], (0.0, 1.0)).all():
        raise InputError(f"{event} must be 0 or 1", where="rows")
    if rows[by].null_count():
        raise InputError(f"{by} is empty in {rows[by].null_count():,} of {rows.height:,} rows", do="name the unit or leave the rows out")  # fmt: skip
    e = read[expected] if expected else np.full(rows.height, read[event].mean())
    table = (
        pl.DataFrame({"unit": rows[by].cast(pl.String), "y": read[event], "e": e})
        .group_by("unit", maintain_order=True)
        .agg(
            seen=pl.len().cast(pl.Int64), events_seen=pl.col("y").sum().cast(pl.Int64),
            expected_number=pl.col("e").sum(),
        )
        .sort("unit")
    )  # fmt: skip
    enough = (table["seen"] >= least).to_numpy()
    if enough.sum() < 2:
        raise InputError(
            f"{int(enough.sum())} of {table.height} units have {least} rows or more: there is nobody to compare with",
            do="join units, or take a smaller least",
        )
    n, y, m = (table[c].to_numpy().astype(np.float64) for c in ("seen", "events_seen", "expected_number"))  # fmt: skip
    ratio = expected is not None
    theta = 1.0 if ratio else float(y.sum() / n.sum())
    if not ratio and not 0 < theta < 1:
        raise InputError(f"{'all' if theta else 'no'} rows have the event: nobody stands out")
    square = 1 / m if ratio else theta * (1 - theta) / n  # variance of the indicator by chance
    shown = y / (m if ratio else n)
    z = (shown - theta) / np.sqrt(square)
    phi, tau = overdispersion(z[enough], square[enough], winsorise=winsorise)
    more = tau if spread == "additive" else 0.0
    times = max(phi, 1.0) if spread == "multiplicative" and tau > 0 else 1.0
    scale = np.sqrt(square / (times * square + more))
    p, score = _exact(y, n, m, theta, ratio)
    score = score * scale
    p_adjusted = 2 * norm.sf(np.abs(score))
    q = np.full(len(y), np.nan)
    q[enough] = false_discovery_control(p_adjusted[enough])
    low, high = (control_limit(m if ratio else n, theta, (1 + s * limit) / 2, poisson_law=ratio) for s in (-1, 1))  # fmt: skip
    outside = (shown > high) | (shown < low)
    reach = float(norm.ppf((1 + limit) / 2))
    stands = outside & ((np.abs(score) > reach) | (np.nan_to_num(q, nan=1.0) <= discovery))
    verdict = np.where(~enough, "few", np.where(~stands, "in_control", np.where(shown > theta, "high", "low")))  # fmt: skip
    table = table.with_columns(
        pl.Series("ratio_seen" if ratio else "share_seen", shown),
        target=pl.lit(theta), lower_limit=low, upper_limit=high, z=z, z_adjusted=score,
        p_two=p, q_two=pl.Series(q).fill_nan(None), verdict=pl.Series(verdict).cast(pl.Enum(VERDICTS)),
    )  # fmt: skip
    size = m if ratio else n
    at = np.unique(np.geomspace(max(1.0, float(size.min())), float(size.max()) * 1.05, 80).round(3 if ratio else 0)).astype(np.float64)  # fmt: skip
    own = 1 / at if ratio else theta * (1 - theta) / at
    wide = reach * np.sqrt(times * own + more)
    limits = pl.DataFrame({
        "at": at,
        **{f"limit_{said}_{end}": control_limit(at, theta, (1 + s * lv) / 2, poisson_law=ratio) for said, lv in (("95", 0.95), ("998", limit)) for end, s in (("lower", -1), ("upper", 1))},
        "limit_adjusted_lower": np.maximum(theta - wide, 0.0), "limit_adjusted_upper": theta + wide,
    })  # fmt: skip
    facts: dict[str, Any] = {
        "units": table.height, "few": int((~enough).sum()), "high": int((verdict == "high").sum()),
        "low": int((verdict == "low").sum()), "phi": phi, "tau": float(np.sqrt(tau)), "target": theta,
        "by_chance": int((outside & enough).sum()), "by_expected": ratio, "least": least,
        "rows": rows.height, "limit": limit, "discovery": discovery,
    }  # fmt: skip
    return Funnel(
        table=table,
        basis=Basis(source=source, rows=rows.height, currency="", fingerprint=fingerprint(table.write_csv(), str((spread, least, limit, discovery, winsorise))), notes=(f"{spread} over-dispersion, z winsorised by {winsorise:.0%}", "a unit outside the limits is to be looked at; it is no proof")),
        facts=facts,
        frames={"limits": limits},
    )  # fmt: skip


def overdispersion(z: Floats, square: Floats, *, winsorise: float = 0.10) -> tuple[float, float]:
    """Give φ and the variance τ² between units from their z-scores (Spiegelhalter 2005).

    Parameters
    ----------
    z : array
        Standardised by chance alone.
    square : array
        Variance of each unit's indicator by chance.
    winsorise : float
        Part of the scores at either end set to the score at that quantile.

    Examples
    --------
    >>> phi, tau = overdispersion(np.array([-3.0, -1.0, 0.0, 1.0, 3.0]), np.full(5, 0.01), winsorise=0.0)
    >>> phi, round(tau, 6)
    (4.0, 0.04)
    """
    low, high = np.quantile(z, [winsorise, 1 - winsorise])
    drawn = np.clip(z, low, high)
    number = len(z)
    phi = float((drawn**2).mean())
    w = 1 / square
    below = float(w.sum() - (w**2).sum() / w.sum())
    if number * phi <= number - 1 or below <= 0:
        return phi, 0.0
    return phi, (number * phi - (number - 1)) / below


def control_limit(
    number: Floats, target: float, quantile: float, *, poisson_law: bool = False
) -> Floats:
    """Give the exact limit of a share (binomial) or of seen ÷ expected (Poisson) at a quantile.

    Parameters
    ----------
    number : array
        Rows of each unit, or its expected number.
    target : float
        Share (or ratio) all are held against.
    quantile : float
        Such as 0.975 for the upper end of 95 %.
    poisson_law : bool
        Seen ÷ expected.

    Notes
    -----
    With r the least whole number whose distribution function reaches the quantile, the limit is
    (r − α)/n, α = (F(r) − quantile) ÷ (F(r) − F(r − 1)) (Spiegelhalter 2005, appendix A).

    Examples
    --------
    >>> control_limit(np.array([100.0]), 0.1, 0.975).round(4).tolist()
    [0.1577]
    """
    n = np.asarray(number, dtype=np.float64)
    law: Any = poisson(n * target) if poisson_law else binom(np.round(n), target)
    r = law.ppf(quantile)
    up, below = law.cdf(r), law.cdf(r - 1)
    share = (up - quantile) / np.maximum(up - below, 1e-300)
    return np.asarray(np.maximum(r - share, 0.0) / n)


def _exact(
    y: Floats, n: Floats, m: Floats, theta: float, ratio: bool
) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Two-sided exact p-value (twice the smaller tail), and the normal score of the mid-p tail."""
    law: Any = poisson(m) if ratio else binom(n, theta)
    over, under, here = law.sf(y - 1), law.cdf(y), law.pmf(y)
    p = np.minimum(2 * np.minimum(over, under), 1.0)
    low = under - here / 2 < over - here / 2
    tail = np.clip(np.where(low, under - here / 2, over - here / 2), 1e-300, 0.5)
    return p, np.asarray(np.where(low, norm.ppf(tail), norm.isf(tail)))
