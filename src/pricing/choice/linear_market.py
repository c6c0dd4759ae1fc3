"""Demand, average and marginal cost as lines in the price: selection, equilibrium and what it costs.

Where prices varied for reasons of their own, take-up and the cost of the insured against the price show
selection without any model of choice: if the insured get dearer as the price rises, the healthy leave first.
Source: Einav, Finkelstein and Cullen (2010), Estimating welfare in insurance markets using variation in
prices, Quarterly Journal of Economics 125; Einav and Finkelstein (2011), Journal of Economic Perspectives 25.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtr

from pricing.choice.maximum import slopes_of
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say
from pricing.survival.interval import normal_quantile

__all__ = ["LinearMarket", "fit_linear_market", "linear_market"]

FIGURES = (
    *("equilibrium_price", "equilibrium_take_up", "efficient_price", "efficient_take_up"),
    *("marginal_cost_at_equilibrium", "welfare_loss", "marginal_cost_slope", "average_cost_slope"),
)


class LinearMarket(Result):
    """Equilibrium, efficient price and welfare loss of a linear market.

    ``.table``: quantity, estimate, std_error, lower, upper (none where the lines were given).
    ``.frames["curves"]``: premium, take_up, average_cost_curve, marginal_cost_curve.
    ``.frames["lines"]``: coefficient_name, estimate, std_error, lower, upper, p_value.
    """

    kind = "linear_market"

    def finding(self, lang: Language = "en") -> str:
        """Say which selection there is, where the market settles and what is lost."""
        f = self.facts
        key = {None: "given", True: "adverse", False: "advantageous"}[f["adverse"]]
        if f["adverse"] is not None and f["p_value"] > 1 - f["level"]:
            key = "unclear"
        return say(
            "finding.linear_market",
            lang,
            **{**f, "selection_text": say(f"sentence.selection_{key}", lang, **f)},
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw demand, average and marginal cost over take-up, with the welfare triangle."""
        c = self.frames["curves"]
        f = self.facts
        x = c["take_up"].to_list()
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=[f["equilibrium_take_up"], f["efficient_take_up"], f["equilibrium_take_up"]],
            y=[f["equilibrium_price"], f["efficient_price"], f["marginal_cost_at_equilibrium"]],
            fill="toself", mode="none", fillcolor="rgba(213,94,0,0.30)", name=label("welfare_loss", lang),
        )  # fmt: skip
        lines = (
            ("premium", "demand_curve", "estimate"),
            ("average_cost_curve", "average_cost_curve", "second"),
            ("marginal_cost_curve", "marginal_cost_curve", "third"),
        )
        for column, name, colour in lines:
            figure.add_scatter(
                x=x,
                y=c[column].to_list(),
                mode="lines",
                name=label(name, lang),
                line={"width": 3, "color": COLOURS[colour]},
            )
        for point, symbol in (("equilibrium", "circle"), ("efficient", "diamond")):
            figure.add_scatter(
                x=[f[f"{point}_take_up"]], y=[f[f"{point}_price"]], mode="markers", name=label(f"{point}_price", lang),
                marker={"size": 11, "symbol": symbol, "color": "#1F2937"},
            )  # fmt: skip
        return figure.update_layout(
            hovermode="closest",
            margin={"t": 110},
            xaxis={"title": {"text": label("take_up", lang)}, "tickformat": ".0%"},
            yaxis={"title": {"text": label("amount_a_year", lang)}},
        )


def linear_market(
    demand: Sequence[float],
    average_cost: Sequence[float],
    *,
    source: str = "",
    currency: str = "CNY",
) -> LinearMarket:
    """Solve a market whose demand and average cost are straight lines in the price.

    Parameters
    ----------
    demand : (float, float)
        D(p) = α + β p, share of persons insured; β below zero.
    average_cost : (float, float)
        AC(p) = γ + δ p, cost a year of the insured; δ below 1.
    source, currency : str
        Where the lines come from, and the money they are in.

    Raises
    ------
    InputError
        For numbers that are not finite, demand that does not fall, no price at which demand and cost meet.

    Notes
    -----
    Total cost is D·AC, so MC = AC + δ D/β = γ + δ α/β + 2 δ p. Equilibrium: p = AC = γ/(1 − δ). Efficient:
    p = MC = (γ + δ α/β)/(1 − 2δ) where δ < ½ and take-up there is a share, else all or nobody insured.
    Welfare lost: the area between demand and MC, ½ (Q_eff − Q_eq)(p_eq − MC_eq), a person of the population.
    MC as the quantity rises has the slope 2δ/β: falling (adverse selection) where δ > 0.

    Examples
    --------
    >>> seen = linear_market((0.9398, -0.000696), (391.69, 0.155))  # Einav, Finkelstein, Cullen (2010)
    >>> [round(seen.facts[n], 3) for n in ("equilibrium_price", "equilibrium_take_up", "efficient_take_up")]
    [463.538, 0.617, 0.756]
    """
    try:
        lines = np.array([*demand, *average_cost], dtype=np.float64)
        if len(demand) != 2 or len(average_cost) != 2:
            raise ValueError("two numbers each")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a line is (value at price zero, slope): {error}", where="linear market"
        ) from error
    basis = Basis(source=source, currency=currency, notes=("lines as given: no interval",))
    return _result(lines, None, basis, 0.95)


