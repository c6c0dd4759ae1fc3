"""Health values: points to category scores, value, target group, group and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.programme.members import Frame, lazy, member_windows, same_person
from pricing.programme.movement import next_place, target_place
from pricing.programme.points import BATCH, earned_points
from pricing.programme.programme import Programme
from pricing.programme.programme_file import in_force
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label

__all__ = ["HealthValues", "health_values"]

STANDINGS = ("moved", "stayed", "few_days", "frozen", "no_consent")


class HealthValues(Result):
    """A row per member and renewal; ``.frames["points"]`` and ``.frames["groups"]`` beside.

    ``.details["programmes"]`` keeps every version used, whole.
    """

    kind = "health_values"

    @property
    def programmes(self) -> tuple[Programme, ...]:
        """The versions of the programme that these values rest on."""
        return tuple(Programme.model_validate(raw) for raw in self.details["programmes"])

    def programme(self, renewal: date) -> Programme:
        """Give the version that priced a renewal date: where one was given alone, that one."""
        only = self.programmes
        return only[0] if len(only) == 1 else in_force(only, renewal)

    def member(self, person: Any, renewal: date | None = None) -> dict[str, Any]:
        """Give one member's row with the points per task; the latest renewal without one."""
        own = self.table.filter(same_person(self.table["person"].dtype, person))
        if renewal is not None:
            if not isinstance(renewal, date) or isinstance(renewal, datetime):
                raise InputError(
                    f"renewal is no date: {renewal!r}", do="give datetime.date(y, m, d)"
                )
            own = own.filter(pl.col("renewal") == renewal)
        if own.height == 0:
            raise InputError(
                f"no value of person {person!r}" + (f" at {renewal}" if renewal else ""),
                where="health values",
                do="ask for a person of the table",
            )
        row = own.sort("renewal").tail(1)
        points = self.frames["points"].join(
            row.select("person", "renewal"), on=["person", "renewal"]
        )
        return {
            **row.row(0, named=True),
            "points": points.drop("person", "renewal").row(0, named=True),
        }

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw how the values lie, the cut-offs, and how many hold each group."""
        programme = self.programmes[-1]
        top = max(programme.value.scale, *programme.cutoffs)
        counts, edges = np.histogram(
            self.table["health_value"].drop_nulls().to_numpy(), bins=50, range=(0, top)
        )
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=((edges[1:] + edges[:-1]) / 2).tolist(),
            y=counts.tolist(),
            width=float(edges[1] - edges[0]),
            name=label("members", lang),
            marker={"color": COLOURS["estimate"], "line": {"width": 0}},
        )
        for group in programme.group[1:]:
            figure.add_vline(
                x=group.cutoff,
                line={"dash": "dot", "color": COLOURS["line"]},
                annotation_text=level_label(group.name, lang),
                annotation_position="top right",
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("health_value", lang)}},
            yaxis={"title": {"text": label("members", lang)}},
            showlegend=False,
        )


def health_values(
    programme: Programme | Sequence[Programme],
    members: Frame,
    activity: Frame | None = None,
    events: Frame | None = None,
    *,
    batch: int = BATCH,
    earn: Callable[..., tuple[pl.DataFrame, list[str]]] = earned_points,
) -> HealthValues:
    """Measure every member: points, category scores, health value, group, discount.

    Claims are no input. Without consent a member pays the standard premium and no more.

    Parameters
    ----------
    programme : Programme or sequence of Programme
        One version, or all: the one in force on each renewal date counts.
    members : polars.DataFrame or LazyFrame
        person, renewal and what :func:`pricing.programme.members.member_windows` lists.
    activity : polars.DataFrame or LazyFrame, optional
        Daily features: person, day, a column per measure; optionally valid and evidence.
    events : polars.DataFrame or LazyFrame, optional
        person, day, measure, evidence; optionally value and item.
    batch : int
        Members of one pass over the activity.
    earn : callable
        Gives the points, as :func:`pricing.programme.points.earned_points`; one that keeps them lets
        cut-offs and rates be tried without adding up the days again.

    Returns
    -------
    HealthValues
        ``.table``: person, renewal, valid_days, member_days, observed_value, credibility, prior,
        health_value, target_group, group_held, health_group, ``group_discount`` (or reimbursement: the
        fraction of the group), standing (moved, stayed, few_days, frozen, no_consent) and, where
        members have a standard premium, standard_premium and premium.
        ``.frames["points"]``: points per task after caps. ``.frames["groups"]``: members, mean value
        and rate by group.

    Raises
    ------
    InputError
        For input that cannot be priced; see :func:`pricing.programme.points.earned_points`.

    Notes
    -----
    P_k = min(Σ points, cap_k·m/D) with m days of membership in a window of D days (a joiner's caps
    are scaled so; the member of a full window has cap_k).
    H_obs = scale·Σ_c ω_c·min(1, Σ_{k∈c} P_k / cap_c); Z = n/(n + κ) with n valid days;
    H* = Z·H_obs + (1 − Z)·prior. Bühlmann's form of credibility; the reference's F2 and F3 (2025).
    The group is held below the minimum of valid days or of days of membership, and while frozen.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.programme.programme_file import read_programme
    >>> members = pl.DataFrame({"person": ["a"], "renewal": [date(2025, 1, 1)]})
    >>> days = pl.DataFrame({"person": ["a"] * 2, "day": [date(2024, 5, 1), date(2024, 5, 2)],
    ...                      "steps": [4000, 8000]})
    >>> values = health_values(read_programme("manulife_move"), members, days)
    >>> values.table.select("health_value", "health_group", "group_discount").row(0)
    (6000.0, '5,000', 0.05)
    """
    versions = _versions(programme)
    frame = lazy(members, "members").collect()
    tables, points, missing, used = [], [], list[str](), list[Programme]()
    parts = _by_version(versions, frame)
    for version, part in parts:
        own_events = events if len(parts) == 1 else _of_version(version, parts, events)
        windows = member_windows(version, part)
        agreed = windows.filter("consent")
        earned, lacking = earn(version, agreed, activity, own_events, batch=batch)
        table, own = _valued(version, windows, earned)
        tables.append(table)
        points.append(own)
        missing += lacking
        used.append(version)
    table = _stacked(tables)
    column = versions[0].rate_column
    groups = _groups(table, used[-1], column)
    shown = groups.sort("members", descending=True, maintain_order=True).row(0, named=True)
    notes = tuple(
        f"{name}: in no source; what it would earn counts as nothing"
        for name in dict.fromkeys(missing)
    )
    return HealthValues(
        table=table,
        basis=Basis(
            source=f"{used[-1].name}, effective {', '.join(str(v.effective) for v in used)}",
            period=" – ".join(table["renewal"].sort().cast(pl.String)[[0, -1]]),
            rows=table.height,
            fingerprint=fingerprint(
                *(v.fingerprint for v in used), str(table.hash_rows(seed=0).sum())
            ),
            notes=notes,
        ),
        facts={
            "members": table.height,
            "mean_value": _finite(table["health_value"].mean()),
            "largest": shown["health_group"],
            "largest_share": shown["members"] / table.height,
            "mean_rate": _finite(table[column].mean()),
            "held": int(table["standing"].is_in(["few_days", "frozen"]).sum()),
            "no_consent": int((table["standing"] == "no_consent").sum()),
        },
        frames={"points": pl.concat(points, how="diagonal"), "groups": groups},
        details={"programmes": [v.model_dump(mode="json", exclude_none=True) for v in used]},
    )


def _versions(programme: Any) -> tuple[Programme, ...]:
    several = isinstance(programme, Sequence) and not isinstance(programme, str)
    versions = tuple(programme) if several else (programme,)
    if not versions or not all(isinstance(v, Programme) for v in versions):
        raise InputError(
            "is no programme", where="programme", do="give read_programme(…) or read_versions(…)"
        )
    if len({(v.name, v.benefit) for v in versions}) > 1:
        raise InputError("versions of several programmes", where="programme", do="price each apart")
    if len({v.effective for v in versions}) < len(versions):
        raise InputError("two versions begin on one day", where="programme", do="give one of them")
    return tuple(sorted(versions, key=lambda v: v.effective))


def _of_version(
    version: Programme, parts: Sequence[tuple[Programme, pl.DataFrame]], events: Frame | None
) -> Frame | None:
    """Leave out what only other versions measure or weigh; what none knows stays, to be refused."""
    if events is None:
        return None
    rows = lazy(events, "events")
    held, kept = rows.collect_schema(), pl.lit(True)
    for column, known in (("measure", _event_measures), ("evidence", lambda v: set(v.evidence))):
        others = set().union(*(known(v) for v, _ in parts)) - known(version)
        if column in held:
            kept &= ~pl.col(column).cast(pl.String).is_in(sorted(others)).fill_null(False)
    return rows.filter(kept)


def _event_measures(programme: Programme) -> set[str]:
    return {w.measure for t in programme.task if t.source == "events" for w in t.ways}


def _stacked(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One table of versions that may have other groups, and premiums in one only."""
    names = [n for t in tables for n in t["health_group"].dtype.categories]  # type: ignore[attr-defined]
    groups = pl.Enum(list(dict.fromkeys(names)))
    columns = pl.col("target_group", "group_held", "health_group")
    return pl.concat(
        [t.with_columns(columns.cast(pl.String).cast(groups)) for t in tables], how="diagonal"
    )


