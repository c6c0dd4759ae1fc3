"""Likelihood of a Markov process seen at visits, with its exact first and second derivatives.

A step from state r over t years adds log Σₖ P_rk(t) e_k to the log-likelihood: e is 1 at the state found
and 0 elsewhere; 1 at each state a censored code allows; the intensity q_kD of the entry at states k
where the end is an entry into D at a known time (Kalbfleisch and Lawless 1985, JASA 80; Jackson 2011,
Journal of Statistical Software 38(8), section 1.4). Where the state at the end of a step is not known,
the steps up to the next known state make a chain, and the product of their matrices stands in P's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pricing.estimate.design import Floats
from pricing.multistate.exponential import (
    SMALL,
    Spectrum,
    differences,
    exponentials,
    second_differences,
    series,
    spectrum,
    unsure,
)
from pricing.multistate.graph import StateGraph

__all__ = ["PanelLikelihood", "Value"]

Ints = npt.NDArray[np.intp]
BLOCK = 2_000_000  # elements of a temporary
STEP = 1e-5  # of the central differences of a chain's exact score


@dataclass(frozen=True)
class Value:
    """Log-likelihood, score and Hessian in the log intensities' coefficients."""

    value: float
    score: Floats
    hessian: Floats


@dataclass(frozen=True)
class PanelLikelihood:
    """A panel's likelihood as a function of log intensities by group.

    Attributes
    ----------
    graph : StateGraph
        States and moves.
    group : integer array, one per step
        Row of ``design`` a step takes its intensities from.
    years, start, allowed, exact, first, length
        As in :class:`pricing.multistate.visits.Visits`.
    design : array, groups × columns
        Covariates; log intensity of a move = its coefficients times the row.
    free : array, (moves · columns) × parameters
        How the coefficients, by move and column, follow from the parameters.
    """

    graph: StateGraph
    group: Ints
    years: Floats
    start: Ints
    allowed: Floats
    exact: Ints
    first: Ints
    length: Ints
    design: Floats
    free: Floats

    @cached_property
    def pairs(self) -> tuple[Ints, Floats]:
        """Chains of one step, each kind once, and how often it was seen."""
        single = self.first[self.length == 1]
        keys = np.column_stack(
            [self.group, self.years, self.start, self.exact, self.allowed @ self._codes]
        )[single]
        _, where, counts = np.unique(keys, axis=0, return_index=True, return_counts=True)
        return single[where], counts.astype(float)

    @property
    def _codes(self) -> Floats:
        return np.asarray(2.0 ** np.arange(self.allowed.shape[1]))

    @cached_property
    def chains(self) -> tuple[Ints, Ints]:
        """First step and length of chains of more steps than one."""
        many = self.length > 1
        return self.first[many], self.length[many]

    def log_rates(self, parameters: Floats) -> Floats:
        """Log intensities, groups × moves."""
        beta = (self.free @ parameters).reshape(len(self.graph.moves), -1)
        return np.asarray(self.design @ beta.T)

    def at(self, parameters: Floats, *, second: bool = True) -> Value:
        """Evaluate; −inf and no derivatives where the parameters are out of all scale."""
        size = len(parameters)
        nothing = Value(-np.inf, np.full(size, np.nan), np.full((size, size), np.nan))
        eta = self.log_rates(parameters)
        if not np.isfinite(eta).all() or eta.max() > 50:
            return nothing
        with np.errstate(all="ignore"):
            value, slope, curve, poor = self._pairs(eta, second)
            first, length, weight = self._left(poor)
            hessian = self._pull(curve) if second else np.full((size, size), np.nan)
            if len(first):
                more, steep = self._chains(eta, first, length, weight)
                value, slope = value + more, slope + steep
                if second:
                    hessian = hessian + self._chain_hessian(parameters, first, length, weight)
        if not np.isfinite(value):
            return nothing
        return Value(value, self._score(slope), hessian)

    def _score(self, slope: Floats) -> Floats:
        return np.asarray(self.free.T @ (slope.T @ self.design).ravel())

    def _pull(self, curve: Floats) -> Floats:
        """Hessian by group and two moves to that of the parameters."""
        x = self.design
        size = curve.shape[1] * x.shape[1]
        full = np.einsum("gmn,gk,gl->mknl", curve, x, x, optimize=True).reshape(size, size)
        return np.asarray(self.free.T @ full @ self.free)

    def _left(self, poor: Ints) -> tuple[Ints, Ints, Floats]:
        """Chains, and the pairs whose matrices have no sound eigenvectors, as chains of one."""
        rows, counts = self.pairs
        first, length = self.chains
        return (
            np.concatenate([first, rows[poor]]),
            np.concatenate([length, np.ones(len(poor), dtype=np.intp)]),
            np.concatenate([np.ones(len(first)), counts[poor]]),
        )

    def _directions(self, rates: Floats) -> Floats:
        """∂Q/∂ log q of each move: groups × moves × states × states."""
        a, b = self.graph.ends
        size = len(self.graph.states)
        found = np.zeros((*rates.shape, size, size))
        moves = np.arange(len(a))
        found[:, moves, a, b] = rates
        found[:, moves, a, a] = -rates
        return found

    def _ends(self, steps: Ints, rates: Floats) -> Floats:
        """What each state at the end of a step counts: e of the formula."""
        found = self.allowed[steps].copy()
        for entered in np.unique(self.exact[steps]):
            if entered < 0:
                continue
            at = np.flatnonzero(self.exact[steps] == entered)
            found[at] = 0.0
            for move in self._into(int(entered)):
                found[at, self.graph.ends[0][move]] = rates[self.group[steps[at]], move]
        return found

    def _into(self, entered: int) -> Ints:
        return np.flatnonzero(self.graph.ends[1] == entered)

    def _pairs(self, eta: Floats, second: bool) -> tuple[float, Floats, Floats, Ints]:
        """Value, slope by group and move, curvature by group and two moves; pairs left out."""
        rates = np.exp(eta)
        groups, moves = eta.shape
        states = len(self.graph.states)
        parts = spectrum(self.graph.matrix(rates))
        a, b = self.graph.ends
        out = parts.vectors[:, b, :] - parts.vectors[:, a, :]
        into = np.swapaxes(parts.inverse, 1, 2)[:, a, :] * rates[:, :, None]
        turned = into[..., :, None] * out[..., None, :]  # G of each move
        every, counts = self.pairs
        sound = parts.sound[self.group[every]]
        poor = np.flatnonzero(~sound)
        value, slope = 0.0, np.zeros((groups, moves))
        curve = np.zeros((groups, moves, moves))
        pooled = np.zeros((groups, states, states, states), dtype=parts.values.dtype)
        picked = np.flatnonzero(sound)
        for one in range(0, len(picked), max(1, BLOCK // states**3)):
            chosen = picked[one : one + max(1, BLOCK // states**3)]
            steps, count = every[chosen], counts[chosen]
            g, t = self.group[steps], self.years[steps]
            ends = self._ends(steps, rates)
            scaled = parts.values[g] * t[:, None]
            left = parts.vectors[g, self.start[steps]]
            right = (parts.inverse[g] @ ends[:, :, None])[:, :, 0]
            seen = ((left * np.exp(scaled)) * right).sum(axis=1).real
            tiny = ~(seen > SMALL * ends.max(axis=1))
            if tiny.any():  # few digits are left of them: they go with the chains
                poor, keep = np.append(poor, chosen[tiny]), ~tiny
                steps, count, g, t, scaled = (x[keep] for x in (steps, count, g, t, scaled))
                left, right, seen = left[keep], right[keep], seen[keep]
                if not keep.any():
                    continue
            value += float(count @ np.log(seen))
            phi = differences(scaled) * t[:, None, None]
            inner = left[:, :, None] * phi * right[:, None, :]
            first = _by_group(inner, turned, g)
            deaths = self._at_death(steps, parts, turned, phi, left, scaled, rates)
            if deaths is not None:
                rows, extra, _ = deaths
                first[rows] += extra
            per = first / seen[:, None]
            np.add.at(slope, g, count[:, None] * per)
            if not second:
                continue
            share = count / seen
            phi2 = second_differences(scaled) * (t * t)[:, None, None, None]
            weights = (share[:, None] * left)[:, :, None, None] * phi2 * right[:, None, None, :]
            np.add.at(pooled, g, weights)
            np.add.at(curve, g, -count[:, None, None] * per[:, :, None] * per[:, None, :])
            if deaths is not None:
                rows, _, mixed = deaths
                np.add.at(curve, g[rows], share[rows, None, None] * mixed)
            # ∂²Q/∂(log q)² = ∂Q/∂ log q: the part of the slope that comes through P
            through = _by_group(inner, turned, g) * share[:, None]
            diagonal = np.arange(moves)
            np.add.at(curve, (g[:, None], diagonal[None, :], diagonal[None, :]), through)
        if second and len(picked):
            half = np.einsum("cikj,cmik,cnkj->cmn", pooled, turned, turned, optimize=True).real
            curve += half + np.swapaxes(half, 1, 2)
        return value, slope, curve, poor

    def _at_death(
        self, steps: Ints, parts: Spectrum, turned: Any, phi: Any, left: Any, scaled: Any,
        rates: Floats,
    ) -> tuple[Ints, Floats, Floats] | None:  # fmt: skip
        """Derivatives through q_kD itself: which rows, first and (mixed and own) second ones."""
        rows = np.flatnonzero(self.exact[steps] >= 0)
        if not len(rows):
            return None
        g, moves = self.group[steps[rows]], rates.shape[1]
        reached = ((left[rows] * np.exp(scaled[rows]))[:, None, :] @ parts.inverse[g])[:, 0].real
        tilted = (left[rows][:, :, None] * phi[rows])[:, None] * turned[g]
        moved = (tilted.sum(axis=2) @ parts.inverse[g]).real  # ∂P_r·/∂ log q, rows × moves × states
        extra = np.zeros((len(rows), moves))
        mixed = np.zeros((len(rows), moves, moves))
        for entered in np.unique(self.exact[steps[rows]]):
            at = np.flatnonzero(self.exact[steps[rows]] == entered)
            for move in self._into(int(entered)):
                k = self.graph.ends[0][move]
                q = rates[g[at], move]
                extra[at, move] = reached[at, k] * q
                cross = moved[at, :, k] * q[:, None]
                mixed[at, :, move] += cross
                mixed[at, move, :] += cross
                mixed[at, move, move] += reached[at, k] * q
        return rows, extra, mixed

    def _chains(
        self, eta: Floats, first: Ints, length: Ints, weight: Floats
    ) -> tuple[float, Floats]:
        """Value and slope of chains: forwards for the value, backwards for its share in each P."""
        rates = np.exp(eta)
        matrices = self.graph.matrix(rates)
        parts = spectrum(matrices)
        steps = np.repeat(first, length) + _inside(length)
        at = np.cumsum(length) - length  # place of each chain's first step among `steps`
        g, t = self.group[steps], self.years[steps]
        p = exponentials(matrices, t, g)
        ends = self._ends(steps, rates)
        states = len(self.graph.states)
        state = np.eye(states)[self.start[first]]
        before, after, scale = (
            np.zeros((len(steps), states)),
            np.zeros((len(steps), states)),
            np.ones(len(steps)),
        )
        value = 0.0
        for k in range(int(length.max())):
            live = np.flatnonzero(length > k)
            s = at[live] + k
            before[s] = state[live]
            reached = (state[live][:, None, :] @ p[s])[:, 0] * ends[s]
            scale[s] = reached.sum(axis=1)
            if not (scale[s] > 0).all():
                return -np.inf, np.zeros_like(eta)
            value += float(weight[live] @ np.log(scale[s]))
            state[live] = reached / scale[s, None]
        back = np.ones((len(first), states))
        for k in range(int(length.max()) - 1, -1, -1):
            live = np.flatnonzero(length > k)
            s = at[live] + k
            after[s] = ends[s] * back[live] / scale[s, None]
            back[live] = (p[s] @ after[s][:, :, None])[:, :, 0]
        heavy = np.repeat(weight, length)
        share = heavy[:, None, None] * before[:, :, None] * after[:, None, :]  # ∂ℓ/∂P
        sound = parts.sound[g] & ~unsure(p, matrices, g)
        slope = self._adjoint(parts, matrices, rates, g, t, share, sound)
        entries = np.flatnonzero(self.exact[steps] >= 0)
        if len(entries):
            reached = (before[entries][:, None, :] @ p[entries])[:, 0]
            for move in range(rates.shape[1]):
                a, b = self.graph.ends[0][move], self.graph.ends[1][move]
                at_b = self.exact[steps[entries]] == b
                part = heavy[entries] * reached[:, a] * after[entries, a]
                np.add.at(slope[:, move], g[entries][at_b], part[at_b])
        return value, slope

    def _adjoint(
        self, parts: Spectrum, matrices: Floats, rates: Floats, g: Ints, t: Floats, share: Floats,
        sound: npt.NDArray[np.bool_],
    ) -> Floats:  # fmt: skip
        """Carry ∂ℓ/∂P back to the log intensities of the groups."""
        slope = np.zeros_like(rates)
        directions = self._directions(rates)
        good = np.flatnonzero(sound)
        if len(good):
            v, w = parts.vectors[g[good]], parts.inverse[g[good]]
            turned = np.swapaxes(v, 1, 2) @ share[good] @ np.swapaxes(w, 1, 2)
            turned = (
                turned * differences(parts.values[g[good]] * t[good, None]) * t[good, None, None]
            )
            pooled = np.zeros((len(rates), *share.shape[1:]), dtype=turned.dtype)
            np.add.at(pooled, g[good], turned)
            back = np.swapaxes(parts.inverse, 1, 2) @ pooled @ np.swapaxes(parts.vectors, 1, 2)
            slope += np.einsum("cij,cmij->cm", back.real, directions)
        poor = np.flatnonzero(~sound)
        if len(poor):
            years = t[poor, None, None]
            moved = series(matrices[g[poor]] * years, directions[g[poor]] * years[:, None])[1]
            np.add.at(slope, g[poor], np.einsum("sij,smij->sm", share[poor], moved))
        return slope

    def _chain_hessian(
        self, parameters: Floats, first: Ints, length: Ints, weight: Floats
    ) -> Floats:
        """Central differences of the chains' exact score."""
        columns = []
        for j in range(len(parameters)):
            move = np.zeros_like(parameters)
            move[j] = STEP
            up, down = (
                self._score(self._chains(self.log_rates(p), first, length, weight)[1])
                for p in (parameters + move, parameters - move)
            )
            columns.append((up - down) / (2 * STEP))
        found = np.column_stack(columns)
        return np.asarray((found + found.T) / 2)


def _by_group(inner: Any, turned: Any, g: Ints) -> Floats:
    """Σ_ij A_ij G_ij of every row with each move's G of its group."""
    rows, moves = len(inner), turned.shape[1]
    flat, wide = inner.reshape(rows, -1), turned.reshape(len(turned), moves, -1)
    if len(turned) > 16:
        return np.asarray((wide[g] @ flat[:, :, None])[:, :, 0].real)
    found = np.zeros((rows, moves))
    for c in range(len(turned)):
        at = g == c
        found[at] = (flat[at] @ wide[c].T).real
    return found


def _inside(length: Ints) -> Ints:
    return np.asarray(np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length))
