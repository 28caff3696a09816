"""Whom a guarantee protects, in the words of every claim: the unit, its key and the path to it."""

from __future__ import annotations

import re

from synthward.spec.request import Request, Source

_ENDING = re.compile(r"(\.(csv|tsv|txt|parquet|delta|gz|bz2|zst|snappy|xz))+$", re.IGNORECASE)

EXCLUDED = "People on the site's opt-out list are not in the source."
UNBOUND = (
    "The scope of the budget is not bound to a source: nothing shows that it counts all releases about these people."
)


def unit_words(request: Request) -> str:
    """For instance `patient, by admissions.subject_id via hadm_id`.

    Without a path it is the column alone. With a path it is the table that has the key, and the columns on the way.
    """
    patient = request.patient
    if patient.unit == "row":
        return "row, NOT patient"
    if not patient.path:
        return f"patient, by {patient.key}"
    links = ", ".join(own if own == their else f"{own} = {their}" for s in patient.path for own, their in s.on.items())
    return f"patient, by {_short(patient.path[-1].source)}.{patient.key} via {links}"


def id_words(request: Request) -> str:
    """Which keys are ids, in a few words; the empty text where there are none."""
    if request.patient.unit == "row":
        return ""
    shape = request.patient.id
    always = "Rows whose key is missing, empty, blank or undecodable have no patient and are left out"
    return always + ("." if shape is None else f", and so are those whose key does not fit: {shape.words}.")


def _short(source: Source) -> str:
    """The name of a table without its folder, catalog and ending."""
    if source.path is None:
        return str(source.table).rsplit(".", 1)[-1]
    name = source.path.rstrip("/").rsplit("/", 1)[-1]
    return _ENDING.sub("", name) or name
