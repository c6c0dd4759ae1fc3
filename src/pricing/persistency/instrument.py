"""Instrument: the price response where prices were not by chance, from what moved them by rule.

An instrument z moves the price (a filed rate change, an age step) and touches renewal in no other
way. With x the ln price change, c the controls with the intercept and y renewed or not:

* first stage x = c'π + γz + v by least squares; its strength is the robust F = (γ̂/se γ̂)², for one
  instrument the effective F of Montiel Olea and Pflueger (2013, A robust test for weak
  instruments). Below 10 (Staiger and Stock 1997) the estimate is refused;
* two-stage least squares: y = c'α + τx + u with z in place of x, robust errors (Theil 1953; White
  1982). τ is points of renewal per unit of ln price, the elasticity τ/p̄;
* control function: the logit of y on c, x and v̂ (Rivers and Vuong 1988; Terza, Basu and Rathouz
  2008, two-stage residual inclusion). Its errors count the first stage: the sandwich A⁻¹BA⁻ᵀ of
  both stages' scores stacked (Newey 1984; Murphy and Topel 1985). The elasticity is
  βΣp(1 − p)/Σp with v̂ as it was.

All are sums over cells: within one c, x and z are alike and Σ(y − p)² = k(1 − p)² + (n − k)p².
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
import tabmat
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.families import Binomial
from pricing.estimate.glm import maximise
from pricing.estimate.response import Sums
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.persistency.renewal_model import fit_renewal, renewal_elasticity
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["COLUMNS", "InstrumentedPrice", "instrumented_price", "method_figure"]

COLUMNS = (
    *("method", "offers", "renewal_rate", "price_elasticity", "std_error", "lower", "upper"),
    *("slope", "slope_lower", "slope_upper"),
)
STRONG = 104.7  # Lee, McCrary, Moreira and Porter (2022): below it a 5 % t-test rejects too often


class InstrumentedPrice(Result):
    """Price response by an instrument, beside the naive logit with the same controls.

    ``.table``: method, offers, renewal_rate, price_elasticity with std_error, lower, upper, and the
    log-odds slope with slope_lower, slope_upper (of two-stage least squares τ/(p̄(1 − p̄))).
    ``.frames["first_stage"]``: instrument, coefficient, std_error, first_stage_f.
    """

    kind = "instrumented_price"

    def finding(self, lang: Language = "en") -> str:
        """Say the instrumented elasticity beside the naive one, and the first-stage F."""
        facts = {**self.facts, "instrument": label(self.facts["instrument"], lang)}
        return say("finding.instrumented_price", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the elasticity by method."""
        return method_figure(self.table, lang)


def method_figure(table: pl.DataFrame, lang: Language) -> go.Figure:
    """Draw the elasticity of each method with its interval.

    Examples
    --------
    >>> table = pl.DataFrame({"method": ["two_stage"], "price_elasticity": [-1.0], "lower": [-2.0], "upper": [0.0]})
    >>> method_figure(table, "en").data[0].y
    (-1.0,)
    """
    return interval_figure(
        [level_label(name, lang) for name in table["method"]],
        table["price_elasticity"].to_list(),
        table["lower"].to_list(),
        table["upper"].to_list(),
        name="price_elasticity",
        factor="method",
        lang=lang,
        reference=0.0,
    )


