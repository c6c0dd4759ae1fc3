"""Value of a service per claimant: repeat claims it avoids, at their mean cost, less what it costs.

With the mean rate e^{xβ}dΛ₀ outside the service, its ratio θ inside (Lin, Wei, Yang and Ying 2000) and S(t)
the share still covered of those covered after d, a claimant who joins at d avoids (1 − θ)·Ē·∫_d^h S(t−)dΛ₀(t)
claims by h, Ē the mean of e^{xβ} over the claimants. Times the mean cost of a repeat claim, less the service's cost, that is its
value; the cost at which it is 0 is the break-even. Errors by the delta method on what each person adds to
β, Λ₀, S, Ē and the mean cost (its influence), summed by person, so that all dependence is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.influence import Floats, Whole
from pricing.survival.interval import normal_quantile
from pricing.survival.lives import Unit
from pricing.survival.recurrent import DIGITS
from pricing.survival.repeat_model import RepeatModel, event_intervals, fit_repeat

__all__ = ["RepeatValue", "repeat_value"]


class RepeatValue(Result):
    """What a service after a claim is worth per claimant, by horizon.

    ``.table``: horizon, repeat_claims (a claimant has outside the service, from joining on), avoided with
    avoided_lower and avoided_upper, mean_cost (of a repeat claim), saving with saving_lower and
    saving_upper, time_in_service, service_cost, net_value with net_value_lower and net_value_upper,
    break_even (cost of the service at which its value is 0, all at once) and break_even_rate (by unit of
    time in the service).
    """

    kind = "repeat_value"

    def finding(self, lang: Language = "en") -> str:
        """Say what the service avoids, saves and may cost."""
        unit = level_label(f"unit_{self.facts['unit']}", lang)
        said = say("finding.repeat_value", lang, **(dict(self.facts) | {"unit_name": unit}))
        return said + say(f"sentence.repeat_value_{self.facts['verdict']}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the saving by horizon with its interval beside what the service costs."""
        table = self.table
        places = [f"{h:g}" for h in table["horizon"]]
        figure = interval_figure(
            places,
            table["saving"].to_list(),
            table["saving_lower"].to_list(),
            table["saving_upper"].to_list(),
            name="saving",
            factor="horizon",
            lang=lang,
        )
        with_points(figure, places, table["service_cost"].to_list(), name="service_cost", lang=lang)
        unit = level_label(f"unit_{self.facts['unit']}", lang)
        title = (
            f"{label('horizon', lang)} ({unit})"
            if lang == "en"
            else f"{label('horizon', lang)}（{unit}）"
        )
        figure.update_xaxes(title={"text": title})
        return figure.update_yaxes(rangemode="tozero")


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Rows of the model as arrays, with each person's number."""

    fit: RepeatModel
    x: Floats  # of every row
    relative: Floats
    entry: Floats
    exit: Floats
    event: Floats
    person: Whole
    many: int
    last: Floats  # exit, died of every person
    died: Floats
    outside: Floats  # design of every person, outside the service


