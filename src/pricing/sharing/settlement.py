"""A period settled: aid paid, with its fee, is charged to the members to the last fen.

Rules of rounding a charge to the smallest coin:

* ``"largest_remainder"`` (Hamilton): every charge is cut to whole coins; the coins missing to the total
  go one each to those with the largest part cut off. Members of a class may differ by one coin; the
  charges add up to the total exactly.
* ``"round_up"``, ``"round_nearest"``, ``"round_down"``: members of a class pay the same; what is charged above (or below)
  the total is the remainder, and stands in the ledger.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say
from pricing.sharing.pool import Pool
from pricing.sharing.rule import shares_of

__all__ = ["AlikeRounding", "Rounding", "SettledShares", "settle_shares", "whole_coins"]

Array = npt.NDArray[np.float64]
Coins = npt.NDArray[np.int64]
AlikeRounding = Literal["round_up", "round_nearest", "round_down"]
Rounding = Literal["largest_remainder", "round_up", "round_nearest", "round_down"]
MOST_COINS = 2**52
HAIR = 1e-6  # of a coin: what floating point may leave beside a whole or a half


class SettledShares(Result):
    """Charges of a settled period.

    ``.table`` by class: members, charge_exact (a member, fee included), charge_low and members_low,
    charge_high and members_high (one coin more), charge_total. ``.frames["ledger"]``: entry,
    amount_of_money: aid, fee, what each class is charged, and the remainder; it adds up to nil.

    Examples
    --------
    >>> from pricing.losses.count_law import binomial_count
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([member_class("all", 7, binomial_count(1, 0.1), sample_severity([100.0]))])
    >>> settle_shares(pool, "uniform", 100.0).table.select("charge_low", "members_high").row(0)
    (14.28, 4)
    """

    kind = "settled_shares"

    def finding(self, lang: Language = "en") -> str:
        """Say aid, fee, what is charged, the remainder and its rule."""
        words = dict(self.facts)
        for name in ("rule", "rounding", "highest", "lowest"):
            words[name] = level_label(str(words[name]), lang)
        return say("finding.settled_shares", lang, **words)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the charge of a member by class over the members."""
        exact = self.table["charge_exact"].to_list()
        return interval_figure(
            self.table["member_class"].to_list(),
            exact,
            exact,
            exact,
            name="charge_exact",
            factor="member_class",
            lang=lang,
            bars=self.table["members"].to_list(),
            bars_name="members",
        )


def settle_shares(
    pool: Pool,
    rule: str,
    aid: float | Decimal | str,
    *,
    fee: float | Decimal | str = 0,
    rounding: str = "largest_remainder",
    coin: float | Decimal | str = "0.01",
) -> SettledShares:
    """Charge the aid of a period, with its fee, to the members of a pool.

    Parameters
    ----------
    pool : Pool
        The pool whose members pay; between two points of its lattice shares are interpolated, which
        keeps their sum.
    rule : str
        One of :data:`pricing.sharing.rule.RULES`.
    aid : float or Decimal
        Aid of the period, currency, zero or more, in whole coins.
    fee : float or Decimal
        Of the aid, from 0 to below 1; aid × (1 + fee) is rounded half up to whole coins.
    rounding : {"largest_remainder", "round_up", "round_nearest", "round_down"}
        See the module.
    coin : float or Decimal
        Smallest amount charged, currency: 0.01 is a fen.

    Returns
    -------
    SettledShares
        ``.facts``: rule, rounding, aid, fee_amount, total, charged, remainder (charged − total),
        payers, lowest and highest class with low and high, currency.

    Raises
    ------
    InputError
        For aid, fee, rounding or coin outside their domain; aid beyond what the pool's law holds
        possible, under a rule that needs it; a rule that would pay members.

    Examples
    --------
    >>> from pricing.losses.count_law import binomial_count
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([member_class("all", 5_000_000, binomial_count(1, 2e-5),
    ...                              sample_severity([300_000.0]))])
    >>> settle_shares(pool, "uniform", 30_000_000, fee="0.08").table["charge_low"].to_list()
    [6.48]
    """
    amount, part, unit = (_exact(v, n) for v, n in ((aid, "aid"), (fee, "fee"), (coin, "coin")))
    faults = []
    if amount < 0:
        faults.append(f"aid is zero or more, got {aid}")
    if not 0 <= part < 1:
        faults.append(f"a fee lies from 0 to below 1 of the aid, got {fee}")
    if unit <= 0:
        faults.append(f"a coin is above zero, got {coin}")
    elif amount % unit:
        faults.append(f"aid of {amount} is not in whole coins of {unit}")
    if rounding not in get_args(Rounding):
        faults.append(f"no rounding {rounding!r}{nearest(str(rounding), get_args(Rounding))}")
    if faults:
        raise InputError("a settlement outside its domain", faults=faults)
    total = int((amount * (1 + part) / unit).to_integral_value(ROUND_HALF_UP))
    if total > MOST_COINS:
        raise InputError(
            f"{total:,} coins are more than can be divided exactly", do="take a larger coin"
        )
    number = np.array([one.members for one in pool.classes], dtype=np.int64)
    exact = _shares_at(pool, rule, float(amount)) * pool.paying
    borne = float(pool.members @ exact)
    exact = exact * (total / borne) if borne > 0 else exact
    below = int((exact < -1e-9).sum())
    if below:
        raise InputError(
            f"{below} of {number.size} classes would be paid instead of charged by {rule}",
            do="take conditional_mean, which asks for zero or more",
        )
    low, more = _rounded(exact.clip(0), number, total, rounding)
    charged = int((low * number + more).sum())
    high = low + (more > 0)
    table = pl.DataFrame(
        {
            "member_class": pool.names,
            "members": number,
            "charge_exact": exact * float(unit),
            "charge_low": _money(low, unit),
            "members_low": number - more,
            "charge_high": _money(high, unit),
            "members_high": more,
            "charge_total": _money(low * number + more, unit),
        }
    )
    fee_coins = total - int(amount / unit)
    entries = [("aid", -int(amount / unit)), ("fee", -fee_coins)]
    entries += list(zip(pool.names, (low * number + more).tolist(), strict=True))
    entries.append(("remainder", total - charged))
    ledger = pl.DataFrame(
        {
            "entry": [name for name, _ in entries],
            "amount_of_money": _money(np.array([v for _, v in entries], dtype=np.int64), unit),
        }
    )
    payers = table.filter(pl.Series(pool.paying)).sort("charge_exact", maintain_order=True)
    facts: dict[str, Any] = {
        "rule": rule,
        "rounding": rounding,
        "aid": float(amount),
        "fee_amount": float(fee_coins * unit),
        "total": float(total * unit),
        "charged": float(charged * unit),
        "remainder": float((charged - total) * unit),
        "payers": int(payers["members"].sum()),
        "lowest": payers["member_class"][0],
        "low": payers["charge_low"][0],
        "highest": payers["member_class"][-1],
        "high": payers["charge_high"][-1],
        "currency": pool.basis.currency,
    }
    mark = fingerprint(pool.basis.fingerprint, rule, str(amount), str(part), rounding, str(unit))
    basis = replace(pool.basis, fingerprint=mark)
    return SettledShares(table=table, basis=basis, facts=facts, frames={"ledger": ledger})


