"""What each member bears of the pool's loss under a rule, and how that compares with own loss.

With μ_i and σ_i² mean and variance of a member's own loss X_i, and S = ΣX_i of independent members:

* ``"uniform"``: S/n. The only rule that asks nothing about the members (Dhaene, Kazzi and Valdez 2024,
  arXiv 2411.06240).
* ``"mean_proportional"``: (μ_i/E[S])·S.
* ``"covariance"``: μ_i + (cov(X_i, S)/var(S))·(S − E[S]), cov(X_i, S) = σ_i²: the linear regression of
  X_i on S, to which the conditional mean tends in large pools (Denuit and Robert 2021). It may ask for
  less than nothing where S is small.
* ``"conditional_mean"``: E[X_i | S] (Denuit and Dhaene 2012): the share no member with convex risk
  aversion would exchange for own loss, for X_i exceeds it in convex order.

All add up to S. The last three are fair, E[share] = μ_i; the uniform rule is not, unless all are alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.sharing.pool import Pool, number_given

__all__ = [
    "RULES",
    "Rule",
    "SharedLoss",
    "share_rule",
    "shares_of",
    "spread_out",
    "weighted_quantiles",
]

Array = npt.NDArray[np.float64]
Rule = Literal["uniform", "mean_proportional", "covariance", "conditional_mean"]
RULES: tuple[Rule, ...] = get_args(Rule)
LEVELS = (0.5, 0.95, 0.99)
DRAWN = 200


class SharedLoss(Result):
    """How the loss of a pool is borne under a rule.

    ``.table`` by class: members, own_mean (μ) and own_sd of a member, share_mean and share_sd of what
    is borne, fairness_index = share_mean/μ, variance_reduction = 1 − var(share)/var(X),
    share_p50, share_p95, share_p99, own_p99, share_tail_p99 and own_tail_p99 (means of the worst 1 %),
    share_passes (P(share > line), with a line),
    share_negative (P(share < 0)), share_falls (probability of losses at which the next larger loss
    would lower the share: there a member could gain by claims of others; one year in a million at
    either end is left out).
    ``.frames["shares"]``: member_class, loss, probability that the loss is not passed, share.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([member_class("a", 1, poisson(0.1), sample_severity([1.0])),
    ...                 member_class("b", 1, poisson(0.3), sample_severity([1.0]))])
    >>> share_rule(pool, "conditional_mean").table["share_mean"].round(9).to_list()
    [0.1, 0.3]
    """

    kind = "shared_loss"

    def finding(self, lang: Language = "en") -> str:
        """Say the rule, who bears most against own cost, and what the pool takes off the spread."""
        words = dict(self.facts) | {
            "rule": level_label(str(self.facts["rule"]), lang),
            "highest": level_label(str(self.facts["highest"]), lang),
            "lowest": level_label(str(self.facts["lowest"]), lang),
        }
        said = say("finding.shared_loss", lang, **words)
        if self.facts["highest"]:
            said += say("sentence.share_ratio", lang, **words)
        if self.facts["negative"] > 1e-9:
            said += say("sentence.share_negative", lang, **words)
        if self.facts["falls"] > 1e-9:
            said += say("sentence.share_falls", lang, **words)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share of a member of each class over the pool's loss."""
        shares = self.frames["shares"]
        figure = go.Figure(layout={"template": "pricing"})
        names = spread_out(self.table["member_class"].to_list(), len(SERIES))
        for name, (colour, _) in zip(names, SERIES, strict=False):
            part = shares.filter(pl.col("member_class") == name)
            figure.add_scatter(
                x=part["loss"].to_list(),
                y=part["share_amount"].to_list(),
                mode="lines",
                name=level_label(name, lang),
                line={"color": colour, "width": 2},
            )
        figure.add_vline(x=self.facts["expected"], line={"dash": "dot", "color": "#6B7280"})
        return figure.update_layout(
            xaxis={"title": {"text": f"{label('loss', lang)} ({self.basis.currency})"}},
            yaxis={"title": {"text": f"{label('share_amount', lang)} ({self.basis.currency})"}},
        )

    def distribution_figure(self, lang: Language = "en") -> go.Figure:
        """Draw how likely the share of a member of each class stays at or below an amount."""
        shares = self.frames["shares"]
        figure = go.Figure(layout={"template": "pricing"})
        names = spread_out(self.table["member_class"].to_list(), len(SERIES))
        for name, (colour, _) in zip(names, SERIES, strict=False):
            part = shares.filter(pl.col("member_class") == name).sort("share_amount")
            step = part["probability"].diff().fill_null(part["probability"].first())
            figure.add_scatter(
                x=part["share_amount"].to_list(),
                y=step.cum_sum().to_list(),
                mode="lines",
                name=level_label(name, lang),
                line={"color": colour, "width": 2, "shape": "hv"},
            )
        if self.facts["line"] is not None:
            figure.add_vline(x=self.facts["line"], line={"dash": "dash", "color": "#6B7280"})
        return figure.update_layout(
            xaxis={"title": {"text": f"{label('share_amount', lang)} ({self.basis.currency})"}},
            yaxis={
                "title": {"text": label("probability", lang)},
                "tickformat": ".0%",
                "rangemode": "tozero",
            },
        )


