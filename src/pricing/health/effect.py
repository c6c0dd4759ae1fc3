"""What the claims say about health: relativity by health group, and the programme's own effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.claims.clusters import Rows, cluster_errors
from pricing.claims.models import Errors, Frequency, fit_frequency
from pricing.errors import InputError
from pricing.estimate.credibility import credibility_of_cells
from pricing.estimate.design import variables
from pricing.experience.cells import Experience
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say

Cluster = tuple[Rows, str]
__all__ = ["GroupEffect", "ProgrammeEffect", "group_effect", "programme_effect"]


class GroupEffect(Result):
    """Claim relativity by health group: unadjusted, adjusted, credible, and the discount it pays."""

    kind = "group_effect"

    def finding(self, lang: Language = "en") -> str:
        """Say what the healthiest group's claims pay for, beside the unadjusted figure."""
        facts = dict(self.facts)
        for name in ("best", "standard"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.group_effect", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the adjusted relativity with its interval beside the unadjusted one."""
        t = self.table
        groups = t["health_group"].to_list()
        figure = interval_figure(
            groups,
            t["relativity"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="relativity",
            factor="health_group",
            lang=lang,
            bars=t["exposure"].to_list(),
            reference=1.0,
        )
        with_points(figure, groups, t["unadjusted"].to_list(), name="unadjusted", lang=lang)
        return with_points(
            figure,
            groups,
            t["credible_relativity"].to_list(),
            name="credible_relativity",
            lang=lang,
            symbol="circle-open",
            colour="third",
        )


def group_effect(
    experience: Experience,
    formula: str,
    *,
    group: str = "health_group",
    order: Sequence[str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
    base: Mapping[str, str] | None = None,
    cluster: Cluster | None = None,
) -> tuple[GroupEffect, Frequency]:
    """Claim relativity by health group, adjusted for the other factors, and the fair discount.

    The relativity of a group is its actual claims over what the tariff expects of the same people
    in the standard group. Bühlmann–Straub credibility pulls it towards the mean of the groups;
    the fair discount is 1 − credible relativity. Groups are rate classes set before the period,
    so this is what a discount may rest on; it is not the effect of the programme on a person (see
    :func:`programme_effect`).

    Parameters
    ----------
    experience : Experience
        Cells that carry ``group`` and the formula's keys; the group in force in each period.
    formula : str
        The other rating factors, such as ``"age_band + sex + tier"``.
    group : str
        Key of the health group.
    order : sequence of str, optional
        Groups from the standard one (no discount) to the healthiest; else the key's own order.
    errors, level, base
        As in :func:`pricing.claims.models.fit_frequency`.
    cluster : (rows, column), optional
        The rows behind the cells and the column that names the person: errors are then clustered
        (:func:`pricing.claims.clusters.cluster_errors`).

    Returns
    -------
    GroupEffect, Frequency
        ``.table``: health_group, exposure, claims, unadjusted (one-way relativity), relativity,
        lower, upper, credibility, credible_relativity, adjusted_discount (1 − relativity) with its
        interval adjusted_lower, adjusted_upper, and fair_discount (1 − credible relativity), all
        fractions of the standard premium. Credibility moves the point; the interval is that of the
        adjusted discount, which covers as it says however small the standard group is.
        ``.facts["standard_level"]``: the credible level of the standard group, against its own
        experience: the base that the fair discounts are measured from.

    Raises
    ------
    InputError
        Where ``order`` is not the group's levels, the fit is refused, or a group has no interval:
        it cannot be told apart from the other factors.

    Examples
    --------
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...                      "claims": [1, 3] * 20 + [0, 2] * 20})
    >>> effect, model = group_effect(Experience.collect(rows, ["health_group"]), "1")
    >>> effect.table["relativity"].round(6).to_list()
    [1.0, 0.5]
    """
    order = _order(experience, group, order)
    model = fit_frequency(
        experience,
        f"{formula} + {group}",
        base={**(base or {}), group: order[0]},
        errors=errors,
        level=level,
    )
    if cluster is not None:
        model = cluster_errors(model, cluster[0], by=cluster[1])
    shrunk = credibility_of_cells(experience, model.rate(without=group), group)
    _require_intervals(model, group)
    table = _table(experience, model, shrunk.table, group, order)
    last = table.row(-1, named=True)
    facts = {
        "standard": order[0],
        "best": order[-1],
        "level": level,
        "best_fair": last["fair_discount"],
        "best_adjusted": last["adjusted_discount"],
        "standard_level": shrunk.table.filter(pl.col(group).cast(pl.String) == order[0])["premium"][
            0
        ],
        "best_lower": last["adjusted_lower"],
        "best_upper": last["adjusted_upper"],
        "best_unadjusted": 1 - last["unadjusted"],
        "collective": shrunk.facts["collective"],
        "within": shrunk.facts["within"],
        "between": shrunk.facts["between"],
        "lowest_credibility": shrunk.facts["lowest"],
    }
    frames = {"credibility": shrunk.table}
    return GroupEffect(table=table, basis=model.basis, facts=facts, frames=frames), model


class ProgrammeEffect(Result):
    """The programme's effect on claims, naive and adjusted side by side."""

    kind = "programme_effect"

    def finding(self, lang: Language = "en") -> str:
        """Say the naive and the most adjusted effect in one breath, and the truth if it is known."""
        key = "finding.programme_effect" + ("_truth" if "truth" in self.facts else "")
        return say(key, lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw each estimate with its interval, and the truth as a line if it is known."""
        t = self.table
        figure = interval_figure(
            t["estimator"].to_list(),
            t["effect"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="effect",
            factor="estimator",
            lang=lang,
            reference=0.0,
        )
        figure.update_yaxes(tickformat=".0%")
        if "truth" in self.facts:
            truth = [self.facts["truth"]] * t.height
            figure = with_points(figure, t["estimator"].to_list(), truth, name="truth", lang=lang)
        return figure


def programme_effect(
    experience: Experience,
    indicator: str,
    ladder: Mapping[str, str],
    *,
    truth: float | None = None,
    oracle: str | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
    cluster: Cluster | None = None,
) -> ProgrammeEffect:
    """Effect of being in the programme on claim frequency, by a ladder of adjustments.

    The healthy join. The naive comparison of members with others therefore credits the programme
    with their health; each rung takes more of it out, and none is proof as an experiment is.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``indicator`` and every key the ladder names.
    indicator : str
        Factor with levels ``yes`` and ``no``: in the programme during the period.
    ladder : mapping of str to str
        Name of each estimator → the factors it adjusts for (``""`` for none), from the naive one
        to the one to be believed most. For a difference in differences, adjust for who ever
        joined and for the policy year.
    truth : float, optional
        The true effect as a fraction, where the book is simulated.
    oracle : str, optional
        Factors that only a simulated book can know, such as latent health; shown last, never the
        finding.
    errors, level, cluster
        As in :func:`group_effect`.

    Returns
    -------
    ProgrammeEffect
        ``.table``: estimator, adjusted_for, rate_ratio, effect (rate ratio − 1), lower, upper.

    Examples
    --------
    >>> rows = pl.DataFrame({"in_programme": ["no", "no", "yes", "yes"], "exposure": [1.0] * 4,
    ...                      "claims": [4, 6, 3, 1]})
    >>> seen = Experience.collect(rows, ["in_programme"])
    >>> programme_effect(seen, "in_programme", {"naive": ""}).table["effect"].round(6).to_list()
    [-0.6]
    """
    if sorted(experience.levels(indicator)) != ["no", "yes"]:
        raise InputError(
            f"{indicator!r} must have the levels 'no' and 'yes', not {experience.levels(indicator)}"
        )
    if not ladder:
        raise InputError("the ladder of adjustments is empty", do='give at least {"naive": ""}')
    if oracle and "oracle" in ladder:
        raise InputError("the ladder has a rung named 'oracle'", do="rename the rung")
    rungs = {**ladder, **({"oracle": oracle} if oracle else {})}
    rows = [
        _rung(experience, indicator, name, rungs[name], errors, level, cluster) for name in rungs
    ]
    basis = experience.basis
    first, last = rows[0], rows[len(ladder) - 1]
    facts = {
        "level": level,
        "naive": first["effect"],
        "adjusted": last["effect"],
        "adjusted_lower": last["lower"],
        "adjusted_upper": last["upper"],
    }
    if truth is not None:
        facts["truth"] = truth
    return ProgrammeEffect(table=pl.DataFrame(rows), basis=basis, facts=facts)


def _rung(
    experience: Experience,
    indicator: str,
    name: str,
    others: str,
    errors: Errors,
    level: float,
    cluster: Cluster | None,
) -> dict[str, Any]:
    model = fit_frequency(
        experience.by(*variables(others), indicator),
        f"{others or 1} + {indicator}",
        base={indicator: "no"},
        errors=errors,
        level=level,
    )
    if cluster is not None:
        model = cluster_errors(model, cluster[0], by=cluster[1])
    yes = model.relativities(indicator).filter(pl.col("level") == "yes").row(0, named=True)
    if yes["role"] == "aliased":
        raise InputError(
            f"{name}: {indicator!r} cannot be told apart from {others!r}",
            do="adjust for fewer factors",
        )
    return {
        "estimator": name,
        "adjusted_for": others,
        "rate_ratio": yes["relativity"],
        "effect": yes["relativity"] - 1,
        "lower": yes["lower"] - 1,
        "upper": yes["upper"] - 1,
    }


def _require_intervals(model: Frequency, group: str) -> None:
    lacking = model.relativities(group).filter(pl.col("role") == "aliased")["level"]
    faults = [f"{level} cannot be told apart from the other factors" for level in lacking]
    if faults:
        raise InputError(
            "groups without an interval can rest no discount",
            where=group,
            faults=faults,
            do="join the group to its neighbour, or leave out the factor that holds it",
        )


def _order(experience: Experience, group: str, order: Sequence[str] | None) -> list[str]:
    present = experience.by(group).cells[group].cast(pl.String).to_list()
    given = list(order) if order is not None else present
    unknown = sorted(set(given).symmetric_difference(present))
    if unknown or len(set(given)) != len(given):
        raise InputError(
            f"the order of groups {given} is not the groups with exposure {present}",
            where=group,
            do="list each group once, from the standard one to the healthiest",
        )
    return given


def _table(
    experience: Experience,
    model: Frequency,
    shrunk: pl.DataFrame,
    group: str,
    order: list[str],
) -> pl.DataFrame:
    seen = experience.by(group).cells.with_columns(_rate=pl.col("claims") / pl.col("exposure"))
    by_group = {str(row[group]): row for row in seen.iter_rows(named=True)}
    adjusted = {row["level"]: row for row in model.relativities(group).iter_rows(named=True)}
    credible = {str(row[group]): row for row in shrunk.iter_rows(named=True)}
    rows = []
    for name in order:
        r = credible[name]["premium"] / credible[order[0]]["premium"]
        rows.append(
            {
                "health_group": name,
                "exposure": by_group[name]["exposure"],
                "claims": float(by_group[name]["claims"]),
                "unadjusted": by_group[name]["_rate"] / by_group[order[0]]["_rate"],
                "relativity": adjusted[name]["relativity"],
                "lower": adjusted[name]["lower"],
                "upper": adjusted[name]["upper"],
                "credibility": credible[name]["credibility"],
                "credible_relativity": r,
                "adjusted_discount": 1 - adjusted[name]["relativity"],
                "adjusted_lower": 1 - adjusted[name]["upper"],
                "adjusted_upper": 1 - adjusted[name]["lower"],
                "fair_discount": 1 - r,
            }
        )
    return pl.DataFrame(rows)
