"""What a discount schedule must keep to, each as a line a·d ≤ b over the discounts by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns

__all__ = ["Line", "ScheduleLimits", "lines_of"]


NUMBERS = (
    "cap", "step", "most_between", "mean_discount", "service_share", "service_cost", "loading",
)  # fmt: skip


class Line(NamedTuple):
    """One line: ``weights · discounts ≤ bound``, in units of a discount."""

    limit: str
    at: str
    weights: Floats
    bound: float


@dataclass(frozen=True, kw_only=True)
class ScheduleLimits:
    """What a discount schedule must keep to.

    Parameters
    ----------
    cap : float
        Largest discount, a fraction in (0, 1).
    step : float
        Discounts charged are whole multiples of it, in (0, cap].
    most_between : float, optional
        Largest gap between neighbouring groups, a fraction of at least one step.
    mean_discount : float, optional
        Budget: largest mean discount, weighted by standard premium.
    loss_ratio : (float, float), optional
        Corridor the loss ratio of every group but the standard one must lie in after its discount.
    service_share, service_cost, loading : float, optional
        Cost of services (currency a policy-year) at most this share of the net premium, which is the
        premium after the discount and ``loading``; 0.20 by 银保监办发〔2020〕83号 for services in the clause.
    service_by : str, optional
        Factor by which that holds level by level, such as the age band.
    fairness : mapping of str to float
        Factor → how far the mean discount of any of its levels may lie from that of all.

    Raises
    ------
    InputError
        With every value out of its domain.

    Examples
    --------
    >>> ScheduleLimits(cap=0.2, step=0.3)
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: limits no schedule can be held to
      - step: 0.3 does not lie in (0, 0.2]
    """

    cap: float = 0.20
    step: float = 0.05
    most_between: float | None = None
    mean_discount: float | None = None
    loss_ratio: tuple[float, float] | None = None
    service_share: float | None = None
    service_cost: float = 0.0
    loading: float = 0.0
    service_by: str | None = None
    fairness: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = [
            f"{name}: {value!r} is no number"
            for name, value in {
                **{n: getattr(self, n) for n in NUMBERS},
                **{f"fairness {n}": v for n, v in self.fairness.items()},
                **dict(
                    zip(
                        ("loss_ratio, low", "loss_ratio, high"), self.loss_ratio or (), strict=False
                    )
                ),
            }.items()
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float))
        ]
        if len(tuple(self.loss_ratio or (0, 0))) != 2:
            faults.append(f"loss_ratio: {self.loss_ratio} is no pair of a lowest and a highest")
        if faults:
            raise InputError("limits no schedule can be held to", faults=faults)
        if not 0 < self.cap < 1:
            faults.append(f"cap: {self.cap} does not lie between 0 and 1")
        if not 0 < self.step <= self.cap + 1e-12:
            faults.append(f"step: {self.step} does not lie in (0, {self.cap}]")
        if self.most_between is not None and not self.most_between >= self.step - 1e-12:
            faults.append(f"most_between: {self.most_between} is less than one step")
        if self.mean_discount is not None and not self.mean_discount >= 0:
            faults.append(f"mean_discount: {self.mean_discount} is not zero or more")
        if self.loss_ratio is not None and not 0 <= self.loss_ratio[0] < self.loss_ratio[1]:
            faults.append(f"loss_ratio: {self.loss_ratio} is no corridor of two rising ratios")
        if self.service_share is not None and not 0 < self.service_share <= 1:
            faults.append(f"service_share: {self.service_share} does not lie in (0, 1]")
        if not self.service_cost >= 0 or not 0 <= self.loading < 1:
            faults.append("service_cost is zero or more, loading a fraction below 1")
        faults += [
            f"fairness: {name} = {gap} is not zero or more"
            for name, gap in self.fairness.items()
            if not gap >= 0
        ]
        if faults:
            raise InputError("limits no schedule can be held to", faults=faults)


def lines_of(
    limits: ScheduleLimits, experience: Experience, group: str, order: list[str]
) -> list[Line]:
    """Write limits as lines over the discounts of the groups after the standard one.

    Parameters
    ----------
    limits : ScheduleLimits
        What must hold.
    experience : Experience
        Cells with ``group``, the factors of the limits, and the sums standard_premium and amount.
    group : str
        Key of the health group.
    order : list of str
        Groups from the standard one to the healthiest.

    Raises
    ------
    InputError
        For factors that are no keys of the experience.

    Examples
    --------
    >>> rows = pl.DataFrame({"g": ["a", "b"], "exposure": [1.0, 1.0], "claims": [1, 1],
    ...                      "amount": [6.0, 5.0], "standard_premium": [10.0, 10.0]})
    >>> seen = Experience.collect(rows, ["g"], amount="amount", sums=["standard_premium"])
    >>> limits = ScheduleLimits(mean_discount=0.05, loss_ratio=(0.0, 0.6))
    >>> [(line.limit, line.at, round(line.bound, 4)) for line in lines_of(limits, seen, "g", ["a", "b"])]
    [('order', 'b', 0.0), ('cap', 'b', 0.2), ('mean_discount', '', 0.05), ('loss_ratio_most', 'b', 0.1667)]
    """
    wanted = [*limits.fairness, *([limits.service_by] if limits.service_by else [])]
    require_columns(wanted, experience.keys)
    if group in wanted:
        raise InputError(
            f"{group} is what the discount is made by: its levels cannot get the same",
            where="fairness, service_by",
            do="name another factor, such as the age band",
        )
    paid = order[1:]
    unit = np.eye(len(paid))
    before = [np.zeros(len(paid)), *unit[:-1]]
    lines = [Line("order", n, a - b, 0.0) for n, a, b in zip(paid, before, unit, strict=True)]
    lines.append(Line("cap", paid[-1], unit[-1], limits.cap))
    if limits.most_between is not None:
        gap = limits.most_between
        steps = zip(paid, unit, before, strict=True)
        lines += [Line("most_between", n, b - a, gap) for n, b, a in steps]
    money = _by(experience, [group], order, group)
    premium, amount = (money[n].to_numpy() for n in ("standard_premium", "amount"))
    share = premium / premium.sum()
    if limits.mean_discount is not None:
        lines.append(Line("mean_discount", "", share[1:], limits.mean_discount))
    if limits.loss_ratio is not None:
        low, high = limits.loss_ratio
        ratio = amount / premium
        lines += [
            Line("loss_ratio_most", n, unit[i], float(1 - ratio[i + 1] / high))
            for i, n in enumerate(paid)
        ]
        if low > 0:
            lines += [
                Line("loss_ratio_least", n, -unit[i], float(ratio[i + 1] / low - 1))
                for i, n in enumerate(paid)
            ]
    if limits.service_share is not None:
        by = [limits.service_by] if limits.service_by else []
        lines += _service(limits, experience, by, group, order)
    for factor, gap in limits.fairness.items():
        for level, own in _shares(experience, factor, group, order):
            far = (own - share)[1:]
            lines += [
                Line("fairness", f"{factor}: {level}", sign * far, gap) for sign in (1.0, -1.0)
            ]
    return lines


def _service(
    limits: ScheduleLimits, experience: Experience, by: list[str], group: str, order: list[str]
) -> list[Line]:
    """Cost ≤ share × premium × (1 − d̄) × (1 − loading): a bound on the mean discount d̄."""
    assert limits.service_share is not None
    lines = []
    cells = _by(experience, [*by, group], order, group)
    parts = cells.partition_by(by, maintain_order=True) if by else [cells]
    for part in parts:
        premium = part["standard_premium"].to_numpy()
        cost = limits.service_cost * float(part["exposure"].sum())
        if not premium.sum() > 0:
            if cost > 0:
                raise InputError(
                    f"services cost {cost:,.0f} where there is no standard premium",
                    where=f"{by[0]}: {part[by[0]][0]}" if by else "service_cost",
                    do="group the level with another, or leave its cells out",
                )
            continue
        most = 1 - cost / (limits.service_share * (1 - limits.loading) * float(premium.sum()))
        at = str(part[by[0]][0]) if by else ""
        lines.append(Line("service_cost", at, (premium / premium.sum())[1:], most))
    return lines


def _shares(
    experience: Experience, factor: str, group: str, order: list[str]
) -> list[tuple[str, Floats]]:
    """Share of each level's standard premium by group."""
    cells = _by(experience, [factor, group], order, group)
    found = []
    for part in cells.partition_by(factor, maintain_order=True):
        premium = part["standard_premium"].to_numpy()
        if premium.sum() > 0:
            found.append((str(part[factor][0]), premium / premium.sum()))
    return found


def _by(experience: Experience, keys: list[str], order: list[str], group: str) -> pl.DataFrame:
    """Money by keys, every group in every part and in order."""
    cells = experience.by(*keys).cells
    sums = cells.select(
        *keys, "exposure", *(pl.col(n).cast(pl.Float64) for n in ("standard_premium", "amount"))
    ).with_columns(pl.col(group).cast(pl.String))
    others = [k for k in keys if k != group]
    groups = pl.DataFrame({group: order, "_place": range(len(order))})
    grid = (
        sums.select(others).unique(maintain_order=True).join(groups, how="cross")
        if others
        else groups
    )
    joined = grid.join(sums, on=keys, how="left")
    return joined.with_columns(
        pl.col("exposure", "standard_premium", "amount").fill_null(0.0)
    ).sort(*others, "_place")
