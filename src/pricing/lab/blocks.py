"""Results as parts of the page: heading, sentence, figure, table. Dash is imported only here and above."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from pricing.errors import InputError
from pricing.lab.fields import Fault
from pricing.lab.labels import part_label
from pricing.lab.units import unit_of_figure
from pricing.result.quantities import persons_text, row_quantities
from pricing.result.readable import in_fours, one_line
from pricing.result.shape import Result
from pricing.result.words import Language, catalogue, label, level_label, say

__all__ = ["CHECKS", "WHO", "Faces", "figures_table", "placed", "result_block", "table_of"]

WHO = ("discount_shift", "group_flow", "tier_demand", "level_prices", "unravelling", "visit_plan")
CHECKS = (
    "tier_adequacy", "service_price", "rate_adjustment_check", "regulatory_loss_ratio", "check",
    "service_cost_check",
)  # fmt: skip
FRAMES = {"tier_demand": "types"}  # shown instead of the table where it says who wins
FEN = ("step_amount", "premium_after")  # what one policy pays: never rounded to whole units
ROWS = 40


@dataclass(frozen=True)
class Faces:
    """How the report formats and writes, handed in by the command line: rooms of a floor do not know each other.

    Attributes
    ----------
    kinds : callable
        Frame to kind of figure by numeric column.
    words : callable
        Text column and language to words by value.
    workbook : callable
        Results, path and titles to an Excel file.
    report : callable
        Study, results and folder to a report.
    aside : mapping of str to sequence of str
        Columns that are saved and not shown, by kind of result.
    """

    kinds: Callable[[pl.DataFrame], Mapping[str, str]]
    words: Callable[[pl.Series, Language], Mapping[str, str]]
    workbook: Callable[..., Any]
    report: Callable[..., Path]
    aside: Mapping[str, Sequence[str]] = field(default_factory=dict)


def placed(results: Mapping[str, Result], tab: str) -> dict[str, Result]:
    """Choose what a tab shows: who wins and loses, the checks, or the rest.

    Examples
    --------
    >>> placed({"discount_shift": Result(table=pl.DataFrame())}, "checks")
    {}
    """

    def kind(name: str) -> str:
        return name.partition(":")[0]

    if tab == "who":
        return {n: r for n, r in results.items() if kind(n) in WHO}
    if tab == "checks":
        return {n: r for n, r in results.items() if kind(n) in CHECKS}
    aside = {*CHECKS, "discount_shift", "group_flow", "unravelling"}
    rest = {n: r for n, r in results.items() if kind(n) not in aside}
    return rest or dict(results)


def written(value: Any, kind: str, words: Mapping[str, str], places: int) -> str:
    """Write one cell as readers of a language expect it.

    Examples
    --------
    >>> written(0.1234, "percent", {}, 2), written(None, "money", {}, 2), written(1234.5, "money", {}, 2)
    ('12.3%', '–', '1,234.50')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return words.get(str(value).lower(), str(value))
    if isinstance(value, str):
        return words.get(value, value)
    if not isinstance(value, int | float):
        return str(value)
    if kind == "percent":
        return f"{value:,.1%}"
    if kind == "year":
        return f"{value:.0f}"
    if kind == "whole":
        return f"{value:,.0f}"
    if kind == "persons":
        return persons_text(float(value))
    if kind == "money":
        return f"{value:,.{places}f}"
    if kind in ("fen", "cents"):
        return f"{value:,.2f}"
    if kind == "tenths":
        return f"{value:,.1f}"
    return figure_text(float(value))


def figure_text(value: float) -> str:
    """Write a figure of no kind by its size.

    Examples
    --------
    >>> figure_text(0.70471), figure_text(440.447), figure_text(1234567.8)
    ('0.7047', '440.45', '1,234,568')
    """
    size = abs(value)
    if value and size < 1e-4:
        return f"{value:.2e}"
    places = 4 if size < 10 else 2 if size < 10_000 else 0
    return f"{value:,.{places}f}"


def table_of(table: pl.DataFrame, lang: Language, faces: Faces, *, caption: str) -> Any:
    """Give a frame as a table of the page, labelled in a language.

    Examples
    --------
    >>> list(table_of.__annotations__)[:2]
    ['table', 'lang']
    """
    from dash import html

    rows = table.head(ROWS)
    kinds = {c: "fen" if c in FEN else k for c, k in faces.kinds(rows).items()}
    mixed, quantities = row_quantities(rows)
    by_row = [faces.kinds(pl.DataFrame({name: [1.0]}))[name] for name in quantities]
    sizes = [
        abs(float(v))
        for c, k in kinds.items()
        if k == "money"
        for v in rows[c].drop_nulls().to_list()
    ]
    places = 0 if max(sizes, default=0.0) >= 1000 else 2
    said = {
        c: faces.words(rows[c], lang)
        for c, kind in rows.schema.items()
        if kind in (pl.String, pl.Boolean) or isinstance(kind, pl.Enum)
    }
    style = {c: "number" for c, kind in kinds.items() if kind != "year"}
    for column in set(rows.columns) - set(style):
        texts = (said.get(column, {}).get(str(v), str(v)) for v in rows[column].unique())
        style[column] = "brief" if one_line(texts) else ""
    head = [
        html.Th(
            [part for cut in in_fours(label(c, lang)) for part in (cut, html.Wbr())][:-1],
            scope="col",
            className=style[c],
        )
        for c in rows.columns
    ]
    body = [
        html.Tr(
            [
                html.Td(
                    written(
                        v,
                        by_row[place] if c in mixed else kinds.get(c, ""),
                        said.get(c, {}),
                        places,
                    ),
                    className=style[c],
                )
                for c, v in row.items()
            ]
        )
        for place, row in enumerate(rows.iter_rows(named=True))
    ]
    shown = html.Div(
        html.Table([html.Caption(caption), html.Thead(html.Tr(head)), html.Tbody(body)]),
        className="scroll",
        tabIndex=0,
        role="region",
        **{"aria-label": caption},
    )
    if table.height <= ROWS:
        return shown
    cut = say("lab.rows_shown", lang, shown=ROWS, rows=f"{table.height:,}")
    return html.Div([shown, html.P(cut, className="hint")])


