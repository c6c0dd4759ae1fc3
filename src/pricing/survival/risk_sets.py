"""Risk sets: rows of time in cover as patterns of covariates at the times of leaving, in two matrices.

With patterns p, strata s and the times τ of leaving within them, all that the partial likelihood asks of
the rows are the weights that leave a risk set at each time (exits less entries; at risk just before τ is
their sum from τ on) and those of the events. Rows are grouped to them once. A row is at risk on (entry,
exit], as in :mod:`pricing.survival.lives`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sps

from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Floats, design, variables
from pricing.experience.cells import Experience
from pricing.experience.domain import listed, require_columns
from pricing.experience.engines import AnyFrame
from pricing.experience.shards import Shards
from pricing.files import fingerprint
from pricing.result.shape import Basis
from pricing.survival.follow_up import one_time

__all__ = ["RiskSets", "Spelling"]

Whole = npt.NDArray[np.int64]
TEXT = ("String", "Enum", "Categorical")
OURS = ("time", "stratum", "rows", "exposure", "claims")
CURVE = (  # what a baseline and a prediction have beside the strata
    *("events", "hazard", "hazard_variance", "drift", "survival", "std_error", "lower", "upper"),
    *("end", "_row"),
)
MANY_STRATA = 2_000
MOST_NUMBERS = 400_000_000  # of patterns × coefficients: 3 GB
DENSE = 0.25  # share of a matrix that is filled, from which on it is kept in full


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """Which columns say what.

    Attributes
    ----------
    exit, event : str
        Time of leaving, and whether or by what cause.
    entry : str, optional
        Time from which a row is observed; 0 where left out.
    weight : str, optional
        Case weight, above 0 (R's ``weights``).
    lives : str, optional
        How many lives a row stands for, whole: as if it were written so many times.
    strata : tuple of str
        Each has a baseline of its own.
    cluster : str, optional
        Whose rows belong together.
    cause : str, optional
        The cause of interest; the others are censored.
    """

    exit: str = "exit"
    event: str = "event"
    entry: str | None = None
    weight: str | None = None
    lives: str | None = None
    strata: tuple[str, ...] = ()
    cluster: str | None = None
    cause: str | None = None

    @property
    def numbers(self) -> list[str]:
        """The columns that hold numbers."""
        return [n for n in (self.exit, self.entry, self.weight, self.lives) if n is not None]


@dataclass(frozen=True, kw_only=True)
class RiskSets:
    """Patterns of covariates and what leaves the risk sets at every time of leaving.

    Attributes
    ----------
    columns : tuple of Column
        The coefficients.
    x : array
        Patterns × coefficients.
    base, levels : mapping
        As of :class:`pricing.estimate.design.Design`.
    patterns : polars.DataFrame
        Keys, exposure (weighted time at risk) and claims (weighted events), a row per row of ``x``.
    strata : polars.DataFrame
        The strata in order.
    times : polars.DataFrame
        stratum (place in ``strata``), time, deaths (lives), weight (of the deaths).
    leaving, dying : matrix
        Times × patterns: weights of exits less those of entries, and of events.
    starts : array
        The first row of each stratum in ``times`` that has any.
    ends : array
        The last time of observation in each stratum.
    left : polars.DataFrame
        time, left: share of all lives that left before it, Kaplan–Meier over every stratum together.
    cells : polars.DataFrame
        p, first and last (the rows of ``times`` at which it is at risk, the last one excluded), late
        (entered after the first), d (died), g (cluster), n (lives), w and ww (sums over lives of the
        weight and of its square).
    basis : Basis
        Rows, exposure, claims, fingerprint.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 2, 3], "event": [1, 1, 0, 1], "sex": ["f", "m", "f", "m"]})
    >>> sets = RiskSets.collect(rows, "sex", Spelling())
    >>> sets.times["time"].to_list(), np.asarray(sets.at_risk(sets.leaving @ np.ones(2))).tolist()
    ([1.0, 2.0, 3.0], [4.0, 3.0, 1.0])
    """

    columns: tuple[Column, ...]
    x: Floats
    base: Mapping[str, str]
    levels: Mapping[str, tuple[str, ...]]
    patterns: pl.DataFrame
    strata: pl.DataFrame
    times: pl.DataFrame
    leaving: Any
    dying: Any
    starts: Whole
    ends: Floats
    left: pl.DataFrame
    cells: pl.DataFrame
    basis: Basis

    @classmethod
    def collect(
        cls,
        frame: AnyFrame,
        formula: str,
        spelling: Spelling,
        *,
        base: Mapping[str, str] | None = None,
        basis: Basis | None = None,
    ) -> RiskSets:
        """Group rows to patterns, strata and times, once, where they are.

        Raises
        ------
        InputError
            For columns that are missing or cannot serve; times, weights, numbers of lives, events,
            keys, strata or clusters out of their domain, all at once with counts; no events; and as
            :func:`pricing.estimate.design.design`.
        """
        keys = list(variables(formula))
        if not keys:
            raise InputError("the formula names no column", where=formula, do="write age + sex")
        s = spelling
        extra = [*listed(s.strata), *([s.cluster] if s.cluster else [])]
        columns = list(dict.fromkeys([*keys, *extra, s.event, *s.numbers]))
        shards = Shards.of(frame, columns)
        _require_kinds(shards.schema, keys, s)
        named = {f"k{i}": n for i, n in enumerate(keys)} | {
            f"s{i}": n for i, n in enumerate(s.strata)
        }
        job = partial(_cells, keys=named, s=s)
        groups = [*named, "a", "t", "c", *(["g"] if s.cluster else [])]
        cells = shards.gather(job, partial(_added, keys=groups))
        cells = one_time(cells, ["a", "t"], groups)
        cells = _known(cells, named, s, shards.schema[s.event])
        strata = cells.select(f"s{i}" for i in range(len(s.strata))).unique().sort(pl.all())
        cells = _numbered(cells, strata, "s")
        own = [f"k{i}" for i in range(len(keys))]
        sums = {
            "rows": pl.col("rows").sum(),
            "exposure": (pl.col("w") * (pl.col("t") - pl.col("a"))).sum(),
            "claims": (pl.col("w") * pl.col("d")).sum(),
        }
        patterns = cells.group_by(own).agg(**sums).sort(own)
        cells = _numbered(cells, patterns.select(own), "p")
        seen = _experience(patterns.rename({k: named[k] for k in own}), keys, formula, basis)
        matrix = design(formula, seen, base=base)
        size = patterns.height * len(matrix.columns)
        if size > MOST_NUMBERS:
            raise InputError(
                f"{patterns.height:,} patterns of covariates × {len(matrix.columns):,} coefficients are "
                f"more than the {MOST_NUMBERS:,} numbers that a fit holds",
                do="band covariates or take whole years, so that lives share patterns",
            )
        x = np.asarray(matrix.matrix.toarray(), dtype=np.float64)[:, 1:]
        ends = cells.group_by("s").agg(pl.col("t").max()).sort("s")["t"].to_numpy()
        left = _left(cells)
        times, starts, cells = _placed(cells, max(strata.height, 1))
        shape = (times.height, patterns.height)
        leaving, dying = _matrices(cells, shape)
        strata = strata.rename({f"s{i}": n for i, n in enumerate(s.strata)})
        parts = [times["stratum"].to_numpy(), times["time"].round_sig_figs(12).to_numpy()]
        # sums of fractions differ in their last bits by the order of rows: seen along one direction
        along = np.cos(np.arange(1.0, patterns.height + 1))
        for sums in (leaving @ along, dying @ along):
            most = max(float(np.abs(sums).max()), 1e-300)
            parts.append(np.round(np.asarray(sums) / most, 6) + 0.0)
        told = fingerprint(
            seen.basis.fingerprint, *(np.ascontiguousarray(p).tobytes() for p in parts)
        )
        return cls(
            columns=matrix.columns[1:],
            x=x,
            base=matrix.base,
            levels=matrix.levels,
            patterns=seen.cells,
            strata=strata,
            times=times,
            leaving=leaving,
            dying=dying,
            starts=starts,
            ends=ends,
            left=left,
            cells=cells,
            basis=replace(seen.basis, fingerprint=told),
        )

    def at_risk(self, gone: Floats) -> Floats:
        """Sum what leaves from each time on, stratum by stratum."""
        return self._running(gone[::-1], (len(gone) - self.starts)[::-1])[::-1]

    def until(self, at: Floats) -> Floats:
        """Sum what is counted at each time up to it, stratum by stratum."""
        return self._running(at, np.append(self.starts[1:], len(at)))

    def _running(self, values: Floats, ends: Whole) -> Floats:
        """Add up within stretches that end at ``ends``."""
        if len(ends) > MANY_STRATA:  # matched sets: all at once, less what came before
            found = np.cumsum(values, axis=0)
            before = np.concatenate([np.zeros_like(found[:1]), found[ends[:-1] - 1]])
            return np.asarray(found - np.repeat(before, np.diff(ends, prepend=0), axis=0))
        found = np.empty_like(values)
        for first, last in zip(np.append(0, ends[:-1]), ends, strict=True):
            np.cumsum(values[first:last], axis=0, out=found[first:last])
        return found


def _cells(rows: pl.LazyFrame, *, keys: dict[str, str], s: Spelling) -> pl.DataFrame:
    """Group the rows; what is wrong with a row is seen in its cell."""
    schema = rows.collect_schema()
    w = pl.col(s.weight).cast(pl.Float64) if s.weight else pl.lit(1.0)
    n = pl.col(s.lives).cast(pl.Float64) if s.lives else pl.lit(1.0)
    given = {k: _plain(schema, name) for k, name in keys.items()}
    given |= {
        "a": pl.col(s.entry).cast(pl.Float64) if s.entry else pl.lit(0.0),
        "t": pl.col(s.exit).cast(pl.Float64),
        "c": _plain(schema, s.event),
    }
    given |= {"g": _plain(schema, s.cluster)} if s.cluster else {}
    groups = list(given)
    if not (s.weight or s.lives):
        many = pl.len().cast(pl.Float64)
        sums = {"n": many, "w": many, "ww": many, "unweighed": pl.lit(0), "uncounted": pl.lit(0)}
    else:
        given |= {"w_": w, "n_": n}
        one, number = pl.col("w_"), pl.col("n_")
        sums = {
            "n": number.sum(),
            "w": (number * one).sum(),
            "ww": (number * one * one).sum(),
            "unweighed": (~((one > 0) & one.is_finite())).fill_null(True).sum().cast(pl.Int64),
            "uncounted": (~((number >= 0) & number.is_finite() & (number == number.floor())))
            .fill_null(True)
            .sum()
            .cast(pl.Int64),
        }
    return (
        rows.select(**given)
        .group_by(groups)
        .agg(rows=pl.len().cast(pl.Int64), **sums)
        .collect(engine="streaming")
    )


def _plain(schema: pl.Schema, name: str) -> pl.Expr:
    kind = schema[name]
    if kind.base_type().__name__ == "Categorical":
        return pl.col(name).cast(pl.String)
    if kind.is_decimal():
        return pl.col(name).cast(pl.Float64)
    return pl.col(name) + 0.0 if kind.is_float() else pl.col(name)  # one zero, not two


def _added(cells: pl.DataFrame, *, keys: list[str]) -> pl.DataFrame:
    return cells.group_by(keys).agg(pl.exclude(keys).sum())


def _known(
    cells: pl.DataFrame, named: Mapping[str, str], s: Spelling, kind: pl.DataType
) -> pl.DataFrame:
    """Refuse what is out of its domain; say who died of the cause."""
    rows = int(cells["rows"].sum())
    if not rows:
        raise InputError("there are no rows", do="check the source and the filters")
    schema, c = cells.schema, pl.col("c")
    text = kind.base_type().__name__ in TEXT

    def bad(name: str) -> pl.Expr:
        one = pl.col(name)
        return ~one.is_finite().fill_null(False) if schema[name].is_float() else one.is_null()

    def count(of: pl.Expr) -> int:
        return int(cells.filter(of)["rows"].sum())

    asked = [(f"{n!r} is null, NaN or infinite", count(bad(k))) for k, n in named.items()]
    asked += [(f"{s.exit!r} is null, NaN or infinite", count(bad("t")))]
    if s.entry:
        asked += [
            (f"{s.entry!r} is null, NaN or infinite", count(bad("a"))),
            (f"{s.entry!r} is below 0", count(pl.col("a") < 0)),
            (f"{s.exit!r} is not after {s.entry!r}", count(pl.col("t") <= pl.col("a"))),
        ]
    else:
        asked += [(f"{s.exit!r} is not above 0", count(pl.col("t") <= 0))]
    if not text:
        asked += [(f"{s.event!r} is null", count(c.is_null()))]
        if kind != pl.Boolean:
            asked += [(f"{s.event!r} is below 0", count(c < 0))]
    if s.cluster:
        asked += [(f"{s.cluster!r} is null", count(pl.col("g").is_null()))]
    asked += [
        (f"{s.weight!r} is null, not finite or not above 0", int(cells["unweighed"].sum())),
        (f"{s.lives!r} is null, negative or not whole", int(cells["uncounted"].sum())),
    ]
    faults = [f"{what} in {many:,} of {rows:,} rows" for what, many in asked if many]
    if faults:
        raise InputError(
            "rows that cannot be followed",
            faults=faults,
            do="correct them or leave such rows out, and say so",
        )
    if text:
        died = c.is_not_null() if s.cause is None else c.cast(pl.String) == s.cause
    else:
        died = (
            c.cast(pl.Int64) > 0 if s.cause is None else c.cast(pl.Int64).cast(pl.String) == s.cause
        )
    cells = cells.filter(pl.col("n") > 0).with_columns(d=died.fill_null(False))
    if not cells["d"].any():
        there = [str(v) for v in cells["c"].unique().drop_nulls().to_list()]
        by = "" if s.cause is None else f" by {s.cause!r}{nearest(s.cause, there)}"
        raise InputError(f"nobody leaves{by}", do="check the event column and the cause")
    yes = pl.Enum(["no", "yes"])
    return cells.with_columns(
        *(
            pl.when(pl.col(k)).then(pl.lit("yes")).otherwise(pl.lit("no")).cast(yes).alias(k)
            if schema[k] == pl.Boolean
            else pl.col(k).cast(pl.Enum(cells[k].unique().sort().to_list()))
            for k in named
            if schema[k] in (pl.Boolean, pl.String)
        )
    )


def _require_kinds(schema: pl.Schema, keys: Sequence[str], s: Spelling) -> None:
    other = [*s.strata, s.event, *([s.cluster] if s.cluster else [])]
    require_columns([*keys, *other, *s.numbers], schema.names())
    if s.cause is not None and not isinstance(s.cause, str):
        raise InputError(f"the cause is text, got {s.cause!r}", do=f"write it as '{s.cause}'")
    faults = [
        f"{n!r} is {schema[n]}, not a number" for n in s.numbers if not schema[n].is_numeric()
    ]

    def plain(name: str, numbers: bool) -> bool:
        kind = schema[name]
        whole = kind.is_integer() or (numbers and kind.is_numeric())
        return kind.base_type().__name__ in TEXT or kind == pl.Boolean or whole

    faults += [
        f"{n!r} is {schema[n]}: neither text nor a number" for n in keys if not plain(n, True)
    ]
    faults += [
        f"{n!r} is {schema[n]}: neither yes or no, a whole number, nor text"
        for n in other
        if not plain(n, False)
    ]
    times = [n for n in (s.exit, s.event, s.entry, s.weight, s.lives) if n in keys]
    faults += [f"{n!r} is in the formula and says something else already" for n in times]
    faults += [f"{n!r} is both a stratum and in the formula" for n in s.strata if n in keys]
    faults += [f"{n!r} has the name of a column of ours" for n in keys if n in OURS]
    faults += [f"{n!r} has the name of a column of ours" for n in s.strata if n in OURS + CURVE]
    faults += ["a stratum is given twice"] if len(set(s.strata)) < len(s.strata) else []
    if faults:
        raise InputError(
            "columns that cannot serve as asked", faults=faults, do="rename or cast them"
        )


def _experience(
    patterns: pl.DataFrame, keys: list[str], formula: str, basis: Basis | None
) -> Experience:
    seen = Experience.collect(patterns, keys, basis=basis)
    if seen.cells.height != patterns.height:  # the cells are in the order of the patterns
        raise InputError("covariates that differ by less than a number can say", where=formula)
    many, rows = seen.cells, int(patterns["rows"].sum())
    return replace(seen, cells=many, basis=replace(seen.basis, rows=rows))


def _numbered(cells: pl.DataFrame, known: pl.DataFrame, name: str) -> pl.DataFrame:
    """Put the row of ``known`` a cell belongs to in the place of its columns."""
    keys = known.columns
    if not keys:
        return cells.with_columns(pl.lit(0, pl.Int64).alias(name))
    places = known.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(name))
    return cells.join(places, on=keys, how="left").drop(keys)


def _placed(cells: pl.DataFrame, strata: int) -> tuple[pl.DataFrame, Whole, pl.DataFrame]:
    """Find the times of leaving, and between which of them a cell is at risk."""
    times = (
        cells.filter("d")
        .group_by("s", "t")
        .agg(deaths=pl.col("n").sum(), weight=pl.col("w").sum())
        .sort("s", "t")
        .rename({"s": "stratum", "t": "time"})
    )
    every = np.unique(times["time"].to_numpy())
    wide = len(every) + 1
    stratum, s = (f.to_numpy() for f in (times["stratum"], cells["s"]))
    keys = stratum * wide + np.searchsorted(every, times["time"].to_numpy()) + 1
    first, last = (
        np.searchsorted(
            keys, s * wide + np.searchsorted(every, cells[n].to_numpy(), "right"), "right"
        )
        for n in ("a", "t")
    )
    starts = np.searchsorted(stratum, np.arange(strata))
    used = starts < np.append(starts[1:], times.height)  # a stratum without events says nothing
    placed = cells.select(
        "p",
        pl.Series("first", first, dtype=pl.Int64),
        pl.Series("last", last, dtype=pl.Int64),
        pl.Series("late", first > starts[s]),
        "d",
        *(["g"] if "g" in cells.columns else []),
        "n",
        "w",
        "ww",
    ).filter(pl.col("first") < pl.col("last"))
    return times, starts[used].astype(np.int64), placed.sort("p", "first", "last", "d")


def _left(cells: pl.DataFrame) -> pl.DataFrame:
    """Share that left before every time of leaving, all strata together, by number of lives."""
    died = pl.col("n").filter("d").sum()
    exits = cells.group_by("t").agg(pl.col("n").sum(), died=died).rename({"t": "time"})
    entries = cells.group_by("a").agg(m=pl.col("n").sum()).rename({"a": "time"})
    every = exits.join(entries, on="time", how="full", coalesce=True).sort("time").fill_null(0.0)
    risk = pl.col("n").cum_sum(reverse=True) - pl.col("m").cum_sum(reverse=True)
    every = every.with_columns(risk=risk).filter(pl.col("died") > 0)
    stay = (1 - pl.col("died") / pl.col("risk")).cum_prod()
    return every.select("time", left=1 - stay.shift(1, fill_value=1.0))


def _matrices(cells: pl.DataFrame, shape: tuple[int, int]) -> tuple[Any, Any]:
    p, first, last, w = (cells[n].to_numpy() for n in ("p", "first", "last", "w"))
    died, late = cells["d"].to_numpy(), cells["late"].to_numpy()
    dying = sps.csr_matrix((w[died], (last[died] - 1, p[died])), shape=shape)
    # who is there before the first time of the stratum is there from it on: nothing to take off
    at = np.concatenate([last - 1, first[late] - 1])
    gone = sps.csr_matrix((np.append(w, -w[late]), (at, np.append(p, p[late]))), shape=shape)
    return _kept(gone), _kept(dying)


def _kept(matrix: Any) -> Any:
    """Keep in full what is filled enough for plain products to be faster."""
    return matrix.toarray() if matrix.nnz > DENSE * matrix.shape[0] * matrix.shape[1] else matrix
