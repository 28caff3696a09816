"""A repair: another `output:` section for a run that has measured and sealed but cannot be released as it was asked.

Rows are post-processing of the sealed answers, so that drawing them in another way costs nothing (PROOFS.md).
Only the output section may differ: source, patients, columns, domain and privacy were measured and stay as approved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from synthward.config.canonical import digest
from synthward.config.fields import key
from synthward.config.loader import load
from synthward.errors import ConfigError, Problem
from synthward.spec import where
from synthward.spec.request import NOT_BLANK, Output
from synthward.spec.request_file import RequestFile

Findings = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Repair:
    """Another output section for a sealed run."""

    version: Literal[1] = key(doc="Format version of this file.")
    run: str = key(
        pattern=r"[0-9a-f]{32}",
        doc="Id of the run that is finished this way, as `synthward plan` prints it.",
        example="0ea958314abce18308980d387c07a0e7",
    )
    reason: str = key(
        pattern=NOT_BLANK,
        doc="Why the release is drawn in another way, for the approvers.",
        example="The last bound does not fit INT.",
    )
    output: Output = key(doc="The whole output section, in place of the request's.")

    @cached_property
    def digest(self) -> str:
        """What decisions are bound to: the run, the reason and the whole output section."""
        return digest({"repair": self})

    def applied(self, file: RequestFile) -> RequestFile:
        """The request with this output section; its digest stays, because the run stays.

        Raises:
            ConfigError: The output section does not fit the request or the domain, or changes nothing.
        """
        if self.output == file.request.output:
            raise ConfigError([Problem("output", "is the request's own; run the request without a repair")])
        request = replace(file.request, output=self.output)
        found = [Problem(path, text) for path, text in self._faults(file)]
        found += [Problem(path, text) for path, text in request.problems()]
        found += [Problem(path, text) for path, text in where.faults(request, file.domain)]
        if found:
            raise ConfigError(found)
        return replace(file, request=request)

    def _faults(self, file: RequestFile) -> Findings:
        known = file.request.output.key_columns
        for name in self.output.key_columns:
            if name not in known:
                text = f"'{name}' is not one of the request's ({', '.join(known) or 'none'}), so that its type was not "
                yield "output.key_columns", text + "recorded; a repair can leave key columns out and not add any"
        if self.output.types == "source" and file.request.output.types != "source":
            yield "output.types", "the source's types were not recorded, since the request asks for the declared ones"


def load_repair(path: Path) -> Repair:
    """Reads a repair.

    Raises:
        ConfigError: With every problem, by line.
    """
    return load(path, Repair)
