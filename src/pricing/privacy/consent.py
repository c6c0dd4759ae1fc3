"""Consent, day by day: who agreed to what, and what may be read or priced without it.

A withdrawal holds from its day on and takes nothing back that was done before (PIPL 2021, article 15).
"""

from __future__ import annotations

from datetime import date

import polars as pl

from pricing.data.check import check
from pricing.data.consent_tables import PURPOSES
from pricing.errors import InputError, nearest

__all__ = ["added", "agreed_samples", "consents", "with_consent"]

NAMES = ["person_id", "purpose", "agreed", "withdrawn"]


def consents(rows: pl.DataFrame) -> pl.DataFrame:
    """Hold a ledger of consents against its contract; nothing of it is set aside in silence.

    Parameters
    ----------
    rows : polars.DataFrame
        person_id, purpose (activity, discount, research), agreed, withdrawn (empty while it holds).

    Raises
    ------
    InputError
        For rows that break the contract, with the rule and the count, and for consents of one person
        to one purpose that overlap: a second one while the first still holds.

    Examples
    --------
    >>> rows = pl.DataFrame({"person_id": ["a"], "purpose": ["discount"], "agreed": [date(2025, 1, 1)],
    ...                      "withdrawn": [None]}, schema_overrides={"withdrawn": pl.Date})
    >>> consents(rows).height
    1
    """
    held = check(rows, "consents")
    if not held.rejected.is_empty():
        raise InputError(
            f"{held.rejected.height:,} of {rows.height:,} consents break the contract",
            where="consents",
            faults=[f"{r['meaning']}: {r['count']:,} rows" for r in held.faults.rows(named=True)],
            do="mend them at their source; a consent in doubt is none",
        )
    ledger = held.accepted
    if "withdrawn" not in ledger.columns:
        ledger = ledger.with_columns(withdrawn=pl.lit(None, pl.Date))
    ledger = ledger.sort("person_id", "purpose", "agreed")
    before = pl.col("withdrawn").shift(1).over("person_id", "purpose")
    first = pl.int_range(pl.len()).over("person_id", "purpose") == 0
    twice = ledger.filter(~first, before.is_null() | (before > pl.col("agreed")))
    if twice.height:
        raise InputError(
            f"{twice.height:,} consents begin while an earlier one of the same person and purpose holds",
            where="consents",
            do="end the earlier one first: give its day of withdrawal",
        )
    return ledger.select(*NAMES, *(c for c in ledger.columns if c == "wording"))


