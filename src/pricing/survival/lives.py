"""Lives: rows of time in cover grouped once to cells of stratum × time × cause, which add.

Every estimator of this room is a function of three sums at each time: the lives that enter, that leave
by each cause and that are censored. A life that entered at a and left at b is at risk on (a, b]: an
entry at t is not yet at risk at t, an exit at t still is, and a censoring at t follows the events at t
(Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data, 2nd ed. 2002, chapter 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed, require_columns
from pricing.experience.engines import AnyFrame
from pricing.experience.shards import Shards
from pricing.files import fingerprint
from pricing.result.shape import Basis

__all__ = ["Lives", "Unit", "stratum_name", "within"]

Unit = Literal["day", "month", "year"]
DIGITS = 12  # of a time that count
TEXT = ("String", "Enum", "Categorical")
TAKEN = frozenset({
    "time", "cause", "lives", "rows", "way", "entered", "censored", "events", "at_risk", "after", "stratum",
    "survival", "hazard", "hazard_std_error", "hazard_lower", "hazard_upper", "incidence", "std_error",
    "lower", "upper", "share", "until", "restricted_mean",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lives:
    """Lives by stratum and time: how many enter, leave by each cause, are censored.

    Attributes
    ----------
    exits : polars.DataFrame
        ``by``, time, cause (Enum; null: censored), lives (sum of weights), rows.
    entries : polars.DataFrame
        ``by``, time, lives of delayed entries; empty where all are seen from 0 on.
    by : tuple of str
        Strata.
    causes : tuple of str
        Causes of leaving, in order.
    unit : {"day", "month", "year"}
        Unit of time.
    basis : Basis
        Source; rows, exposure (time in cover, in ``unit``) and claims (exits by any cause).

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1.0, 2.0, 2.0], "event": [True, False, True]})
    >>> seen = Lives.collect(rows)
    >>> (seen + seen).risk().select("time", "at_risk", "events", "censored").rows()
    [(1.0, 6.0, 2.0, 0.0), (2.0, 4.0, 2.0, 2.0)]
    """

    exits: pl.DataFrame
    entries: pl.DataFrame
    by: tuple[str, ...]
    causes: tuple[str, ...]
    unit: Unit = "year"
    basis: Basis = field(default_factory=Basis)

    @classmethod
    def collect(
        cls,
        frame: AnyFrame,
        by: Sequence[str] = (),
        *,
        exit: str = "exit",
        event: str = "event",
        entry: str | None = None,
        weight: str | None = None,
        causes: Sequence[str] | None = None,
        unit: Unit = "year",
        basis: Basis | None = None,
    ) -> Lives:
        """Group lives by stratum, time and cause, once, where they are.

        Parameters
        ----------
        frame : frame of any engine
            One row per life or spell, or cells of lives with their number as ``weight``: a polars
            DataFrame or LazyFrame (streamed), a DuckDB relation, a PySpark DataFrame.
        by : sequence of str
            Strata: text, Enum, yes or no, or whole numbers.
        exit : str
            Column of the time of leaving or of the end of observation, above the entry. Times that
            agree in 12 digits are one.
        event : str
            Yes or no; a whole number, 0 for censored and 1, 2, ... for the causes; or the cause as
            text, null for censored.
        entry : str, optional
            Column of the time from which a life is observed (left truncation), 0 or more; 0 for all
            where left out.
        weight : str, optional
            Column of the number of lives of a row, 0 or more. Standard errors take it for a number:
            two lives of weight 1 and one row of weight 2 are the same.
        causes : sequence of str, optional
            Every cause that may occur: text, or the names of 1, 2, ...; those that occur where left
            out.
        unit : {"day", "month", "year"}
            Unit of time.
        basis : Basis, optional
            Source, period, filters.

        Raises
        ------
        InputError
            For no rows or no lives; columns that are missing or of the wrong type; times that are
            null, NaN or infinite; an exit not after its entry, an entry below 0; weights that are
            null, not finite or negative; null events or strata; causes that are not named: all said
            at once, with counts.
        """
        by = listed(by)
        columns = [*by, exit, event, *([entry] if entry else []), *([weight] if weight else [])]
        shards = Shards.of(frame, columns)
        _require_kinds(shards.schema, by, exit, event, entry, weight)
        if unit not in get_args(Unit):
            raise InputError(f"no unit of time {unit!r}{nearest(str(unit), get_args(Unit))}")
        keys = {f"k{i}": name for i, name in enumerate(by)}
        job = partial(_cells, keys=keys, exit=exit, event=event, entry=entry, weight=weight)
        cells = shards.gather(job, partial(_added, keys=[*keys, "way", "t", "c"]))
        cells = _tied(cells, [*keys, "way", "t", "c"])
        known, causes_now, faults = _named(cells, causes, shards.schema[event])
        _require_rows(known, list(keys), faults, exit, event, entry, weight, by)
        named = known.select(*keys, "way", "cause", "rows", time="t", lives="n").rename(keys)
        named = named.with_columns(_stratum(named, name) for name in by)
        kept = named.filter(pl.col("lives") > 0).select(
            *by, "way", "time", "cause", "lives", "rows"
        )
        exits = kept.filter(~pl.col("way")).drop("way").sort(*by, "time", "cause")
        entries = kept.filter(pl.col("way")).select(*by, "time", "lives").sort(*by, "time")
        return cls._of(exits, entries, tuple(by), causes_now, unit, basis or Basis())

    @classmethod
    def _of(
        cls,
        exits: pl.DataFrame,
        entries: pl.DataFrame,
        by: tuple[str, ...],
        causes: tuple[str, ...],
        unit: Unit,
        basis: Basis,
    ) -> Lives:
        if exits.is_empty():
            raise InputError("there are no lives", do="check the source, the filters and weights")
        time = pl.col("time") * pl.col("lives")
        columns = [
            frame[name].to_physical().round_sig_figs(9).to_numpy().tobytes()
            if frame[name].dtype == pl.Float64
            else frame[name].to_physical().fill_null(255).to_numpy().tobytes()
            for frame in (exits, entries)
            for name in frame.columns
        ]
        basis = replace(
            basis,
            rows=int(exits["rows"].sum()),
            exposure=float(exits.select(time.sum()).item() - entries.select(time.sum()).item()),
            claims=float(exits.filter(pl.col("cause").is_not_null())["lives"].sum()),
            fingerprint=fingerprint(*by, *causes, unit, *columns),
        )
        return cls(exits=exits, entries=entries, by=by, causes=causes, unit=unit, basis=basis)

    @property
    def number(self) -> float:
        """How many lives (or spells) there are: the sum of the weights."""
        return float(self.exits["lives"].sum())

    def only(self, *by: str) -> Lives:
        """Add up over every stratum but these."""
        require_columns(by, self.by)
        kept = tuple(dict.fromkeys(by))
        exits = self.exits.group_by(*kept, "time", "cause").agg(pl.col("lives", "rows").sum())
        entries = self.entries.group_by(*kept, "time").agg(pl.col("lives").sum())
        return self._again(exits, entries, kept)

    def where(self, condition: pl.Expr, note: str = "") -> Lives:
        """Keep some strata; the condition stands in the basis."""
        require_columns(condition.meta.root_names(), self.by)
        basis = replace(self.basis, filters=(*self.basis.filters, note or str(condition)))
        return self._again(
            self.exits.filter(condition), self.entries.filter(condition), self.by, basis
        )

    def __add__(self, other: Lives) -> Lives:
        """Add two books of lives with the same strata, causes and unit."""
        if not isinstance(other, Lives):
            return NotImplemented
        faults = [
            f"{name}: {getattr(self, name)} and {getattr(other, name)}"
            for name in ("by", "causes", "unit")
            if getattr(self, name) != getattr(other, name)
        ]
        if faults:
            raise InputError(
                "lives that do not add", faults=faults, do="collect both with the same arguments"
            )
        text = [n for n in self.by if self.exits.schema[n] != other.exits.schema[n]]
        exits, entries = (
            pl.concat([a.with_columns(pl.col(text).cast(pl.String)), b.with_columns(pl.col(text).cast(pl.String))])
            for a, b in ((self.exits, other.exits), (self.entries, other.entries))
        )  # fmt: skip
        exits = exits.group_by(*self.by, "time", "cause").agg(pl.col("lives", "rows").sum())
        entries = entries.group_by(*self.by, "time").agg(pl.col("lives").sum())
        for name in text:
            kind = pl.Enum(exits[name].unique().sort().to_list())
            exits = exits.with_columns(pl.col(name).cast(kind))
            entries = entries.with_columns(pl.col(name).cast(kind))
        return self._again(exits, entries, self.by)

    def _again(
        self,
        exits: pl.DataFrame,
        entries: pl.DataFrame,
        by: tuple[str, ...],
        basis: Basis | None = None,
    ) -> Lives:
        exits = exits.select(*by, "time", "cause", "lives", "rows").sort(*by, "time", "cause")
        entries = entries.select(*by, "time", "lives").sort(*by, "time")
        return Lives._of(exits, entries, by, self.causes, self.unit, basis or self.basis)

    def risk(self, *, start: float = 0.0) -> pl.DataFrame:
        """Give the lives at risk, leaving and censored at every time, by stratum.

        Parameters
        ----------
        start : float
            Times after it only; a life at risk must still be there at ``start``.

        Returns
        -------
        polars.DataFrame
            ``by``, time, at_risk (just before it), events, one column ``events_1``, ``events_2``, ...
            per cause, censored, entered, and after: at risk just after it.
        """
        cause = [
            pl.col("lives").filter(pl.col("cause") == name).sum().alias(f"events_{i}")
            for i, name in enumerate(self.causes, start=1)
        ]
        gone = pl.col("lives").filter(pl.col("cause").is_null()).sum().alias("censored")
        keys = [*self.by, "time"]
        grid = self.exits.filter(pl.col("time") > start).group_by(keys).agg(*cause, gone)
        if self.entries.height:
            come = self.entries.filter(pl.col("time") > start).group_by(keys)
            grid = grid.join(
                come.agg(entered=pl.col("lives").sum()), on=keys, how="full", coalesce=True
            )
        else:
            grid = grid.with_columns(entered=0.0)
        grid = grid.with_columns(pl.selectors.float().exclude("time").fill_null(0.0)).sort(keys)
        names = [f"events_{i}" for i, _ in enumerate(self.causes, start=1)]
        left, total = pl.col("events") + pl.col("censored"), self.number
        grid = grid.with_columns(events=pl.sum_horizontal(names)).with_columns(
            at_risk=within(left.cum_sum(reverse=True), self.by)
            - within(pl.col("entered").cum_sum(reverse=True), self.by)
        )
        grid = grid.with_columns(after=pl.col("at_risk") - left + pl.col("entered"))
        dust = 1e-12 * total  # what differences of sums of fractions leave
        return grid.select(
            *keys,
            at_risk=pl.when((pl.col("at_risk") - left).abs() <= dust)
            .then(left)
            .otherwise(pl.col("at_risk")),
            events=pl.col("events"),
            **{name: pl.col(name) for name in names},
            censored=pl.col("censored"),
            entered=pl.col("entered"),
            after=pl.when(pl.col("after") <= dust).then(0.0).otherwise(pl.col("after")),
        )


def within(of: pl.Expr, by: Sequence[str]) -> pl.Expr:
    """Take a running expression stratum by stratum.

    Examples
    --------
    >>> frame = pl.DataFrame({"s": ["a", "a", "b"], "x": [1, 2, 3]})
    >>> frame.select(within(pl.col("x").cum_sum(), ["s"]))["x"].to_list()
    [1, 3, 3]
    """
    return of.over(list(by)) if by else of


def stratum_name(by: Sequence[str]) -> pl.Expr:
    """Name a stratum by its levels, ``all`` where there is only one.

    Examples
    --------
    >>> frame = pl.DataFrame({"sex": ["f"], "tier": [2]})
    >>> frame.select(stratum_name(["sex", "tier"])).item()
    'f × 2'
    """
    if not by:
        return pl.lit("all").alias("stratum")
    return pl.concat_str([pl.col(n).cast(pl.String) for n in by], separator=" × ").alias("stratum")


def _cells(
    rows: pl.LazyFrame,
    *,
    keys: dict[str, str],
    exit: str,
    event: str,
    entry: str | None,
    weight: str | None,
) -> pl.DataFrame:
    """Group the rows; what is wrong with a row is seen in its cell. ``way``: whether it is an entry."""
    w = pl.col("w")
    bad = (~((w >= 0) & w.is_finite())).fill_null(True)
    sums = {
        "rows": pl.len().cast(pl.Int64),
        "n": w.sum() if weight else pl.len().cast(pl.Float64),
        "unweighed": bad.sum().cast(pl.Int64) if weight else pl.lit(0, pl.Int64),
        "early": (~(pl.col("t") - pl.col("a") > pl.col("t").abs() * 2 * 10.0**-DIGITS))
        .fill_null(False)
        .sum()
        .cast(pl.Int64)
        if entry
        else pl.lit(0, pl.Int64),
    }
    given = {k: _plain(rows, name) for k, name in keys.items()}
    given |= {"t": _plain(rows, exit), "c": _plain(rows, event)}
    given |= {"w": pl.col(weight).cast(pl.Float64)} if weight else {}
    given |= {"a": _plain(rows, entry)} if entry else {}
    seen = rows.select(**given)
    gone = seen.group_by(*keys, "t", "c").agg(**sums).with_columns(way=pl.lit(False))
    if entry is None:
        return _floats(gone.collect(engine="streaming"))
    came = (
        seen.group_by(*keys, "a").agg(rows=sums["rows"], n=sums["n"])
        .rename({"a": "t"})
        .with_columns(unweighed=pl.lit(0, pl.Int64), early=pl.lit(0, pl.Int64), way=pl.lit(True))
    )  # fmt: skip
    both = [_floats(f) for f in pl.collect_all([gone, came], engine="streaming")]
    return pl.concat(both, how="diagonal")


def _floats(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.with_columns(pl.col("t").cast(pl.Float64))


def _plain(rows: pl.LazyFrame, name: str) -> pl.Expr:
    kind = rows.collect_schema()[name]
    return (
        pl.col(name).cast(pl.String) if kind.base_type().__name__ == "Categorical" else pl.col(name)
    )


def _added(cells: pl.DataFrame, *, keys: list[str]) -> pl.DataFrame:
    return cells.group_by(keys).agg(pl.exclude(keys).sum())


def _tied(cells: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Make times one that differ by what arithmetic leaves: 0.1 + 0.2 years and 0.3."""
    t = pl.col("t")
    first = t.min().over(t.round_sig_figs(DIGITS))
    near = cells.with_columns(t=pl.when(t.is_finite()).then(first).otherwise(t))
    changed = near["t"].ne_missing(cells["t"]).any()
    return _added(near, keys=keys) if changed else cells


