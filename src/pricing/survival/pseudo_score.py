"""Pseudo-score test: whether groups have events at the same mean rate, robust to how a person's events hang together.

U_k = Σ(dN_k − Y_k·dN/Y) over the event times (and strata), the log-rank score with events in place of
exits; its covariance is Σ_i ψ_iψ_iᵀ with ψ_ik = ∫(1{i in k} − Y_k/Y)(dN_i − Y_i·dN_g/Y_g), g the group of
person i, whatever the dependence between the events of a person (Lawless and Nadeau 1995, Technometrics
37; Cook, Lawless and Nadeau 1996, Biometrics 52). χ² = UᵀV⁻U.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtrc

from pricing.errors import InputError
from pricing.experience.domain import listed, require_columns
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.influence import Floats, Grid
from pricing.survival.interval import normal_quantile
from pricing.survival.mean_cumulative import strata_grids
from pricing.survival.recurrent import RecurrentEvents

__all__ = ["PseudoScore", "pseudo_score"]


class PseudoScore(Result):
    """Test of equal mean rates of recurrent events between groups.

    ``.table``: level, lives, repeat_events, expected_repeat_events (were the rates equal), repeat_ratio with lower
    and upper.
    """

    kind = "pseudo_score"

    @property
    def chi_squared(self) -> float:
        """Test statistic."""
        return float(self.facts["chi_squared"])

    @property
    def p_value(self) -> float:
        """Probability of as much or more if the mean rates are equal."""
        return float(self.facts["p_value"])

    def finding(self, lang: Language = "en") -> str:
        """Say whether the groups differ and which has most events."""
        facts = dict(self.facts)
        strata = " × ".join(label(name, lang) for name in facts["strata"])
        named = {
            "factor": label(facts["factor"], lang),
            "most": level_label(facts["most"], lang),
            "p": "< 0.0001" if self.p_value < 1e-4 else f"{self.p_value:.4f}",
            "strata_text": say("sentence.log_rank_strata", lang, strata=strata) if strata else "",
        }
        return say("finding.pseudo_score", lang, **(facts | named))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the events of each group over those expected if all have them alike."""
        return interval_figure(
            self.table["level"].to_list(),
            self.table["repeat_ratio"].to_list(),
            self.table["lower"].to_list(),
            self.table["upper"].to_list(),
            name="repeat_ratio",
            factor=self.facts["factor"],
            lang=lang,
            bars=self.table["lives"].to_list(),
            bars_name="lives",
            reference=1.0,
        )


