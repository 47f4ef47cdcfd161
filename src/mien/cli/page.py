"""mien page: the page for browsers, shown on this machine alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import PortOption, note, say


def page(
    model: Annotated[
        str | None, typer.Option("--model", help="Run folder with model.onnx, or .onnx; the bundled ones if left out.")
    ] = None,
    port: PortOption = 0,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Recognize emotions in the browser, in photos, camera and videos: it computes there, and nothing is sent."""
    import webbrowser

    from mien.page.local import serve_page
    from mien.page.site import write_site
    from mien.recognize.naming import model_content

    with tempfile.TemporaryDirectory(prefix="mien-page-") as folder:
        site = None
        if model is not None:
            site = Path(folder) / "site"
            write_site(site, model, model_content(model))
        server = serve_page(port, site)
        address = f"http://localhost:{server.server_port}/"
        say(address)
        note("Ctrl-C stops it")
        if browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            server.server_close()
