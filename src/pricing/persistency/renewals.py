"""Renewals: one row per renewal offered, taken up or not, and an account of what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.domain import listed, require_columns
from pricing.files import fingerprint
from pricing.persistency.offer_tables import require_tables, require_window
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["OfferAccount", "RenewalOffers", "renewal_offers"]

OUTCOMES = (
    *("renewed", "left_at_renewal", "ended_by_death", "ended_by_cancelled", "ended_by_lapse"),
    *("ended_by_expired", "due_outside_window"),
)
LEFT_OUT = OUTCOMES[2:]
GRACE = 60  # days
CHANGES = ("price_change", "standard_change", "discount_change")
OFFERED = ("health_group", "health_value", "in_programme", "standard_premium", "premium")
UNKNOWN = "what was offered to those who left is not known: no price change, no price response"


class OfferAccount(Result):
    """Where every policy year went: renewed, left at the anniversary, or not an offer at all.

    ``.table``: outcome, policy_years, share.
    """

    kind = "renewal_offers"

    def finding(self, lang: Language = "en") -> str:
        """Say how many renewals were offered, taken up, and left out."""
        return say("finding.renewal_offers", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the policy years by outcome."""
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=[level_label(name, lang) for name in self.table["outcome"]],
            y=self.table["policy_years"].to_list(),
            marker_color=[
                COLOURS["bars"] if name in LEFT_OUT else COLOURS["estimate"]
                for name in self.table["outcome"]
            ],
            name=label("policy_years", lang),
        )
        return figure.update_layout(
            showlegend=False,
            xaxis={"title": {"text": label("outcome", lang)}, "type": "category"},
            yaxis={"title": {"text": label("policy_years", lang)}},
        )


@dataclass(frozen=True)
class RenewalOffers:
    """The renewals offered within a window, a row each, ready to be collected into cells.

    Attributes
    ----------
    rows : polars.DataFrame
        policy_id, policy_year (the one that ended), due (the anniversary), renewed (0 or 1),
        premium_before and premium_offered (currency a year), price_change (ln of their ratio),
        standard_change (ln ratio of the standard premiums: the filed rate change and the age
        step, without the health discount), discount_change (the rest), health_group (of the year
        that ended), offered_health_group, health_value (measured before the offer), and every
        factor of the policy. Prices are null where the offer to those who left is not known.
    account : OfferAccount
        Every policy year counted once.
    """

    rows: pl.DataFrame
    account: OfferAccount = field(repr=False)

    def cells(
        self, by: Sequence[str], *, price_step: float = 0.001, basis: Basis | None = None
    ) -> Experience:
        """Collect offers into cells: exposure is offers, claims and amount are renewals.

        Parameters
        ----------
        by : sequence of str
            Factors and covariates, such as ``health_group`` and ``price_change``.
        price_step : float
            Logarithmic changes are rounded to it, so that cells stay few; 0 leaves them as they
            are. One tenth of a per cent moves a slope by less than 10⁻⁴ of itself where changes
            spread by 3 % or more (rounding error of variance step²/12).
        basis : Basis, optional
            Source, period and notes; the account's where left out.

        Examples
        --------
        >>> policies = pl.DataFrame({"policy_id": ["a", "b"], "start": [date(2023, 5, 1)] * 2,
        ...     "end": [date(2024, 5, 1), date(2025, 1, 1)], "exit_cause": ["lapse", None]})
        >>> renewals = pl.DataFrame({"policy_id": ["a", "b", "b"], "policy_year": [0, 0, 1],
        ...     "start": [date(2023, 5, 1)] * 2 + [date(2024, 5, 1)], "health_group": "G0",
        ...     "standard_premium": [100.0, 100.0, 105.0]})
        >>> found = renewal_offers(policies, renewals, observed=(date(2023, 1, 1), date(2025, 1, 1)))
        >>> found.cells(["health_group"]).cells.select("exposure", "claims").row(0)
        (2.0, 1)
        """
        known = basis or self.account.basis
        if price_step and any(name.endswith("_change") for name in by):
            note = f"price changes are rounded to {price_step:g}"
            known = replace(known, notes=(*known.notes, note))
        rows = self.frame(by, price_step=price_step)
        return Experience.collect(rows, listed(by), amount="amount", basis=known)

    def frame(self, by: Sequence[str], *, price_step: float = 0.001) -> pl.DataFrame:
        """Give the rows that :meth:`cells` collects, with policy_id: for clustered errors."""
        keys = listed(by)
        require_columns(keys, self.rows.columns)
        if isinstance(price_step, bool) or not isinstance(price_step, int | float):
            raise InputError(f"price_step is a number, got {price_step!r}")
        if not 0 <= price_step < 1:
            raise InputError(f"price_step is a small fraction, 0 or more, got {price_step!r}")
        prices = [n for n in keys if n in CHANGES]
        lack = [(n, self.rows[n].null_count()) for n in prices if self.rows[n].null_count()]
        if lack:
            raise InputError(
                "prices that are not known",
                faults=[f"{n}: {k:,} of {self.rows.height:,} offers have none" for n, k in lack],
                do="give renewal_offers the offer file, or offered= to recompute the premium",
            )
        step = float(price_step)
        rounded = [((pl.col(n) / step).round(0) * step).round(9) for n in prices] if step else []
        flags = [
            pl.when(n).then(pl.lit("yes")).when(~pl.col(n)).then(pl.lit("no")).alias(n)
            for n in keys
            if self.rows.schema[n] == pl.Boolean
        ]
        return self.rows.select(
            *dict.fromkeys(["policy_id", *keys]),
            exposure=pl.lit(1.0),
            claims="renewed",
            amount=pl.col("renewed").cast(pl.Float64),
        ).with_columns(*rounded, *flags)


