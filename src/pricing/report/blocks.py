"""The blocks of a report: one finding, its figure, its table and what it rests on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go
import plotly.io as pio
import polars as pl
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from pricing.claims.contest import SHOWN, Contest
from pricing.claims.product import Product
from pricing.claims.rating import RatingModel
from pricing.errors import InputError
from pricing.programme.value import HealthValues
from pricing.report.sections import (
    ASIDE,
    BEST,
    EVERY,
    LAST,
    NOTES,
    OF_LEVEL,
    PLAN_SECTIONS,
    SECTIONS,
)
from pricing.report.tables import about_label, render
from pricing.reserving.fan import DevelopmentFan
from pricing.result.shape import Basis, Result
from pricing.result.words import LANGUAGES, Language, label, level_label, note_said, say
from pricing.study.scenarios import ScenarioSteps
from pricing.survival.competing import CumulativeIncidence
from pricing.tiers.grid import TierGrid

__all__ = ["Block", "Section", "identifier", "sections_of"]

Texts = Mapping[Language, str]
SHORT = 12  # rows of a table that stands open


@dataclass(frozen=True)
class Block:
    """One finding with its figure and table, in both languages."""

    name: str
    of: str  # the result it belongs to
    heading: Texts
    finding: Texts
    figure: Texts
    tables: Texts
    rows: int
    heads: Texts  # what its table says above itself
    basis: Basis
    whole: Mapping[Language, pl.DataFrame]  # for the files beside the page: all columns

    @property
    def short(self) -> bool:
        """Whether its table stands open."""
        return self.rows <= SHORT


@dataclass(frozen=True)
class Section:
    """One question of the report."""

    name: str
    heading: Texts
    blocks: tuple[Block, ...]
    note: Texts


def sections_of(results: Mapping[str, Result]) -> list[Section]:
    """Put results in the sections of a report, in reading order.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> [section.name for section in sections_of({"data_check": study.data_check()})]
    ['data_check']
    """
    sections = []
    tariff = any(isinstance(r, Product) for r in results.values())
    for name, kinds in {**PLAN_SECTIONS, **SECTIONS}.items():
        own = {n: r for kind in kinds for n, r in results.items() if r.kind == kind}
        if own:
            several = len({r.kind for r in own.values()}) > 1
            blocks = [b for n, r in own.items() for b in _blocks(n, r, named=several, brief=tariff)]
            title = "parts" if name == "frequency" and tariff else name
            note = _note(name, next(iter(own.values())))
            sections.append(Section(name, _both(f"section.{title}"), tuple(blocks), note))
    return sections


def _blocks(name: str, result: Result, *, named: bool, brief: bool) -> list[Block]:
    """The blocks of one result; ``named`` where others share its section."""
    if isinstance(result, Product):
        return _product_blocks(name, result)
    if isinstance(result, RatingModel) and result.kind in SECTIONS["frequency"]:
        return _brief_blocks(name, result) if brief else _model_blocks(name, result)
    about = name.partition(":")[2]
    named_by = level_label if result.kind in OF_LEVEL else about_label
    heading: Texts = {lang: named_by(about, lang) for lang in LANGUAGES}
    if isinstance(result, ScenarioSteps):
        heading = result.details["title"]
    if named:
        of = _both(f"section.{result.kind}")
        heading = {n: f"{of[n]} · {heading[n]}" if about else of[n] for n in LANGUAGES}
    whole = {lang: _whole(result, result.titled(lang)) for lang in LANGUAGES}
    shown = {lang: _shown(result, whole[lang]) for lang in LANGUAGES}
    blocks = [_block(name, result, shown, heading, whole=whole)]
    for frame, title in (
        ("states", "budget"),
        ("schedules", "schedules"),
        ("steps", "steps"),
        ("faults", "faults"),
    ):
        if frame in result.frames and not result.frames[frame].is_empty():
            of = _both(f"section.{title}")
            blocks.append(_table_block(f"{name}-{title}", name, result, result.frames[frame], of))
    if isinstance(result, Contest):
        drawn = result.segments.head(SHOWN).drop(ASIDE["segments"])
        blocks.append(
            _table_block(f"{name}-segments", name, result, drawn, _both("section.segments"))
        )
    return blocks


def _whole(result: Result, table: pl.DataFrame) -> pl.DataFrame:
    """The table of a result as its files hold it: every row, column and digit."""
    if isinstance(result, HealthValues):  # a row per member stands under results/
        table = result.frames["groups"]
    if result.kind in ("renewal_ledger", "group_flow"):  # of the coming term, not yet earned
        table = table.rename({"standard_premium": "standard_premium_due"})
    return table


def _shown(result: Result, table: pl.DataFrame) -> pl.DataFrame:
    """What of a result's table is printed."""
    if isinstance(result, TierGrid):
        table = result.ranked().head(BEST[result.kind])
    if isinstance(result, DevelopmentFan):  # what is to come; what is seen stands in the figure
        table = table.filter(pl.col("grown_expected").is_not_null()).drop("grown_to")
    shown = table.drop(ASIDE.get(result.kind, ()), strict=False)
    shown = shown.gather_every(EVERY.get(result.kind, 1))
    shown = shown.tail(LAST.get(result.kind, shown.height))
    if isinstance(result, CumulativeIncidence):  # at the ends of years
        last = int(result.table["time"].max())  # type: ignore[arg-type]
        shown = result.incidence_at(*range(12, last + 1, 12) or [last])
    if result.kind == "data_check":  # as delivered: premiums a year, not yet earned
        given = {n: f"{n}_given" for n in ("standard_premium", "premium")}
        shown = shown.filter(pl.col("input") > 0).with_columns(pl.col("quantity").replace(given))
    return shown


