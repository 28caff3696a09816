"""`synthward site build`: the officer's site, as static pages for a file share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    site = commands.add_parser("site", help="the officer's site")
    actions = site.add_subparsers(title="actions", required=True, metavar="ACTION")
    build = actions.add_parser(
        "build", parents=[common], help="static pages: what needs whom, decision sheets, budgets, releases, uses"
    )
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder, outside of all zones")
    build.add_argument(
        "--requests",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="requests that may wait for a decision, beside the submitted ones",
    )
    build.set_defaults(command=build_site)


def build_site(options: argparse.Namespace) -> int:
    """Write the pages, and print where they begin."""
    from synthward.cli.sessions import known_zones, ward
    from synthward.report.site_files import require_site, write_site
    from synthward.spec.request_file import load_request

    folder, zones = options.out.absolute(), known_zones(options)
    require_site(folder, zones)
    requests = [load_request(path) for path in options.requests]
    with ward(options, "synthward site build") as opened:
        pages = opened.site_pages(requests)
    removed = write_site(pages, folder, zones)
    left = f", {removed} of an earlier build removed" if removed else ""
    print(f"{folder / 'index.html'}: {len(pages)} pages{left}")
    return 0
