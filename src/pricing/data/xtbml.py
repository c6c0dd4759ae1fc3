"""XTbML: the XML in which the Society of Actuaries keeps its archive of tables (ACORD, 2002)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import polars as pl

from pricing.data.markup import child_of, parse, tag_of, text_of
from pricing.data.rates import SEXES, Measure, RateTable
from pricing.errors import InputError, nearest

__all__ = ["Xtbml", "XtbmlTable", "read_xtbml"]

LONGEST = 10_000  # from one end of an axis to the other
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
_WHOLE = re.compile(r"[-+]?\d{1,9}(\.0*)?")


@dataclass(frozen=True, kw_only=True)
class XtbmlTable:
    """One table of an XTbML file.

    Attributes
    ----------
    description : str
        As written in the file.
    axes : tuple of (str, int, int, int)
        Name in small letters ("age", "duration", "calendar_year"), lowest, highest, increment.
    values : polars.DataFrame
        One Int64 column per axis and ``value``, times the scale; empty cells are absent.
    """

    description: str
    axes: tuple[tuple[str, int, int, int], ...]
    values: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class Xtbml:
    """What an XTbML file holds.

    Attributes
    ----------
    identity, name, provider, reference, content : str
        The archive's number, the table's name, who provided it, the publication, and the kind of
        content ("Annuitant Mortality", "CSO/CET", "Projection Scale" and so on).
    tables : tuple of XtbmlTable
        One or more, in the file's order.
    """

    identity: str
    name: str
    provider: str
    reference: str
    content: str
    tables: tuple[XtbmlTable, ...]

    def rates(self, *, sex: str | None = None, measure: Measure = "rate") -> RateTable:
        """Join the file's tables to one rate table by attained age.

        Parameters
        ----------
        sex : {"female", "male"}, optional
            The sex of the lives. XTbML has no field for it: it stands in the name.
        measure : {"rate", "share", "ratio"}
            What the values are.

        Returns
        -------
        RateTable
            By age; by age and duration where a select table is among them.

        Raises
        ------
        InputError
            For axes other than age and duration, ages that are not one year apart, cells that
            two tables give, gaps, ages of the axis without a value, and rates out of range.

        Notes
        -----
        A select table is by age at issue x and policy year d; its rate is that of attained age
        x + d − 1. Policy years beyond the last select one take the ultimate table, if there is
        one; blank select cells stay absent.

        Examples
        --------
        >>> file = Xtbml(identity="1", name="ours", provider="", reference="", content="", tables=(
        ...     XtbmlTable(description="", axes=(("age", 30, 31, 1),),
        ...                values=pl.DataFrame({"age": [30, 31], "value": [0.001, 0.002]})),))
        >>> file.rates(sex="male").rates.rows()
        [('male', 30, 0.001), ('male', 31, 0.002)]
        """
        if sex is not None and sex not in SEXES.categories:
            raise InputError(f"no sex {sex!r}{nearest(sex, SEXES.categories)}", where=self.name)
        plain = [table for table in self.tables if _names(table) == ["age"]]
        select = [table for table in self.tables if _names(table) == ["age", "duration"]]
        if len(plain) + len(select) < len(self.tables):
            axes = " and ".join(", ".join(_names(table)) for table in self.tables)
            raise InputError(
                f"rates are by age, or by age and duration; these tables are by {axes}",
                where=self.name,
                do="take the tables you need from .tables",
            )
        for table in (*plain, *select):
            _require_every_age(self.name, table)
        frames = [table.values.select("age", rate="value") for table in plain]
        if select:
            frames = _attained(select, frames)
        rates = pl.concat(frames)
        if sex is not None:
            rates = rates.with_columns(sex=pl.lit(sex))
        return RateTable(
            name=self.name,
            rates=rates,
            measure=measure,
            ultimate=bool(select and plain),
            source=f"{self.reference or self.provider} (XTbML table {self.identity})",
        )


def read_xtbml(path: str | Path, *, scale: float | None = None) -> Xtbml:
    """Read a file of the Society of Actuaries' table archive.

    Parameters
    ----------
    path : path
        An XTbML file in UTF-8, UTF-16 or a single-byte encoding that its XML declaration names;
        others, such as GB18030, are refused and to be saved as UTF-8 first.
    scale : float, optional
        What a value of 1 in the file means, such as 0.001 for figures per thousand. Needed only
        where the file has a scaling factor other than 0 or 1: the archive's files all have 0,
        "as printed", and readers do not agree on what another would mean.

    Returns
    -------
    Xtbml
        Its tables, with what it says of them. :meth:`Xtbml.rates` makes a rate table of them.

    Raises
    ------
    InputError
        For a file that cannot be read, is larger than 50 MB, is not well-formed XML, declares a
        document type or entities (no table needs them; they are how a file reaches for others or
        swells in memory), is not XTbML, or whose axes and values do not fit: all with the place.

    Notes
    -----
    ``Values`` holds ``Axis`` elements nested one in another; the last level holds ``Y``. Their
    attribute ``t`` is the place on the axes that ``AxisDef`` names, in the same order. Source:
    mort.soa.org, About: XTbML, adopted by ACORD in 2002.

    Examples
    --------
    >>> import tempfile
    >>> text = '''<XTbML><ContentClassification><TableIdentity>1</TableIdentity>
    ...   <TableName>ours</TableName></ContentClassification><Table><MetaData>
    ...   <ScalingFactor>0</ScalingFactor><AxisDef id="Age"><AxisName>Age</AxisName>
    ...   <MinScaleValue>30</MinScaleValue><MaxScaleValue>31</MaxScaleValue>
    ...   <Increment>1</Increment></AxisDef></MetaData><Values><Axis><Y t="30">0.001</Y>
    ...   <Y t="31">0.002</Y></Axis></Values></Table></XTbML>'''
    >>> path = Path(tempfile.mkdtemp()) / "t1.xml"
    >>> _ = path.write_text(text, encoding="utf-8")
    >>> read_xtbml(path).tables[0].values.rows()
    [(30, 0.001), (31, 0.002)]
    """
    where = str(path)
    root = parse(path)
    if tag_of(root) != "XTbML":
        raise InputError(f"is not an XTbML file: its root is {tag_of(root)!r}", where=where)
    about = child_of(root, "ContentClassification")
    tables = [element for element in root if tag_of(element) == "Table"]
    if not tables:
        raise InputError("holds no Table", where=where)
    read = [
        _table(table, f"{where}, table {number}", scale) for number, table in enumerate(tables, 1)
    ]
    return Xtbml(
        identity=text_of(about, "TableIdentity"),
        name=text_of(about, "TableName") or Path(path).stem,
        provider=text_of(about, "ProviderName"),
        reference=text_of(about, "TableReference"),
        content=text_of(about, "ContentType"),
        tables=tuple(read),
    )


def _table(table: Element, where: str, scale: float | None) -> XtbmlTable:
    about = child_of(table, "MetaData")
    axes = tuple(
        _axis(element, where)
        for element in (about if about is not None else ())
        if tag_of(element) == "AxisDef"
    )
    names = [name for name, *_ in axes]
    if not axes or len(set(names)) < len(names) or "value" in names:
        raise InputError(f"needs axes of different names, has {names}", where=where)
    unit = _scale(text_of(about, "ScalingFactor"), scale, where)
    values = child_of(table, "Values")
    cells = list(_cells(values, (), len(axes), where)) if values is not None else []
    if not cells:
        raise InputError("holds no values", where=where)
    whole = dict.fromkeys(names, pl.Int64)
    frame = pl.DataFrame(cells, orient="row", schema={**whole, "value": pl.Float64})
    _require_grid(frame, axes, where)
    kept = frame.with_columns(pl.col("value") * unit).drop_nulls().sort(names)
    return XtbmlTable(description=text_of(about, "TableDescription"), axes=axes, values=kept)


def _axis(element: Element, where: str) -> tuple[str, int, int, int]:
    name = text_of(element, "AxisName") or element.get("id", "")
    said = [text_of(element, tag) for tag in ("MinScaleValue", "MaxScaleValue", "Increment")]
    if not name or any(_WHOLE.fullmatch(text) is None for text in said):
        raise InputError(
            f"axis {name!r} needs a name and whole numbers for its ends and increment, has "
            + ", ".join(map(repr, said)),
            where=where,
        )
    low, high, step = (int(float(text)) for text in said)
    if step < 1 or high < low or high - low > LONGEST:
        raise InputError(f"axis {name!r} runs from {low} to {high} by {step}", where=where)
    return re.sub(r"\W+", "_", name.strip().lower()), low, high, step


def _scale(printed: str, scale: float | None, where: str) -> float:
    if scale is not None:
        if not 0 < scale < float("inf"):
            raise InputError(f"the scale must be above 0, got {scale}", where=where)
        return scale
    if printed not in ("", "0", "1"):
        raise InputError(
            f"has a scaling factor of {printed!r}",
            where=where,
            do="hold a value against the publication and say what 1 means, such as scale=0.001",
        )
    return 1.0


def _cells(
    element: Element, at: tuple[int, ...], axes: int, where: str
) -> Iterator[tuple[float | None, ...]]:
    """Walk the nested axes; what carries a ``t`` is a place on the next one."""
    for child in element:
        if tag_of(child) not in ("Axis", "Y"):
            raise InputError(f"unknown element {tag_of(child)!r} among the values", where=where)
        t = child.get("t")
        if t is not None and _WHOLE.fullmatch(t.strip()) is None:
            raise InputError(f"place {t!r} on an axis is not a whole number", where=where)
        here = at if t is None else (*at, int(float(t)))
        if tag_of(child) == "Axis":
            yield from _cells(child, here, axes, where)
            continue
        if t is None or len(here) != axes:
            raise InputError(
                f"a value at {here} has {len(here)} places on {axes} axes", where=where
            )
        text = (child.text or "").strip()
        if (text and _NUMBER.fullmatch(text) is None) or len(child):
            raise InputError(f"the value at {here} is not a number: {text[:40]!r}", where=where)
        yield (*here, float(text) if text else None)


def _require_grid(
    frame: pl.DataFrame, axes: tuple[tuple[str, int, int, int], ...], where: str
) -> None:
    names = [name for name, *_ in axes]
    faults = []
    for name, low, high, step in axes:
        off = frame.filter(~pl.col(name).is_between(low, high) | ((pl.col(name) - low) % step != 0))
        if not off.is_empty():
            faults.append(
                f"{off.height:,} values are off axis {name!r} ({low} to {high} by {step}), first "
                f"at {off[name][0]}"
            )
    twice = frame.filter(frame.select(names).is_duplicated())
    if not twice.is_empty():
        faults.append(f"{twice.height:,} values share a place, first at {twice.row(0)[:-1]}")
    if frame["value"].null_count() == frame.height:
        faults.append("every value is blank")
    infinite = frame.filter(pl.col("value").is_infinite())
    if not infinite.is_empty():
        faults.append(f"{infinite.height:,} values are too large, first at {infinite.row(0)[:-1]}")
    if faults:
        raise InputError("axes and values do not fit", where=where, faults=faults)


def _require_every_age(name: str, table: XtbmlTable) -> None:
    _, low, high, step = table.axes[0]
    if step != 1:
        raise InputError(
            f"ages are {step} apart; rates are by single year and are not interpolated",
            where=name,
            do="take the values from .tables and graduate them",
        )
    missing = sorted(set(range(low, high + 1)) - set(table.values["age"]))
    if missing:
        raise InputError(
            f"{len(missing)} ages of the axis ({low} to {high}) have no value, first {missing[0]}",
            where=name,
        )


def _attained(select: list[XtbmlTable], plain: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Bring select and ultimate tables to attained age and policy year."""
    age = (pl.col("age") + pl.col("duration") - 1).alias("age")
    frames = [table.values.select(age, "duration", rate="value") for table in select]
    last = max(frame.select(pl.max("duration")).item() for frame in frames)
    after = pl.lit(last + 1, dtype=pl.Int64).alias("duration")
    return [*frames, *(frame.select("age", after, "rate") for frame in plain)]


def _names(table: XtbmlTable) -> list[str]:
    return [name for name, *_ in table.axes]
