"""May the rates of a long-term medical product be adjusted: the gate of 银保监办发〔2020〕27号."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import plotly.graph_objects as go

from pricing.errors import InputError
from pricing.regulation.check import (
    TOLERANCE,
    Check,
    Condition,
    at_least,
    at_most,
    checked,
    is_number,
    require_dates,
    require_share,
)
from pricing.regulation.product import Product
from pricing.regulation.rule import Rulebook, read_rules
from pricing.result.figure import COLOURS
from pricing.result.words import Language, label, level_label

__all__ = ["RateAdjustmentCheck", "anniversary", "check_rate_adjustment"]


class RateAdjustmentCheck(Check):
    """Whether a rate adjustment passes the gate; ``.facts["earliest"]`` is the first day it may start.

    Examples
    --------
    >>> product = Product(kind="medical", term_years=1, guaranteed_years=20)
    >>> found = check_rate_adjustment(product, launch=date(2020, 5, 1), on=date(2024, 1, 1),
    ...     change=0.10, clause_cap=0.30, loss_ratio=0.84, industry_loss_ratio=0.94,
    ...     notice_from=date(2023, 11, 1))
    >>> found.verdict, found.table.filter(verdict="fail")["condition"].to_list()
    ('fail', ['loss_ratio_gate'])
    """

    kind = "rate_adjustment_check"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the plane of both loss ratios, what the gate bars in it, and where this case lies."""
        level, gap = self.facts["level"], self.facts["gap"]
        own, industry = self.facts["loss_ratio"], self.facts["industry_loss_ratio"]
        if industry is None:
            raise InputError("without the industry's average there is nothing to draw")
        top = max(1.2, industry + 0.1, own + 0.1)
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=[gap, level + gap, top, top, gap],
            y=[0.0, level, level, 0.0, 0.0],
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor="rgba(213,94,0,0.18)",
            name=label("barred", lang),
        )
        gate = self.table.filter(condition="loss_ratio_gate")["verdict"].item()
        figure.add_scatter(
            x=[industry],
            y=[own],
            mode="markers",
            marker={
                "size": 14,
                "color": COLOURS["second" if gate == "fail" else "estimate"],
                "symbol": "x" if gate == "fail" else "circle",
            },
            name=level_label(gate, lang),
        )
        figure.update_layout(
            hovermode="closest",
            xaxis={
                "title": {"text": label("industry_loss_ratio", lang)},
                "tickformat": ".0%",
                "range": [min(0.5, industry - 0.1), top],
            },
            yaxis={
                "title": {"text": label("loss_ratio_prior", lang)},
                "tickformat": ".0%",
                "range": [min(0.5, max(own - 0.1, 0.0)), top],
            },
        )
        return figure


