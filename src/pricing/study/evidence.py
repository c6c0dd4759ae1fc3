"""What rests a discount: claims along the value, later years, effect against selection, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import polars as pl
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from pricing.causal.falsification import falsify
from pricing.causal.mean_reversion import regression_to_the_mean
from pricing.causal.power import power_statement
from pricing.causal.side_by_side import SideBySide, side_by_side
from pricing.experience.cells import Experience
from pricing.health.design import design_within
from pricing.health.discount_split import split_discount
from pricing.health.effect import GroupEffect
from pricing.health.limits import ScheduleLimits
from pricing.health.price_response import PriceResponse
from pricing.health.schedule import Schedule
from pricing.health.value_effect import value_effect
from pricing.persistency.renewal_model import RenewalModel
from pricing.result.shape import Basis, Result
from pricing.study.founded import founded
from pricing.study.not_shown import Refusals
from pricing.study.sections import Causal, Discount

__all__ = ["along_the_value", "compared", "designed", "response_of"]

STEP = 10.0  # points of the health value that make a cell


def along_the_value(
    rows: pl.DataFrame,
    value: str,
    formula: str,
    keys: Sequence[str],
    *,
    collect: Callable[[pl.DataFrame, Sequence[str]], Experience],
    cluster: str | None,
) -> dict[str, Result]:
    """Relate claims to the health value itself, where the rows hold one.

    Parameters
    ----------
    rows : polars.DataFrame
        Person-years with the value; rows without it are left out and said.
    value : str
        Its column.
    formula : str
        The other rating factors.
    keys : sequence of str
        Those factors.
    collect : callable
        Makes cells of rows and keys.
    cluster : str, optional
        Column of the person.

    Returns
    -------
    dict of str to Result
        value_effect.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> rows = pl.DataFrame({"health_value": rng.uniform(0, 1_000, 3_000), "exposure": 1.0,
    ...                      "claims": rng.poisson(0.3, 3_000)})
    >>> found = along_the_value(rows, "health_value", "1", [], collect=Experience.collect, cluster=None)
    >>> found["value_effect"].kind
    'value_effect'
    """
    kept = rows.filter(pl.col(value).is_not_null()).with_columns(
        (pl.col(value) / STEP).round() * STEP
    )
    left = rows.height - kept.height
    seen = collect(kept, [*keys, value])
    rows_of = (kept, cluster) if cluster else None
    found, _ = value_effect(seen, formula, value=value, cluster=rows_of)
    notes = (f"{left:,} of {rows.height:,} rows without a value are left out",) if left else ()
    basis = replace(found.basis, notes=(*found.basis.notes, *notes))
    return {"value_effect": replace(found, basis=basis)}


def compared(
    wanted: Causal,
    rows: pl.DataFrame,
    *,
    indicator: str,
    person: str,
    truth: float | None,
    basis: Basis,
    refused: Refusals,
) -> dict[str, Result]:
    """Lay every estimator of the programme's effect side by side, with what could refute them.

    Parameters
    ----------
    wanted : Causal
        ``[causal]`` of the study file.
    rows : polars.DataFrame
        Person-years: policy_year, exposure, claims and the columns named.
    indicator : str
        In the programme, yes or no.
    person : str
        Column of the person.
    truth : float, optional
        True effect, where the book is simulated.
    basis : Basis
        Source, period, currency, fingerprint.
    refused : Refusals
        Takes what the data do not bear.

    Returns
    -------
    dict of str to Result
        side_by_side, and with amounts side_by_side:amount; falsification, mean_reversion, covariate_balance,
        overlap, power_statement.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> joins = np.repeat(rng.random(400) < 0.5, 2)
    >>> rows = pl.DataFrame({"id": np.repeat(np.arange(400), 2), "policy_year": [0, 1] * 400,
    ...     "in": joins & np.tile([False, True], 400), "age": np.repeat(rng.integers(30, 60, 400), 2),
    ...     "claims": rng.poisson(1.0, 800), "exposure": 1.0})
    >>> list(compared(Causal(factors=["age"]), rows, indicator="in", person="id", truth=None, basis=Basis(),
    ...     refused=Refusals()))
    ['side_by_side', 'falsification', 'mean_reversion', 'covariate_balance', 'overlap', 'power_statement']
    """
    if rows.schema[indicator] != pl.Boolean:
        rows = rows.with_columns(pl.col(indicator).cast(pl.String) == "yes")
    known: dict[str, Any] = {"treated": indicator, "person": person, "period": "policy_year"}
    asked = {**known, "factors": wanted.factors, "history": wanted.history, "source": basis.source}
    computed: dict[str, Callable[[], Any]] = {
        "side_by_side": lambda: side_by_side(rows, **asked, oracle=wanted.oracle, truth=truth)
    }
    if "amount" in rows.columns and rows["amount"].null_count() == 0:
        computed["side_by_side:amount"] = lambda: side_by_side(
            rows, **asked, outcome="amount", model="two_part", cap=wanted.cap
        )
    computed |= {
        "falsification": lambda: falsify(
            rows, **known, factors=wanted.factors, controls=wanted.controls
        ),
        "mean_reversion": lambda: regression_to_the_mean(
            rows, person=person, period="policy_year", treated=indicator
        ),
        "power_statement": lambda: power_statement(
            rows, treated=indicator, person=person, effect=wanted.effect
        ),
    }
    # none draws on another; refusals keep their order, and one thread each that of the additions
    with threadpool_limits(1), ThreadPoolExecutor(2) as both:
        begun = {name: both.submit(compute) for name, compute in computed.items()}
    done = {name: refused.attempt(name, one.result) for name, one in begun.items()}
    results: dict[str, Result] = {}
    for name, result in done.items():
        if name == "power_statement" and done["side_by_side"] is not None:
            found = done["side_by_side"]
            results |= {} if found.balance is None else {"covariate_balance": found.balance}
            results["overlap"] = found.overlap
        if result is not None:
            results[name] = result.effects if name.startswith("side_by_side") else result
    return founded(results, basis)


def designed(
    wanted: Discount,
    effect: GroupEffect,
    schedule: Schedule,
    money: Experience,
    *,
    response: PriceResponse | None,
    causal: Result | None,
    refused: Refusals,
) -> dict[str, Result]:
    """Choose the schedule within the study's limits, and split what the schedule gives.

    Parameters
    ----------
    wanted : Discount
        ``[discount]`` of the study file.
    effect : GroupEffect
        What the claims say of the groups.
    schedule : Schedule
        What they pay for.
    money : Experience
        Cells with the group, the factors of the limits, standard_premium and amount.
    response : PriceResponse, optional
        How renewal answers to price.
    causal : SideBySide, optional
        Where the effect to be booked comes from.
    refused : Refusals
        Takes limits that contradict each other.

    Returns
    -------
    dict of str to Result
        schedule_design where there are limits; discount_split where there is an effect.

    Examples
    --------
    >>> from pricing.health.effect import group_effect
    >>> from pricing.health.schedule import design_schedule
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...     "claims": [1, 3] * 20 + [2, 1] * 20, "amount": [1.0] * 80, "standard_premium": [2.0] * 80})
    >>> seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> effect, _ = group_effect(seen, "1")
    >>> section = Discount(order=["G0", "G1"], limits={"mean_discount": 0.05})
    >>> found = designed(section, effect, design_schedule(effect, seen), seen, response=None, causal=None,
    ...     refused=Refusals())
    >>> found["schedule_design"].discounts
    {'G0': 0.0, 'G1': 0.1}
    """
    results: dict[str, Result] = {}
    asked, now = wanted.limits, wanted.present
    expenses = asked.expenses if asked else 0.0
    if asked is not None:
        names = ("most_between", "mean_discount", "loss_ratio", "service_share", "service_cost",
                 "service_by", "loading", "fairness")  # fmt: skip
        limits = ScheduleLimits(
            cap=wanted.cap, step=wanted.step, **{n: getattr(asked, n) for n in names}
        )
        design = refused.attempt(
            "schedule_design",
            lambda: design_within(
                effect, money, limits, group=wanted.group, objective=asked.objective,
                response=response, present=now, expenses=expenses,
            ),
        )  # fmt: skip
        results |= {} if design is None else {"schedule_design": design}
    if isinstance(causal, SideBySide):
        known = causal.facts
        reach = (known["upper"] - known["lower"]) / (2 * float(ndtri(0.5 + known["level"] / 2)))
        saved = -known["believed"]
        results["discount_split"] = split_discount(
            schedule, effect=saved, effect_lower=saved - float(ndtri(0.9)) * reach,
            response=response, present=now, expenses=expenses,
        )  # fmt: skip
    return results


def response_of(results: Mapping[str, Result]) -> PriceResponse | None:
    """Take the answer of renewal to price from a study's renewal model; None where it has none.

    Examples
    --------
    >>> response_of({}) is None
    True
    """
    model, offers = results.get("renewal_model"), results.get("renewal_offers")
    if not isinstance(model, RenewalModel) or offers is None:
        return None
    slope = model.slope()
    kept = offers.facts["persistency"]
    if not slope["slope"] < 0:
        return None
    elasticity = slope["slope"] * (1 - kept)
    error = slope["std_error"] / -slope["slope"]
    return PriceResponse.elastic(retention=kept, elasticity=elasticity, error=error)
