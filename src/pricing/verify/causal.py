"""Published effects: birth weight and smoking, selection bias with a known truth, power, reversion."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import expit, ndtr

from pricing.causal.adjusted import naive, regression
from pricing.causal.falsification import e_value
from pricing.causal.mean_reversion import expected_fall, spearman_brown
from pricing.causal.nuisance import Nuisance, Regression, propensity_fit
from pricing.causal.people import Flags, People
from pricing.causal.power import people_needed
from pricing.causal.two_periods import two_periods
from pricing.causal.weighting import aipw, balancing_weights, inverse_probability, standardised
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.result.shape import Basis

__all__ = ["birth_weight", "closed_forms", "selection_bias"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def birth_weight() -> Found:
    """Effect of smoking in pregnancy on birth weight in grams, with the standard errors.

    Cattaneo (2010), Journal of Econometrics 155; as printed by Stata's teffects and tested in
    statsmodels, which carries the 4,642 births. Probit propensity, least squares for the weight.

    Examples
    --------
    >>> round(birth_weight()[2]["AIPW"], 2)
    -230.99
    """
    births = _births()
    smokes = births["mbsmoke_"].to_numpy().astype(bool)
    weight = births["bweight"].cast(pl.Float64).to_numpy()
    n = births.height
    x = _columns(births, "mmarried_", "mage", "mage2", "fbaby_", "medu")
    z = _columns(births, "prenatal1_", "mmarried_", "mage", "fbaby_")
    each = np.arange(n)
    people = People(smokes, weight, np.ones(n), x, each, (), each, "bweight", Basis(rows=n))
    eta = x @ propensity_fit(x, smokes, np.ones(n), link="probit")
    pi, slope = ndtr(eta), np.exp(-(eta**2) / 2) / np.sqrt(2 * np.pi)
    sign = 2.0 * smokes - 1.0
    ratio = sign * slope / ndtr(sign * eta)
    information = (x * (ratio * (ratio + eta))[:, None]).T @ x  # the observed one, as Stata's
    drift = Regression(x, each, slope, ((ratio, np.asarray(np.linalg.inv(information))),))

    def least_squares(side: Flags, w: Floats) -> tuple[Floats, Regression]:
        weighted = z * (side * w)[:, None]
        bread = np.asarray(np.linalg.inv(weighted.T @ z))
        mean = z @ (bread @ (weighted.T @ weight))
        left = side * w * (weight - mean)
        return mean, Regression(z, each, np.ones(n), ((left, bread),))

    def fitted(inside: Floats, outside: Floats) -> Nuisance:
        one, other = least_squares(smokes, inside), least_squares(~smokes, outside)
        return Nuisance(pi, one[0], other[0], (drift, one[1], other[1]))

    plain = fitted(np.ones(n), np.ones(n))
    ipw = balancing_weights(smokes, pi)
    doubly = fitted(ipw, ipw)
    wls = fitted((1 / pi) * (1 / pi - 1), (1 / (1 - pi)) * (1 / (1 - pi) - 1))
    small = np.sqrt((n - 1) / n)  # the print has no factor n/(n − 1)
    found = {
        "RA": standardised(people, plain), "IPW": inverse_probability(people, plain),
        "AIPW": aipw(people, plain), "AIPW-WLS": aipw(people, wls),
        "IPW-RA": standardised(people, doubly),
        "RA of smokers": standardised(people, plain, "att"),
        "IPW of smokers": inverse_probability(people, plain, "att"),
    }  # fmt: skip
    ours = {name: c.difference for name, c in found.items()}
    ours |= {
        f"{name}, standard error": found[name].difference_error * small
        for name in ("RA", "IPW", "AIPW", "RA of smokers", "IPW of smokers")
    }
    printed = {
        "RA": "-239.63921", "IPW": "-230.68864", "AIPW": "-230.98920", "AIPW-WLS": "-227.19562",
        "IPW-RA": "-229.96708", "RA of smokers": "-223.30165", "IPW of smokers": "-225.17726",
        "RA, standard error": "23.82402", "IPW, standard error": "25.81524",
        "AIPW, standard error": "26.21056", "RA of smokers, standard error": "22.74220",
        "IPW of smokers, standard error": "23.66458",
    }  # fmt: skip
    source = "Cattaneo (2010), birth weight and smoking, as printed by Stata's teffects (statsmodels 0.15)"
    return source, printed, ours


@cache
def selection_bias() -> Found:
    """Million lives whose programme saves 3 %: what each estimator makes of it, in percent.

    Latent health U ~ N(0, 1), age U(30, 65); joining is logit with −.2 + .7U − .01(age − 45);
    admissions are Poisson with exp(−2.4 + .045(age − 45) + .05 sex − .30U), times 1.03 the next year.

    Examples
    --------
    >>> source, printed, ours = selection_bias()
    >>> round(ours["naive"], 1), round(ours["latent health known"], 1)
    (-22.8, -2.9)
    """
    n = 1_000_000
    rng = np.random.default_rng(20250101)
    health = rng.standard_normal(n)
    age, sex = rng.uniform(30, 65, n) - 45, rng.integers(0, 2, n).astype(np.float64)
    joins = rng.random(n) < expit(-0.2 + 0.7 * health - 0.01 * age)
    rate = np.exp(-2.4 + 0.045 * age + 0.05 * sex - 0.3 * health)
    before = rng.poisson(rate).astype(np.float64)
    after = rng.poisson(rate * 1.03 * np.where(joins, 0.97, 1.0)).astype(np.float64)
    proxy = health + rng.standard_normal(n)
    one, each = np.ones(n), np.arange(n)

    def people(*known: Floats) -> People:
        x = np.column_stack([one, *known])
        return People(joins, after, one, x, each, (), each, "claims", Basis(rows=n))

    found = {
        "naive": naive(people()),
        "age and sex": regression(people(age, sex)),
        "prior claims": regression(people(age, sex, before)),
        "noisy health proxy": regression(people(age, sex, before, proxy)),
        "latent health known": regression(people(age, sex, health)),
        "ratio DiD": two_periods(before, after, joins, trend="ratio"),
    }
    ours = {name: 100 * (c.ratio - 1) for name, c in found.items()}
    ours |= {f"{name}, standard error": c.ratio_error for name, c in found.items()}
    had = before > 0
    ours |= {
        "joiners": 100 * float(joins.mean()), "claimants": 100 * float(had.mean()),
        "before and after, claimants": 100 * float(after[had].sum() / before[had].sum() - 1),
    }  # fmt: skip
    printed = {
        "naive": "-22.8", "age and sex": "-19.7", "prior claims": "-19.5",
        "noisy health proxy": "-12.2", "latent health known": "-2.9", "ratio DiD": "-2.5",
        "age and sex, standard error": ".0059", "prior claims, standard error": ".0059",
        "noisy health proxy, standard error": ".0060",
        "latent health known, standard error": ".0062",
        "joiners": "44.9", "claimants": "11.2", "before and after, claimants": "-85.2",
    }  # fmt: skip
    return "Selection-bias fixture of this project's reference (2025), F8", printed, ours


def closed_forms() -> Found:
    """Regression to the mean, reliability of k days, power, a published net saving, an E-value.

    Power as printed, with 1.96 and 0.84 for the normal quantiles.

    Examples
    --------
    >>> round(closed_forms()[2]["fall of the top 20 %, correlation .6"], 5)
    0.55992
    """
    how = {"alpha": 2 * (1 - float(ndtr(1.96))), "power": float(ndtr(0.84))}
    rare = float(np.sqrt(0.95 / 0.05))
    before = np.full(4, 100.0)
    asthma = two_periods(before, np.array([50.9, 50.9, 69.3, 69.3]), np.arange(4) < 2)
    days = {1: ".4100", 5: ".7765", 6: ".8066", 7: ".8295", 30: ".9542", 365: ".9961"}
    ours = {
        "fall of the top 20 %, correlation .6": expected_fall(0.2, 0.6),
        **{f"reliability of {k} days": spearman_brown(0.41, k) for k in days},
        "per arm, 5 %, CV 3": people_needed(0.05, 3.0, **how),
        "per arm, 5 %, CV 5": people_needed(0.05, 5.0, **how),
        "per arm, admission 5 % to 4.75 %": people_needed(0.05, rare, **how),
        "asthma programme, net of its control": -asthma.difference,
        "E-value of 3.9": e_value(3.9), "E-value of its limit 1.8": e_value(1.8),
    }  # fmt: skip
    printed = {
        "fall of the top 20 %, correlation .6": ".55992",
        **{f"reliability of {k} days": text for k, text in days.items()},
        "per arm, 5 %, CV 3": "56448", "per arm, 5 %, CV 5": "156800",
        "per arm, admission 5 % to 4.75 %": "119168",
        "asthma programme, net of its control": "18.4",
        "E-value of 3.9": "7.26", "E-value of its limit 1.8": "3.0",
    }  # fmt: skip
    source = (
        "Clemes (2008) day ICC; American Journal of Managed Care (2004) asthma; VanderWeele and "
        "Ding (2017); reference of this project (2025), D2 and D3"
    )
    return source, printed, ours


def _births() -> pl.DataFrame:
    import statsmodels

    tests = Path(statsmodels.__file__).parent / "treatment" / "tests" / "results"
    path = tests / "cataneo2.csv"
    if not path.is_file():
        raise InputError(
            "the births are not there", where="statsmodels.treatment",
            do="install statsmodels as released, with its tests",
        )  # fmt: skip
    return pl.read_csv(path)


def _columns(frame: pl.DataFrame, *names: str) -> Floats:
    values = [frame[name].cast(pl.Float64).to_numpy() for name in names]
    return np.column_stack([np.ones(frame.height), *values])
