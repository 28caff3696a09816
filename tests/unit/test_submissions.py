"""Submitted requests: what a bundle may hold, what the records say of versions, and what may run."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from office import Office
from people import demo_key
from store_doubles import MemoryLinks
from synthward.api import version_of
from synthward.cli.main import main
from synthward.errors import ConfigError, IntegrityError, PolicyRefused, UsageError
from synthward.governance.reasons import Reason
from synthward.records.codec import encode
from synthward.records.requests import SUBMITTED, Submission
from synthward.spec import bundle as bundles
from synthward.spec.bundle import Bundle
from synthward.store.chain import Chain
from synthward.store.places import TableRef
from trial import DOMAIN, REQUEST, TestSite, approve, merged, write_yaml

ADA = demo_key("ada")


def codes(refused: pytest.ExceptionInfo[PolicyRefused]) -> list[str]:
    return [reason.code for reason in refused.value.reasons if isinstance(reason, Reason)]


def in_folders(root: Path, values: str = "F\nM\n") -> Path:
    """A request in the folder `requests`, with a domain beside it, a code book and a risk statement."""
    book = root / "set" / "domains" / "books" / "sex.txt"
    book.parent.mkdir(parents=True, exist_ok=True)
    book.write_text(values, encoding="utf-8")
    domain = merged(DOMAIN, {"attributes": {"sex": {"values": None, "codebook": "books/sex.txt"}}})
    write_yaml(root / "set" / "domains" / "d.yaml", domain)
    return write_yaml(root / "set" / "requests" / "r.yaml", merged(REQUEST, {"domain": "../domains/d.yaml"}))


def test_a_bundle_holds_what_was_read_and_gives_the_same_request_without_the_disk(tmp_path: Path) -> None:
    path = in_folders(tmp_path)
    bundle, file = Bundle.pack(path)
    assert sorted(bundle.files) == ["domains/books/sex.txt", "domains/d.yaml", "requests/r.yaml"]
    again = Bundle.parse(bundle.payload)
    for name in bundle.files:
        (tmp_path / "set" / name).unlink()
    read = again.load(path.parent.as_posix())
    assert read.digest == file.digest
    assert (read.request, read.domain) == (file.request, file.domain)
    assert again.digest == bundle.digest


def layout(**changes: Any) -> bytes:
    from synthward.records.canonical import canonical_bytes

    content = base64.b64encode(b"x").decode()
    base = {"kind": "synthward bundle 1", "request": "r.yaml", "files": [{"path": "r.yaml", "content": content}]}
    return canonical_bytes({**base, "population": None, **changes})


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../r.yaml", "a/../r.yaml", "./r.yaml", "a//b", "a\\b", "", "a\n", "a\u202eb", "a/", "x" * 401],
)
def test_a_bundle_with_a_path_out_of_its_folder_is_refused(path: str) -> None:
    content = base64.b64encode(b"x").decode()
    files = sorted(
        [{"path": "r.yaml", "content": content}, {"path": path, "content": content}], key=lambda f: f["path"]
    )
    with pytest.raises(IntegrityError, match="a bundle in the records"):
        Bundle.parse(layout(files=files))


@pytest.mark.parametrize("payload", [b"", b"{}", layout(request="other.yaml"), layout() + b" ", layout(more=1)])
def test_bytes_that_are_no_bundle_are_refused(payload: bytes) -> None:
    with pytest.raises(IntegrityError):
        Bundle.parse(payload)
    assert Bundle.parse(layout()).files == {"r.yaml": b"x"}


def link_domain(root: Path) -> None:
    (root / "domain.yaml").rename(root / "real.yaml")
    (root / "domain.yaml").symlink_to(root / "real.yaml")


def pipe_domain(root: Path) -> None:
    (root / "domain.yaml").unlink()
    os.mkfifo(root / "domain.yaml")


def folder_domain(root: Path) -> None:
    (root / "domain.yaml").unlink()
    (root / "domain.yaml").mkdir()


@pytest.mark.parametrize("break_it", [link_domain, pipe_domain, folder_domain])
def test_links_pipes_and_folders_are_not_packed(tmp_path: Path, break_it: Callable[[Path], None]) -> None:
    site = TestSite(tmp_path)
    path = site.request()
    break_it(tmp_path)
    with pytest.raises(ConfigError):
        Bundle.pack(path)


def test_a_request_that_is_a_link_is_not_packed(tmp_path: Path) -> None:
    path = TestSite(tmp_path).request()
    (tmp_path / "link.yaml").symlink_to(path)
    with pytest.raises(ConfigError, match="link"):
        Bundle.pack(tmp_path / "link.yaml")


def test_a_bundle_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "BUNDLE_BYTES", 100)
    with pytest.raises(ConfigError, match="allowed are"):
        Bundle.pack(TestSite(tmp_path).request())


def test_a_file_that_the_request_does_not_name_is_refused(tmp_path: Path) -> None:
    bundle, _ = Bundle.pack(TestSite(tmp_path).request())
    more = Bundle(bundle.request, {**bundle.files, "more.txt": b"x"})
    with pytest.raises(IntegrityError, match="1 files that its request does not name"):
        Bundle.parse(more.payload).load(str(tmp_path))


def test_approvals_count_for_the_files_and_for_the_submitted_request(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    loose = ward.request(office.path)
    approve(ward, loose)
    made = ward.submit(office.path)
    office.path.unlink()
    (tmp_path / "domain.yaml").unlink()
    file = ward.submitted("visits")
    assert file.digest == loose.digest == made.request
    assert file.submission == made
    assert ward.verdict(ward.plan(file)).ok
    assert ward.plan(file).identity == ward.plan(loose).identity


def test_the_same_again_adds_nothing_and_an_edit_is_a_version_without_approvals(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    first = ward.submit(office.path)
    assert ward.submit(office.path) == first
    approve(ward, ward.submitted("visits"))
    second = ward.submit(office.site.request(privacy={"epsilon": 70}))
    assert (first.version, second.version) == (1, 2)
    assert not ward.verdict(ward.plan(ward.submitted("visits"))).ok
    assert ward.verdict(ward.plan(ward.submitted("visits@1"))).ok
    assert len(office.stores["requests"].links) == 2


def test_the_difference_shows_values_of_code_books_and_no_value_forges_a_line(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    ward.submit(in_folders(tmp_path))
    assert ward.requests.changes("visits") is None
    path = in_folders(tmp_path, "F\nX\n")
    forging = "a trial\n~ privacy.epsilon: 60 -> 1"
    write_yaml(path, merged(REQUEST, {"domain": "../domains/d.yaml", "purpose": {"text": forging}}))
    ward.submit(path)
    found = ward.requests.changes("visits")
    assert found is not None
    assert any(line.startswith("- domain.") and line.endswith('"M"') for line in found)
    assert any(line.startswith("+ domain.") and line.endswith('"X"') for line in found)
    assert sum("privacy.epsilon" in line for line in found) == 1
    assert not any(line.startswith("~ privacy.epsilon") for line in found)
    assert all(line.isprintable() and "\n" not in line for line in found)
    assert ward.requests.changes("visits", 2, 2) == []


def test_a_withdrawn_request_is_refused_however_it_is_named(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    ward.submit(office.path)
    approve(ward, ward.submitted("visits"))
    ward.withdraw("visits", note="wrong columns")
    with pytest.raises(PolicyRefused) as refused:
        ward.submitted("visits@1")
    assert codes(refused) == ["withdrawn"]
    loose = ward.request(office.path)
    assert [reason.code for reason in ward._origin(ward.plan(loose))] == ["withdrawn"]
    with pytest.raises(PolicyRefused) as stopped:
        ward.approve(loose, by="lee", role="privacy_officer", runs=9)
    assert codes(stopped) == ["withdrawn"]
    with pytest.raises(PolicyRefused) as twice:
        ward.withdraw("visits")
    assert codes(twice) == ["already_withdrawn"]
    ward.submit(office.path)
    assert ward.submitted("visits").submission.version == 2  # type: ignore[union-attr]


def test_a_tier_can_refuse_loose_files(tmp_path: Path) -> None:
    only = {"tiers": {"T0": {"submitted_only": True}, "T1": {"submitted_only": True}}}
    office = Office(tmp_path, policy=only)
    ward = office.ward()
    ward.submit(office.path)
    loose, file = ward.request(office.path), ward.submitted("visits")
    approve(ward, file)
    assert [reason.code for reason in ward._origin(ward.plan(loose))] == ["not_submitted"]
    assert ward._origin(ward.plan(file)) == []


def test_a_higher_tier_is_not_the_laxer_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="T0 runs submitted requests only"):
        Office(tmp_path, policy={"tiers": {"T0": {"submitted_only": True}}}).ward()


def test_only_the_requester_submits_and_withdraws(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    with pytest.raises(PolicyRefused) as refused:
        ward.submit(office.path, by="lee")
    assert codes(refused) == ["not_the_requester"]
    ward.submit(office.path)
    with pytest.raises(PolicyRefused) as other:
        ward.withdraw("visits", by="lee")
    assert codes(other) == ["not_the_requester"]
    with pytest.raises(PolicyRefused) as key:
        ward.withdraw("visits", signer=ADA)
    assert codes(key) == ["no_roster"]


def test_an_id_belongs_to_one_scope(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    ward.submit(office.path)
    with pytest.raises(PolicyRefused) as refused:
        ward.submit(office.site.request(population={"scope": "other"}))
    assert codes(refused) == ["other_scope"]


def test_the_requester_signs_where_the_site_has_a_roster(tmp_path: Path) -> None:
    office = Office(tmp_path, roster=True)
    before = office.ward(opened=False)
    with pytest.raises(PolicyRefused) as nothing:
        before.submit(office.path, signer=ADA)
    assert codes(nothing) == ["no_ledger"]
    ward = office.ward()
    for key, code in ((None, "unsigned"), (demo_key("lee"), "key_of_another"), (demo_key("thief"), "unknown_key")):
        with pytest.raises(PolicyRefused) as refused:
            ward.submit(office.path, signer=key)
        assert codes(refused) == [code]
    made = ward.submit(office.path, by="acct-ada", signer=ADA)
    assert made.by == "ada"
    assert ward.submitted("visits").submission == made
    with pytest.raises(PolicyRefused) as bare:
        ward.withdraw("visits")
    assert codes(bare) == ["unsigned"]
    assert ward.withdraw("visits", signer=ADA).by == "ada"


CHANGED = {"note": "other", "source": "data/other", "folder": "/elsewhere", "at": "2026-01-15T08:00:00Z"}


@pytest.mark.parametrize("field", CHANGED)
def test_a_changed_record_of_a_signed_submission_is_refused(tmp_path: Path, field: str) -> None:
    office = Office(tmp_path, roster=True)
    made = office.ward().submit(office.path, signer=ADA)
    payload = office.stores["requests"].links[0].payload
    forge(office, replace(made, **{field: CHANGED[field]}), payload)
    with pytest.raises(PolicyRefused) as refused:
        office.ward().submitted("visits")
    assert codes(refused) == ["altered_record"]


def forge(office: Office, made: Submission, payload: bytes | None) -> None:
    """Somebody who may write to the table makes a chain of one link that fits together."""
    store = office.stores["requests"] = MemoryLinks()
    chain = Chain(None, TableRef("/x"), store=store, clock=office.clock)
    chain.append(made.id, SUBMITTED, encode(made), payload, None)


def test_a_bundle_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    made = ward.submit(office.path)
    other, _ = Bundle.pack(office.site.request(privacy={"epsilon": 70}))
    forge(office, made, other.payload)
    with pytest.raises(IntegrityError, match="does not fit its bundle"):
        ward.submitted("visits")
    forge(office, replace(made, version=2), other.payload)
    with pytest.raises(IntegrityError, match="version_gap"):
        ward.submitted("visits")


@pytest.mark.parametrize("name", ["", "Visits", "visits@", "visits@0", "visits@-1", "visits@1@2", "a b", "x'y"])
def test_what_is_no_name_of_a_request_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected the id of a request"):
        version_of(name)


def test_unknown_requests_and_versions_are_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    with pytest.raises(UsageError, match="no request 'visits' was submitted"):
        ward.submitted("visits")
    ward.submit(office.path)
    with pytest.raises(UsageError, match="found version 2, allowed are 1 to 1"):
        ward.submitted("visits@2")
    assert [known.id for known in ward.requests.all()] == ["visits"]


def test_the_officers_site_shows_open_requests_with_what_changed(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    first = ward.submit(office.path)
    loose = ward.request(office.path)
    pages = ward.site_pages([loose])
    assert len([name for name in pages if name.startswith("requests/")]) == 1
    second = ward.submit(office.site.request(privacy={"epsilon": 70}, purpose={"text": "<b>other</b>"}))
    [page] = [text for name, text in ward.site_pages().items() if name.startswith("requests/")]
    assert second.request[:12] in page
    assert first.request[:12] not in page
    assert "What changed since the last version" in page
    assert "~ privacy.epsilon: " in page
    assert "<b>other</b>" not in page
    ward.withdraw("visits")
    assert not [name for name in ward.site_pages() if name.startswith("requests/")]


def test_the_officers_site_shows_a_request_that_cannot_be_trusted_as_a_problem(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    made = ward.submit(office.path)
    other, _ = Bundle.pack(office.site.request(privacy={"epsilon": 70}))
    forge(office, made, other.payload)
    pages = ward.site_pages()
    assert "does not fit its bundle" in pages["index.html"]
    assert not [name for name in pages if name.startswith("requests/")]


@pytest.mark.parametrize("named", [[], ["r.yaml", "--submitted", "visits"], ["--submitted", "visits", "--source", "x"]])
def test_a_command_names_one_request(tmp_path: Path, named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    site = TestSite(tmp_path)
    assert main(["plan", "--site", str(site.file), *named]) == UsageError.exit_code
    assert "submitted" in capsys.readouterr().err
