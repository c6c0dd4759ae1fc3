"""Scenarios of a study, old against new: side by side, and each difference explained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.files import fingerprint
from pricing.result.attribution import shapley_values
from pricing.result.figure import COLOURS
from pricing.result.readable import amount_text, broken
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, catalogue, label, level_label, say
from pricing.study.sections import Scenario

__all__ = ["ScenarioComparison", "ScenarioSteps", "scenario_results"]

LONGEST = 40  # letters of a changed value under a bar
SHARES = frozenset({  # figures that are shares: said as percents, their differences in points
    "activation_rate", "actuarial_value", "aid_paid_share", "break_even_take_up",
    "choosers_loss_ratio", "closing_growth", "highest_discount", "loss_ratio", "loss_ratio_after",
    "mean_discount", "passes", "precision", "share_moving_up", "stable_members", "take_up",
    "top_share", "watched_share", "worst_share_of_net",
})  # fmt: skip
Headline = Callable[[Mapping[str, Any]], dict[str, float]]


class ScenarioComparison(Result):
    """The study as it stands beside each scenario; ``.table``: quantity, scenario, before, after, difference."""

    kind = "scenario_comparison"

    def finding(self, lang: Language = "en") -> str:
        """Say what the first scenario does to the first figure that moves, and which move nothing."""
        there = self.table.filter(pl.col("difference").is_not_null())
        moved = there.filter(pl.col("difference") != 0)
        first = (moved if moved.height else there).row(0, named=True)
        going = set(moved["scenario"])
        still = [n for n in self.table["scenario"].unique(maintain_order=True) if n not in going]
        said = say(
            "finding.scenario_comparison",
            lang,
            scenarios=self.table["scenario"].n_unique(),
            scenario=_title(self, first["scenario"], lang),
            quantity=label(first["quantity"], lang),
            before=_level(first["quantity"], first["before"]),
            after=_level(first["quantity"], first["after"]),
        )
        names = ("、" if lang == "zh" else ", ").join(_title(self, n, lang) for n in still)
        said += say("sentence.scenario_still", lang, names=names) if still else ""
        return said + _of_tier(self, lang)

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the table with the scenarios' titles in a language."""
        names = self.table["scenario"].unique().to_list()
        titles = {name: _title(self, name, lang) for name in names}
        return self.table.with_columns(pl.col("scenario").replace(titles))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw how far each scenario moves each figure, in percent of what it is now."""
        figure = go.Figure(layout={"template": "pricing", "barmode": "group"})
        scenarios = self.table["scenario"].unique(maintain_order=True).to_list()
        for place, scenario in enumerate(scenarios):
            rows = self.table.filter(scenario=scenario)
            colour, _ = SERIES[place % len(SERIES)]
            figure.add_bar(
                y=[label(name, lang) for name in rows["quantity"]],
                x=rows["relative_difference"].to_list(),
                orientation="h",
                name=_title(self, scenario, lang),
                marker={"color": colour, "pattern": {"shape": "" if place < len(SERIES) else "/"}},
            )
        figure.add_vline(x=0, line={"color": COLOURS["line"], "width": 1})
        bars = self.table.height
        return figure.update_layout(
            height=170 + 22 * len(scenarios) + max(9 * bars, 30 * bars // len(scenarios)),
            legend={"traceorder": "normal", "orientation": "v"},
            yaxis={"type": "category", "autorange": "reversed"},
            xaxis={
                "title": {"text": label("relative_difference", lang)},
                "tickformat": "+.0%",
                "showgrid": True,
                "gridcolor": COLOURS["bars"],
            },
            hovermode="closest",
        )


class ScenarioSteps(Result):
    """One scenario's difference, change by change; ``.table``: quantity, changed_key, part_of_difference."""

    kind = "scenario_steps"

    @property
    def _first(self) -> str:
        """The first figure that moves."""
        moved = self.table.filter(pl.col("part_of_difference") != 0)
        return str((moved if moved.height else self.table)["quantity"][0])

    def finding(self, lang: Language = "en") -> str:
        """Name the change that moves the first figure most."""
        first = self._first
        rows = self.table.filter(quantity=first)
        strongest = rows.sort(pl.col("part_of_difference").abs(), descending=True).row(
            0, named=True
        )
        return say(
            "finding.scenario_steps",
            lang,
            quantity=label(first, lang),
            difference=_part(first, float(rows["part_of_difference"].sum()), lang),
            change=_plain(strongest["changed_key"], lang),
            part=_part(first, strongest["part_of_difference"], lang),
        ) + _of_tier(self, lang)

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the table with the changed keys in a language."""
        keys = self.table["changed_key"].unique().to_list()
        plain = {key: _plain(key, lang) for key in keys}
        return self.table.with_columns(pl.col("changed_key").replace(plain))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the first figure from old to new."""
        first = self._first
        rows = self.table.filter(quantity=first)
        ends = self.frames["ends"].filter(quantity=first).row(0, named=True)
        share = first in SHARES
        figure = go.Figure(layout={"template": "pricing", "height": 440, "showlegend": False})
        figure.add_waterfall(
            x=[
                label("before", lang),
                *_short(rows["changed_key"].to_list(), lang),
                label("after", lang),
            ],
            y=[ends["before"], *rows["part_of_difference"], ends["after"]],
            measure=["absolute", *["relative"] * rows.height, "total"],
            connector={"line": {"color": COLOURS["line"], "width": 1, "dash": "dot"}},
            increasing={"marker": {"color": COLOURS["second"]}},
            decreasing={"marker": {"color": COLOURS["third"]}},
            totals={"marker": {"color": COLOURS["estimate"]}},
            text=[
                f"{ends['before']:.2%}" if share else amount_text(ends["before"], lang),
                *(
                    f"{100 * v:+.2f}" if share else amount_text(v, lang, signed=True)
                    for v in rows["part_of_difference"]
                ),
                f"{ends['after']:.2%}" if share else amount_text(ends["after"], lang),
            ],
            textposition="outside",
            cliponaxis=False,
        )
        levels = [ends["before"] + v for v in (0.0, *rows["part_of_difference"].cum_sum())]
        room = max(max(levels) - min(levels), 0.02 * max(map(abs, levels)), 1e-12)
        return figure.update_layout(
            xaxis={"title": {"text": label("changed_key", lang)}, "type": "category"},
            yaxis={
                "title": {"text": label(first, lang)},
                "range": [min(levels) - 0.6 * room, max(levels) + 0.25 * room],
                "tickformat": ".1%" if share else None,
            },
            hovermode="closest",
        )


