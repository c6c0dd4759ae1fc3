"""A tariff as an Excel workbook: a sheet of terms, one per factor, the audit; and read back."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any
from xml.parsers import expat

import polars as pl

from pricing.errors import InputError, nearest
from pricing.files import replacing
from pricing.inputs import bytes_of
from pricing.tariff.factor import Factor
from pricing.tariff.rates import Tariff, tariff_from
from pricing.tariff.terms import Loading

__all__ = ["PLAIN", "read_workbook", "write_workbook"]

Cell = str | float | None
PLAIN = dict.fromkeys(("strings_to_formulas", "strings_to_numbers", "strings_to_urls"), False)
LARGEST = 50_000_000  # bytes, unpacked
MOST_PARTS, MOST_CELLS = 5_000, 20_000_000
TERMS, AUDIT = "base", "audit"
SCALARS = ("currency", "valid_from", "decimals")
LIMITS = {
    "least relativity": ("relativity_limits", 0),
    "most relativity": ("relativity_limits", 1),
    "least premium": ("premium_limits", 0),
    "most premium": ("premium_limits", 1),
}


def write_workbook(tariff: Tariff, path: str | Path, *, audit: pl.DataFrame | None = None) -> None:
    """Write a tariff as a rating table in Excel.

    Sheet ``base`` holds the base premium and the terms, then where each factor stands; each factor
    has a sheet of its levels and relativities; ``audit`` the steps that made it.

    Parameters
    ----------
    tariff : Tariff
        What is charged.
    path : path
        An ``.xlsx`` file; written beside and renamed.
    audit : polars.DataFrame, optional
        ``.table`` of a :class:`pricing.tariff.refine.Refinement`.

    Raises
    ------
    InputError
        For another suffix, and a table longer than a sheet.

    Notes
    -----
    Every text is written as text: a level such as ``=1+1`` or ``@A1`` is shown, never computed.
    Excel keeps 16 digits of a number, so premiums read back agree to rounding.

    Examples
    --------
    >>> write_workbook.__name__
    'write_workbook'
    """
    import xlsxwriter

    if Path(path).suffix.lower() != ".xlsx":
        raise InputError("is not an .xlsx file", where=str(path))
    sheets = _sheets(tariff, audit)
    longest = max(len(rows) for rows in sheets.values())
    if longest > 1_048_576:
        raise InputError(f"{longest:,} rows do not fit in a sheet", do="write it with write_json")
    with replacing(path) as beside:
        book = xlsxwriter.Workbook(str(beside), PLAIN)
        bold = book.add_format({"bold": True})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            sheet.set_column(0, len(max(rows, key=len)) - 1, 18)
            for i, row in enumerate(rows):
                style = bold if i == 0 else None
                for j, value in enumerate(row):
                    if isinstance(value, str):
                        sheet.write_string(i, j, value, style)
                    elif value is not None:
                        sheet.write_number(i, j, value, style)
            sheet.freeze_panes(1, 0)
        book.close()


def read_workbook(path: str | Path) -> Tariff:
    """Read a rating table that :func:`write_workbook` wrote, perhaps changed by hand.

    No macro, link or formula is run; of a formula the value that Excel kept is taken. A level that
    is typed as a number is the text of it.

    Raises
    ------
    InputError
        For a file that is no workbook or is larger than 50 MB unpacked; and, all at once, for sheets, terms, levels and relativities that cannot be used.

    Examples
    --------
    >>> read_workbook("no/such.xlsx")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: no/such.xlsx: cannot be read: No such file or directory
      do: check its path
    """
    where = str(path)
    book = _read_book(path)
    if TERMS not in book:
        raise InputError(f"has no sheet {TERMS!r}{nearest(TERMS, book)}", where=where)
    faults: list[str] = []
    said: dict[str, Any] = {"relativity_limits": [None, None], "premium_limits": [None, None]}
    base_premium: Any = None
    loadings: list[Loading] = []
    factors: dict[str, list[tuple[Any, Any]]] = {}
    bases: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for place, row in enumerate(book[TERMS][1:], start=2):
        name, value, note = ([*row, None, None, None])[:3]
        if name is None:
            continue
        if name == "base premium":
            base_premium = _number(value)
        elif name in SCALARS:
            said[name] = value
        elif name in LIMITS:
            term, side = LIMITS[str(name)]
            said[term][side] = _number(value)
        elif name in ("times", "plus"):
            loadings.append(Loading(_text(note), name, _number(value)))  # type: ignore[arg-type]
        elif name == "factor":
            term, sheet = _text(value), _text(note)
            if sheet not in book:
                faults.append(f"{term}: there is no sheet {sheet!r}{nearest(sheet, book)}")
            elif term in factors:
                faults.append(f"{term} stands twice in sheet {TERMS!r}")
            else:
                pairs, bases[term], groups[term], wrong = _levels(term, book[sheet])
                factors[term] = pairs
                faults += [f"sheet {sheet!r}: {fault}" for fault in wrong]
        else:
            faults.append(f"sheet {TERMS!r}, row {place}: {name!r} is no term")
    decimals = said.get("decimals")
    said["decimals"] = None if decimals in ("", "none", None) else _whole(decimals)
    told: dict[str, Any] = {k: _text(said[k]) for k in ("currency", "valid_from") if k in said}
    told |= {n: tuple(said[n]) for n in ("relativity_limits", "premium_limits")}
    told |= {"decimals": said["decimals"], "loadings": tuple(loadings)}
    made: Tariff | None = None
    try:
        own = {term: base for term, base in bases.items() if base}
        made = tariff_from(base_premium, factors, base=own, **told)
    except InputError as error:
        faults += error.faults or [error.problem]
    if faults or made is None:
        raise InputError("a tariff that cannot be used", where=where, faults=faults)
    try:
        return made.grouped(groups)
    except InputError as error:
        raise InputError(error.problem, where=where, faults=error.faults) from error


def _sheets(tariff: Tariff, audit: pl.DataFrame | None) -> dict[str, list[list[Cell]]]:
    terms = tariff.terms
    decimals: Cell = "none" if terms.decimals is None else float(terms.decimals)
    head: list[list[Cell]] = [
        ["term", "value", "note"],
        ["base premium", tariff.base_premium, "per policy-year"],
        ["currency", terms.currency],
        ["valid_from", terms.valid_from],
        ["decimals", decimals],
    ]
    for name, (limits, side) in LIMITS.items():
        head.append([name, getattr(terms, limits)[side]])
    head += [[one.kind, float(one.value), one.name] for one in terms.loadings]
    sheets: dict[str, list[list[Cell]]] = {TERMS: head}
    for place, factor in enumerate(tariff.factors, start=1):
        name = _sheet_name(place, factor.term)
        head.append(["factor", factor.term, name])
        sheets[name] = _rows(factor)
    if audit is not None:
        said = audit.with_columns((~pl.selectors.numeric()).cast(pl.String)).rows()
        plain = [[float(v) if isinstance(v, int | float) else v for v in row] for row in said]
        sheets[AUDIT] = [list(audit.columns), *plain]
    return sheets


def _rows(factor: Factor) -> list[list[Cell]]:
    charged = list(factor.groups) or factor.names
    rows: list[list[Cell]] = [[*factor.variables, "relativity", "charged_as", "role"]]
    for pair, value, group, name in zip(
        product(*factor.levels), factor.relativities, charged, factor.names, strict=True
    ):
        role = "base" if pair == factor.base else None
        rows.append([*pair, value, group if group != name else None, role])
    return rows


def _sheet_name(place: int, term: str) -> str:
    plain = re.sub(r"[^\w -]", "_", term)
    return f"{place} {plain}"[:31].strip()


def _levels(
    term: str, rows: Sequence[Sequence[Cell]]
) -> tuple[list[tuple[Any, Any]], str, dict[str, str], list[str]]:
    variables = term.split(":")
    head = [_text(v) for v in rows[0]] if rows else []
    if head[: len(variables) + 1] != [*variables, "relativity"]:
        return [], "", {}, [f"begins with {head}, not with {[*variables, 'relativity']}"]
    at = len(variables)
    pairs: list[tuple[Any, Any]] = []
    base, groups = "", {}
    for row in rows[1:]:
        cells = [*row, None, None, None][: at + 3] if len(row) < at + 3 else list(row)
        if all(v is None for v in cells):
            continue
        level = tuple(_text(v) for v in cells[:at])
        pairs.append((level if at > 1 else level[0], _number(cells[at])))
        name = " × ".join(level)
        if cells[at + 1] is not None:
            groups[name] = _text(cells[at + 1])
        if cells[at + 2] == "base":
            base = name
    return pairs, base, groups, []


def _text(value: Cell) -> str:
    return "" if value is None else str(value)


def _whole(value: Cell) -> Any:
    number = _number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _read_book(path: str | Path) -> dict[str, list[list[Cell]]]:
    """Every sheet as rows of text and numbers; the stated size is looked at before anything is unpacked."""
    import fastexcel

    where = str(path)
    try:
        book = fastexcel.read_excel(_repacked(path))
        return {
            name: _cells(book.load_sheet(name, header_row=None, dtypes="string").to_polars())
            for name in book.sheet_names
        }
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=where) from error
    except InputError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        expat.ExpatError,
        fastexcel.FastExcelError,
        pl.exceptions.PanicException,
    ) as error:
        raise InputError(
            f"is no workbook that can be read: {str(error).splitlines()[0]}",
            where=where,
            do="save it as .xlsx",
        ) from error


def _repacked(path: str | Path) -> bytes:
    """Unpack a workbook within bounds and pack it anew: what its parts state of their size is not believed.

    The reader beneath makes a sheet as wide and as long as its farthest cell, so that is looked at too.
    """
    where = str(path)
    made, size = io.BytesIO(), 0
    with (
        zipfile.ZipFile(io.BytesIO(bytes_of(path, most=LARGEST))) as archive,
        zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as anew,
    ):
        for part in archive.infolist():
            with archive.open(part) as stream:
                data = stream.read(LARGEST - size + 1)
            size += len(data)
            if size > LARGEST or len(archive.filelist) > MOST_PARTS:
                raise InputError(f"is larger than {LARGEST:,} bytes unpacked", where=where)
            if part.filename.lower().endswith((".xml", ".rels")):
                _require_modest(data, f"{where}, {part.filename}")
            anew.writestr(part.filename, data)
    return made.getvalue()


def _require_modest(data: bytes, where: str) -> None:
    """Refuse a part that declares a document type, or whose cells span more than a rating table."""
    farthest = [0, 0]

    def start(name: str, attributes: dict[str, str]) -> None:
        place = re.fullmatch(r"([A-Za-z]{0,3})(\d{0,7})", attributes.get("r", ""))
        if name.rsplit(":", 1)[-1] in ("c", "row") and place:
            letters = place[1].upper()
            wide = sum(26**i * (ord(a) - 64) for i, a in enumerate(reversed(letters)))
            farthest[0] = max(farthest[0], wide)
            farthest[1] = max(farthest[1], int(place[2] or 0))
            if farthest[0] * farthest[1] > MOST_CELLS:
                raise InputError(
                    f"its cells reach to column {farthest[0]:,}, row {farthest[1]:,}",
                    where=where,
                    do="no rating table is that large; clear what stands far from it",
                )

    def doctype(*_: Any) -> None:
        raise InputError(
            "is no workbook that can be read: it declares a document type", where=where
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    parser.Parse(data, True)


def _cells(sheet: pl.DataFrame) -> list[list[Cell]]:
    return [list(row) for row in sheet.rows()]


def _number(value: Cell) -> Any:
    """A number where one is written, else what is written, for the refusal to say."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return value