def instrumented_price(
    cells: Experience,
    instrument: str,
    controls: str = "",
    *,
    price: str = "price_change",
    least_f: float = 10.0,
    level: float = 0.95,
) -> InstrumentedPrice:
    """Estimate the price response from a price that an instrument moved.

    Parameters
    ----------
    cells : Experience
        Offers with ``price``, ``instrument`` and the controls among their keys.
    instrument : str
        A number that moves the price and, given the controls, nothing else that bears on renewal,
        such as ``standard_change``: the filed rate change and the age step. That is for the user
        to argue; no figure here can show it.
    controls : str
        Formula of the rest, such as ``"health_group + channel"``.
    price : str
        Key with the ln ratio of premiums.
    least_f : float
        First-stage F below which there is no answer. Below 104.7 (Lee, McCrary, Moreira and
        Porter 2022) the basis warns that the interval is too short.
    level : float
        Confidence level.

    Raises
    ------
    InputError
        For a weak instrument, one that is no number, stands still, is the price itself or is in
        the controls, a control that holds the price, and as :func:`fit_renewal`.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> u, z = rng.normal(size=4000), rng.choice([0.0, 0.05, 0.1], 4000)
    >>> x = (z + 0.02 * np.round(u)).round(3)
    >>> y = (rng.random(4000) < 1 / (1 + np.exp(-1.5 + 5 * x - 0.5 * u))).astype(int)
    >>> rows = pl.DataFrame({"price_change": x, "filed": z, "exposure": 1.0, "claims": y, "amount": y * 1.0})
    >>> seen = Experience.collect(rows, ["price_change", "filed"], amount="amount")
    >>> instrumented_price(seen, "filed").table["method"].to_list()
    ['naive_logit', 'two_stage', 'control_function']
    """
    _require(cells, instrument, price, controls, least_f)
    formula = f"{controls} + {price}" if controls.strip() else price
    naive = fit_renewal(cells, formula, price=price, level=level)
    if any(price in c.variables and len(c.variables) > 1 for c in naive.columns):
        raise InputError(f"the controls hold {price!r}: the instrumented slope is one number")
    if instrument in naive.keys:
        raise InputError(f"{instrument!r} is both the instrument and a control")
    seen = cells.by(*naive.keys, instrument)
    kept = np.flatnonzero(np.isfinite(naive.coefficients))
    priced = [naive.columns[j].variables == (price,) for j in kept].index(True)
    design = naive.values(seen.cells)
    x, w = design[:, priced], np.delete(design, priced, axis=1)
    z = seen.values(instrument)
    n, k = seen.values("exposure"), seen.values("claims")
    first = _first_stage(w, x, z, n)
    _require_strong(first, instrument, least_f)
    rate, q = float(k.sum() / n.sum()), float(ndtri(0.5 + level / 2))
    plain = naive.slope()
    simple = renewal_elasticity(naive, seen).table.row(0, named=True)
    tau, tau_error = _two_stage(w, x, z, n, k)
    beta, beta_error, e, e_error = _control_function(w, x, z, n, k)
    odds = rate * (1 - rate)
    total = float(n.sum())
    rows = [
        ("naive_logit", total, rate, simple["price_elasticity"], simple["std_error"], simple["lower"],
         simple["upper"], plain["slope"], plain["slope_lower"], plain["slope_upper"]),
        ("two_stage", total, rate, tau / rate, tau_error / rate,
         (tau - q * tau_error) / rate, (tau + q * tau_error) / rate, tau / odds,
         (tau - q * tau_error) / odds, (tau + q * tau_error) / odds),
        ("control_function", total, rate, e, e_error, e - q * e_error, e + q * e_error, beta,
         beta - q * beta_error, beta + q * beta_error),
    ]  # fmt: skip
    table = pl.DataFrame(rows, schema=list(COLUMNS), orient="row")
    f = first["first_stage_f"]
    notes = [
        f"instrument {instrument}: moves the price (first-stage F {f:,.1f}); that it bears on "
        "renewal in no other way is assumed, not shown",
        "offers are taken as independent; errors of the control function count the first stage",
    ]
    if f < STRONG:
        notes.append(f"F below {STRONG}: the interval is shorter than it says (Lee et al. 2022)")
    facts = {
        "instrument": instrument, "first_stage_f": f, "level": level,
        **{m: float(v) for m, v in zip(("naive", "two_stage", "elasticity"), table["price_elasticity"], strict=True)},
        "lower": float(table["lower"][2]), "upper": float(table["upper"][2]),
    }  # fmt: skip
    stage = pl.DataFrame({
        "instrument": [instrument], "coefficient": [first["coefficient"]],
        "std_error": [first["std_error"]], "first_stage_f": [f],
    })  # fmt: skip
    basis = replace(
        seen.basis,
        notes=(*seen.basis.notes, *notes),
        fingerprint=fingerprint(naive.basis.fingerprint, seen.basis.fingerprint, instrument),
    )
    return InstrumentedPrice(table=table, basis=basis, facts=facts, frames={"first_stage": stage})


def _require(cells: Experience, instrument: str, price: str, controls: str, least_f: float) -> None:
    require_columns([price, instrument], cells.keys)
    if isinstance(least_f, bool) or not isinstance(least_f, int | float):
        raise InputError(f"least_f is a number, got {least_f!r}")
    if not isinstance(controls, str):
        raise InputError(f"controls is a formula, got {controls!r}")
    if instrument == price:
        raise InputError(f"{price!r} cannot be its own instrument")
    kind = cells.cells.schema[instrument]
    if not kind.is_numeric():
        raise InputError(f"the instrument {instrument!r} is {kind}, not a number")
    if cells.cells[instrument].n_unique() < 2:
        raise InputError(f"the instrument {instrument!r} has one value: it moves no price")


