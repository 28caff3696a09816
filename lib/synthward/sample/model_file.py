"""A model as one file that stands alone: the model together with the domain whose codes it speaks of.

JSON, no pickle: loading it runs nothing. The domain is public and carries what decoding needs: declared values, bounds,
resolutions. Both parts are checked against their digests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synthward.config.canonical import canonical_json, digest
from synthward.config.files import MODEL_BYTES, FileRefused, read_limited
from synthward.config.loader import restore
from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Date, Domain, Numeric
from synthward.errors import ConfigError, IntegrityError, UsageError
from synthward.fit.model import Model, json_object, require_format

FORMAT = 1


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model and its domain.

    Attributes:
        model: The model; its digest is in the release's manifest.
        domain: The attributes of its columns, in release order.
        counts: The error model of counts, as `CountErrors.to_json` gives it; None in files of a run that is not
            finished, and of earlier versions. It is no part of the model's digest; the manifest has it as well.
    """

    model: Model
    domain: Domain
    counts: dict[str, Any] | None = None

    @cached_property
    def text(self) -> str:
        """Canonical JSON."""
        body: dict[str, Any] = {
            "model_file": FORMAT,
            "digest": self.model.digest,
            "domain": json.loads(canonical_json(self.domain)),
            "model": self.model.body,
        }
        if self.counts is not None:
            body["counts"] = self.counts
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @cached_property
    def books(self) -> dict[str, CodeBook]:
        """Code books in release order."""
        return codebooks(self.domain)

    @classmethod
    def parse(cls, text: str, expected_digest: str | None = None) -> ModelFile:
        """Inverse of `text`.

        Args:
            text: The file's content.
            expected_digest: Digest of the model that a manifest names.

        Raises:
            IntegrityError: A digest does not fit, or the text is not a model of this format.
        """
        body = json_object(text, "the model file")
        require_format(body.get("model_file"), (FORMAT,), "model file format")
        model = Model.from_body(body.get("model"))
        if model.digest != body.get("digest") or expected_digest not in (None, model.digest):
            raise IntegrityError("the model does not have the digest of its record; do not use it")
        try:
            domain = restore(json.dumps(body.get("domain")), Domain)
        except ConfigError as error:
            raise IntegrityError(f"the domain in the model file is damaged ({error}); do not use it") from None
        names = tuple(column.name for column in model.columns)
        # Of the text that is there: a domain of an earlier version lacks the keys that came later.
        written = digest(body.get("domain"))
        if written != model.domain_digest or set(domain.attributes) != set(names):
            raise IntegrityError("the domain in the model file is not that of the model; do not use it")
        counts = body.get("counts")
        if counts is not None and not isinstance(counts, dict):
            raise IntegrityError("the error model of counts in the model file is no JSON object; do not use it")
        file = cls(model, domain.restricted_to(names), counts)  # sorted keys lost the order
        file._require_cells_of_domain()
        return file

    def _require_cells_of_domain(self) -> None:
        """Compares the sizes of the model's columns with the domain: decoding looks values up by these numbers."""
        for name, book in self.books.items():
            column, attribute = self.model.column(name), book.attribute
            graded = isinstance(attribute, Numeric | Date)
            fits = (column.starts is not None) == graded and (
                column.count == attribute.grid.count and (book.clips or not column.clipped)
                if isinstance(attribute, Numeric | Date)
                else column.cells == book.cells
            )
            if not fits:
                raise IntegrityError(
                    f"column '{name}' of the model does not have the cells of its domain; do not use it"
                )

    @classmethod
    def load(cls, path: Path) -> ModelFile:
        """Reads a model file.

        Raises:
            UsageError: It cannot be read, is no regular file or too large.
            IntegrityError: See `parse`.
        """
        try:
            return cls.parse(read_limited(path, MODEL_BYTES).decode("utf-8"))
        except FileRefused as refused:
            raise UsageError(f"{path} cannot be read as a model file: {refused}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{path} cannot be read as a model file: not UTF-8; check the path") from None