def repeat_value(
    persons: pl.DataFrame,
    events: pl.DataFrame,
    others: str = "",
    *,
    horizons: Sequence[float] = (12.0, 24.0),
    service_cost: float = 0.0,
    cost_rate: float = 0.0,
    joins_at: float = 0.0,
    joined: str = "joined",
    person: str = "person",
    exit: str = "exit",
    died: str | None = None,
    time: str = "time",
    amount: str = "amount",
    unit: Unit = "month",
    level: float = 0.95,
    basis: Basis | None = None,
) -> RepeatValue:
    """Estimate the value of a service per claimant that joins it, with its interval and break-even cost.

    Parameters
    ----------
    persons : polars.DataFrame
        One row per claimant, followed from the close of the index claim (time 0), with the time of
        joining (null: never) and the covariates of ``others``.
    events : polars.DataFrame
        One row per repeat claim: person, time, amount.
    others : str
        Further terms of the formula, such as ``"age_band + chronic"``.
    horizons : sequence of float
        Times since the close, above ``joins_at``, within the time observed.
    service_cost : float
        Cost per claimant who joins, once, in currency.
    cost_rate : float
        Cost per unit of time in the service while covered, in currency.
    joins_at : float
        Time since the close at which the claimant joins; it is then still covered.
    joined, person, exit, time, amount : str
        Columns.
    died : str, optional
        Yes or no, whether cover ended by death or lapse; else nobody leaves cover.
    unit, level, basis
        As of :func:`pricing.survival.repeat_model.fit_repeat`.

    Returns
    -------
    RepeatValue

    Raises
    ------
    InputError
        For horizons out of the time observed, negative costs, no time in the service; as
        :func:`pricing.survival.repeat_model.fit_repeat`.

    Notes
    -----
    The mean cost is that of all repeat claims: the service is taken to change their number, not their
    size. Claims of a person at the same time are one with their amounts added.

    Examples
    --------
    >>> persons = pl.DataFrame({"person": [1, 2, 3, 4, 5, 6], "exit": [9.0, 8, 7, 6, 9, 9],
    ...                         "joined": [3.0, None, 2.0, 1.0, None, None]})
    >>> events = pl.DataFrame({"person": [1, 2, 2, 3, 4, 5, 6], "time": [4.0, 1, 7, 5, 3, 6, 8],
    ...                        "amount": [10.0, 20, 30, 10, 20, 30, 20]})
    >>> found = repeat_value(persons, events, horizons=[6.0], service_cost=5.0)
    >>> found.table["mean_cost"].item()
    20.0
    """
    z = normal_quantile(level)
    require_columns([joined, exit, *([died] if died else [])], persons.columns)
    require_columns([person, time, amount], events.columns)
    horizons = _require(persons, horizons, service_cost, cost_rate, joins_at, exit)
    amounts = events.with_columns(pl.col(amount).cast(pl.Float64))
    if bad := amounts.filter(
        ~(pl.col(amount).is_finite() & (pl.col(amount) >= 0)).fill_null(False)
    ).height:
        raise InputError(f"{bad:,} amounts are null, not finite or negative", where=amount)
    rows = event_intervals(
        persons, events, person=person, exit=exit, time=time,
        switches={"in_service": joined}, tied="one",
    )  # fmt: skip
    if rows["in_service"].n_unique() < 2:
        raise InputError(
            "there is no time in the service, or none outside: nothing to compare",
            do=f"check {joined!r}: the time of joining from the same start as {exit!r}",
        )
    fit = fit_repeat(
        rows, "in_service" + (f" + {others}" if others else ""), person=person,
        base={"in_service": "no"}, ties="breslow", unit=unit, level=level, basis=basis,
    )  # fmt: skip
    parts = _parts(fit, rows, persons, person, exit, died)
    beta = _coefficients(parts)
    theta = _ratio(parts)
    cost, cost_part = _mean_cost(amounts, persons, person, time, amount)
    table = pl.DataFrame([
        _at(parts, beta, theta, cost, cost_part, h, joins_at, service_cost, cost_rate, z) for h in horizons
    ])  # fmt: skip
    last = table.row(-1, named=True)
    sure = last["net_value_lower"] > 0 or last["net_value_upper"] < 0
    ratio = fit.hazard_ratios("in_service").filter(level="yes").row(0, named=True)
    facts = {
        "horizon": last["horizon"], "repeat_claims": last["repeat_claims"], "avoided": last["avoided"],
        "avoided_lower": last["avoided_lower"], "avoided_upper": last["avoided_upper"],
        "saving": last["saving"], "net_value": last["net_value"], "lower": last["net_value_lower"],
        "upper": last["net_value_upper"], "service_cost": last["service_cost"],
        "break_even": last["break_even"], "mean_cost": cost, "ratio": ratio["hazard_ratio"],
        "ratio_lower": ratio["lower"], "ratio_upper": ratio["upper"], "currency": fit.basis.currency,
        "unit": unit, "level": level, "claimants": persons.height,
        "verdict": ("worth" if last["net_value"] > 0 else "not_worth") if sure else "open",
    }  # fmt: skip
    told = (str(horizons), str(service_cost), str(cost_rate), str(joins_at), str(cost))
    notes = ("the service is taken to change the number of claims, not their size",
             "delta method on what each person adds, dependence within a person included")  # fmt: skip
    return RepeatValue(
        table=table,
        basis=replace(
            fit.basis,
            notes=(*fit.basis.notes, *notes),
            fingerprint=fingerprint(fit.basis.fingerprint, *told),
        ),
        facts=facts,
        frames={"model": fit.table},
    )


