"""Files that others wrote, read whole or refused: no pipe, no folder, not too large, not too deep."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pricing.errors import InputError, plain

__all__ = [
    "bytes_of",
    "json_text",
    "json_tree",
    "require_file",
    "require_inside",
    "text_of",
    "toml_tree",
]

LARGEST = 20_000_000  # bytes of a file of settings or a model; the largest bundled one is 20 kB
DEEPEST = 60  # tables and lists one in another; the deepest bundled file has 6
WIDEST = 2**63  # beyond it a whole number is none in TOML, nor in any table
_DOTTED = re.compile(rf"""(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{DEEPEST}}}""")
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")  # fmt: skip


def bytes_of(path: str | Path, *, most: int = LARGEST) -> bytes:
    """Read a file whole.

    Parameters
    ----------
    path : path
        A regular file; links are followed.
    most : int
        Bytes it may have.

    Raises
    ------
    InputError
        For a path that is not there, is a folder, a pipe or a device, goes in a circle, may not be
        read, or holds more.

    Examples
    --------
    >>> bytes_of("/dev/null")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: /dev/null: is no regular file
      do: give a file; pipes and devices have no end that could be waited for
    """
    where = str(path)
    size = require_file(path)
    if size > most:
        raise InputError(
            f"{size:,} bytes are more than such a file may have, {most:,}", where=where
        )
    try:
        with Path(path).open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=where) from error
    if len(data) > most:
        raise InputError(f"more than {most:,} bytes", where=where)
    return data


def require_file(path: str | Path) -> int:
    """Refuse what is no regular file, and give the bytes of one.

    Raises
    ------
    InputError
        For a path that is not there, is a folder, a pipe or a device, or goes in a circle.

    Examples
    --------
    >>> require_file("/no/such/file")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: /no/such/file: cannot be read: No such file or directory
      do: check its path
    """
    where = str(path)
    try:
        seen = Path(path).stat()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", where=where, do="check its path"
        ) from error
    except ValueError as error:  # a null byte in the name
        raise InputError(f"is no path: {error}", where=where) from error
    if stat.S_ISDIR(seen.st_mode):
        raise InputError("cannot be read: it is a folder", where=where, do="name the file in it")
    if not stat.S_ISREG(seen.st_mode):
        raise InputError(
            "is no regular file",
            where=where,
            do="give a file; pipes and devices have no end that could be waited for",
        )
    return seen.st_size


def text_of(path: str | Path, *, most: int = LARGEST) -> str:
    """Read a file of text in UTF-8, with or without a byte order mark.

    Raises
    ------
    InputError
        As :func:`bytes_of`; for bytes that are not UTF-8, with the place of the first.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = path.write_bytes("空".encode("gb18030"))
    >>> text_of(path)
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...a.txt: byte 1 is not UTF-8
      do: save it as UTF-8
    """
    data = bytes_of(path, most=most)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte {error.start + 1} is not UTF-8", where=str(path), do="save it as UTF-8"
        ) from None


def toml_tree(
    path: str | Path, *, said: str = "not a readable TOML file", most: int = LARGEST
) -> dict[str, Any]:
    """Read a TOML file as tables, lists and values.

    Parameters
    ----------
    path : path
        A file in UTF-8.
    said : str
        How the refusal begins.
    most : int
        Bytes it may have.

    Raises
    ------
    InputError
        As :func:`text_of`; for broken TOML with its line, what is nested deeper than 60, whole
        numbers beyond 64 bits, and texts with characters that are not seen.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.toml"
    >>> _ = path.write_text("a = " + "[" * 9000, encoding="utf-8")
    >>> toml_tree(path)
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...a.toml: not a readable TOML file: nested deeper than 60
      do: correct that place; the file is TOML in UTF-8, as those in data/studies
    """
    do = "correct that place; the file is TOML in UTF-8, as those in data/studies"
    try:
        text = text_of(path, most=most)
    except InputError as error:
        raise InputError(
            f"{said}: {error.problem}", where=str(path), do=error.do or "check its path"
        ) from error.__cause__
    try:
        if _DOTTED.search(text):  # a key of so many parts takes a time that grows as their square
            raise ValueError(f"nested deeper than {DEEPEST}")
        tree = tomllib.loads(text)
        _require_plain(tree)
    except RecursionError:
        problem = f"nested deeper than {DEEPEST}"
    except ValueError as error:  # TOMLDecodeError is one; so is a number of too many digits
        problem = str(error)
    else:
        return tree
    raise InputError(f"{said}: {problem}", where=str(path), do=do)


def json_tree(path: str | Path, *, most: int = LARGEST) -> Any:
    """Read a JSON file; a key that stands twice is refused, as NaN is.

    Raises
    ------
    InputError
        As :func:`text_of` and :func:`json_text`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.json"
    >>> _ = path.write_text('{"a": [1, 2.5]}', encoding="utf-8")
    >>> json_tree(path)
    {'a': [1, 2.5]}
    """
    return json_text(text_of(path, most=most), where=str(path))


def json_text(text: str, *, where: str) -> Any:
    """Read JSON from a text.

    Raises
    ------
    InputError
        For what is no JSON, with its line; a key that stands twice; NaN and infinities; whole
        numbers beyond 64 bits; what is nested deeper than 60; characters that are not seen.

    Examples
    --------
    >>> json_text('{"a": 1, "a": 2}', where="a.json")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: a.json: cannot be used: 'a' stands twice
    """
    try:
        tree = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        _require_plain(tree)
    except RecursionError:
        raise InputError(f"cannot be used: nested deeper than {DEEPEST}", where=where) from None
    except ValueError as error:
        raise InputError(f"cannot be used: {error}", where=where) from None
    return tree


def require_inside(path: Path, folder: Path, *, said: str) -> None:
    """Refuse a file that lies outside a folder, links followed.

    Parameters
    ----------
    path : path
        The file that would be read.
    folder : path
        The folder of the file that names it.
    said : str
        How it was written there.

    Raises
    ------
    InputError
        Where it lies outside; the study file may say ``outside = true``.

    Examples
    --------
    >>> require_inside(Path("/etc/passwd"), Path("/data"), said="../etc/passwd")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ../etc/passwd: lies outside the study file's folder /data
      do: move it there, or say so in the study file: outside = true under [study]
    """
    try:
        if path.resolve().is_relative_to(folder.resolve()):
            return
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a null byte
        raise InputError(f"cannot be read: {error}", where=said) from None
    raise InputError(
        f"lies outside the study file's folder {folder}",
        where=said,
        do="move it there, or say so in the study file: outside = true under [study]",
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = sorted({repr(n) for n, _ in pairs if n in seen or seen.add(n)})  # type: ignore[func-returns-value]
        raise ValueError(f"{', '.join(twice[:5])} stands twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _require_plain(tree: Any) -> None:
    """Refuse depth, width and characters that no file of ours needs; without recursion."""
    for value, depth in _values(tree):
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST}")
        if isinstance(value, str):
            if (hidden := _HIDDEN.search(value)) is not None:
                raise ValueError(
                    f"{plain(value)[:60]!r} holds the character U+{ord(hidden[0]):04X}, which no reader sees"
                )
        elif isinstance(value, int) and not -WIDEST <= value < WIDEST:
            raise ValueError("a whole number beyond 64 bits")


def _values(tree: Any) -> Iterator[tuple[Any, int]]:
    waiting = [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield value, depth
        if isinstance(value, dict):
            waiting += [(key, depth) for key in value]
            waiting += [(below, depth + 1) for below in value.values()]
        elif isinstance(value, list):
            waiting += [(below, depth + 1) for below in value]