def pseudo_score(
    seen: RecurrentEvents, factor: str, *, strata: Sequence[str] = (), level: float = 0.95
) -> PseudoScore:
    """Test whether the levels of a factor have events at the same mean rate.

    Parameters
    ----------
    seen : RecurrentEvents
        With ``factor`` and ``strata`` among its ``by``. A terminal event ends the time at risk: the
        rates compared are those of persons still there.
    factor : str
        The groups.
    strata : sequence of str
        Groups are compared within these only.
    level : float
        Confidence level of the ratio of events to expected: U_k/E_k ± z√V_kk/E_k around 1.

    Returns
    -------
    PseudoScore
        ``.chi_squared``, ``.p_value``, ``.table``.

    Raises
    ------
    InputError
        For fewer than two groups, no events, or groups nowhere at risk together.

    Examples
    --------
    >>> persons = pl.DataFrame({"person": [1, 2, 3, 4], "exit": [4.0] * 4, "arm": ["a", "a", "b", "b"]})
    >>> events = pl.DataFrame({"person": [1, 1, 2, 3], "time": [1.0, 2.0, 3.0, 2.0]})
    >>> found = pseudo_score(RecurrentEvents.collect(persons, events, ["arm"]), "arm")
    >>> round(found.chi_squared, 4), round(found.p_value, 4)
    (4.0, 0.0455)
    """
    strata = listed(strata)
    require_columns([factor, *strata], seen.by)
    if factor in strata:
        raise InputError(f"{factor!r} is both the factor and a stratum")
    z = normal_quantile(level)
    groups = seen.persons[factor].unique().sort().to_list()
    if len(groups) < 2:
        raise InputError(f"{factor!r} has one level: {groups[0]!r}", do="give two groups or more")
    if seen.events.is_empty():
        raise InputError("nobody has an event", do="check the source, the dates and the filters")
    blocks: dict[tuple[object, ...], list[tuple[int, Grid]]] = {}
    for key, grid in strata_grids(seen, [*strata, factor]):
        blocks.setdefault(key[:-1], []).append((groups.index(key[-1]), grid))
    many = len(groups)
    observed, expected, covariance = np.zeros(many), np.zeros(many), np.zeros((many, many))
    for members in blocks.values():
        o, e, v = _block(members, many)
        observed, expected, covariance = observed + o, expected + e, covariance + v
    score, variance = observed - expected, np.diag(covariance)
    told = variance > 1e-12 * max(variance.max(), 1e-300)
    degrees = (
        min(int(np.linalg.matrix_rank(covariance[np.ix_(told, told)])), many - 1)
        if told.any()
        else 0
    )
    if not degrees:
        raise InputError(
            "nobody has an event while two groups are at risk: there is nothing to compare",
            do="check the times and the strata",
        )
    inverse = np.linalg.pinv(covariance[np.ix_(told, told)], rcond=1e-10, hermitian=True)
    chi = float(score[told] @ inverse @ score[told])
    lives = seen.persons.group_by(factor).agg(lives=pl.len().cast(pl.Float64)).sort(factor)["lives"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(expected > 0, observed / expected, np.nan)
        reach = z * np.sqrt(np.maximum(variance, 0.0)) / expected
    table = pl.DataFrame({
        "level": [str(g) for g in groups], "lives": lives, "repeat_events": observed,
        "expected_repeat_events": expected, "repeat_ratio": ratio, "lower": np.maximum(ratio - reach, 0.0),
        "upper": ratio + reach,
    }).with_columns(pl.col("repeat_ratio", "lower", "upper").fill_nan(None))  # fmt: skip
    top = int(np.nanargmax(ratio))
    facts = {
        "factor": factor, "chi_squared": chi, "degrees": degrees, "p_value": float(chdtrc(degrees, chi)),
        "most": str(groups[top]), "ratio": float(ratio[top]), "strata": strata, "level": level,
    }  # fmt: skip
    notes = ["pseudo-score test, robust variance with the person as unit"]
    return PseudoScore(
        table=table,
        basis=replace(seen.basis, notes=(*seen.basis.notes, *notes)),
        facts=facts,
        details={"covariance": covariance.tolist(), "score": score.tolist()},
    )


def _block(members: list[tuple[int, Grid]], many: int) -> tuple[Floats, Floats, Floats]:
    """Events, those expected and the covariance of the score, within one stratum."""
    times = np.unique(np.concatenate([grid.times for _, grid in members]))
    risk, count = np.zeros((many, len(times))), np.zeros((many, len(times)))
    own = {}
    for g, grid in members:
        # persons at risk at every time of the stratum, those of the other groups too
        placed = grid.on(times)
        own[g] = placed
        risk[g], count[g] = placed.at_risk, placed.events
    whole = risk.sum(axis=0)
    share = np.divide(risk, whole, out=np.zeros_like(risk), where=whole > 0)
    expected = share @ count.sum(axis=0)
    covariance = np.zeros((many, many))
    for g, grid in own.items():
        rate = np.divide(count[g], risk[g], out=np.zeros(len(times)), where=risk[g] > 0)
        weigh = -share
        weigh[g] += 1.0
        paths = np.stack([grid.totals(w[grid.at] * grid.size, w * rate) for w in weigh])
        covariance += paths @ paths.T
    return count.sum(axis=1), expected, covariance
