"""Who else on this machine can open what a site keeps: modes of zones, MLflow's file and Spark's spill folders."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from synthward.spec.site import Site
from synthward.store.places import local_path
from synthward.tracking.database import file_of

LOCAL_DIR_KEY = "spark.local.dir"

_OTHERS, _OTHERS_WRITE = 0o007, 0o002


def open_to_others(site: Site | None, settings: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """What on this machine every user can open, each with the mode found and the command that mends it.

    Args:
        site: The site, if there is one; zones elsewhere than on this machine's disks are not looked at.
        settings: Spark settings in force.
        environ: The environment.
    """
    found: list[str] = []
    if site is not None:
        for name in ("ledger", "protected"):
            found += _faults(f"the {name} zone", [local_path(getattr(site, name))], _OTHERS)
        # Whoever may read releases is the site's decision; whoever may change them is not.
        found += _faults("the release zone", [local_path(site.releases)], _OTHERS_WRITE)
        if site.tracking.enabled:
            found += _faults("MLflow's database", [file_of(site.tracking.uri)], _OTHERS)
    named = environ.get("SPARK_LOCAL_DIRS") or settings.get(LOCAL_DIR_KEY, "")
    spill = [Path(place.strip()) for place in named.split(",") if place.strip()]
    return found + _faults("the folder of Spark's shuffle and spill files", spill, _OTHERS)


def _faults(what: str, paths: Iterable[Path | None], forbidden: int) -> list[str]:
    faults = []
    for path in paths:
        if path is None or not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & forbidden:
            change = "o-w" if forbidden == _OTHERS_WRITE else "o-rwx"
            faults.append(f"{what} {path} has mode {mode:04o}: chmod {change} {path}")
    return faults
