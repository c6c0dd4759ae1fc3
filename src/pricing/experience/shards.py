"""Shards: one job run on the rows of any engine where they are, piece by piece, and the pieces added.

polars runs the job once, on everything. DuckDB hands over a million rows at a time. Spark runs it on
its workers, so only what the job makes of a partition travels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import narwhals.stable.v2 as nw
import polars as pl

from pricing.experience.domain import require_columns
from pricing.experience.engines import AnyFrame, is_here, on_spark, opened

__all__ = ["Add", "Job", "Shards"]

Job = Callable[[pl.LazyFrame], pl.DataFrame]
Add = Callable[[pl.DataFrame], pl.DataFrame]
SHARD_ROWS = 1_000_000
FEW_ROWS = 200_000  # so many are done in memory before a stream has started
FEW = 8  # workers that add up what all the others made


@dataclass(frozen=True)
class Shards:
    """Rows of any engine, to be worked on in pieces.

    Attributes
    ----------
    frame : narwhals.LazyFrame
        The rows, unread.
    schema : polars.Schema
        Types of the columns as a job will find them.
    eager : int or None
        How many rows there are, where they are few and in memory.
    """

    frame: nw.LazyFrame[Any]
    schema: pl.Schema
    eager: int | None

    @classmethod
    def of(cls, frame: AnyFrame, columns: Sequence[str] | None = None) -> Shards:
        """Take a frame of any engine; outside polars only ``columns`` are read.

        Raises
        ------
        InputError
            For a frame of another kind, and outside polars for columns that are not there.

        Examples
        --------
        >>> rows = Shards.of(pl.DataFrame({"age": [40, 50]}))
        >>> rows.gather(lambda shard: shard.select(pl.col("age").sum()).collect(), pl.DataFrame.sum)
        shape: (1, 1)
        ┌─────┐
        │ age │
        │ --- │
        │ i64 │
        ╞═════╡
        │ 90  │
        └─────┘
        """
        lazy = opened(frame, columns or ())
        if is_here(lazy):
            native: pl.LazyFrame = lazy.to_native()
            schema = native.collect_schema()
            rows = native.select(pl.len()).collect(engine="streaming").item()
            if rows > FEW_ROWS:
                return cls(lazy, schema, None)
            names = [n for n in dict.fromkeys(columns or schema.names()) if n in schema]
            return cls(opened(native.select(names).collect()), schema, rows)
        if columns is not None:
            columns = list(dict.fromkeys(columns))
            require_columns(columns, lazy.collect_schema().names())
            lazy = lazy.select(*columns)
        none = cls(lazy.head(0), pl.Schema(), None)
        return cls(lazy, _typed(none._stacked(), lazy).schema, None)

    def gather(self, job: Job, add: Add) -> pl.DataFrame:
        """Run a job on every piece of the rows, and add up what it makes of them.

        ``add`` takes several results of the job, stacked, and brings them down to one.
        """
        if is_here(self.frame):
            return job(self.frame.to_native())
        if on_spark(self.frame):
            return self._on_workers(job, add)
        made: pl.DataFrame | None = None
        for shard in self._batches():
            new = job(_typed(shard, self.frame).lazy())
            made = new if made is None else add(_together([made, new]))
        return job(self.schema.to_frame().lazy()) if made is None else made

    def _batches(self) -> Iterator[pl.DataFrame]:
        for batch in self.frame.to_native().to_arrow_reader(SHARD_ROWS):
            yield pl.DataFrame(pl.from_arrow(batch))

    def _stacked(self) -> pl.DataFrame:
        found: pl.DataFrame = self.frame.collect(backend="polars").to_native()
        return found

    def _on_workers(self, job: Job, add: Add) -> pl.DataFrame:
        """Two rounds: the job on every partition, then sums of their sums, by a few workers."""
        native = self.frame.to_native()
        parts = native.mapInArrow(partial(_work, job, add), "part binary")
        sums = parts.repartition(FEW).mapInArrow(partial(_sum, add), "part binary")
        found = [_read(row["part"]) for row in sums.collect()]
        return add(_together(found)) if found else job(self.schema.to_frame().lazy())


def _work(job: Job, add: Add, batches: Iterable[Any]) -> Iterator[Any]:
    """On a worker: the rows of one partition, a million at a time."""
    made: list[pl.DataFrame] = []
    held: list[Any] = []

    def spend() -> None:
        shard = pl.DataFrame(pl.from_arrow(held))
        held.clear()
        made.append(job(shard.lazy()))

    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= SHARD_ROWS:
            spend()
    if held:
        spend()
    yield from _written(add, made)


def _sum(add: Add, batches: Iterable[Any]) -> Iterator[Any]:
    """On a worker: the results of some partitions brought down to one."""
    yield from _written(
        add, [_read(part) for batch in batches for part in batch.column(0).to_pylist()]
    )


def _written(add: Add, made: list[pl.DataFrame]) -> Iterator[Any]:
    import pyarrow as pa

    if made:
        out = BytesIO()
        (add(_together(made)) if len(made) > 1 else made[0]).write_ipc(out)
        yield pa.RecordBatch.from_arrays([pa.array([out.getvalue()], pa.binary())], ["part"])


def _together(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([part.select(parts[0].columns) for part in parts])


def _read(part: bytes) -> pl.DataFrame:
    return pl.read_ipc(BytesIO(part))


def _ordered(frame: nw.LazyFrame[Any]) -> dict[str, list[str]]:
    schema = frame.collect_schema()
    return {n: list(kind.categories) for n, kind in schema.items() if isinstance(kind, nw.Enum)}


def _typed(shard: pl.DataFrame, frame: nw.LazyFrame[Any]) -> pl.DataFrame:
    """Give the columns that are an ENUM in DuckDB their levels in order."""
    return shard.with_columns(
        pl.col(name).cast(pl.String).cast(pl.Enum(levels))
        for name, levels in _ordered(frame).items()
    )
