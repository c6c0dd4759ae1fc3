"""How health groups change from year to year, as observed in the renewals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import beta

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.series import flow_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language

__all__ = ["GroupMoves", "Renewals", "observed_transitions"]

Renewals = pl.DataFrame | pl.LazyFrame | Sequence[pl.DataFrame | pl.LazyFrame]


class GroupMoves(Result):
    """Probability of each move between groups from one policy year to the next."""

    kind = "group_moves"

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups, from the standard one to the healthiest."""
        return tuple(self.details["groups"])

    @property
    def matrix(self) -> Floats:
        """Probabilities, by group before and group after."""
        n = len(self.groups)
        return self.table["probability"].to_numpy().reshape(n, n)

    def draw(self, rng: np.random.Generator, draws: int) -> Floats:
        """Probabilities drawn from what the moves leave uncertain, (draws, before, after)."""
        n = len(self.groups)
        weight = rng.standard_gamma(self.table["weight"].to_numpy().reshape(n, n), (draws, n, n))
        sums = weight.sum(axis=-1, keepdims=True)
        return np.where(sums > 0, weight / np.where(sums > 0, sums, 1.0), self.matrix)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the flows between the groups of two years."""
        return flow_figure(
            self.table.select("from_group", "to_group", members="moves"), self.groups, lang
        )


def observed_transitions(
    renewals: Renewals,
    *,
    groups: Sequence[str] | None = None,
    policy: str = "policy_id",
    year: str = "policy_year",
    group: str = "health_group",
    prior_moves: float = 20.0,
    level: float = 0.95,
    source: str = "",
) -> GroupMoves:
    """Estimate how groups change from one policy year to the next, from the renewals.

    Only those who renewed are seen twice: these are moves given renewal.

    Parameters
    ----------
    renewals : polars.DataFrame or LazyFrame, or a sequence of them
        One row per policy and policy year, with its group. Of a book in parts each part is read alone;
        all years of a policy must stand in one part.
    groups : sequence of str, optional
        From the standard one to the healthiest; where left out the order of the column's categories,
        or of the alphabet for text.
    policy, year, group : str
        Columns: text or number, whole number, text.
    prior_moves : float
        Moves that the pattern of all groups counts for in each row, zero or more: a row of N moves
        has credibility N / (N + prior_moves).
    level : float
        Of the intervals.
    source : str
        For the basis.

    Returns
    -------
    GroupMoves
        ``.table``: from_group, to_group, moves, weight (of the Dirichlet law), probability, lower,
        upper, credibility.

    Raises
    ------
    InputError
        For missing columns, empty or unknown groups, a policy year that stands twice, or no moves.

    Notes
    -----
    Each row is Dirichlet(n + κ m): n the moves seen, m the share of moves by so many groups up or down
    in the whole book (within the row's reach), κ the prior moves; intervals are its Beta margins. Moves
    of one person are taken as independent.

    Examples
    --------
    >>> seen = pl.DataFrame({"policy_id": ["a", "a", "b", "b", "c", "c"], "policy_year": [0, 1] * 3,
    ...                      "health_group": ["G0", "G1", "G0", "G0", "G1", "G1"]})
    >>> observed_transitions(seen, prior_moves=0).matrix.tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    numbers = all(isinstance(v, int | float) for v in (level, prior_moves))
    if not numbers or not 0 < level < 1 or not 0 <= prior_moves < np.inf:
        raise InputError(
            f"level must lie between 0 and 1 and prior_moves be zero or more, got {level!r} and {prior_moves!r}"
        )
    frames = [renewals] if isinstance(renewals, pl.DataFrame | pl.LazyFrame) else [*renewals]
    counted = pl.concat([_counted(_read(part, policy, year, group)) for part in frames])
    kind = frames[0].lazy().collect_schema()[group]
    if groups is None and isinstance(kind, pl.Enum):
        groups = kind.categories.to_list()
    names = _groups(counted, groups)
    n = len(names)
    pairs = counted.drop_nulls("to")
    if pairs.is_empty():
        raise InputError(
            "no policy is seen in two years in a row", do="give the renewals of several years"
        )
    place = pl.Enum(names)
    codes = (
        pairs["group"].cast(place).to_physical().to_numpy().astype(int) * n
        + pairs["to"].cast(place).to_physical().to_numpy()
    )
    counts = np.bincount(codes, weights=pairs["rows"].to_numpy(), minlength=n * n)
    moves: Floats = counts.astype(float).reshape(n, n)
    weight = moves + prior_moves * _pattern(moves)
    sums = weight.sum(axis=1, keepdims=True)
    empty = sums[:, 0] <= 0
    probability = np.where(empty[:, None], np.eye(n), weight / np.where(sums > 0, sums, 1.0))
    rest = np.maximum(sums - weight, 0.0)
    tail = (1 - level) / 2
    inner = (weight > 0) & (rest > 1e-12)
    a, b = np.where(inner, weight, 1.0), np.where(inner, rest, 1.0)
    lower = np.where(inner, beta.ppf(tail, a, b), probability)
    upper = np.where(inner, beta.ppf(1 - tail, a, b), probability)
    total = moves.sum(axis=1)
    z = np.divide(total, total + prior_moves, out=np.zeros(n), where=total + prior_moves > 0)
    table = pl.DataFrame(
        {
            "from_group": np.repeat(names, n),
            "to_group": names * n,
            "moves": moves.ravel(),
            "weight": weight.ravel(),
            "probability": probability.ravel(),
            "lower": lower.ravel(),
            "upper": upper.ravel(),
            "credibility": np.repeat(z, n),
        }
    )
    every = float(moves.sum())
    facts: dict[str, Any] = {
        "moves": every,
        "stayed": float(np.trace(moves)) / every,
        "up": float(np.triu(moves, 1).sum()) / every,
        "down": float(np.tril(moves, -1).sum()) / every,
        "level": level,
        "prior_moves": prior_moves,
    }
    notes = ["moves given renewal; moves of one person taken as independent"]
    unseen = [names[i] for i in np.flatnonzero(total == 0)]
    if unseen:
        notes.append(f"no move seen from {', '.join(unseen)}: the pattern of all groups")
    basis = Basis(
        source=source, rows=int(counted["rows"].sum()), exposure=every, notes=tuple(notes),
        fingerprint=fingerprint(moves.tobytes(), repr((names, prior_moves, level))),
    )  # fmt: skip
    return GroupMoves(table=table, basis=basis, facts=facts, details={"groups": names})


def _pattern(moves: Floats) -> Floats:
    """Share of moves by so many groups up or down in the whole book, within each row's reach."""
    n = len(moves)
    step = np.arange(n)[None, :] - np.arange(n)[:, None]
    by_step = np.bincount((step + n - 1).ravel(), weights=moves.ravel(), minlength=2 * n - 1)
    reach = np.bincount(  # moves that could have been of that step
        (step + n - 1).ravel(), weights=np.repeat(moves.sum(axis=1), n), minlength=2 * n - 1
    )
    rate = np.divide(by_step, reach, out=np.zeros_like(by_step), where=reach > 0)[step + n - 1]
    sums = rate.sum(axis=1, keepdims=True)
    return np.where(sums > 0, rate / np.where(sums > 0, sums, 1.0), np.eye(n))


def _read(frame: pl.DataFrame | pl.LazyFrame, policy: str, year: str, group: str) -> pl.DataFrame:
    lazy = frame.lazy()
    columns = lazy.collect_schema()
    missing = [name for name in (policy, year, group) if name not in columns]
    if missing:
        raise InputError(f"the renewals lack {missing}", do="name the columns, or add them")
    if not columns[year].is_integer():
        raise InputError(f"{year} must be whole numbers, not {columns[year]}", where=year)
    rows = lazy.select(
        policy=pl.col(policy), year=pl.col(year).cast(pl.Int64), group=pl.col(group).cast(pl.String)
    ).collect()
    faults = []
    for name, column in (("policy", policy), ("year", year), ("group", group)):
        if rows[name].null_count():
            faults.append(f"{rows[name].null_count():,} rows without {column}")
    twice = rows.height - rows.select("policy", "year").n_unique()
    if twice:
        faults.append(f"{twice:,} rows repeat a policy and year")
    if faults:
        raise InputError("renewals that cannot be followed", faults=faults)
    return rows


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    """Count the rows by group and the group of the year after, null where that was not seen."""
    later = pl.col("year").shift(-1).over("policy") == pl.col("year") + 1
    return (
        rows.sort("policy", "year")
        .with_columns(to=pl.when(later).then(pl.col("group").shift(-1).over("policy")))
        .group_by("group", "to")
        .agg(rows=pl.len())
    )


def _groups(rows: pl.DataFrame, groups: Sequence[str] | None) -> list[str]:
    seen = rows["group"].unique().sort().to_list()
    names = seen if groups is None else [str(g) for g in groups]
    unknown = [g for g in seen if g not in names]
    if unknown or len(set(names)) != len(names):
        raise InputError(f"the renewals hold {unknown}, not among the groups {names}, each once")
    return names
