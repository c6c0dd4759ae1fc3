"""What a health value is made of: points by task, weights, the pull of credibility, the next cut-off."""

from __future__ import annotations

from datetime import date
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.programme.members import same_person
from pricing.programme.programme import Programme
from pricing.programme.value import HealthValues
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["ValueExplained", "contributions", "explain", "threshold"]


class ValueExplained(Result):
    """One member's value, task by task; the contributions sum to the value."""

    kind = "value_explained"

    @property
    def programme(self) -> Programme:
        """The version of the programme that made the value."""
        return Programme.model_validate(self.details["programme"])

    def finding(self, lang: Language = "en") -> str:
        """Say what brings most, what leaves most, what credibility does, and what is next."""
        facts, titles = self.facts, self.programme.titles(lang)
        key = "value_next" if facts["next_group"] else "value_top"
        following = say(
            f"sentence.{key}",
            lang,
            gap=facts["gap"],
            group=level_label(str(facts["next_group"] or facts["target_group"]), lang),
        )
        return say(
            f"finding.{self.kind}",
            lang,
            **{
                **facts,
                "most": titles[f"task.{facts['most']}"],
                "least": titles[f"task.{facts['least']}"],
                "following": following,
            },
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the value as a waterfall of its tasks, with the cut-offs."""
        programme = self.programme
        titles = programme.titles(lang)
        rows = self.table.filter((pl.col("contribution") != 0) | (pl.col("task") == "credibility"))
        names = [titles.get(f"task.{name}", label(name, lang)) for name in rows["task"]]
        figure = go.Figure(
            go.Waterfall(
                y=[*names, label("health_value", lang)],
                x=[*rows["contribution"], 0.0],
                measure=[*["relative"] * rows.height, "total"],
                orientation="h",
                text=[f"{v:+.0f}" for v in rows["contribution"]] + [f"{self.facts['value']:.0f}"],
                textposition="outside",
                cliponaxis=False,
                increasing={"marker": {"color": COLOURS["third"]}},
                decreasing={"marker": {"color": COLOURS["second"]}},
                totals={"marker": {"color": COLOURS["estimate"]}},
                connector={"line": {"color": COLOURS["line"], "width": 1}},
            ),
            layout={"template": "pricing", "height": max(400, 140 + 28 * rows.height)},
        )
        for group in programme.group[1:]:
            figure.add_vline(
                x=group.cutoff,
                line={"dash": "dot", "color": COLOURS["line"]},
                annotation_text=level_label(group.name, lang),
                annotation_position="top",
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("health_value", lang)}, "rangemode": "tozero"},
            yaxis={"autorange": "reversed", "showgrid": False},
            showlegend=False,
            hovermode="closest",
        )


def contributions(values: HealthValues) -> pl.DataFrame:
    """Split every member's value over its tasks, in one pass.

    Returns
    -------
    polars.DataFrame
        person, renewal, task, category, task_points, task_cap, share_of_cap (points over cap), contribution
        (to the observed value). Tasks of one category share its weight by points:
        scale·ω_c·P_k/cap_c, or P_k where the value is the sum of points. Members without consent
        are not measured and have no row.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> from pricing.programme.value import health_values
    >>> days = pl.DataFrame({"person": ["a"], "day": [date(2024, 5, 1)], "steps": [8000]})
    >>> members = pl.DataFrame({"person": ["a"], "renewal": [date(2025, 1, 1)]})
    >>> contributions(health_values(read_programme("manulife_move"), members, days)).row(0)[2:]
    ('mean_steps', 'steps', 8000.0, 10000.0, 0.8, 8000.0)
    """
    found = []
    for i, version in enumerate(values.programmes):
        later = values.programmes[i + 1].effective if i + 1 < len(values.programmes) else date.max
        rows = values.table.filter(
            pl.col("renewal") >= (version.effective if i else date.min),
            pl.col("renewal") < later,
            pl.col("health_value").is_not_null(),
        ).select("person", "renewal", "member_days")
        weighted = version.value.kind == "weighted"
        order = [t.name for t in version.accounts]
        weight = {c.name: c.weight for c in version.category}
        facts = pl.DataFrame(
            {
                "task": order,
                "category": [t.category for t in version.accounts],
                "task_cap": [t.cap_year for t in version.accounts],
                "factor": [
                    version.value.scale * weight[t.category] / version.caps[t.category]
                    if weighted
                    else 1.0
                    for t in version.accounts
                ],
            }
        )
        joined = (pl.col("member_days") / version.window.days).clip(1e-9, 1.0)
        joined = joined if weighted else pl.lit(1.0)
        found.append(
            rows.join(
                values.frames["points"],
                on=["person", "renewal"],
                how="left",
                maintain_order="left",
            )
            .unpivot(
                order,
                index=["person", "renewal", "member_days"],
                variable_name="task",
                value_name="task_points",
            )
            .join(facts, on="task", how="left", maintain_order="left")
            .with_columns(task_cap=pl.col("task_cap") * joined)
            .select(
                "person",
                "renewal",
                "task",
                "category",
                "task_points",
                "task_cap",
                (pl.col("task_points") / pl.col("task_cap")).alias("share_of_cap"),
                (pl.col("task_points") * pl.col("factor") / joined).alias("contribution"),
            )
        )
    return pl.concat(found)


def explain(values: HealthValues, person: Any, renewal: date | None = None) -> ValueExplained:
    """Say what one member's health value is made of.

    Parameters
    ----------
    values : HealthValues
        From :func:`pricing.programme.value.health_values`.
    person : as in the table
        Whose value.
    renewal : date, optional
        At which renewal; the latest, where left out.

    Returns
    -------
    ValueExplained
        ``.table``: task, category, task_points, task_cap, share_of_cap, weight (of the category), still_open (value
        that the rest of the cap would add) and contribution to the value. The last row,
        ``credibility``, is the pull of few days, (1 − Z)·(prior − H_obs); the contributions sum
        to the health value.

    Raises
    ------
    InputError
        For a person who is not in the table or has not consented.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> from pricing.programme.value import health_values
    >>> days = pl.DataFrame({"person": ["a"], "day": [date(2024, 5, 1)], "steps": [8000]})
    >>> members = pl.DataFrame({"person": ["a"], "renewal": [date(2025, 1, 1)]})
    >>> seen = explain(health_values(read_programme("manulife_move"), members, days), "a")
    >>> print(seen.finding())
    The health value is 8,000: Mean daily steps brings most (8,000) and Mean daily steps leaves most
    (2,000); 1 valid days move it by +0 towards 0. With 2,000 more it reaches group 10,000.
    """
    row = values.member(person, renewal)
    if row["health_value"] is None:
        raise InputError(
            f"person {person!r} has not consented, so there is no value to explain",
            where="health values",
            do="ask for a member with consent",
        )
    version = values.programme(row["renewal"])
    one = HealthValues(
        table=values.table.filter(
            same_person(values.table["person"].dtype, person), pl.col("renewal") == row["renewal"]
        ),
        frames=values.frames,
        details={"programmes": [version.model_dump(mode="json", exclude_none=True)]},
    )
    weights = {c.name: c.weight for c in version.category}
    parts = contributions(one).drop("person", "renewal")
    pull = row["health_value"] - row["observed_value"]
    table = pl.concat(
        [
            parts.with_columns(
                weight=pl.col("category").replace_strict(weights, return_dtype=pl.Float64),
                still_open=_still_open(version),
            ),
            pl.DataFrame({"task": ["credibility"], "contribution": [pull]}),
        ],
        how="diagonal",
    ).select(
        "task",
        "category",
        "task_points",
        "task_cap",
        "share_of_cap",
        "weight",
        "still_open",
        "contribution",
    )
    tasks = table.head(-1)
    target = version.groups.index(row["target_group"])
    held = version.groups.index(row["group_held"])
    needed = threshold(version, target + 1, held)
    return ValueExplained(
        table=table,
        basis=Basis(
            source=values.basis.source,
            period=str(row["renewal"]),
            rows=row["valid_days"],
            fingerprint=fingerprint(values.basis.fingerprint, str(person), str(row["renewal"])),
            notes=values.basis.notes,
        ),
        facts={
            "value": row["health_value"],
            "observed": row["observed_value"],
            "credibility": row["credibility"],
            "prior": row["prior"],
            "pull": pull,
            "valid_days": row["valid_days"],
            "most": tasks.sort("contribution", descending=True, maintain_order=True)["task"][0],
            "most_value": tasks["contribution"].max(),
            "least": tasks.sort("still_open", descending=True, maintain_order=True)["task"][0],
            "least_value": tasks["still_open"].max(),
            "target_group": row["target_group"],
            "next_group": version.groups[target + 1] if needed is not None else None,
            "gap": max(needed - row["health_value"], 0.0) if needed is not None else 0.0,
        },
        details={"programme": version.model_dump(mode="json", exclude_none=True)},
    )


def threshold(programme: Programme, place: int, held: int) -> float | None:
    """Give the value that makes a group the target of a member who holds another; None above the top.

    Upwards the cut-off plus the hysteresis, downwards the cut-off less it.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> huoli = read_programme("huoli")
    >>> threshold(huoli, 2, 0), threshold(huoli, 2, 3), threshold(huoli, 5, 4)
    (575.0, 525.0, None)
    """
    if place >= len(programme.group):
        return None
    h = 0.0 if programme.movement.kind == "walk" else programme.movement.hysteresis
    return programme.cutoffs[place - 1] + (h if place > held else -h) if place else 0.0


def _still_open(version: Programme) -> pl.Expr:
    weights = {c.name: c.weight for c in version.category}
    if version.value.kind == "points":
        return pl.col("task_cap") - pl.col("task_points")
    whole = {
        t.name: version.value.scale * weights[t.category] * t.cap_year / version.caps[t.category]
        for t in version.accounts
    }
    full = pl.col("task").replace_strict(whole, return_dtype=pl.Float64)
    return (full - pl.col("contribution")).clip(0).round(9)
