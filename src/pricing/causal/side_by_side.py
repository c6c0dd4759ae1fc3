"""Side by side: every estimator in one table and one picture, whose effect it is, what it assumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from pricing.causal.adjusted import naive, regression
from pricing.causal.balance import Balance, Overlap, balance, overlap
from pricing.causal.contrast import Contrast, Population, effect_of
from pricing.causal.differences import Staggered, before_and_after, staggered_trends
from pricing.causal.encouragement import WEAK, local_effect
from pricing.causal.falsification import e_value
from pricing.causal.nuisance import Learner, Nuisance, Outcome, fit_nuisance
from pricing.causal.people import People, indicator
from pricing.causal.weighting import aipw, inverse_probability, overlapping, standardised
from pricing.errors import InputError, nearest
from pricing.experience.domain import listed, require_columns
from pricing.files import fingerprint
from pricing.result.figure import COLOURS, error_bars
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Compared", "SideBySide", "side_by_side"]

WHO = ("age", "age_band", "sex")
SEEN = float(ndtri(0.975) + ndtri(0.80))  # standard errors an effect needs: 5 %, power 80 %

# estimator -> what it assumes, what it needs (phrases of the catalogue)
ASSUMES: Mapping[str, tuple[str, str]] = {
    "naive": ("joining has nothing to do with health", "claims of both sides"),
    "age and sex": ("only age and sex drive both", "age and sex"),
    "all rating factors": ("only rating factors drive both", "the rating factors"),
    "with prior claims": ("nothing unmeasured drives both", "last year's claims"),
    "standardised regression": ("nothing unmeasured; the outcome model is right", "last year's claims"),
    "inverse probability": ("nothing unmeasured; the propensity is right", "common_support"),
    "overlap weights": ("nothing unmeasured; the propensity is right", "last year's claims"),
    "AIPW": ("nothing unmeasured; one of the two models is right", "common_support"),
    "AIPW, those who join": ("nothing unmeasured; one of the two models is right", "common_support"),
    "before and after": ("without it nothing would have changed", "a year before joining"),
    "ratio DiD": ("both sides would have moved by the same factor", "a year before joining, people not yet in"),
    "doubly robust DiD": ("both sides would have moved by the same amount", "a year before joining, people not yet in"),
    "encouragement": ("the lot acts through joining only", "invitations drawn by lot"),
    "oracle": ("latent health is known", "a simulated book"),
}  # fmt: skip


class SideBySide(Result):
    """All estimators of the programme's effect.

    ``.table``: estimator, population (whose effect), relative_effect (rate ratio − 1) with lower and upper,
    rate_inside, rate_outside, rate_difference with its interval (outcome per policy-year),
    std_error of the log ratio, detectable (the smallest saving such an error would show with a chance
    of 80 %), e_value and e_value_limit (what something unmeasured would need, to
    explain the estimate and its interval away), assumes and needs.
    """

    kind = "side_by_side"

    def finding(self, lang: Language = "en") -> str:
        """Say the naive figure, the one to believe and whose effect it is, and the truth if known."""
        facts = dict(self.facts)
        for name in ("believed_by", "population"):
            facts[name] = level_label(facts[name], lang)
        verdict = "effect_shown" if facts["shown"] else "effect_not_shown"
        facts["outcome"] = label(facts["outcome"], lang).lower()
        facts["verdict"] = say(f"sentence.{verdict}", lang, level=facts["level"])
        truth = "_truth" if "truth" in facts else ""
        return say(f"finding.side_by_side{truth}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw every estimate with its interval, by whose effect it is, over the truth if known."""
        t = self.table
        places = [level_label(name, lang) for name in t["estimator"]]
        figure = go.Figure(layout={"template": "pricing", "height": 140 + 34 * t.height})
        for (population, colour), symbol in zip(
            POPULATIONS.items(), ("circle-open", "circle", "square", "diamond", "star"), strict=True
        ):
            at = [i for i, p in enumerate(t["population"]) if p == population]
            if not at:
                continue
            part = t[at]
            bars = error_bars(*(part[c].to_list() for c in ("relative_effect", "lower", "upper")))
            figure.add_scatter(
                x=part["relative_effect"].to_list(), y=[places[i] for i in at], error_x=bars, mode="markers",
                name=level_label(population, lang),
                marker={"size": 10, "color": colour, "symbol": symbol},
            )  # fmt: skip
        figure.add_vline(x=0, line={"dash": "dot", "color": COLOURS["line"]})
        if "truth" in self.facts:
            truth = self.facts["truth"]
            figure.add_scatter(
                x=[truth, truth], y=[places[0], places[-1]], mode="lines",
                name=label("truth", lang), line={"dash": "dash", "color": COLOURS["text"]},
            )  # fmt: skip
        figure.update_layout(
            xaxis={"title": {"text": label("relative_effect", lang)}, "tickformat": ".0%"},
            yaxis={"type": "category", "categoryorder": "array", "categoryarray": places[::-1]},
            hovermode="closest",
        )
        return figure