def scenario_results(
    scenarios: Sequence[Scenario], headline: Headline, basis: Basis, *, tier: str = ""
) -> dict[str, Result]:
    """Compare every scenario of a study file with the study as it stands.

    Each figure is computed again with the scenario's keys changed. Where a scenario changes
    several keys, a change is given its Shapley value: the mean of what it does over all orders
    in which they can be made, so the parts add up to the difference and favour no order.

    Parameters
    ----------
    scenarios : sequence of Scenario
        Each with the keys it changes.
    headline : callable
        What is changed (dotted key to value, empty for the plan as it stands) to the figures by
        name; called 2ⁿ − 1 times for a scenario of n changes.
    basis : Basis
        The study's.
    tier : str
        The tier whose cost, price and loss ratio the figures are, where the study has several.

    Returns
    -------
    dict of str to Result
        ``scenario_comparison``, and ``scenario_steps:NAME`` for each scenario of several changes.

    References
    ----------
    Shapley, L. S. (1953). A value for n-person games. Annals of Mathematics Studies 28, 307–317.

    Examples
    --------
    >>> rise = Scenario(name="rise", title={"en": "Rise", "zh": "上调"}, change={"care.monthly": 600})
    >>> found = scenario_results([rise], lambda c: {"outgo": c.get("care.monthly", 450) * 12.0}, Basis())
    >>> found["scenario_comparison"].table["difference"].to_list()
    [1800.0]
    >>> both = Scenario(name="both", title={"en": "Both", "zh": "两项"},
    ...                 change={"care.monthly": 600, "care.fee": 0.1})
    >>> outgo = lambda c: {"outgo": c.get("care.monthly", 450) * 12.0 * (1 + c.get("care.fee", 0.0))}
    >>> steps = scenario_results([both], outgo, Basis())["scenario_steps:both"]
    >>> round(steps.table["part_of_difference"].sum(), 6)
    2520.0
    """
    before = headline({})
    rows: list[tuple[str, str, float | None, float | None, float | None, float | None]] = []
    steps: dict[str, Result] = {}
    for scenario in scenarios:
        states = _states(scenario, headline, before)
        after = states[-1]
        for name in dict.fromkeys(
            [*before, *after]
        ):  # a figure may be there in one of the two alone
            old, new = before.get(name), after.get(name)
            apart = None if old is None or new is None else new - old
            share = apart / abs(old) if apart is not None and old else None
            rows.append((name, scenario.name, old, new, apart, share))
        if len(scenario.change) > 1:
            steps[f"scenario_steps:{scenario.name}"] = _steps(scenario, states, basis, tier)
    schema = {
        "quantity": pl.String,
        "scenario": pl.String,
        **dict.fromkeys(("before", "after", "difference", "relative_difference"), pl.Float64),
    }
    table = pl.DataFrame(rows, schema=schema, orient="row")
    titles = {s.name: s.title.model_dump() for s in scenarios}
    said = [json.dumps(s.model_dump(mode="json"), sort_keys=True) for s in scenarios]
    held = replace(basis, fingerprint=fingerprint(basis.fingerprint, *said))
    compared = ScenarioComparison(
        table=table, basis=held, details={"titles": titles, **_named(tier)}
    )
    return {"scenario_comparison": compared, **steps}