def share_rule(pool: Pool, rule: str, *, line: float | None = None) -> SharedLoss:
    """Share the loss of a pool among its members by a rule.

    Parameters
    ----------
    pool : Pool
        See :func:`pricing.sharing.pool.pool_of`.
    rule : {"uniform", "mean_proportional", "covariance", "conditional_mean"}
        See the module.
    line : float, optional
        Amount, currency, whose passing by a member's share is looked at.

    Returns
    -------
    SharedLoss
        ``.facts``: rule, expected, sd, currency, line, payers, gini of the fairness index over the covered
        payers, highest and lowest class with their index, least variance_reduction, sd_left (√(1 − that)), negative and
        falls (largest of a class), and linear_gap: the largest distance of the share from the
        covariance rule over the middle 99.8 % of years, as a part of the mean.

    Raises
    ------
    InputError
        For an unknown rule, a line below zero, a covariance rule without finite variances.

    Examples
    --------
    >>> from pricing.losses.count_law import binomial_count
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([
    ...     member_class("young", 2000, binomial_count(1, 0.001), sample_severity([3.0])),
    ...     member_class("old", 1000, binomial_count(1, 0.004), sample_severity([1.0]))])
    >>> share_rule(pool, "uniform").table["fairness_index"].round(4).to_list()
    [1.1111, 0.8333]
    """
    shares = shares_of(pool, rule)
    line = None if line is None else number_given(line, "the line of a share")
    if line is not None and not (math.isfinite(line) and line >= 0):
        raise InputError(f"the line of a share is an amount of zero or more, got {line}")
    p, mean = pool.probability, pool.mean
    borne = shares @ p
    spread = np.sqrt(((shares - borne[:, None]) ** 2 @ p).clip(0))
    index = _ratio(borne, mean)
    reduction = [
        None if v <= 0 else 1 - float(s) ** 2 / float(v)
        for s, v in zip(spread, pool.variance, strict=True)
    ]
    quantiles = weighted_quantiles(shares, p, LEVELS)
    hair = 1e-9 * max(float(np.abs(shares).max()), 1e-300)
    falls = _falls(pool, shares, hair)
    columns: dict[str, Any] = {
        "member_class": pool.names,
        "members": [one.members for one in pool.classes],
        "own_mean": mean,
        "own_sd": np.sqrt(pool.variance),
        "share_mean": borne,
        "share_sd": spread,
        "fairness_index": index,
        "variance_reduction": reduction,
        "share_p50": quantiles[:, 0],
        "share_p95": quantiles[:, 1],
        "share_p99": quantiles[:, 2],
        "share_tail_p99": quantiles[:, 2] + ((shares - quantiles[:, 2:]).clip(0) @ p) / 0.01,
        "own_p99": pool.own_risk[:, 0],
        "own_tail_p99": pool.own_risk[:, 1],
        "share_negative": (shares < -hair) @ p,
        "share_falls": falls,
    }
    if line is not None:
        columns["share_passes"] = (shares > line + hair) @ p
    table = pl.DataFrame(
        columns,
        schema_overrides=dict.fromkeys(("fairness_index", "variance_reduction"), pl.Float64),
    )
    judged = table.filter(pl.col("fairness_index").is_not_null() & pl.Series(pool.paying))
    first = judged.sort(pl.col("fairness_index").round(6), maintain_order=True)
    facts = {
        "rule": rule,
        "line": line,
        "expected": pool.expected,
        "sd": pool.sd,
        "currency": pool.basis.currency,
        "payers": int(pool.members @ pool.paying),
        "gini": _gini(judged["fairness_index"].to_numpy(), judged["members"].to_numpy()),
        "highest": first["member_class"][-1] if first.height else "",
        "highest_index": first["fairness_index"][-1] if first.height else 0.0,
        "lowest": first["member_class"][0] if first.height else "",
        "lowest_index": first["fairness_index"][0] if first.height else 0.0,
        "variance_reduction": min((v for v in reduction if v is not None), default=0.0),
        "sd_left": math.sqrt(1 - min((v for v in reduction if v is not None), default=0.0)),
        "negative": float(table["share_negative"].max()),  # type: ignore[arg-type]
        "falls": float(table["share_falls"].max()),  # type: ignore[arg-type]
        "linear_gap": _linear_gap(pool, shares),
    }
    basis = replace(pool.basis, fingerprint=fingerprint(pool.basis.fingerprint, rule, repr(line)))
    return SharedLoss(
        table=table, basis=basis, facts=facts, frames={"shares": _drawn(pool, shares)}
    )


