"""What the claims say about the health value itself: a curve, made monotone, and the discount it pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.optimize import isotonic_regression
from scipy.stats import chi2

from pricing.claims.clusters import cluster_errors
from pricing.claims.models import Errors, Frequency, fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.health.effect import Cluster
from pricing.result.series import band_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["ValueEffect", "value_effect"]


class ValueEffect(Result):
    """Claims by health value, adjusted; ``.table``: health_value, exposure (of the part of the values
    nearest to it), unadjusted, relativity, lower, upper, monotone, adjusted_discount, adjusted_lower,
    adjusted_upper (1 − relativity).
    """

    kind = "value_effect"

    def finding(self, lang: Language = "en") -> str:
        """Say what the healthiest tenth's claims pay for against the least healthy tenth's."""
        bent = "curve_bends" if self.facts["flat_above"] is not None else "curve_goes_on"
        return say("finding.value_effect", lang, **self.facts) + say(
            f"sentence.{bent}", lang, **self.facts
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the curve in its band, the claims of the values themselves, and the exposure."""
        t = self.table
        return band_figure(
            t["health_value"].to_list(),
            t["relativity"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            points=t["unadjusted"].to_list(),
            points_name="unadjusted",
            name="relativity",
            factor="health_value",
            lang=lang,
            bars=t["exposure"].to_list(),
            reference=1.0,
        ).update_layout(yaxis={"title": {"text": label("relativity", lang)}})


def value_effect(
    experience: Experience,
    formula: str,
    *,
    value: str = "health_value",
    freedom: int = 4,
    reference: float | None = None,
    points: int = 40,
    errors: Errors = "robust",
    level: float = 0.95,
    cluster: Cluster | None = None,
) -> tuple[ValueEffect, Frequency]:
    """Claim relativity along the health value, adjusted for the other factors.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``value`` as a number (rounded, so that cells stay few) and the formula's keys;
        the value was measured before the period.
    formula : str
        The other rating factors, such as ``"age_band + sex + tier"``; ``"1"`` for none.
    value : str
        Key of the health value, or of any measure such as daily steps.
    freedom : int
        Degrees of freedom of the natural cubic spline, 1 for a straight line on the log scale.
    reference : float, optional
        Value with relativity one; the 10th percentile by exposure where left out.
    points : int
        Number of values in the table, evenly between the 1st and 99th percentile.
    errors, level, cluster
        As in :func:`pricing.health.effect.group_effect`.

    Returns
    -------
    ValueEffect, Frequency
        ``.facts``: linear_p (p-value that the curve is a straight line on the log scale, from the
        fit with one degree of freedom beside it), best_discount with best_lower and best_upper at
        the 90th percentile, flat_above (the value from which the curve falls by less than 1 % more;
        None where it goes on to the end).

    Raises
    ------
    InputError
        For keys that are missing, a value that is no number, fewer values than degrees of freedom.

    Notes
    -----
    Monotone: isotonic regression of ln relativity weighted by exposure, falling with the value. The
    interval is the spline's, pointwise.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> v = rng.integers(0, 101, 4_000) * 10.0
    >>> rows = pl.DataFrame({"health_value": v, "exposure": 1.0, "claims": rng.poisson(np.exp(-v / 1_000))})
    >>> found, model = value_effect(Experience.collect(rows, ["health_value"]), "1", freedom=2)
    >>> [round(found.facts[name], 2) for name in ("best_lower", "best_discount", "best_upper")]
    [0.51, 0.56, 0.61]
    """
    require_columns([value], experience.keys)
    kind = experience.cells.schema[value]
    if not kind.is_numeric():
        raise InputError(f"{value!r} is {kind}, not a number", do="give the value, not its band")
    cells = experience.by(value).cells.sort(value)
    at, exposure = cells[value].cast(pl.Float64).to_numpy(), cells["exposure"].to_numpy()
    for name, number, least in (("freedom", freedom, 1), ("points", points, 2)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise InputError(f"{name} is a whole number from {least}, got {number!r}")
    if reference is not None and not (
        isinstance(reference, int | float) and at[0] <= reference <= at[-1]
    ):
        raise InputError(
            f"reference {reference!r} lies outside the values seen, {at[0]:g} to {at[-1]:g}",
            do="give a value that members have",
        )
    if len(at) <= freedom:
        raise InputError(
            f"{len(at)} different values of {value!r} bear no curve of {freedom} degrees"
        )
    below = np.cumsum(exposure) / exposure.sum()
    low, tenth, ninetieth, high = (
        float(at[np.searchsorted(below, q)]) for q in (0.01, 0.1, 0.9, 0.99)
    )
    reference = tenth if reference is None else float(reference)
    model = fit_frequency(
        experience, f"{formula} + ns({value}, {freedom})", errors=errors, level=level
    )
    if cluster is not None:
        model = cluster_errors(model, cluster[0], by=cluster[1])
    places = np.linspace(low, high, points)
    curve = model.curve(value, places.tolist(), base=reference)
    nearest = np.abs(at[:, None] - places[None, :]).argmin(axis=1)
    own = np.bincount(nearest, weights=exposure, minlength=points)
    claims = np.bincount(
        nearest, weights=cells["claims"].cast(pl.Float64).to_numpy(), minlength=points
    )
    around = np.abs(at - reference) <= (high - low) / (2 * points)
    base = _rate(cells, around) if around.any() else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        crude = np.where(own > 0, claims / own / base, np.nan)
    falling = np.exp(
        isotonic_regression(
            np.log(curve["relativity"].to_numpy()), weights=np.maximum(own, 1e-9), increasing=False
        ).x
    )
    table = pl.DataFrame({"health_value": places, "exposure": own, "unadjusted": crude}).with_columns(
        pl.col("unadjusted").fill_nan(None), *curve.select("relativity", "lower", "upper"),
        monotone=pl.Series(falling),
    ).with_columns(
        adjusted_discount=1 - pl.col("relativity"), adjusted_lower=1 - pl.col("upper"),
        adjusted_upper=1 - pl.col("lower"),
    )  # fmt: skip
    top = model.curve(value, [ninetieth], base=reference).row(0, named=True)
    rest = 1 - falling[-1] / falling
    flat = places[rest < 0.01]
    facts = {
        "reference": reference, "best": ninetieth, "level": level,
        "best_discount": 1 - top["relativity"], "best_lower": 1 - top["upper"], "best_upper": 1 - top["lower"],
        "linear_p": _straight(experience, formula, value, model, freedom),
        "flat_above": float(flat[0]) if len(flat) > max(2, points // 10) else None,
    }  # fmt: skip
    basis = replace(
        model.basis, fingerprint=fingerprint(model.basis.fingerprint, value, str(reference))
    )
    return ValueEffect(table=table, basis=basis, facts=facts), model


def _rate(cells: pl.DataFrame, kept: np.typing.NDArray[np.bool_]) -> float:
    part = cells.filter(pl.Series(kept))
    return float(part["claims"].sum()) / float(part["exposure"].sum())


def _straight(
    experience: Experience, formula: str, value: str, model: Frequency, freedom: int
) -> float | None:
    """Robust to over-dispersion: F-like test of the curve against a straight line."""
    if freedom == 1:
        return None
    line = fit_frequency(experience, f"{formula} + {value}")
    gain = line.facts["deviance"] - model.facts["deviance"]
    return float(chi2.sf(max(gain, 0.0) / max(model.facts["dispersion"], 1e-300), freedom - 1))
