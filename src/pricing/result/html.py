"""A result as a notebook shows it: its finding, its table in words, intervals beside estimates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from pricing.result.words import Language, label, level_label, say

if TYPE_CHECKING:
    from pricing.result.shape import Basis, Result

__all__ = ["result_html", "table_html"]

ROWS = 20
_NAMED = ("term", "column", "quantity", "component", "source", "factor")  # values that are names
_LOWER = re.compile(r"(^|_)lower(?=_|$)")
_CELL = "padding:2px 10px;border-bottom:1px solid rgba(128,128,128,.25);"
_HEAD = _CELL + "white-space:normal;vertical-align:bottom;max-width:11em;"
_BODY = _CELL + "white-space:nowrap;"


def result_html(result: Result, lang: Language = "en", *, most: int = ROWS) -> str:
    """Show a result as HTML: the finding, the table, what both rest on.

    Parameters
    ----------
    result : Result
        Any result.
    lang : {"en", "zh"}
        Language of the finding, of headings and of levels.
    most : int
        Rows of the table that are shown, at least 1; how many there are stands beneath.

    Examples
    --------
    >>> from pricing.experience.cells import Experience
    >>> from pricing.experience.views import one_way
    >>> rows = pl.DataFrame({"sex": ["female", "male"], "exposure": [9.0, 7.0], "claims": [2, 3]})
    >>> shown = result_html(one_way(Experience.collect(rows, ["sex"]), "sex"))
    >>> "Claim frequency by Sex" in shown, "<td" in shown
    (True, True)
    """
    table = table_html(result.titled(lang), lang, most=most)
    small = "color:gray;font-size:85%;margin:2px 0 10px"
    return (
        f'<div><p style="max-width:60em"><b>{escape(result.finding(lang))}</b></p>{table}'
        f'<p style="{small}">{escape(_rests_on(result.basis, lang))}</p></div>'
    )


def table_html(table: pl.DataFrame, lang: Language = "en", *, most: int = ROWS) -> str:
    """Show a table as HTML: headings and levels in words, an interval in one cell with its estimate.

    Parameters
    ----------
    table : polars.DataFrame
        Any frame.
    lang : {"en", "zh"}
        Language of headings and levels; a name the catalogue lacks stands as it is.
    most : int
        Rows shown, at least 1.

    Notes
    -----
    Columns ``lower`` and ``upper`` (or ``x_lower`` and ``x_upper``, ``lower_80`` and ``upper_80``)
    that stand side by side are written ``[lower, upper]`` behind the number just before them.

    Examples
    --------
    >>> seen = pl.DataFrame({"sex": ["male"], "frequency": [0.1], "lower": [0.08], "upper": [0.125]})
    >>> "0.1000 [0.0800, 0.1250]" in table_html(seen)
    True
    >>> ">1 of 3<" in table_html(pl.DataFrame({"claims": [1, 2, 3]}), most=1)
    True
    """
    shown = table.head(max(most, 1))
    groups = _groups(table)
    heads = "".join(
        f'<th style="{_HEAD}text-align:{"right" if table.schema[g[0]].is_numeric() else "left"}">'
        f"{escape(_heading(g, lang))}</th>"
        for g in groups
    )
    written = {
        name: texts
        for group in groups
        for name, texts in _written_group(shown, group, lang).items()
    }
    body = []
    for place in range(shown.height):
        cells = []
        for group in groups:
            side = "right" if table.schema[group[0]].is_numeric() else "left"
            text = _together([written[name][place] for name in group])
            cells.append(f'<td style="{_BODY}text-align:{side}">{escape(text)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    more = _said_rows(shown.height, table.height, lang) if shown.height < table.height else ""
    tail = f'<div style="color:gray;font-size:85%">{more}</div>' if more else ""
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{tail}"
    )


def _groups(table: pl.DataFrame) -> list[list[str]]:
    """Columns that share a cell: an estimate with its bounds, or bounds alone."""
    groups: list[list[str]] = []
    names, place = table.columns, 0
    while place < len(names):
        name = names[place]
        upper = _LOWER.sub(r"\1upper", name)
        if upper != name and names[place + 1 : place + 2] == [upper]:
            before = groups[-1] if groups and len(groups[-1]) == 1 else []
            if before and table.schema[before[0]].is_float() and "std_error" not in before[0]:
                before += [name, upper]
            else:
                groups.append([name, upper])
            place += 2
        else:
            groups.append([name])
            place += 1
    return groups


def _heading(group: list[str], lang: Language) -> str:
    if len(group) == 3:
        return f"{label(group[0], lang)} [{label(group[1], lang)}, {label(group[2], lang)}]"
    return " – ".join(label(name, lang) for name in group)


def _together(texts: list[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    ends = "" if set(texts[-2:]) == {"–"} else f"[{texts[-2]}, {texts[-1]}]"
    return ends if len(texts) == 2 else f"{texts[0]} {ends}".rstrip()


def _written_group(
    table: pl.DataFrame, group: Sequence[str], lang: Language
) -> dict[str, list[str]]:
    """An estimate and its bounds with the same places, any other column by itself."""
    if len(group) == 1:
        return {group[0]: _written(table[group[0]], lang)}
    every = pl.concat([table[name].cast(pl.Float64).alias("") for name in group])
    places = _places(every)
    return {name: [_number(v, places, small=False) for v in table[name]] for name in group}


def _written(column: pl.Series, lang: Language) -> list[str]:
    """Every value as text: levels in words, numbers to the places their column needs."""
    if column.dtype.is_float():
        places = _places(column)
        return [_number(v, places, small=column.name == "p_value") for v in column]
    if column.dtype.is_integer():
        grouped = not re.search(r"(^|_)year$", column.name)
        return ["–" if v is None else f"{v:,}" if grouped else str(v) for v in column]
    if column.dtype in (pl.String, pl.Enum, pl.Boolean):
        said = label if column.name in _NAMED else level_label
        return ["–" if v is None else said(v, lang) for v in column.cast(pl.String)]
    return ["–" if v is None else str(v) for v in column]


def _places(column: pl.Series) -> int | None:
    """Decimals of a column; None where small and large stand in it, each then written by its size."""
    sizes = [abs(v) for v in column.drop_nulls().to_list() if v == v and abs(v) != float("inf")]
    if sizes and all(v == round(v) for v in sizes):
        return 0
    most = max(sizes, default=0.0)
    if most >= 1_000 and any(0 < v < 1 for v in sizes):
        return None
    return _decimals(most)


def _decimals(size: float) -> int:
    return 4 if size < 10 else 2 if size < 10_000 else 0


def _number(value: Any, places: int | None, *, small: bool) -> str:
    if value is None or value != value:
        return "–"
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "−∞"
    if small and 0 <= value < 1e-4:
        return "< 0.0001"
    text = f"{abs(value):,.{_decimals(abs(value)) if places is None else places}f}"
    return f"−{text}" if value < 0 and text.strip("0.,") else text


def _said_rows(shown: int, rows: int, lang: Language) -> str:
    return say("sentence.rows_shown", lang, shown=shown, rows=rows)


def _rests_on(basis: Basis, lang: Language) -> str:
    """Source, period, filters and volume, as far as the basis has them."""
    parts = [basis.source, basis.period, *basis.filters]
    volume = (("rows", basis.rows), ("exposure", basis.exposure), ("claims", basis.claims))
    parts += [f"{label(name, lang)}: {v:,.0f}" for name, v in volume if v]
    return " · ".join(part for part in parts if part)
