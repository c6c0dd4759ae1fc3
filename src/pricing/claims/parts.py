"""Models made of models: what a product, a two-part model and a sum of benefits have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import polars as pl

from pricing.claims.rating import RatingModel
from pricing.claims.score import Unknown, require_known
from pricing.errors import InputError
from pricing.result.shape import Basis, Result

__all__ = ["Compound", "packed"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class Compound(Result, ABC):
    """A model of several fitted parts, saved as one; it scores any frame by one expression."""

    kind = "compound"

    @property
    def parts(self) -> dict[str, RatingModel]:
        """The fitted models it is made of, by name."""
        found = {}
        for name, said in self.details["parts"].items():
            kind = Result.kinds[said["kind"]]
            basis = said["basis"] | {n: tuple(said["basis"][n]) for n in ("filters", "notes")}
            frames = {n: self.frames[f"{name}.{n}"] for n in said["frames"]}
            model = kind(
                table=self.frames[f"{name}.table"],
                basis=Basis(**basis),
                facts=said["facts"],
                details=said["details"],
                frames=frames,
            )
            assert isinstance(model, RatingModel)
            found[name] = model
        return found

    @property
    def keys(self) -> tuple[str, ...]:
        """The factors and covariates that scoring reads."""
        return tuple(dict.fromkeys(k for part in self.parts.values() for k in part.keys))

    def rate(self) -> pl.Expr:
        """Expected amount per policy-year (per row, for a two-part model), as an expression."""
        return self._joined({name: part.rate() for name, part in self.parts.items()})

    @abstractmethod
    def _joined(self, rates: Mapping[str, pl.Expr]) -> pl.Expr:
        """One expected amount from those of the parts."""

    def score(
        self, frame: Frame, *, exposure: str | None = None, unknown: Unknown = "error"
    ) -> Frame:
        """Add ``rate`` and, where exposure is given, ``expected`` amounts to every row.

        Parameters
        ----------
        frame, exposure, unknown
            As in :meth:`pricing.claims.rating.RatingModel.score`; a level is known where every
            part knows it.

        Raises
        ------
        InputError
            As the parts: no row is dropped.
        """
        lazy, parts = frame.lazy(), self.parts
        levels: dict[str, list[str]] = {}
        ranges: dict[str, tuple[float, float]] = {}
        for part in parts.values():
            ranges |= part.ranges
            for name, known in part.details["levels"].items():
                levels[name] = [x for x in levels.get(name, known) if x in known]
        require_known(lazy, self.keys, levels, exposure, unseen=unknown != "error", ranges=ranges)
        schema = lazy.collect_schema()
        rates = {
            name: part.expression(schema=schema, unknown=unknown) for name, part in parts.items()
        }
        scored = frame.with_columns(self._joined(rates).alias("rate"))
        if exposure is None:
            return scored
        return scored.with_columns(expected=pl.col("rate") * pl.col(exposure).cast(pl.Float64))


def packed(parts: Mapping[str, RatingModel]) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    """Lay the parts out as details and frames of one result, as JSON and Parquet keep them.

    Examples
    --------
    >>> packed({})
    ({'parts': {}}, {})
    """
    said = {
        name: {
            "kind": part.kind,
            "basis": asdict(part.basis)
            | {"filters": list(part.basis.filters), "notes": list(part.basis.notes)},
            "facts": dict(part.facts),
            "details": dict(part.details),
            "frames": sorted(part.frames),
        }
        for name, part in parts.items()
    }
    frames = {f"{name}.table": part.table for name, part in parts.items()}
    frames |= {f"{name}.{n}": f for name, part in parts.items() for n, f in part.frames.items()}
    return {"parts": said}, frames


def require_inference(parts: Mapping[str, RatingModel]) -> None:
    """Refuse an interval of parts that have none.

    Raises
    ------
    InputError
        With the reason of each part.

    Examples
    --------
    >>> require_inference({})
    """
    without = {
        name: part.details["without_inference"]
        for name, part in parts.items()
        if part.details.get("without_inference")
    }
    if without:
        raise InputError(
            "there is no interval", faults=[f"{name}: {why}" for name, why in without.items()]
        )
