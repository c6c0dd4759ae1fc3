"""Grading of long-term disability: item scores to indicators to level, by a standard kept as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.data.tables import bundled
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.inputs import toml_tree
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Grades", "GradingStandard", "Indicator", "grade", "grading_standard"]

STANDARD = "rules/disability_grading_2021.toml"


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """One first-level indicator: its items with the scores they can take, and its cuts, falling."""

    items: Mapping[str, tuple[int, ...]]
    cuts: tuple[int, ...]

    @property
    def highest(self) -> int:
        """The score of a life without impairment."""
        return sum(max(scores) for scores in self.items.values())


@dataclass(frozen=True, kw_only=True)
class GradingStandard:
    """A grading standard: indicators, levels from well to worst, and the table that combines them.

    Attributes
    ----------
    id, document, warning : str
        Which standard, its number, and what to do before use.
    indicators : mapping of str to Indicator
    rows : str
        The indicator whose impairment chooses the row of the table.
    columns : tuple of str
        Those whose worst impairment chooses the column.
    table : tuple of tuple of int
        Level by row and column.
    levels : tuple of str
        Names of the levels.

    Raises
    ------
    InputError
        For a table that is not monotone, cuts that do not fall or lie outside the scores, levels or
        indicators that are not there: all said at once.
    """

    id: str
    document: str
    warning: str
    indicators: Mapping[str, Indicator]
    rows: str
    columns: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    levels: tuple[str, ...]

    def __post_init__(self) -> None:
        wrong = [*self._kind_faults()]
        if wrong:
            raise InputError("not a grading standard", where=self.id, faults=wrong)
        faults = [
            f"no indicator {name!r}{nearest(name, self.indicators)}"
            for name in (self.rows, *self.columns)
            if name not in self.indicators
        ]
        for name, one in self.indicators.items():
            if list(one.cuts) != sorted(set(one.cuts), reverse=True):
                faults.append(f"the cuts of {name} do not fall: {list(one.cuts)}")
            elif not one.items or not all(0 < cut <= one.highest for cut in one.cuts):
                faults.append(f"a cut of {name} lies outside its scores, 1 to {one.highest}")
        if not faults:
            faults = self._table_faults()
        if faults:
            raise InputError(
                "a grading standard that contradicts itself", where=self.id, faults=faults
            )

    def _kind_faults(self) -> Iterator[str]:
        """Name what is no whole number, or no text, where one must stand."""
        for name, one in self.indicators.items():
            for item, scores in one.items.items():
                if not scores or not all(type(score) is int for score in scores):
                    yield f"the scores of {name}, {item} are not whole numbers: {list(scores)}"
            if not all(type(cut) is int for cut in one.cuts):
                yield f"the cuts of {name} are not whole numbers: {list(one.cuts)}"
        for row in self.table:
            if not all(type(value) is int for value in row):
                yield f"a row of the table has not whole numbers only: {list(row)}"
        for what, names in (("columns", self.columns), ("levels", self.levels)):
            if not names or not all(isinstance(name, str) for name in names):
                yield f"the {what} are not names: {list(names)}"

    def _table_faults(self) -> list[str]:
        high = len(self.indicators[self.rows].cuts) + 1
        wide = max(len(self.indicators[name].cuts) for name in self.columns) + 1
        if len(self.table) != high or any(len(row) != wide for row in self.table):
            return [f"the combination table must have {high} rows of {wide}"]
        faults = [
            f"level {value} at row {i}, column {j} is none of 0 to {len(self.levels) - 1}"
            for i, row in enumerate(self.table)
            for j, value in enumerate(row)
            if not 0 <= value < len(self.levels)
        ]
        for i, row in enumerate(self.table):
            for j, value in enumerate(row):
                if (i and value < self.table[i - 1][j]) or (j and value < row[j - 1]):
                    faults.append(f"the level falls to {value} at row {i}, column {j}")
        return faults

    @property
    def items(self) -> Mapping[str, tuple[int, ...]]:
        """Every item and the scores it can take, in order."""
        return {n: s for one in self.indicators.values() for n, s in one.items.items()}


class Grades(Result):
    """Assessments by level; ``.table``: care_level, assessments, share; ``.frames["graded"]`` the rows."""

    kind = "care_grades"

    def finding(self, lang: Language = "en") -> str:
        """Say how many assessments reach a severe level, and the standard's warning."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share of assessments by level."""
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=[level_label(x, lang) for x in self.table["care_level"].to_list()],
            y=self.table["share"].to_list(),
            marker={"color": COLOURS["estimate"]},
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("care_level", lang)}, "type": "category"},
            yaxis={"title": {"text": label("share", lang)}, "tickformat": ".0%"},
        )


