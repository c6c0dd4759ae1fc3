"""Two runs of a study held against each other: what moved, by how much, and which input moved it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isclose
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.plans.input_groups import GROUPS, Input, changed_inputs, mixed
from pricing.result.attribution import shapley_values
from pricing.result.figure import COLOURS
from pricing.result.readable import amount_text
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["RunDifference", "RunInputs", "run_difference"]

PARTS: Final = ("from_data", "from_model", "from_rule", "from_rate", "from_code", "undivided")
SAME = 1e-9  # of a figure: what two computations of it may lie apart and be one
Figures = Mapping[str, float]
Again = Callable[["RunInputs", Mapping[str, Any]], Figures]


@dataclass(frozen=True)
class RunInputs:
    """What a run rests on and what it found, as its record says.

    Attributes
    ----------
    study, fingerprint : str
        Name, and hash of data and settings.
    headline : mapping of str to float
        The figures it is judged by.
    data, files, code : str
        Hash of the accepted rows, of the files that settings name, of code and packages.
    settings : mapping
        The whole study file as settings.
    contents : mapping of str to str
        Hash of what each result says.
    kept : object
        Where its data can be had again; handed to the caller's computation.
    """

    study: str
    fingerprint: str
    headline: Figures
    data: str
    files: str
    code: str
    settings: Mapping[str, Any]
    contents: Mapping[str, str] = field(default_factory=dict)
    kept: Any = None


class RunDifference(Result):
    """Figures of two runs with the parts of their difference.

    ``.table``: quantity, before, after, difference, from_data, from_model, from_rule, from_rate,
    from_code, undivided: the six add up to the difference. ``.frames["changed"]``: input_group, changed_key.
    """

    kind = "run_difference"

    def finding(self, lang: Language = "en") -> str:
        """Say which figure moved, by how much, and what moved it most."""
        facts = self.facts
        if not facts["moved"]:
            key = "same" if facts["same"] else "other_results"
            return say(f"sentence.run_difference_{key}", lang, **facts)
        row = self._first
        parts = {name: row[name] for name in PARTS if row[name]}
        most = max(parts, key=lambda name: abs(parts[name]))
        told = {
            "quantity": label(row["quantity"], lang),
            "before": amount_text(row["before"], lang),
            "after": amount_text(row["after"], lang),
            "difference": amount_text(row["difference"], lang, signed=True),
            "part": amount_text(parts[most], lang, signed=True),
            "cause": label(most, lang),
        }
        said = say("finding.run_difference", lang, **{**facts, **told})
        open_ = facts["undivided"]
        return said + (say("sentence.run_difference_undivided", lang, **facts) if open_ else "")

    @property
    def _first(self) -> dict[str, Any]:
        """The figure that moved most against what it was."""
        moved = self.table.filter(pl.col("difference") != 0)
        share = (pl.col("difference") / pl.col("before")).abs()
        order = moved.select(pl.when(share.is_finite()).then(share).otherwise(0.0)).to_series()
        return moved.row(order.arg_max() or 0, named=True)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the figure that moved most, from before to after, input by input."""
        if not self.facts["moved"]:
            raise InputError("no figure moved: there is nothing to draw")
        row = self._first
        parts = {name: float(row[name]) for name in PARTS if row[name]}
        levels = np.cumsum([row["before"], *parts.values()]).tolist()
        room = max(max(levels) - min(levels), 0.02 * max(map(abs, levels)), 1e-12)
        figure = go.Figure(layout={"template": "pricing", "height": 440, "showlegend": False})
        figure.add_waterfall(
            x=[label("before", lang), *(label(n, lang) for n in parts), label("after", lang)],
            y=[row["before"], *parts.values(), row["after"]],
            measure=["absolute", *["relative"] * len(parts), "total"],
            connector={"line": {"color": COLOURS["line"], "width": 1, "dash": "dot"}},
            increasing={"marker": {"color": COLOURS["second"]}},
            decreasing={"marker": {"color": COLOURS["third"]}},
            totals={"marker": {"color": COLOURS["estimate"]}},
            text=[
                amount_text(row["before"], lang),
                *(amount_text(v, lang, signed=True) for v in parts.values()),
                amount_text(row["after"], lang),
            ],
            textposition="outside",
            cliponaxis=False,
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("input_group", lang)}, "type": "category"},
            yaxis={
                "title": {"text": label(row["quantity"], lang)},
                "range": [min(levels) - 0.6 * room, max(levels) + 0.25 * room],
            },
            hovermode="closest",
        )


