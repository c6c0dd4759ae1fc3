"""Proportional hazards: whether a hazard ratio stays the same over time.

Against β(t) = β + θ·g(t) the score is U = Σ_times g·r, r Schoenfeld's residuals x − x̄ of the deaths, with variance
Σg²V − ΣgV (ΣV)⁻¹ ΣgV, V the information at each time (Grambsch and Therneau 1994, Biometrika 81, eq. 3). With V
of each time (``variance="exact"``) it is R's ``cox.zph`` from survival 3.0 on; with V the average over deaths
(``"average"``, ibid. section 3) that of earlier versions and of lifelines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtrc
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.estimate.splines import spline_basis
from pricing.experience.engines import AnyFrame
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.series import band_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.cox import Cox
from pricing.survival.interval import normal_quantile
from pricing.survival.partial_likelihood import Likelihood, standardised
from pricing.survival.risk_sets import RiskSets, Spelling

__all__ = ["ProportionalHazards", "Transform", "proportional_hazards"]

Transform = Literal["km", "identity", "log", "rank"]
Variance = Literal["exact", "average"]
CURVE = 60  # places at which the smoothed effect is drawn
ALL = "all_terms"


class ProportionalHazards(Result):
    """Test of proportional hazards, per term and all together.

    ``.table``: term, chi_squared, degrees_of_freedom, p_value; the last row is all together.
    ``.frames``: residuals (β plus the scaled Schoenfeld residual at each time, by coefficient) and
    smooth (a natural spline through them, with its band).
    """

    kind = "proportional_hazards"

    @property
    def p_value(self) -> float:
        """Of all terms together."""
        return float(self.facts["p_value"])

    def finding(self, lang: Language = "en") -> str:
        """Say whether the hazards are proportional, and where least."""
        facts = dict(self.facts)
        holds = min(facts["p_value"], facts["factor_p_value"]) >= 1 - facts["level"]
        verdict = "hazards_proportional" if holds else "hazards_not_proportional"
        named = {
            "factor": label(facts["factor"], lang),
            "p": f"{facts['p_value']:.4f}",
            "factor_p": f"{facts['factor_p_value']:.4f}",
            "verdict": say(f"sentence.{verdict}", lang),
        }
        return say("finding.proportional_hazards", lang, **(facts | named))

    def figure(self, lang: Language = "en", coefficient: str | None = None) -> go.Figure:
        """Draw a coefficient over time, by default one of the plainest term: flat if proportional."""
        known = self.frames["smooth"]["coefficient_name"].unique(maintain_order=True).to_list()
        name = coefficient or self.facts["coefficient"]
        if name not in known:
            raise InputError(f"no coefficient {name!r}{nearest(name, known)}")
        own = pl.col("coefficient_name") == name
        rows, curve = (self.frames[n].filter(own) for n in ("residuals", "smooth"))
        figure = band_figure(
            curve["time"].to_list(),
            curve["log_hazard_ratio"].to_list(),
            curve["lower"].to_list(),
            curve["upper"].to_list(),
            points=None,
            points_name="schoenfeld_residual",
            name="log_hazard_ratio",
            factor="time",
            lang=lang,
            bars=curve["events"].to_list(),
            bars_name="events",
        )
        figure.add_scatter(
            x=rows["time"].to_list(),
            y=rows["schoenfeld_residual"].to_list(),
            mode="markers",
            name=label("schoenfeld_residual", lang),
            marker={"size": 5, "color": COLOURS["line"], "opacity": 0.5},
        )
        figure.add_hline(
            y=self.details["coefficients"][name],
            line={"dash": "dot", "color": COLOURS["second"]},
        )
        unit = level_label(f"time_in_{self.facts['unit']}", lang)
        named = f"{label('log_hazard_ratio', lang)}: {name}"
        return figure.update_layout(
            xaxis={"title": {"text": unit}}, yaxis={"title": {"text": named}}
        )


def proportional_hazards(
    cox: Cox,
    frame: AnyFrame,
    *,
    transform: Transform = "km",
    variance: Variance = "exact",
    level: float = 0.95,
) -> ProportionalHazards:
    """Test whether hazard ratios stay the same over time.

    Parameters
    ----------
    cox : Cox
        A fitted model.
    frame : frame of any engine
        The rows it was fitted on; they are grouped again.
    transform : {"km", "identity", "log", "rank"}
        g(t): 1 − the Kaplan–Meier curve of all just before t, t itself, its logarithm, or its rank
        among the times of the deaths.
    variance : {"exact", "average"}
        With the information at each time, or with its average.
    level : float
        Confidence level of the bands, and 1 less that below which the finding speaks up.

    Raises
    ------
    InputError
        For other rows than those of the fit, and a transform that is not offered or constant.

    Examples
    --------
    >>> from pricing.survival.cox import fit_cox
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4, 5, 6, 7, 8], "event": [1, 1, 1, 1, 1, 1, 1, 0],
    ...                      "age": [60, 58, 44, 47, 61, 50, 52, 45]})
    >>> found = proportional_hazards(fit_cox(rows, "age"), rows, transform="identity")
    >>> found.table.select("term", pl.col("chi_squared").round(3)).rows()
    [('age', 0.012), ('all_terms', 0.012)]
    """
    for given, known, what in (
        (transform, Transform, "transform"),
        (variance, Variance, "variance"),
    ):
        if given not in get_args(known):
            raise InputError(f"no {what} {given!r}{nearest(str(given), get_args(known))}")
    z_level = normal_quantile(level)
    said = cox.details["spelling"]
    spelling = Spelling(**said | {"strata": tuple(said["strata"])})
    sets = RiskSets.collect(frame, cox.details["formula"], spelling, base=cox.details["base"])
    with threadpool_limits(1 if sets.x.size < 1_000_000 else None):
        z, _, scale = standardised(sets)
        at = _same(cox, sets, z, scale)
        g = _transformed(sets, transform)
        r = at.residuals(z, sets)
        gg = [at.weighed(g**k, z, sets) for k in (0, 1, 2)]
    deaths = sets.times["deaths"].to_numpy()
    if variance == "average":
        d = deaths.sum()
        gg = [at.information * float((deaths * g**k).sum()) / d for k in (0, 1, 2)]
    score = g @ r
    terms = [c.term for c in sets.columns]
    tests = _tests(terms, score, gg, variance)
    plain = np.linalg.inv(at.information)
    scaled = deaths.sum() * (r / sets.times["weight"].to_numpy()[:, None]) @ plain / scale
    effect = cox.coefficients + scaled
    names = [c.name for c in sets.columns]
    time = sets.times["time"].to_numpy()
    residuals = pl.concat([
        pl.DataFrame({
            "coefficient_name": name, "time": time, "place_in_time": g, "events": deaths,
            "schoenfeld_residual": effect[:, j],
        })
        for j, name in enumerate(names)
    ]).sort("coefficient_name", "time", maintain_order=True)  # fmt: skip
    error = np.sqrt(np.diag(plain) * deaths.sum()) / scale
    smooth = pl.concat([
        _smooth(names[j], time, g, effect[:, j], deaths, float(error[j]), z_level)
        for j in range(len(names))
    ])  # fmt: skip
    own = tests.filter(pl.col("term") != ALL).sort("p_value", nulls_last=True).row(0, named=True)
    every = tests.row(-1, named=True)
    strength = np.abs(score) / np.sqrt(np.maximum(np.diag(gg[2]), 1e-300))
    worst = int(np.argmax(np.where(np.array(terms) == own["term"], strength, -1.0)))
    note = f"g(t): {transform}; information of each time: {variance}"
    told = fingerprint(cox.basis.fingerprint, transform, variance, str(level))
    return ProportionalHazards(
        table=tests,
        basis=replace(cox.basis, fingerprint=told, notes=(*cox.basis.notes, note)),
        facts={
            "chi_squared": every["chi_squared"],
            "degrees_of_freedom": every["degrees_of_freedom"],
            "p_value": every["p_value"],
            "factor": own["term"],
            "factor_p_value": own["p_value"],
            "coefficient": names[worst],
            "transform": transform,
            "variance": variance,
            "level": level,
            "unit": cox.facts["unit"],
        },
        frames={"residuals": residuals, "smooth": smooth},
        details={"coefficients": dict(zip(names, cox.coefficients.tolist(), strict=True))},
    )


def _same(cox: Cox, sets: RiskSets, z: Floats, scale: Floats) -> Likelihood:
    """Give the likelihood at the coefficients; refuse rows that have another than the model's."""
    same = [c.name for c in sets.columns] == [c.name for c in cox.columns]
    if same:
        none, at = (
            Likelihood.at(beta, z, sets, cox.facts["ties"])
            for beta in (np.zeros(z.shape[1]), cox.coefficients * scale)
        )
        told = ("log_likelihood_null", "log_likelihood", "events", "time_at_risk")
        deaths, time = sets.times["deaths"].sum(), sets.patterns["exposure"].sum()
        now = (none.value, at.value, float(deaths), float(time))
        same = np.allclose(now, [cox.facts[n] for n in told], rtol=1e-9, atol=1e-9)
    if not same:
        raise InputError(
            "these are not the rows the model was fitted on", do="give the frame it was fitted on"
        )
    return at


