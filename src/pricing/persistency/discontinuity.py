"""Discontinuity: the price response where the price jumps and the policyholders do not.

Just below and just above a cut-off of the health value (or just before and after the day a rate
change took effect) policies are alike but for the price. With r the distance to the cut-off,
local linear fits on each side with the triangular kernel K = (1 − |r|/h)₊ give the jump of
renewal Δy and of the ln price change Δx at r = 0; their ratio τ = Δy/Δx is the Wald estimate of a
fuzzy design (Hahn, Todd and Van der Klaauw 2001), τ/p₀ the elasticity and τ/(p₀(1 − p₀)) the
log-odds slope, p₀ the mean of both limits. Its variance is that of the jump of y − τx over Δx².

The bandwidth h is Imbens and Kalyanaraman's (2012, Optimal bandwidth choice for the regression
discontinuity estimator, section 4.2), of renewal. The interval is the robust bias-corrected one of
Calonico, Cattaneo and Titiunik (2014, Robust nonparametric confidence intervals), which with one
bandwidth for estimate and bias is the local quadratic's: centre and error are of that fit, so the
estimate need not lie in its middle. Density of r: :mod:`pricing.persistency.density`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.persistency.density import density_jump
from pricing.persistency.instrument import COLUMNS
from pricing.persistency.renewals import RenewalOffers
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say
from pricing.survival.interval import normal_quantile

__all__ = ["PriceDiscontinuity", "ik_bandwidth", "price_discontinuity"]

LEAST = 20  # offers, and twice the coefficients of distinct values, on each side
BINS = 20


class PriceDiscontinuity(Result):
    """Price response at a cut-off, with its jumps and the check of the density.

    ``.table``: the columns of :class:`pricing.persistency.instrument.InstrumentedPrice`, one row.
    ``.frames``: ``jumps`` (quantity, below, above, jump, std_error, offers_below, offers_above),
    ``bins`` (side, distance, offers, persistency, price_change: what the figure draws), ``fits``.
    """

    kind = "price_discontinuity"

    def finding(self, lang: Language = "en") -> str:
        """Say both jumps, the elasticity with its interval, and whether the density jumps."""
        density = (
            "sentence.density_jumps"
            if self.facts["density_p"] < 0.05
            else "sentence.density_smooth"
        )
        told = say(density, lang, p=self.facts["density_p"])
        named = {"running": label(self.facts["running"], lang), "density": told}
        return say("finding.price_discontinuity", lang, **{**self.facts, **named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw renewal and price change by distance to the cut-off, with the local fits."""
        bins, fits = self.frames["bins"], self.frames["fits"]
        figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
        for place, name in enumerate(("persistency", "price_change"), start=1):
            figure.add_scatter(
                x=bins["distance"].to_list(),
                y=bins[name].to_list(),
                mode="markers",
                name=label(name, lang),
                marker={"size": 8, "color": COLOURS["line"]},
                row=place,
                col=1,
            )
            for side in ("below", "above"):
                part = fits.filter(pl.col("side") == side)
                figure.add_scatter(
                    x=part["distance"].to_list(),
                    y=part[name].to_list(),
                    mode="lines",
                    name=label("local_fit", lang),
                    line={"width": 3, "color": COLOURS["estimate"]},
                    row=place,
                    col=1,
                )
            figure.add_vline(
                x=0.0, line={"dash": "dot", "color": COLOURS["line"]}, row=place, col=1
            )
            title = {"text": label(name, lang)}
            figure.update_yaxes(title=title, tickformat=".1%", row=place, col=1)
        figure.update_xaxes(title={"text": label("distance", lang)}, row=2, col=1)
        return figure.update_layout(
            template="pricing", height=560, hovermode="closest", showlegend=False
        )


@dataclass(frozen=True)
class _Cells:
    """Sums by distance to the cut-off: offers, Σy, Σx, Σx², Σxy."""

    r: Floats
    n: Floats
    y: Floats
    x: Floats
    xx: Floats
    xy: Floats

    def where(self, mask: np.ndarray) -> _Cells:
        return _Cells(*(getattr(self, f)[mask] for f in ("r", "n", "y", "x", "xx", "xy")))


