"""The last touch of every figure: amounts, months, shares and long names as a reader writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import wraps
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pricing.result.words import Language, label

__all__ = ["amount_text", "broken", "finished", "in_fours", "one_line", "readable"]

CURRENCIES = {"CNY": "元", "USD": "美元", "EUR": "欧元", "HKD": "港元"}
UNITS: dict[Language, tuple[tuple[float, str], ...]] = {
    "en": ((1e12, "T"), (1e9, "B"), (1e6, "M")),
    "zh": ((1e12, "万亿"), (1e8, "亿"), (1e4, "万")),
}
MONTHS = [
    {"dtickrange": [None, 604_800_000], "value": "%Y-%m-%d"},
    {"dtickrange": [604_800_000, "M6"], "value": "%Y-%m"},
    {"dtickrange": ["M12", None], "value": "%Y"},
]
ACROSS = 74  # Latin letters side by side under a figure of half a page
BESIDE = 40  # letters that may stand beside a lying figure
TWO_LINES = 34  # pixels
MONEY = (  # names of axes that say an amount without its currency
    "amount_a_year", "bill", "capped_mean", "cost_a_year", "cost_per_insured", "earned_premium",
    "levels_margin", "mean_excess", "member_price", "monthly_leakage", "net_value", "outgo_first",
    "own_excess", "premium", "price_paid", "pure_premium", "required_premium", "severity",
    "standard_premium", "threshold", "value_of_a_visit", "year_share",
)  # fmt: skip
UPRIGHT = 38  # letters along a vertical axis
COUNTED = re.compile("[（(][万亿]")  # a title that says by what it counts
TICKS = 24  # as many stand side by side
WORDS = frozenset(  # of headings, not to be broken
    [
        "成员",
        "会员",
        "定价",
        "价格",
        "保费",
        "保单",
        "保障",
        "赔付",
        "赔案",
        "赔款",
        "理赔",
        "健康",
        "区间",
        "折扣",
        "人数",
        "次数",
        "年数",
        "金额",
        "比例",
        "占比",
        "概率",
        "费用",
        "费率",
        "成本",
        "预期",
        "标准",
        "风险",
        "服务",
        "客户",
        "估计",
        "方案",
        "系数",
        "水平",
        "变动",
        "期末",
        "年度",
        "下限",
        "上限",
        "结余",
        "收支",
        "缴费",
        "给付",
        "部分",
        "支付",
        "参保",
        "失能",
        "领取",
        "退出",
        "分摊",
        "互助",
        "重复",
        "使用",
        "需求",
        "报警",
        "佩戴",
        "手表",
        "等待",
        "应答",
    ]
)
CELL = 24  # letters of a table's cell that stay on one line


def amount_text(value: float, lang: Language, *, signed: bool = False) -> str:
    """Write an amount short: 1.93B and 19.3亿, never 1.93e+09; below a million in full.

    Examples
    --------
    >>> amount_text(1_926_000_000, "en"), amount_text(1_926_000_000, "zh"), amount_text(-408.91, "en")
    ('1.93B', '19.3亿', '−408.9')
    >>> amount_text(0.0169, "en"), amount_text(52_300, "zh"), amount_text(200, "en", signed=True)
    ('0.0169', '52,300', '+200')
    """
    size = abs(value)
    scale, unit = 1.0, ""
    if size >= 999_999.5:
        scale, unit = next(u for u in UNITS[lang] if size >= 0.9999995 * u[0])
    whole = size / scale
    digits = max(0, (2 if unit else 3) - math.floor(math.log10(whole))) if whole > 0 else 0
    text = f"{whole:,.{min(digits, 8)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    sign = "−" if value < 0 and text.strip("0.") else "+" if signed else ""
    return f"{sign}{text}{unit}"


def broken(text: str, width: int) -> str:
    """Break a name into lines of at most ``width`` letters; a Chinese character counts for two.

    Examples
    --------
    >>> broken("Expected cost of a member", 14)
    'Expected cost<br>of a member'
    >>> broken("Saving (a claimant, or a case and year)", 38)
    'Saving (a claimant,<br>or a case and year)'
    >>> broken("方案对每人每年的价值", 10)
    '方案对每人<br>每年的价值'
    """
    if "<" in text or _width(text) <= width:
        return text
    lines = _lines(text, width)
    even = range(-(-_width(text) // len(lines)), width + 1)  # of as many lines the most even
    return "<br>".join(next((n for w in even if len(n := _lines(text, w)) == len(lines)), lines))


def _lines(text: str, width: int) -> list[str]:
    lines = [""]
    for part in re.findall(r"[\u2e80-\uffef][，。：；、）]*|[^\s\u2e80-\uffef]+|\s+", text):
        if _width(lines[-1] + part.rstrip()) > width and lines[-1].strip():
            lines.append("")
        lines[-1] += part if lines[-1] else part.lstrip()
    return [line.strip() for line in lines if line.strip()]


def one_line(texts: Iterable[str]) -> bool:
    """Whether the cells of a column are short enough to stand on one line each.

    Examples
    --------
    >>> one_line(["few alarms", "many alarms"]), one_line(["A deductible of 30 a visit"])
    (True, False)
    """
    return all(_width(text) <= CELL for text in texts)


def in_fours(head: str) -> list[str]:
    """Cut a heading where a narrow column may break it: Chinese after four characters, never before one.

    Examples
    --------
    >>> in_fours("现收现付人均缴费"), in_fours("调整后折扣"), in_fours("Claim amount")
    (['现收现付', '人均缴费'], ['调整后折扣'], ['Claim amount'])
    """
    head = re.sub(r"(?<=\d) (?=[\u4e00-\u9fff])", "\u00a0", head)  # 65 岁 stays together
    return re.sub(r"[\u4e00-\u9fff]{6,}", lambda run: "\n".join(_fours(run.group())), head).split(
        "\n"
    )


def _fours(run: str) -> list[str]:
    """Cut a run of Chinese after four characters, or after three or five where a word would break."""
    if len(run) < 6:
        return [run]
    cuts = [cut for cut in (4, 3, 5) if len(run) - cut >= 2 and run[cut - 1 : cut + 1] not in WORDS]
    cut = cuts[0] if cuts else 4
    return [run[:cut], *_fours(run[cut:])]


def finished(draw: Callable[..., go.Figure]) -> Callable[..., go.Figure]:
    """Wrap a result's ``figure`` so that what it draws leaves the house readable.

    Examples
    --------
    >>> class Drawn:
    ...     @finished
    ...     def figure(self, lang="en"):
    ...         return go.Figure(layout={"yaxis": {"title": {"text": "保费 (CNY)"}}})
    >>> Drawn().figure("zh").layout.yaxis.title.text
    '保费（元）'
    """

    @wraps(draw)
    def drawn(self: Any, lang: Language = "en", *more: Any, **named: Any) -> go.Figure:
        figure = draw(self, lang, *more, **named)
        basis = getattr(self, "basis", None)
        return readable(_with_unit(figure, basis.currency, lang) if basis else figure, lang)

    return drawn


def _with_unit(figure: go.Figure, currency: str, lang: Language) -> go.Figure:
    """Give the axes that a sum of money names its currency."""
    money = {label(name, lang) for name in MONEY} if currency else set()
    for _, axis in _axes(figure):
        if axis.title.text in money:
            axis.title.text = f"{axis.title.text} ({currency})"
    return figure


def readable(figure: go.Figure, lang: Language) -> go.Figure:
    """Set ticks and titles as a reader writes them; what a figure set itself stays.

    Long level names break into lines, percent ticks show the digits that differ, and in Chinese
    amounts count in 万 and 亿, months stand as 2024-07 and currencies by their names. Twice is
    the same as once.

    Examples
    --------
    >>> figure = go.Figure(go.Bar(x=["a", "b"], y=[20_000, 60_000]))
    >>> readable(figure, "zh").layout.yaxis.ticktext
    ('−2万', '0', '2万', '4万', '6万', '8万')
    """
    for name, axis in _axes(figure):
        if axis.title.text:
            text = _currency(axis.title.text) if lang == "zh" else axis.title.text
            axis.title.text = broken(text, UPRIGHT) if name.startswith("y") else text
        axis.tickformat = re.sub(r"\.[01]%$", ".2~%", axis.tickformat) if axis.tickformat else None
        values = [v for trace in _on(figure, name) for v in _values(trace, name[0])]
        if values and all(isinstance(v, int | float | np.number) for v in values):
            axis.separatethousands = not all(1900 <= v <= 2200 for v in values)  # years stand plain
            if (
                isinstance(axis.dtick, int | float) and axis.tickmode is None
            ):  # else it is not heard
                few = max(values) - min(values) <= TICKS * axis.dtick
                axis.tickmode = "linear" if few else "auto"
        if axis.tickmode == "array":
            _rewrite(axis, lang)
        elif values and all(isinstance(v, str) for v in values):
            _break_names(axis, list(dict.fromkeys(values)), name[0], figure.layout.height or 400)
        elif lang == "zh" and values and isinstance(values[0], date):
            if not axis.tickformat:
                axis.tickformatstops = MONTHS
        elif axis.type == "log" and not axis.tickformat:
            _powers(axis, values, lang)
        elif lang == "zh" and not axis.tickformat and not COUNTED.search(axis.title.text or ""):
            _count(figure, name, axis)
    return figure


def _axes(figure: go.Figure) -> Iterator[tuple[str, Any]]:
    said = [n for n in figure.layout.to_plotly_json() if re.fullmatch(r"[xy]axis\d*", n)]
    drawn = [_axis(t, side) for t in figure.data for side in "xy" if f"{side}axis" in t]
    for name in dict.fromkeys([*said, *drawn]):
        yield name, figure.layout[name]


def _axis(trace: Any, side: str) -> str:
    return f"{side}axis{(trace[f'{side}axis'] or side)[1:]}"


def _on(figure: go.Figure, name: str) -> list[Any]:
    return [t for t in figure.data if name[:5] in t and _axis(t, name[0]) == name]


def _values(trace: Any, side: str) -> list[Any]:
    found = trace[side] if side in trace else None  # noqa: SIM401 (a trace is no dict)
    return [] if found is None or isinstance(found, str) else [v for v in found if v is not None]


def _width(text: str) -> int:
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)


def _currency(text: str) -> str:
    for code, name in CURRENCIES.items():
        text = re.sub(rf"(?: ?\({code}\)|[,，] ?{code})$", f"（{name}）", text)
        text = re.sub(rf" ?\(([万亿]+) ?{code}\)$", rf"（\1{name}）", text)
    return text.replace("）（", "，")


def _rewrite(axis: Any, lang: Language) -> None:
    """Shorten whole amounts that a figure wrote itself, such as the top of the exposure bars."""
    texts = axis.ticktext
    if texts is not None and all(re.fullmatch(r"-?\d{1,3}(,\d{3})*", str(t)) for t in texts):
        axis.ticktext = [amount_text(float(str(t).replace(",", "")), lang) for t in texts]


def _break_names(axis: Any, names: Sequence[str], side: str, height: float) -> None:
    width = ACROSS // max(len(names), 1) if side == "x" else BESIDE
    low = side == "y" and height < 160 + TWO_LINES * len(names)
    if width < 7 or low or axis.ticktext is not None:
        return
    texts = [broken(name, width) for name in names]
    if texts != names and max(text.count("<br>") for text in texts) < 4:
        axis.update(tickmode="array", tickvals=names, ticktext=texts)


def _count(figure: go.Figure, name: str, axis: Any) -> None:
    """Count large amounts in 万 and 亿."""
    low, high = _reach(figure, name)
    top = max(abs(low), abs(high))
    if axis.type == "log" or not 1e4 <= top < 1e16 or high <= low:
        return
    scale, unit = next(u for u in UNITS["zh"] if top >= u[0])
    power = 10 ** math.floor(math.log10((high - low) / 5))
    step = power * next(m for m in (1.0, 2.0, 5.0, 10.0) if m * power >= (high - low) / 5)
    first, last = math.floor(low / step) - 1, math.ceil(high / step) + 1
    ticks = [round(k * step, 9) for k in range(first, last + 1)]
    texts = [f"{t / scale:,.10g}".replace("-", "−") + unit if t else "0" for t in ticks]
    axis.update(tickmode="array", tickvals=ticks, ticktext=texts)


def _powers(axis: Any, values: Sequence[Any], lang: Language) -> None:
    """Write large amounts on a logarithmic axis at powers of ten, in full: no bare 2 and 5 between."""
    sizes = [float(v) for v in values if v > 0]
    if max(sizes, default=0.0) < 1e4:
        return
    first, last = math.floor(math.log10(min(sizes))), math.ceil(math.log10(max(sizes)))
    ticks = [10.0**power for power in range(first, last + 1)]
    axis.update(tickmode="array", tickvals=ticks, ticktext=[amount_text(t, lang) for t in ticks])


def _reach(figure: go.Figure, name: str) -> tuple[float, float]:
    """From the lowest to the highest that an axis shows, bars stacked and intervals included."""
    side, other = name[0], "y" if name[0] == "x" else "x"
    axis = figure.layout[name]
    if axis.range is not None and None not in axis.range:
        said = [float(end) for end in axis.range if not isinstance(end, str)]
        return (min(said), max(said)) if len(said) == 2 else (0.0, 0.0)
    ends: list[Any] = []
    above: dict[Any, float] = {}
    below: dict[Any, float] = {}
    stacked = figure.layout.barmode in ("stack", "relative")
    for trace in _on(figure, name):
        values = trace[side] if side in trace else None  # noqa: SIM401
        if values is None or isinstance(values, str) or not len(values):
            continue
        if any(isinstance(v, str | date | np.datetime64) for v in values):
            return 0.0, 0.0
        number = np.array([math.nan if v is None else float(v) for v in values])
        if trace.type == "waterfall":
            number = _climb(number, trace.measure)
        bar = trace.type == "bar" and (trace.orientation == "h") == (side == "x")
        base = np.zeros(1)
        if bar and trace.base is not None:
            base = np.atleast_1d(np.array(trace.base, dtype=float))
            number = number + base
        if bar and stacked:
            for place, value in zip(trace[other], np.nan_to_num(number), strict=True):
                pile = above if value >= 0 else below
                pile[place] = pile.get(place, 0.0) + value
        error = trace[f"error_{side}"] if f"error_{side}" in trace else None  # noqa: SIM401
        ends += [number, *_spread(number, error), base if bar else number]
    ends += [np.array([*above.values(), *below.values()])]
    every = np.concatenate(ends)
    every = every[np.isfinite(every)]
    if axis.rangemode == "tozero":
        every = np.append(every, 0.0)
    return (float(every.min()), float(every.max())) if every.size else (0.0, 0.0)


def _climb(values: np.ndarray, measures: Sequence[str] | None) -> np.ndarray:
    """Heights a waterfall passes."""
    at, found = 0.0, [0.0]
    for value, measure in zip(values, measures or ["relative"] * len(values), strict=False):
        at = at + value if measure == "relative" else value if measure == "absolute" else at
        found.append(at)
    return np.array(found)


def _spread(number: np.ndarray, error: Mapping[str, Any] | None) -> list[np.ndarray]:
    found = []
    for key, sign in (("array", 1), ("arrayminus", -1)):
        gaps = error[key] if error is not None else None
        if gaps is not None:
            found.append(number + sign * np.array([0.0 if g is None else g for g in gaps]))
    return found