def _tests(terms: list[str], score: Floats, gg: list[Floats], variance: Variance) -> pl.DataFrame:
    """χ² of each term and of all: a score test of its own θ, or a Wald test of θ among all."""
    spread: Floats = gg[2] - gg[1] @ np.linalg.solve(gg[0], gg[1].T)
    if variance == "average":
        spread = np.asarray(np.linalg.inv(spread), dtype=np.float64)
        score = spread @ score
    groups = {t: [j for j, own in enumerate(terms) if own == t] for t in dict.fromkeys(terms)}
    groups[ALL] = list(range(len(terms)))
    rows: list[tuple[str, float, int, float]] = []
    for name, own in groups.items():
        v = spread[np.ix_(own, own)]
        chi = float(score[own] @ np.linalg.pinv(v, hermitian=True) @ score[own])
        degrees = int(np.linalg.matrix_rank(v, hermitian=True))
        rows.append((name, chi, degrees, float(chdtrc(max(degrees, 1), max(chi, 0.0)))))
    schema = {
        "term": pl.String, "chi_squared": pl.Float64, "degrees_of_freedom": pl.Int64, "p_value": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _transformed(sets: RiskSets, transform: Transform) -> Floats:
    """Give g at every time of leaving, centred on the deaths."""
    time, deaths = (sets.times[n].to_numpy() for n in ("time", "deaths"))
    if transform == "identity":
        g = np.asarray(time, dtype=np.float64)
    elif transform == "log":
        g = np.log(time)
    elif transform == "rank":
        many = deaths.astype(np.int64)
        g = rankdata(np.repeat(time, many))[np.cumsum(many) - 1]
    else:
        g = _left(sets)
    g = np.asarray(g - deaths @ g / deaths.sum(), dtype=np.float64)
    if np.abs(g).max() <= 1e-12:
        raise InputError("all leave at one time: there is no time to compare", do="use finer times")
    return g


def _left(sets: RiskSets) -> Floats:
    """Share of all that left before each time, Kaplan–Meier over every stratum together."""
    found = sets.times.join(sets.left, on="time", how="left", maintain_order="left")
    return found["left"].to_numpy()


def _smooth(
    name: str, time: Floats, g: Floats, effect: Floats, deaths: Floats, error: float, z: float
) -> pl.DataFrame:
    """Draw a natural spline through the residuals over g(t), as R does, each death counted once."""
    # the spline must have places of its own for its knots
    degrees = min(4, len(np.unique(g)) - 1)
    parts = spline_basis(f"ns(place, {degrees})", g, deaths)
    order = np.argsort(g)
    places = np.linspace(g.min(), g.max(), CURVE)
    at_time = np.interp(places, g[order], time[order])

    def basis(values: Floats) -> Floats:
        one = pl.DataFrame({"place": values}).select(
            pl.lit(1.0).alias("one"), *(p.value(pl.col("place")).alias(str(p.part)) for p in parts)
        )
        return one.to_numpy()

    step = (places[-1] - places[0]) / (CURVE - 1)
    near = np.bincount(np.rint((g - places[0]) / step).astype(int), deaths, minlength=CURVE)
    x, new = basis(g), basis(places)
    gram = np.linalg.pinv(x.T @ (x * deaths[:, None]))
    curve = new @ gram @ (x.T @ (deaths * effect))
    reach = z * error * np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", new, gram, new), 0.0))
    return pl.DataFrame({
        "coefficient_name": name, "time": at_time, "log_hazard_ratio": curve, "lower": curve - reach,
        "upper": curve + reach, "events": near,
    })  # fmt: skip