def price_discontinuity(
    offers: RenewalOffers | pl.DataFrame,
    running: str,
    cutoff: float | date,
    *,
    price: str = "price_change",
    bandwidth: float | None = None,
    level: float = 0.95,
    least_f: float = 10.0,
) -> PriceDiscontinuity:
    """Estimate the price response from the jump of the price at a cut-off.

    Parameters
    ----------
    offers : RenewalOffers or polars.DataFrame
        Offers; a frame of their ``.rows`` filtered to those whom the cut-off concerns (the members
        of one health group, say), with ``renewed``, the price and the running variable.
    running : str
        What decides: the health value (points), or a date such as ``due`` (counted in days). Rows
        without it are left out and counted.
    cutoff : float or date
        Where the price jumps; a value at it lies above.
    price : str
        Column with the ln ratio of premiums.
    bandwidth : float, optional
        In units of the running variable; Imbens and Kalyanaraman's where left out.
    level : float
        Confidence level.
    least_f : float
        Least F of the price's jump.

    Raises
    ------
    InputError
        For columns that are not there or no numbers, prices not known, a cut-off outside the data,
        too few offers or values on a side, a price that does not jump, no lapse or no renewal.

    Notes
    -----
    The formulas stand in this module. Rows count as independent; where one
    policy is there in several years, the density check rejects too often. The answer is of policies at the
    cut-off, not of the book. Nothing else may jump within the bandwidth: a group that falls at
    one value and rises at another has two cut-offs, and the rows of the other are to be left out.

    Examples
    --------
    >>> rng = np.random.default_rng(2)
    >>> value = rng.uniform(300, 500, 20_000).round(1)
    >>> x = np.where(value >= 400, -0.05, 0.05)
    >>> y = (rng.random(20_000) < 1 / (1 + np.exp(-1.5 + 5 * x))).astype(int)
    >>> rows = pl.DataFrame({"health_value": value, "price_change": x, "renewed": y})
    >>> found = price_discontinuity(rows, "health_value", 400.0)
    >>> bool(found.table["slope_lower"][0] < -5 < found.table["slope_upper"][0])
    True
    """
    rows = offers.rows if isinstance(offers, RenewalOffers) else offers
    seen, left_out = _collected(rows, running, cutoff, price)
    normal_quantile(level)  # refuses what is no level
    below = seen.r < 0
    _require_both(seen, below, running, cutoff)
    told = isinstance(bandwidth, int | float | np.number)
    if bandwidth is not None and not (told and np.isfinite(bandwidth) and bandwidth > 0):
        raise InputError(f"the bandwidth is a number above 0, got {bandwidth!r}")
    chosen = "given" if bandwidth is not None else "Imbens–Kalyanaraman"
    h = float(bandwidth) if bandwidth is not None else _ik(seen)
    linear, square = _wald(seen, h, 1, running), _wald(seen, h, 2, running)
    f = (linear["jump_x"] / linear["error_x"]) ** 2 if linear["error_x"] > 0 else np.inf
    if not (f >= least_f and abs(linear["jump_x"]) > 1e-9):
        raise InputError(
            f"the price does not jump enough at {cutoff}: {linear['jump_x']:+.4f}, F {f:.2f}, "
            f"{least_f:g} is the least",
            do="check the cut-off, filter to the policies it concerns, or widen the bandwidth",
        )
    q = float(ndtri(0.5 + level / 2))
    p = (linear["y_below"] + linear["y_above"]) / 2
    if not 0 < p < 1:
        raise InputError(f"the renewal rate at the cut-off is {p:.3f}: it has no odds")
    low, high = square["tau"] - q * square["error"], square["tau"] + q * square["error"]
    odds = p * (1 - p)
    inside = np.abs(seen.r) < h
    used = float(seen.n[inside].sum())
    row = (
        *("discontinuity", used, p, linear["tau"] / p, square["error"] / p, low / p, high / p),
        *(linear["tau"] / odds, low / odds, high / odds),
    )
    table = pl.DataFrame([row], schema=list(COLUMNS), orient="row")
    density = density_jump(seen.r, seen.n)
    sides = [float(seen.n[inside & s].sum()) for s in (below, ~below)]
    jumps = pl.DataFrame({
        "quantity": ["persistency", price], "below": [linear["y_below"], linear["x_below"]],
        "above": [linear["y_above"], linear["x_above"]],
        "jump": [linear["jump_y"], linear["jump_x"]],
        "std_error": [linear["error_y"], linear["error_x"]],
        "offers_below": [sides[0]] * 2, "offers_above": [sides[1]] * 2,
    })  # fmt: skip
    facts = {
        "running": running, "cutoff": str(cutoff), "bandwidth": h, "level": level,
        "jump_renewal": linear["jump_y"], "jump_price": linear["jump_x"],
        "elasticity": linear["tau"] / p, "lower": low / p, "upper": high / p,
        "first_stage_f": float(min(f, 1e12)), "density_jump": density["jump"],
        "density_std_error": density["std_error"], "density_p": density["p_value"], "offers": int(used),
    }  # fmt: skip
    notes = [
        f"local linear, triangular kernel, bandwidth {h:.4g} ({chosen}); interval of Calonico, "
        "Cattaneo and Titiunik (2014); rows are taken as independent",
        f"density of {running} at the cut-off: ln ratio {density['jump']:+.3f}, "
        f"p {density['p_value']:.3f} (McCrary 2008)",
    ]
    if left_out:
        notes.append(f"{left_out:,} offers without {running} are left out")
    known = offers.account.basis if isinstance(offers, RenewalOffers) else None
    mark = fingerprint(
        *(v.tobytes() for v in (seen.r, seen.n, seen.y, seen.x)), str(cutoff), str(h)
    )
    basis = replace(
        known or Basis(),
        rows=int(seen.n.sum()),
        exposure=float(seen.n.sum()),
        claims=float(seen.y.sum()),
        fingerprint=mark,
        notes=(*(known.notes if known else ()), *notes),
    )
    frames = {"jumps": jumps, "bins": _bins(seen, h), "fits": _fits(linear, h)}
    return PriceDiscontinuity(table=table, basis=basis, facts=facts, frames=frames)