POPULATIONS: Mapping[str, str] = {
    "association": COLOURS["line"],
    "ate": COLOURS["estimate"],
    "att": COLOURS["second"],
    "overlap": COLOURS["third"],
    "late": "#CC79A7",
}


@dataclass(frozen=True)
class Compared:
    """The comparison and what it rests on.

    Attributes
    ----------
    effects : SideBySide
        All estimators.
    balance : Balance or None
        Before and after weighting; None without factors.
    overlap : Overlap
        Propensities of both sides.
    """

    effects: SideBySide
    balance: Balance | None
    overlap: Overlap


def side_by_side(
    rows: pl.DataFrame,
    *,
    treated: str,
    person: str,
    period: str,
    factors: Sequence[str] = (),
    history: Sequence[str] = (),
    outcome: str = "claims",
    exposure: str = "exposure",
    model: Outcome = "poisson",
    learner: Learner = "glm",
    oracle: Sequence[str] = (),
    truth: float | None = None,
    encouraged: str | None = None,
    believe: str | None = None,
    cap: float | None = None,
    folds: int = 5,
    trim: float = 0.01,
    level: float = 0.95,
    seed: int = 0,
    source: str = "",
) -> Compared:
    """Estimate the programme's effect in every way the data allow, and lay the ways side by side.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per person and period (:func:`pricing.experience.person_years.person_years`).
    treated : str
        In the programme during the period.
    person, period : str
        Who, and when as a whole number such as the policy year.
    factors : sequence of str
        Known at the start of every period: age, sex, plan, and the period itself.
    history : sequence of str
        Known from the period before, such as ``prior_claims``; rows without it (the first period)
        are left out of all but the differences in differences.
    outcome, exposure : str
        Claims or amount, and policy-years.
    model, learner, folds, seed
        Nuisance models of :func:`pricing.causal.nuisance.fit_nuisance`.
    oracle : sequence of str
        What only a simulated book can know; shown last, never believed.
    truth : float, optional
        True effect as a fraction, where the book is simulated.
    encouraged : str, optional
        Invited by lot.
    believe : str, optional
        Estimator to believe. Left out: encouragement where there is one that moved enough (F of 10
        or more); else the doubly robust
        difference in differences, unless the years before joining refute its assumption (5 %);
        else AIPW of those who join.
    cap : float, optional
        Amounts of a row above it count as it.
    trim : float
        Weighted estimators leave out propensities outside [trim, 1 − trim].
    level : float
        Confidence level.

    Returns
    -------
    Compared
        ``.effects``, ``.balance``, ``.overlap``; ``.effects.frames["group_time"]`` where people
        join between periods.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> joins = np.repeat(rng.random(400) < 0.5, 2)
    >>> rows = pl.DataFrame({"id": np.repeat(np.arange(400), 2), "year": [0, 1] * 400,
    ...     "in": joins & np.tile([False, True], 400), "age": np.repeat(rng.integers(30, 60, 400), 2),
    ...     "claims": rng.poisson(1.0, 800), "exposure": 1.0})
    >>> found = side_by_side(rows, treated="in", person="id", period="year", factors=["age"])
    >>> found.effects.table["estimator"].to_list()[-1]
    'doubly robust DiD'
    """
    if not isinstance(rows, pl.DataFrame):
        raise InputError(f"rows are a {type(rows).__name__}", do="give a polars DataFrame")
    names = {"treated": treated, "person": person, "period": period}
    factors, history, oracle = listed(factors), listed(history), listed(oracle)
    require_columns([treated, person, period, *factors, *history, *oracle], rows.columns)
    kept = rows.drop_nulls(history) if history else rows
    if kept.is_empty():
        said = f"no row has {', '.join(history)}" if history else "there are no rows"
        raise InputError(said, do="leave the history out, or give more periods")

    def people(known: Sequence[str], treat: str = treated) -> People:
        return People.collect(
            kept, treated=treat, factors=known, outcome=outcome, exposure=exposure,
            person=person, cap=cap, source=source,
        )  # fmt: skip

    with threadpool_limits(1):  # one order of addition, whatever else the machine does
        found: dict[tuple[str, Population], Contrast] = {}
        plain = people([])
        found["naive", "association"] = naive(plain)
        who = [name for name in factors if name in WHO]
        every = people([*factors, *history])
        if who:
            found["age and sex", "ate"] = regression(people(who))
        if len(factors) > len(who):
            found["all rating factors", "ate"] = regression(people(factors))
        if history:
            found["with prior claims", "ate"] = regression(every)
        fitted = fit_nuisance(every, outcome=model, learner=learner, folds=folds, seed=seed)
        left = overlapping(every, fitted, trim)[2]
        found |= _weighted((every, fitted), model, learner, trim)
        notes = [
            f"cross-fitted in {folds} folds of persons; outcome model {model}, learner {learner}",
            f"{left:.1%} of exposure has a propensity outside [{trim:g}, {1 - trim:g}] and is left out of AIPW",
        ]
        if kept.height < rows.height:
            notes.append(
                f"{rows.height - kept.height:,} rows without {', '.join(history)} serve DiD only"
            )
        panel = (
            rows
            if cap is None
            else rows.with_columns(pl.col(outcome).cast(pl.Float64).clip(0, cap))
        )
        double = _before_after(found, panel, {**names, "outcome": outcome, "exposure": exposure,
                                              "factors": factors, "level": level})  # fmt: skip
        frames = {} if double is None else {"group_time": double.table}
        weak = False
        p_trend = None if double is None else _trend_test(double)
        if double is None:
            notes.append("nobody is seen the year before joining: no differences in differences")
        else:
            notes.append(
                f"{double.left_out:.1%} of joiners' exposure is in groups and years too small for DiD"
            )
        if encouraged is not None:
            lot = people([*factors, *history], encouraged)
            contrast, uptake, strength = local_effect(lot, indicator(kept[treated]), folds=folds, seed=seed)  # fmt: skip
            found["encouragement", "late"] = contrast
            notes.append(
                f"the invitation moved {uptake:.1%} into the programme (F = {strength:,.0f})"
            )
            weak = strength < WEAK
            if weak:
                notes.append(f"F is below {WEAK:g}: the interval of the invitation means little")
        if p_trend is not None:
            notes.append(f"trends before joining alike: p = {p_trend:.3f}")
        if oracle:
            knowing = people([*factors, *oracle])
            both = fit_nuisance(knowing, outcome=model, learner=learner, folds=folds, seed=seed)
            found["oracle", "ate"] = aipw(*overlapping(knowing, both, trim)[:2])
        chosen = _believed(believe, [name for name, _ in found], p_trend, weak=weak)
        laid = effect_of(found, plain.basis, level=level, outcome=outcome)
        table, facts = _laid_out(laid.table, chosen, level, truth, outcome)
        facts["p_trend"] = p_trend
        used = repr((factors, history, oracle, model, learner, folds, trim, seed, cap))
        basis = replace(
            every.basis, notes=(*every.basis.notes, *notes),
            fingerprint=fingerprint(every.basis.fingerprint, laid.basis.fingerprint, used),
        )  # fmt: skip
        shown = SideBySide(table=table, basis=basis, facts=facts, frames=frames)
        balanced = balance(every, fitted) if len(every.columns) > 1 else None
        return Compared(shown, balanced, overlap(every, fitted, trim=trim))