def result_block(
    name: str, result: Result, lang: Language, faces: Faces, *, who: bool = False
) -> Any:
    """Give a result as a part of the page: heading, sentence, figure, table.

    Examples
    --------
    >>> list(result_block.__annotations__)[:2]
    ['name', 'result']
    """
    from dash import dcc, html

    kind, _, about = name.partition(":")
    title = say(f"section.{kind}", lang) if f"section.{kind}" in catalogue() else part_label(kind, lang)  # fmt: skip
    heading = f"{title} · {level_label(about, lang)}" if about else title
    parts: list[Any] = [html.H3(heading), html.P(result.finding(lang), className="finding")]
    try:
        figure = result.figure(lang)
        top = max(
            30, figure.layout.margin.t or 0
        )  # a figure whose heads stand above keeps room for them
        figure.update_layout(margin={"l": 10, "r": 10, "t": top, "b": 10, "pad": 0}, autosize=True)
        figure.update_xaxes(automargin=True)
        figure.update_yaxes(automargin=True)
        config = {"displaylogo": False, "responsive": True, "displayModeBar": False}
        parts.append(dcc.Graph(figure=figure, config=config, className="graph"))
    except InputError:
        pass  # a result without a figure shows its table
    frame = result.frames.get(FRAMES.get(kind, "")) if who else None
    aside = faces.aside.get(result.kind, ())
    table = result.titled(lang).drop(aside, strict=False) if frame is None else frame
    parts.append(table_of(table, lang, faces, caption=heading))
    return html.Section(parts, className="block")


def figures_table(
    figures: pl.DataFrame,
    lang: Language,
    faces: Faces,
    *,
    heads: tuple[str, str] | None = None,
    currency: str = "",
    parts: Mapping[str, str] = MappingProxyType({}),
    notes: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Give headline figures side by side, what moved marked, under the name of what they are of.

    Examples
    --------
    >>> list(figures_table.__annotations__)[:2]
    ['figures', 'lang']
    """
    from dash import html

    first, second = heads or (say("lab.before", lang), say("lab.after", lang))
    names = (say("lab.quantity", lang), first, second, say("lab.difference", lang), say("lab.relative", lang))  # fmt: skip
    body, part = [], ""
    for row in figures.iter_rows(named=True):
        if parts.get(row["quantity"], part) != part:
            part = parts[row["quantity"]]
            body.append(html.Tr(html.Th(part, colSpan=5, scope="colgroup"), className="part"))
        kind = faces.kinds(pl.DataFrame({row["quantity"]: [float(row["after"])]}))[row["quantity"]]
        unit = unit_of_figure(row["quantity"], kind)
        kind = {"money": "money", "share": "percent", "count": "persons"}.get(unit, kind)
        places = 0 if max(abs(row["before"]), abs(row["after"])) >= 1000 else 2
        old, new, gap = (
            written(float(row[c]), kind, {}, places) for c in ("before", "after", "difference")
        )
        moved = row["difference"] != 0
        sign = "+" if row["difference"] > 0 else ""
        if kind == "percent":
            gap = say("lab.points", lang, points=f"{100 * row['difference']:.1f}")
        share = row["relative_difference"]
        body.append(
            html.Tr(
                [
                    html.Th(
                        [
                            html.Span(label(row["quantity"], lang)),
                            *(
                                [html.Small(f" {currency}", className="unit")]
                                if kind == "money" and currency
                                else []
                            ),
                            *(
                                [html.Small(notes[row["quantity"]], className="note")]
                                if row["quantity"] in notes
                                else []
                            ),
                        ],
                        scope="row",
                    ),
                    html.Td(old, className="number"),
                    html.Td(new, className="number"),
                    html.Td(f"{sign}{gap}" if moved else "–", className="number"),
                    html.Td(
                        f"{share:+.1%}" if moved and share is not None else "–", className="number"
                    ),
                ],
                className="moved" if moved else "",
            )
        )
    head = html.Tr([html.Th(n, scope="col") for n in names])
    return html.Div(
        html.Table([html.Thead(head), html.Tbody(body)], className="figures"),
        className="scroll", tabIndex=0,
    )  # fmt: skip


def fault_line(fault: Fault, lang: Language) -> str:
    """Say a fault with the field it stands at.

    Examples
    --------
    >>> fault_line(Fault("care.uptake", "not_a_number"), "en")
    'Uptake: Not a number: write 12.5, 1,200 or 15%.'
    """
    name = part_label(fault.key.rpartition(".")[2], lang) if fault.key else ""
    return f"{name}: {fault.said(lang)}" if name else fault.said(lang)