def _require_strong(first: dict[str, float], instrument: str, least_f: float) -> None:
    f = first["first_stage_f"]
    if not f >= least_f:
        raise InputError(
            f"{instrument!r} is a weak instrument: first-stage F {f:.2f}, {least_f:g} is the least",
            do="take an instrument that moves prices more, or more offers; a lower least_f gives "
            "intervals that are not to be relied on",
        )


def _first_stage(w: Floats, x: Floats, z: Floats, n: Floats) -> dict[str, float]:
    """Least squares of price on controls and instrument, robust F of the instrument."""
    c = np.column_stack([w, z])
    gram = c.T @ (n[:, None] * c)
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    if np.linalg.matrix_rank(gram / np.outer(scale, scale), tol=1e-10) < len(gram):
        raise InputError("the controls fix the instrument: it says nothing of its own")
    inverse = np.linalg.inv(gram / np.outer(scale, scale)) / np.outer(scale, scale)
    coefficients = inverse @ (c.T @ (n * x))
    v = x - c @ coefficients
    spread = inverse @ (c.T @ ((n * v**2)[:, None] * c)) @ inverse
    error = math.sqrt(max(float(spread[-1, -1]), 0.0))
    if error < 1e-12 * abs(coefficients[-1]):
        raise InputError("the instrument fixes the price: there is nothing to instrument")
    return {
        "coefficient": float(coefficients[-1]),
        "std_error": error,
        "first_stage_f": float((coefficients[-1] / error) ** 2),
    }


def _squares(n: Floats, k: Floats, mean: Floats) -> Floats:
    """Σ(y − m)² over the rows of each cell."""
    return k * (1 - mean) ** 2 + (n - k) * mean**2


def _two_stage(w: Floats, x: Floats, z: Floats, n: Floats, k: Floats) -> tuple[float, float]:
    """Slope of price and its robust error, with as many instruments as regressors."""
    a, b = np.column_stack([w, x]), np.column_stack([w, z])
    inverse = np.linalg.inv(b.T @ (n[:, None] * a))
    theta = inverse @ (b.T @ k)
    meat = b.T @ (_squares(n, k, a @ theta)[:, None] * b)
    spread = inverse @ meat @ inverse.T
    return float(theta[-1]), math.sqrt(float(spread[-1, -1]))


def _control_function(
    w: Floats, x: Floats, z: Floats, n: Floats, k: Floats
) -> tuple[float, float, float, float]:
    """Slope, its error, elasticity, its error: both stages' scores stacked."""
    c = np.column_stack([w, z])
    v = x - c @ np.linalg.solve(c.T @ (n[:, None] * c), c.T @ (n * x))
    h = np.column_stack([w, x, v])
    sums = Sums(n, k, k, k, n, k, np.ones_like(n), np.ones_like(n))
    theta, p, _ = maximise(
        tabmat.SplitMatrix([tabmat.DenseMatrix(h)]), sums, Binomial(), np.zeros(len(n))
    )
    q, rho, beta = p * (1 - p), theta[-1], theta[-2]
    m1, m2, left = c.shape[1], h.shape[1], k - n * p
    bread = np.zeros((m1 + m2, m1 + m2))
    bread[:m1, :m1] = -c.T @ (n[:, None] * c)
    bread[m1:, m1:] = -h.T @ ((n * q)[:, None] * h)
    bread[m1:, :m1] = rho * h.T @ ((n * q)[:, None] * c)
    bread[-1, :m1] -= c.T @ left
    cross = c.T @ ((v * left)[:, None] * h)
    meat = np.block([
        [c.T @ ((n * v**2)[:, None] * c), cross],
        [cross.T, h.T @ (_squares(n, k, p)[:, None] * h)],
    ])  # fmt: skip
    inverse = np.linalg.inv(bread)
    spread = inverse @ meat @ inverse.T
    total = float(n @ p)
    e = beta * float(n @ q) / total
    # through p: of the second stage by h, of the first by −ρc
    weight = n * q * ((1 - 2 * p) * beta - e) / total
    gradient = np.concatenate([-rho * (weight @ c), weight @ h])
    gradient[-2] += float(n @ q) / total
    error = math.sqrt(float(gradient @ spread @ gradient))
    return float(beta), math.sqrt(float(spread[-2, -2])), e, error
