"""Every table of a study as one Excel workbook: contents, basis, a sheet per table, a dictionary."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from pricing.errors import InputError
from pricing.files import replacing
from pricing.report.tables import heading_of, kinds_of, money_places, places_of, words_of
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, Language, catalogue, label, say
from pricing.tariff.workbook import PLAIN

__all__ = ["write_workbook"]

Texts = Mapping[Language, str]
ROWS, COLUMNS = 1_048_576, 16_384  # of a sheet
HEADER = 5  # row of the names, counted from 0; the labels stand above, the values below
TOLD = 16_000  # characters of the longest text that surely fits in a cell
CREATED = datetime(2000, 1, 1)  # of every workbook: the same study gives the same bytes
WHOLE = 2**53  # beyond it Excel does not tell whole numbers apart
FORMATS = {
    "whole": "#,##0",
    "year": "0",
    "percent": "0.0%",
    "cents": "#,##0.00",
    "tenths": "#,##0.0",
    "p_value": '[<0.0001]"< 0.0001";0.0000',
}
STYLES: dict[str, dict[str, Any]] = {  # the prefix keeps a text a text when somebody edits the cell
    "heading": {"bold": True, "font_size": 14, "quote_prefix": True},
    "finding": {"quote_prefix": True},
    "label": {
        "bold": True, "text_wrap": True, "valign": "bottom", "bg_color": "#eff6fb", "quote_prefix": True,
    },
    "name": {"font_color": "#6b7280", "font_size": 9, "bottom": 1, "quote_prefix": True},
    "text": {"valign": "top", "quote_prefix": True},
    "prose": {"valign": "top", "text_wrap": True, "quote_prefix": True},
    "link": {"valign": "top", "font_color": "#0072b2", "underline": 1},
}  # fmt: skip
PROSE = 60  # width of a column of sentences


@dataclass(frozen=True)
class Sheet:
    """One table and what is said above it."""

    name: str
    heading: Texts
    finding: Texts
    table: pl.DataFrame
    links: str = ""  # the column whose texts are names of sheets


class Digits(float):
    """A number that is written with all its digits, 17 where it needs them."""

    def __format__(self, _: str) -> str:
        return repr(float(self))


def write_workbook(
    results: Mapping[str, Result],
    path: str | Path,
    *,
    title: Texts,
    lang: Language = "en",
    longest: int = 10_000,
) -> None:
    """Write results as an Excel workbook to calculate with: whole tables, all columns, all digits.

    Sheet ``contents`` links every table and says its finding, ``basis`` what each result rests on,
    ``dictionary`` names every column and value in both languages. Each table and each frame of a
    result has a sheet: the finding in both languages, labels in both languages, the column's name,
    then the values. Levels stand as the codes of the data, so that tables can be joined.

    Parameters
    ----------
    results : mapping of str to Result
        By name, such as :meth:`pricing.study.chain.Study.run` returns.
    path : path
        An ``.xlsx`` file; written beside and renamed.
    title : mapping of language to str
        Heading of the contents in each language.
    lang : {"en", "zh"}
        The language that stands first.
    longest : int
        Rows of the longest table that gets a sheet, at most what Excel holds; a longer one, an
        empty frame and a frame that another sheet shows already are named in the contents.

    Raises
    ------
    InputError
        For another suffix, a title that lacks a language, or ``longest`` that no sheet holds.

    Notes
    -----
    No cell is a formula: a text such as ``=1+1`` is a text, NaN and infinities are the texts
    ``NaN``, ``inf`` and ``-inf``. As text stand, too, whole numbers beyond 2**53, dates before
    1901 and anything that is no figure, date or truth value. A text of more than 16,000 characters
    is cut and ends in ``…``. The same results give the same bytes.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "tables.xlsx"
    >>> write_workbook({}, file, title={"en": "A study", "zh": "研究"})
    >>> pl.read_excel(file, sheet_name="contents", read_options={"header_row": 5}).columns
    ['sheet', 'heading_en', 'heading_zh', 'rows', 'finding_en', 'finding_zh', 'not_here']
    """
    import xlsxwriter

    if Path(path).suffix.lower() != ".xlsx":
        raise InputError("is not an .xlsx file", where=str(path))
    if missing := [n for n in LANGUAGES if n not in title]:
        raise InputError(f"the title lacks {missing}", do="give it in every language")
    most = ROWS - HEADER - 1
    if not 1 <= longest <= most:
        raise InputError(f"longest is {longest:,}, not within 1 to {most:,}")
    order = (lang, *(n for n in LANGUAGES if n != lang))
    made = BytesIO()
    book = xlsxwriter.Workbook(made, {**PLAIN, "in_memory": True})
    book.set_properties({"title": title[lang], "created": CREATED})
    styles = {name: book.add_format(style) for name, style in STYLES.items()}
    for sheet in _sheets(results, title, order, longest):
        _write(book, sheet, order, styles)
    book.close()
    with replacing(path) as beside:
        beside.write_bytes(made.getvalue())


def _sheets(
    results: Mapping[str, Result], title: Texts, order: tuple[Language, ...], longest: int
) -> list[Sheet]:
    """Every sheet in its place."""
    taken = {"contents", "basis", "dictionary", "history"}  # Excel keeps the last for itself
    large = {name: _too_large(r.table, longest, "table", order) for name, r in results.items()}
    names = {name: "" if why else _sheet_name(name, taken) for name, why in large.items()}
    shown = {names[name]: result.table for name, result in results.items() if names[name]}
    headings = {name: heading_of(name, result.kind) for name, result in results.items()}
    sheets: list[Sheet] = []
    contents: list[dict[str, Any]] = []

    def add(name: str, heading: Texts, result: Result, table: pl.DataFrame, other: str) -> None:
        finding = {n: result.finding(n) for n in LANGUAGES}
        own = table is result.table  # a frame answers the same question: said once
        if not other:
            sheets.append(Sheet(name, heading, finding, table))
        line = {"sheet": None if other else name, "rows": table.height, "not_here": other or None}
        line |= {f"heading_{n}": heading[n] for n in order}
        contents.append(line | {f"finding_{n}": finding[n] if own else None for n in order})

    for name, result in results.items():
        heading = headings[name]
        add(names[name], heading, result, result.table, large[name])
        for key, frame in result.frames.items():
            why = _too_large(frame, longest, key, order) or _elsewhere(frame, shown, order)
            own = "" if why else _sheet_name(f"{name} {key}", taken)
            if own:
                shown[own] = frame
            of = {n: f"{heading[n]} · {_frame_label(key, n)}" for n in LANGUAGES}
            add(own, of, result, frame, why)
    columns: dict[str, Any] = {"sheet": pl.String} | {f"heading_{n}": pl.String for n in order}
    columns |= {"rows": pl.Int64} | {f"finding_{n}": pl.String for n in order}
    front = pl.DataFrame(contents, schema=columns | {"not_here": pl.String})
    nothing = dict.fromkeys(LANGUAGES, "")
    kept = _basis(results, names).insert_column(
        1,
        pl.Series(f"heading_{order[0]}", [said[order[0]] for said in headings.values()], pl.String),
    )
    basis = Sheet("basis", _both("section.basis"), nothing, kept, links="sheet")
    words = Sheet("dictionary", _both("frame.dictionary"), nothing, _dictionary(sheets, order))
    return [Sheet("contents", title, nothing, front, links="sheet"), basis, *sheets, words]


def _too_large(table: pl.DataFrame, longest: int, key: str, order: tuple[Language, ...]) -> str:
    if table.height <= longest and table.width <= COLUMNS:
        return ""
    size = {"rows": table.height, "columns": table.width, "file": f"{key}.parquet"}
    return " / ".join(say("sentence.sheet_too_large", n, **size) for n in order)


def _elsewhere(
    frame: pl.DataFrame, shown: Mapping[str, pl.DataFrame], order: tuple[Language, ...]
) -> str:
    if frame.is_empty():
        return " / ".join(say("sentence.sheet_empty", n) for n in order)
    same = [n for n, table in shown.items() if table.schema == frame.schema and table.equals(frame)]
    return " / ".join(say("sentence.sheet_same", n, sheet=same[0]) for n in order) if same else ""


def _frame_label(key: str, lang: Language) -> str:
    """The name of a frame; of a part's frame, such as ``frequency.tests``, word by word."""
    words = [catalogue().get(f"frame.{part}") for part in key.split(".")]
    parts = zip(words, key.split("."), strict=True)
    return " · ".join(word[lang] if word else label(part, lang) for word, part in parts)


