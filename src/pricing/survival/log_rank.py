"""Log-rank: whether groups leave at the same rate, weighted over time and stratified.

At every time, U_j = w·(d_j − d·Y_j/Y) with hypergeometric covariance w²·d(Y − d)/(Y − 1)·(Y_j/Y)(δ_jk −
Y_k/Y), summed over times and strata; χ² = UᵀV⁻U. Weights w: 1 (Mantel 1966), Y (Gehan 1965), √Y (Tarone
and Ware 1977), S̃ = Π(1 − d/(Y + 1)) (Peto and Peto 1972), and S^ρ(1 − S)^γ just before
the time (Fleming and Harrington 1991). Klein and Moeschberger, Survival Analysis (2nd ed. 2003), ch. 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtrc

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed, require_columns
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.interval import normal_quantile
from pricing.survival.lives import Lives, within

__all__ = ["LogRank", "Test", "log_rank"]

Test = Literal["log_rank", "gehan", "tarone_ware", "peto", "fleming_harrington"]


class LogRank(Result):
    """Test of equal hazards between groups.

    ``.table``: level, lives, events (weighted as the test weighs them), expected_events, event_ratio
    with lower and upper.
    """

    kind = "log_rank"

    @property
    def chi_squared(self) -> float:
        """Test statistic."""
        return float(self.facts["chi_squared"])

    @property
    def p_value(self) -> float:
        """Probability of as much or more if the hazards are equal."""
        return float(self.facts["p_value"])

    def finding(self, lang: Language = "en") -> str:
        """Say whether the groups differ and which leaves most."""
        facts = dict(self.facts)
        strata = " × ".join(label(name, lang) for name in facts["strata"])
        told = say("sentence.log_rank_strata", lang, strata=strata) if strata else ""
        named = {
            "factor": label(facts["factor"], lang),
            "test_name": level_label(f"test_{facts['test']}", lang),
            "most": level_label(facts["most"], lang),
            "strata_text": told,
        }
        return say("finding.log_rank", lang, **(facts | named))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the exits of each group over those expected if all leave alike."""
        return interval_figure(
            self.table["level"].to_list(),
            self.table["event_ratio"].to_list(),
            self.table["lower"].to_list(),
            self.table["upper"].to_list(),
            name="event_ratio",
            factor=self.facts["factor"],
            lang=lang,
            bars=self.table["lives"].to_list(),
            bars_name="lives",
            reference=1.0,
        )


