"""The renewals that are due, priced as ``[renewal]`` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pricing.errors import InputError
from pricing.health.schedule import Schedule
from pricing.privacy.consent import consents, with_consent
from pricing.regulation.rate_adjustment import RateAdjustmentCheck
from pricing.renewal.ledger import Ledger, ledger_of
from pricing.renewal.price import price_renewals
from pricing.renewal.price_trace import trace_price
from pricing.renewal.renew import renew
from pricing.renewal.rules import RenewalRules
from pricing.result.shape import Basis, Result
from pricing.study.sections import Discount, Renewed

if TYPE_CHECKING:
    from pricing.study.chain import Study

__all__ = ["agreed_due", "due_renewals", "renew_study", "renewed", "require_due", "rules_of"]


def require_due(study: Study) -> None:
    """Refuse at once, before any model is fitted, a trace of policies that have no renewal due.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> require_due(open_study(bundled("studies/randhie.toml")))  # asks for none
    """
    wanted = study.settings.renewal
    if wanted is None or not wanted.trace:
        return
    due = study.due().select("policy_id")
    known = set(due.filter(pl.col("policy_id").is_in(wanted.trace)).collect()["policy_id"])
    if faults := [f"policy {p!r} has no renewal due" for p in wanted.trace if p not in known]:
        few = due.head(3).collect()["policy_id"].to_list()
        raise InputError(
            f"{len(faults)} of {len(wanted.trace)} premiums cannot be traced",
            where=f"{study.path}, renewal.trace",
            faults=faults,
            do=f"give policies in force at the end of the window, such as {few}",
        )


def renewed(study: Study, results: Mapping[str, Result], basis: Basis) -> dict[str, Result]:
    """Price the renewals due as ``[renewal]`` says: their ledger, and a trace of every policy it names.

    Parameters
    ----------
    study : Study
        With a section ``[renewal]``.
    results : mapping of str to Result
        Of the study, as :func:`rules_of` wants them.
    basis : Basis
        Source, period, currency.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> renewed(open_study(bundled("studies/randhie.toml")), {}, Basis())
    {}
    """
    wanted = study.settings.renewal
    if wanted is None:
        return {}
    rules = rules_of(wanted, study.settings.discount, results)
    priced = price_renewals(study.due(), rules)
    found: dict[str, Result] = {"renewal_ledger": ledger_of(priced, rules, basis=basis)}
    traces = trace_price(priced, wanted.trace, rules, basis=basis) if wanted.trace else {}
    return found | {f"price_trace:{policy}": trace for policy, trace in traces.items()}


def agreed_due(
    policies: pl.DataFrame,
    renewals: pl.DataFrame,
    agreed: pl.DataFrame | None,
    *,
    stop: date,
    ageing: float,
    where: str,
) -> pl.DataFrame:
    """Give the renewals due of a book, each with the consent that its ledger knows of.

    Parameters
    ----------
    policies, renewals, stop, ageing
        As :func:`due_renewals`; with a ledger the policies say whose they are (person_id).
    agreed : polars.DataFrame, optional
        Accepted rows of the table of consents.
    where : str
        Named in a refusal.

    Examples
    --------
    >>> policies = pl.DataFrame({"policy_id": ["a"], "person_id": ["x"], "end": [date(2030, 1, 1)]})
    >>> terms = pl.DataFrame({"policy_id": ["a"], "policy_year": [0], "start": [date(2025, 3, 1)],
    ...     "end": [date(2026, 3, 1)], "health_group": ["G1"], "standard_premium": [100.0]})
    >>> agreed_due(policies, terms, None, stop=date(2026, 1, 1), ageing=0.0, where="")["consent"].to_list()
    [True]
    """
    due = due_renewals(policies, renewals, stop=stop, ageing=ageing)
    if agreed is None:
        return due
    if "person_id" not in policies.columns:
        raise InputError(
            "a ledger of consents, and policies that do not say whose they are",
            where=where,
            do="give the policies a person_id",
        )
    asked = due.join(policies.select("policy_id", "person_id"), on="policy_id", how="left")
    return with_consent(asked, consents(agreed), purpose="discount", on="due").drop("person_id")


def due_renewals(
    policies: pl.DataFrame, renewals: pl.DataFrame, *, stop: date, ageing: float = 0.0
) -> pl.DataFrame:
    """Give the renewals due after a window: the last term of every policy still in force at its end.

    Parameters
    ----------
    policies : polars.DataFrame
        policy_id, end (half-open).
    renewals : polars.DataFrame
        policy_id, policy_year, start, end, health_group, standard_premium and, where charged apart,
        premium and in_programme.
    stop : date
        Day after the last one observed.
    ageing : float
        Growth of the filed standard premium with one more year of age, a fraction.

    Returns
    -------
    polars.DataFrame
        policy_id, policy_year (the one due), due, health_group (as held: that of the coming term where no
        other is known), standard_premium (of the coming term), premium_before, consent (in the programme).

    Examples
    --------
    >>> policies = pl.DataFrame({"policy_id": ["a", "b"], "end": [date(2030, 1, 1), date(2025, 3, 1)]})
    >>> terms = pl.DataFrame({"policy_id": ["a", "b"], "policy_year": [0, 0], "start": [date(2025, 3, 1)] * 2,
    ...     "end": [date(2026, 3, 1)] * 2, "health_group": ["G1", "G0"], "standard_premium": [100.0, 90.0]})
    >>> due_renewals(policies, terms, stop=date(2026, 1, 1), ageing=0.04).rows()
    [('a', 1, datetime.date(2026, 3, 1), 'G1', 104.0, 100.0, True)]
    """
    open_terms = renewals.filter(pl.col("start") < stop, pl.col("end") >= stop)
    there = policies.filter(pl.col("end") >= stop).select("policy_id")
    paid = pl.col("premium") if "premium" in renewals.columns else pl.col("standard_premium")
    member = pl.col("in_programme") if "in_programme" in renewals.columns else pl.lit(True)
    return open_terms.join(there, on="policy_id", how="semi").select(
        "policy_id",
        policy_year=pl.col("policy_year") + 1,
        due=pl.col("start").dt.offset_by("1y"),  # the window may have cut the term
        health_group=pl.col("health_group").cast(pl.String),
        standard_premium=pl.col("standard_premium") * (1 + ageing),
        premium_before=paid,
        consent=member,
    )


def rules_of(wanted: Renewed, discount: Discount, results: Mapping[str, Result]) -> RenewalRules:
    """Write the rules of a renewal from a study's schedule and its rate review.

    Parameters
    ----------
    wanted : Renewed
        ``[renewal]`` of the study file.
    discount : Discount
        ``[discount]``: cap, order, present schedule.
    results : mapping of str to Result
        Of the study: schedule; indication and rate_adjustment_check where the change is the indicated one.

    Raises
    ------
    InputError
        For a present schedule or an indication that is not there; a change that the gate refuses is
        not charged: 0 stands in its place, and the rules carry the check.

    Examples
    --------
    >>> section = Renewed(schedule="present", adjustment=0.02)
    >>> rules_of(section, Discount(order=["G0", "G1"], present={"G0": 0.0, "G1": 0.05}), {}).changes
    {'': 0.02}
    """
    if wanted.schedule == "present":
        if discount.present is None:
            raise InputError(
                "there is no present schedule",
                where="renewal.schedule",
                do="give [discount.present]",
            )
        discounts = {g: discount.present[g] for g in discount.order}
    else:
        schedule = results["schedule"]
        assert isinstance(schedule, Schedule)
        column = "discount" if wanted.schedule == "proposed" else "prudent_discount"
        discounts = dict(schedule.table.select("health_group", column).iter_rows())
    gate = results.get("rate_adjustment_check")
    gate = gate if isinstance(gate, RateAdjustmentCheck) else None
    change = wanted.adjustment
    if change == "indicated":
        if "indication" not in results:
            raise InputError(
                "no change is indicated",
                where="renewal.adjustment",
                do="give [loss_ratio], or a number",
            )
        change = float(results["indication"].facts["indicated_change"])
        if gate is not None and gate.verdict == "fail" and change > 0:
            change, gate = 0.0, None
    else:
        gate = None
    return RenewalRules(
        discounts=discounts,
        cap=discount.cap,
        adjustment=float(change),
        gate=gate,
        most_rise=wanted.most_rise,
        most_fall=wanted.most_fall,
        decimals=wanted.decimals,
    )


def renew_study(
    study: Study,
    out: str | Path,
    *,
    due: str | Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Ledger:
    """Price every renewal that is due in a study's book, or those of a file, into a Parquet file.

    Parameters
    ----------
    study : Study
        With a section ``[renewal]``.
    out : path
        Parquet file to write: a row per renewal with its trace.
    due : path, optional
        Parquet file of the renewals due (policy_id, health_group, standard_premium of the coming term, and
        premium_before, consent where known), streamed; the study's own book where left out. Where the
        study has a ledger of consents, the file says whose renewal it is and when it is due (person_id, due).
    progress : callable
        Told each step.

    Raises
    ------
    InputError
        For a study without ``[renewal]`` and, where no file is given, without a book; as the pricing.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> renew_study(open_study(bundled("studies/randhie.toml")), "out.parquet")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...randhie...: the study says nothing of renewals
      do: add a section [renewal]; docs/study_file.md lists its keys
    """
    wanted, window = study.settings.renewal, study.settings.study.observed
    if wanted is None or window is None:
        raise InputError(
            "the study says nothing of renewals",
            where=str(study.path),
            do="add a section [renewal]; docs/study_file.md lists its keys",
        )
    given = None if due is None else _scanned(Path(due))
    known = wanted.schedule == "present" and wanted.adjustment != "indicated"
    rules = rules_of(wanted, study.settings.discount, {} if known else study.run(progress=progress))
    progress("renewals")
    rows = _agreed(study, given) if given is not None else study.due()
    basis = Basis(source=study.name, period=study.period, currency=study.settings.study.currency,
                  fingerprint=study.fingerprint)  # fmt: skip
    return renew(rows, rules, out, basis=basis)


def _agreed(study: Study, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Hold the renewals of a file against the study's ledger of consents, where it has one."""
    if "consents" not in study.settings.tables:
        return rows
    schema = rows.collect_schema()
    if lacking := [name for name in ("person_id", "due") if name not in schema]:
        raise InputError(
            f"a ledger of consents, and renewals without {' and '.join(lacking)}",
            where=str(study.path),
            do="give the file person_id and due (date): without consent there is no discount",
        )
    ledger = consents(study.consents())
    told = {**schema, "consent": pl.Boolean()}

    def held(part: pl.DataFrame) -> pl.DataFrame:
        return with_consent(part, ledger, purpose="discount", on="due").select(*told)

    return rows.map_batches(held, schema=told, streamable=True).drop("person_id", "due")


def _scanned(path: Path) -> pl.LazyFrame:
    try:
        rows = pl.scan_parquet(path)
        rows.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"no readable Parquet file: {error}", where=str(path)) from error
    return rows
