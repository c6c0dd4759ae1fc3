"""Influence: what each person adds to an estimate that builds up over time, and the sums of its products.

A person's path on a grid of times is what it jumps by itself, less a drift shared by all at risk: Φ_i(t) =
Σ_{own jumps up to t} a − Σ_{times at risk up to t} b. For the variance Σ_i Φ_i(t)² of every t the paths are
never written out: each time adds Σ_at risk (2Φ_i(t−)ΔΦ_i + ΔΦ_i²), and sums of Φ_i(t−) over those at risk
are differences of running sums, so that all times cost one pass over persons and jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["Grid"]

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Times, the persons at risk at each, and what happens to whom.

    Attributes
    ----------
    times : array
        In order, those of an event or a terminal event.
    enters, leaves : array
        Of every person: at risk at the times numbered from ``enters`` to before ``leaves``.
    row, at : array
        Of every jump: the person's number and the time's, sorted by person and time, each pair once.
    size, dies : array
        Of every jump: the events (or their amount), and whether it is terminal, 1 or 0.
    entry, exit : array
        Of every person, in time.

    Examples
    --------
    >>> grid = Grid.of(np.zeros(2), np.array([3.0, 2.0]), np.array([False, True]),
    ...                np.array([0, 0]), np.array([1.0, 3.0]), np.ones(2), terminal=False)
    >>> grid.times.tolist(), grid.at_risk.tolist(), grid.events.tolist()
    ([1.0, 3.0], [2.0, 1.0], [1.0, 1.0])
    """

    times: Floats
    enters: Whole
    leaves: Whole
    row: Whole
    at: Whole
    size: Floats
    dies: Floats
    entry: Floats
    exit: Floats

    @classmethod
    def of(
        cls,
        entry: Floats,
        exit: Floats,
        died: npt.NDArray[np.bool_],
        row: Whole,
        time: Floats,
        size: Floats,
        *,
        terminal: bool,
    ) -> Grid:
        """Place persons (entry, exit, died) and events (row, time, size, sorted) on the times that count."""
        gone = np.flatnonzero(died) if terminal else np.empty(0, np.int64)
        times = np.unique(np.concatenate([time, exit[gone]]))
        enters = np.searchsorted(times, entry, side="right")
        leaves = np.searchsorted(times, exit, side="right")
        dies = np.zeros(len(time))
        if len(gone):
            jumps = pl.concat([
                pl.DataFrame({"row": row.astype(np.int64), "time": time, "size": size, "dies": dies}),
                pl.DataFrame({"row": gone.astype(np.int64), "time": exit[gone],
                              "size": np.zeros(len(gone)), "dies": np.ones(len(gone))}),
            ]).group_by("row", "time").agg(pl.col("size", "dies").sum()).sort("row", "time")  # fmt: skip
            row, time, size, dies = (jumps[n].to_numpy() for n in ("row", "time", "size", "dies"))
        at = np.searchsorted(times, time)
        return cls(
            times=times, enters=enters, leaves=leaves, row=row.astype(np.int64), at=at, size=size, dies=dies,
            entry=entry, exit=exit,
        )  # fmt: skip

    def on(self, times: Floats) -> Grid:
        """Put the persons and jumps on more times, its own among them."""
        return replace(
            self,
            times=times,
            enters=np.searchsorted(times, self.entry, side="right"),
            leaves=np.searchsorted(times, self.exit, side="right"),
            at=np.searchsorted(times, self.times)[self.at],
        )

    @property
    def at_risk(self) -> Floats:
        """Persons at risk at each time."""
        many = len(self.times) + 1
        come = np.bincount(self.enters, minlength=many) - np.bincount(self.leaves, minlength=many)
        return np.cumsum(come)[:-1].astype(np.float64)

    @property
    def events(self) -> Floats:
        """Events, or their amount, at each time."""
        return np.bincount(self.at, self.size, minlength=len(self.times)).astype(np.float64)

    @property
    def deaths(self) -> Floats:
        """Terminal events at each time."""
        return np.bincount(self.at, self.dies, minlength=len(self.times)).astype(np.float64)

    def totals(self, own: Floats, drift: Floats) -> Floats:
        """Give every person's path at the end: own jumps less drift while at risk.

        Parameters
        ----------
        own : array
            Of every jump.
        drift : array
            Of every time.
        """
        rise = np.append(0.0, np.cumsum(drift))
        mine = np.bincount(self.row, own, minlength=len(self.enters))
        return np.asarray(mine - (rise[self.leaves] - rise[self.enters]))

    def product_sums(self, first: tuple[Floats, Floats], second: tuple[Floats, Floats]) -> Floats:
        """Give Σ_i Φ_i(t)Ψ_i(t) at every time, each path as own jumps and drift."""
        (a, b), (c, k) = first, second
        before_a, sum_a = self._before(a, b)
        before_c, sum_c = (before_a, sum_a) if second is first else self._before(c, k)
        many = len(self.times)
        jumped = np.bincount(self.at, before_a * c + before_c * a + a * c, minlength=many)
        each_a = np.bincount(self.at, a, minlength=many)
        each_c = np.bincount(self.at, c, minlength=many)
        step = jumped - k * (sum_a + each_a) - b * (sum_c + each_c) + self.at_risk * b * k
        return np.cumsum(step)

    def _before(self, own: Floats, drift: Floats) -> tuple[Floats, Floats]:
        """Each jump's path just before it, and at every time the sum of paths of those at risk."""
        rise, many = np.append(0.0, np.cumsum(drift)), len(self.times) + 1
        start = rise[self.enters]
        run = np.cumsum(own) - own
        first = np.flatnonzero(np.diff(self.row, prepend=-1))
        lengths = np.diff(np.append(first, len(own)))
        path = run - np.repeat(run[first], lengths) - (rise[self.at] - start[self.row])
        jumps = np.cumsum(np.bincount(self.at, own, minlength=many))
        had = np.append(0.0, jumps)[: many - 1]
        left = np.cumsum(np.bincount(self.leaves[self.row], own, minlength=many))[:-1]
        base = np.bincount(self.enters, start, minlength=many)
        base = np.cumsum(base - np.bincount(self.leaves, start, minlength=many))[:-1]
        return path, had - left - (self.at_risk * rise[:-1] - base)
