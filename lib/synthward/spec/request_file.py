"""Requests as they are read from files: with their domain, another source where one is asked for, and their digest."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from synthward.config.canonical import canonical_json, digest
from synthward.config.files import Fence, FileRefused
from synthward.config.loader import Document, load_document, load_named, restore
from synthward.config.locations import resolve
from synthward.domain.spec import Domain, load_domain_of, needs_base
from synthward.errors import ConfigError, Problem
from synthward.records.requests import Submission
from synthward.spec import learn, where
from synthward.spec.request import Request, Source
from synthward.spec.risk import Risk


@dataclass(frozen=True)
class RequestFile:
    """A request as read from its file.

    Attributes:
        path: The file.
        request: Its content as written, with the source override applied.
        domain: The domain it names, code books included, with all declared attributes.
        digest: Digest of request, domain, risk statement and where the sources lie; what approvals are bound to.
        document: The request with its lines, where it was read from a file.
        risk: The risk statement that it names, None for none.
        submission: The record from which it was read; None for a request that was read from a file on disk.
    """

    path: Path
    request: Request
    domain: Domain
    digest: str
    document: Document[Request] | None = field(default=None, compare=False, repr=False)
    risk: Risk | None = None
    submission: Submission | None = field(default=None, compare=False)

    def problem(self, key: str, message: str) -> Problem:
        """A problem at a key of the request, with its line."""
        return Problem(key, message, self.path) if self.document is None else self.document.problem(key, message)

    def resolved(self, source: Source) -> Source:
        """A source of this request with its path resolved against the request's folder."""
        return source if source.path is None else dataclasses.replace(source, path=self.resolve(source.path))

    def resolve(self, location: str) -> str:
        """A location in this request, resolved against the request's folder."""
        return resolve(self.path.parent, location)


def load_request(path: Path, *, source_override: str | None = None, fence: Fence | None = None) -> RequestFile:
    """Read a request and the domain it names, which lies in the request's set of folders (`config.files`).

    Args:
        path: The request file. Paths of sources are relative to its folder.
        source_override: Replaces the source's path or table name, whichever the request gives; a relative path counts
            from the request's folder. It is part of the digest, so that an approval covers what is read.
        fence: Through it everything is read, the request by its name; None to read `path` and what it names from disk.

    Raises:
        ConfigError: With every problem found in the request or, if it has none, in the domain.
    """
    document = load_document(path, Request) if fence is None else _through(fence, path)
    fence = Fence.of_request(path) if fence is None else fence
    request = document.value
    if source_override is not None:
        request = _override(request, source_override, path)
    domain = load_domain_of(fence, request.domain, document.problem("domain", ""))
    risk = load_risk_of(path, document, fence)
    unknown = misfits(document, request, domain)
    if unknown:
        raise ConfigError(unknown)
    whole = with_risk(request_digest(request, domain.digest, path.parent), risk)
    return RequestFile(path, request, domain, whole, document, risk)


def _through(fence: Fence, path: Path) -> Document[Request]:
    """The request itself, read through a fence."""
    try:
        return load_named(fence, path.name, path, Request)
    except FileRefused as refused:
        raise ConfigError([Problem("", str(refused), path, 1)]) from None


def load_risk_of(path: Path, document: Document[Request], fence: Fence | None = None) -> Risk | None:
    """The risk statement that a request names, which lies in its set of folders; None where it names none.

    Args:
        path: The request file.
        document: The request as read from it.
        fence: Through it the statement is read; None for the request's own.

    Raises:
        ConfigError: The statement cannot be read, has problems, or leaves out a column of the request.
    """
    written, request = document.value.risk, document.value
    if written is None:
        return None
    place = path.parent / written
    try:
        found = load_named(Fence.of_request(path) if fence is None else fence, written, place, Risk)
    except FileRefused as refused:
        raise ConfigError([document.problem("risk", f"the file {refused}")]) from None
    missing = [column for column in request.columns if column not in found.value.columns]
    if missing:
        text = f"says nothing of {', '.join(missing)}; give every column of the request its tags, [] for none"
        raise ConfigError([found.problem("columns", text)])
    return found.value


def with_risk(request: str, risk: Risk | None) -> str:
    """The digest of a request together with its risk statement; without one it is the request's own."""
    return request if risk is None else digest({"request": request, "risk": risk})


def misfits(document: Document[Request], request: Request, domain: Domain) -> list[Problem]:
    """What of a request does not fit its domain: unknown columns, learned settings, wanted values."""
    found = [
        document.problem(
            f"columns[{index}]", f"{column!r} is not declared in the domain {request.domain}; declare it there"
        )
        for index, column in enumerate(request.columns)
        if column not in domain.attributes
    ]
    found += [
        document.problem(f"columns[{index}]", needs_base(column, base))
        for index, column in enumerate(request.columns)
        if (base := domain.after(column)) is not None and base not in request.columns
    ]
    for section in (learn, where):
        found += [document.problem(key, text) for key, text in section.faults(request, domain)]
    return found


def request_digest(request: Request, domain_digest: str, folder: Path) -> str:
    """Digest of a request together with the domain it names and the places it reads.

    A relative path is another table in another folder, so that it is approved for the folder it counts from.
    """
    reads = [source.table if source.path is None else resolve(folder, source.path) for source in request.sources]
    return digest({"request": request, "domain": domain_digest, "reads": reads})


def _override(request: Request, location: str, file: Path) -> Request:
    """The request with another source of the same kind; the source's own checks apply again."""
    if request.source.path is not None:
        other = dataclasses.replace(request.source, path=location)
    else:
        other = dataclasses.replace(request.source, table=location)
    try:
        source = restore(canonical_json(other), Source)
    except ConfigError as error:
        problems = [
            dataclasses.replace(problem, path=f"source.{problem.path}", file=file) for problem in error.problems
        ]
        raise ConfigError(problems) from None
    return dataclasses.replace(request, source=source)
