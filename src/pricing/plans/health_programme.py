"""A health programme on its members: everyone's value, group and premium, and what would lift them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
from pydantic import Field

from pricing.data.programme_book import simulate_programme
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.plans.lately import Lately
from pricing.programme.explain import contributions
from pricing.programme.lift import DiscountLift, lifts
from pricing.programme.points import earned_points
from pricing.programme.programme import Programme
from pricing.programme.programme_file import programme_of, read_programme
from pricing.programme.value import HealthValues, health_values
from pricing.result.figure import COLOURS
from pricing.result.series import flow_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say
from pricing.study.sections import NamesFile

__all__ = ["GroupFlow", "LiftSummary", "Prepared", "ProgrammeSection", "TaskValues"]

TABLES = ("programme_members", "activity_days", "programme_events")


class ProgrammeSection(NamesFile):
    """``[programme]``: which programme, what of it is tried otherwise, when one asks for a lift."""

    file: str = Field(
        description="A bundled programme's name, or the path of a programme file from this file's folder"
    )
    cut_offs: dict[str, float] = Field(
        default_factory=dict, description="Health value at which a group begins, tried instead"
    )
    rates: dict[str, float] = Field(
        default_factory=dict, description="Discount of a group, tried instead"
    )
    kappa: float | None = Field(
        default=None, ge=0, description="Valid days of credibility one half, tried instead"
    )
    hysteresis: float | None = Field(
        default=None, ge=0, description="Points beyond a cut-off it takes to move, tried instead"
    )
    min_valid_days: int | None = Field(
        default=None, ge=0, le=731, description="Valid days it takes to be measured, tried instead"
    )
    asked_on: date | None = Field(
        default=None, description="Day on which members ask what would lift their discount"
    )
    askers: int = Field(default=100, ge=1, le=2000, description="How many ask, over the whole book")


@dataclass(frozen=True)
class Prepared:
    """The members with their days and events."""

    members: pl.DataFrame
    days: pl.DataFrame
    events: pl.DataFrame
    lately: Lately[Any] = field(default_factory=Lately, repr=False, compare=False)


class GroupFlow(Result):
    """From the group held to the coming group; ``.table``: group_held, health_group, members, premium."""

    kind = "group_flow"

    def finding(self, lang: Language = "en") -> str:
        """Say how many go up and how many down, and how many of these for want of consent."""
        said = say("finding.group_flow", lang, **self.facts)
        if not self.facts["down_no_consent"]:
            return said
        return said + say("sentence.group_flow_consent", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the streams from last year's groups to next year's."""
        flows = self.table.select("members", from_group="group_held", to_group="health_group")
        return flow_figure(flows, self.details["groups"], lang)


class TaskValues(Result):
    """What tasks bring; ``.table``: task, share_of_cap, contribution and still_open of the mean member."""

    kind = "task_values"

    def finding(self, lang: Language = "en") -> str:
        """Name the task that brings most and the one that leaves most."""
        titles = self.details["titles"][lang]
        most = self.table.sort("contribution", descending=True).row(0, named=True)
        left = self.table.sort("mean_open", descending=True).row(0, named=True)
        return say(
            "finding.task_values",
            lang,
            most=titles[most["task"]],
            brings=most["contribution"],
            left=titles[left["task"]],
            leaves=left["mean_open"],
        )

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the table with the tasks' and categories' titles."""
        titles = self.details["titles"][lang]
        return self.table.with_columns(pl.col("task", "category").replace(titles))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw what each task brings the mean member, and what it leaves."""
        titles = self.details["titles"][lang]
        rows = self.table.sort("contribution")
        figure = go.Figure(
            layout={"template": "pricing", "height": max(400, 120 + 30 * rows.height)}
        )
        for name, colour in (("contribution", "estimate"), ("mean_open", "bars")):
            figure.add_bar(
                y=[titles[task] for task in rows["task"]],
                x=rows[name].to_list(),
                orientation="h",
                name=label(name, lang),
                marker={"color": COLOURS[colour]},
            )
        return figure.update_layout(
            barmode="stack",
            xaxis={"title": {"text": label("health_value", lang)}},
            yaxis={"showgrid": False},
            hovermode="closest",
        )


