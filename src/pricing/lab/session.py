"""What a user has done: changes with undo and redo, scenarios kept by name, as one JSON text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field as Rule
from pydantic import ValidationError

from pricing.errors import InputError
from pricing.inputs import json_text
from pricing.lab.answers import checked_change
from pricing.lab.fields import Fault, Value, read_value
from pricing.lab.opened import OpenStudy
from pricing.result.words import Language
from pricing.study.sections import Strict
from pricing.study.toml_file import faults_said

__all__ = ["Kept", "Session", "kept_name", "read_session"]

VERSION = 1
MOST_BYTES = 200_000
MOST_STEPS, MOST_KEPT = 200, 50

Change = dict[str, Value]


class Kept(Strict):
    """A scenario kept by name."""

    name: str = Rule(pattern=r"^[a-z0-9_-]{1,40}$")
    title: str = Rule(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")
    change: dict[str, bool | int | float | str] = Rule(max_length=400)


class _Saved(Strict):
    """The contract of a session's file."""

    kind: Literal["pricing-lab"]
    version: Literal[1]
    study: str = Rule(pattern=r"^[a-z0-9_-]{1,60}$")
    change: dict[str, bool | int | float | str] = Rule(default_factory=dict, max_length=400)
    scenarios: list[Kept] = Rule(default_factory=list, max_length=MOST_KEPT)
    past: list[dict[str, bool | int | float | str]] = Rule(
        default_factory=list, max_length=MOST_STEPS
    )
    future: list[dict[str, bool | int | float | str]] = Rule(default_factory=list, max_length=MOST_STEPS)  # fmt: skip


@dataclass(frozen=True)
class Session:
    """A user's state of one study; every action gives a new one.

    Attributes
    ----------
    study : str
        Name of the study.
    change : mapping
        Dotted key to value, where it differs from the file; in the order they were turned.
    past, future : tuple of mapping
        Earlier changes for undo, undone ones for redo.
    scenarios : tuple of Kept
        Kept by name.

    Examples
    --------
    >>> session = Session("anjia").turned({"tiers.line": 0.8})
    >>> session.undone().change, session.undone().redone().change
    ({}, {'tiers.line': 0.8})
    """

    study: str
    change: Change
    past: tuple[Change, ...] = ()
    future: tuple[Change, ...] = ()
    scenarios: tuple[Kept, ...] = ()

    def __init__(
        self,
        study: str,
        change: Change | None = None,
        past: tuple[Change, ...] = (),
        future: tuple[Change, ...] = (),
        scenarios: tuple[Kept, ...] = (),
    ) -> None:
        for name, value in {
            "study": study,
            "change": dict(change or {}),
            "past": past[-MOST_STEPS:],
            "future": future[-MOST_STEPS:],
            "scenarios": scenarios,
        }.items():
            object.__setattr__(self, name, value)

    def turned(self, change: Change) -> Session:
        """Take another change; nothing happens where it is the present one."""
        if change == self.change:
            return self
        return replace(self, change=change, past=(*self.past, self.change), future=())

    def set(self, opened: OpenStudy, key: str, entered: object) -> Session | Fault:
        """Turn one field, and those that say the same; what equals the file, or is emptied, goes out.

        Returns
        -------
        Session or Fault
            The fault where the entry cannot be a value of the field.
        """
        field = opened.fields.get(key)
        if field is None:
            return Fault(key, "no_such_field", {"name": key})
        if entered is None or (isinstance(entered, str) and not entered.strip()):
            gone = {key, *opened.together.get(key, ())}
            return self.turned({k: v for k, v in self.change.items() if k not in gone})
        value = read_value(field, entered)
        if isinstance(value, Fault):
            return value
        change = dict(self.change)
        for one in (key, *opened.together.get(key, ())):
            stands = opened.fields[one].value
            if value == stands and isinstance(value, bool) == isinstance(stands, bool):
                change.pop(one, None)
            else:
                change[one] = value  # dragging the same field again keeps its place
        return self.turned(change)

    def undone(self) -> Session:
        """Go one change back."""
        if not self.past:
            return self
        return replace(
            self, change=self.past[-1], past=self.past[:-1], future=(*self.future, self.change)
        )

    def redone(self) -> Session:
        """Make the change last undone again."""
        if not self.future:
            return self
        return replace(
            self, change=self.future[-1], future=self.future[:-1], past=(*self.past, self.change)
        )

    def keep(self, title: str) -> Session:
        """Keep the present change as a scenario; one of the same name is replaced.

        Raises
        ------
        InputError
            Where nothing is changed, the title is empty or too long, or too many are kept.
        """
        said = " ".join("".join(c if c.isprintable() else " " for c in title).split())
        if not self.change:
            raise InputError("nothing is changed, so there is no scenario to keep", where="nothing_to_keep")  # fmt: skip
        if not said or len(said) > 80:
            raise InputError("a title has 1 to 80 characters", where="title_length")
        name = kept_name(said)
        others = tuple(one for one in self.scenarios if one.name != name)
        if len(others) >= MOST_KEPT:
            raise InputError(f"at most {MOST_KEPT} scenarios are kept", where="too_many_kept")
        return replace(
            self, scenarios=(*others, Kept(name=name, title=said, change=dict(self.change)))
        )

    def kept(self, name: str) -> Kept:
        """Give a kept scenario by name."""
        found = next((one for one in self.scenarios if one.name == name), None)
        if found is None:
            raise InputError(f"no scenario {name!r} is kept", where="no_such_scenario")
        return found

    def dropped(self, name: str) -> Session:
        """Let go of a kept scenario."""
        return replace(self, scenarios=tuple(s for s in self.scenarios if s.name != name))

    def written(self) -> str:
        """Give the session as JSON that :func:`read_session` takes."""
        return json.dumps(
            {
                "kind": "pricing-lab",
                "version": VERSION,
                "study": self.study,
                "change": self.change,
                "scenarios": [one.model_dump() for one in self.scenarios],
                "past": list(self.past),
                "future": list(self.future),
            },
            ensure_ascii=False,
        )

    def said(self, lang: Language) -> str:
        """Name the study and what is changed, for a reader of logs."""
        del lang
        return f"{self.study}: {self.change}"