def _states(
    scenario: Scenario, headline: Headline, before: dict[str, float]
) -> list[dict[str, float]]:
    """The figures after every subset of the changes; bit k of a place is change k."""
    keys = list(scenario.change)
    states = [before]
    for state in range(1, 1 << len(keys)):
        made: dict[str, Any] = {k: scenario.change[k] for i, k in enumerate(keys) if state >> i & 1}
        states.append(headline(made))
    return states


def _steps(
    scenario: Scenario, states: list[dict[str, float]], basis: Basis, tier: str
) -> ScenarioSteps:
    keys = [f"{key} → {_said(value)}" for key, value in scenario.change.items()]
    names = [name for name in states[0] if all(name in state for state in states)]
    parts = {n: shapley_values(np.array([state[n] for state in states])) for n in names}
    table = pl.DataFrame(
        {
            "quantity": [n for n in names for _ in keys],
            "changed_key": keys * len(names),
            "part_of_difference": np.concatenate([parts[n] for n in names]),
        }
    )
    ends = pl.DataFrame(
        {
            "quantity": names,
            "before": [states[0][n] for n in names],
            "after": [states[-1][n] for n in names],
        }
    )
    said = json.dumps(scenario.model_dump(mode="json"), sort_keys=True)
    held = replace(
        basis,
        fingerprint=fingerprint(basis.fingerprint, said),
        notes=(*basis.notes, "Shapley values over all orders of the changes"),
    )
    return ScenarioSteps(
        table=table,
        basis=held,
        frames={"ends": ends},
        details={"title": scenario.title.model_dump(), **_named(tier)},
    )


def _said(value: Any) -> str:
    """A new value in few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items()) or "—"
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "—"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _level(name: str, value: float) -> str:
    """A figure: a share as a percent."""
    return f"{value:.2%}" if name in SHARES else _figure(value)


def _part(name: str, value: float, lang: Language) -> str:
    """A difference of a figure: of a share in points."""
    if name not in SHARES:
        return _figure(value, signed=True)
    return say("sentence.points", lang, points=100 * value)


def _plain(change: str, lang: Language) -> str:
    """A changed key and its value: as the study file writes them, or in Chinese words."""
    if lang == "en":
        return change
    key, value = change.split(" → ", 1)
    said = "·".join(_word(word, lang) for word in key.split("."))
    return f"{said} → {_value(value, lang).replace('<br>', '')}"


def _figure(value: float, *, signed: bool = False) -> str:
    """A figure of any unit: whole where it is large, four digits where it is not."""
    sign = "+" if signed else ""
    return f"{value:{sign},.0f}" if abs(value) >= 10_000 else f"{value:{sign},.4g}"


def _short(changes: Sequence[str], lang: Language) -> list[str]:
    """The last words of changed keys and their values, short enough for an axis and no two alike."""
    keys, values = zip(*(c.split(" → ", 1) for c in changes), strict=True)
    values = tuple(_value(value, lang) for value in values)
    for words in range(1, max(key.count(".") for key in keys) + 2):
        said = [
            "<br>".join(
                [*(broken(_word(word, lang), 16) for word in key.split(".")[-words:]), value]
            )
            for key, value in zip(keys, values, strict=True)
        ]
        if len(set(said)) == len(said):
            break
    return said


def _word(word: str, lang: Language) -> str:
    """A word of a key in the language: a term, a level, or itself with its underscores read as spaces."""
    entry = catalogue().get(f"key.{word}") or catalogue().get(f"term.{word}")
    return entry[lang] if entry else level_label(word, lang).replace("_", " ")


def _value(value: str, lang: Language) -> str:
    """A said value in the language, broken into lines an axis can carry."""
    comma = "、" if lang == "zh" else ", "
    parts = (" ".join(_token(token, lang) for token in part.split()) for part in value.split(", "))
    said = comma.join(parts)
    return broken(said if len(said) <= LONGEST else said[: LONGEST - 1] + "…", 16)


def _token(token: str, lang: Language) -> str:
    named = {"true": "yes", "false": "no", "—": "none"}.get(token, token)
    try:
        return amount_text(float(named), lang)
    except ValueError:
        return level_label(named, lang)


def _named(tier: str) -> dict[str, str]:
    return {"tier": tier} if tier else {}


def _of_tier(result: Result, lang: Language) -> str:
    """The tier whose figures these are; nothing where the study has no two."""
    tier = result.details.get("tier", "")
    return say("sentence.scenario_tier", lang, tier=level_label(tier, lang)) if tier else ""


def _title(result: Result, scenario: str, lang: Language) -> str:
    titles: dict[str, dict[str, str]] = result.details["titles"]
    return titles[scenario][lang]