def ik_bandwidth(distance: Floats, outcome: Floats) -> float:
    """Choose the bandwidth of Imbens and Kalyanaraman (2012) for the triangular kernel.

    Parameters
    ----------
    distance : array
        Running variable less the cut-off.
    outcome : array
        Of every row.

    Notes
    -----
    h = 3.4375·[(σ²₋ + σ²₊)/(f((m₊ − m₋)² + r₊ + r₋))]^(1/5)·N^(−1/5): f the density and σ² the
    variances within 1.84·S·N^(−1/5), m the second derivatives of local quadratics, r their
    regularisation 2160σ²/(N₂h₂⁴).

    Examples
    --------
    >>> r = np.linspace(-1, 1, 2001)
    >>> 0.2 < ik_bandwidth(r, (r >= 0) + r + np.sin(40 * np.arange(2001)) / 3) < 3
    True
    """
    rows = pl.DataFrame({"r": distance, "y": outcome}).with_columns(yy=pl.col("y") ** 2)
    sums = rows.group_by("r").agg(pl.len().cast(pl.Float64).alias("n"), pl.col("y", "yy").sum())
    return _imbens_kalyanaraman(*(c.to_numpy() for c in sums.sort("r").get_columns()))


def _ik(seen: _Cells) -> float:
    return _imbens_kalyanaraman(seen.r, seen.n, seen.y, seen.y)


