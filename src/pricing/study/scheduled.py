"""The schedule a study file asks for, and the figures a scenario of it is judged by."""

from __future__ import annotations

from pricing.experience.cells import Experience
from pricing.health.effect import GroupEffect
from pricing.health.schedule import Schedule, design_schedule
from pricing.study.sections import Discount

__all__ = ["schedule_headline", "schedule_of"]


def schedule_of(wanted: Discount, effect: GroupEffect, money: Experience) -> Schedule:
    """Design the schedule of ``[discount]``.

    Parameters
    ----------
    wanted : Discount
        The section of the study file.
    effect : GroupEffect
        What the groups' claims say.
    money : Experience
        Cells with the group, standard_premium and amount.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.health.effect import group_effect
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...     "claims": [1, 3] * 20 + [2, 1] * 20, "amount": [1.0] * 80, "standard_premium": [2.0] * 80})
    >>> seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> wanted = Discount(order=["G0", "G1"], cap=0.15)
    >>> schedule_of(wanted, group_effect(seen, "1")[0], seen).discounts
    {'G0': 0.0, 'G1': 0.15}
    """
    return design_schedule(
        effect,
        money,
        group=wanted.group,
        cap=wanted.cap,
        step=wanted.step,
        rounding=wanted.rounding,
        evidence=wanted.evidence,
        present=wanted.present,
    )


def schedule_headline(schedule: Schedule) -> dict[str, float]:
    """Give the figures a scenario is judged by: mean discount, what is given, loss ratio, highest.

    Examples
    --------
    >>> import polars as pl
    >>> schedule_headline(Schedule(table=pl.DataFrame(), facts={
    ...     "mean_discount": 0.1, "discount_given": 16.0, "loss_ratio_after": 0.6, "highest": 0.2}))
    {'mean_discount': 0.1, 'discount_given': 16.0, 'loss_ratio_after': 0.6, 'highest_discount': 0.2}
    """
    names = ("mean_discount", "discount_given", "loss_ratio_after")
    found = {name: float(schedule.facts[name]) for name in names}
    return {**found, "highest_discount": float(schedule.facts["highest"])}