def added(ledger: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Add consents and withdrawals to a ledger, which only ever grows.

    Parameters
    ----------
    ledger : polars.DataFrame
        As :func:`consents` gave it.
    rows : polars.DataFrame
        New consents; a withdrawal is the row of the consent with its day of withdrawal.

    Raises
    ------
    InputError
        For a withdrawal that is taken back or moved, and as :func:`consents`.

    Examples
    --------
    >>> old = consents(pl.DataFrame({"person_id": ["a"], "purpose": ["discount"], "agreed": [date(2025, 1, 1)],
    ...                "withdrawn": [None]}, schema_overrides={"withdrawn": pl.Date}))
    >>> added(old, old.with_columns(withdrawn=date(2025, 6, 1)))["withdrawn"].to_list()
    [datetime.date(2025, 6, 1)]
    """
    new = consents(rows)
    ids = ["person_id", "purpose", "agreed"]
    both = ledger.join(new.select(*ids, then="withdrawn"), on=ids, how="inner")
    moved = both.filter(
        pl.col("withdrawn").is_not_null() & pl.col("withdrawn").ne_missing(pl.col("then"))
    )
    if moved.height:
        raise InputError(
            f"{moved.height:,} withdrawals would be taken back or moved",
            where="consents",
            do="a withdrawal stands; whoever agrees again has a new row",
        )
    kept = ledger.join(new, on=ids, how="anti")
    return consents(pl.concat([kept, new], how="diagonal"))


def with_consent(
    rows: pl.DataFrame, ledger: pl.DataFrame, *, purpose: str, on: str, person: str = "person_id"
) -> pl.DataFrame:
    """Say of each row whether its person's consent to a purpose holds on its day.

    Parameters
    ----------
    rows : polars.DataFrame
        A person and a day each, such as the renewals due.
    ledger : polars.DataFrame
        As :func:`consents` gave it.
    purpose : {"activity", "discount", "research"}
        For what.
    on : str
        Column with the day. On the day of agreeing a consent holds, on that of withdrawal no more.
    person : str
        Column with the person.

    Returns
    -------
    polars.DataFrame
        The rows in their order with ``consent``: whoever is not in the ledger has given none. A column
        ``consent`` that is there must hold as well: the ledger gives nobody a consent he refused there.

    Examples
    --------
    >>> ledger = consents(pl.DataFrame({"person_id": ["a"], "purpose": ["discount"],
    ...     "agreed": [date(2025, 1, 1)], "withdrawn": [date(2025, 6, 1)]}))
    >>> due = pl.DataFrame({"person_id": ["a", "a", "b"], "due": [date(2025, 5, 31), date(2025, 6, 1), date(2025, 5, 1)]})
    >>> with_consent(due, ledger, purpose="discount", on="due")["consent"].to_list()
    [True, False, False]
    """
    if purpose not in PURPOSES:
        raise InputError(f"{purpose!r} is no purpose{nearest(purpose, list(PURPOSES))}")
    if missing := [c for c in (person, on) if c not in rows.columns]:
        raise InputError(f"{', '.join(map(repr, missing))}: no such column", where="with_consent")
    own = ledger.filter(pl.col("purpose").cast(pl.String) == purpose)
    held = own.select(pl.col("person_id").alias("_who"), "agreed", "withdrawn")
    asked = rows.with_row_index("_row").select(
        "_row", pl.col(person).cast(pl.String).alias("_who"), pl.col(on).cast(pl.Date).alias("_on")
    )
    holds = (pl.col("agreed") <= pl.col("_on")) & (
        pl.col("withdrawn").is_null() | (pl.col("_on") < pl.col("withdrawn"))
    )
    yes = asked.join(held, on="_who", how="inner").filter(holds)["_row"].unique()
    found = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(yes.to_list())
    if "consent" in rows.columns:
        found = found & pl.col("consent").fill_null(False)
    return rows.with_columns(consent=found)


def agreed_samples(
    samples: pl.DataFrame, ledger: pl.DataFrame, *, on: date
) -> tuple[pl.DataFrame, int]:
    """Keep the samples of persons whose consent to be measured held when they were taken and holds now.

    Parameters
    ----------
    samples : polars.DataFrame
        person, start, as :func:`pricing.activity.samples.sample_frame` takes them.
    ledger : polars.DataFrame
        As :func:`consents` gave it, with the purpose ``activity``.
    on : date
        The day of reading.

    Returns
    -------
    samples : polars.DataFrame
        Those that may be read.
    unread : int
        How many may not.

    Examples
    --------
    >>> ledger = consents(pl.DataFrame({"person_id": ["a"], "purpose": ["activity"], "agreed": [date(2025, 1, 2)],
    ...     "withdrawn": [None]}, schema_overrides={"withdrawn": pl.Date}))
    >>> rows = pl.DataFrame({"person": ["a", "a", "b"], "start": [date(2025, 1, 1), date(2025, 1, 3), date(2025, 1, 3)]})
    >>> agreed_samples(rows, ledger, on=date(2025, 2, 1))[0].rows()
    [('a', datetime.date(2025, 1, 3))]
    """
    asked = samples.select("person", "start").with_columns(_now=pl.lit(on))
    then = with_consent(asked, ledger, purpose="activity", on="start", person="person")
    now = with_consent(asked, ledger, purpose="activity", on="_now", person="person")
    kept = samples.filter(then["consent"] & now["consent"])
    return kept, samples.height - kept.height