def _weighted(
    crossed: tuple[People, Nuisance], model: Outcome, learner: Learner, trim: float
) -> dict[tuple[str, Population], Contrast]:
    """Regression and weighting on all rows at once, both together cross-fitted."""
    found: dict[tuple[str, Population], Contrast] = {}
    every = crossed[0]
    whole = crossed
    if learner == "glm":  # boosted predictions alone have no error of their own
        whole = every, fit_nuisance(every, outcome=model, folds=1)
        found["standardised regression", "ate"] = standardised(*whole)
    people, nuisance, _ = overlapping(*crossed, trim)
    found["inverse probability", "ate"] = inverse_probability(*overlapping(*whole, trim)[:2])
    found["overlap weights", "overlap"] = inverse_probability(*whole, "overlap")
    found["AIPW", "ate"] = aipw(people, nuisance)
    found["AIPW, those who join", "att"] = aipw(people, nuisance, "att")
    return found


def _before_after(
    found: dict[tuple[str, Population], Contrast], rows: pl.DataFrame, names: dict[str, Any]
) -> Staggered | None:
    """Add what follows people over time; None where nobody is seen before joining."""
    try:
        trends = staggered_trends(rows, **names, trends=["ratio", "difference"])
    except InputError as refused:
        if "nobody is seen the year before" in refused.problem:
            return None
        raise
    plain = {name: value for name, value in names.items() if name not in ("factors", "level")}
    found["before and after", "att"] = before_and_after(rows, **plain)
    found["ratio DiD", "att"] = trends["ratio"].effect
    found["doubly robust DiD", "att"] = trends["difference"].effect
    return trends["difference"]