def shares_of(pool: Pool, rule: str) -> Array:
    """Compute the share of one member by class at every point of the pool's loss.

    What falls to members who do not pay is spread evenly over those who do.

    Parameters
    ----------
    pool : Pool
        The pool.
    rule : str
        One of :data:`RULES`.

    Returns
    -------
    numpy.ndarray
        Currency, shape (classes, points); Σ members·share is the loss at every point.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([member_class("a", 2, poisson(0.1), sample_severity([1.0]))])
    >>> shares_of(pool, "uniform")[0, :3].tolist()
    [0.0, 0.5, 1.0]
    """
    if rule not in RULES:
        raise InputError(f"no rule {rule!r} of sharing{nearest(str(rule), RULES)}")
    loss, n = pool.loss, float(pool.members.sum())
    found: Array
    if rule == "uniform":
        found = np.tile(loss / n, (len(pool.classes), 1))
    elif rule == "mean_proportional":
        found = np.outer(pool.mean / pool.expected, loss)
    elif rule == "covariance":
        endless = [
            one.name
            for one in pool.classes
            if one.severity is not None and not math.isfinite(one.severity.power(2))
        ]
        if endless:
            raise InputError(
                f"no variance is finite of: {', '.join(endless[:5])}",
                do="set a limit on a claim, or take mean_proportional or conditional_mean",
            )
        found = pool.regression(loss)
    else:
        found = pool.conditional.copy()
    if not pool.paying.all():
        unpaid = (pool.members * ~pool.paying) @ found
        found += unpaid / float(pool.members @ pool.paying)
        found[~pool.paying] = 0.0
    return found


def weighted_quantiles(values: Array, probability: Array, levels: Sequence[float]) -> Array:
    """Give quantiles of each row of values that share their probabilities.

    Examples
    --------
    >>> weighted_quantiles(np.array([[3.0, 1.0]]), np.array([0.4, 0.6]), [0.5, 0.9]).tolist()
    [[1.0, 3.0]]
    """
    return np.array([_at(row, probability, levels) for row in values])  # a class at a time


def spread_out(names: Sequence[str], most: int) -> list[str]:
    """At most so many of the names, first and last among them.

    Examples
    --------
    >>> spread_out(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    if len(names) <= most:
        return list(names)
    return [names[round(k)] for k in np.linspace(0, len(names) - 1, most)]


def _at(values: Array, probability: Array, levels: Sequence[float]) -> Array:
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(probability[order])
    at = np.searchsorted(sums, np.asarray(levels) - 1e-12).clip(max=values.size - 1)
    return np.asarray(values[order][at])


def _ratio(borne: Array, mean: Array) -> list[float | None]:
    return [None if m <= 0 else float(b) / float(m) for b, m in zip(borne, mean, strict=True)]


def _gini(ratio: Array, members: Array) -> float:
    """Gini index of the fairness index over members: 0 where all bear their own cost alike."""
    order = np.argsort(ratio, kind="stable")
    w, x = members[order].astype(float), ratio[order]
    total = float(w @ x)
    if x.size == 0 or total <= 0:
        return 0.0
    w = w / w.sum()
    mean = float(w @ x)
    below = np.cumsum(w) - w / 2
    return float(2 * (w * x) @ (below - 0.5) / mean)


def _falls(pool: Pool, shares: Array, hair: float) -> Array:
    """Probability of losses whose next larger one lowers the share, but for one year in a million."""
    inside = (pool.loss[:-1] >= pool.quantile(1e-6)) & (pool.loss[1:] <= pool.quantile(1 - 1e-6))
    fall = -np.diff(shares, axis=1)
    fall -= 1e-5 * np.abs(shares[:, :-1]) + hair  # what rounding errors may come to
    return np.asarray((fall > 0) @ (pool.probability[:-1] * inside))


def _linear_gap(pool: Pool, shares: Array) -> float:
    """Largest distance from the regression line in the middle of years, in parts of the mean."""
    some = (pool.loss >= pool.quantile(0.001)) & (pool.loss <= pool.quantile(0.999))
    some &= pool.probability > 1e-12
    line = pool.regression(pool.loss[some])
    has = (pool.mean > 0) & pool.paying
    gap = np.abs(shares[:, some] - line)[has] / pool.mean[has, None]
    return float(gap.max()) if gap.size else 0.0


def _drawn(pool: Pool, shares: Array) -> pl.DataFrame:
    """Shares at up to 200 losses from one in a thousand to one in a thousand."""
    low, high = pool.quantile(0.001), pool.quantile(0.999)
    inside = np.flatnonzero((pool.loss >= low) & (pool.loss <= high))
    at = inside[np.unique(np.linspace(0, inside.size - 1, DRAWN).round().astype(int))]
    sums = np.cumsum(pool.probability)
    return pl.DataFrame(
        {
            "member_class": np.repeat(np.array(pool.names, dtype=object), at.size).tolist(),
            "loss": np.tile(pool.loss[at], len(pool.classes)),
            "probability": np.tile(sums[at], len(pool.classes)),
            "share_amount": shares[:, at].ravel(),
        }
    )
