"""What a product team may turn: the numbers and choices of a study file, each with its range."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pricing.result.words import Language, say

__all__ = ["Fault", "Field", "fields_of", "read_value"]

Kind = Literal["number", "whole", "yes_no", "choice"]
Value = float | int | bool | str

ASIDE: dict[str, frozenset[str]] = {  # what is estimated once from the rows, or no figure rests on
    "": frozenset({"seed", "draws", "counted", "edges", "horizons", "level"}),
    "tiers": frozenset({"observed", "amount", "ages", "effects", "grid"}),
    "take_up": frozenset({"risk_edges", "age_edges", "claim", "years", "floor", "start"}),
    "services": frozenset({"observed", "engagement", "capacity", "break_even"}),
    "mutual_aid": frozenset(
        {"incidence", "lines", "back_test", "interest", "loading", "each_stands_for"}
    ),
    "claims_link": frozenset({"age_edges", "paths", "statuses"}),
    "after_claim": frozenset({"age_edges", "known_ratio"}),
    "programme": frozenset({"askers"}),
    "reassessment": frozenset({"hold_out", "spread", "mailer"}),
    "care": frozenset({"assessed", "definitions", "wider"}),
    "discount": frozenset({"limits"}),
}
USUAL = {  # the top of a slider where neither the contract nor the present value gives one
    "deductible": 1000.0, "out_of_pocket": 10_000.0, "limit": 20_000.0, "year_limit": 20_000.0,
    "waiting_days": 180.0, "fixed_expense": 200.0, "service": 200.0, "risk": 3.0, "credit": 200.0,
    "monthly": 2000.0, "fixed_cost": 1_000_000.0, "flat_benefit": 300_000.0, "cap_per_case": 2.0,
    "cap_per_year": 500.0, "amount": 500.0, "kappa": 50.0, "hysteresis": 100.0,
    "present": 0.2, "rates": 0.3, "joins_at": 24.0,
    "min_valid_days": 365.0, "monthly_before": 2000.0, "platform_cost": 1_000_000.0,
}  # fmt: skip
OTHERWISE = 100.0
GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?%?|[+-]?\d{1,4}(,\d{4})+(\.\d+)?%?")
EMPTY = frozenset({  # what may be left out of the file and is often wanted
    "limit", "year_limit", "out_of_pocket", "flat_benefit", "cap_per_case", "cap_per_year", "aware",
    "pilot_cap", "cap_per_provider", "least_value",
})  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One key of the study file that may be turned.

    Attributes
    ----------
    key : str
        Dotted, as scenarios name it, such as ``tiers.tier.basic.premium``.
    kind : {"number", "whole", "yes_no", "choice"}
        What may stand there.
    value : float, int, bool, str or None
        What the file says; None where it says nothing and needs not.
    least, most : float or None
        Bounds of the contract, and whether they themselves are allowed.
    least_allowed, most_allowed : bool
        False where the bound itself is refused.
    low, high, step : float
        Range and step of the slider, within the bounds.
    choices : tuple of str
        Of a choice.
    whole : str
        Where the file does not hold the table the key stands in: the key of that table, which a
        scenario must give as one.
    """

    key: str
    kind: Kind
    value: float | int | bool | str | None
    least: float | None = None
    most: float | None = None
    least_allowed: bool = True
    most_allowed: bool = True
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    choices: tuple[str, ...] = ()
    whole: str = ""

    @property
    def section(self) -> str:
        """The key without its last part."""
        return self.key.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """The last part of the key."""
        return self.key.rpartition(".")[2]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one field, sayable in both languages."""

    key: str
    sentence: str
    values: Mapping[str, Any] = dataclass_field(default_factory=dict)

    def said(self, lang: Language) -> str:
        """Say it at the field."""
        return say(f"lab.{self.sentence}", lang, **self.values)


def fields_of(
    sections: Mapping[str, BaseModel], present: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[Field, ...]:
    """List what may be turned in some sections of a study file, as the file orders them.

    Numbers, yes or no and choices, also those inside tables and lists, whose entries are named by
    their ``name`` or number. What is estimated from the rows once (windows, edges of bands) is left
    out: turning it would change nothing until the study is run again.

    Parameters
    ----------
    sections : mapping of str to model
        Section name to its keys as read: of a plan file its plans, of a book study ``discount``.
    present : mapping of str to mapping, optional
        By section what holds where the file leaves a key out, such as a programme's own cut-offs.

    Examples
    --------
    >>> from pricing.study.sections import Discount
    >>> found = fields_of({"discount": Discount(order=["G0", "G1"], cap=0.2)})
    >>> [(f.key, f.value, f.low, f.high) for f in found][:2]
    [('discount.cap', 0.2, 0.005, 0.995), ('discount.step', 0.05, 0.0005, 0.1)]
    """
    found: dict[str, Field] = {}
    for name, model in sections.items():
        for field in _of_model(name, model, ASIDE.get(name, frozenset())):
            found[field.key] = field
        for key, value in (present or {}).get(name, {}).items():
            entries = {f".{entry}": one for entry, one in value.items()} if isinstance(value, Mapping) else {"": value}  # fmt: skip
            for entry, one in entries.items():
                whole = f"{name}.{key}{entry}"
                held = found.get(whole)
                if one is not None and (held is None or held.value is None):
                    info = type(model).model_fields[key] if not entry else None
                    number: Kind = "whole" if isinstance(one, int) else "number"
                    made = _ranged(whole, number, one, info)
                    found[whole] = replace(made, whole=f"{name}.{key}" if entry else "")
    return tuple(found.values())


def read_value(field: Field, entered: object) -> Value | Fault:
    """Read what was entered in a field and hold it against the contract's bounds.

    Parameters
    ----------
    field : Field
        The field.
    entered : object
        Text (12.5, 1,200, 15%), a number, or for yes or no a bool.

    Returns
    -------
    float, int, bool, str or Fault
        The value, or what is wrong with it.

    Examples
    --------
    >>> cap = Field("discount.cap", "number", 0.2, least=0, least_allowed=False, most=1)
    >>> read_value(cap, " 0.15 "), read_value(cap, "15%")
    (0.15, 0.15)
    >>> read_value(cap, "1.5").said("en")
    'Must be above 0 and at most 1.'
    """
    if field.kind == "yes_no":
        return entered if isinstance(entered, bool) else Fault(field.key, "not_yes_no")
    if field.kind == "choice":
        known = isinstance(entered, str) and entered in field.choices
        return str(entered) if known else Fault(field.key, "not_a_choice")
    value = _number(entered)
    if value is None:
        return Fault(field.key, "not_a_number")
    if field.kind == "whole" and (not value.is_integer() or abs(value) > 2**53):
        return Fault(field.key, "not_whole")
    return _bounded(field, int(value) if field.kind == "whole" else value)


def _number(entered: object) -> float | None:
    if isinstance(entered, bool):
        return None
    said = f"{entered}".strip().replace("，", ",").replace("％", "%")
    if len(said) > 400 or ("," in said and not GROUPED.fullmatch(said)):
        return None  # 1,5 is not 15
    try:
        value = float(said.replace(",", "").removesuffix("%"))
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return float(f"{value / 100:.12g}") if said.endswith("%") else value


def _bounded(field: Field, value: float | int) -> Value | Fault:
    low, high = field.least, field.most
    below = low is not None and (value < low or (value == low and not field.least_allowed))
    above = high is not None and (value > high or (value == high and not field.most_allowed))
    if not below and not above:
        return value
    ends = {"low": _said(low), "high": _said(high)}
    first = "at_least" if field.least_allowed else "above"
    last = "at_most" if field.most_allowed else "below"
    if low is None:
        return Fault(field.key, last, {"high": ends["high"]})
    if high is None:
        return Fault(field.key, first, {"low": ends["low"]})
    return Fault(field.key, f"{first}_{last}", ends)


def _said(bound: float | None) -> str:
    return "" if bound is None else f"{bound:,.10g}"


def _of_model(place: str, model: BaseModel, aside: frozenset[str]) -> Iterator[Field]:
    for name, info in type(model).model_fields.items():
        if name in aside or name in ASIDE[""]:
            continue
        value = getattr(model, name)
        inside = isinstance(value, BaseModel | list | tuple | dict)
        if inside and name not in model.model_fields_set:
            continue  # a scenario cannot step into what the file does not hold
        yield from _of_value(f"{place}.{name}", value, info.annotation, info, aside)


def _of_value(
    key: str, value: Any, kind: Any, info: FieldInfo | None, aside: frozenset[str]
) -> Iterator[Field]:
    if isinstance(value, BaseModel):
        yield from _of_model(key, value, frozenset())
    elif isinstance(value, dict):
        below = _below(kind, dict)
        for name, inner in value.items():
            if "." not in str(name):  # such a name cannot stand in a dotted key
                yield from _of_value(f"{key}.{name}", inner, below, None, aside)
    elif isinstance(value, list):
        below = _below(kind, list)
        for place, inner in enumerate(value):
            own = getattr(inner, "name", place)
            if "." not in str(own):
                yield from _of_value(f"{key}.{own}", inner, below, None, aside)
    else:
        made = _leaf(key, value, kind, info)
        if made is not None:
            yield made


def _below(kind: Any, container: type) -> Any:
    """The type of the entries of a list or table, through options."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        found = [_below(part, container) for part in inside]
        return next((part for part in found if part is not None), None)
    return inside[-1] if origin is container and inside else None