def kept_name(title: str) -> str:
    """Make the short name of a scenario from its title: a-z, 0-9 and _, others as their code.

    Examples
    --------
    >>> kept_name("Deductible 300"), kept_name("免赔额 300")
    ('deductible_300', 'u514d_u8d54_u989d_300')
    """
    parts = []
    for letter in title.lower():
        if re.match(r"[a-z0-9-]", letter):
            parts.append(letter)
        else:
            parts.append(f"_u{ord(letter):x}_" if letter.isalnum() else "_")
    name = re.sub(r"_+", "_", "".join(parts)).strip("_")
    return (name if len(name) <= 40 else f"{name[:31]}-{hash_of(title)}") or hash_of(title)


def hash_of(text: str) -> str:
    """Eight hexadecimal digits of a text, the same on every machine.

    Examples
    --------
    >>> len(hash_of("a"))
    8
    """
    from pricing.files import fingerprint

    return fingerprint(text)[:8]


def read_session(text: str | bytes, opened: OpenStudy) -> Session:
    """Read a session from its JSON and hold it against its contract and the study's fields.

    Parameters
    ----------
    text : str or bytes
        As :meth:`Session.written` gives it; 200,000 bytes at most.
    opened : OpenStudy
        The study it must be of.

    Raises
    ------
    InputError
        With every fault: too large, no JSON, another kind or version, another study, keys the study
        does not have, values out of their bounds.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> session = Session("home_care", {"care.uptake": 0.4}).keep("Fewer come")
    >>> read_session(session.written(), opened) == session
    True
    """
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > MOST_BYTES:
        raise InputError(f"{len(raw):,} bytes are more than a session may have, {MOST_BYTES:,}", where="too_large")  # fmt: skip
    try:
        said: Any = json_text(raw.decode("utf-8-sig"), where="session")
    except (UnicodeDecodeError, InputError) as error:
        raise InputError(f"not a readable JSON file: {error}", where="not_json") from None
    if not isinstance(said, dict):
        raise InputError("not a session of this page", where="not_json")
    try:
        saved = _Saved.model_validate(said)
    except ValidationError as error:
        raise InputError("not a session of this page", where="not_a_session", faults=faults_said(error, _Saved)) from None  # fmt: skip
    if saved.study != opened.name:
        raise InputError(f"it is of the study {saved.study!r}, not of {opened.name!r}", where="another_study")  # fmt: skip
    changes = [saved.change, *(s.change for s in saved.scenarios), *saved.past, *saved.future]
    faults = [
        f"{fault.key}: {fault.said('en')}"
        for change in changes
        for fault in checked_change(opened, change)
    ]
    if faults:
        raise InputError(
            f"{len(faults)} value(s) that the study does not take",
            where="bad_values",
            faults=list(dict.fromkeys(faults))[:10],
        )
    return Session(
        saved.study, saved.change, tuple(saved.past), tuple(saved.future), tuple(saved.scenarios)
    )
