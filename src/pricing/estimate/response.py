"""What is modelled: which sums of a cell are the weight, the total and their second moments.

A row has a weight w (exposure, number of claims, one trial) and a total y (claims, amount); the
mean y/w is modelled. For a fitted mean μ the rows' squared scores and Pearson terms add up as

* Σ(y − wμ)²       = Σy² − 2μ Σyw + μ² Σw²
* Σ w(y/w − μ)²    = Σ y²/w − 2μ Σy + μ² Σw

so six sums a cell give row-exact inference (McCullagh and Nelder 1989, chapters 8 and 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience

__all__ = ["RESPONSES", "Response", "Sums"]


@dataclass(frozen=True)
class Sums:
    """The sums of one response by cell, as arrays.

    Attributes
    ----------
    weight, total : array
        Σvw and Σvy; v is the prior weight, 1 where none is given.
    total_squared, total_weight, weight_squared : array
        Σv²y², Σv²yw, Σv²w²: what the squared scores need.
    squared_per_weight : array
        Σvy²/w: what Pearson's χ² needs.
    unit : array
        Σw²/Σw, the size of a row's weight: the rows' own where they are alike.
    prior : array
        v.
    """

    weight: Floats
    total: Floats
    total_squared: Floats
    total_weight: Floats
    weight_squared: Floats
    squared_per_weight: Floats
    unit: Floats
    prior: Floats


@dataclass(frozen=True)
class Response:
    """Names of the sums behind one kind of model.

    Attributes
    ----------
    name : str
        What is modelled.
    weight, total, total_squared, total_weight, weight_squared, squared_per_weight : str
        Columns of the cells.
    rows : str
        Column that counts the observations.
    event, unit : str
        What a cell may lack and what it is measured in, for messages.
    """

    name: str
    weight: str
    total: str
    total_squared: str
    total_weight: str
    weight_squared: str
    squared_per_weight: str
    rows: str = "rows"
    event: str = "claim"
    unit: str = "policy-years"

    @property
    def events(self) -> str:
        """The event in the plural."""
        return self.event.replace("row", "rows") if " " in self.event else f"{self.event}s"

    def read(self, experience: Experience, prior: str | None = None) -> Sums:
        """Read the sums of every cell.

        Parameters
        ----------
        experience : Experience
            Cells; with ``amount=`` where amounts are modelled.
        prior : str, optional
            Key (a number) that weighs every row's log-likelihood: a weight, not an exposure.

        Raises
        ------
        InputError
            Where the cells lack a sum, a prior weight is not above zero, or a cell has a total but
            no weight.
        """
        names = {self.weight, self.total, self.total_squared, self.total_weight}
        names |= {self.weight_squared, self.squared_per_weight, self.rows}
        missing = sorted(names - set(experience.cells.columns))
        if missing:
            raise InputError(
                f"the cells have no {', '.join(missing)}",
                do="collect the experience with amount=",
            )
        v = prior_weights(experience, prior)
        c = {name: experience.values(name) for name in names}
        weight, total = c[self.weight], c[self.total]
        odd = (weight <= 0) & (total != 0)
        if odd.any():
            raise InputError(
                f"{int(odd.sum()):,} cells have {self.total} {total[odd].sum():,.1f} but no "
                f"{self.weight}",
                do="correct the exposure, or leave these cells out with .where(...)",
            )
        return Sums(
            v * weight,
            v * total,
            v * v * c[self.total_squared],
            v * v * c[self.total_weight],
            v * v * c[self.weight_squared],
            v * c[self.squared_per_weight],
            c[self.weight_squared] / weight,
            v,
        )


def prior_weights(experience: Experience, prior: str | None) -> Floats:
    """Give the prior weight of every cell, one where none is named.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"year": [1.0, 2.0], "exposure": [1.0, 1.0], "claims": [0, 1]})
    >>> prior_weights(Experience.collect(rows, ["year"]), "year").tolist()
    [1.0, 2.0]
    """
    if prior is None:
        return experience.values("rows") * 0 + 1
    if prior not in experience.keys or prior in experience.factors:
        raise InputError(
            f"weight {prior!r} is not a numeric key of the experience",
            do="collect the experience with it among the keys: a weight is the same for all rows of a cell",
        )
    v = experience.values(prior)
    bad = int((~(v > 0)).sum())
    if bad:
        raise InputError(f"weight {prior!r} is not above zero in {bad:,} cells")
    return v


RESPONSES: Mapping[str, Response] = {
    "frequency": Response(
        "frequency",
        "exposure",
        "claims",
        "claims_squared",
        "claims_exposure",
        "exposure_squared",
        "claims_squared_per_exposure",
    ),
    "severity": Response(
        "severity",
        "claims",
        "amount",
        "amount_squared",
        "amount_claims",
        "claims_squared",
        "amount_squared_per_claim",
        rows="amount_rows",
        event="amount",
        unit="claims",
    ),
    "pure_premium": Response(
        "pure_premium",
        "exposure",
        "amount",
        "amount_squared",
        "amount_exposure",
        "exposure_squared",
        "amount_squared_per_exposure",
        event="amount",
    ),
    "occurrence": Response(
        "occurrence",
        "rows",
        "amount_rows",
        "amount_rows",
        "amount_rows",
        "rows",
        "amount_rows",
        event="row with an amount",
        unit="rows",
    ),
    "row_amount": Response(
        "row_amount",
        "amount_rows",
        "amount",
        "amount_squared",
        "amount",
        "amount_rows",
        "amount_squared",
        rows="amount_rows",
        event="amount",
        unit="rows",
    ),
    "log_amount": Response(
        "log_amount",
        "amount_rows",
        "log_amount",
        "log_amount_squared",
        "log_amount",
        "amount_rows",
        "log_amount_squared",
        rows="amount_rows",
        event="amount",
        unit="rows",
    ),
}
