"""Every sum that binds the cells of a report: lines of cross tables, margins in other tables, the whole.

A margin is a cell like any other. A cross table that leaves tells its margins, so a margin of fewer than the
minimum needs complements of its own, whether a one-way table of the report shows it or not
(Willenborg and de Waal 2001, linked tables; Hundepool et al. 2012, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from pricing.privacy.complement import Cells, complementary
from pricing.privacy.counted import ADDS_NOT, keys_of

__all__ = ["Counted", "counted_in", "hidden_among", "row_keys"]

WHOLE_BOOK = ("total", "all", "whole book", "everybody")
ALIKE = 1e-7  # relative: sums of the same rows in another order
DEEP = (
    4  # keys of a table of which every margin is known; of more only the widest and the narrowest
)

Place = tuple[str, str]  # result, frame
Ident = tuple[Any, ...]  # column, keys, figure, and its place where the keys do not tell it apart
Keys = frozenset[tuple[str, str]]


@dataclass
class Counted:
    """A column of a frame that counts persons or what happened to them.

    Attributes
    ----------
    place : tuple of str
        Result and frame.
    column : str
        The column that counts.
    idents : list
        What each row is, the same in every table that shows it; None where it is empty.
    adds : bool
        Whether its rows add up to their margins.
    """

    place: Place
    column: str
    idents: list[Ident | None]
    adds: bool


@dataclass
class _Bound:
    """Cells of one column in all tables, margins that no table shows among them, and their sums."""

    idents: list[Ident]
    minimum: int
    at: dict[Ident, int] = field(default_factory=dict)
    known: dict[Keys, list[int]] = field(default_factory=dict)
    sums: dict[tuple[int, ...], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for k, ident in enumerate(self.idents):
            self.at[ident] = k
            self.known.setdefault(ident[1], []).append(k)

    def margin(self, column: str, of: Keys, total: float, parts: tuple[int, ...]) -> int:
        """The cell that is this total: one that a table shows, else one of its own."""
        own = self.known.setdefault(of, [])
        for k in own:
            if k not in parts and _alike(self.idents[k][2], total):
                return k
        own.append(len(self.idents))
        self.idents.append((column, of, total))
        return len(self.idents) - 1


def counted_in(place: Place, frame: pl.DataFrame, column: str) -> Counted | None:
    """Tell what a column of a frame counts, cell by cell; the same cell in two tables is one.

    Examples
    --------
    >>> frame = pl.DataFrame({"sex": ["f", "m"], "exposure": [4.0, 90.0]})
    >>> [ident[2] for ident in counted_in(("one_way", ""), frame, "exposure").idents]
    [4.0, 90.0]
    """
    if not column or frame.is_empty():
        return None
    keys = row_keys(frame, [n for n in keys_of(frame) if n != column])
    values = frame[column].cast(pl.Float64).fill_nan(None).to_list()
    seen: dict[Ident, int] = {}
    idents: list[Ident | None] = []
    for own, value in zip(keys, values, strict=True):
        if value is None or value < 0:
            idents.append(None)
            continue
        ident: Ident = (column, frozenset(own), float(f"{value:.9g}"))
        seen[ident] = seen.get(ident, 0) + 1
        idents.append(ident if own and seen[ident] == 1 else (*ident, *place, len(idents)))
    return Counted(place, column, idents, column not in ADDS_NOT)


def hidden_among(
    counted: list[Counted], minimum: int, gone: set[Ident] | None = None
) -> tuple[set[Ident], set[Ident]]:
    """Choose the cells to hide, and those among them that may be called small.

    Parameters
    ----------
    counted : list of Counted
        Of every table of the report.
    minimum : int
        The fewest a shown cell may count.
    gone : set, optional
        Cells that are hidden for another reason.

    Returns
    -------
    hidden, told : set
        What cells are, as in ``idents``.

    Examples
    --------
    >>> frame = pl.DataFrame({"sex": ["f", "m", "x"], "members": [4, 90, 30]})
    >>> hidden, told = hidden_among([counted_in(("one_way", ""), frame, "members")], 10)
    >>> sorted(ident[2] for ident in hidden), [ident[2] for ident in told]
    ([4.0, 30.0], [4.0])
    """
    hidden: set[Ident] = set()
    told: set[Ident] = set()
    for column in dict.fromkeys(c.column for c in counted):
        own = [c for c in counted if c.column == column]
        _same_figure(own)
        idents = list(dict.fromkeys(i for c in own for i in c.idents if i is not None))
        values = np.array([ident[2] for ident in idents], dtype=np.float64)
        out = np.array([ident in (gone or ()) for ident in idents], dtype=bool)
        if not ((values > 0) & (values < minimum)).any():
            hidden |= {idents[k] for k in np.flatnonzero(out)}
            continue
        bound = _Bound(idents, minimum)
        shown = len(idents)
        for one in own:
            if one.adds:
                _bind(bound, one)
        values = np.array([ident[2] for ident in bound.idents], dtype=np.float64)
        unseen = np.arange(len(values)) >= shown
        out = np.concatenate([out, np.zeros(unseen.sum(), dtype=bool)])
        small = (values > 0) & (values < minimum) & ~out
        whole = bool((values == np.round(values)).all())
        cells = Cells(values, small, list(bound.sums), float(minimum), whole, out, unseen)
        found, safe = complementary(cells)
        hidden |= {idents[k] for k in np.flatnonzero(found & ~unseen)}
        told |= {idents[k] for k in np.flatnonzero(safe & ~unseen)}
    return hidden, told


def row_keys(frame: pl.DataFrame, names: list[str]) -> list[list[tuple[str, str]]]:
    """Give what tells the rows of a frame apart, as names and levels; no level where it is of the whole.

    Examples
    --------
    >>> row_keys(pl.DataFrame({"tier": ["a", "total"]}), ["tier"])
    [[('tier', 'a')], []]
    >>> row_keys(pl.DataFrame({"term": ["sex:tier"], "level": ["f × a"]}), [])
    [[('sex', 'f'), ('tier', 'a')]]
    """
    for factor in ("term", "factor"):
        if {factor, "level"} <= set(frame.columns):
            rows = frame.select(factor, "level").iter_rows()
            return [list(_crossed(str(t), str(v))) for t, v in rows]
    return [
        [(n, str(v)) for n, v in zip(names, row, strict=True) if str(v) not in WHOLE_BOOK]
        for row in (frame.select(names).iter_rows() if names else ((),) * frame.height)
    ]


def _crossed(term: str, level: str) -> Iterator[tuple[str, str]]:
    """A level of a term, factor by factor where the term crosses several."""
    terms, levels = term.split(":"), level.split(" × ")
    if len(terms) == len(levels):
        yield from ((t, v) for t, v in zip(terms, levels, strict=True) if v not in WHOLE_BOOK)
    else:
        yield term, level


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= ALIKE * max(abs(one), abs(other))


def _same_figure(counted: list[Counted]) -> None:
    """Give a cell one figure in all tables, though it was added up in another order."""
    known: dict[Keys, list[float]] = {}
    for one in counted:
        for k, ident in enumerate(one.idents):
            if ident is None or len(ident) > 3:
                continue
            own = known.setdefault(ident[1], [])
            same = next((v for v in own if v != ident[2] and _alike(v, ident[2])), None)
            if same is None:
                own.append(ident[2])
            else:
                one.idents[k] = (ident[0], ident[1], same)


def _bind(bound: _Bound, counted: Counted) -> None:
    """Add the sums of a table: every margin of every set of its keys, and the whole."""
    tables: dict[frozenset[str], list[Ident]] = {}
    for ident in counted.idents:
        if ident is not None:
            tables.setdefault(frozenset(name for name, _ in ident[1]), []).append(ident)
    for names, rows in tables.items():
        sizes = range(len(names)) if len(names) <= DEEP else (0, 1, len(names) - 1)
        for size in sizes:
            for some in combinations(sorted(names), size):
                _bind_margins(bound, counted.column, frozenset(some), rows)


def _bind_margins(bound: _Bound, column: str, names: frozenset[str], rows: list[Ident]) -> None:
    lines: dict[Keys, list[Ident]] = {}
    for ident in rows:
        of = frozenset(pair for pair in ident[1] if pair[0] in names)
        lines.setdefault(of, []).append(ident)
    for of, line in lines.items():
        total = sum(ident[2] for ident in line)
        parts = tuple(bound.at[ident] for ident in line)
        if of or total < bound.minimum:
            if total > 0:
                bound.sums[(~bound.margin(column, of, total, parts), *parts)] = None
        else:  # the whole book is known
            bound.sums[parts] = None
