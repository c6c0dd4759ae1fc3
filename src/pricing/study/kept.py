"""What a run keeps so that its schedule can be computed again without its rows: cells, and figures."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.claims.models import Frequency
from pricing.errors import InputError
from pricing.estimate.design import variables
from pricing.experience.cells import Experience
from pricing.health.effect import GroupEffect, group_effect
from pricing.health.schedule import Schedule
from pricing.result.shape import Result
from pricing.study.scheduled import schedule_headline, schedule_of
from pricing.study.settings import Settings

__all__ = ["book_figures", "figures_of_cells", "kept_keys", "money_cells"]


def kept_keys(settings: Settings) -> list[str]:
    """Name the keys of the cells that a run keeps: the model's factors and the health group.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.settings import read_settings
    >>> kept_keys(read_settings(bundled("studies/huoli.toml")))
    ['age_band', 'sex', 'region', 'tier', 'health_group']
    """
    return list(dict.fromkeys([*variables(settings.model.frequency), settings.discount.group]))


def money_cells(
    settings: Settings, seen: Experience, effect: GroupEffect, model: Frequency, *, where: str = ""
) -> Experience:
    """Take premiums and amounts from the cells, or set them as ``[premium]`` says.

    Parameters
    ----------
    settings : Settings
        The study file.
    seen : Experience
        Cells with the group and the model's keys.
    effect, model
        Of the groups and their frequency: what a premium set by ``[premium]`` rests on.
    where : str
        Named in a refusal.

    Examples
    --------
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...     "claims": [1, 3] * 20 + [2, 1] * 20, "amount": [1.0] * 80, "standard_premium": [2.0] * 80})
    >>> seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.settings import read_settings
    >>> settings = read_settings(bundled("studies/randhie.toml"))
    >>> money_cells(settings, seen, *group_effect(seen, "1")) is seen
    True
    """
    lacking = {"amount", "standard_premium"} - set(seen.cells.columns)
    if not lacking:
        return seen
    premium = settings.premium
    if premium is None:
        raise InputError(
            f"the tables hold no {sorted(lacking)}",
            where=where,
            do="add them, or a [premium] section with target_loss_ratio and cost_per_claim",
        )
    group, cost = settings.discount.group, premium.cost_per_claim
    # the base is the standard group's credible level: what its discount is measured against
    level = effect.facts["standard_level"] * cost / premium.target_loss_ratio
    charged = model.rate(without=group) * pl.col("exposure") * level
    sums = {"amount": pl.col("claims") * cost, "standard_premium": charged}
    return seen.with_sums(**{n: e for n, e in sums.items() if n in lacking})


def book_figures(results: Mapping[str, Result]) -> dict[str, float]:
    """Give the figures a run of a book is held against another by.

    Parameters
    ----------
    results : mapping of str to Result
        With the schedule and, where the rates were reviewed, the indication.

    Returns
    -------
    dict of str to float
        standard_premium, premium_charged, claims_cost, discount_margin (premium charged less claims),
        those of :func:`pricing.study.scheduled.schedule_headline`, and indicated_change.

    Examples
    --------
    >>> book_figures({})
    {}
    """
    found: dict[str, float] = {}
    schedule, indication = results.get("schedule"), results.get("indication")
    if isinstance(schedule, Schedule):
        sums = schedule.table.select(pl.col("standard_premium", "amount").sum())
        premium, claims = (float(v) for v in sums.row(0))
        headline = schedule_headline(schedule)
        charged = premium - headline["discount_given"]
        found = {
            "standard_premium": premium,
            "premium_charged": charged,
            "claims_cost": claims,
            "discount_margin": charged - claims,
            **headline,
        }
    if indication is not None:
        found["indicated_change"] = float(indication.facts["indicated_change"])
    return found


def figures_of_cells(settings: Settings, cells: Experience) -> dict[str, float]:
    """Compute the figures of a book's schedule from kept cells.

    Errors are those of the cells, not clustered by person: what rests on them cannot be told so.

    Parameters
    ----------
    settings : Settings
        Of any run of the book.
    cells : Experience
        With the keys that the settings' model and group name.

    Raises
    ------
    InputError
        For cells without such a key, and as the parts.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> found = figures_of_cells(study.settings, study.experience(kept_keys(study.settings)))
    >>> round(found["loss_ratio_after"], 4)
    0.6938
    """
    discount = settings.discount
    effect, model = group_effect(
        cells,
        settings.model.frequency,
        group=discount.group,
        order=discount.order,
        errors=settings.model.errors,
        base=settings.model.base,
    )
    money = money_cells(settings, cells, effect, model)
    return book_figures({"schedule": schedule_of(discount, effect, money)})