def _basis(results: Mapping[str, Result], names: Mapping[str, str]) -> pl.DataFrame:
    kept = [(names[name] or None, result.basis) for name, result in results.items()]
    said = {
        "sheet": [name for name, _ in kept],
        "data_source": [b.source for _, b in kept],
        "observation_period": [b.period for _, b in kept],
        "filters": ["; ".join(b.filters) for _, b in kept],
        "rows": [b.rows for _, b in kept],
        "exposure": [float(b.exposure) for _, b in kept],
        "claims": [float(b.claims) for _, b in kept],
        "currency": [b.currency for _, b in kept],
        "fingerprint": [b.fingerprint for _, b in kept],
        "notes": ["; ".join(b.notes) for _, b in kept],
    }
    figures = {"rows": pl.Int64, "exposure": pl.Float64, "claims": pl.Float64}
    return pl.DataFrame(said, schema={n: figures.get(n, pl.String) for n in said})


def _dictionary(sheets: Iterable[Sheet], order: tuple[Language, ...]) -> pl.DataFrame:
    """Every column that a sheet shows, and every value that the languages say otherwise."""
    tables = [sheet.table for sheet in sheets]
    rows: dict[tuple[str, str], Texts] = {}
    for column in sorted({c for table in tables for c in table.columns}):
        rows[column, ""] = {n: label(column, n) for n in LANGUAGES}
        held = [table[column] for table in tables if column in table.columns]
        texts = [t for t in held if t.dtype in (pl.String, pl.Enum, pl.Boolean)]
        said = {n: {v: w for t in texts for v, w in words_of(t, n).items()} for n in LANGUAGES}
        for value in sorted(said["en"]):
            own = {n: said[n][value] for n in LANGUAGES}
            if set(own.values()) != {value} and " × " not in value:  # those are said word by word
                rows[column, value] = own
    names = ["column", "value_of", *(f"label_{n}" for n in order)]
    lines = [(column, value or None, *(said[n] for n in order))
             for (column, value), said in rows.items()]  # fmt: skip
    return pl.DataFrame(lines, schema=dict.fromkeys(names, pl.String), orient="row")


