"""Published shares of a pool: four members, and the mutual-aid example with its cap."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.losses.count_law import binomial_count, poisson
from pricing.losses.severity_law import sample_severity
from pricing.sharing.cap import cap_shares
from pricing.sharing.pool import member_class, pool_of
from pricing.sharing.rule import shares_of
from pricing.sharing.settlement import settle_shares

__all__ = ["four_members", "mutual_aid_share"]

DENUIT = "Denuit (2019), ASTIN Bulletin 49(3), example 6.1, recomputed"
Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def four_members() -> Found:
    """Share four compound Poisson losses by conditional mean; shares are parts of the loss.

    Claims .08 .08 .10 .10 a year, amounts 1 to 4 with probabilities (.1 .2 .4 .3) for the first and
    third, (.15 .25 .3 .3) for the second and fourth member.

    Examples
    --------
    >>> round(four_members()[2]["share of 2 at s = 1"], 6)
    0.266667
    """
    printed = {
        "f(0)": ".69767633", "f(1)": ".03139543", "f(2)": ".05721818", "f(3)": ".09046084",
        "f(4)": ".08165093",
    }  # fmt: skip
    at = {
        1: (".177778", ".266667", ".222222", ".333333"),
        4: (".222121", ".222323", ".277651", ".277904"),
        10: (".232239", ".212205", ".290299", ".265256"),
    }
    for s, line in at.items():
        printed |= {f"share of {k} at s = {s}": text for k, text in enumerate(line, start=1)}
    sizes = ([0.1, 0.2, 0.4, 0.3], [0.15, 0.25, 0.3, 0.3])
    laws = [sample_severity([1.0, 2.0, 3.0, 4.0], weights) for weights in sizes]
    pool = pool_of(
        [
            member_class(str(k + 1), 1, poisson(rate), laws[k % 2])
            for k, rate in enumerate((0.08, 0.08, 0.10, 0.10))
        ]
    )
    shares = shares_of(pool, "conditional_mean")
    ours = {f"f({s})": float(pool.probability[s]) for s in range(5)}
    ours |= {f"share of {k + 1} at s = {s}": float(shares[k, s]) / s for s in at for k in range(4)}
    return DENUIT, printed, ours


def mutual_aid_share() -> Found:
    """Share 100 cases of 300,000 among five million members, fee 8 %, and where a cap of 10 binds.

    Examples
    --------
    >>> mutual_aid_share()[2]["share"]
    6.48
    """
    printed = {
        "share": "6.48",
        "expected charge": "6.48",
        "one case among 3.24 million": "0.10",
        "small case among 1.08 million": "0.10",
    }
    amount = sample_severity([300_000.0])
    pool = pool_of([member_class("all", 5_000_000, binomial_count(1, 2e-5), amount)])
    found = settle_shares(pool, "uniform", 30_000_000, fee="0.08")
    capped = cap_shares(pool, "uniform", cap=10.0, fee=0.08)
    ours = {
        "share": float(found.table["charge_low"][0]),
        "expected charge": float(capped.table["charge_mean"][0]),
        "one case among 3.24 million": _one_case(3_240_000, 300_000.0),
        "small case among 1.08 million": _one_case(1_080_000, 100_000.0),
    }
    return "Rules of Xiang Hu Bao (2019), share recomputed", printed, ours


def _one_case(members: int, amount: float) -> float:
    pool = pool_of(
        [member_class("all", members, binomial_count(1, 2e-5), sample_severity([amount]))]
    )
    return float(settle_shares(pool, "uniform", amount, fee="0.08").table["charge_low"][0])
