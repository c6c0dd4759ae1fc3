"""The log of decisions: one line each, chained by hash, so that what is changed or gone is found."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pricing.errors import InputError
from pricing.files import fingerprint, replacing

__all__ = ["LOG", "Decided", "append_decision", "decisions_on", "read_decisions", "run_hash"]

LOG = "decisions.jsonl"  # beside the report folders: a report is replaced as a whole, the log never
HEAD = ".head"  # after the log's name: how many lines it has and the hash of the last
FIRST = "0" * 64  # what the first line follows
LONGEST = 10_000  # characters of one text


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One decision, as its line says it.

    Attributes
    ----------
    number : int
        Line of the log, from 1.
    time : str
        UTC, to the second.
    who, what, because : str
        In the words of who decided.
    study, run : str
        Name of the study and hash of the run's record that it rests on.
    after : str
        SHA-256 of the line before; 64 zeros for the first.
    """

    number: int
    time: str
    who: str
    what: str
    because: str
    study: str
    run: str
    after: str

    @property
    def line(self) -> bytes:
        """The line as it is written, without its end."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(", ", ": ")).encode()

    @property
    def hash(self) -> str:
        """SHA-256 of the line: what the next line carries."""
        return hashlib.sha256(self.line).hexdigest()


def run_hash(record: Mapping[str, Any]) -> str:
    """Hash the record of a run, but for the run before it that it may carry.

    Examples
    --------
    >>> run_hash({"study": "a", "last": None}) == run_hash({"study": "a"}) != run_hash({"study": "b"})
    True
    """
    own = {name: value for name, value in record.items() if name != "last"}
    return fingerprint(json.dumps(own, ensure_ascii=True, sort_keys=True))


def append_decision(
    log: str | Path,
    *,
    who: str,
    what: str,
    because: str = "",
    study: str = "",
    run: str = "",
    now: datetime | None = None,
) -> Decided:
    """Append one decision to a log; several writers take turns, and a line is on the disk or not there.

    Parameters
    ----------
    log : path
        File of JSON lines; made where there is none.
    who, what, because : str
        Who decided what, and why.
    study, run : str
        What it was decided on: a study's name and its run's hash.
    now : datetime, optional
        The moment, with its time zone; the clock's where left out.

    Raises
    ------
    InputError
        For an empty who or what, texts that cannot be written, a log that is broken (nothing is
        appended to it), and a disk that takes no line.

    Examples
    --------
    >>> import tempfile
    >>> log = Path(tempfile.mkdtemp()) / "decisions.jsonl"
    >>> first = append_decision(log, who="Li Wei", what="Cap of 15 %")
    >>> second = append_decision(log, who="Li Wei", what="File it")
    >>> second.number, second.after == first.hash
    (2, True)
    """
    log = Path(log)
    texts = {"who": who, "what": what, "because": because, "study": study, "run": run}
    faults = [f"{name} is empty" for name in ("who", "what") if not texts[name].strip()]
    for name, text in texts.items():
        if len(text) > LONGEST:
            faults.append(f"{name} has {len(text):,} characters, more than {LONGEST:,}")
        if any("\ud800" <= c <= "\udfff" for c in text):
            faults.append(f"{name} holds bytes that are no text in UTF-8")
    if faults:
        raise InputError("this cannot stand in the log", where=str(log), faults=faults,
                         do="give who decided and what, in words")  # fmt: skip
    when = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with _locked(log):
            held = read_decisions(log)
            made = Decided(
                number=len(held) + 1,
                time=when,
                **{name: text.strip() for name, text in texts.items()},
                after=held[-1].hash if held else FIRST,
            )
            _append(log, made.line + b"\n")
            with replacing(_head(log)) as beside:
                beside.write_text(json.dumps({"lines": made.number, "hash": made.hash}))
    except OSError as error:
        raise InputError(
            f"the decision is not written: {error.strerror or error}",
            where=str(log),
            do="free space and permissions; the log is as it was",
        ) from error
    return made


def read_decisions(log: str | Path, *, known: str = "") -> list[Decided]:
    """Read a log and hold every line against the hash that the next one carries.

    Parameters
    ----------
    log : path
        As :func:`append_decision` writes it; none gives no decision.
    known : str
        Hash of a line noted elsewhere, which must be among them.

    Raises
    ------
    InputError
        For lines that were changed, put in, taken out, cut off or reordered: which, and how many.

    Examples
    --------
    >>> import tempfile
    >>> log = Path(tempfile.mkdtemp()) / "decisions.jsonl"
    >>> _ = append_decision(log, who="Li Wei", what="Cap of 15 %")
    >>> _ = log.write_bytes(log.read_bytes().replace(b"15", b"20"))
    >>> try:
    ...     read_decisions(log)
    ... except InputError as error:
    ...     print(error.faults[0])
    line 1 was changed, or lines after it are gone
    """
    log = Path(log)
    try:
        head = _head_of(log)  # first: a writer adds the line before it says so
        data = log.read_bytes() if log.exists() else b""
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(log)) from error
    faults: list[str] = []
    held: list[Decided] = []
    *lines, rest = data.split(b"\n")
    if rest:
        faults.append(f"line {len(lines) + 1} is cut off")
    after = FIRST
    for number, line in enumerate(lines, 1):
        one = _decided(line)
        if one is None:
            faults.append(f"line {number} is none that this program writes")
        elif one.number != number or one.after != after:
            faults.append(f"line {number} does not follow the line before it")
        if one is not None:
            held.append(one)
        after = hashlib.sha256(line).hexdigest()
    hashes = [hashlib.sha256(line).hexdigest() for line in lines]
    if head is None and lines:
        faults.append(f"{_head(log).name} is gone, which says how many lines there were")
    elif head is not None:
        count, last = head
        if len(lines) < count:
            faults.append(f"{count - len(lines)} of {count} lines are gone from the end")
        elif count and hashes[count - 1] != last:
            faults.append(f"line {count} was changed, or lines after it are gone")
    if known and known not in hashes:
        faults.append(f"no line has the hash {known[:16]}…")
    if faults:
        raise InputError(
            f"{len(faults)} fault(s) in the log of decisions",
            where=str(log),
            faults=faults,
            do="restore it from a copy; it is only ever added to",
        )
    return held


def decisions_on(log: str | Path, run: str) -> tuple[Decided, ...]:
    """Give the decisions on one run; none where the log is not there or is broken.

    Examples
    --------
    >>> decisions_on("no/such/log.jsonl", "ab12")
    ()
    """
    try:
        return tuple(one for one in read_decisions(log) if one.run == run)
    except InputError:
        return ()


def _decided(line: bytes) -> Decided | None:
    try:
        one = Decided(**json.loads(line))
        return one if one.line == line else None
    except (ValueError, TypeError, RecursionError):
        return None


def _head(log: Path) -> Path:
    return log.with_name(log.name + HEAD)


def _head_of(log: Path) -> tuple[int, str] | None:
    try:
        said = json.loads(_head(log).read_text(encoding="utf-8"))
        return int(said["lines"]), str(said["hash"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _append(log: Path, line: bytes) -> None:
    """Add one line and bring it to the disk; what was written in part is taken back."""
    new = not log.exists()
    with log.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) != len(line):
                raise OSError(28, "the disk took a part of the line only")
            os.fsync(file.fileno())
        except OSError:
            os.truncate(log, size)
            raise
    if new and os.name == "posix":
        place = os.open(log.parent, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


@contextmanager
def _locked(log: Path) -> Iterator[None]:
    """Hold the log's lock file while the block runs; another writer waits."""
    with log.with_name(log.name + ".lock").open("a+b") as file:
        _lock(file)
        try:
            yield
        finally:
            _unlock(file)


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