def _trend_test(double: Staggered) -> float | None:
    """Two-sided p of the years before joining; None where there are none."""
    if double.lead is None or not double.lead.difference_error > 0:
        return None
    return float(2 * ndtr(-abs(double.lead.difference / double.lead.difference_error)))


def _believed(
    wanted: str | None, names: Sequence[str], p_trend: float | None, *, weak: bool
) -> str:
    if wanted is not None:
        if wanted not in names or wanted == "oracle":
            there = [n for n in names if n != "oracle"]
            raise InputError(
                f"no estimator {wanted!r} here{nearest(wanted, there)}", where="believe"
            )
        return wanted
    if "encouragement" in names and not weak:
        return "encouragement"
    trusted = "doubly robust DiD" in names and (p_trend is None or p_trend >= 0.05)
    return "doubly robust DiD" if trusted else "AIPW, those who join"


def _laid_out(
    table: pl.DataFrame, chosen: str, level: float, truth: float | None, outcome: str
) -> tuple[pl.DataFrame, dict[str, Any]]:
    rows = []
    for row in table.iter_rows(named=True):
        lower, upper = 1 + row["lower"], 1 + row["upper"]
        limit = 1.0 if lower <= 1 <= upper else (upper if upper < 1 else lower)
        assumes, needs = ASSUMES[row["estimator"]]
        rows.append(row | {
            "e_value": e_value(1 + row["relative_effect"]), "e_value_limit": e_value(limit),
            "detectable": 1 - float(np.exp(-SEEN * row["std_error"])),
            "assumes": assumes, "needs": needs,
        })  # fmt: skip
    out = pl.DataFrame(rows)
    one = out.row(by_predicate=pl.col("estimator") == chosen, named=True)
    facts: dict[str, Any] = {
        "level": level, "naive": out["relative_effect"][0], "believed": one["relative_effect"],
        "believed_by": chosen, "population": one["population"], "lower": one["lower"],
        "upper": one["upper"], "estimators": out.height, "outcome": outcome,
        "e_value": one["e_value"], "shown": bool(one["upper"] < 0),
    }  # fmt: skip
    if truth is not None:
        if not (np.isfinite(truth) and truth > -1):
            raise InputError(f"a true effect is a fraction above -1, got {truth}", where="truth")
        facts["truth"] = float(truth)
    return out, facts
