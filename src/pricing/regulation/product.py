"""What is insured, as far as the regulator's rules ask: kind, term, renewal, way of pricing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from pricing.errors import InputError, nearest

__all__ = ["Product", "ProductKind"]

ProductKind = Literal["medical", "illness", "care", "income", "medical_accident"]


@dataclass(frozen=True, kw_only=True)
class Product:
    """A health insurance product, as the rules see it.

    Attributes
    ----------
    kind : {"medical", "illness", "care", "income", "medical_accident"}
        医疗保险, 疾病保险, 护理保险, 失能收入损失保险, 医疗意外保险.
    term_years : float
        Term of one contract, years, above zero.
    guaranteed_years : float
        Period of guaranteed renewal, years; zero for none.
    natural_rate : bool
        Priced at attained-age (natural) rates, not level ones.
    group : bool
        Sold to groups.
    tax_favoured : bool
        Sold as tax-favoured (税优) insurance.

    Raises
    ------
    InputError
        For an unknown kind, a term not above zero, a guarantee below zero.

    Examples
    --------
    >>> Product(kind="medical", term_years=1, guaranteed_years=20).long_term
    True
    >>> Product(kind="medical", term_years=1).long_term
    False
    """

    kind: ProductKind
    term_years: float
    guaranteed_years: float = 0.0
    natural_rate: bool = True
    group: bool = False
    tax_favoured: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(ProductKind):
            raise InputError(
                f"unknown kind of product {self.kind!r}{nearest(str(self.kind), get_args(ProductKind))}"
            )
        if not 0 < self.term_years < math.inf or not 0 <= self.guaranteed_years < math.inf:
            raise InputError(
                "the term is above zero and the guaranteed renewal zero or more, "
                f"got {self.term_years} and {self.guaranteed_years} years"
            )

    @property
    def long_term(self) -> bool:
        """Long-term health insurance: over one year, or with guaranteed renewal (健康保险管理办法, art. 4)."""
        return self.term_years > 1 or self.guaranteed_years > 0