def _leaf(key: str, value: Any, kind: Any, info: FieldInfo | None) -> Field | None:
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    types = [part for part in parts if part is not NoneType]
    if value is None and key.rpartition(".")[2] not in EMPTY:
        return None
    if isinstance(value, bool) or (value is None and bool in types):
        return None if value is None else Field(key, "yes_no", value)
    words = [part for part in types if get_origin(part) is Literal]
    if isinstance(value, str):
        choices = tuple(str(word) for part in words for word in get_args(part))
        if len(choices) < 2 or len(types) > 1:
            return None
        return Field(key, "choice", value, choices=choices)
    if float in types or (info is None and isinstance(value, float)):
        return _ranged(key, "number", value, info)
    if int in types:
        return _ranged(key, "whole", value, info)
    return None


def _ranged(key: str, kind: Kind, value: float | int | None, info: FieldInfo | None) -> Field:
    least, most, least_allowed, most_allowed = None, None, True, True
    for rule in info.metadata if info else ():
        for name in ("ge", "gt"):
            if (bound := getattr(rule, name, None)) is not None:
                least, least_allowed = float(bound), name == "ge"
        for name in ("le", "lt"):
            if (bound := getattr(rule, name, None)) is not None:
                most, most_allowed = float(bound), name == "le"
    now = float(value or 0.0)
    low = least if least is not None and least > -1e3 else (0.0 if now >= 0 else 2 * now)
    if most is not None and most - low <= 1:
        high = most
    else:
        high = _nice(2 * now) if now > 0 else _usual(key)
        high = high if most is None else min(high, most)
    if kind == "whole":
        step = max(1.0, _nice((high - low) / 200))
        low = low + 1 if not least_allowed else low
        return Field(
            key,
            kind,
            value,
            least,
            most,
            least_allowed,
            most_allowed,
            low,
            max(high, low + 1),
            step,
        )
    step = _nice((high - low) / 200)
    if high - low <= 0.2:
        step = min(step, 0.001)
    elif high - low <= 1:
        step = min(step, 0.01)
    low = low if least_allowed or low != least else low + step
    high = high if most_allowed or high != most else high - step
    return Field(
        key, kind, value, least, most, least_allowed, most_allowed, _tidy(low), _tidy(high), step
    )


def _usual(key: str) -> float:
    *_, above, leaf = key.split(".")
    return USUAL.get(leaf, USUAL.get(above, OTHERWISE))


def _nice(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten, not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    lead = next(lead for lead in (1.0, 2.0, 5.0, 10.0) if value <= lead * power * (1 + 1e-9))
    return _tidy(lead * power)


def _tidy(value: float) -> float:
    return float(f"{value:.10g}")