def fit_linear_market(
    experience: Experience, *, price: str = "price", cluster: str | None = None, level: float = 0.95
) -> LinearMarket:
    """Estimate demand and cost curves from prices that varied for reasons of their own.

    Parameters
    ----------
    experience : Experience
        Cells with the price as a covariate; exposure counts persons offered, claims those insured, amount
        the cost of the insured in the year (zero for the rest).
    price : str
        Key of the price.
    cluster : str, optional
        Factor in which prices were set together, for the errors.
    level : float
        Of the intervals (delta method on robust errors).

    Raises
    ------
    InputError
        For a key that is missing or no number, no amounts, a price that never varies, nobody or everybody
        insured, lines that meet nowhere.

    Notes
    -----
    Least squares of insured on price over persons, and of cost on price over the insured; the errors are
    the rows' (HC1, or by cluster with G/(G − 1)), the two equations' scores taken together. Selection is
    tested by the slope of average cost, δ = 0 (Einav, Finkelstein and Cullen 2010, section III).

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> price, risk = rng.choice([200.0, 350.0, 500.0], 9000), rng.gamma(2.0, 150.0, 9000)
    >>> buys = 250 + 0.6 * risk + rng.normal(0, 150, 9000) > price
    >>> rows = pl.DataFrame({"price": price, "exposure": 1.0, "claims": buys.astype(int), "cost": risk * buys})
    >>> seen = fit_linear_market(Experience.collect(rows, ["price"], amount="cost"))
    >>> seen.facts["adverse"], seen.facts["p_value"] < 0.001
    (True, True)
    """
    z = normal_quantile(level)
    keys = [price, *([cluster] if cluster else [])]
    missing = [k for k in keys if k not in experience.keys]
    if missing or "amount" not in experience.cells.columns or price in experience.factors:
        raise InputError(
            "the experience cannot show a linear market",
            faults=[f"{k!r} is no key" for k in missing]
            or (
                [f"{price!r} is a factor, a number is wanted"]
                if price in experience.factors
                else ["it has no amounts"]
            ),
            do="collect it with the price as a numeric key and amount= the cost of the insured",
        )
    if cluster is not None and cluster not in experience.factors:
        raise InputError(f"cluster {cluster!r} is a number: cast it to text", where="cluster")
    lines, covariance, many = _least_squares(experience, price, cluster)
    note = "errors: " + (f"by {cluster} ({many:,})" if cluster else "robust (HC1)")
    basis = replace(experience.basis, notes=(*experience.basis.notes, note))
    return _result(lines, covariance, basis, level, z)


def _least_squares(seen: Experience, price: str, cluster: str | None) -> tuple[Floats, Floats, int]:
    p, persons, insured, cost = (seen.values(n) for n in (price, "exposure", "claims", "amount"))
    square = seen.values("amount_squared")
    faults = []
    if len(np.unique(p)) < 2:
        faults.append(f"{price!r} never varies")
    if not 0 < insured.sum() < persons.sum():
        faults.append("nobody is insured" if insured.sum() == 0 else "everybody is insured")
    elif len(np.unique(p[insured > 0])) < 2:
        faults.append("the insured are at one price only")
    elif insured.sum() <= 2 or persons.sum() <= 2:
        faults.append(f"{insured.sum():g} insured are too few for errors")
    if (insured > persons).any():
        faults.append("more are insured than persons: one row a person, claims 0 or 1")
    outside = seen.values("amount_without_claims")
    if outside.any():
        faults.append(f"{outside.sum():,.2f} of cost belongs to persons who are not insured")
    if faults:
        raise InputError("the curves cannot be estimated", faults=faults)
    x = np.column_stack([np.ones(len(p)), p])
    breads, lines = [], []
    for weight, total in ((persons, insured), (insured, cost)):
        bread = np.linalg.inv(x.T @ (x * weight[:, None]))
        breads.append(bread)
        lines.append(bread @ (x.T @ total))
    d, c = x @ lines[0], x @ lines[1]
    bread = np.zeros((4, 4))
    bread[:2, :2], bread[2:, 2:] = breads
    if cluster is None:
        meat = np.zeros((4, 4))
        parts = (
            insured * (1 - d) ** 2 + (persons - insured) * d**2,
            (1 - d) * (cost - c * insured),
            square - 2 * c * cost + c**2 * insured,
        )
        n, m = persons.sum(), insured.sum()
        factor = (n / (n - 2), np.sqrt(n / (n - 2) * m / (m - 2)), m / (m - 2))
        aa, ac, cc = (f * (x.T @ (x * v[:, None])) for f, v in zip(factor, parts, strict=True))
        meat[:2, :2], meat[:2, 2:], meat[2:, :2], meat[2:, 2:] = aa, ac, ac.T, cc
        return np.concatenate(lines), bread @ meat @ bread, 0
    score = np.column_stack(
        [x * (insured - d * persons)[:, None], x * (cost - c * insured)[:, None]]
    )
    codes = seen.cells[cluster].to_physical().to_numpy()
    sums = np.column_stack([np.bincount(codes, score[:, k]) for k in range(4)])
    many = len(np.unique(codes))
    if many < 3:
        raise InputError(f"{many} clusters are too few for errors", where=str(cluster))
    return np.concatenate(lines), bread @ (sums.T @ sums * many / (many - 1)) @ bread, many