def _imbens_kalyanaraman(r: Floats, n: Floats, y: Floats, yy: Floats) -> float:
    """The bandwidth from sums by distance; ``yy`` is Σy²."""
    total = float(n.sum())
    mean = float(n @ r) / total
    spread = math.sqrt(float(n @ (r - mean) ** 2) / max(total - 1, 1))
    pilot = 1.84 * spread * total ** (-0.2)
    above = r >= 0
    sides = (~above, above)
    near = np.abs(r) <= pilot
    density = float(n[near].sum()) / (2 * total * pilot)
    variance = []
    for side in sides:
        m = near & side
        k = float(n[m].sum())
        if k < 2:
            raise InputError("too few offers at the cut-off for a bandwidth", do="give bandwidth=")
        variance.append(max(float(yy[m].sum()) - float(y[m].sum()) ** 2 / k, 1e-12) / (k - 1))
    cubic = np.column_stack([np.ones_like(r), above, r, r**2, r**3])
    third = 6 * _least_squares(cubic, n, y)[4]
    curve, regular = [], []
    for side, s2 in zip(sides, variance, strict=True):
        count = float(n[side].sum())
        wide = 3.56 * (s2 / (density * max(third**2, 1e-24))) ** (1 / 7) * count ** (-1 / 7)
        wide = min(wide, float(np.abs(r[side]).max()))
        m = side & (np.abs(r) <= wide)
        if m.sum() < 3:
            m = side
        second = 2 * _least_squares(np.vander(r[m], 3, increasing=True), n[m], y[m])[2]
        curve.append(second)
        regular.append(2160 * s2 / (float(n[m].sum()) * wide**4))
    bend = (curve[1] - curve[0]) ** 2 + sum(regular)
    return float(3.4375 * (sum(variance) / (density * bend)) ** 0.2 * total ** (-0.2))


def _least_squares(x: Floats, weight: Floats, total: Floats) -> Floats:
    """Weighted least squares from counts and totals by row of x."""
    scale = np.sqrt(np.maximum((weight @ x**2), 1e-300))
    scaled = x / scale
    gram = scaled.T @ (weight[:, None] * scaled)
    return np.asarray(np.linalg.lstsq(gram, scaled.T @ total, rcond=None)[0] / scale)


def _wald(seen: _Cells, h: float, power: int, running: str) -> dict[str, float]:
    """Limits on each side, their jumps, the ratio and its error, of local polynomials."""
    found: dict[str, float] = {}
    held = []
    for name, side in (("below", seen.r < 0), ("above", seen.r >= 0)):
        part = seen.where(side & (np.abs(seen.r) < h))
        if part.n.sum() < LEAST or part.r.size < 2 * (power + 1):
            raise InputError(
                f"{part.n.sum():,.0f} offers at {part.r.size} values of {running} lie {name} the "
                f"cut-off within the bandwidth {h:.4g}",
                do=f"widen the bandwidth: {LEAST} offers at {2 * (power + 1)} values are the least",
            )
        x = np.vander(part.r, power + 1, increasing=True)
        kernel = 1 - np.abs(part.r) / h
        by, bx = (_least_squares(x, part.n * kernel, kernel * v) for v in (part.y, part.x))
        scale = h ** np.arange(power + 1)
        scaled = x / scale
        inverse = np.linalg.inv(scaled.T @ ((part.n * kernel)[:, None] * scaled))
        lever = (scaled @ inverse[:, 0]) * kernel  # how much a row adds to the limit
        count = float(part.n.sum())
        held.append((part, x @ by, x @ bx, lever**2 * count / (count - power - 1)))
        found |= {f"y_{name}": float(by[0]), f"x_{name}": float(bx[0])}
        found |= {f"y_slope_{name}": float(by[1]), f"x_slope_{name}": float(bx[1])}
    jump_y, jump_x = (found[f"{v}_above"] - found[f"{v}_below"] for v in "yx")
    tau = jump_y / jump_x if jump_x else math.nan
    yy = xx = yx = 0.0
    for part, y, x, weight in held:
        yy += float(weight @ (part.y * (1 - 2 * y) + part.n * y**2))
        xx += float(weight @ (part.xx - 2 * x * part.x + part.n * x**2))
        yx += float(weight @ (part.xy - y * part.x - x * part.y + part.n * x * y))
    spread = max(yy - 2 * tau * yx + tau**2 * xx, 0.0)
    found |= {"jump_y": jump_y, "jump_x": jump_x, "tau": tau}
    found |= {"error_y": math.sqrt(max(yy, 0.0)), "error_x": math.sqrt(max(xx, 0.0))}
    found["error"] = math.sqrt(spread) / abs(jump_x) if jump_x else math.nan
    return found


