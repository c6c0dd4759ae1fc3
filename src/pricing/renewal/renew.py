"""Renewals priced from Parquet to Parquet, streaming, a trace for each and a ledger for all."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pricing.files import replacing
from pricing.renewal.ledger import Ledger, balanced, totals
from pricing.renewal.price import price_renewals
from pricing.renewal.rules import RenewalRules
from pricing.result.shape import Basis

__all__ = ["renew"]


def renew(
    due: pl.DataFrame | pl.LazyFrame,
    rules: RenewalRules,
    out: str | Path,
    *,
    basis: Basis | None = None,
) -> Ledger:
    """Price renewals from Parquet to Parquet, streaming, and give their ledger.

    Parameters
    ----------
    due : polars.DataFrame or LazyFrame
        As :func:`~pricing.renewal.price.price_renewals`; a scan is never held as a whole.
    rules : RenewalRules
        What is charged.
    out : path
        Parquet file with the trace of every renewal, in the order of ``due``; rows without a price stay
        in it, with the reason. It takes its name when it is whole.
    basis : Basis, optional
        Source, period, currency.

    Raises
    ------
    InputError
        As the parts; nothing is written then.

    Examples
    --------
    >>> import tempfile
    >>> due = pl.DataFrame({"policy_id": ["P1", "P2"], "health_group": ["G1", "G9"],
    ...     "standard_premium": [1800.0, 1700.0]})
    >>> file = Path(tempfile.mkdtemp()) / "renewals.parquet"
    >>> renew(due, RenewalRules(discounts={"G0": 0, "G1": 0.05}), file).facts["set_aside"]
    1
    >>> pl.read_parquet(file).select("policy_id", "premium", "set_aside").rows()
    [('P1', 1710.0, None), ('P2', None, 'unknown_group')]
    """
    priced = price_renewals(due, rules)
    with replacing(Path(out)) as beside:
        written = priced.sink_parquet(beside, lazy=True)
        _, *found = pl.collect_all([written, *totals(priced)], engine="streaming")
        return balanced(priced, found, rules, basis=basis or Basis())