def _named(
    cells: pl.DataFrame, causes: Sequence[str] | None, kind: pl.DataType
) -> tuple[pl.DataFrame, tuple[str, ...], list[str]]:
    """Name the causes; null is censored. What cannot be named is a fault."""
    gone, faults = ~pl.col("way"), []
    text = kind.base_type().__name__ in TEXT
    given = None if causes is None else list(dict.fromkeys(listed(causes)))
    c = pl.col("c")
    if not text:
        c = c.cast(pl.Int64)
        none = int(cells.filter(gone & c.is_null())["rows"].sum())
        below = int(cells.filter(gone & (c < 0))["rows"].sum())
        faults += [f"the event is null in {none:,} rows"] if none else []
        faults += [f"the event is below 0 in {below:,} rows"] if below else []
        there = cells.filter(gone & (c > 0)).select(c.unique().sort()).to_series().to_list()
        if given is None:
            names = ["event"] if set(there) <= {1} else [str(i) for i in there]
            at = dict(zip([1] if set(there) <= {1} else there, names, strict=True))
        else:
            names, at = given, dict(enumerate(given, start=1))
        unknown = [i for i in there if i not in at]
        named = c.replace_strict(at, default=None, return_dtype=pl.String)
    else:
        c = c.cast(pl.String)
        there = cells.filter(gone).select(c.drop_nulls().unique().sort()).to_series().to_list()
        order = kind.categories.to_list() if isinstance(kind, pl.Enum) else there
        names = given if given is not None else [n for n in order if n in there] or ["event"]
        unknown = [n for n in there if n not in names]
        named = pl.when(c.is_in(names)).then(c)
    if unknown:
        many = int(cells.filter(gone & c.is_in(unknown))["rows"].sum())
        few = ", ".join(repr(n) for n in unknown[:5])
        faults.append(f"causes that are not named in {many:,} rows: {few}")
    return cells.with_columns(cause=named.cast(pl.Enum(names))), tuple(names), faults