def _product_blocks(name: str, tariff: Product) -> list[Block]:
    """The relativities of each factor of the pure premium; its finding stands before the first."""
    blocks: list[Block] = []
    finding = {lang: tariff.finding(lang) for lang in LANGUAGES}
    terms = [t for t in tariff.table["term"].unique(maintain_order=True) if t != "(intercept)"]
    strongest = tariff.facts["strongest"]
    for term in sorted(terms, key=lambda t: t != strongest):
        rows = tariff.relativities(term).drop("term").rename({"level": term})
        figure = _figure(tariff, term) if rows.height > 1 else None
        heading = {lang: label(term, lang) for lang in LANGUAGES}
        said = finding if not blocks else None
        blocks.append(_assemble(f"product-{term}", name, tariff, heading, rows, said, figure))
    return blocks


def _brief_blocks(name: str, model: RatingModel) -> list[Block]:
    """A part of the tariff: its strongest factor drawn, all its relativities in one table."""
    shown = model.table.filter(pl.col("role") != "intercept").drop("std_error_model", strict=False)
    block = _block(name, model, shown, _both(f"section.{model.kind}_model"))
    return [block, _tests_block(name, model, finding=False), _statistics_block(name, model)]


def _model_blocks(name: str, model: RatingModel) -> list[Block]:
    """The relativities of each term, then its tests and statistics."""
    blocks = []
    for term in dict.fromkeys(c.term for c in model.columns if c.variables):
        rows = model.relativities(term)
        shown = rows.drop("term", "std_error_model").rename({"level": term})
        several = rows.height > 1  # the slope of a covariate is one row: a table, no figure
        figure = _figure(model, term) if several else None
        heading = {lang: label(term, lang) for lang in LANGUAGES}
        blocks.append(_assemble(f"{model.kind}-{term}", name, model, heading, shown, figure=figure))
    return [_tests_block(name, model, finding=True), *blocks, _statistics_block(name, model)]


def _tests_block(name: str, model: RatingModel, *, finding: bool) -> Block:
    said = {lang: model.finding(lang) for lang in LANGUAGES} if finding else None
    tests = model.frames["tests"]
    return _assemble(f"{model.kind}-tests", name, model, _both("section.tests"), tests, said)


def _statistics_block(name: str, model: RatingModel) -> Block:
    names = ("rows", "parameters", "deviance", "null_deviance", "pearson", "dispersion",
             "log_likelihood", "aic", "bic")  # fmt: skip
    facts = {n: model.facts[n] for n in names if model.facts.get(n) is not None}
    title = _both("section.statistics")
    return _table_block(f"{model.kind}-statistics", name, model, pl.DataFrame([facts]), title)