def renewal_offers(
    policies: pl.DataFrame,
    renewals: pl.DataFrame,
    offers: pl.DataFrame | None = None,
    *,
    observed: tuple[date, date],
    offered: Mapping[str, pl.Expr] | None = None,
    currency: str = "CNY",
    source: str = "",
) -> RenewalOffers:
    """Make one row per renewal offered from the insurer's tables.

    Policyholders meet the price at the anniversary. Who died, cancelled or ran off before it was
    never offered one and is no lapse; whose anniversary lies outside the window is not known yet.
    Both are left out and counted. The premium offered to those who left stands in no table of
    policies; it comes from the offer file or from a computation the user gives. Without either, no
    row has a price: prices of the renewers alone would be chosen by the outcome.

    Parameters
    ----------
    policies : polars.DataFrame
        ``policy_id``, ``start``, ``end`` (half-open), ``exit_cause`` (lapse, death, cancelled,
        expired, or null), and any factors.
    renewals : polars.DataFrame
        ``policy_id``, ``policy_year`` (0, 1, …), ``start``, ``health_group``,
        ``standard_premium`` and, where charged apart, ``premium``.
    offers : polars.DataFrame, optional
        The offer file (contract ``offers``): ``policy_id``, ``policy_year`` (the one offered),
        ``standard_premium``, ``premium``, ``renewed``, ``health_group``, ``health_value``.
    observed : (date, date)
        Anniversaries from the first to before the second are looked at.
    offered : mapping of str to expression, optional
        In place of the file: ``standard_premium`` and ``premium`` offered, as expressions of the
        policy and of the year that ended (``standard_premium``, ``premium``, ``policy_year``,
        ``due``, factors). Used for those who renewed and those who left alike; the account says
        how far it lies from what the renewers then paid.
    currency, source : str
        For the basis.

    Returns
    -------
    RenewalOffers
        ``.rows``, ``.account``, ``.cells(by)``.

    Raises
    ------
    InputError
        For missing columns or of the wrong kind, a window the wrong way round, policy years or
        offers that appear twice or have no policy, policy years that do not begin at an anniversary
        or begin after the exit, offers after the exit or without an outcome, premiums that are null
        or not above zero, a cover that ends at an anniversary for no cause, a renewed policy without its next year,
        an offer file that disagrees with the exits, and no renewal at all.

    Notes
    -----
    The anniversary is the policy's start moved by whole years (29 February to 28 in common years; an
    end on 1 March is at it too). A lapse is at the renewal where the cover ends at the anniversary;
    the basis counts those within 60 days of one.

    Examples
    --------
    >>> policies = pl.DataFrame({"policy_id": ["a", "b"], "start": [date(2023, 5, 1)] * 2,
    ...     "end": [date(2024, 5, 1), date(2025, 1, 1)], "exit_cause": ["lapse", None]})
    >>> renewals = pl.DataFrame({"policy_id": ["a", "b", "b"], "policy_year": [0, 0, 1],
    ...     "start": [date(2023, 5, 1)] * 2 + [date(2024, 5, 1)], "health_group": "G0",
    ...     "standard_premium": [100.0, 100.0, 105.0]})
    >>> rise = {"standard_premium": pl.col("standard_premium") * 1.05}
    >>> found = renewal_offers(policies, renewals, observed=(date(2023, 1, 1), date(2025, 1, 1)),
    ...                        offered=rise)
    >>> found.rows.select("policy_id", "renewed", pl.col("price_change").round(4)).rows()
    [('a', 0, 0.0488), ('b', 1, 0.0488)]
    """
    first, stop = require_window(observed)
    if offers is not None and offered is not None:
        raise InputError("both an offer file and offered= are given", do="give one of the two")
    policies, renewals, offers = require_tables(policies, renewals, offers)
    years = _years(policies, renewals)
    placed = _outcomes(years, first, stop)
    kept = placed.filter(~pl.col("outcome").is_in(LEFT_OUT))
    if kept.is_empty():
        raise InputError(
            f"no renewal falls due from {first} to before {stop}",
            do="take a longer window, or check start, end and exit_cause of the policies",
        )
    rows, gap = _priced(kept, years, offers, offered)
    account = _account(placed, rows, gap, (first, stop), currency, source)
    alone = policies.join(renewals, on="policy_id", how="anti").height
    if alone:
        note = (
            f"{alone:,} policies have no policy year in renewals: what became of them is not told"
        )
        basis = replace(account.basis, notes=(*account.basis.notes, note))
        account = replace(account, basis=basis)
    return RenewalOffers(rows, account)


