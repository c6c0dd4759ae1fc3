"""One self-contained page per study: the decision first, then one finding, figure and table at a time."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pricing.claims.contest import SHOWN, Contest
from pricing.claims.models import Frequency
from pricing.claims.product import Product
from pricing.claims.rating import RatingModel
from pricing.files import replacing, require_replaceable
from pricing.plans.plan_study import PlanStudy
from pricing.programme.value import HealthValues
from pricing.report.sections import (
    ASIDE,
    DECISION,
    EVERY,
    LAST,
    NOTES,
    OF_LEVEL,
    PLAN_SECTIONS,
    SECTIONS,
)
from pricing.report.tables import about_label, render
from pricing.report.workbook import write_workbook
from pricing.result.figure import FONTS
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, Language, label, level_label, say
from pricing.study.chain import Study
from pricing.study.scenarios import ScenarioSteps
from pricing.survival.competing import CumulativeIncidence

__all__ = ["MARK", "packed_plotly", "write"]

MARK = {"mark": "run.json", "what": "a report"}  # what only a report folder holds
TABLES = "tables.xlsx"  # every table of the study, beside the page


Texts = Mapping[Language, str]


@dataclass(frozen=True)
class Block:
    """One finding with its figure and table, in both languages."""

    name: str
    heading: Texts
    finding: Texts
    figure: Texts
    tables: Texts


@dataclass(frozen=True)
class Section:
    """One question of the report."""

    name: str
    heading: Texts
    blocks: tuple[Block, ...]
    note: Texts


def write(study: Study | PlanStudy, results: Mapping[str, Result], out: str | Path) -> Path:
    """Write the study's report folder: the page, the tables, the run's record, models and rejects.

    Parameters
    ----------
    study : Study or PlanStudy
        Names the report and its basis.
    results : mapping of str to Result
        What its ``run()`` returned.
    out : path
        Folder to write; it is replaced as a whole when everything is there, so a run that fails
        or is killed leaves the last one as it was.

    Returns
    -------
    Path
        The page, ``out/index.html``: opens offline, English and Chinese with a switch.

    Raises
    ------
    InputError
        Where ``out`` cannot be written, or holds files that are not a report.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> page = write(study, study.run(), Path(tempfile.mkdtemp()) / "randhie")
    >>> page.name, sorted(f.name for f in page.parent.iterdir())
    ('index.html', ['index.html', 'results', 'run.json', 'tables.xlsx'])
    """
    out = Path(out)
    require_replaceable(out, **MARK)
    page = _page(study, results)
    with replacing(out) as beside:
        beside.mkdir()
        (beside / "index.html").write_text(page, encoding="utf-8")
        record = json.dumps(_record(study, results), ensure_ascii=False, indent=1)
        (beside / "run.json").write_text(record, encoding="utf-8")
        titles = {lang: study.title(lang) for lang in LANGUAGES}
        write_workbook(results, beside / TABLES, title=titles)
        for name, result in results.items():
            result.save(beside / "results" / _identifier(name))
        study.write_rejected(beside / "rejected")
    return out / "index.html"


def _page(study: Study | PlanStudy, results: Mapping[str, Result]) -> str:
    environment = Environment(
        loader=PackageLoader("pricing.report", "."), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html.j2").render(
        languages=LANGUAGES,
        titles={lang: study.title(lang) for lang in LANGUAGES},
        say=say,
        tables=TABLES,
        decisions=_decisions(results),
        sections=_sections(results),
        basis={lang: _basis(study, results, lang) for lang in LANGUAGES},
        plotly=packed_plotly(),
        template=pio.templates["pricing"].to_plotly_json(),
        style=Path(__file__).with_name("page.css").read_text(encoding="utf-8"),
        script=Path(__file__).with_name("page.js").read_text(encoding="utf-8"),
        fonts=FONTS,
        version=version("pricing"),
    )


def _decisions(results: Mapping[str, Result]) -> list[Texts]:
    """The four findings a manager reads first."""
    kinds = {result.kind: result for result in reversed(list(results.values()))}
    first = [kinds[name] for name in DECISION if name in kinds][:4]
    return [{lang: result.finding(lang) for lang in LANGUAGES} for result in first]


def _sections(results: Mapping[str, Result]) -> list[Section]:
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
        return _product_blocks(result)
    if isinstance(result, RatingModel) and result.kind in SECTIONS["frequency"]:
        return _brief_blocks(result) if brief else _model_blocks(result)
    about = name.partition(":")[2]
    named_by = level_label if result.kind in OF_LEVEL else about_label
    heading = {lang: named_by(about, lang) for lang in LANGUAGES}
    if isinstance(result, ScenarioSteps):
        heading = result.details["title"]
    if named:
        of = _both(f"section.{result.kind}")
        heading = {n: f"{of[n]} · {heading[n]}" if about else of[n] for n in LANGUAGES}
    shown = {lang: _shown(result, result.titled(lang)) for lang in LANGUAGES}
    blocks = [_block(name, result, shown, heading)]
    for frame, title in (
        ("states", "budget"),
        ("schedules", "schedules"),
        ("steps", "steps"),
        ("faults", "faults"),
    ):
        if frame in result.frames and not result.frames[frame].is_empty():
            blocks.append(_table_block(title, result.frames[frame], _both(f"section.{title}")))
    if isinstance(result, Contest):
        drawn = result.segments.head(SHOWN).drop(ASIDE["segments"])
        blocks.append(_table_block("segments", drawn, _both("section.segments")))
    return blocks


def _shown(result: Result, table: pl.DataFrame) -> pl.DataFrame:
    """What of a result's table is printed."""
    shown = table.drop(ASIDE.get(result.kind, ()), strict=False)
    if isinstance(
        result, HealthValues
    ):  # a row per member is for the file beside, not for the page
        shown = result.frames["groups"]
    if result.kind in ("renewal_ledger", "group_flow"):  # of the coming term, not yet earned
        shown = shown.rename({"standard_premium": "standard_premium_due"})
    shown = shown.gather_every(EVERY.get(result.kind, 1))
    shown = shown.tail(LAST.get(result.kind, shown.height))
    if isinstance(result, CumulativeIncidence):  # at the ends of years
        last = int(result.table["time"].max())  # type: ignore[arg-type]
        shown = result.incidence_at(*range(12, last + 1, 12) or [last])
    if result.kind == "data_check":  # as delivered: premiums a year, not yet earned
        given = {n: f"{n}_given" for n in ("standard_premium", "premium")}
        shown = shown.filter(pl.col("input") > 0).with_columns(pl.col("quantity").replace(given))
    return shown


