"""Published figures of coverage modifications, layers and stop-loss covers; the algebra of the tiers.

Loss Data Analytics prints answers to problems of the actuarial societies; the laws behind two of them
(density 0.02x to 10 with a deductible of 4; density x(4 − x)/9 to 3 with a limit of 1) are stated here as
those that give the printed answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy import stats

from pricing.losses.aggregate import aggregate_loss
from pricing.losses.count_law import poisson
from pricing.losses.severity_law import mixed_severity, sample_severity, severity_law
from pricing.losses.terms import Terms
from pricing.tiers.benefit import Benefit, induced_use
from pricing.tiers.cost import cost_tier
from pricing.tiers.tier import Subsidy, Tier

__all__ = ["coverage", "excess_layer", "stop_loss_table", "tier_algebra"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
LDA = "Actuarial Community, Loss Data Analytics (2nd ed. 2020)"


def coverage() -> Found:
    """Deductible, loss elimination ratio and limit of one loss.

    Examples
    --------
    >>> round(coverage()[2]["E(Y_P), deductible 4"], 4)
    3.4286
    """
    printed = {
        "Var(Y_L), exponential 1,000, deductible 100": "990944",
        "E(Y_P), deductible 4": "3.4286",
        "LER .7 after the deductible grows by a third": "0.7992",
        "E(X^1), in millions": "0.9352",
    }
    paid = severity_law(stats.expon(scale=1000.0)).under(Terms(deductible=100.0))
    ramp = severity_law(stats.beta(2, 1, scale=10.0))
    bills = mixed_severity([stats.beta(2, 2, scale=3.0), stats.beta(2, 1, scale=3.0)], [0.5, 0.5])
    first = float(stats.expon.ppf(0.7))  # where an exponential loss of mean 1 has a LER of 0.7
    ours = {
        "Var(Y_L), exponential 1,000, deductible 100": paid.power(2) - paid.mean**2,
        "E(Y_P), deductible 4": ramp.under(Terms(deductible=4.0)).mean / ramp.exceeds(4.0),
        "LER .7 after the deductible grows by a third": 1
        - severity_law(stats.expon()).under(Terms(deductible=first * 4 / 3)).mean,
        "E(X^1), in millions": bills.under(Terms(limit=1.0)).mean,
    }
    return f"{LDA}, chapter 3", printed, ours


def excess_layer() -> Found:
    """Excess-of-loss layer 5,000 above 3,000 of Poisson(15) log-normal(5.9809, 1.8) losses.

    Examples
    --------
    >>> round(excess_layer()[2]["mean"], 2)
    5785.25
    """
    printed = {
        "expected claims in the layer": "1.95359",
        "mean": "5785.25",
        "standard deviation": "4910.93",
        "skewness": "0.93405",
    }
    loss = stats.lognorm(s=1.8, scale=math.exp(5.9809))
    year = aggregate_loss(poisson(15.0), loss, per_claim=Terms(attachment=3000.0, width=5000.0))
    mean, sd, skew = year.frames["errors"]["exact"].to_list()
    ours = {
        "expected claims in the layer": 15.0 * float(loss.sf(3000.0)),
        "mean": mean,
        "standard deviation": sd,
        "skewness": skew,
    }
    return "Poisson(15) log-normal(5.9809, 1.8), layer 5,000 xs 3,000", printed, ours


def stop_loss_table() -> Found:
    """Compound Poisson(1.75) of sizes 1 to 5: probabilities and stop-loss premiums.

    The premium at 6 is printed as .804623, a running difference of rounded premiums; ours is .8046236.

    Examples
    --------
    >>> round(stop_loss_table()[2]["E(S - 3)+"], 6)
    2.062749
    """
    year = aggregate_loss(
        poisson(1.75), sample_severity([1.0, 2.0, 3.0, 4.0, 5.0], [0.2, 0.4, 0.2, 0.15, 0.05])
    )
    p = (".173774", ".060821", ".132285", ".104637")
    premium = ("4.2875", "3.461274", "2.695869", "2.062749", "1.534266", "1.122821", ".80462")
    printed = {f"P(S = {k})": value for k, value in enumerate(p)}
    printed |= {f"E(S - {d})+": value for d, value in enumerate(premium)}
    ours = {f"P(S = {k})": float(year.probability[k]) for k in range(4)}
    ours |= {f"E(S - {d})+": year.stop_loss(float(d)) for d in range(7)}
    return "compound Poisson(1.75), sizes 1 to 5", printed, ours


def tier_algebra() -> Found:
    """What a premium means in claims and bills, and what a subsidy does to the price.

    Examples
    --------
    >>> tier_algebra()[2]["500: member's price with 200 of subsidy"]
    300.0
    """
    printed = {
        "500: expected claims at 70 %": "350",
        "500: bills at 80 % reimbursement": "437.5",
        "2,000: expected claims at 70 %": "1400",
        "2,000: bills at 80 % reimbursement": "1750",
        "500: member's price with 200 of subsidy": "300",
        "free care against 25 % at an arc elasticity of -0.2": "1.5",
    }
    ours = {"free care against 25 % at an arc elasticity of -0.2": induced_use(0.0, 0.25)}
    for price, name in ((500.0, "500"), (2000.0, "2,000")):
        bill = 0.7 * price / 0.8
        care = Benefit(
            name="care", frequency=1.0, severity=stats.expon(scale=bill), coinsurance=0.2
        )
        cost = cost_tier(
            Tier(name=name, benefits=(care,), premium=price), 1000, subsidy=Subsidy(amount=200.0)
        )
        ours |= {
            f"{name}: expected claims at 70 %": cost.facts["pure_premium"],
            f"{name}: bills at 80 % reimbursement": cost.facts["bill"],
        }
        if price == 500.0:
            ours["500: member's price with 200 of subsidy"] = cost.facts["member_price"]
    return "premium × loss ratio = claims = bills × reimbursement", printed, ours
