"""Hostile input: seeded mutations of trees, texts and bytes, and the judge of what they meet.

Every entry of the package answers or refuses by ``InputError``; anything else is a fault of ours.
"""

from __future__ import annotations

import json
import math
import random
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from pricing.errors import InputError

LONGEST = 60  # seconds; what takes longer on a small input is a hang


def deep(levels: int, inside: Any = 1) -> list[Any]:
    """Give lists one in another."""
    made = inside
    for _ in range(levels):
        made = [made]
    return made


def _nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        made = {"a": made}
    return made


NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 0.5, 1.5, -0.0, 1e308, -1e308, 5e-324, 1e-12, math.nan, math.inf, -math.inf,
    10**6, 10**9, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), True, False,
)  # fmt: skip
TEXTS: tuple[str, ...] = (
    "", " ", "\x00", "a\x1b[31mred", "\u202egnp.exe", "\ufeff", "𝄞", "空", "null", "None", "NaN",
    "<script>alert(1)</script>", "</script>", "{{7*7}}", "{% raw %}", "${7*7}", "\u2028",
    "=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\t=1", "[/red]", "[bold]",
    "../../etc/passwd", "/etc/passwd", "~/x", "a/../..", "*", "**/*", 'a"; DROP TABLE x; --',
    "__import__('os').system('true')", "a" * 5_000, "0000-00-00", "2023-02-29", "9999-12-31",
    "1e5", "1,000", "１２", "%s %n {0} {x}", "\\N{BULLET}", ".", "..", "a:b", "a.b",
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    date(1, 1, 1), date(1800, 1, 1), date(9999, 12, 31), date(2024, 2, 29),
    datetime(2024, 1, 1, 12, 0), time(1, 2), [], {}, [1, "a", None], {"a": {}}, [[]], [{}],
    deep(30), _nested(30), ["a"] * 300, list(range(300)),
)  # fmt: skip


def _places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree, as the keys that lead there."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()  # fmt: skip
    for key, value in list(pairs):
        yield (*at, key)
        yield from _places(value, (*at, key))


def _holder(tree: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        tree = tree[key]
    return tree


def nasty(rng: random.Random, like: Any = None) -> Any:
    """Give a value of any kind, oftener of the kind that stands there."""
    if rng.random() < 0.6:
        if isinstance(like, (int, float)):
            return rng.choice(NUMBERS)
        if isinstance(like, str):
            return rng.choice(TEXTS)
    return deepcopy(rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS))))


def mutated_tree(tree: Any, rng: random.Random) -> Any:
    """Change a tree of tables, lists and values in one to three places."""
    tree = deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return tree
        place = rng.choice(places)
        held, key = _holder(tree, place), place[-1]
        what = rng.random()
        if what < 0.5:
            held[key] = nasty(rng, held[key])
        elif what < 0.62:
            del held[key]
        elif what < 0.72:
            other = rng.choice(places)
            held[key] = deepcopy(_holder(tree, other)[other[-1]])
        elif isinstance(held, list):
            held.insert(key, deepcopy(held[key]) if what < 0.9 else nasty(rng))
        elif what < 0.86:
            held[rng.choice((*TEXTS, key + "x", key.upper(), "a"))] = held.pop(key)
        else:
            value = held[key]
            held[key] = value * rng.choice((1e-9, -1, 10, 1e9)) if isinstance(value, (int, float)) and not isinstance(value, bool) else [value]  # fmt: skip
    return tree


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Damage a file: cut, flipped, doubled, marked, coded otherwise."""
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + rng.choice((1, 2, 8, 64, 512)))
    lines = data.split(b"\n")
    line = rng.randrange(len(lines))
    text = data.decode("utf-8", "replace")
    ways: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: data[:at] + data[to:],
        lambda: data[:at] + bytes(rng.randrange(256) for _ in range(to - at)) + data[to:],
        lambda: (
            data[:at]
            + rng.choice(
                (
                    b"\x00",
                    b"\xff",
                    b"\x1b[31m",
                    b"\xe2\x80\xa8",
                    b'"',
                    b"\r",
                    b"\n",
                    b",",
                    b"[" * 3000,
                    b"{" * 3000,
                    b"9" * 5000,
                    b"'''",
                    b"#",
                )
            )
            + data[at:]
        ),
        lambda: b"\n".join([*lines[:line], *lines[line + 1 :]]),
        lambda: b"\n".join([*lines[:line], lines[line], *lines[line:]]),
        lambda: data + data,
        lambda: b"\xef\xbb\xbf" + data,
        lambda: text.encode("utf-16"),
        lambda: text.encode("gb18030", "replace"),
        lambda: text.encode("latin-1", "replace"),
        lambda: data[:at] + text.encode("utf-16-le")[: 2 * (to - at)] + data[to:],
        lambda: data.replace(b"\n", b"\r"),
        lambda: data.replace(b"\n", b"\r\n"),
        lambda: data[at:to] * 50 + data,
        lambda: b"",
        lambda: b"\x00" * 64,
        lambda: data.replace(b",", b";"),
        lambda: data.replace(b"0", b"9" * rng.choice((1, 30, 400))),
    ]
    return rng.choice(ways)()


def toml(tree: Mapping[str, Any]) -> str:
    """Write a tree as TOML in one line per key, tables inline; what TOML lacks is a text."""
    return "\n".join(f"{_key(k)} = {_value(v)}" for k, v in tree.items()) + "\n"


def _key(key: Any) -> str:
    return json.dumps(str(key)).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if "." in repr(value) or math.isnan(value) or math.isinf(value) or "e" in repr(value) else f"{value}.0"  # fmt: skip
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    text = json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return text


def as_json(tree: Any) -> str:
    """Write a tree as JSON; days as texts, NaN and infinities as Python reads them."""
    return json.dumps(tree, default=str, ensure_ascii=False)


@dataclass
class Tally:
    """What an entry did with its inputs."""

    tried: int = 0
    answered: int = 0
    refused: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)

    def take(self, call: Callable[[], Any], shown: object) -> None:
        """Try one input; a refusal must say something, and print on a terminal."""
        self.tried += 1
        try:
            with _watched():
                call()
            self.answered += 1
        except InputError as error:
            self.refused += 1
            said = str(error)
            if not said.strip() or any(c in said for c in "\x00\x1b\u202e"):
                self._fault("a refusal that says nothing, or that steers the terminal", shown)
            said.encode()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            last = traceback.extract_tb(error.__traceback__)
            own = [f for f in last if "/pricing/" in f.filename] or list(last)
            at = own[-1]
            self._fault(
                f"{type(error).__name__} {Path(at.filename).name}:{at.lineno} {at.name}: {str(error)[:120]!r}",
                shown,
            )

    def _fault(self, kind: str, shown: object) -> None:
        self.kinds[kind] += 1
        self.faults.setdefault(kind, repr(shown)[:3000])


class _Hang(BaseException):
    """Too long on a small input."""


@contextmanager
def _watched() -> Iterator[None]:
    def hang(*_: Any) -> None:
        raise _Hang(f"still at it after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