def _product_blocks(tariff: Product) -> list[Block]:
    """The relativities of each factor of the pure premium; its finding stands before the first."""
    blocks: list[Block] = []
    finding = {lang: tariff.finding(lang) for lang in LANGUAGES}
    terms = [t for t in tariff.table["term"].unique(maintain_order=True) if t != "(intercept)"]
    strongest = tariff.facts["strongest"]
    for term in sorted(terms, key=lambda t: t != strongest):
        rows = tariff.relativities(term).drop("term").rename({"level": term})
        figure = (
            {lang: tariff.figure(lang, term) for lang in LANGUAGES} if rows.height > 1 else None
        )
        heading = {lang: label(term, lang) for lang in LANGUAGES}
        said = finding if not blocks else dict.fromkeys(LANGUAGES, "")
        blocks.append(_assemble(f"product-{term}", heading, said, figure, rows))
    return blocks


def _brief_blocks(model: RatingModel) -> list[Block]:
    """A part of the tariff: its strongest factor drawn, all its relativities in one table."""
    shown = model.table.filter(pl.col("role") != "intercept").drop("std_error_model", strict=False)
    block = _block(model.kind, model, shown, _both(f"section.{model.kind}_model"))
    return [block, _tests_block(model, finding=False), _statistics_block(model)]