def grading_standard(path: str | Path | None = None) -> GradingStandard:
    """Read a grading standard; the one of 2021 where no file is named.

    Parameters
    ----------
    path : path, optional
        A file in the form of ``data/rules/disability_grading_2021.toml``.

    Raises
    ------
    InputError
        For a file that is not there or lacks keys, and for a standard that contradicts itself.

    Examples
    --------
    >>> standard = grading_standard()
    >>> len(standard.items), standard.indicators["adl"].highest, standard.levels[5]
    (17, 100, 'severe_3')
    """
    file = bundled(STANDARD) if path is None else Path(path)
    try:
        read: Any = toml_tree(file)
        return GradingStandard(
            id=str(read["id"]),
            document=str(read["document"]),
            warning=str(read["warning_en"]),
            indicators={
                name: Indicator(
                    items={item: tuple(scores) for item, scores in one["items"].items()},
                    cuts=tuple(one["cuts"]),
                )
                for name, one in read["indicators"].items()
            },
            rows=str(read["combination"]["rows"]),
            columns=tuple(read["combination"]["columns"]),
            table=tuple(tuple(row) for row in read["combination"]["table"]),
            levels=tuple(read["levels"]),
        )
    except KeyError as lacking:
        raise InputError(f"the grading standard lacks {lacking}", where=file.name) from None
    except (AttributeError, TypeError) as fault:
        raise InputError(
            f"a part of the grading standard is of another kind: {fault}",
            where=file.name,
            do="write it as data/rules/disability_grading_2021.toml is written",
        ) from None