def _require_rows(
    cells: pl.DataFrame,
    keys: Sequence[str],
    faults: Sequence[str],
    exit: str,
    event: str,
    entry: str | None,
    weight: str | None,
    by: Sequence[str],
) -> None:
    gone = cells.filter(~pl.col("way"))
    rows = int(gone["rows"].sum())
    if not rows:
        raise InputError("there are no lives", do="check the source and the filters")

    def count(of: pl.Expr, way: bool = False) -> int:
        return int(cells.filter((pl.col("way") == way) & of)["rows"].sum())

    strange = ~pl.col("t").is_finite().fill_null(False)
    found = [
        *((f"{n!r} is null", count(pl.col(k).is_null())) for k, n in zip(keys, by, strict=True)),
        (f"{exit!r} is null, NaN or infinite", count(strange)),
    ]
    if entry is None:
        found.append((f"{exit!r} is not above 0", count(pl.col("t") <= 0)))
    else:
        found += [
            (f"{entry!r} is null, NaN or infinite", count(strange, True)),
            (f"{entry!r} is below 0", count((pl.col("t") < 0) & ~strange, True)),
            (f"{exit!r} is not after {entry!r}", int(gone["early"].sum())),
        ]
    if weight:
        bad = int(gone["unweighed"].sum())
        found.append((f"{weight!r} is null, not finite or negative", bad))
    said = [f"{what} in {many:,} of {rows:,} rows" for what, many in found if many]
    if said or faults:
        raise InputError(
            "lives that cannot be followed",
            faults=[*said, *faults],
            do="correct the dates, leave such rows out, or name every cause (causes=...)",
        )


