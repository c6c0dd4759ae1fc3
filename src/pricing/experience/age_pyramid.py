"""Age pyramid: how old the insured are, the two sexes back to back."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["AgePyramid", "age_pyramid"]


class AgePyramid(Result):
    """Exposure by age and sex; ``.table``: age, sex, exposure and its share of the whole."""

    kind = "age_pyramid"

    def finding(self, lang: Language = "en") -> str:
        """Say how the sexes share the exposure, where most of it lies and how much is oldest."""
        names = ("left", "right", "most", "oldest")
        named = {name: level_label(self.facts[name], lang) for name in names}
        return say("finding.age_pyramid", lang, **{**self.facts, **named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the shares of the exposure back to back, the youngest below."""
        age, sex = self.facts["age"], self.facts["sex"]
        figure = go.Figure(layout={"template": "pricing"})
        for side, sign, colour in (("left", -1, "estimate"), ("right", 1, "second")):
            rows = self.table.filter(pl.col(sex).cast(pl.String) == self.facts[side])
            figure.add_bar(
                y=[level_label(str(band), lang) for band in rows[age]],
                x=(sign * rows["share_exposure"]).to_list(),
                orientation="h",
                name=level_label(self.facts[side], lang),
                marker={"color": COLOURS[colour]},
                text=[f"{share:.1%}" for share in rows["share_exposure"]],
                textposition="auto",
                customdata=rows.select("share_exposure", "exposure").rows(),
                hovertemplate="%{customdata[0]:.2%} (%{customdata[1]:,.0f})",
            )
        most = max([*self.table["share_exposure"].to_list(), 1e-12])
        ends = [1.2 * most * k for k in (-1, 1)]
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if 4 * s >= most)
        ticks = [k * step for k in range(-4, 5)]
        return figure.update_layout(
            barmode="overlay",
            bargap=0.08,
            height=160 + 26 * self.table[age].n_unique(),
            hovermode="y unified",
            legend={"traceorder": "normal"},
            xaxis={
                "title": {"text": label("share_exposure", lang)},
                "range": ends,
                "tickmode": "array",
                "tickvals": ticks,
                "ticktext": [f"{abs(tick):.0%}" for tick in ticks],
                "zeroline": True,
                "zerolinecolor": COLOURS["line"],
            },
            yaxis={
                "title": {"text": label(age, lang)},
                "type": "category",
                "showgrid": False,
                "tickmode": "linear",  # every band has its name
            },
        )


def age_pyramid(
    experience: Experience, *, age: str = "age_band", sex: str = "sex", left: str | None = None
) -> AgePyramid:
    """Exposure by age and sex, as a share of the whole: the first picture of any book of lives.

    Parameters
    ----------
    experience : Experience
        Cells that carry both keys.
    age : str
        Key of bands or single years of age, in their order.
    sex : str
        Key of two levels.
    left : str, optional
        Level drawn to the left; ``male`` where there is one, otherwise the last level.

    Returns
    -------
    AgePyramid
        ``.table``: age, sex, exposure, share_exposure; every pair once, without exposure too.

    Raises
    ------
    InputError
        For a key the cells lack, a sex of more or fewer than two levels, an unknown ``left``, or no
        exposure.

    Examples
    --------
    >>> rows = pl.DataFrame({"age_band": ["0-39", "40+", "40+"], "sex": ["female", "female", "male"],
    ...                      "exposure": [1.0, 2.0, 1.0], "claims": [0, 0, 1]})
    >>> found = age_pyramid(Experience.collect(rows, ["age_band", "sex"]))
    >>> found.table["share_exposure"].to_list()
    [0.25, 0.0, 0.5, 0.25]
    >>> found.figure().data[0].name
    'male'
    """
    seen = experience.by(age, sex).cells.select(age, sex, "exposure")
    sexes = seen.select(pl.col(sex).unique().sort()).to_series()
    levels = [str(level) for level in sexes]
    if len(levels) != 2:
        raise InputError(f"a pyramid has two sides, {sex} has {len(levels)} levels: {levels}")
    first = left if left is not None else "male" if "male" in levels else levels[-1]
    if first not in levels:
        raise InputError(f"{sex} has no level {first!r}{nearest(first, levels)}")
    whole = float(seen["exposure"].sum())
    if not whole > 0:
        raise InputError("no exposure to draw")
    every = seen.select(pl.col(age).unique().sort()).join(sexes.to_frame(), how="cross")
    table = (
        every.join(seen, on=[age, sex], how="left", maintain_order="left")
        .with_columns(pl.col("exposure").fill_null(0.0))
        .with_columns(share_exposure=pl.col("exposure") / whole)
    )
    bands = table.group_by(age, maintain_order=True).agg(pl.col("share_exposure").sum())
    sides = dict(
        table.group_by(pl.col(sex).cast(pl.String)).agg(pl.col("share_exposure").sum()).iter_rows()
    )
    top = bands.row(int(bands["share_exposure"].arg_max() or 0))
    right = next(level for level in levels if level != first)
    facts = {
        "age": age,
        "sex": sex,
        "exposure": whole,
        "left": first,
        "right": right,
        "left_share": sides[first],
        "right_share": sides[right],
        "most": str(top[0]),
        "most_share": top[1],
        "oldest": str(bands[age][-1]),
        "oldest_share": bands["share_exposure"][-1],
    }
    return AgePyramid(table=table, basis=experience.basis, facts=facts)
