"""Membership over time: joiners wait, cases lag behind members, members leave when the share is too dear.

Members are counted by risk class and age. A period t:

1. covered members fall ill with i(x)·r/P, r the relative risk of their class, P periods a year;
2. the cases diagnosed ``lag`` periods ago are published and shared by those who pay;
3. each pays s; at a year's rate S = P·s a member of own cost c = (1 + fee)·B(x)·i(x)·r leaves within the
   year with probability expit(logit(base) + response·log(S/c));
4. who fell ill is helped and leaves with it: nobody is helped twice;
5. joiners come in with a waiting period before them, fewer when the share rises; everybody grows older.

Because own cost counts, the low risks leave first: selection. With no response nobody is selected.
Expected values by default; with ``paths`` numbers are drawn (binomial cases and leaving, Poisson joiners).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import expit, logit

from pricing.data.rates import RateTable
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.cross_subsidy import unisex
from pricing.mutual_aid.rules import AidRules
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["AidMembership", "Behaviour", "project_membership"]

Floats = npt.NDArray[np.float64]


class AidMembership(Result):
    """Members and share by period; ``.table``: aid_period, years_since_start, members, in_cover, payers, cases
    (published), aid, aid_share, share_a_year, mean_age, mean_risk; with paths also share_lower,
    share_upper, members_lower, members_upper (5 and 95 %).

    ``.facts``: peak, peak_period, last_members, last_share, left_share (of the peak), mean_risk at
    first and last, unravels, unpaid (share of the last year's aid and fee that the caps leave unpaid).
    """

    kind = "aid_membership"

    def finding(self, lang: Language = "en") -> str:
        """Say the peak, what is left of it, the share then, and whether the plan unravels."""
        said = say("finding.aid_membership", lang, **self.facts)
        capped = self.facts["unpaid"] > 0.005
        key = "aid_unravels" if self.facts["unravels"] else "aid_capped" if capped else "aid_holds"
        return said + say(f"sentence.{key}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw members as bars and the share as a line over the years."""
        figure = go.Figure(layout={"template": "pricing"})
        years = self.table["years_since_start"].to_list()
        figure.add_bar(
            x=years,
            y=self.table["members"].to_list(),
            name=label("members", lang),
            marker={"color": COLOURS["bars"]},
            yaxis="y2",
        )
        if "share_lower" in self.table.columns:
            edge: dict[str, Any] = {"mode": "lines", "line": {"width": 0}, "showlegend": False}
            figure.add_scatter(x=years, y=self.table["share_upper"].to_list(), **edge)
            figure.add_scatter(
                x=years,
                y=self.table["share_lower"].to_list(),
                fill="tonexty",
                fillcolor="rgba(0,114,178,0.22)",
                **edge,
            )
        figure.add_scatter(
            x=years,
            y=self.table["share_a_year"].to_list(),
            name=label("share_a_year", lang),
            mode="lines",
            line={"width": 3, "color": COLOURS["estimate"]},
        )
        return figure.update_layout(
            bargap=0,
            xaxis={"title": {"text": label("years_since_start", lang)}},
            yaxis={
                "title": {"text": f"{label('share_a_year', lang)} ({self.basis.currency})"},
                "overlaying": "y2",
                "rangemode": "tozero",
            },
            yaxis2={
                "title": {"text": label("members", lang)},
                "side": "right",
                "showgrid": False,
                "rangemode": "tozero",
            },
        )


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How members join, leave and differ in risk.

    Attributes
    ----------
    leave_base : float
        Yearly probability of leaving when the share equals the own cost, above 0 and below 1.
    leave_response : float
        Change of the log-odds of leaving per unit of log(share / own cost); 0 for none.
    joiners : float
        Joiners in the first year, 0 or more.
    joiner_growth : float
        Yearly growth of the joiners, such as -0.3 for 30 % fewer every year.
    joiner_response : float
        Elasticity of joiners to share over expected share, 0 or more: joiners × (S/S₀)^−elasticity,
        never above what growth gives.
    risks : tuple of (share, relative risk)
        Risk classes of joiners: shares add up to 1; (1, 1) for one class.
    lag_periods : int
        Periods from diagnosis to publication.
    honorary_share, assisted_share : float
        Honorary and assisted members as shares of the members in cover.
    incidence_factor : float
        Everybody's incidence against the table (strict checks, healthy members).

    Examples
    --------
    >>> Behaviour().leave_response
    1.0
    """

    leave_base: float = 0.05
    leave_response: float = 1.0
    joiners: float = 0.0
    joiner_growth: float = 0.0
    joiner_response: float = 0.0
    risks: tuple[tuple[float, float], ...] = ((0.8, 0.75), (0.2, 2.0))
    lag_periods: int = 4
    honorary_share: float = 0.0
    assisted_share: float = 0.0
    incidence_factor: float = 1.0

    def __post_init__(self) -> None:
        shares = [share for share, _ in self.risks]
        faults = [
            text
            for wrong, text in (
                (not 0 < self.leave_base < 1, f"leave_base {self.leave_base}: above 0, below 1"),
                (
                    not 0 <= self.leave_response <= 50,
                    f"leave_response {self.leave_response}: 0 to 50",
                ),
                (not 0 <= self.joiners < 1e12, f"joiners {self.joiners}: zero or more"),
                (
                    not -1 <= self.joiner_growth <= 10,
                    f"joiner_growth {self.joiner_growth}: -1 to 10",
                ),
                (
                    not 0 <= self.joiner_response <= 50,
                    f"joiner_response {self.joiner_response}: 0 to 50",
                ),
                (
                    not self.risks or abs(sum(shares) - 1) > 1e-9 or min(shares) < 0,
                    f"shares of the risk classes {shares} do not add up to 1",
                ),
                (
                    not all(0 < risk < 1000 for _, risk in self.risks),
                    f"relative risks {[risk for _, risk in self.risks]}: above zero",
                ),
                (
                    self.lag_periods != int(self.lag_periods) or not 0 <= self.lag_periods <= 500,
                    f"lag_periods {self.lag_periods}: whole, zero or more",
                ),
                (
                    not 0 <= self.honorary_share < 10,
                    f"honorary_share {self.honorary_share}: 0 to 10",
                ),
                (not 0 <= self.assisted_share < 1, f"assisted_share {self.assisted_share}: 0 to 1"),
                (not 0 < self.incidence_factor < 100, f"incidence_factor {self.incidence_factor}"),
            )
            if wrong
        ]
        if faults:
            raise InputError("behaviour that cannot be", faults=faults)


def project_membership(
    rules: AidRules,
    members: Mapping[int, float],
    incidence: RateTable,
    *,
    years: int = 5,
    behaviour: Behaviour | None = None,
    waiting_at_start: bool = True,
    paths: int = 0,
    seed: int = 0,
) -> AidMembership:
    """Project members, cases and shares.

    Parameters
    ----------
    rules : AidRules
        Benefit, fee, caps, waiting period, periods a year.
    members : mapping of int to float
        Members at the start by age; joiners come in the same mix of ages.
    incidence : RateTable
        First incidence a year by age; where it has both sexes their plain mean.
    years : int
        1 to 60.
    behaviour : Behaviour, optional
        Joining, leaving and risk.
    waiting_at_start : bool
        Whether the members at the start still have their waiting period before them; if not, the
        cases of the last ``lag_periods`` are on their way.
    paths : int
        0 for expected values; else so many simulated courses, and the table holds their mean.
    seed : int
        Of the simulation; the same seed gives the same paths.

    Returns
    -------
    AidMembership
        ``unravels`` is true where, at the end, fewer than half are left of those there would be if
        nobody minded the price, and the share is more than half above what it would be then.

    Raises
    ------
    InputError
        For ages without incidence or benefit, and numbers outside their domain.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> start = {age: 10_000.0 for age in range(20, 60)}
    >>> found = project_membership(aid_rules("xiang_hu_bao"), start, rate_table("cn_ci_2020", "ci4"),
    ...     years=2, behaviour=Behaviour(leave_response=0.0, joiners=40_000.0))
    >>> found.table.height, found.facts["unravels"]
    (48, False)
    """
    act = behaviour or Behaviour()
    for name, value, low, high in (("years", years, 1, 60), ("paths", paths, 0, 10_000)):
        if value != int(value) or not low <= value <= high:
            raise InputError(f"{name} {value}; a whole number from {low} to {high}")
    if seed != int(seed) or seed < 0:
        raise InputError(f"a seed is a whole number, zero or more, got {seed}")
    given = {int(age): float(number) for age, number in members.items()}
    if (
        not given
        or not all(np.isfinite(n) and n >= 0 for n in given.values())
        or not any(given.values())
    ):
        raise InputError("members by age: zero or more each, one at least above zero")
    low, high = min(given), rules.exit_age - 1
    if max(given) > high:
        raise InputError(f"members of {max(given)}; the plan ends at {rules.exit_age}")
    age = np.arange(low, high + 1)
    rates = unisex(incidence).filter(pl.col("age").is_between(low, high))
    benefit = rules.benefit_at(age)
    if rates.height < age.size or np.isnan(benefit).any():
        raise InputError(f"ages {low} to {high} lack incidence or benefit", where=incidence.name)
    rate, periods = rates["rate"].to_numpy(), int(years) * rules.periods
    course = _Course(rules, act, age, benefit, rate, given, int(paths), int(seed))
    rows = course.run(periods, waiting_at_start)
    still = replace(act, leave_response=0.0, joiner_response=0.0)
    calm = _Course(rules, still, age, benefit, rate, given, 0, 0).run(periods, waiting_at_start)
    return _result(rules, act, incidence, rows, calm, int(paths), int(seed))


class _Course:
    """Members by path, risk class and age, moved on by one period at a time."""

    def __init__(
        self, rules: AidRules, act: Behaviour, age: npt.NDArray[np.int64], benefit: Floats,
        rate: Floats, start: Mapping[int, float], paths: int, seed: int,
    ) -> None:  # fmt: skip
        self.rules, self.act, self.age, self.benefit = rules, act, age, benefit
        self.random = np.random.default_rng(seed) if paths else None
        risk = np.array([r for _, r in act.risks])
        self.risk = risk
        self.rate = rate * risk[:, None] * act.incidence_factor
        self.cost = (1 + rules.fee) * benefit * self.rate
        mix = np.array([start.get(int(a), 0.0) for a in age])
        self.mix = np.array([s for s, _ in act.risks])[:, None] * mix / mix.sum()
        self.size = float(mix.sum())
        self.n = max(paths, 1)
        self.covered = np.zeros((self.n, *self.mix.shape))
        self.wait = ceil(rules.waiting_days / (365.25 / rules.periods))
        self.queue = [np.zeros_like(self.covered) for _ in range(self.wait)]
        self.expected = float((self.mix * self.cost).sum())

    def run(self, periods: int, waiting: bool) -> dict[str, Floats]:
        """Give what is told of each period, arrays of shape (periods, paths)."""
        rules, act, per = self.rules, self.act, self.rules.periods
        start = np.broadcast_to(self.size * self.mix, self.covered.shape)
        start = start.copy() if self.random is None else self._split(start)
        if waiting and self.wait:
            self.queue[-1] += start
        else:
            self.covered += start
        amounts, band = np.unique(self.benefit, return_inverse=True)
        usual = (self.covered * np.minimum(self.rate / per, 1.0)).sum(axis=1)
        sums = [usual[:, band == k].sum(axis=1) for k in range(amounts.size)]
        # a plan past its waiting period has cases on their way
        late = [np.stack(sums, axis=1) for _ in range(act.lag_periods)]
        seen: dict[str, list[Floats]] = {name: [] for name in _TOLD}
        recent: list[Floats] = []
        spent = np.zeros(self.n)
        for t in range(periods):
            ill = self.covered * np.minimum(self.rate / per, 1.0)
            if self.random is not None:
                chance = np.minimum(self.rate / per, 1.0)
                ill = self.random.binomial(self.covered.astype(np.int64), chance).astype(float)
            by_age = ill.sum(axis=1)
            diagnosed = np.stack(
                [by_age[:, band == k].sum(axis=1) for k in range(amounts.size)], axis=1
            )
            late.append(diagnosed)
            published = late.pop(0)
            in_cover = self.covered.sum(axis=(1, 2))
            waiting_now = sum((q.sum(axis=(1, 2)) for q in self.queue), np.zeros(self.n))
            payers = in_cover * (1 - act.assisted_share + act.honorary_share)
            if rules.pays_while_waiting:
                payers = payers + waiting_now * (1 - act.assisted_share)
            some = np.maximum(payers, 1.0)
            each = (1 + rules.fee) * amounts / some[:, None]
            if rules.cap_per_case is not None:
                each = np.minimum(each, rules.cap_per_case)
            share = np.where(payers >= 1, (published * each).sum(axis=1), 0.0)
            most = np.inf if rules.cap_per_year is None else rules.cap_per_year
            spent = np.zeros(self.n) if t % per == 0 else spent
            share = np.minimum(share, np.maximum(most - spent, 0.0))
            spent = spent + share
            recent = [*recent, share][-per:]
            yearly = np.minimum(np.mean(recent, axis=0) * per, most)
            everyone = self.covered + sum(self.queue, np.zeros_like(self.covered))
            total = np.maximum(everyone.sum(axis=(1, 2)), 1e-12)
            told = (
                in_cover + waiting_now, in_cover, payers, published.sum(axis=1),
                published @ amounts, share, yearly,
                (everyone.sum(axis=1) @ self.age) / total,
                (everyone.sum(axis=2) @ self.risk) / total,
            )  # fmt: skip
            for name, value in zip(_TOLD, told, strict=True):
                seen[name].append(np.asarray(value, dtype=float))
            # who is helped is not helped again: membership ends
            self.covered = self.covered - ill
            silent = act.lag_periods + self.wait if waiting else 0
            self._leave(yearly, len(recent) > silent)
            self._move(t, yearly)
        return {name: np.array(values) for name, values in seen.items()}

    def _leave(self, yearly: Floats, settled: bool) -> None:
        act, per = self.act, self.rules.periods
        ratio = np.log(np.maximum(yearly, 1e-9)[:, None, None] / np.maximum(self.cost, 1e-12))
        free = np.full(self.covered.shape, logit(act.leave_base))
        # before a first full round of cases the share says nothing yet
        odds = free + act.leave_response * (ratio if settled else np.minimum(ratio, 0.0))
        chance = 1 - (1 - expit(odds)) ** (1 / per)
        self.covered = self._less(self.covered, chance)
        self.queue = [self._less(q, chance) for q in self.queue]

    def _less(self, members: Floats, chance: Floats) -> Floats:
        if self.random is None:
            return members * (1 - chance)
        return members - self.random.binomial(members.astype(np.int64), chance)

    def _move(self, t: int, yearly: Floats) -> None:
        act, per = self.act, self.rules.periods
        if self.wait:
            self.covered = self.covered + self.queue[0]
        joiners = act.joiners / per * (1 + act.joiner_growth) ** (t / per)
        ratio = np.maximum(yearly / max(self.expected, 1e-12), 1e-12)
        coming = joiners * np.minimum(ratio**-act.joiner_response, 1.0)
        new = coming[:, None, None] * self.mix
        if self.random is not None:
            new = self.random.poisson(new).astype(float)
        if self.wait:
            self.queue = [*self.queue[1:], new]
        else:
            self.covered = self.covered + new
        self.covered = self._older(self.covered)
        self.queue = [self._older(q) for q in self.queue]

    def _older(self, members: Floats) -> Floats:
        """One in P has a birthday in a period; at the age of exit membership ends."""
        if self.random is None:
            up = members / self.rules.periods
        else:
            up = self.random.binomial(members.astype(np.int64), 1 / self.rules.periods).astype(
                float
            )
        moved = members - up
        moved[..., 1:] += up[..., :-1]
        return moved

    def _split(self, expected: Floats) -> Floats:
        assert self.random is not None
        return np.floor(expected) + (self.random.random(expected.shape) < expected % 1)


_TOLD = (
    "members", "in_cover", "payers", "cases", "aid", "aid_share", "share_a_year", "mean_age", "mean_risk",
)  # fmt: skip


def _result(
    rules: AidRules, act: Behaviour, incidence: RateTable, rows: dict[str, Floats],
    calm: dict[str, Floats], paths: int, seed: int,
) -> AidMembership:  # fmt: skip
    per = rules.periods
    periods = rows["aid_share"].shape[0]
    mean = {name: values.mean(axis=1) for name, values in rows.items()}
    columns: dict[str, Any] = {
        "aid_period": np.arange(1, periods + 1),
        "years_since_start": np.arange(1, periods + 1) / per,
        **mean,
    }
    if paths:
        for name, source in (("share", "share_a_year"), ("members", "members")):
            low, high = np.quantile(rows[source], [0.05, 0.95], axis=1)
            columns |= {f"{name}_lower": low, f"{name}_upper": high}
    table = pl.DataFrame(columns)
    crowd = mean["members"]
    peak = int(np.argmax(crowd))
    back = max(periods - per, 1) - 1
    falls = crowd[-1] / max(crowd[back], 1e-12)
    against = float(crowd[-1] / max(calm["members"][-1].mean(), 1e-12))
    usual = float(calm["share_a_year"][-1].mean())
    dearer = float(mean["share_a_year"][-1] / usual) if usual > 0 else 1.0
    owed = (1 + rules.fee) * float(mean["aid"][-per:].sum())
    paid = float((mean["aid_share"] * mean["payers"])[-per:].sum())
    facts: dict[str, Any] = {
        "unpaid": max(1 - paid / owed, 0.0) if owed > 0 else 0.0,
        "plan": rules.name, "years": periods / per, "peak": float(crowd[peak]),
        "peak_year": (peak + 1) / per, "last_members": float(crowd[-1]),
        "left_share": float(crowd[-1] / max(crowd[peak], 1e-12)),
        "last_share": float(mean["share_a_year"][-1]),
        "highest_share": float(mean["share_a_year"].max()),
        "first_risk": float(mean["mean_risk"][0]), "last_risk": float(mean["mean_risk"][-1]),
        "last_year_change": float(falls - 1), "against_calm": against, "dearer": dearer,
        "unravels": bool(against < 0.5 and dearer > 1.5),
        "paths": paths, "currency": rules.currency,
    }  # fmt: skip
    return AidMembership(
        table=table,
        basis=Basis(
            source=f"{rules.source}; {incidence.source or incidence.name}",
            currency=rules.currency,
            rows=periods,
            fingerprint=fingerprint(repr(rules), repr(act), str(seed), table.write_json()),
            notes=(
                f"{paths} paths, seed {seed}" if paths else "expected values",
                f"leaving: {act.leave_base:g} a year at the own cost, log-odds {act.leave_response:g} "
                "per log of share over own cost",
                f"cases published {act.lag_periods} periods after diagnosis; who fell ill is "
                "helped once and counted out from then on; no deaths",
                *(
                    ()
                    if rules.cap_per_year is None
                    else ("the cap of a year is counted from the start, for all members alike",)
                ),
                "unravels: fewer than half of the members there would be if nobody minded the price, "
                "and a share more than half above what it would be then",
            ),
        ),
        facts=facts,
    )
