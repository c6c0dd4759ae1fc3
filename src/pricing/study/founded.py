"""The basis of a study's results: the study's data, where a result does not say its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pricing.result.shape import Basis, Result

__all__ = ["founded"]


def founded(results: Mapping[str, Result], basis: Basis) -> dict[str, Result]:
    """Put results on the study's data: what a result's own basis does not say, the study's says.

    Examples
    --------
    >>> import polars as pl
    >>> found = founded({"a": Result(table=pl.DataFrame())}, Basis(source="huoli", fingerprint="f"))
    >>> found["a"].basis.source, found["a"].basis.fingerprint
    ('huoli', 'f')
    """
    return {
        name: replace(
            result,
            basis=replace(
                result.basis,
                source=result.basis.source or basis.source,
                period=result.basis.period or basis.period,
                rows=result.basis.rows or basis.rows,
                exposure=result.basis.exposure or basis.exposure,
                claims=result.basis.claims or basis.claims,
                currency=basis.currency,
                fingerprint=result.basis.fingerprint or basis.fingerprint,
                notes=tuple(dict.fromkeys([*result.basis.notes, *basis.notes])),
            ),
        )
        for name, result in results.items()
    }
