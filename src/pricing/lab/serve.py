"""The page's server: this machine only unless told otherwise, and then with a token in the address."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Any

from pricing.errors import InputError
from pricing.lab.blocks import Faces
from pricing.lab.desk import Desk
from pricing.lab.door import guard, needs_token, shown_address
from pricing.lab.opened import name_of, studies_in
from pricing.lab.page import frame_of_page
from pricing.lab.wiring import wire

__all__ = ["make_app", "serve"]


def make_app(desk: Desk, faces: Faces, *, default: str = "") -> Any:
    """Make the page's application; every file it serves is on this machine.

    Parameters
    ----------
    desk : Desk
        The studies.
    faces : Faces
        How the report formats and writes.
    default : str
        The study to open first.

    Raises
    ------
    InputError
        Where Dash is not installed.

    Examples
    --------
    >>> make_app.__annotations__["default"]
    'str'
    """
    try:
        from dash import Dash
    except ImportError:
        raise InputError(
            "the page needs Dash, which is not installed",
            do='install it: pip install "pricing[lab]"',
        ) from None
    app = Dash(
        "pricing.lab",
        assets_folder=str(Path(__file__).parent / "assets"),
        serve_locally=True,
        suppress_callback_exceptions=True,
        title="pricing lab",
        update_title=None,
    )
    names = {name: name for name in desk.paths}
    app.layout = frame_of_page(names, default)
    wire(app, desk, faces)
    app.server.config["LAB_SCRIPTS"] = list(app.csp_hashes())
    return app


def serve(
    study: Path | None,
    faces: Faces,
    *,
    host: str = "127.0.0.1",
    port: int = 8050,
    kept: Path = Path("reports") / "lab",
    work: Path | None = None,
    ready: Any = print,
) -> None:
    """Serve the page until it is stopped.

    Parameters
    ----------
    study : path or None
        A study file to open first, a folder of them, or none: the bundled ones are there in any case.
    faces : Faces
        How the report formats and writes.
    host, port
        Where to listen; another host than this machine's own is given a token.
    kept : path
        Where prepared books, exports and reports are kept.
    work : path, optional
        Folder for simulated tables.
    ready : callable
        Told the address.

    Raises
    ------
    InputError
        Where the study file is not there or broken, the port is taken, Dash is missing.

    Examples
    --------
    >>> serve.__annotations__["port"]
    'int'
    """
    if study is not None and not study.exists():
        raise InputError("no such study file or folder", where=str(study))
    folder = None if study is None else (study if study.is_dir() else study.parent)
    paths, default = studies_in(folder), ""
    if study is not None and not study.is_dir():
        default = name_of(study)
        paths[default] = study
    desk = Desk(paths, kept, work)
    token = secrets.token_urlsafe(24) if needs_token(host) else ""
    app = make_app(desk, faces, default=default)
    if default:
        desk.study(default)  # a broken file is said here, not in the browser
    guard(app.server, host=host, token=token)
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        server = make_server(host, port, app.server, threaded=True)
    except (OSError, SystemExit) as error:
        raise InputError(
            f"cannot listen on {host}:{port}: {error}", do="give another --port"
        ) from None
    ready(f"The lab: {shown_address(host, server.server_port, token)}  (Ctrl+C ends it)")
    try:
        server.serve_forever()
    finally:
        server.server_close()