def _years(policies: pl.DataFrame, renewals: pl.DataFrame) -> pl.DataFrame:
    """Put policy years beside their policy, with the anniversary that ends them and the next."""
    own = [c for c in renewals.columns if c not in ("end", "start", "exit_cause")]
    began = pl.col("start").alias("_start")
    facts = policies.rename({"start": "policy_start", "end": "policy_end"})
    facts = facts.drop([c for c in own if c in facts.columns and c != "policy_id"])
    charged = "premium" if "premium" in renewals.columns else "standard_premium"
    following = renewals.select(
        "policy_id",
        pl.col("policy_year") - 1,
        *(pl.col(c).alias(f"_next_{c}") for c in OFFERED if c in renewals.columns),
        _next_charged=pl.col(charged),
    )
    years = (pl.col("policy_year") + 1).cast(pl.String) + "y"
    return (
        renewals.select(*own, began)
        .with_columns(premium_before=pl.col(charged).cast(pl.Float64))
        .join(facts, on="policy_id", how="left", maintain_order="left")
        .join(following, on=["policy_id", "policy_year"], how="left", maintain_order="left")
        .with_columns(due=pl.col("policy_start").dt.offset_by(years))
        .sort("policy_id", "policy_year")
    )


def _outcomes(years: pl.DataFrame, first: date, stop: date) -> pl.DataFrame:
    """Say of every policy year how it ended at its anniversary."""
    end, due, start = pl.col("policy_end"), pl.col("due"), pl.col("policy_start")
    leap = (start.dt.month() == 2) & (start.dt.day() == 29) & (due.dt.day() == 28)
    # who began on 29 February may as well end on 1 March
    at = (end == due) | (leap & (end == due.dt.offset_by("1d")))
    cause = pl.col("exit_cause").cast(pl.String)
    outside = (due < first) | (due >= stop)
    placed = years.with_columns(
        outcome=pl.when(outside)
        .then(pl.lit("due_outside_window"))
        .when((end > due) & ~at)
        .then(pl.lit("renewed"))
        .when(at & (cause == "lapse"))
        .then(pl.lit("left_at_renewal"))
        .otherwise("ended_by_" + cause)
    )
    faults = []
    bare = placed.filter(pl.col("outcome").is_null()).height
    if bare:
        faults.append(f"{bare:,} covers end at or before an anniversary without an exit_cause")
    odd = placed.filter(~pl.col("outcome").is_in(OUTCOMES))["outcome"].unique().sort().to_list()
    if odd:
        names = ", ".join(name.removeprefix("ended_by_") for name in odd)
        faults.append(f"exit_cause has {names}; it is lapse, death, cancelled or expired")
    gone = placed.filter(
        (pl.col("outcome") == "renewed") & pl.col("_next_standard_premium").is_null()
    )
    if gone.height:
        faults.append(
            f"{gone.height:,} policies run on past an anniversary without a row for the next "
            f"year, such as {gone['policy_id'][0]!r}"
        )
    after = placed.filter(
        (pl.col("outcome") == "left_at_renewal") & pl.col("_next_charged").is_not_null()
    )
    if after.height:
        faults.append(
            f"{after.height:,} policies left at an anniversary and have a row for the year after, "
            f"such as {after['policy_id'][0]!r}"
        )
    late = placed.filter(pl.col("_start") >= end)
    if late.height and not after.height:
        faults.append(
            f"{late.height:,} policy years begin on or after the end of their policy, such as one "
            f"of {late['policy_id'][0]!r}"
        )
    if faults:
        raise InputError("policy years that do not fit the exits", where="renewals", faults=faults)
    return placed


