"""The power of a Tweedie model, by profile likelihood on rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.optimize import brentq, minimize_scalar
from scipy.special import chdtri

from pricing.claims.pure_premium import fit_pure_premium
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.tweedie import log_density
from pricing.experience.cells import Experience
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label

__all__ = ["PowerProfile", "profile_power"]

GRID = tuple(np.round(np.arange(1.1, 1.95, 0.1), 2).tolist())


class PowerProfile(Result):
    """Log-likelihood over the power of a Tweedie model: power, log_likelihood, dispersion."""

    kind = "power_profile"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the log-likelihood around its top, and the ends of the interval."""
        t, top = self.table, self.facts["log_likelihood"]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=t["power"].to_list(),
            y=t["log_likelihood"].to_list(),
            mode="lines+markers",
            name=label("log_likelihood", lang),
        )
        for edge in ("lower", "upper"):
            figure.add_vline(self.facts[edge], line={"color": COLOURS["line"], "dash": "dot"})
        # the far ends lie so deep that the top would look flat
        near = t.filter(pl.col("log_likelihood") > top - 40)["power"]
        reach = [min(near.min(), self.facts["lower"]), max(near.max(), self.facts["upper"])]
        figure.update_xaxes(
            title_text=label("power", lang), range=[reach[0] - 0.01, reach[1] + 0.01]
        )
        figure.update_yaxes(title_text=label("log_likelihood", lang), range=[top - 42, top + 4])
        return figure


def profile_power(
    experience: Experience,
    formula: str,
    rows: pl.DataFrame,
    *,
    powers: Sequence[float] = GRID,
    exposure: str = "exposure",
    amount: str = "amount",
    level: float = 0.95,
) -> PowerProfile:
    """Find the Tweedie power by maximum likelihood, with its interval.

    At every power the mean is fitted on cells, then the dispersion and the likelihood are those of
    the exact density (:func:`pricing.estimate.tweedie.log_density`), which cells cannot carry.

    Parameters
    ----------
    experience : Experience
        Cells collected with ``amount=``.
    formula : str
        Of the mean.
    rows : polars.DataFrame
        The rows behind the cells, or a random sample of them: the power is then that of the
        sample, with an interval as wide as the sample is small.
    powers : sequence of float
        First tries, between 1 and 2; the best is refined between its neighbours.
    exposure, amount : str
        Columns of policy-years and of amounts.
    level : float
        Confidence level.

    Returns
    -------
    PowerProfile
        ``.facts``: power, lower, upper, dispersion.

    Raises
    ------
    InputError
        For fewer than three powers or one outside 1 to 2, and rows the model cannot score.

    Notes
    -----
    The interval holds the powers with 2(l̂ − l(p)) below the χ² quantile of one degree of freedom
    (Dunn and Smyth 2005). The errors of the mean take the power as known.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> claims = rng.poisson(1.0, 400)
    >>> rows = pl.DataFrame({"exposure": 1.0, "claims": claims, "sex": ["f", "m"] * 200,
    ...                      "amount": rng.gamma(2.0 * np.maximum(claims, 1), 50.0) * (claims > 0)})
    >>> found = profile_power(Experience.collect(rows, ["sex"], amount="amount"), "sex", rows)
    >>> found.facts["lower"] < 4 / 3 < found.facts["upper"]  # (shape + 2)/(shape + 1), shape 2
    True
    """
    tries = sorted(set(powers))
    if len(tries) < 3 or not all(1 < p < 2 for p in tries):
        raise InputError(f"three powers or more between 1 and 2 are needed, got {tries}")
    seen: dict[float, tuple[float, float]] = {}

    def value(power: float) -> float:
        if power not in seen:
            seen[power] = _likelihood(experience, formula, rows, power, exposure, amount)
        return seen[power][0]

    best = int(np.argmax([value(p) for p in tries]))
    low, high = tries[max(best - 1, 0)], tries[min(best + 1, len(tries) - 1)]
    found = minimize_scalar(
        lambda p: -value(float(p)), bounds=(low, high), method="bounded", options={"xatol": 1e-4}
    )
    power = float(found.x) if -found.fun >= value(tries[best]) else tries[best]
    top, drop = value(power), float(chdtri(1, 1 - level)) / 2

    def edge(end: float) -> float:
        if top - value(end) < drop:
            return end
        return float(brentq(lambda p: top - value(float(p)) - drop, power, end, xtol=1e-4))

    facts = {
        "power": power,
        "lower": edge(1.01),
        "upper": edge(1.99),
        "dispersion": seen[power][1],
        "log_likelihood": top,
        "level": level,
        "rows": rows.height,
    }
    table = pl.DataFrame(
        [(p, *seen[p]) for p in sorted(seen)],
        schema=["power", "log_likelihood", "dispersion"],
        orient="row",
    )
    share = f"power by the exact density of {rows.height:,} rows"
    basis = replace(experience.basis, notes=(*experience.basis.notes, share))
    return PowerProfile(table=table, basis=basis, facts=facts)


def _likelihood(
    experience: Experience,
    formula: str,
    rows: pl.DataFrame,
    power: float,
    exposure: str,
    amount: str,
) -> tuple[float, float]:
    """Log-likelihood of the rows at its best dispersion, and that dispersion."""
    model = fit_pure_premium(experience, formula, power=power)
    scored = model.score(rows, exposure=exposure)
    e, a, mean = (scored[c].cast(pl.Float64).to_numpy() for c in (exposure, amount, "rate"))
    start = float(np.log(model.facts["dispersion"]))

    def loss(log_phi: float) -> float:
        phi: Floats = np.exp(log_phi) / e
        # of the amount itself: that of a/e less ln e where there is one
        return -float(
            (log_density(a / e, mean, phi, power) - np.where(a > 0, np.log(e), 0.0)).sum()
        )

    found = minimize_scalar(
        loss, bounds=(start - 3, start + 3), method="bounded", options={"xatol": 1e-6}
    )
    return -float(found.fun), float(np.exp(found.x))
