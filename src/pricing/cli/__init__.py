"""The command line: import, run, read. Heavy libraries load inside the commands."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from cyclopts import CycloptsError

from pricing.cli import persons, reports, studies  # each registers its commands
from pricing.cli.app import app

__all__ = ["app", "main"]

del persons, reports, studies


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit code 2 and one clear message for input that cannot be priced.

    Examples
    --------
    >>> with suppress(SystemExit):
    ...     main(["--version"])
    0...
    """
    from pricing.errors import InputError
    from pricing.stopped import Stopped, stoppable

    try:
        with stoppable():
            code = app(
                arguments, exit_on_error=False, print_error=True, result_action="return_value"
            )
            sys.stdout.flush()
    except CycloptsError:
        sys.exit(2)
    except InputError as error:
        print(f"pricing: {error}", file=sys.stderr)
        sys.exit(2)
    except (Stopped, KeyboardInterrupt) as stopped:
        told = stopped if isinstance(stopped, Stopped) else Stopped(signal.SIGINT)
        print(f"\n{told.message}", file=sys.stderr)
        sys.exit(told.code)
    except BrokenPipeError:  # who reads what is printed has had enough
        _print_no_more()
        sys.exit(141)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _print_no_more()
        print("pricing: no space left for what is printed; what is said to be written stands",
              file=sys.stderr)  # fmt: skip
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _print_no_more() -> None:
    """Let the interpreter's last flush go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