def whole_coins(exact: npt.ArrayLike, rounding: str) -> Coins:
    """Round charges, in coins, so that equal ones stay equal; a half goes up.

    Parameters
    ----------
    exact : array
        Charges in coins, zero or more.
    rounding : {"round_up", "round_nearest", "round_down"}
        See the module.

    Raises
    ------
    InputError
        For an unknown rounding.

    Examples
    --------
    >>> [whole_coins([2.5, 3.2], rule).tolist() for rule in ("round_up", "round_nearest", "round_down")]
    [[3, 4], [3, 3], [2, 3]]
    """
    coins = np.asarray(exact, dtype=float)
    if rounding == "round_up":
        return np.ceil(coins - HAIR).astype(np.int64)
    if rounding == "round_nearest":
        return np.floor(coins + 0.5 + HAIR).astype(np.int64)
    if rounding == "round_down":
        return np.floor(coins + HAIR).astype(np.int64)
    raise InputError(
        f"no rounding {rounding!r}{nearest(str(rounding), get_args(AlikeRounding))}",
        do=f"take one of {', '.join(get_args(AlikeRounding))}",
    )


def _exact(value: float | Decimal | str, name: str) -> Decimal:
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        found = Decimal("nan")
    if not found.is_finite():
        raise InputError(f"{name} is a finite number, got {value!r}")
    return found


def _shares_at(pool: Pool, rule: str, aid: float) -> Array:
    """Share of a member by class at an aid: on the line between two points of the lattice."""
    shares = shares_of(pool, rule)
    if rule != "conditional_mean":  # straight lines
        slope = (shares[:, -1] - shares[:, 0]) / (pool.loss[-1] - pool.loss[0])
        return np.asarray(shares[:, 0] + slope * (aid - pool.loss[0]))
    if not pool.loss[0] <= aid <= pool.loss[-1]:
        raise InputError(
            f"aid of {aid:,.2f} lies outside what the pool's law holds possible, "
            f"{pool.loss[0]:,.0f} to {pool.loss[-1]:,.0f}",
            do="look at the incidence the pool was given, or take mean_proportional",
        )
    at = min(max(int(np.searchsorted(pool.loss, aid)), 1), pool.loss.size - 1)
    left, right = pool.loss[at - 1], pool.loss[at]
    weight = (aid - left) / (right - left)
    return np.asarray(shares[:, at - 1] * (1 - weight) + shares[:, at] * weight)


def _rounded(exact: Array, number: Coins, total: int, rounding: str) -> tuple[Coins, Coins]:
    """Whole coins of a member, and how many of each class pay one more."""
    none = np.zeros(number.size, dtype=np.int64)
    if rounding != "largest_remainder":
        return whole_coins(exact, rounding), none
    near = np.rint(exact)
    exact = np.where(np.abs(exact - near) < 1e-9, near, exact)
    low = np.floor(exact).astype(np.int64)
    left = total - int((low * number).sum())
    order = np.argsort(-(exact - low), kind="stable")  # largest part cut off first, then as given
    if left < 0:  # a part lost to rounding in the last place: take the coins back
        short = int(-left)
        for k in order[::-1]:
            if low[k] > 0 and short > 0:
                low[k] -= 1
                short -= min(short, int(number[k]))
        left = total - int((low * number).sum())
    more = none.copy()
    sums = np.cumsum(number[order])
    more[order] = np.minimum(number[order], (left - (sums - number[order])).clip(0))
    return low, more


def _money(coins: Coins, unit: Decimal) -> list[float]:
    return [float(int(v) * unit) for v in coins]
