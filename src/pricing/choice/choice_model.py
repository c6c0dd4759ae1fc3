"""Choice between the tiers of a plan, or none: a nested logit fitted on cells of offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtrc, ndtr

from pricing.choice.maximum import Maximum, maximise
from pricing.choice.nested import Menus
from pricing.choice.offers import Offered
from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Design, Floats, design
from pricing.files import fingerprint
from pricing.result.figure import COLOURS, error_bars
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.interval import normal_quantile

__all__ = ["ChoiceModel", "Errors", "fit_choice"]

Errors = Literal["robust", "model"]
PRICE = "price paid"
NEST = "dissimilarity"
ALL = "all"


class ChoiceModel(Result):
    """A nested logit of tiers and none.

    ``.table``: alternative, coefficient_name, utility with std_error, lower, upper, and p_value (of zero;
    of one for the dissimilarity, by the likelihood ratio).
    ``.frames["fit"]``: alternative, headcount of those who took it, share, fitted_share.
    """

    kind = "choice_model"

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The outside option first, then the tiers."""
        return tuple(self.details["alternatives"])

    @property
    def tiers(self) -> tuple[str, ...]:
        """Every alternative but the outside option."""
        return self.alternatives[1:]

    @property
    def parameters(self) -> Floats:
        """All parameters in their order: a of each tier, b, ln λ where it was estimated."""
        return np.array(self.details["parameters"], dtype=np.float64)

    @property
    def covariance(self) -> Floats:
        """Covariance of the parameters; zero where calibrated."""
        return np.array(self.details["covariance"], dtype=np.float64)

    @property
    def aware(self) -> float:
        """Share of persons who know of the plan."""
        return float(self.details["aware"])

    def menus(self, types: pl.DataFrame, paid: Floats, *, aware: float | None = None) -> Menus:
        """Make the menus of types of persons at prices paid, to be scored.

        Parameters
        ----------
        types : polars.DataFrame
            One row per type, with the attributes of the model.
        paid : array, types × alternatives or alternatives
            Price paid after the subsidy.
        aware : float, optional
            Share who know of the plan; else the model's.

        Raises
        ------
        InputError
            For attributes that are missing, empty or of a level the model does not know.
        """
        x, z = (self._scored(types, self.details[n]) for n in ("x", "z"))
        paid = np.broadcast_to(paid, (types.height, len(self.alternatives)))
        offered = np.ones(paid.shape)
        return Menus(
            x, z, np.ascontiguousarray(paid), offered, np.zeros(paid.shape),
            self.aware if aware is None else aware,
            bool(self.details["nested"]), float(self.details["dissimilarity"]),
        )  # fmt: skip

    def _scored(self, types: pl.DataFrame, records: Sequence[Mapping[str, Any]]) -> Floats:
        columns = [Column.read(said) for said in records]
        levels: Mapping[str, Sequence[str]] = self.details["levels"]
        faults = []
        for name in dict.fromkeys(v for c in columns for v in c.variables):
            if name not in types.columns:
                faults.append(f"{name!r} is missing{nearest(name, types.columns)}")
            elif name in levels:
                text = types[name].cast(pl.String).replace({"true": "yes", "false": "no"})
                odd = text.filter(~text.is_in(list(levels[name])).fill_null(False))
                if len(odd):
                    few = odd.unique().sort().head(3).to_list()
                    faults.append(
                        f"{name!r} has {len(odd)} value(s) the model does not know: {few}"
                    )
            elif not types.schema[name].is_numeric() or not (
                types[name].cast(pl.Float64).is_finite().fill_null(False).all()
            ):
                faults.append(f"{name!r} is a covariate of the model: finite numbers are wanted")
        if faults:
            raise InputError("types of persons that the model cannot score", faults=faults)
        return types.select(
            **{str(i): c.value() * pl.lit(1.0) for i, c in enumerate(columns)}
        ).to_numpy() if any(c.variables for c in columns) else np.ones((types.height, 1))  # fmt: skip

    def finding(self, lang: Language = "en") -> str:
        """Say what a dearer price does, and whether tiers stand closer to each other than to none."""
        f = self.facts
        if f["calibrated"]:
            return say("sentence.choice_calibrated", lang, **f)
        nest = "one_tier" if f["tiers"] == 1 else "fixed" if f["iia_p"] is None else (
            "iia_kept" if f["iia_p"] >= 1 - f["level"]
            else "iia_above" if f["dissimilarity"] > 1 else "iia_rejected"
        )  # fmt: skip
        nest_text = say(f"sentence.choice_{nest}", lang, **f)
        return say("finding.choice_model", lang, **{**f, "nest_text": nest_text})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the effects on utility with their intervals; the price per 100 of its currency."""
        t = self.table.filter(pl.col("coefficient_name") != NEST)
        per = pl.when(pl.col("coefficient_name").str.starts_with(PRICE)).then(100.0).otherwise(1.0)
        t = t.with_columns(pl.col("utility", "lower", "upper") * per)
        names = [
            f"{level_label(a, lang)} · {_said(n, lang)}"
            for a, n in t.select("alternative", "coefficient_name").iter_rows()
        ]
        figure = go.Figure(layout={"template": "pricing", "height": 160 + 30 * t.height})
        figure.add_scatter(
            x=t["utility"].to_list(),
            y=names,
            error_x=error_bars(*(t[c].to_list() for c in ("utility", "lower", "upper"))),
            mode="markers",
            name=label("utility", lang),
            marker={"size": 9, "color": COLOURS["estimate"]},
        )
        figure.add_vline(x=0.0, line={"dash": "dot", "color": COLOURS["line"]})
        return figure.update_layout(
            hovermode="closest",
            xaxis={"title": {"text": label("utility_per_100", lang)}},
            yaxis={"type": "category", "autorange": "reversed"},
        )


def fit_choice(
    offers: Offered,
    formula: str = "",
    *,
    price_by: str = "",
    dissimilarity: float | None = None,
    awareness: float | None = None,
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
) -> ChoiceModel:
    """Fit which tier people take, or none, by maximum likelihood.

    Take-up, own- and cross-price response and the mix of risks in each tier all follow from it. Prices
    must have varied for reasons that have nothing to do with the persons (by community, by year, by lot);
    else the price effect is that of whom the price was set for.

    Parameters
    ----------
    offers : Offered
        From :func:`pricing.choice.offers.collect_offers`.
    formula : str
        Attributes that move the utility of each tier against none, such as ``"age_band + sex"``.
    price_by : str
        Attributes that move the effect of the price.
    dissimilarity : float, optional
        λ of the nest of tiers, above 0; estimated where not given and there are two tiers or more. 1 is
        the conditional logit.
    awareness : float, optional
        Share of persons who know of the plan, taken as given, where the offers do not say who does.
    base : mapping of str to str, optional
        Base levels of factors.
    errors : {"robust", "model"}
        Sandwich errors, by cluster where offers are clustered; or the inverse information.
    level : float
        Of the intervals.

    Raises
    ------
    InputError
        For an alternative nobody took, a price that never varies, a level nobody of which took a tier,
        what the choices do not tell apart, and a fit that does not converge.

    Notes
    -----
    ln L = Σ persons ln P(taken), :func:`pricing.choice.nested.nested_shares`; it adds over persons, so
    cells give the row-level estimates and errors. H₀ λ = 1 (independence of irrelevant alternatives) is
    tested by the likelihood ratio with one degree of freedom. Source: McFadden (1978); Train (2009),
    chapters 3 and 4; Hausman and McFadden (1984), Econometrica 52.

    Examples
    --------
    >>> from pricing.choice.offers import collect_offers
    >>> rows = pl.DataFrame({"person_id": list(range(400)) * 2, "alternative": ["none"] * 400 + ["basic"] * 400,
    ...     "price": [0.0] * 400 + [300.0, 500.0] * 200,
    ...     "chosen": [False, True, False, False] * 100 + [True, False, True, True] * 100})
    >>> model = fit_choice(collect_offers(rows.filter(pl.col("person_id") > 2)))
    Traceback (most recent call last):
    pricing.errors.InputError: ...
    >>> rows = rows.with_columns(price=pl.when(pl.col("alternative") == "none").then(0.0)
    ...                          .otherwise(300.0 + 100 * (pl.col("person_id") % 3)))
    >>> model = fit_choice(collect_offers(rows))
    >>> model.table["coefficient_name"].to_list()
    ['(intercept)', 'price paid']
    """
    z = normal_quantile(level)
    if not isinstance(offers, Offered):
        raise InputError(f"offers come from collect_offers, got {type(offers).__name__}")
    if errors not in get_args(Errors):
        raise InputError(f"no errors {errors!r}{nearest(str(errors), get_args(Errors))}")
    aware = _awareness(offers, awareness)
    nested = dissimilarity is None and len(offers.tiers) > 1
    fixed = _fixed(dissimilarity)
    x = design(formula, offers.experience, base=_part(base, formula))
    moves = design(price_by, offers.experience, base=_part(base, price_by))
    menus = Menus(
        np.asarray(x.matrix.toarray()), np.asarray(moves.matrix.toarray()),
        offers.paid, offers.offered, offers.taken, aware, nested, fixed,
    )  # fmt: skip
    _require_identified(offers, menus, x)
    names = [f"{a}: {c.name}" for a in offers.tiers for c in x.columns]
    names += [_price(c) for c in moves.columns]
    flat, found = _fit(menus, names)
    covariance = found.inverse
    if errors == "robust":
        covariance = covariance @ _meat(menus, found.parameters, offers.clusters) @ covariance
    return _model(offers, menus, x, moves, found, flat, covariance, errors, level, z)


def _fit(menus: Menus, names: Sequence[str]) -> tuple[Maximum | None, Maximum]:
    """Give the conditional logit where λ is estimated, to be tested against, and the fit."""
    persons = menus.taken.sum()
    spread = np.sqrt(np.einsum("i,ik->k", menus.taken.sum(axis=1), menus.x**2) / persons)
    paid = np.sqrt((menus.taken.sum(axis=1) @ menus.paid[:, 1:] ** 2).mean() / persons)
    by_price = np.sqrt(np.einsum("i,ik->k", menus.taken.sum(axis=1), menus.z**2) / persons)
    scale = np.concatenate([np.tile(spread, menus.tiers), max(paid, 1e-12) * by_price])
    scale = np.where(scale > 0, scale, 1.0)
    start = np.zeros(len(scale))
    start[: menus.tiers * menus.x.shape[1] : menus.x.shape[1]] = np.log(
        menus.taken[:, 1:].sum(axis=0) / menus.taken[:, 0].sum()
    )
    if not menus.nested:
        return None, maximise(menus.at, start, scale, names)
    flat = maximise(replace(menus, nested=False).at, start, scale, names)
    start = np.append(flat.parameters, np.log(0.8))
    return flat, maximise(menus.at, start, np.append(scale, 1.0), [*names, NEST])


def _meat(menus: Menus, parameters: Floats, clusters: pl.Series | None) -> Floats:
    """Σ of the squared scores of persons, or of clusters with G/(G − 1)."""
    size = len(parameters)
    found, total = np.zeros((size, size)), np.zeros((len(menus.x), size))
    for j in range(menus.taken.shape[1]):
        own = menus.scores(parameters, j)
        if clusters is None:
            found += own.T @ (own * menus.taken[:, [j]])
        else:
            total += own * menus.taken[:, [j]]
    if clusters is None:
        return found
    codes = clusters.to_physical().to_numpy()
    sums = np.column_stack([np.bincount(codes, total[:, k]) for k in range(size)])
    many = clusters.n_unique()
    if many < 2:
        raise InputError(
            "offers come in one cluster: errors by cluster need two", do="errors='model'"
        )
    return np.asarray(sums.T @ sums * many / (many - 1))


def _awareness(offers: Offered, given: float | None) -> float:
    if given is None:
        return 1.0
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1:
        raise InputError(f"a share aware lies above 0, up to 1, got {given!r}", where="awareness")
    if offers.aware is not None:
        raise InputError(
            "the offers say who knew of the plan", where="awareness", do="leave it out"
        )
    insured = 1 - offers.taken[:, 0].sum() / offers.taken.sum()
    if insured > given:
        raise InputError(
            f"{insured:.1%} took a tier, more than the {given:.1%} who are said to know of the plan",
            where="awareness",
        )
    return float(given)


def _fixed(given: float | None) -> float:
    if given is None:
        return 1.0
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < np.inf:
        raise InputError(f"λ is a number above 0, got {given!r}", where="dissimilarity")
    return float(given)


def _part(base: Mapping[str, str] | None, formula: str) -> dict[str, str]:
    return {name: at for name, at in (base or {}).items() if name in formula}


def _require_identified(offers: Offered, menus: Menus, x: Design) -> None:
    taken = menus.taken.sum(axis=0)
    faults = [
        f"nobody took {a!r}" for a, n in zip(offers.alternatives, taken, strict=True) if n == 0
    ]
    on = menus.offered[:, 1:] > 0
    moves = [len(np.unique(menus.paid[on[:, j], j + 1])) > 1 for j in range(menus.tiers)]
    if not any(moves):
        faults.append(
            "the price paid never varies: its effect cannot be told from the tiers' constants"
        )
    for k, column in enumerate(x.columns):
        values = menus.x[:, k]
        if not column.variables or not np.isin(values, (0.0, 1.0)).all() or not values.any():
            continue
        own = values @ menus.taken
        faults += [
            f"nobody of {column.name} took {a!r}"
            for a, n in zip(offers.alternatives, own, strict=True)
            if n == 0 < taken[offers.alternatives.index(a)]
        ]
    if faults:
        raise InputError(
            "the choices cannot be fitted",
            faults=faults,
            do="leave out the alternative or the term, group levels, or offer prices that differ",
        )


def _model(
    offers: Offered, menus: Menus, x: Design, moves: Design, found: Maximum, flat: Maximum | None,
    covariance: Floats, errors: str, level: float, z: float,
) -> ChoiceModel:  # fmt: skip
    at, spread = found.parameters, np.sqrt(np.diag(covariance))
    alternatives = [a for a in offers.tiers for _ in x.columns] + [ALL] * len(moves.columns)
    names = [c.name for _ in offers.tiers for c in x.columns] + [_price(c) for c in moves.columns]
    rows = len(names)
    estimate, lower, upper = at[:rows], at[:rows] - z * spread[:rows], at[:rows] + z * spread[:rows]
    p_value = 2 * ndtr(-np.abs(estimate / spread[:rows]))
    iia, iia_p = None, None
    if flat is not None:
        lam, log_error = float(np.exp(at[-1])), spread[-1]
        iia = max(2 * (found.value - flat.value), 0.0)
        iia_p = float(chdtrc(1, iia))
        alternatives, names = [*alternatives, ALL], [*names, NEST]
        estimate = np.append(estimate, lam)
        lower, upper = np.append(lower, lam * np.exp(-z * log_error)), np.append(
            upper, lam * np.exp(z * log_error)
        )  # fmt: skip
        spread = np.append(spread[:rows], lam * log_error)
        p_value = np.append(p_value, iia_p)
    table = pl.DataFrame({
        "alternative": alternatives, "coefficient_name": names, "utility": estimate,
        "std_error": spread, "lower": lower, "upper": upper, "p_value": p_value,
    })  # fmt: skip
    persons = menus.taken.sum(axis=1)
    every = menus.taken.sum(axis=0)
    fitted = (menus.shares(at).every * persons[:, None]).sum(axis=0) / persons.sum()
    fit = pl.DataFrame({
        "alternative": offers.alternatives, "headcount": every, "share": every / persons.sum(),
        "fitted_share": fitted,
    })  # fmt: skip
    b = slice(len(x.columns) * menus.tiers, rows)
    mean = persons @ menus.z / persons.sum()
    effect, error = float(mean @ at[b]), float(np.sqrt(mean @ covariance[b, b] @ mean))
    lam = float(np.exp(at[-1])) if menus.nested else menus.fixed
    knew, asked = offers.aware or (0.0, 0.0)
    aware = knew / asked if asked else menus.aware
    notes = [
        "errors: " + ("by cluster" if offers.clustered and errors == "robust" else errors),
        f"dissimilarity {'estimated' if menus.nested else 'fixed at'} {lam:.4g}",
    ]
    if lam > 1:
        notes.append(
            "a dissimilarity above 1 is consistent with random utility at some prices only"
        )
    if asked:
        notes.append(f"{knew:,.0f} of {asked:,.0f} persons knew of the plan; choices are theirs")
    elif menus.aware < 1:
        notes.append(f"share aware {menus.aware:.1%}, taken as given")
    by_price = np.exp(100 * np.array([effect, effect - z * error, effect + z * error]))
    facts = {
        "persons": float(persons.sum()), "tiers": menus.tiers, "take_up": float(1 - every[0] / every.sum()),
        "price_effect": effect, "price_error": error, "odds": float(by_price[0]),
        "odds_lower": float(by_price[1]), "odds_upper": float(by_price[2]),
        "dissimilarity": lam, "iia": iia, "iia_p": iia_p, "log_likelihood": found.value,
        "aware": aware, "asked": asked, "errors": errors, "level": level, "currency": offers.experience.basis.currency,
        "calibrated": False,
    }  # fmt: skip
    details = {
        "alternatives": list(offers.alternatives), "by": list(offers.by),
        "x": [c.record() for c in x.columns], "z": [c.record() for c in moves.columns],
        "levels": {n: list(v) for n, v in {**x.levels, **moves.levels}.items()},
        "parameters": at.tolist(), "covariance": covariance.tolist(), "nested": menus.nested,
        "dissimilarity": lam, "aware": aware,
    }  # fmt: skip
    basis = offers.experience.basis
    told = fingerprint(basis.fingerprint, repr(sorted(details.items(), key=lambda kv: kv[0])))
    basis = replace(basis, fingerprint=told, notes=(*basis.notes, *notes))
    return ChoiceModel(table=table, basis=basis, facts=facts, frames={"fit": fit}, details=details)


def _price(column: Column) -> str:
    return PRICE if not column.variables else f"{PRICE} × {column.name}"


def _said(name: str, lang: Language) -> str:
    """Name a coefficient in the language: its price, its constant, its level."""
    head, _, tail = name.partition(" × ")
    if head == PRICE:
        return label("price_paid", lang) + (f" × {tail}" if tail else "")
    if head == "(intercept)":
        return label("constant", lang)
    factor, bracket, level = name.partition("[")
    said = label(factor, lang)
    return f"{said}: {level_label(level.removesuffix(']'), lang)}" if bracket else said
