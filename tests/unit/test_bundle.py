"""Bundles: exactly what was read, in one form, readable without the disk; and what approvers are shown of an edit."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthward.config import files
from synthward.config.text import is_visible
from synthward.errors import ConfigError, IntegrityError
from synthward.records.canonical import canonical_bytes
from synthward.spec import bundle as module
from synthward.spec.bundle import Bundle
from synthward.spec.changes import changes, facts_of
from synthward.spec.request_file import load_request
from trial import TestSite, merged, write_yaml

BOOK = "codebooks/wards.csv"
ATTRIBUTES = {
    "sex": {"type": "categorical", "values": ["F", "M"], "missing": ["?"]},
    "ward": {"type": "categorical", "codebook": BOOK},
}
RISK = {
    "version": 1,
    "context": "a folder",
    "recipients": [{"group": "team", "motive": "none", "capacity": "low", "auxiliary": "none"}],
    "columns": {"sex": [], "ward": ["sensitive"]},
    "attacks": ["membership"],
    "residual": "little",
}


def folder(root: Path, wards: str = "ward\nA1\nB2\n", **changed: Any) -> Path:
    """A request in a folder `requests`, its domain with a code book beside it, its risk statement below it."""
    site = TestSite(root)
    domain = {"version": 1, "attributes": ATTRIBUTES}
    write_yaml(root / "domains" / "visits.yaml", domain)
    (root / "domains" / "codebooks").mkdir(exist_ok=True)
    (root / "domains" / BOOK).write_text(wards, encoding="utf-8")
    write_yaml(root / "requests" / "risks" / "visits.yaml", RISK)
    wanted = {"domain": "../domains/visits.yaml", "columns": ["sex", "ward"], "risk": "risks/visits.yaml"}
    made = site.request("written", **merged(wanted, changed))
    shutil.move(made, root / "requests" / "visits.yaml")
    return root / "requests" / "visits.yaml"


def test_a_bundle_has_every_file_and_no_other_and_gives_the_same_request_without_the_disk(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path.parent / "other.yaml").write_text("secret: 1\n", encoding="utf-8")
    packed, file = Bundle.pack(path)
    assert sorted(packed.files) == [
        "domains/codebooks/wards.csv",
        "domains/visits.yaml",
        "requests/risks/visits.yaml",
        "requests/visits.yaml",
    ]
    assert file.digest == load_request(path).digest
    payload, there = packed.payload, str(path.parent)
    shutil.rmtree(tmp_path)
    again = Bundle.parse(payload)
    assert (again, again.digest) == (packed, packed.digest)
    loaded = again.load(there)
    assert loaded.digest == file.digest
    assert loaded == file
    assert loaded.resolved(loaded.request.source) == file.resolved(file.request.source)


def test_a_bundle_keeps_what_was_checked_whatever_the_disk_holds_later(tmp_path: Path) -> None:
    path = folder(tmp_path)
    packed, file = Bundle.pack(path)
    (tmp_path / "domains" / BOOK).write_text("ward\nA1\nB2\nC3\n", encoding="utf-8")
    assert packed.load(str(path.parent)).digest == file.digest != load_request(path).digest


def test_equal_files_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    first, second = (Bundle.pack(folder(tmp_path / name))[0] for name in ("a", "b"))
    assert first.payload == second.payload
    assert str(tmp_path).encode() not in base64.b64decode(json.loads(first.payload)["files"][0]["content"])


def test_another_source_is_part_of_the_request_and_not_of_the_bundle(tmp_path: Path) -> None:
    path = folder(tmp_path)
    plain, _ = Bundle.pack(path)
    other, file = Bundle.pack(path, source_override="data/other")
    assert plain.digest == other.digest
    assert other.load(str(path.parent), source_override="data/other").digest == file.digest
    assert file.digest != plain.load(str(path.parent)).digest


def test_people_are_part_of_a_bundle(tmp_path: Path) -> None:
    path = folder(tmp_path)
    people = {"key": "pid", "sources": [{"source": {"table": "a.b"}}]}
    packed = Bundle.pack(path)[0].of_people(people)
    assert packed.digest != Bundle.pack(path)[0].digest
    assert Bundle.parse(packed.payload).population == people


def link(path: Path) -> None:
    path.rename(path.with_name("real" + path.suffix))
    path.symlink_to(path.with_name("real" + path.suffix))


@pytest.mark.parametrize(
    "name",
    [
        "requests/visits.yaml",
        "requests/risks/visits.yaml",
        "domains/visits.yaml",
        f"domains/{BOOK}",
        "domains/codebooks",
    ],
)
def test_a_link_is_not_packed(tmp_path: Path, name: str) -> None:
    path = folder(tmp_path)
    link(tmp_path / name)
    assert load_request(path).digest  # from disk a link inside of the set is followed
    with pytest.raises(ConfigError, match="is a link, or lies behind one"):
        Bundle.pack(path)


def test_a_folder_that_is_reached_through_a_link_is_packed_as_it_is(tmp_path: Path) -> None:
    path = folder(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Bundle.pack(tmp_path / "link" / "requests" / path.name)[0] == Bundle.pack(path)[0]


@pytest.mark.parametrize(
    ("domain", "told"),
    [
        ("/etc/hostname", "is not a relative path"),
        ("../../outside.yaml", "leads out of the folders"),
        ("pipe.yaml", "is not a regular file"),
        ("folder", "is a folder"),
    ],
)
def test_only_regular_files_inside_of_the_set_are_packed(tmp_path: Path, domain: str, told: str) -> None:
    path = folder(tmp_path / "set", domain=domain)
    write_yaml(tmp_path / "outside.yaml", {"version": 1, "attributes": ATTRIBUTES})
    os.mkfifo(path.with_name("pipe.yaml"))
    path.with_name("folder").mkdir()
    with pytest.raises(ConfigError, match=told):
        Bundle.pack(path)


def test_a_bundle_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path)
    monkeypatch.setattr(module, "BUNDLE_BYTES", 100)
    with pytest.raises(ConfigError, match="cannot be packed into a bundle: holds 1 MiB, allowed are 0"):
        Bundle.pack(path)
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_FILES", 3)
    with pytest.raises(ConfigError, match="holds 4 files, allowed are 3"):
        Bundle.pack(path)


def test_a_file_that_the_bundle_lacks_is_not_looked_for_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path)
    packed, _ = Bundle.pack(path)
    # Even if the folder that stands in messages were there.
    monkeypatch.setattr(files, "_BUNDLE", tmp_path)
    for name in packed.files:
        less = dataclasses.replace(packed, files={key: text for key, text in packed.files.items() if key != name})
        with pytest.raises(ConfigError, match="is not in the bundle"):
            less.load(str(path.parent))


def test_a_bundle_with_another_file_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    packed, _ = Bundle.pack(path)
    more = dataclasses.replace(packed, files={**packed.files, "requests/note.txt": b"not shown to anybody"})
    with pytest.raises(IntegrityError, match="holds 1 files that its request does not name"):
        more.load(str(path.parent))


def renamed(path: str) -> Callable[[dict[str, Any]], None]:
    """Puts a file under another path, in the order of the paths."""

    def change(layout: dict[str, Any]) -> None:
        layout["files"][0]["path"] = path
        layout["files"].sort(key=lambda one: one["path"])

    return change


@pytest.mark.parametrize(
    "change",
    [
        *map(renamed, ("/etc/passwd", "../x", "a/../b", "./a", "a//b", "")),
        *map(renamed, ("a\\b", "a\0b", "a\nb", "x" * 401, "a\u202eb")),
        lambda layout: layout["files"].reverse(),
        lambda layout: layout["files"].append(layout["files"][-1]),
        lambda layout: layout.update(request="other.yaml"),
        lambda layout: layout.update(kind="synthward bundle 2"),
        lambda layout: layout.update(more=1),
        lambda layout: layout["files"][0].update(content="Zh=="),
    ],
)
def test_bytes_that_are_no_bundle(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    layout = json.loads(Bundle.pack(folder(tmp_path))[0].payload)
    assert Bundle.parse(canonical_bytes(layout))
    change(layout)
    with pytest.raises(IntegrityError, match="a bundle in the records"):
        Bundle.parse(canonical_bytes(layout))


def test_another_text_of_the_same_bundle_is_none(tmp_path: Path) -> None:
    payload = Bundle.pack(folder(tmp_path))[0].payload
    for text in (payload + b"\n", payload.replace(b'{"files"', b'{ "files"'), b"[" * 5000, b"", b"\xff"):
        with pytest.raises(IntegrityError, match="is no bundle"):
            Bundle.parse(text)


def differences(tmp_path: Path, wards: str = "ward\nA1\nB2\n", **changed: Any) -> list[str]:
    """What is shown of an edit of the request and its code book."""
    one, other = (Bundle.pack(path) for path in (folder(tmp_path / "a"), folder(tmp_path / "b", wards, **changed)))
    return changes(facts_of(one[1], one[0]), facts_of(other[1], other[0]))


def test_each_edit_is_a_line(tmp_path: Path) -> None:
    assert differences(tmp_path) == []
    assert differences(tmp_path, privacy={"epsilon": 61}, columns=["sex"]) == [
        '- columns: "ward"',
        '~ privacy.epsilon: "60" -> "61"',
    ]


def test_each_value_of_a_code_book_that_changed_is_a_line(tmp_path: Path) -> None:
    assert differences(tmp_path, "ward\nA1\nC3\nD4\n") == [
        '- domain.attributes.ward.values: "B2"',
        '+ domain.attributes.ward.values: "C3"',
        '+ domain.attributes.ward.values: "D4"',
    ]
    assert differences(tmp_path, "ward\nB2\nA1\n") == [
        "~ domain.attributes.ward.values: the entries have another order"
    ]


def test_no_value_can_forge_a_line(tmp_path: Path) -> None:
    hostile = "fine\x1b[2K\r+ privacy.epsilon: \u202e\u200bsmall"
    lines = changes({"a": [], "t\nitle": "x"}, {"a": [hostile], "t\nitle": hostile})
    assert len(lines) == 2
    assert all(map(is_visible, "".join(lines)))
