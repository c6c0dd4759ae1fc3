"""The steps of a projection: who is where, what they pay and claim, who moves, renews and joins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.health.book_now import StartBook
from pricing.health.gaming import Gaming
from pricing.health.outlook import Outlook
from pricing.regulation.rule import read_rules

__all__ = ["Course", "claims_index", "follow"]


@dataclass
class Course:
    """Figures by year: (years, draws) where nothing else is said; draw 0 is the estimate.

    Examples
    --------
    >>> Course(slope=np.zeros(1)).years
    0
    """

    slope: Floats
    members: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    new_members: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    lapsed: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    other_exits: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    premium: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    standard: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    claims: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    expenses: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    margin: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    rate_change: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    top_share: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    group_members: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    group_premium: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    group_claims: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    segment_members: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    segment_premium: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    segment_claims: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    flows: Floats = field(default_factory=lambda: np.zeros((0, 1, 1)))
    flow_lapsed: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    flow_exits: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    flow_new: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    offers: list[tuple[Floats, Floats, Floats]] = field(default_factory=list)

    @property
    def years(self) -> int:
        """How many years it has."""
        return len(self.premium)


def follow(
    start: StartBook,
    outlook: Outlook,
    *,
    years: int,
    draws: int,
    seed: int,
    top: int = 2,
    gaming: Gaming | None = None,
) -> Course:
    """Follow the book year by year, all draws at once.

    The state is members, standard premium and claims volume (both with age) by draw, segment, class of
    health and group: (3, draws, segments, classes, groups).

    Examples
    --------
    >>> from pricing.health.price_response import PriceResponse
    >>> outlook = Outlook(discounts={"G0": 0.0}, relativities={"G0": 1.0}, moves=np.eye(1),
    ...                   response=PriceResponse.elastic(retention=0.9, elasticity=0.0))
    >>> book = StartBook(("all",), np.array([[5.0]]), np.array([[10.0]]), np.array([6.0]))
    >>> follow(book, outlook, years=2, draws=1, seed=1).claims.round(6).tolist()
    [[6.0], [5.4]]
    """
    rng = np.random.default_rng(seed)
    groups, latent = outlook.groups, outlook.latent
    discount, size = outlook.discount, len(groups)
    z = latent.points
    response = outlook.response.draw(groups, rng, draws)
    relativity = outlook.draw_relativities(rng, draws)
    trend, level, effect = (
        _draw(mean, error, rng, draws)
        for mean, error in (
            (outlook.trend, outlook.trend_error),
            (0.0, outlook.level_error),
            (outlook.effect, outlook.effect_error),
        )
    )
    if (trend <= -1).any() or (effect >= 1).any():
        raise InputError("draws of trend or effect leave their domain", do="give smaller errors")
    moves = outlook.draw_moves(rng, draws, start.shares, years)
    within = latent.within(start.shares)
    slope, index = claims_index(relativity, within, start.shares, z)
    fading = (1 - effect * outlook.effect_lasting) / (1 - effect)
    faded = np.where(discount > 0, fading[:, None], 1.0)[:, None, None, :]
    state = np.empty((3, draws, len(start.segments), len(z), size))
    state[0] = start.members[:, None, :] * within
    state[1] = state[2] = start.premium[:, None, :] * within
    base = np.einsum("dskg,dkg->ds", state[2], index)  # each draw meets the book's claims
    per_volume = start.claims / base * np.exp(level)[:, None]
    state[2] *= per_volume[:, :, None, None]
    entrants = _entrants(start, outlook, per_volume, years)
    rules = read_rules()
    rate = np.ones(draws)
    shown = np.broadcast_to(discount, (draws, size))
    lifted = np.zeros(draws)
    arrived, changed = np.zeros(draws), np.zeros(draws)
    seen: dict[str, list[Floats]] = {}
    offers: list[tuple[Floats, Floats, Floats]] = []

    def keep(**figures: Floats) -> None:
        for name, value in figures.items():
            seen.setdefault(name, []).append(np.array(value))

    for t in range(1, years + 1):
        members, volume = state[0], state[1] * rate[:, None, None, None]
        premium = volume * (1 - shown)[:, None, None, :]
        grown = ((1 + trend) ** (t - 1))[:, None, None, None]
        claims = state[2] * index[:, None] * grown * (faded if t > 1 else 1.0)
        income, cost = premium.sum(axis=(1, 2, 3)), claims.sum(axis=(1, 2, 3))
        count = members.sum(axis=(1, 2, 3))
        spent = outlook.expense_share * income
        spent = spent + outlook.expense_member * count * (1 + trend) ** (t - 1)
        if not (count > 1e-12 * start.members.sum()).all():
            raise InputError(
                f"nobody is left in year {t}", do="ask for fewer years, or fewer exits"
            )
        true_top = members.sum(axis=(1, 2))[:, size - top :].sum(axis=1) / count
        keep(
            members=count, new_members=arrived, premium=income, standard=volume.sum(axis=(1, 2, 3)),
            claims=cost, expenses=spent, margin=income - cost - spent, rate_change=changed,
            top_share=true_top + lifted * (1 - true_top),
            group_members=members[0].sum(axis=(0, 1)), group_premium=premium[0].sum(axis=(0, 1)),
            group_claims=claims[0].sum(axis=(0, 1)), segment_members=members[0].sum(axis=(1, 2)),
            segment_premium=premium[0].sum(axis=(1, 2)), segment_claims=claims[0].sum(axis=(1, 2)),
        )  # fmt: skip
        stayed = 1 - outlook.exits
        moved = (state * stayed)[..., None] * moves[None, :, None]
        wide = moved.reshape(*moved.shape[:4], size * size)
        moved = np.matmul(latent.drift.T, wide).reshape(moved.shape)
        changed = outlook.rates.allowed(cost / income, year=t + 1, trend=trend, rules=rules)
        then = moved[0].sum(axis=(1, 2, 3))
        lifted = _lifted(then, top, t, gaming)
        next_shown = _shown(then, discount, lifted, top)
        step = (1 + changed)[:, None, None] * (1 - next_shown)[:, None, :]
        step = step * (1 + outlook.premium_ageing) / (1 - shown)[:, :, None]
        odds = response[:, 0, None, None] - response[:, 1, None, None] * np.log(step)
        odds = odds + response[:, None, 2:]
        p = expit(
            odds[:, None] + outlook.response.latent * z[:, None, None]
        )  # draws, classes, g, h
        renewed = moved * p[:, None]
        keep(
            lapsed=(moved[0] - renewed[0]).sum(axis=(1, 2, 3, 4)),
            other_exits=count * outlook.exits,
        )
        if t < years:
            arrived_state = entrants[:, :, t - 1]
            keep(
                flows=renewed[0, 0].sum(axis=(0, 1)),
                flow_lapsed=(moved[0, 0] - renewed[0, 0]).sum(axis=(0, 1, 3)),
                flow_exits=members[0].sum(axis=(0, 1)) * outlook.exits,
                flow_new=arrived_state[0, 0].sum(axis=(0, 1)),
            )
            lost = (shown[0][:, None] - next_shown[0][None, :]) + 0.0
            offers.append((moved[0, 0].sum(axis=(0, 1)), step[0] - 1, lost))
            state = renewed.sum(axis=4)
            state[1] *= 1 + outlook.premium_ageing
            state[2] *= 1 + outlook.claims_ageing
            state = state + arrived_state
            arrived = arrived_state[0].sum(axis=(1, 2, 3))
            rate = rate * (1 + changed)
            here = state[0].sum(axis=(1, 2))
            lifted = _lifted(here, top, t, gaming)  # offered on who was there, charged on who is
            shown = _shown(here, discount, lifted, top) if gaming else next_shown
    return Course(
        slope=slope, offers=offers,
        **{name: np.stack(values) for name, values in seen.items()},
    )  # fmt: skip


def claims_index(
    relativity: Floats, within: Floats, shares: Floats, z: Floats
) -> tuple[Floats, Floats]:
    """Slope of claims on latent health, and claims by class and group that meet the relativities.

    Parameters
    ----------
    relativity : array, (draws, groups)
    within : array, (classes, groups)
        Shares of the classes in each group.
    shares : array, (groups,)
        Weights of the fit.
    z : array, (classes,)

    Returns
    -------
    slope : array, (draws,)
    index : array, (draws, classes, groups)

    Examples
    --------
    >>> within = np.array([[0.8, 0.2], [0.2, 0.8]])
    >>> slope, index = claims_index(np.array([[1.0, 0.7]]), within, np.array([0.5, 0.5]),
    ...                             np.array([-1.0, 1.0]))
    >>> np.einsum("dkg,kg->dg", index, within).round(9).tolist()
    [[1.0, 0.7]]
    """
    slope = np.zeros(len(relativity))
    log_r = np.log(relativity)
    for _ in range(60):  # Gauss and Newton; one coefficient, all draws at once
        c = np.exp(-slope[:, None] * z)
        mean = c @ within
        tilt = -((c * z) @ within) / mean
        left = log_r - np.log(mean)
        tilt_c = tilt - (tilt @ shares)[:, None]
        left_c = left - (left @ shares)[:, None]
        step = (tilt_c * left_c) @ shares
        size = (tilt_c**2) @ shares
        step = np.divide(step, size, out=np.zeros_like(step), where=size > 1e-12)
        slope = np.clip(slope + step, -2.0, 2.0)
        if np.abs(step).max() < 1e-12:
            break
    c = np.exp(-slope[:, None] * z)
    rest = relativity / (c @ within)
    return slope, c[:, :, None] * rest[:, None, :]


def _draw(mean: float, error: float, rng: np.random.Generator, draws: int) -> Floats:
    found = np.full(draws, float(mean))
    found[1:] += error * rng.standard_normal(draws - 1)
    return found


def _entrants(start: StartBook, outlook: Outlook, per_volume: Floats, years: int) -> Floats:
    """New business of each year: (3, draws, years − 1, segments, classes, groups)."""
    new, latent = outlook.new_business, outlook.latent
    entry = new.entry(outlook.groups)
    by_segment = start.members.sum(axis=1)
    count = new.members(1.0, max(years - 1, 0))
    each = start.premium.sum(axis=1) / by_segment * new.premium
    lives = (
        count[:, None, None, None]
        * by_segment[:, None, None]
        * latent.weights[:, None]
        * entry[None, None, :]
    )
    volume = lives * each[:, None, None]
    found = np.empty((3, len(per_volume), *lives.shape))
    found[0], found[1] = lives, volume
    found[2] = volume * (per_volume * new.claims)[:, None, :, None, None]
    return found


def _lifted(then: Floats, top: int, year: int, gaming: Gaming | None) -> Floats:
    """Share of those below the top groups who are shown in them next year."""
    if gaming is None:
        return np.zeros(len(then))
    share = then[:, then.shape[1] - top :].sum(axis=1) / then.sum(axis=1)
    wanted = (gaming.share - share) / np.maximum(1 - share, 1e-12)
    return np.asarray(np.clip(wanted, 0.0, 1.0) * min(year / gaming.years, 1.0))


def _shown(then: Floats, discount: Floats, lifted: Floats, top: int) -> Floats:
    """Mean discount shown by true group: some of those below the top groups get the top's."""
    held = then[:, len(discount) - top :]
    best = discount[len(discount) - top :]
    total = held.sum(axis=1)
    mean = np.where(total > 0, held @ best / np.where(total > 0, total, 1.0), best.mean())
    below = (np.arange(len(discount)) < len(discount) - top)[None, :]
    return np.where(below, (1 - lifted)[:, None] * discount + (lifted * mean)[:, None], discount)