class LiftSummary(Result):
    """What the next group would take; ``.table``: health_group, outcome, members, effort, valid days lacking."""

    kind = "lift_summary"

    def finding(self, lang: Language = "en") -> str:
        """Say how many of those who ask can reach the next group, and at what effort."""
        if self.facts["effort"] is None:
            return say("sentence.lift_summary_none", lang, **self.facts)
        return say("finding.lift_summary", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw how often each task stands in the plans that reach the next group."""
        titles = self.details["titles"][lang]
        rows = self.frames["tasks"].sort("plans")
        figure = go.Figure(
            layout={"template": "pricing", "height": max(400, 120 + 30 * rows.height)}
        )
        figure.add_bar(
            y=[titles[task] for task in rows["task"]],
            x=rows["share_of_plans"].to_list(),
            orientation="h",
            marker={"color": COLOURS["estimate"]},
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("share_of_plans", lang)}, "tickformat": ".0%"},
            yaxis={"showgrid": False},
            hovermode="closest",
        )


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write simulated members with their days and events."""
    simulate_programme(folder, members=members, seed=seed)


def prepare(
    section: ProgrammeSection, tables: Mapping[str, pl.DataFrame], basis: Basis
) -> Prepared:
    """Keep the tables as the value engine takes them."""
    del section, basis
    origin = pl.selectors.starts_with("_")
    kept = {name: tables[name].drop(origin) for name in TABLES}
    members, days, events = (kept[name] for name in TABLES)
    return Prepared(members, days, events)


def results(section: ProgrammeSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give values, the flow between groups, what tasks bring, and what lifts a discount."""
    programme = _programme(section)
    values = _values(programme, prepared)
    held = replace(
        values, basis=replace(values.basis, source=f"{basis.source}: {values.basis.source}")
    )
    titles = {lang: _titles(programme, lang) for lang in ("en", "zh")}
    found: dict[str, Result] = {
        "health_values": held,
        "group_flow": _flow(values, programme, basis),
        "task_values": _tasks(values, programme, titles, basis),
    }
    if section.asked_on is not None:
        asked = _askers(section, values, prepared)
        plans = lifts(programme, asked, prepared.days, prepared.events, on=section.asked_on)
        found["lift_summary"] = _summary(plans, titles, basis, section.asked_on)
        reached = next((plan for plan in plans if plan.reachable), None)
        if reached is not None:
            found["discount_lift"] = reached
    return found


def headline(section: ProgrammeSection, prepared: Prepared) -> dict[str, float]:
    """Give mean value, mean discount by premium, premium charged, and the share that moves up."""
    programme = _programme(section)
    table = _values(programme, prepared).table
    order = list(programme.groups)
    at = {group: i for i, group in enumerate(order)}
    place = {
        name: table[name].cast(pl.String).replace_strict(at, default=None)
        for name in ("group_held", "health_group")
    }
    standard = float(table["standard_premium"].sum())
    charged = float(table["premium"].sum())
    return {
        "mean_discount": 1 - charged / standard,
        "premium_charged": charged,
        "mean_health_value": float(table["health_value"].mean() or 0.0),  # type: ignore[arg-type]
        "share_moving_up": float((place["health_group"] > place["group_held"]).mean() or 0.0),  # type: ignore[arg-type]
        "top_share": float((place["health_group"] >= len(order) - 2).mean() or 0.0),  # type: ignore[arg-type]
    }


def at_once(section: ProgrammeSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a cut-off is dragged: who moves to which group, what tasks bring."""
    programme = _programme(section)
    values = _values(programme, prepared)
    titles = {lang: _titles(programme, lang) for lang in ("en", "zh")}
    return {
        "group_flow": _flow(values, programme, basis),
        "task_values": _tasks(values, programme, titles, basis),
    }


def present(section: ProgrammeSection) -> dict[str, Any]:
    """Give what the programme's own file says where the section leaves a key to it."""
    programme = _programme(section)
    groups = programme.model_dump(mode="json")["group"]
    return {
        "cut_offs": {g["name"]: float(g["cutoff"]) for g in groups[1:]},
        "rates": {g["name"]: float(g["rate"]) for g in groups[1:]},
        "kappa": programme.value.kappa,
        "hysteresis": programme.movement.hysteresis,
        "min_valid_days": programme.window.min_valid_days,
    }


def _programme(section: ProgrammeSection) -> Programme:
    programme = read_programme(section.place(section.file))
    unknown = [g for g in {**section.cut_offs, **section.rates} if g not in programme.groups]
    if unknown:
        raise InputError(
            f"{unknown[0]!r} is no group of {programme.name}; its groups are {', '.join(programme.groups)}",
            where="programme.cut_offs and programme.rates",
        )
    raw: dict[str, Any] = programme.model_dump(mode="json", exclude_unset=True)
    for group in raw["group"]:
        for key, given in (("cutoff", section.cut_offs), ("rate", section.rates)):
            if group["name"] in given:
                group[key] = given[group["name"]]
    for table, key, value in (
        ("value", "kappa", section.kappa),
        ("movement", "hysteresis", section.hysteresis),
        ("window", "min_valid_days", section.min_valid_days),
    ):
        if value is not None:
            raw[table][key] = value
    return programme_of(raw)


def _values(programme: Programme, prepared: Prepared) -> HealthValues:
    def earn(version: Programme, windows: pl.DataFrame, *given: Any, **more: Any) -> Any:
        key = ("points", version.model_dump_json(exclude={"group", "movement"}))
        return prepared.lately.of(key, lambda: earned_points(version, windows, *given, **more))

    def values() -> HealthValues:
        return health_values(programme, prepared.members, prepared.days, prepared.events, earn=earn)

    found: HealthValues = prepared.lately.of(("values", programme.model_dump_json()), values)
    return found


def _titles(programme: Programme, lang: Language) -> dict[str, str]:
    return {name.partition(".")[2]: title for name, title in programme.titles(lang).items()}


def _flow(values: HealthValues, programme: Programme, basis: Basis) -> GroupFlow:
    order = pl.Enum(list(programme.groups))
    rows = values.table.with_columns(
        pl.col("group_held", "health_group").cast(pl.String).cast(order)
    )
    table = (
        rows.group_by("group_held", "health_group")
        .agg(members=pl.len(), standard_premium=pl.col("standard_premium").sum(), premium=pl.col("premium").sum())
        .sort("group_held", "health_group")
    )  # fmt: skip
    up = table.filter(pl.col("health_group") > pl.col("group_held"))["members"].sum()
    down = table.filter(pl.col("health_group") < pl.col("group_held"))["members"].sum()
    falls = pl.col("health_group") < pl.col("group_held")
    out = rows.filter(falls, pl.col("standing") == "no_consent").height
    facts = {
        "members": rows.height,
        "down_no_consent": out,
        "up": int(up),
        "down": int(down),
        "premium_charged": float(table["premium"].sum()),
        "given": float((table["standard_premium"] - table["premium"]).sum()),
        "currency": basis.currency,
    }
    return GroupFlow(
        table=table.with_columns(pl.col("group_held", "health_group").cast(pl.String)),
        facts=facts,
        basis=_basis(values.basis, basis, "group_flow"),
        details={"groups": list(programme.groups)},
    )


def _tasks(
    values: HealthValues,
    programme: Programme,
    titles: Mapping[str, Mapping[str, str]],
    basis: Basis,
) -> TaskValues:
    full = {c.name: programme.value.scale * c.weight for c in programme.category}
    parts = contributions(values)
    caps = {t.name: t.cap_year / programme.caps[t.category] for t in programme.accounts}
    whole = pl.col("category").replace_strict(full, return_dtype=pl.Float64) * pl.col(
        "task"
    ).replace_strict(caps, return_dtype=pl.Float64)
    if programme.value.kind == "points":
        whole = pl.col("task_cap")
    table = (
        parts.with_columns(mean_open=(whole - pl.col("contribution")).clip(0.0))
        .group_by("task", "category", maintain_order=True)
        .agg(pl.col("share_of_cap", "contribution", "mean_open").mean())
    )
    own = _basis(values.basis, basis, "task_values")
    measured = values.table["health_value"].count()
    note = f"means of the {measured:,} of {values.table.height:,} renewals that are measured"
    return TaskValues(
        table=table,
        basis=replace(own, rows=measured, notes=(*own.notes, note)),
        details={"titles": titles},
    )


def _askers(section: ProgrammeSection, values: HealthValues, prepared: Prepared) -> pl.DataFrame:
    """Members who may ask, one in so many, so that they lie over the whole book."""
    measured = values.table.filter(~pl.col("standing").is_in(["no_consent", "frozen"]))
    able = prepared.members.join(measured, on=["person", "renewal"], how="semi").sort("person")
    many = min(section.askers, able.height)
    return able[[i * able.height // many for i in range(many)]]


def _summary(
    plans: list[DiscountLift],
    titles: Mapping[str, Mapping[str, str]],
    basis: Basis,
    on: date,
) -> LiftSummary:
    rows = pl.DataFrame(
        [
            {
                "health_group": plan.facts["group"],
                "outcome": f"lift_{plan.facts['outcome']}",
                "effort": plan.facts["effort"] if plan.reachable else None,
            }
            for plan in plans
        ],
        schema={"health_group": pl.String, "outcome": pl.String, "effort": pl.Float64},
    )
    table = (
        rows.group_by("health_group", "outcome")
        .agg(members=pl.len(), median_effort=pl.col("effort").median())
        .sort("health_group", "outcome")
    )
    reached = [plan.table.select("task").unique() for plan in plans if plan.reachable]
    tasks = pl.concat([pl.DataFrame(schema={"task": pl.String}), *reached])
    counted = tasks.group_by("task").agg(plans=pl.len()).sort("plans", "task", descending=True)
    counted = counted.with_columns(share_of_plans=pl.col("plans") / max(len(reached), 1))
    effort = rows["effort"].median()
    facts = {
        "asked": len(plans),
        "reachable": len(reached),
        "share": len(reached) / max(len(plans), 1),
        "effort": float(effort) if isinstance(effort, float) else None,
        "on": str(on),
    }
    return LiftSummary(
        table=table,
        facts=facts,
        frames={"tasks": counted},
        basis=_basis(basis, basis, f"lift_summary {on}"),
        details={"titles": titles},
    )


def _basis(own: Basis, study: Basis, name: str) -> Basis:
    return replace(
        own,
        source=study.source,
        currency=study.currency,
        fingerprint=fingerprint(study.fingerprint, own.fingerprint, name),
    )