def log_rank(
    lives: Lives,
    factor: str,
    *,
    strata: Sequence[str] = (),
    cause: str | None = None,
    test: Test = "log_rank",
    rho: float = 1.0,
    gamma: float = 0.0,
    start: float = 0.0,
    level: float = 0.95,
) -> LogRank:
    """Test whether the levels of a factor leave at the same rate.

    Parameters
    ----------
    lives : Lives
        With ``factor`` and ``strata`` among its ``by``; others are added up.
    factor : str
        The groups.
    strata : sequence of str
        Groups are compared within these only.
    cause : str, optional
        One cause of several, the others censored; all together where left out.
    test : {"log_rank", "gehan", "tarone_ware", "peto", "fleming_harrington"}
        How times are weighed.
    rho, gamma : float
        Powers of Fleming and Harrington's weight, 0 or more.
    start : float
        Times after it only.
    level : float
        Confidence level of the ratio of exits to expected: U_j/E_j ± z√V_jj/E_j around 1.

    Returns
    -------
    LogRank
        ``.chi_squared``, ``.p_value``, ``.table``.

    Raises
    ------
    InputError
        For fewer than two groups, no exits, or groups that are nowhere at risk together.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4, 5, 6], "event": [1, 1, 1, 1, 1, 0],
    ...                      "sex": ["m", "m", "f", "m", "f", "f"]})
    >>> found = log_rank(Lives.collect(rows, ["sex"]), "sex")
    >>> round(found.chi_squared, 4), round(found.p_value, 4)
    (2.5567, 0.1098)
    """
    strata = listed(strata)
    require_columns([factor, *strata], lives.by)
    if factor in strata:
        raise InputError(f"{factor!r} is both the factor and a stratum")
    if test not in get_args(Test):
        raise InputError(f"no test {test!r}{nearest(str(test), get_args(Test))}")
    if not (np.isfinite([rho, gamma]).all() and rho >= 0 and gamma >= 0):
        raise InputError(f"the powers are 0 or more, got {rho}, {gamma}")
    if cause is not None and cause not in lives.causes:
        raise InputError(f"no cause {cause!r}{nearest(cause, lives.causes)}")
    z = normal_quantile(level)
    seen = lives.only(*strata, factor)
    groups = seen.exits[factor].unique().sort().to_list()
    if len(groups) < 2:
        raise InputError(f"{factor!r} has one level: {groups[0]!r}", do="give two groups or more")
    event = "events" if cause is None else f"events_{lives.causes.index(cause) + 1}"
    y, d = _crossed(seen, strata, factor, groups, event, start)
    cells = [f"k{i}" for i in range(len(strata))]
    weights = y.select(
        *cells, n=pl.sum_horizontal(_at(groups)), d=d.select(pl.sum_horizontal(_at(groups))).to_series()
    ).with_columns(_weight(test, rho, gamma, cells).alias("w"))  # fmt: skip
    risk, left = (frame.select(_at(groups)).to_numpy() for frame in (y, d))
    n, k, w = (weights[c].to_numpy() for c in ("n", "d", "w"))
    part = risk / n[:, None]
    observed, expected = w @ left, (w * k) @ part
    spread = w**2 * k * _finite_population(n, k)
    covariance = np.diag(spread @ part) - part.T @ (part * spread[:, None])
    score = observed - expected
    variance = np.diag(covariance)
    # a group that is nowhere at risk beside another says nothing
    told = variance > 1e-12 * max(variance.max(), 1e-300)
    degrees = int(np.linalg.matrix_rank(covariance[np.ix_(told, told)])) if told.any() else 0
    if not degrees:
        raise InputError(
            "nobody leaves while two groups are at risk: there is nothing to compare",
            do="check the times, the cause and the start",
        )
    chi = float(score[told] @ np.linalg.pinv(covariance[np.ix_(told, told)]) @ score[told])
    counts = seen.exits.group_by(factor).agg(pl.col("lives").sum()).sort(factor)["lives"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(expected > 0, observed / expected, np.nan)
        reach = z * np.sqrt(variance) / expected
    table = pl.DataFrame({
        "level": [str(g) for g in groups], "lives": counts, "events": observed,
        "expected_events": expected, "event_ratio": ratio, "lower": np.maximum(ratio - reach, 0.0),
        "upper": ratio + reach,
    }).with_columns(pl.col("event_ratio", "lower", "upper").fill_nan(None))  # fmt: skip
    top = int(np.nanargmax(ratio))
    facts = {
        "factor": factor, "test": test, "chi_squared": chi, "degrees": degrees,
        "p_value": float(chdtrc(degrees, chi)), "most": str(groups[top]), "ratio": float(ratio[top]),
        "strata": strata, "level": level, "cause": cause,
    }  # fmt: skip
    name = test + (f"({rho:g}, {gamma:g})" if test == "fleming_harrington" else "")
    notes = [f"{name} test, hypergeometric variance" + (f", cause {cause}" if cause else "")]
    notes += [f"nowhere at risk beside another: {groups[i]}" for i in np.flatnonzero(~told)]
    return LogRank(
        table=table,
        basis=replace(seen.basis, notes=(*seen.basis.notes, *notes)),
        facts=facts,
        details={"covariance": covariance.tolist(), "score": score.tolist()},
    )


def _finite_population(
    n: npt.NDArray[np.float64], d: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(n − d)/(n − 1), at most 1 where lives are whole; held to 1 where weights are fractions of lives."""
    left = np.where(n - d > 1e-12 * n, n - d, 0.0)
    whole = n - 1 > left
    return np.where(whole, left / np.where(whole, n - 1, 1.0), np.where(left > 0, 1.0, 0.0))


def _at(groups: Sequence[object]) -> list[str]:
    return [f"g{i}" for i in range(len(groups))]


def _crossed(
    seen: Lives,
    strata: Sequence[str],
    factor: str,
    groups: Sequence[object],
    event: str,
    start: float,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give lives at risk and leaving at every time of an exit: a row per stratum and time, a column per group.

    Strata are named k0, k1, ... and the factor f: theirs may be any names.
    """
    plain = {name: f"k{i}" for i, name in enumerate(strata)}
    risk = seen.risk(start=start).rename({**plain, factor: "f"})
    strata = list(plain.values())
    keys = [*strata, "time"]
    times = risk.filter(pl.col(event) > 0).select(keys).unique()
    if times.is_empty():
        raise InputError("nobody leaves", do="check the event column, the cause and the start")
    number = pl.DataFrame({"f": groups}, schema={"f": seen.exits.schema[factor]})
    number = number.with_columns(group=pl.Series(_at(groups)))
    grid = times.join(number, how="cross").sort("time")
    told = risk.select(*strata, "f", "time", "at_risk", "after", event, at="time").sort("time")
    # at a time of its own its at_risk; between, what is left after its last time
    found = grid.join_asof(told, on="time", by=[*strata, "f"], check_sortedness=False)
    own = pl.col("at") == pl.col("time")
    # before its first time a group is there in full, unless it enters late
    first = risk.group_by(*strata, "f").agg(
        full=pl.col("at_risk").sort_by("time").first(), least=pl.col("time").min()
    )
    found = found.join(first, on=[*strata, "f"], how="left").with_columns(
        y=pl.when(own)
        .then(pl.col("at_risk"))
        .otherwise(pl.col("after").fill_null(pl.col("full").fill_null(0.0))),
        d=pl.when(own).then(pl.col(event)).otherwise(0.0),
    )
    y, d = (
        found.select(*keys, "group", of)
        .pivot(on="group", on_columns=_at(groups), index=keys, values=of, aggregate_function="sum")
        .sort(keys)
        for of in ("y", "d")
    )
    return y, d


def _weight(test: Test, rho: float, gamma: float, strata: Sequence[str]) -> pl.Expr:
    n, d = pl.col("n"), pl.col("d")
    if test == "log_rank":
        return pl.lit(1.0)
    if test == "gehan":
        return n
    if test == "tarone_ware":
        return n.sqrt()
    if test == "peto":
        return within((1 - d / (n + 1)).cum_prod(), strata)
    before = within((1 - d / n).cum_prod().shift(1, fill_value=1.0), strata)
    return before.pow(rho) * (1 - before).pow(gamma)