def _priced(
    kept: pl.DataFrame,
    years: pl.DataFrame,
    offers: pl.DataFrame | None,
    offered: Mapping[str, pl.Expr] | None,
) -> tuple[pl.DataFrame, float | None]:
    """Put the premium offered beside the premium paid, for all or for none."""
    rows = kept.with_columns(renewed=(pl.col("outcome") == "renewed").cast(pl.Int64))
    before = pl.col("standard_premium").cast(pl.Float64)
    gap: float | None = None
    if offers is not None:
        rows = _from_file(rows, offers, years)
    elif offered is not None:
        rows = _recomputed(rows, offered)
        apart = rows.filter(renewed=1).select(
            (pl.col("premium_offered") / pl.col("_next_charged")).log().abs().mean()
        )
        gap = apart.item()
    else:
        none = pl.lit(None, pl.Float64)
        rows = rows.with_columns(premium_offered=none, _standard_offered=none)
        rows = rows.with_columns(offered_health_group=pl.lit(None, pl.String))
    change = (pl.col("premium_offered") / pl.col("premium_before")).log()
    standard = (pl.col("_standard_offered") / before).log()
    rows = rows.with_columns(
        price_change=change, standard_change=standard, discount_change=change - standard
    )
    front = [
        *("policy_id", "policy_year", "due", "renewed", "premium_before", "premium_offered"),
        *("price_change", "standard_change", "discount_change", "health_group"),
        "offered_health_group",
    ]
    hidden = ("outcome", "exit_cause", "policy_end", "standard_premium", "premium")
    rest = [c for c in rows.columns if c not in (*front, *hidden) and not c.startswith("_")]
    return rows.select(*front, *rest), gap


def _from_file(rows: pl.DataFrame, offers: pl.DataFrame, years: pl.DataFrame) -> pl.DataFrame:
    charged = "premium" if "premium" in offers.columns else "standard_premium"
    has: list[str] = [c for c in ("health_value", "in_programme") if c in offers.columns]
    file = offers.select(
        "policy_id",
        (pl.col("policy_year") - 1).cast(rows.schema["policy_year"]),
        *has,
        premium_offered=pl.col(charged).cast(pl.Float64),
        _standard_offered=pl.col("standard_premium").cast(pl.Float64),
        offered_health_group=pl.col("health_group").cast(pl.String),
        _taken=pl.col("renewed").cast(pl.Int64),
    )
    key = ["policy_id", "policy_year"]
    renamed = {c: f"{c}_before" for c in has if c in rows.columns}
    alone = file.join(years, on=key, how="anti")
    if alone.height:
        raise InputError(
            f"{alone.height:,} offers have no policy year before them, such as "
            f"{alone['policy_id'][0]!r}: they were made after the exit, or the renewals lack rows",
            where="offers",
        )
    found = rows.rename(renamed).join(file, on=key, how="left", maintain_order="left")
    faults = []
    lack = found.filter(pl.col("premium_offered").is_null()).height
    if lack:
        faults.append(f"{lack:,} renewals in the window have no row in the offer file")
    apart = found.filter(pl.col("_taken") != pl.col("renewed")).height
    if apart:
        faults.append(
            f"{apart:,} offers are renewed in the file and not in policies, or the reverse"
        )
    if faults:
        raise InputError(
            "the offer file and the policies disagree",
            where="offers",
            faults=faults,
            do="take both as of the same day, or narrow the window",
        )
    return found