def grade(frame: pl.DataFrame, standard: GradingStandard | None = None) -> Grades:
    """Grade assessments from the scores of their items.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per assessment, a whole number per item (``grading_standard().items`` lists them with
        the scores they can take); other columns are carried along.
    standard : GradingStandard, optional
        The one of 2021 where left out.

    Returns
    -------
    Grades
        Assessments by level; ``.frames["graded"]`` holds every row with its indicator scores,
        impairments (0 intact to 3) and ``care_level``. The standard's warning stands in the basis.

    Raises
    ------
    InputError
        For items that lack, empty scores and scores the item cannot take: each named with the number
        of rows and the first of them. Nothing is graded then.

    Notes
    -----
    An indicator's score is the sum of its items, its impairment the number of cuts the score stays
    below; level = table[impairment of daily living, worst impairment of the others]. Every sum, cut and
    table being monotone, a worse item never gives a better level.

    Examples
    --------
    >>> standard = grading_standard()
    >>> well = {item: [max(scores)] * 2 for item, scores in standard.items.items()}
    >>> found = grade(pl.DataFrame(well | {"walking": [15, 0], "transfer": [15, 0], "stairs": [10, 5],
    ...     "toilet": [10, 5], "bathing": [5, 0], "dressing": [10, 0]}))
    >>> found.frames["graded"].select("adl_score", "care_level").rows()
    [(100, 'normal'), (45, 'moderate')]
    """
    rule = grading_standard() if standard is None else standard
    _hold(frame, rule)
    items = list(rule.items)
    scored = frame.with_columns(pl.col(items).cast(pl.Int16)).with_columns(
        pl.sum_horizontal(list(one.items)).cast(pl.Int16).alias(f"{name}_score")
        for name, one in rule.indicators.items()
    )
    scored = scored.with_columns(
        pl.sum_horizontal(pl.col(f"{name}_score") < cut for cut in one.cuts)
        .cast(pl.Int8)
        .alias(f"{name}_impairment")
        for name, one in rule.indicators.items()
    )
    width = len(rule.table[0])
    worst = pl.max_horizontal(f"{name}_impairment" for name in rule.columns)
    code = pl.col(f"{rule.rows}_impairment") * width + worst
    flat = [rule.levels[level] for row in rule.table for level in row]
    names = pl.Enum(rule.levels)
    graded = scored.with_columns(
        care_level=code.replace_strict(list(range(len(flat))), flat, return_dtype=names)
    )
    counts = graded.group_by("care_level").agg(assessments=pl.len().cast(pl.Int64))
    table = (
        pl.DataFrame({"care_level": pl.Series(rule.levels, dtype=names)})
        .join(counts, on="care_level", how="left", maintain_order="left")
        .with_columns(pl.col("assessments").fill_null(0))
        .with_columns(share=pl.col("assessments") / graded.height)
    )
    severe = int(
        table.filter(pl.col("care_level").cast(pl.String).str.starts_with("severe"))[
            "assessments"
        ].sum()
    )
    facts = {
        "assessments": graded.height, "severe": severe, "severe_share": severe / graded.height,
        "standard": rule.id,
    }  # fmt: skip
    basis = Basis(
        source=rule.document,
        rows=graded.height,
        fingerprint=fingerprint(rule.id, repr(rule.table), repr(table.rows())),
        notes=(rule.warning,),
    )
    return Grades(table=table, basis=basis, facts=facts, frames={"graded": graded})


def _hold(frame: pl.DataFrame, rule: GradingStandard) -> None:
    """Refuse items that lack, are empty or take a score they cannot."""
    if frame.is_empty():
        raise InputError("there are no assessments to grade")
    lacking = [item for item in rule.items if item not in frame.columns]
    if lacking:
        raise InputError(
            f"{len(lacking)} of {len(rule.items)} items are missing",
            faults=[f"{item}{_near(item, frame.columns)}" for item in lacking],
            do="deliver a column per item; an item left out is no score of 0",
        )
    texts = [item for item in rule.items if not frame.schema[item].is_numeric()]
    if texts:
        raise InputError(
            f"{len(texts)} items are no numbers", faults=[f"{i}: {frame.schema[i]}" for i in texts]
        )
    counts = frame.select(
        *[pl.col(i).is_null().sum().alias(f"{i}|null") for i in rule.items],
        *[_outside(i, s).sum().alias(f"{i}|out") for i, s in rule.items.items()],
    ).row(0, named=True)
    faults = []
    for item, scores in rule.items.items():
        for what, bad, said in (
            ("null", pl.col(item).is_null(), "is empty"),
            ("out", _outside(item, scores), f"is none of {', '.join(map(str, scores))}"),
        ):
            if counts[f"{item}|{what}"]:
                first = int(frame.select(bad.fill_null(False).arg_true().first()).item())
                value = "" if what == "null" else f" ({frame[item][first]})"
                faults.append(
                    f"{item} {said} in {counts[f'{item}|{what}']:,} of {frame.height:,} rows, first row {first + 1}{value}"
                )
    if faults:
        raise InputError(
            "scores that cannot be graded",
            faults=faults,
            do="complete or correct the assessments; nothing was graded",
        )


def _outside(item: str, scores: tuple[int, ...]) -> pl.Expr:
    """Say where an item has a score it cannot take."""
    return ~pl.col(item).cast(pl.Float64).is_in([float(s) for s in scores])


def _near(item: str, columns: list[str]) -> str:
    tail = nearest(item, columns)
    return tail if "did you mean" in tail else ""
