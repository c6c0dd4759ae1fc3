"""A cap on what a member bears, and who bears the rest: the platform, or those who are helped.

With a share h_c(S) and a fee f, a member of class c is asked for min(h_c(S)·(1 + f), cap). The
shortfall Σ n_c·(h_c(S)·(1 + f) − cap)₊ falls on the platform, or reduces the payout by as much. Its
law is that of the pool's loss, so it is exact.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say
from pricing.sharing.pool import Pool, number_given
from pricing.sharing.rule import shares_of, weighted_quantiles

__all__ = ["Bearer", "CappedShares", "cap_shares"]

Array = npt.NDArray[np.float64]
Bearer = Literal["platform", "payout"]
LEVELS = (0.5, 0.95, 0.99, 0.995, 0.999)


class CappedShares(Result):
    """Shares under a cap, and the shortfall.

    ``.table`` by class: members, charge_mean (share with fee, before the cap), capped_mean,
    capped_p50, capped_p95, capped_p99, cap_reached (P(share with fee > cap)), shortfall_mean (the
    class). ``.frames["shortfall"]``: probability, shortfall (its quantile), shortfall_tail (its mean
    in the worse years), payout_ratio (part of the aid that is paid at that quantile).

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([member_class("all", 10, poisson(0.1), sample_severity([1.0]))])
    >>> round(cap_shares(pool, "uniform", cap=0.1).facts["shortfall"], 6)
    0.367879
    """

    kind = "capped_shares"

    def finding(self, lang: Language = "en") -> str:
        """Say how often the cap binds, the expected shortfall and who bears it."""
        words = dict(self.facts) | {
            "rule": level_label(str(self.facts["rule"]), lang),
            "hit": level_label(str(self.facts["hit"]), lang),
        }
        said = say("finding.capped_shares", lang, **words)
        return said + say(f"sentence.shortfall_{self.facts['bearer']}", lang, **words)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the expected charge by class under the cap, and what it would be without."""
        names, capped = self.table["member_class"].to_list(), self.table["capped_mean"].to_list()
        figure = interval_figure(
            names,
            capped,
            capped,
            capped,
            name="capped_mean",
            factor="member_class",
            lang=lang,
            bars=self.table["members"].to_list(),
            bars_name="members",
            reference=self.facts["cap"],
        )
        asked = self.table["charge_mean"].to_list()
        return with_points(figure, names, asked, name="charge_mean", lang=lang)


def cap_shares(
    pool: Pool, rule: str, *, cap: float, fee: float = 0.0, bearer: str = "platform"
) -> CappedShares:
    """Cap what a member bears, fee included, and find the shortfall and its bearer.

    Parameters
    ----------
    pool : Pool
        The pool.
    rule : str
        One of :data:`pricing.sharing.rule.RULES`.
    cap : float
        Most a member is asked for, currency, above zero.
    fee : float
        Of the aid, from 0 to below 1, such as 0.08.
    bearer : {"platform", "payout"}
        Who bears the shortfall.

    Returns
    -------
    CappedShares
        ``.facts``: rule, cap, fee, bearer, cap_reached (P of any class), hit (class it binds most
        often, ``every_payer`` where all alike), shortfall (expected), shortfall_p995, charged (expected, before the cap), collected,
        payout_ratio (expected part of the aid paid; 1 where the platform bears the shortfall).

    Raises
    ------
    InputError
        For a cap, fee or bearer outside its domain.

    Notes
    -----
    Where the payout bears it, the fee is taken of what is paid: the payout is what is collected over
    1 + fee.

    Examples
    --------
    >>> from pricing.losses.count_law import binomial_count
    >>> from pricing.losses.severity_law import sample_severity
    >>> from pricing.sharing.pool import member_class, pool_of
    >>> pool = pool_of([member_class("all", 5_000_000, binomial_count(1, 2e-5),
    ...                              sample_severity([300_000.0]))])
    >>> round(cap_shares(pool, "uniform", cap=10.0, fee=0.08).table["charge_mean"][0], 2)
    6.48
    """
    cap, fee = number_given(cap, "the cap on a share"), number_given(fee, "the fee")
    faults = []
    if not 0 < cap < math.inf:
        faults.append(f"the cap on a share is above zero, got {cap}")
    if not 0 <= fee < 1:
        faults.append(f"a fee lies from 0 to below 1 of the aid, got {fee}")
    if bearer not in get_args(Bearer):
        faults.append(f"no bearer {bearer!r}{nearest(str(bearer), get_args(Bearer))}")
    if faults:
        raise InputError("options of a cap outside their domain", faults=faults)
    p, members = pool.probability, pool.members
    asked = shares_of(pool, rule) * (1 + fee)
    hair = 1e-9 * cap
    over = (asked - cap).clip(0)
    over[over <= hair] = 0.0
    capped = asked - over
    short = members @ over
    quantiles = weighted_quantiles(capped, p, (0.5, 0.95, 0.99))
    reached = (over > 0) @ p
    table = pl.DataFrame(
        {
            "member_class": pool.names,
            "members": [one.members for one in pool.classes],
            "charge_mean": asked @ p,
            "capped_mean": capped @ p,
            "capped_p50": quantiles[:, 0],
            "capped_p95": quantiles[:, 1],
            "capped_p99": quantiles[:, 2],
            "cap_reached": reached,
            "shortfall_mean": members * (over @ p),
        }
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        paid = np.where(pool.loss > 0, 1 - short / ((1 + fee) * pool.loss), 1.0)
    whole = bearer == "platform"
    shortfall = float(short @ p)
    risk = weighted_quantiles(short[None, :], p, LEVELS)[0]
    tails = risk + ((short[None, :] - risk[:, None]).clip(0) @ p) / (1 - np.array(LEVELS))
    worst = -weighted_quantiles(-paid[None, :], p, LEVELS)[0]
    frame = pl.DataFrame(
        {
            "probability": list(LEVELS),
            "shortfall": risk,
            "shortfall_tail": tails,
            "payout_ratio": np.ones(len(LEVELS)) if whole else worst,
        }
    )
    facts: dict[str, Any] = {
        "rule": rule,
        "cap": float(cap),
        "fee": float(fee),
        "bearer": bearer,
        "currency": pool.basis.currency,
        "cap_reached": float(p[short > 0].sum()),
        "hit": _hit(pool, reached),
        "shortfall": shortfall,
        "shortfall_p995": float(risk[3]),
        "charged": pool.expected * (1 + fee),
        "collected": float(members @ (capped @ p)),
        "payout_ratio": 1.0 if whole else 1 - shortfall / ((1 + fee) * float(pool.loss @ p)),
    }
    mark = fingerprint(pool.basis.fingerprint, rule, repr((cap, fee)), bearer)
    basis = replace(pool.basis, fingerprint=mark)
    return CappedShares(table=table, basis=basis, facts=facts, frames={"shortfall": frame})


def _hit(pool: Pool, reached: Array) -> str:
    """Name the class the cap binds most often, or say that it binds all payers alike."""
    paying = reached[pool.paying]
    if paying.size > 1 and float(np.ptp(paying)) < 1e-9:
        return "every_payer"
    return pool.names[int(np.argmax(reached))]