def _recomputed(rows: pl.DataFrame, offered: Mapping[str, pl.Expr]) -> pl.DataFrame:
    if not isinstance(offered, Mapping) or not all(
        isinstance(e, pl.Expr) for e in offered.values()
    ):
        raise InputError(
            f"offered= is a mapping of names to expressions, got {offered!r}",
            do='write {"standard_premium": pl.col("standard_premium") * 1.05}',
        )
    odd = sorted(set(offered) - {"standard_premium", "premium"})
    if odd or "standard_premium" not in offered:
        raise InputError(
            f"offered= takes standard_premium and, where charged apart, premium; got {sorted(offered)}"
        )
    plain = [c for c in rows.columns if not c.startswith("_")]
    require_columns([n for e in offered.values() for n in e.meta.root_names()], plain)
    charged = offered.get("premium", offered["standard_premium"])
    found = rows.with_columns(
        premium_offered=charged.cast(pl.Float64),
        _standard_offered=offered["standard_premium"].cast(pl.Float64),
        offered_health_group=pl.lit(None, pl.String),
    )
    value = pl.min_horizontal(pl.col("premium_offered"), pl.col("_standard_offered"))
    none = found.filter(~((value > 0) & value.is_finite()).fill_null(False)).height
    if none:
        raise InputError(
            f"offered= gives no premium above zero for {none:,} of {found.height:,} offers"
        )
    return found


def _near(placed: pl.DataFrame) -> list[str]:
    """Say how many lapses lie close to an anniversary and yet not at it: grace, or dates that slip."""
    gone = placed.filter(pl.col("outcome") == "ended_by_lapse")
    since = pl.col("policy_end") - pl.col("_start")
    before = pl.col("due") - pl.col("policy_end")
    grace = pl.duration(days=GRACE)
    after = gone.filter((since <= grace) & (pl.col("policy_year") > 0)).height
    early = gone.filter(before <= grace).height
    notes = []
    if after:
        notes.append(
            f"{after:,} lapses within {GRACE} days after an anniversary count as renewed there: if "
            "unpaid premiums end cover after days of grace, set end to the anniversary"
        )
    if early:
        notes.append(
            f"{early:,} lapses within {GRACE} days before an anniversary count as no offer: if they "
            "declined the renewal, set end to the anniversary"
        )
    return notes


def _account(
    placed: pl.DataFrame,
    rows: pl.DataFrame,
    gap: float | None,
    window: tuple[date, date],
    currency: str,
    source: str,
) -> OfferAccount:
    seen = dict(placed["outcome"].value_counts().rows())
    counts = [int(seen.get(name, 0)) for name in OUTCOMES]
    table = pl.DataFrame({"outcome": OUTCOMES, "policy_years": counts}).with_columns(
        share=pl.col("policy_years") / placed.height
    )
    n, kept = rows.height, int(rows["renewed"].sum())
    ended = sum(counts[2:-1])
    notes = [
        f"{ended:,} policy years ended before an anniversary or expired: no renewal was offered"
    ]
    if counts[-1]:
        notes.append(f"{counts[-1]:,} policy years have their anniversary outside the window")
    notes += _near(placed)
    if rows["price_change"].null_count():
        notes.append(UNKNOWN)
    if gap is not None:
        notes.append(
            f"offered premiums are recomputed; {gap:.2%} off what renewers paid, on average"
        )
    facts = {
        "offers": n, "renewed": kept, "persistency": kept / n, "ended": ended,
        "outside": counts[-1], "first": str(window[0]), "stop": str(window[1]), "gap": gap,
    }  # fmt: skip
    mark = fingerprint(
        str(rows.select(pl.struct("policy_id", "policy_year", "renewed").hash(1).sum()).item()),
        str(rows["price_change"].sum()),
        str(table.rows()),
        str(window),
    )
    basis = Basis(
        source=source,
        period=f"{window[0]} to {window[1]}",
        rows=n,
        exposure=float(n),
        claims=float(kept),
        currency=currency,
        fingerprint=mark,
        notes=tuple(notes),
    )
    return OfferAccount(table=table, basis=basis, facts=facts)