def _require_kinds(
    schema: pl.Schema,
    by: Sequence[str],
    exit: str,
    event: str,
    entry: str | None,
    weight: str | None,
) -> None:
    numbers = [name for name in (exit, entry, weight) if name is not None]
    require_columns([*by, event, *numbers], schema.names())
    faults = [f"{n!r} is {schema[n]}, not a number" for n in numbers if not schema[n].is_numeric()]
    kind = schema[event]
    if not (kind.base_type().__name__ in TEXT or kind == pl.Boolean or kind.is_integer()):
        faults.append(f"{event!r} is {kind}: neither yes or no, a whole number, nor text")
    faults += [
        f"stratum {n!r} is {schema[n]}: neither text, yes or no, nor a whole number"
        for n in by
        if not (
            schema[n].base_type().__name__ in TEXT
            or schema[n] == pl.Boolean
            or schema[n].is_integer()
        )
    ]
    faults += [f"stratum {n!r} has the name of a column of ours" for n in by if n in TAKEN]
    faults += [f"a stratum is given twice: {list(by)}"] if len(set(by)) < len(by) else []
    if faults:
        raise InputError(
            "columns that cannot serve as asked",
            faults=faults,
            do="count times in days, months or years from the start of cover; band what is not whole",
        )


def _stratum(cells: pl.DataFrame, name: str) -> pl.Expr:
    kind = cells.schema[name]
    if kind == pl.Boolean:
        yes = pl.when(pl.col(name)).then(pl.lit("yes")).otherwise(pl.lit("no"))
        return yes.cast(pl.Enum(["no", "yes"])).alias(name)
    if kind == pl.String:
        return pl.col(name).cast(pl.Enum(cells[name].unique().sort().to_list()))
    return pl.col(name)