def check_rate_adjustment(
    product: Product,
    *,
    launch: date,
    on: date,
    change: float | Mapping[str, float],
    clause_cap: float,
    loss_ratio: float,
    industry_loss_ratio: float | None,
    notice_from: date,
    last_adjustment: date | None = None,
    mass_dispute: bool = False,
    regulator_order: bool = False,
    groups_by: Sequence[str] | None = None,
    pricing_groups_by: Sequence[str] | None = None,
    individual: bool = False,
    rules: Rulebook | None = None,
) -> RateAdjustmentCheck:
    """Check a rate adjustment of a long-term medical product against the regulator's gate.

    Parameters
    ----------
    product : Product
        Applies to medical insurance at natural rates, over one year or with guaranteed renewal.
    launch, on : date
        First day of sale; day from which the new rates are charged.
    change : float or mapping of str to float
        Change of rates as a fraction, or one for each group; above −1.
    clause_cap : float
        Largest increase of one adjustment that the clause allows, fraction.
    loss_ratio, industry_loss_ratio : float
        Of the year before, by :func:`~pricing.regulation.loss_ratio.gate_loss_ratio`: the product's
        own, and the industry's average for such products; None where that is not known, which
        serves only where the own ratio reaches 85 %.
    notice_from : date
        First day of the public notice.
    last_adjustment : date, optional
        Day of the last adjustment; None for the first.
    mass_dispute, regulator_order : bool
        A dispute of many customers; an order of the regulator. Each bars an increase.
    groups_by, pricing_groups_by : sequence of str, optional
        Factors by which changes differ, and by which the filed rates do: they must be the same.
        Needed where ``change`` differs by group.
    individual : bool
        Whether changes differ by the bodily condition of single insured persons: forbidden.
    rules : Rulebook, optional
        Instead of the bundled rules.

    Raises
    ------
    InputError
        For ratios that are no numbers of zero or more, dates the wrong way round, a change of −1 or
        less, groups that differ without their factors, an industry average that is missing where it
        decides.

    Notes
    -----
    An **increase** is barred where (loss ratio < 85 % **and** loss ratio ≤ industry − 10 points), or
    a mass dispute, or an order of the regulator; the 10 points are inclusive. Numbers within 1e-9 of
    a line count as on it. A reduction is bound by the dates, the notice and the grouping only.
    Three years from 29 February end on 1 March, the careful side. 银保监办发〔2020〕27号 (2020).

    Examples
    --------
    >>> product = Product(kind="medical", term_years=1, guaranteed_years=20)
    >>> check_rate_adjustment(product, launch=date(2020, 5, 1), on=date(2023, 5, 1), change=0.2,
    ...     clause_cap=0.30, loss_ratio=0.80, industry_loss_ratio=0.85,
    ...     notice_from=date(2023, 3, 31)).verdict
    'pass'
    """
    book = rules or read_rules()
    rule, in_force = book.cited("rate_adjustment", on)
    require_dates(launch=launch, last_adjustment=last_adjustment, on=on)
    require_dates(notice_from=notice_from, on=on)
    changes = _changes(change, groups_by, pricing_groups_by)
    cap = require_share("the clause's cap", clause_cap)
    own = require_share("the loss ratio", loss_ratio)
    numbers = rule.numbers
    level, gap = numbers["loss_ratio"], numbers["industry_gap"]
    if industry_loss_ratio is None and not at_least(own, level):
        raise InputError(
            f"the loss ratio ({own:.2%}) is below {level:.0%}, so the industry's average decides",
            do="give industry_loss_ratio",
        )
    industry = (
        None
        if industry_loss_ratio is None
        else require_share("the industry's loss ratio", industry_loss_ratio)
    )
    worst = max(changes, key=lambda name: changes[name])
    up = changes[worst] > 0
    first = anniversary(launch, int(numbers["first_years"]))
    since = last_adjustment and anniversary(last_adjustment, int(numbers["interval_years"]))
    noticed = notice_from + timedelta(days=int(numbers["notice_days"]))
    far = industry is not None and at_most(own, industry - gap)
    barred = not at_least(own, level) and far
    line = level if industry is None else min(level, industry - gap)
    above = industry is not None and industry - gap < level - TOLERANCE
    conditions = [
        _days("first_adjustment", launch, on, first),
        _days("interval", last_adjustment, on, since),
        Condition(
            name="loss_ratio_gate",
            holds=not barred if up else None,
            value=own,
            threshold=line,
            relation="above" if above else "at_least",
        ),
        _yes_no("mass_dispute", mass_dispute, applies=up),
        _yes_no("regulator_order", regulator_order, applies=up),
        Condition(
            name="clause_cap",
            holds=at_most(changes[worst], cap) if up else None,
            value=changes[worst],
            threshold=cap,
            relation="at_most",
            segment=worst,
        ),
        _days("notice", notice_from, on, noticed),
        _grouping(len(changes) > 1, groups_by, pricing_groups_by),
        _yes_no("individual_condition", individual),
    ]
    earliest = max(day for day in (first, since, noticed) if day is not None)
    applies = product.kind == "medical" and product.long_term and product.natural_rate
    return checked(
        RateAdjustmentCheck,
        [rule] * len(conditions),
        applies,
        conditions,
        on,
        in_force=in_force,
        facts={
            "earliest": earliest.isoformat(),
            "level": level,
            "gap": gap,
            "loss_ratio": own,
            "industry_loss_ratio": industry,
        },
        notes=("the product's name must carry 费率可调, the clause state trigger and cap",),
    )


def anniversary(day: date, years: int) -> date:
    """Give the day some years later by the calendar; from 29 February, 1 March in common years.

    Examples
    --------
    >>> anniversary(date(2020, 2, 29), 3), anniversary(date(2020, 2, 29), 4)
    (datetime.date(2023, 3, 1), datetime.date(2024, 2, 29))
    """
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def _changes(
    change: float | Mapping[str, float],
    groups_by: Sequence[str] | None,
    pricing_groups_by: Sequence[str] | None,
) -> dict[str, float]:
    changes = dict(change) if isinstance(change, Mapping) else {"": change}
    wrong = {
        name: value for name, value in changes.items() if not (is_number(value) and value > -1)
    }
    if wrong or not changes:
        raise InputError(
            "a change of rates is a fraction above −1",
            faults=[f"{name or 'all'}: {value!r}" for name, value in wrong.items()],
            do="give an increase of 10 % as 0.10",
        )
    differ = len(set(changes.values())) > 1
    if differ and (not groups_by or not pricing_groups_by):
        raise InputError(
            "changes differ by group, but not said by which factors",
            do="give groups_by and pricing_groups_by",
        )
    return {name: float(value) for name, value in changes.items()}


def _days(name: str, start: date | None, on: date, line: date | None) -> Condition:
    if start is None or line is None:
        return Condition(name=name, holds=None, unit="days")
    return Condition(
        name=name,
        holds=on >= line,
        value=float((on - start).days),
        threshold=float((line - start).days),
        unit="days",
    )


def _yes_no(name: str, there: bool, *, applies: bool = True) -> Condition:
    return Condition(
        name=name,
        holds=not there if applies else None,
        value=float(there),
        threshold=0.0,
        relation="at_most",
        unit="yes_no",
    )


def _grouping(
    many: bool, groups_by: Sequence[str] | None, pricing_groups_by: Sequence[str] | None
) -> Condition:
    if not many and not groups_by:
        return Condition(name="grouping", holds=None, unit="yes_no")
    same = sorted(groups_by or ()) == sorted(pricing_groups_by or ())
    return Condition(name="grouping", holds=same, value=float(same), threshold=1.0, unit="yes_no")