def _by_version(
    versions: tuple[Programme, ...], frame: pl.DataFrame
) -> list[tuple[Programme, pl.DataFrame]]:
    if len(versions) == 1 or "renewal" not in frame.columns or frame.height == 0:
        return [(versions[-1], frame)]
    if frame.schema["renewal"] == pl.Date and frame["renewal"].null_count() == 0:
        in_force(versions, frame["renewal"].min())  # type: ignore[arg-type]
    ends = [*(v.effective for v in versions[1:]), date.max]
    parts = [
        (v, frame.filter(pl.col("renewal") >= v.effective, pl.col("renewal") < end))
        for v, end in zip(versions, ends, strict=True)
    ]
    return [(v, part) for v, part in parts if part.height]


def _valued(
    programme: Programme, windows: pl.DataFrame, earned: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Apply caps, weights, credibility and the movement rule to the points earned."""
    value, window = programme.value, programme.window
    weighted = value.kind == "weighted"
    joined = (pl.col("member_days") / window.days).clip(1e-9, 1.0) if weighted else pl.lit(1.0)
    accounts = {
        t.name: pl.sum_horizontal([o.name for o in programme.task if o.account == t.name])
        for t in programme.accounts
    }
    rows = windows.join(
        earned.rename({t.name: f"task:{t.name}" for t in programme.task}),
        on="row",
        how="left",
        maintain_order="left",
    )
    rows = rows.select(
        pl.exclude("^task:.*$").exclude("valid_days"),
        pl.col("valid_days").fill_null(0),
        *(
            pl.min_horizontal(
                pl.sum_horizontal(
                    [f"task:{o.name}" for o in programme.task if o.account == t.name]
                ),
                t.cap_year * joined,
            ).alias(f"task:{t.name}")
            for t in programme.accounts
        ),
    )
    sums = {
        c.name: pl.sum_horizontal(
            [f"task:{n}" for n in accounts if _category(programme, n) == c.name]
        )
        for c in programme.category
    }
    if weighted:
        seen = sum(
            (
                c.weight * (sums[c.name] / (programme.caps[c.name] * joined)).clip(0, 1)
                for c in programme.category
            ),
            start=pl.lit(0.0),
        )
        observed = value.scale * seen
    else:
        observed = sum(sums.values(), start=pl.lit(0.0))
    n = pl.col("valid_days")
    z = n / (n + value.kappa) if value.kappa else pl.lit(1.0)
    place = pl.Enum(programme.groups)
    held = pl.col("group_held").cast(place).to_physical().cast(pl.Int32).fill_null(programme.entry)
    rows = rows.with_columns(
        observed_value=observed,
        credibility=z.cast(pl.Float64).fill_nan(0.0),
        prior=pl.col("prior").fill_null(value.prior),
        held=held,
    ).with_columns(
        health_value=pl.col("credibility") * pl.col("observed_value")
        + (1 - pl.col("credibility")) * pl.col("prior")
    )
    return _moved(programme, rows, place)


def _moved(
    programme: Programme, rows: pl.DataFrame, place: pl.Enum
) -> tuple[pl.DataFrame, pl.DataFrame]:
    movement, window = programme.movement, programme.window
    walk = movement.kind == "walk"
    few = (pl.col("valid_days") < window.min_valid_days) | (
        pl.col("member_days") < min(window.min_valid_days, window.days)
    )
    frozen = (
        pl.col("frozen_days").fill_null(0) >= movement.freeze_days
        if movement.freeze_days is not None
        else pl.lit(False)
    )
    out = ~pl.col("consent")
    target = target_place(programme, pl.col("health_value"), None if walk else pl.col("held"))
    rows = rows.with_columns(target=target, few=few, frozen=frozen, out=out).with_columns(
        pl.when(pl.col("consent")).then(pl.col(name)).alias(name)
        for name in ("observed_value", "credibility", "prior", "health_value", "target")
    )
    still = pl.col("few") | pl.col("frozen")
    moved = next_place(programme, pl.col("target"), pl.col("held"))
    rows = rows.with_columns(
        next=pl.when("out").then(0).when(still).then(pl.col("held")).otherwise(moved)
    )
    if walk:
        start = pl.col("rate_held").fill_null(movement.start or 0.0)
        delta = pl.col("target").replace_strict(
            dict(enumerate(movement.deltas)), return_dtype=pl.Float64
        )
        walked = (start + delta).clip(movement.floor, movement.cap).round(10)
        rate = pl.when("out").then(0.0).when(still).then(start).otherwise(walked)
        changed = rate != start
    else:
        rate = pl.col("next").replace_strict(
            dict(enumerate(programme.rates)), return_dtype=pl.Float64
        )
        changed = pl.col("next") != pl.col("held")
    standing = (
        pl.when("out")
        .then(pl.lit("no_consent"))
        .when("frozen")
        .then(pl.lit("frozen"))
        .when("few")
        .then(pl.lit("few_days"))
        .when(changed)
        .then(pl.lit("moved"))
        .otherwise(pl.lit("stayed"))
    )
    names = place.categories.to_list()

    def named(column: str) -> pl.Expr:
        return pl.col(column).replace_strict(dict(enumerate(names)), return_dtype=place)

    rows = rows.with_columns(rate.alias(programme.rate_column), standing=standing)
    table = rows.select(
        "person",
        "renewal",
        "valid_days",
        "member_days",
        "observed_value",
        "credibility",
        "prior",
        "health_value",
        named("target").alias("target_group"),
        named("held").alias("group_held"),
        named("next").alias("health_group"),
        programme.rate_column,
        pl.col("standing").cast(pl.Enum(STANDINGS)),
        *(["rate_held"] if walk else []),
        *_premium(programme, rows),
    )
    points = rows.select("person", "renewal", pl.col("^task:.*$").name.map(lambda n: n[5:]))
    return table, points


def _premium(programme: Programme, rows: pl.DataFrame) -> list[pl.Expr]:
    if rows["standard_premium"].null_count() == rows.height or programme.benefit != "discount":
        return []
    standard = pl.col("standard_premium")
    return [standard, (standard * (1 - pl.col("group_discount"))).alias("premium")]


def _category(programme: Programme, task: str) -> str:
    return next(t.category for t in programme.task if t.name == task)


def _groups(table: pl.DataFrame, programme: Programme, column: str) -> pl.DataFrame:
    order = pl.DataFrame({"health_group": pl.Series(programme.groups, dtype=pl.String)})
    seen = (
        table.with_columns(pl.col("health_group").cast(pl.String))
        .group_by("health_group", maintain_order=True)
        .agg(
            members=pl.len(),
            mean_value=pl.col("health_value").mean(),
            mean_rate=pl.col(column).mean(),
        )
    )
    return order.join(seen, on="health_group", how="left", maintain_order="left").with_columns(
        pl.col("members").fill_null(0)
    )


def _finite(value: Any) -> float:
    return float(value) if value is not None and np.isfinite(value) else 0.0