def _require(
    persons: pl.DataFrame,
    horizons: Sequence[float],
    service_cost: float,
    cost_rate: float,
    joins_at: float,
    exit: str,
) -> list[float]:
    for name, value in (
        ("service_cost", service_cost),
        ("cost_rate", cost_rate),
        ("joins_at", joins_at),
    ):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"{name} is 0 or more, got {value}")
    last = persons[exit].max()
    given = sorted({float(h) for h in horizons})
    if not given or not all(np.isfinite(h) and h > joins_at for h in given):
        raise InputError(f"horizons lie above {joins_at:g}, got {list(horizons)}")
    if isinstance(last, int | float) and given[-1] > last:
        raise InputError(
            f"nobody is followed to {given[-1]:g}: the last leaves at {last:g}",
            do="take an earlier horizon or follow the claimants for longer",
        )
    return given


def _parts(
    fit: RepeatModel,
    rows: pl.DataFrame,
    persons: pl.DataFrame,
    person: str,
    exit: str,
    died: str | None,
) -> _Parts:
    order = rows[person].unique(maintain_order=True)
    number = pl.DataFrame({person: order}).with_row_index("_n")
    placed = rows.select(person).join(number, on=person, how="left", maintain_order="left")
    own = number.join(persons, on=person, how="left", maintain_order="left")
    outside = own.with_columns(in_service=pl.lit("no").cast(rows.schema["in_service"]))
    x = fit.values(rows)
    gone = own[died].cast(pl.Float64).to_numpy() if died else np.zeros(own.height)
    return _Parts(
        fit=fit, x=x, relative=np.exp(x @ fit.coefficients), entry=rows["entry"].to_numpy(),
        exit=rows["exit"].to_numpy(), event=rows["event"].cast(pl.Float64).to_numpy(),
        person=placed["_n"].to_numpy().astype(np.int64), many=own.height,
        last=own[exit].cast(pl.Float64).round_sig_figs(DIGITS).to_numpy(), died=gone,
        outside=fit.values(outside),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Beta:
    """Baseline of the model on its event times, and what each person adds to the coefficients."""

    times: Floats
    s0: Floats
    mean: Floats  # of the covariates, by time
    step: Floats  # of the baseline
    first: Whole
    last: Whole
    part: Floats


def _coefficients(parts: _Parts) -> _Beta:
    times, d = np.unique(parts.exit[parts.event > 0], return_counts=True)
    first = np.searchsorted(times, parts.entry, side="right")
    last = np.searchsorted(times, parts.exit, side="right")
    many = len(times) + 1

    def risk(of: Floats) -> Floats:
        return np.asarray(
            np.cumsum(np.bincount(first, of, many) - np.bincount(last, of, many))[:-1]
        )

    s0 = risk(parts.relative)
    mean = np.stack([risk(parts.relative * v) / s0 for v in parts.x.T], axis=1)
    step = d / s0
    sums = np.append(0.0, np.cumsum(step))
    drift = np.vstack([np.zeros((1, parts.x.shape[1])), np.cumsum(mean * step[:, None], axis=0)])
    score = -parts.relative[:, None] * (
        parts.x * (sums[last] - sums[first])[:, None] - (drift[last] - drift[first])
    )
    hit = parts.event > 0
    score[hit] += parts.x[hit] - mean[last[hit] - 1]
    by_person = np.stack([np.bincount(parts.person, v, parts.many) for v in score.T], axis=1)
    part = by_person @ parts.fit.covariance("model")
    return _Beta(times=times, s0=s0, mean=mean, step=step, first=first, last=last, part=part)


def _ratio(parts: _Parts) -> tuple[float, int]:
    names = [(c.term, c.level) for c in parts.fit.columns]
    place = names.index(("in_service", "yes"))
    return float(np.exp(parts.fit.coefficients[place])), place


def _mean_cost(
    amounts: pl.DataFrame, persons: pl.DataFrame, person: str, time: str, amount: str
) -> tuple[float, Floats]:
    """Mean cost of a repeat claim, and what each person (in the order of _parts) adds to it."""
    each = amounts.group_by(person).agg(
        n=pl.col(time).cast(pl.Float64).round_sig_figs(DIGITS).n_unique(),
        total=pl.col(amount).sort().sum(),
    )
    own = persons.select(person).sort(person).join(each, on=person, how="left").fill_null(0)
    n, total = own["n"].to_numpy().astype(np.float64), own["total"].to_numpy()
    mean = float(total.sum() / n.sum())
    return mean, (total - mean * n) / n.sum()


def _stay(parts: _Parts, d: float, h: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Times of leaving cover after d up to h, the share of those there after d still covered, at risk, leaving."""
    gone = (parts.died > 0) & (parts.last > d) & (parts.last <= h)
    times, left = np.unique(parts.last[gone], return_counts=True)
    ends = np.sort(parts.last)
    y = len(ends) - np.searchsorted(ends, times, side="left")
    share: Floats = np.cumprod(1.0 - left / y, dtype=np.float64)
    return times, share, y.astype(np.float64), left.astype(np.float64)


def _left(parts: _Parts, stay: tuple[Floats, ...], to_come: Floats) -> Floats:
    """What each person's staying or leaving adds to ∫S dF, ``to_come`` the F after each time of leaving."""
    times, _, y, d = stay
    rest = np.where(y > d, y - d, np.inf)
    sums = np.append(0.0, np.cumsum(to_come * d / (y * rest)))
    found = sums[np.searchsorted(times, parts.last, side="right")]
    if len(times):
        at = np.searchsorted(times, parts.last)
        hit = (parts.died > 0) & (times[np.minimum(at, len(times) - 1)] == parts.last)
        found[hit] -= (to_come / rest)[at[hit]]
    return np.asarray(found)


def _at(
    parts: _Parts,
    beta: _Beta,
    theta: tuple[float, int],
    cost: float,
    cost_part: Floats,
    h: float,
    d: float,
    service_cost: float,
    cost_rate: float,
    z: float,
) -> dict[str, Any]:
    stay = _stay(parts, d, h)
    left, share = stay[0], np.append(1.0, stay[1])
    inside = (beta.times > d) & (beta.times <= h)
    weigh = share[np.searchsorted(left, beta.times, side="left")] * inside  # S just before
    step = weigh * beta.step
    base = float(step.sum())
    run = np.append(0.0, np.cumsum(step))
    by_leave = base - run[np.searchsorted(beta.times, left, side="right")]
    # the baseline: own events less what was expected of the person, the coefficients, who stays
    sums = np.append(0.0, np.cumsum(step / beta.s0))
    add: Floats = -parts.relative * (sums[beta.last] - sums[beta.first])
    hit = parts.event > 0
    add[hit] += (weigh / beta.s0)[beta.last[hit] - 1]
    own: Floats = np.bincount(parts.person, add, parts.many).astype(np.float64)
    own = own - beta.part @ (step @ beta.mean) + _left(parts, stay, by_leave)
    relative = np.exp(parts.outside @ parts.fit.coefficients)
    mean = float(relative.mean())
    spread = (relative - mean) / parts.many + beta.part @ (relative @ parts.outside / parts.many)
    claims, claims_part = mean * base, mean * own + base * spread
    ratio, place = theta
    avoided = (1 - ratio) * claims
    avoided_part = (1 - ratio) * claims_part - claims * ratio * beta.part[:, place]
    saving, saving_part = avoided * cost, avoided_part * cost + avoided * cost_part
    stays, stays_part = _time_in(parts, stay, d, h)
    spent = service_cost + cost_rate * stays
    net_part = saving_part - cost_rate * stays_part

    def reach(part: Floats) -> float:
        return z * float(np.sqrt(part @ part))

    r_avoided, r_saving, r_net = reach(avoided_part), reach(saving_part), reach(net_part)
    return {
        "horizon": h, "repeat_claims": claims, "avoided": avoided, "avoided_lower": avoided - r_avoided,
        "avoided_upper": avoided + r_avoided, "mean_cost": cost, "saving": saving,
        "saving_lower": saving - r_saving, "saving_upper": saving + r_saving, "time_in_service": stays,
        "service_cost": spent, "net_value": saving - spent, "net_value_lower": saving - spent - r_net,
        "net_value_upper": saving - spent + r_net, "break_even": saving, "break_even_rate": saving / stays,
    }  # fmt: skip


def _time_in(parts: _Parts, stay: tuple[Floats, ...], d: float, h: float) -> tuple[float, Floats]:
    """∫_d^h S(t)dt: the time in the service while covered, and what each person adds to it."""
    left, share = stay[0], np.append(1.0, stay[1])
    edges = np.concatenate([[0.0], left, [h]])
    wide = np.maximum(np.minimum(edges[1:], h) - np.maximum(edges[:-1], d), 0.0)
    pieces = share * wide
    whole = float(pieces.sum())
    return whole, _left(parts, stay, whole - np.cumsum(pieces)[:-1])