def _block(
    name: str,
    result: Result,
    table: pl.DataFrame | Mapping[Language, pl.DataFrame],
    heading: Texts,
    *,
    whole: Mapping[Language, pl.DataFrame] | None = None,
) -> Block:
    finding = {lang: result.finding(lang) for lang in LANGUAGES}
    figure = _figure(result) if type(result).figure is not Result.figure else None
    return _assemble(name, name, result, heading, table, finding, figure, whole=whole)


def _figure(result: Result, *term: str) -> Mapping[Language, go.Figure] | None:
    """A result's figure; none where too few of its cells may be shown to draw it."""
    try:
        return {lang: result.figure(lang, *term) for lang in LANGUAGES}
    except InputError:
        if result.drawn_from is None:
            raise
        return None


def _table_block(name: str, of: str, result: Result, table: pl.DataFrame, heading: Texts) -> Block:
    return _assemble(name, of, result, heading, table)


def _assemble(
    name: str,
    of: str,
    result: Result,
    heading: Texts,
    table: pl.DataFrame | Mapping[Language, pl.DataFrame],
    finding: Texts | None = None,
    figure: Mapping[Language, go.Figure] | None = None,
    *,
    whole: Mapping[Language, pl.DataFrame] | None = None,
) -> Block:
    name = identifier(name)
    drawn = {
        lang: _drawn(figure[lang], f"figure-{name}-{lang}") if figure else "" for lang in LANGUAGES
    }
    shown: Mapping[Language, pl.DataFrame]
    shown = dict.fromkeys(LANGUAGES, table) if isinstance(table, pl.DataFrame) else table
    return Block(
        name=name,
        of=of,
        heading=heading,
        finding=finding or dict.fromkeys(LANGUAGES, ""),
        figure=drawn,
        tables={lang: render(shown[lang], lang, name=f"table-{name}") for lang in LANGUAGES},
        rows=shown["en"].height,
        heads=_heads(result, shown["en"].height, (whole or shown)["en"].height),
        basis=result.basis,
        whole=whole or shown,
    )


def _heads(result: Result, rows: int, whole: int) -> Texts:
    """What stands above a table; where the page prints a part of it, that the files hold all."""
    key = "table_of" if rows >= whole else "table_best" if result.kind in BEST else "table_part"
    return {lang: say(f"section.{key}", lang, rows=rows, whole=whole) for lang in LANGUAGES}


def _drawn(figure: go.Figure, name: str) -> Markup:
    """A figure's place and, beside it, its numbers with six digits; the page holds the style once."""
    brief = json.loads(figure.to_json(), parse_float=lambda text: float(f"{float(text):.6g}"))
    brief["layout"].pop("template", None)
    height = brief["layout"].get("height", pio.templates["pricing"].layout.height)
    place = Markup('<div id="{}" class="plotly-graph-div" style="height:{}px"></div>').format(
        name, height
    )
    return place + Markup('<script type="application/json">{}</script>').format(
        htmlsafe_json_dumps(brief)
    )


def identifier(name: str) -> str:
    """Give a name that may stand in an address, an attribute and a path, whatever a column is called.

    Examples
    --------
    >>> identifier("one_way:a<b")
    'one_way-a-b'
    """
    return re.sub(r"[^\w-]", "-", name)


def _both(key: str) -> Texts:
    return {lang: say(key, lang) for lang in LANGUAGES}


def _note(name: str, first: Result) -> Texts:
    if name not in NOTES:
        return dict.fromkeys(LANGUAGES, "")
    basis = first.basis
    facts = {
        "currency": basis.currency,
        "exposure": basis.exposure,
        "claims": basis.claims,
    }
    of = {"en": " ({})", "zh": "（{}）"}
    said = {n: ", ".join(note_said(f, n) for f in basis.filters) for n in LANGUAGES}
    return {
        lang: say(NOTES[name], lang, **facts, of=of[lang].format(said[lang]) if said[lang] else "")
        for lang in LANGUAGES
    }