def run_difference(
    before: RunInputs, after: RunInputs, again: Again | None = None
) -> RunDifference:
    """Divide the difference of two runs among data, model, rule, rate and code.

    Where the inputs of one kind alone differ, the whole difference is theirs. Where those of several
    differ, the figures are computed again for every mix of them, and each kind is given its Shapley
    value: the mean of what its going changes, over all orders. What the code of today makes of either
    run's own inputs, other than what that run had recorded, is the part of the code. A figure that
    cannot be computed again is left undivided.

    Parameters
    ----------
    before, after : RunInputs
        The two runs.
    again : callable, optional
        A run (whose data) and settings to the figures by name; called for 2ⁿ mixes of n kinds of
        inputs. It raises InputError for what cannot be computed, which leaves all figures undivided.

    Returns
    -------
    RunDifference

    Raises
    ------
    InputError
        For two runs that share no figure.

    Notes
    -----
    With v(S) the figure computed by the code of today from the inputs of ``after`` for the kinds in S
    and of ``before`` for the others, the difference is Σ φ_k + c: φ the Shapley values of v, and
    c = (after − v(all)) − (before − v(none)), which must vanish where the code is the same.

    References
    ----------
    Shapley, L. S. (1953). A value for n-person games. Annals of Mathematics Studies 28, 307–317.

    Examples
    --------
    >>> def run(premium, cap):
    ...     rest = {"premium": {"target_loss_ratio": premium}, "discount": {"cap": cap}}
    ...     return RunInputs("a", "", {"income": premium * (1 - cap)}, "d", "f", "c", rest)
    >>> def income(data, rest):
    ...     return {"income": rest["premium"]["target_loss_ratio"] * (1 - rest["discount"]["cap"])}
    >>> found = run_difference(run(100.0, 0.2), run(110.0, 0.1), income)
    >>> found.table.select("difference", "from_rule", "from_rate").row(0)
    (19.0, 10.5, 8.5)
    """
    names = [name for name in before.headline if name in after.headline]
    if not names:
        raise InputError(
            f"the runs of {before.study!r} and {after.study!r} share no figure",
            do="give two runs of one study, made by this version",
        )
    keys = changed_inputs(before.settings, after.settings)
    if before.files != after.files:
        keys["rule"] = [*keys.get("rule", []), "files"]
    if before.data != after.data and "data" not in keys:
        keys = {"data": ["tables"], **keys}
    kinds = [kind for kind in GROUPS if kind in keys]
    code = before.code != after.code
    moved = any(not _one(before.headline[n], after.headline[n]) for n in names)
    states: list[Figures] | None = None
    why = ""
    if moved and kinds and (len(kinds) > 1 or code):
        states, why = _states(before, after, kinds, again)
    rows, reasons = [], []
    for name in names:
        old, new = before.headline[name], after.headline[name]
        parts, reason = _divided(name, old, new, kinds, code, states, why)
        rows.append(
            {"quantity": name, "before": old, "after": new, "difference": new - old, **parts}
        )
        reasons += [reason] if reason else []
    floats = dict.fromkeys(("before", "after", "difference", *PARTS), pl.Float64)
    table = pl.DataFrame(rows, schema={"quantity": pl.String, **floats})
    changed = pl.DataFrame(
        [(kind, key) for kind in kinds for key in keys[kind]]
        + ([("code", "code")] if code else []),
        schema={"input_group": pl.String, "changed_key": pl.String},
        orient="row",
    )
    facts = {
        "study": after.study,
        "same": before.contents == after.contents and not moved,
        "figures": len(names),
        "moved": sum(not _one(before.headline[n], after.headline[n]) for n in names),
        "undivided": int((table["undivided"] != 0).sum()),
        "inputs": [*kinds, *(["code"] if code else [])],
    }
    basis = Basis(
        source=after.study,
        fingerprint=fingerprint(before.fingerprint, after.fingerprint),
        notes=("Shapley values over all orders of the inputs", *dict.fromkeys(reasons)),
    )
    return RunDifference(table=table, basis=basis, facts=facts, frames={"changed": changed})


def _states(
    before: RunInputs, after: RunInputs, kinds: Sequence[Input], again: Again | None
) -> tuple[list[Figures] | None, str]:
    """The figures of every mix of inputs; bit k of a place is that those of kind k are the later."""
    if again is None:
        return None, "the runs keep nothing to compute the figures again from"
    if before.files != after.files:
        return None, "a file that the settings name is another, and the earlier is not kept"
    states: list[Figures] = []
    for state in range(1 << len(kinds)):
        gone: set[Input] = {kind for k, kind in enumerate(kinds) if state >> k & 1}
        whose = after if "data" in gone else before
        try:
            states.append(dict(again(whose, mixed(before.settings, after.settings, gone))))
        except InputError as error:
            return None, f"not computed again: {error.problem}"
    return states, ""


def _divided(
    name: str,
    old: float,
    new: float,
    kinds: Sequence[Input],
    code: bool,
    states: Sequence[Figures] | None,
    why: str,
) -> tuple[dict[str, float], str]:
    """The parts of one figure's difference, and why it is left whole where it is."""
    parts = dict.fromkeys(PARTS, 0.0)
    whole = new - old
    if whole == 0:
        return parts, ""
    if len(kinds) == 1 and not code:
        return parts | {f"from_{kinds[0]}": whole}, ""
    if code and not kinds:
        return parts | {"from_code": whole}, ""
    if not kinds:
        return parts | {"undivided": whole}, "nothing recorded of the inputs differs"
    if states is None:
        return parts | {"undivided": whole}, why
    if any(name not in state for state in states):
        return parts | {"undivided": whole}, f"{name} rests on rows that are not kept"
    values = np.array([state[name] for state in states])
    if not code and not (_one(values[0], old) and _one(values[-1], new)):
        return parts | {"undivided": whole}, f"{name} is not found again from what the runs keep"
    found = {f"from_{k}": float(v) for k, v in zip(kinds, shapley_values(values), strict=True)}
    parts |= found
    rest = "from_code" if code else max(found, key=lambda n: abs(found[n]))
    parts[rest] = whole - fsum(v for n, v in parts.items() if n != rest)
    return parts, ""


def _one(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=SAME, abs_tol=1e-12)
