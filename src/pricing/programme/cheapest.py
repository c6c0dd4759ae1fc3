"""The cheapest whole-number plan that reaches a value, by branch and bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, milp

from pricing.programme.offers import Outlook
from pricing.programme.programme import Programme

__all__ = ["PlanModel"]

_MARGIN = 1e-6  # above the solver's tolerance, so that the plan reaches the cut-off indeed


class PlanModel:
    """The whole-number program of one member: x per offer, y per task.

    Parameters
    ----------
    programme : Programme
        Caps, weights and credibility.
    seen : Outlook
        Base points and offers.
    row : dict
        The member: member_days and prior.
    valid : float
        Valid days expected at the window's end.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.programme.offers import outlook
    >>> from pricing.programme.programme_file import read_programme
    >>> move = read_programme("manulife_move")
    >>> seen = outlook(move, {"mean_steps": 4000.0}, start=date(2024, 1, 2), on=date(2024, 7, 1),
    ...                end=date(2025, 1, 1), valid_days=181)
    >>> model = PlanModel(move, seen, {"member_days": 365, "prior": None}, 365.0)
    >>> model.value(model.cheapest(5000.0)) >= 5000
    True
    """

    def __init__(
        self, programme: Programme, seen: Outlook, row: dict[str, Any], valid: float
    ) -> None:
        self.programme, self.seen = programme, seen
        weighted = programme.value.kind == "weighted"
        share = min(max(row["member_days"] / programme.window.days, 1e-9), 1.0) if weighted else 1.0
        kappa = programme.value.kappa
        self.z = valid / (valid + kappa) if kappa else 1.0
        prior = programme.value.prior if row["prior"] is None else float(row["prior"])
        self.rest = (1 - self.z) * prior
        self.tasks = [t.name for t in programme.accounts]
        self.caps = np.array([t.cap_year for t in programme.accounts]) * share
        weight = {c.name: c.weight for c in programme.category}
        whole = programme.caps
        # Capped tasks never sum above their category's cap, so min(1, ·) never binds here.
        self.worth = self.z * np.array(
            [
                programme.value.scale * weight[t.category] / (whole[t.category] * share)
                if weighted
                else 1.0
                for t in programme.accounts
            ]
        )
        self.base = np.array([seen.base[name] for name in self.tasks])
        free = np.array([seen.room.get(name, np.inf) for name in self.tasks])
        self.caps = np.minimum(self.caps, np.maximum(self.base + free, 0.0))
        self.gain = np.zeros((len(self.tasks), len(seen.offers)))
        self.uses = np.zeros_like(self.gain)
        for i, offer in enumerate(seen.offers):
            k = self.tasks.index(offer.task)
            self.gain[k, i], self.uses[k, i] = offer.gain, 1.0
        self.most = np.array([o.most for o in seen.offers], dtype=np.float64)
        # Levels of one task share its cycles; items and units of a year add up.
        self.limit = np.array(
            [
                (sum if t.cycle == "year" and t.ways[0].of in ("count", "sum") else _largest)(
                    [o.most for o in seen.offers if o.task == t.name]
                )
                for t in programme.accounts
            ]
        )
        self.effort = np.array([o.effort for o in seen.offers])
        self.whole = np.array([o.whole for o in seen.offers], dtype=np.int64)

    def value(self, times: np.ndarray[Any, Any]) -> float:
        """The health value at the window's end if every offer is taken so often."""
        points = np.minimum(self.base + self.gain @ times, self.caps)
        return float(self.rest + self.worth @ points)

    def best(self) -> np.ndarray[Any, Any]:
        """The times that give the highest value."""
        found = self._solve(np.zeros_like(self.effort), -self.worth, None)
        return found if found is not None else np.zeros_like(self.effort)

    def cheapest(self, needed: float) -> np.ndarray[Any, Any] | None:
        """The cheapest times that reach a value, or None."""
        return self._solve(self.effort, np.zeros_like(self.worth), needed)

    def _solve(
        self, cost: np.ndarray[Any, Any], worth: np.ndarray[Any, Any], needed: float | None
    ) -> np.ndarray[Any, Any] | None:
        n, k = self.effort.size, len(self.tasks)
        rows = [
            LinearConstraint(np.hstack([-self.gain, np.eye(k)]), -np.inf, self.base),
            LinearConstraint(np.hstack([self.uses, np.zeros((k, k))]), -np.inf, self.limit),
        ]
        if needed is not None:
            line = np.append(np.zeros(n), self.worth)
            rows.append(LinearConstraint(line[None, :], needed + _MARGIN - self.rest, np.inf))
        done = milp(
            np.append(cost, worth),
            integrality=np.append(self.whole, np.zeros(k, dtype=np.int64)),
            bounds=Bounds(0.0, np.append(self.most, self.caps)),
            constraints=rows,
            options={"mip_rel_gap": 0.0},
        )
        if done.x is None:
            return None
        times: np.ndarray[Any, Any] = done.x[:n]
        times[self.whole > 0] = np.round(times[self.whole > 0])
        return times

    def table(self, times: np.ndarray[Any, Any]) -> pl.DataFrame:
        """The offers taken, the largest contribution first."""
        cycle = {t.name: t.cycle for t in self.programme.task}
        counted = np.minimum(self.base + self.gain @ times, self.caps) - np.minimum(
            self.base, self.caps
        )
        offered = self.gain @ times
        kept = np.divide(counted, offered, out=np.zeros_like(counted), where=offered > 0)
        found = []
        for i, offer in enumerate(self.seen.offers):
            if times[i] > 1e-9:
                k = self.tasks.index(offer.task)
                points = offer.gain * float(times[i]) * kept[k]
                found.append(
                    {
                        "task": offer.task,
                        "cycle": cycle[offer.task],
                        "level": offer.level,
                        "times": float(times[i]),
                        "task_points": points,
                        "contribution": points * self.worth[k],
                        "effort": offer.effort * float(times[i]),
                    }
                )
        schema = {
            "task": pl.String, "cycle": pl.String, "level": pl.Float64, "times": pl.Float64,
            "task_points": pl.Float64, "contribution": pl.Float64, "effort": pl.Float64,
        }  # fmt: skip
        return pl.DataFrame(found, schema=schema).sort(
            "contribution", descending=True, maintain_order=True
        )


def _largest(found: Sequence[float]) -> float:
    return max(found, default=0.0)
