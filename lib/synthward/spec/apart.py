"""Sources and zones are kept apart: what the site keeps for itself is never read as data of patients.

The ledger, approvals, seals, staged rows and releases are tables like others. A request that names one of them as its
source, or a folder that holds or lies in a zone, is refused before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from synthward.config.places import meets
from synthward.errors import Problem
from synthward.spec.request import Source
from synthward.spec.request_file import RequestFile
from synthward.spec.site import ZONES, Site


def zone_problems(file: RequestFile, site: Site) -> list[Problem]:
    """One problem for each source of a request that meets a zone of the site; none where all are apart.

    Symbolic links on this machine are followed. What only a session can tell is asked at opening (`run.apart`).
    """
    problems = []
    for key, source in _sources(file):
        resolved = file.resolved(source)
        for zone in met_zones(resolved.location, site):
            where = "path" if source.path is not None else "table"
            problems.append(Problem(f"{key}.{where}", in_zone(resolved.location, zone), file.path))
    return problems


def met_zones(location: str, site: Site) -> list[str]:
    """The zones of the site that a location meets, by their keys in the site file."""
    return [zone for zone in ZONES if meets(location, getattr(site, zone))]


def in_zone(location: str, zone: str) -> str:
    """What to say of a source that meets a zone."""
    return (
        f"'{location}' is, holds or lies in the {zone} zone of this site, which is never a source: it holds what the "
        "site keeps of its own runs. Name the table or folder of the patients' data, outside of every zone"
    )


def _sources(file: RequestFile) -> Iterator[tuple[str, Source]]:
    yield "source", file.request.source
    for place, step in enumerate(file.request.patient.path):
        yield f"patient.path.{place}.source", step.source
    if file.request.population.excluded is not None:
        yield "population.excluded.source", file.request.population.excluded.source