def _sheet_name(name: str, taken: set[str]) -> str:
    """A name that Excel takes and no other sheet has, whatever a column is called."""
    plain = re.sub(r"[^\w .-]", "_", name.replace(":", " ")).strip(" .-") or "table"
    for place in range(1, ROWS):
        end = f" {place}" if place > 1 else ""
        own = plain
        while len((own + end).encode("utf-16-le")) > 2 * 31:  # Excel counts UTF-16 units
            own = own[:-1]
        if (own + end).lower() not in taken:
            break
    taken.add((own + end).lower())
    return own + end


def _both(key: str) -> Texts:
    return {n: say(key, n) for n in LANGUAGES}


def _write(book: Any, sheet: Sheet, order: tuple[Language, ...], styles: Mapping[str, Any]) -> None:
    """One sheet: heading, finding, the way back, labels, names, values."""
    table = sheet.table
    page = book.add_worksheet(sheet.name)
    page.write_string(0, 0, _cut(" / ".join(sheet.heading[n] for n in order)), styles["heading"])
    for i, n in enumerate(order, start=1):
        if sheet.finding[n]:
            page.write_string(i, 0, _cut(sheet.finding[n]), styles["finding"])
    if sheet.name != "contents":
        back = " / ".join(say("section.contents", n) for n in order)
        page.write_url(3, 0, "internal:'contents'!A1", styles["link"], back)
    formats = _formats(table)
    tall = 1
    for j, column in enumerate(table.columns):
        labels = [_cut(label(column, n)) for n in order]
        values = _plain(table[column])
        width = _width(values, [column], formats.get(column, ""))
        page.set_column(j, j, width)
        tall = max(tall, sum(math.ceil(_size(text) / (width - 1)) for text in labels))
        page.write_string(HEADER - 1, j, "\n".join(dict.fromkeys(labels)), styles["label"])
        page.write_string(HEADER, j, column, styles["name"])
        if values.dtype == pl.String:
            style = styles["prose" if width == PROSE else "text"]
        else:
            style = book.add_format({"num_format": formats.get(column, "General"), "valign": "top"})
        _write_column(page, j, values, style, styles, links=column == sheet.links)
    page.set_row(HEADER - 1, 15.0 * min(tall, 8))
    page.freeze_panes(HEADER + 1, 0)
    if table.width:
        page.autofilter(HEADER, 0, HEADER + max(table.height, 1), table.width - 1)
        page.ignore_errors({"number_stored_as_text": f"A1:XFD{ROWS}"})