def _solved(lines: Floats) -> Floats:
    a, b, c, d = lines
    price = c / (1 - d)
    best_take_up = 1.0  # where marginal cost falls faster than demand, all are worth insuring
    if d < 0.5:
        best_take_up = float(np.clip(a + b * (c + d * a / b) / (1 - 2 * d), 0.0, 1.0))
    take_up, best = a + b * price, (best_take_up - a) / b
    marginal, at_best = (c + d * a / b + 2 * d * p for p in (price, best))
    loss = (best_take_up - take_up) * (price - marginal + best - at_best) / 2
    return np.array([price, take_up, best, best_take_up, marginal, loss, 2 * d / b, d])


def _result(
    lines: Floats, covariance: Floats | None, basis: Basis, level: float, z: float = 0.0
) -> LinearMarket:
    a, b, c, d = (float(v) for v in lines)
    faults = [] if np.isfinite(lines).all() else ["a number is not finite"]
    if not faults and b >= 0:
        faults.append(f"demand does not fall with the price: slope {b:.4g}")
    if not faults and d >= 1:
        faults.append(f"average cost rises by {d:.3g} for 1 of price: no price breaks even")
    if not faults and not 0 < a + b * c / (1 - d) <= 1:
        faults.append(
            f"at the break-even price {c / (1 - d):,.1f} take-up would be {a + b * c / (1 - d):.1%}: "
            "the market unravels, or the lines do not hold there"
        )
    if faults:
        raise InputError("the lines are no market", where="linear market", faults=faults)
    found = _solved(lines)
    error = np.full(len(found), np.nan)
    names = ["demand_at_zero", "demand_slope", "average_cost_at_zero", "average_cost_slope"]
    spread = np.full(4, np.nan)
    if covariance is not None:
        spread = np.sqrt(np.diag(covariance))
        slopes = slopes_of(lambda u: _solved(lines + u * spread), np.zeros(4)) / spread
        error = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", slopes, covariance, slopes), 0))
    interval = pl.DataFrame({
        "quantity": FIGURES, "estimate": found, "std_error": error, "lower": found - z * error, "upper": found + z * error,
    }).with_columns(pl.selectors.float().fill_nan(None))  # fmt: skip
    by_line = pl.DataFrame({
        "coefficient_name": names, "estimate": lines, "std_error": spread, "lower": lines - z * spread, "upper": lines + z * spread,
        "p_value": 2 * ndtr(-np.abs(lines / spread)),
    }).with_columns(pl.selectors.float().fill_nan(None))  # fmt: skip
    top = min(max(found[0], found[2]) * 1.4, -a / b)
    low = max(min(found[0], found[2], found[4]) * 0.6, (1 - a) / b)
    grid = np.linspace(low, top, 101)
    curves = pl.DataFrame({
        "premium": grid, "take_up": a + b * grid, "average_cost_curve": c + d * grid,
        "marginal_cost_curve": c + d * a / b + 2 * d * grid,
    })  # fmt: skip
    p_value = float(by_line["p_value"][3]) if covariance is not None else None
    facts = {
        **dict(zip(FIGURES, (float(v) for v in found), strict=True)), "adverse": d > 0 if covariance is not None else None,
        "p_value": p_value, "currency": basis.currency, "level": level,
    }  # fmt: skip
    told = fingerprint(basis.fingerprint, repr(lines.tolist()), str(level))
    return LinearMarket(
        table=interval,
        basis=replace(basis, fingerprint=told),
        facts=facts,
        frames={"curves": curves, "lines": by_line},
    )
