"""Complementary suppression: what else must be hidden so that totals do not give a small cell back.

The cell suppression problem (Kelly, Golden and Assad 1992; Fischetti and Salazar-González 2001): hide the
least, so that for every small cell the published cells and totals allow every value that "fewer than m"
allows. Small cells are taken one at a time, each an exact integer programme (HiGHS); what comes out is then
audited by linear programmes that know all that a reader knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import block_array, csr_array, hstack

from pricing.errors import InputError

__all__ = ["Cells", "audit", "complementary"]

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
MOST = 2_000  # cells bound together by totals; beyond it all of them are hidden
NEAR = 1e-6


@dataclass(frozen=True)
class Cells:
    """Cells that count something, and the totals that a reader knows.

    Attributes
    ----------
    values : array
        What stands in each cell, zero or more.
    small : array of bool
        Cells that must not be seen.
    totals : sequence of tuple of int
        For each known total, the cells that add up to it; ``~i`` is a cell that is itself the total.
    minimum : float
        A small cell is known to hold less than this, any other hidden cell at least this.
    whole : bool
        Whether the cells hold whole numbers.
    gone : array of bool, optional
        Cells that are not shown for another reason; it is not said which of them are small.
    unseen : array of bool, optional
        Totals that no table shows: whoever adds up a table knows them, if he knows its cells. Taken for
        hidden only where nothing else will do.
    kinds_told : bool
        Whether a reader is told which hidden cells are the small ones.

    Examples
    --------
    >>> cells = Cells(np.array([3.0, 40.0, 50.0]), np.array([True, False, False]), [(0, 1, 2)], 10)
    >>> cells.within()[1].tolist()
    [9.0, inf, inf]
    """

    values: Numbers
    small: Flags
    totals: Sequence[tuple[int, ...]]
    minimum: float
    whole: bool = True
    gone: Flags | None = None
    unseen: Flags | None = None
    kinds_told: bool = True

    @property
    def hidden(self) -> Flags:
        """The cells that are hidden from the start."""
        return self.small.copy() if self.gone is None else self.small | self.gone

    @property
    def secret(self) -> Flags:
        """The cells nobody may work out: the small ones, and the small ones that are gone."""
        if self.gone is None:
            return self.small
        found: Flags = self.small | (self.gone & (self.values > 0) & (self.values < self.minimum))
        return found

    def within(self) -> tuple[Numbers, Numbers]:
        """Give the ends between which a reader knows each cell to lie before he looks at totals.

        A small cell in a small total is known to be the smaller for it.
        """
        return self._ends

    def wanted(self) -> tuple[Numbers, Numbers]:
        """Give the ends that a reader must not narrow: from nought to the minimum where no kind is told."""
        least, most = self._ends
        return least, np.where(np.isinf(most), np.maximum(self.minimum, self.values), most)

    @cached_property
    def _ends(self) -> tuple[Numbers, Numbers]:
        one = 1.0 if self.whole else 0.0
        if not self.kinds_told:
            return np.zeros(len(self.values)), np.full(len(self.values), np.inf)
        least = np.where(self.small, one, float(self.minimum))
        most = np.where(self.small, self.minimum - one, np.inf)
        if self.gone is not None:
            least, most = np.where(self.gone, 0.0, least), np.where(self.gone, np.inf, most)
        least, most = np.minimum(least, self.values), np.maximum(most, self.values)
        for _ in range(4 if self.whole else 0):  # a total of totals of totals
            for total in self._small_totals:
                margin, parts = ~total[0], np.array(total[1:])
                least[margin] = max(least[margin], least[parts].sum())
                others = least[parts].sum() - least[parts]
                most[parts] = np.minimum(most[parts], most[margin] - others)
        return least, most

    @cached_property
    def _small_totals(self) -> list[tuple[int, ...]]:
        """Totals that are small cells themselves, with their parts that are small and not empty."""
        found = []
        for total in self.totals:
            margin = min(total)
            if margin < 0 and self.small[~margin]:
                parts = [i for i in total if i >= 0 and self.values[i] > 0]
                if all(self.small[i] for i in parts):
                    found.append((margin, *parts))
        return found

    @cached_property
    def matrix(self) -> csr_array:
        """A row for each known total, a column for each cell."""
        rows = np.repeat(np.arange(len(self.totals)), [len(t) for t in self.totals])
        named = np.fromiter((i for t in self.totals for i in t), dtype=np.int64)
        signs = np.where(named < 0, -1.0, 1.0)
        shape = (len(self.totals), len(self.values))
        return csr_array((signs, (rows, np.where(named < 0, ~named, named))), shape=shape)


def complementary(cells: Cells) -> tuple[Flags, Flags]:
    """Choose the cells to hide beside the small ones, as few persons in them as will do.

    Parameters
    ----------
    cells : Cells
        Small cells and the totals a reader knows.

    Returns
    -------
    hidden : array of bool
        All hidden cells, the small ones among them. Where nothing short of it protects them, every cell
        that is not empty and is bound to them by totals.
    told : array of bool
        The small cells of which it may be said that they are small; where everything had to be hidden,
        saying it would give them away.

    Raises
    ------
    InputError
        For cells that are negative or not finite, and totals of cells that are not there.

    Examples
    --------
    >>> values = np.array([3.0, 20.0, 90.0, 400.0])
    >>> cells = Cells(values, values < 10, [(0, 1, 2, 3)], 10)
    >>> complementary(cells)[0].tolist()
    [True, True, False, False]
    """
    _require(cells)
    hidden, told = cells.hidden, cells.small.copy()
    if not cells.secret.any() or not cells.totals:
        return hidden, told
    for part in _bound_together(cells):
        own = _part(cells, part)
        hidden[part], safe = _hidden_in(own)
        told[part] &= safe
    return hidden, told


def audit(cells: Cells, hidden: Flags, *, kinds_told: bool = True) -> pl.DataFrame:
    """Work out what a reader can learn of each small cell from all that is shown.

    Parameters
    ----------
    cells : Cells
        As :func:`complementary` took them.
    hidden : array of bool
        Cells that are not shown.
    kinds_told : bool
        Whether the reader is told which hidden cells are the small ones.

    Returns
    -------
    polars.DataFrame
        cell, lower and upper (the ends of what the cell may hold), protected: whether the upper end
        reaches the minimum (its largest small value, where a reader is told that it is small) and the
        lower end the least there can be.

    Examples
    --------
    >>> cells = Cells(np.array([3.0, 20.0, 90.0]), np.array([True, False, False]), [(0, 1, 2)], 10)
    >>> audit(cells, np.array([True, False, False])).row(0)
    (0, 3.0, 3.0, False)
    >>> audit(cells, np.array([True, True, False])).row(0)
    (0, 1.0, 9.0, True)
    """
    cells = cells if kinds_told else replace(cells, kinds_told=False)
    places = np.flatnonzero(hidden)
    (least, most), (low, high) = cells.within(), cells.wanted()
    matrix = cells.matrix[:, places]
    sums = matrix @ cells.values[places]
    bounds = np.column_stack([least[places], most[places]])
    rows = []
    for place in np.flatnonzero(cells.secret):
        aim = (places == place).astype(np.float64)
        ends = []
        for sign in (1.0, -1.0):
            found = linprog(sign * aim, A_eq=matrix, b_eq=sums, bounds=bounds, method="highs")
            ends.append(sign * found.fun if found.status == 0 else sign * -np.inf)
        lower, upper = float(ends[0]), float(ends[1])
        safe = bool(upper >= high[place] - NEAR and lower <= low[place] + NEAR)
        rows.append((int(place), round(lower, 6), round(upper, 6), safe))
    schema = {"cell": pl.Int64, "lower": pl.Float64, "upper": pl.Float64, "protected": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _require(cells: Cells) -> None:
    values = cells.values
    faults = [f"cell {i} holds {values[i]}" for i in np.flatnonzero(~(values >= 0))[:5]]
    faults += [f"cell {i} is infinite" for i in np.flatnonzero(np.isinf(values))[:5]]
    beyond = {i for total in cells.totals for i in total if not -len(values) <= i < len(values)}
    faults += [f"a total names cell {i} of {len(values)}" for i in sorted(beyond)[:5]]
    if len(cells.small) != len(values):
        faults.append(f"{len(cells.small)} flags for {len(values)} cells")
    if faults:
        raise InputError("cells that cannot be protected", faults=faults)


def _bound_together(cells: Cells) -> list[npt.NDArray[np.int64]]:
    """Cells bound together by totals that are not empty, where one of them is small."""
    from scipy.sparse.csgraph import connected_components

    matrix = abs(cells.matrix)
    graph = block_array([[None, matrix.T], [matrix, None]])  # cells, then their totals
    parts, of = connected_components(graph, directed=False)
    of = of[: len(cells.values)]
    wanted = np.unique(of[cells.secret])
    return [np.flatnonzero((of == part) & (cells.values > 0)) for part in wanted if parts]


def _part(cells: Cells, places: npt.NDArray[np.int64]) -> Cells:
    at = {int(place): i for i, place in enumerate(places)}
    totals = [
        tuple(at[i] if i >= 0 else ~at[~i] for i in total if (i if i >= 0 else ~i) in at)
        for total in cells.totals
    ]
    own = tuple(dict.fromkeys(t for t in totals if t))
    gone, unseen = (f if f is None else f[places] for f in (cells.gone, cells.unseen))
    return replace(
        cells,
        values=cells.values[places],
        small=cells.small[places],
        totals=own,
        gone=gone,
        unseen=unseen,
    )


def _hidden_in(cells: Cells) -> tuple[Flags, bool]:
    """The cells to hide among those that are bound together, and whether the small ones may be told."""
    everything = np.ones(len(cells.values), dtype=bool)
    if len(everything) > MOST:
        return everything, False
    for tried in (cells, replace(cells, kinds_told=False)):
        found = _enough(tried)
        if found is not None:
            return found, tried.kinds_told
    return everything, False


def _enough(cells: Cells) -> Flags | None:
    """The cells to hide so that every small one is protected; None where nothing will do."""
    hidden = cells.hidden
    for place in np.lexsort((np.arange(len(hidden)), cells.values)):
        if cells.secret[place] and not _protected(cells, hidden, place):
            found = _more(cells, hidden, int(place))
            if found is None:
                return None
            hidden = hidden | found
    safe = _safe_in_line(cells, hidden) if _in_line(cells) else audit(cells, hidden)["protected"]
    return hidden if safe.all() else None


def _in_line(cells: Cells) -> bool:
    """Whether one known total is all that binds the cells."""
    return len(cells.totals) == 1 and min(cells.totals[0]) >= 0


def _safe_in_line(cells: Cells, hidden: Flags) -> Flags:
    """Of each small cell of one known total: what it may hold is the total less what the others may."""
    line = np.array(cells.totals[0])
    line = line[hidden[line]]
    least, most = (ends[line] for ends in cells.within())
    low, high = (ends[line] for ends in cells.wanted())
    total = float(cells.values[line].sum())
    upper = np.minimum(most, total - (least.sum() - least))
    held = np.where(np.isinf(most), 0.0, most)
    free = np.isinf(most).sum() - np.isinf(most)
    lower = np.maximum(least, np.where(free > 0, -np.inf, total - (held.sum() - held)))
    safe = (upper >= high - NEAR) & (lower <= low + NEAR)
    return np.asarray(safe[cells.secret[line]])


def _protected(cells: Cells, hidden: Flags, place: int) -> bool:
    if _in_line(cells) and place in cells.totals[0]:
        safe = _safe_in_line(cells, hidden)
        secret = [i for i in cells.totals[0] if cells.secret[i]]
        return bool(safe[secret.index(place)])
    least, most = cells.within()
    low, high = cells.wanted()
    places = np.flatnonzero(hidden)
    matrix = cells.matrix[:, places]
    sums = matrix @ cells.values[places]
    bounds = np.column_stack([least[places], most[places]])
    for end in (low[place], high[place]):  # is there a table that is shown alike and has this end?
        bounds[places == place] = end
        found = linprog(
            np.zeros(len(places)), A_eq=matrix, b_eq=sums, bounds=bounds, method="highs"
        )
        if found.status != 0:
            return False
    return True


def _more(cells: Cells, hidden: Flags, place: int) -> Flags | None:
    """The cells with the fewest persons that protect one more small cell; None where none do."""
    n = len(hidden)
    (least, most), (lowest, highest) = cells.within(), cells.wanted()
    down = np.minimum(least - cells.values, 0.0)
    far = float(4 * cells.minimum)
    up = np.minimum(np.maximum(most - cells.values, 0.0), far)
    matrix = cells.matrix
    none = csr_array((matrix.shape[0], n))
    flags = csr_array((np.ones(n), (np.arange(n), np.arange(n))), shape=(n, n))
    empty = csr_array((n, n))
    # variables: a deviation down to the least, one up to the most, and whether a cell is hidden
    rules = [LinearConstraint(hstack([matrix, none, none]), 0, 0),
             LinearConstraint(hstack([none, matrix, none]), 0, 0)]  # fmt: skip
    for k in range(2):
        moves = [empty, empty]
        moves[k] = flags
        below, above = flags * down[None, :], flags * up[None, :]
        rules += [
            LinearConstraint(hstack([*moves, -below]), 0, np.inf),
            LinearConstraint(hstack([*moves, -above]), -np.inf, 0),
        ]
    low = np.concatenate([np.maximum(down, -far), np.maximum(down, -far), hidden.astype(float)])
    high = np.concatenate([up, up, np.ones(n)])
    low[place] = high[place] = lowest[place] - cells.values[place]
    low[n + place] = high[n + place] = highest[place] - cells.values[place]
    price = cells.values + 1.0
    if cells.unseen is not None:
        price = price + np.where(cells.unseen, cells.values.max(), 0.0)
    cost = np.concatenate([np.zeros(2 * n), np.where(hidden, 0.0, price)])
    whole = np.concatenate([np.zeros(2 * n), np.ones(n)])
    found = milp(cost, constraints=rules, bounds=Bounds(low, high), integrality=whole)
    return None if found.x is None else np.asarray(found.x[2 * n :] > 0.5)