def _write_column(
    page: Any, j: int, values: pl.Series, style: Any, styles: Mapping[str, Any], *, links: bool
) -> None:
    """One column of values, each by its kind and none by what it looks like."""
    for i, value in enumerate(values, start=HEADER + 1):
        if value is None:
            continue
        if links:
            page.write_url(i, j, f"internal:'{value}'!A1", styles["link"], value)
        elif isinstance(value, str):
            page.write_string(i, j, _cut(value), style)
        elif isinstance(value, bool):
            page.write_boolean(i, j, value, style)
        elif isinstance(value, date):
            page.write_datetime(i, j, value, style)
        elif math.isfinite(value):
            page.write_number(i, j, Digits(value), style)
        else:
            page.write_string(i, j, "NaN" if math.isnan(value) else str(value), styles["text"])


def _plain(column: pl.Series) -> pl.Series:
    """A column as Excel can hold it: figures, truth values, dates; anything else as text."""
    kind = column.dtype
    if kind.is_integer():
        ends: list[Any] = [column.min(), column.max()]
        far = any(abs(end) > WHOLE for end in ends if end is not None)
        return column.cast(pl.String) if far else column
    if kind.is_numeric():
        return column.cast(pl.Float64)
    if kind == pl.Date or (isinstance(kind, pl.Datetime) and kind.time_zone is None):
        least: Any = column.min()
        return column if least is None or least.year > 1900 else column.cast(pl.String)
    if kind in (pl.Boolean, pl.String):
        return column
    if kind in (pl.Enum, pl.Null):
        return column.cast(pl.String)
    texts = [None if value is None else str(value) for value in column]
    return pl.Series(column.name, texts, dtype=pl.String)


def _formats(table: pl.DataFrame) -> dict[str, str]:
    """How Excel shows each column, as the page does."""
    formats = {c: "yyyy-mm-dd" for c, kind in table.schema.items() if kind == pl.Date}
    moments = [c for c, kind in table.schema.items() if isinstance(kind, pl.Datetime)]
    formats |= dict.fromkeys(moments, "yyyy-mm-dd hh:mm:ss")
    for column, kind in kinds_of(table).items():
        if kind in FORMATS:
            formats[column] = FORMATS[kind]
        else:
            money = kind == "money"
            places = money_places(table) if money else places_of(table[column])
            if places is not None:
                formats[column] = "#,##0" + ("." + "0" * places if places else "")
    return formats


def _width(values: pl.Series, names: list[str], style: str) -> float:
    longest = max(_size(name) for name in names)
    if values.dtype == pl.String:
        texts = values.drop_nulls()
        sizes = (texts.str.len_chars() + texts.str.len_bytes()) / 2
        longest = max(longest, float(sizes.max() or 0.0))  # type: ignore[arg-type]
    elif values.dtype.is_numeric():
        most: Any = values.cast(pl.Float64).abs().fill_nan(None).max() or 0.0
        decimals = len(style.partition(".")[2])
        whole = len(f"{most:,.0f}") if math.isfinite(most) else 4
        longest = max(longest, min(whole, 24) + decimals + 1)
    else:
        longest = max(longest, len(style))
    return PROSE if longest + 2 > PROSE else max(longest + 2, 11)


def _size(text: str) -> float:
    """Width of a text in letters; a Chinese character is as wide as two."""
    return (len(text) + len(text.encode())) / 2


def _cut(text: str) -> str:
    return text if len(text) <= TOLD else text[: TOLD - 1] + "…"