def _model_blocks(model: RatingModel) -> list[Block]:
    """The relativities of each term, then its tests and statistics."""
    blocks = []
    for term in dict.fromkeys(c.term for c in model.columns if c.variables):
        rows = model.relativities(term)
        shown = rows.drop("term", "std_error_model").rename({"level": term})
        several = rows.height > 1  # the slope of a covariate is one row: a table, no figure
        figure = {lang: model.figure(lang, term) for lang in LANGUAGES} if several else None
        heading = {lang: label(term, lang) for lang in LANGUAGES}
        finding = dict.fromkeys(LANGUAGES, "")
        blocks.append(_assemble(f"{model.kind}-{term}", heading, finding, figure, shown))
    return [_tests_block(model, finding=True), *blocks, _statistics_block(model)]


def _tests_block(model: RatingModel, *, finding: bool) -> Block:
    said = {lang: model.finding(lang) if finding else "" for lang in LANGUAGES}
    tests = model.frames["tests"]
    return _assemble(f"{model.kind}-tests", _both("section.tests"), said, None, tests)


def _statistics_block(model: RatingModel) -> Block:
    names = ("rows", "parameters", "deviance", "null_deviance", "pearson", "dispersion",
             "log_likelihood", "aic", "bic")  # fmt: skip
    facts = {n: model.facts[n] for n in names if model.facts.get(n) is not None}
    return _table_block(
        f"{model.kind}-statistics", pl.DataFrame([facts]), _both("section.statistics")
    )


def _block(
    name: str,
    result: Result,
    table: pl.DataFrame | Mapping[Language, pl.DataFrame],
    heading: Texts,
) -> Block:
    finding = {lang: result.finding(lang) for lang in LANGUAGES}
    drawn = type(result).figure is not Result.figure
    figure = {lang: result.figure(lang) for lang in LANGUAGES} if drawn else None
    return _assemble(name, heading, finding, figure, table)


def _table_block(name: str, table: pl.DataFrame, heading: Texts) -> Block:
    return _assemble(name, heading, dict.fromkeys(LANGUAGES, ""), None, table)


def _assemble(
    name: str,
    heading: Texts,
    finding: Texts,
    figure: Mapping[Language, go.Figure] | None,
    table: pl.DataFrame | Mapping[Language, pl.DataFrame],
) -> Block:
    name = _identifier(name)
    drawn = {
        lang: _drawn(figure[lang], f"figure-{name}-{lang}") if figure else "" for lang in LANGUAGES
    }
    shown = dict.fromkeys(LANGUAGES, table) if isinstance(table, pl.DataFrame) else table
    tables = {lang: render(shown[lang], lang, name=f"table-{name}") for lang in LANGUAGES}
    return Block(name, heading, finding, drawn, tables)


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


@cache
def packed_plotly() -> str:
    """Give plotly.js packed as text: a third of its size.

    Examples
    --------
    >>> len(packed_plotly()) < len(get_plotlyjs()) / 2
    True
    """
    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _identifier(name: str) -> str:
    """A name that may stand in an address, an attribute and a path, whatever a column is called."""
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
    said = ", ".join(basis.filters)
    return {
        lang: say(NOTES[name], lang, **facts, of=of[lang].format(said) if said else "")
        for lang in LANGUAGES
    }


def _basis(study: Study | PlanStudy, results: Mapping[str, Result], lang: Language) -> list[str]:
    head = study.settings.study
    lines = [str(getattr(head.source, lang))]
    model = next((r for r in results.values() if isinstance(r, Frequency)), None)
    if model is not None:
        lines.append(say("section.basis_line", lang, **asdict(model.basis)))
    lines += [str(getattr(note, lang)) for note in head.notes]
    check = next((r for r in results.values() if r.kind == "data_check"), None)
    return [*lines, *(check.basis.notes if check else ())]


def _record(study: Study | PlanStudy, results: Mapping[str, Result]) -> dict[str, Any]:
    packages = ("pricing", "polars", "numpy", "scipy", "glum", "plotly")
    return {
        "study": study.name,
        "fingerprint": study.fingerprint,
        "settings": study.settings.model_dump(mode="json"),
        "packages": {name: version(name) for name in packages},
        "findings": {name: {l: r.finding(l) for l in LANGUAGES} for name, r in results.items()},  # noqa: E741
        "facts": {name: dict(r.facts) for name, r in results.items()},
        "fingerprints": {name: r.basis.fingerprint for name, r in results.items()},
    }