def _collected(
    rows: pl.DataFrame, running: str, cutoff: float | date, price: str
) -> tuple[_Cells, int]:
    require_columns([running, price, "renewed"], rows.columns)
    kind = rows.schema[running]
    dated = kind == pl.Date
    if dated != isinstance(cutoff, date) or not (dated or kind.is_numeric()):
        raise InputError(
            f"{running!r} is {kind} and the cut-off {cutoff!r}",
            do="give a number for a number, a date for a date",
        )
    if not dated and not (isinstance(cutoff, int | float) and np.isfinite(cutoff)):
        raise InputError(f"the cut-off is a number, got {cutoff!r}")
    if not rows.schema[price].is_numeric():
        raise InputError(f"{price!r} is {rows.schema[price]}, not a number")
    known = rows.filter(pl.col(running).is_not_null())
    broken = known.filter(~pl.col(price).cast(pl.Float64).is_finite().fill_null(False)).height
    if broken:
        raise InputError(
            f"{price!r} is null or not finite in {broken:,} of {known.height:,} offers",
            do="give renewal_offers the offer file, or offered= to recompute the premium",
        )
    odd = known.filter(
        ~pl.col("renewed").cast(pl.Float64).is_in([0.0, 1.0]).fill_null(False)
    ).height
    if odd:
        raise InputError(f"renewed is neither 0 nor 1 in {odd:,} offers")
    place = pl.col(running) - pl.lit(cutoff)
    place = place.dt.total_days().cast(pl.Float64) if dated else place.cast(pl.Float64).round(9)
    x, y = pl.col("_x"), pl.col("_y")
    sums = (
        known.select(
            r=place, _x=pl.col(price).cast(pl.Float64), _y=pl.col("renewed").cast(pl.Float64)
        )
        .sort("r", "_x", "_y")
        .group_by("r", maintain_order=True)
        .agg(n=pl.len().cast(pl.Float64), y=y.sum(), x=x.sum(), xx=(x * x).sum(), xy=(x * y).sum())
    )
    if not sums["r"].is_finite().all():
        raise InputError(f"{running!r} is NaN or infinite in some offers")
    cells = _Cells(*(sums[c].to_numpy() for c in ("r", "n", "y", "x", "xx", "xy")))
    return cells, rows.height - known.height


def _require_both(seen: _Cells, below: np.ndarray, running: str, cutoff: float | date) -> None:
    counts = [float(seen.n[side].sum()) for side in (below, ~below)]
    if min(counts) < LEAST:
        raise InputError(
            f"{counts[0]:,.0f} offers lie below and {counts[1]:,.0f} above {cutoff}: "
            f"{LEAST} are the least",
            where=running,
            do="check the cut-off and its unit",
        )
    if not 0 < seen.y.sum() < seen.n.sum():
        raise InputError("everybody renews, or nobody: there is no response to measure")


def _bins(seen: _Cells, h: float) -> pl.DataFrame:
    """Means in bins of a tenth of the bandwidth, a side each, as far as the picture goes."""
    inside = np.abs(seen.r) < h
    part = seen.where(inside)
    width = 2 * h / BINS
    place = np.clip(np.floor(part.r / width), -BINS // 2, BINS // 2 - 1)
    frame = pl.DataFrame({"b": place, "n": part.n, "y": part.y, "x": part.x})
    sums = frame.group_by("b", maintain_order=True).agg(pl.col("n", "y", "x").sum()).sort("b")
    return sums.select(
        side=pl.when(pl.col("b") < 0).then(pl.lit("below")).otherwise(pl.lit("above")),
        distance=(pl.col("b") + 0.5) * width,
        offers="n",
        persistency=pl.col("y") / pl.col("n"),
        price_change=pl.col("x") / pl.col("n"),
    )


def _fits(linear: dict[str, float], h: float) -> pl.DataFrame:
    sides = {"below": (-h, 0.0), "above": (0.0, h)}
    rows = [
        (side, at, *(linear[f"{v}_{side}"] + at * linear[f"{v}_slope_{side}"] for v in "yx"))
        for side, ends in sides.items()
        for at in ends
    ]
    return pl.DataFrame(
        rows, schema=["side", "distance", "persistency", "price_change"], orient="row"
    )
