"""Files that a document names: inside of its set, regular, of a limited size; and no content of a foreign one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import yaml

from synthward.config import nodes
from synthward.config.files import Fence, FileRefused, read_inside, read_limited
from synthward.config.loader import bind
from synthward.config.text import shown
from synthward.domain.spec import Domain, load_domain
from synthward.errors import ConfigError
from synthward.governance.policy import Policy
from synthward.run.documents import kind_of_file
from synthward.spec.request import Request
from synthward.spec.request_file import load_request
from synthward.spec.site import SiteDocument

REQUEST = """\
version: 1
title: Readmission prototype
requester: {name: ada, role: data_engineer}
purpose: {code: prototyping, text: Try the pipeline, ticket: EHR-123}
audience: team
expires: 2027-06-30
source:
  format: csv
  path: data/x.csv
  csv: {records: one_per_line}
patient:
  key: patient_nbr
  max_rows_per_patient: 4
population: {scope: diabetes130, declared_patients: 70000, declared_rows: 100000}
domain: ../domains/diabetes130.yaml
columns:
  - race
  - gender
privacy: {mechanism: laplace, epsilon: 1.0}
output: {name: diabetes130_synthetic, rows: 100000}
utility: {max_out_of_domain_share: 0.2}
"""

DOMAIN = """\
version: 1
attributes:
  race: {type: categorical, values: [A, B]}
  gender: {type: categorical, values: [F, M]}
"""


def edited(*changes: tuple[str, str]) -> str:
    text = REQUEST
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def write(folder: Path, request: str = REQUEST, domain: str = DOMAIN) -> Path:
    for name, text in (("requests/r.yaml", request), ("domains/diabetes130.yaml", domain)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "requests" / "r.yaml"


SECRET = "MRN-00042"
CODES = f"pid\n{SECRET}\n"


def coded(codebook: str) -> str:
    return (
        f"version: 1\nattributes:\n  race: {{type: categorical, codebook: {codebook}}}\n  gender: {{type: boolean}}\n"
    )


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """A file that the job may read and the request's author may not name."""
    file = tmp_path / "data" / "patients.csv"
    file.parent.mkdir()
    file.write_text(CODES, encoding="utf-8")
    return file


def refusal(request: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_request(request)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("how", ["absolute", "dots", "link", "link of a folder", "uri", "home", "hidden dots"])
def test_a_code_book_outside_of_the_set_is_refused(tmp_path: Path, patients: Path, how: str) -> None:
    root = tmp_path / "conf"
    (root / "domains").mkdir(parents=True)
    (root / "domains" / "link.csv").symlink_to(patients)
    (root / "domains" / "folder").symlink_to(patients.parent)
    names = {
        "absolute": str(patients),
        "dots": "../../data/patients.csv",
        "link": "link.csv",
        "link of a folder": "folder/patients.csv",
        "uri": f"file://{patients}",
        "home": "~/patients.csv",
        "hidden dots": "folder/../../../data/patients.csv",
    }
    request = write(root, domain=coded(f"'{names[how]}'"))
    text = refusal(request)
    assert "diabetes130.yaml:3: attributes.race.codebook: " in text
    assert "relative path" in text if how in ("absolute", "uri", "home") else "leads out of the folders" in text
    assert "a code book must be in the folder of its domain file or below" in text


def test_a_link_inside_of_the_set_is_followed(tmp_path: Path) -> None:
    """A ConfigMap of Kubernetes is such a folder: names are links to a hidden folder beside them."""
    hidden = tmp_path / "..2026"
    hidden.mkdir()
    (hidden / "codes.csv").write_text("code\na\nb\n", encoding="utf-8")
    (hidden / "domain.yaml").write_text(coded("codes.csv"), encoding="utf-8")
    (hidden / "r.yaml").write_text(edited(("../domains/diabetes130.yaml", "domain.yaml")), encoding="utf-8")
    (tmp_path / "..data").symlink_to(hidden.name)
    for name in ("codes.csv", "domain.yaml", "r.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    assert load_request(tmp_path / "r.yaml").domain.attributes["race"].size == 2


def test_the_set_of_a_request(tmp_path: Path, patients: Path) -> None:
    request = write(tmp_path)
    (tmp_path / "policy.yaml").write_text(DOMAIN, encoding="utf-8")
    assert load_request(request).domain.attributes["race"].size == 2
    for written in ("../policy.yaml", str(tmp_path / "domains" / "diabetes130.yaml"), "../data/patients.csv"):
        request.write_text(edited(("../domains/diabetes130.yaml", written)), encoding="utf-8")
        text = refusal(request)
        assert f"{request}:15: domain: '" in text
        assert "a domain must be in the folder of its request or below" in text
    other = tmp_path / "lab"
    other.mkdir()
    request = other / "r.yaml"
    request.write_text(REQUEST, encoding="utf-8")  # a folder of another name has no `domains` beside it
    assert "leads out of the folders" in refusal(request)
    assert SECRET not in str(patients)


def test_a_team_folder_below_requests(tmp_path: Path) -> None:
    write(tmp_path)
    team = tmp_path / "requests" / "cardiology"
    team.mkdir()
    (team / "r.yaml").write_text(edited(("../domains", "../../domains")), encoding="utf-8")
    assert load_request(team / "r.yaml").domain.attributes["race"].size == 2


def test_code_books_count_from_the_real_place_of_their_domain(tmp_path: Path, patients: Path) -> None:
    """A path that means one folder as a text and another on the disk must not lead out by the text."""
    real = tmp_path / "a" / "data"
    real.mkdir(parents=True)
    (real / "domain.yaml").write_text(coded("patients.csv"), encoding="utf-8")
    text = edited(("../domains/diabetes130.yaml", "../../a/data/domain.yaml"))
    (real / "r.yaml").write_text(text, encoding="utf-8")
    link = tmp_path / "data" / "deep" / "link"
    link.parent.mkdir()
    link.symlink_to(real)
    (link.parent / "a").mkdir()
    (tmp_path / "data" / "a").mkdir()
    (tmp_path / "data" / "a" / "data").symlink_to(patients.parent)
    assert "patients.csv' no such file" in refusal(link / "r.yaml")


def test_domains_that_is_a_link_is_not_beside_requests(tmp_path: Path, patients: Path) -> None:
    root = tmp_path / "conf"
    request = write(root)
    (root / "domains" / "diabetes130.yaml").rename(patients.with_name("diabetes130.yaml"))
    (root / "domains").rmdir()
    (root / "domains").symlink_to(patients.parent)
    assert "leads out of the folders" in refusal(request)


def test_files_of_yarn_lie_in_numbered_folders_of_one_cache(tmp_path: Path, patients: Path) -> None:
    cache, work = tmp_path / "appcache" / "filecache", tmp_path / "container"
    work.mkdir()
    texts = {
        "r.yaml": edited(("../domains/diabetes130.yaml", "domain.yaml")),
        "domain.yaml": coded("codes.csv"),
        "codes.csv": "code\na\nb\n",
    }
    for number, (name, text) in enumerate(texts.items(), 10):
        (cache / str(number)).mkdir(parents=True)
        (cache / str(number) / name).write_text(text, encoding="utf-8")
        (work / name).symlink_to(cache / str(number) / name)
    assert load_request(work / "r.yaml").domain.attributes["race"].size == 2
    (work / "codes.csv").unlink()
    (work / "codes.csv").symlink_to(patients)
    assert "leads out of the folders" in refusal(work / "r.yaml")
    (work / "domain.yaml").unlink()
    (work / "domain.yaml").symlink_to(cache / "10" / "r.yaml")  # another name than the link has
    assert "leads out of the folders" in refusal(work / "r.yaml")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    fence = Fence.of_domain(tmp_path / "domain.yaml")
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "folder.csv").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s.csv"))
    for name, words in (("fifo.csv", "pipe"), ("folder.csv", "folder"), ("s.csv", "socket"), ("none.csv", "no such")):
        with pytest.raises(FileRefused, match=words):
            read_inside(fence, name, 100)
        with pytest.raises(FileRefused, match=words):
            read_limited(tmp_path / name, 100)
    listener.close()
    with pytest.raises(FileRefused, match="device"):
        read_limited(Path("/dev/zero"), 100)
    with pytest.raises(FileRefused, match="NUL"):
        read_limited(Path("a\0b"), 100)


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    fence = Fence.of_domain(tmp_path / "domain.yaml")
    (tmp_path / "ten").write_bytes(b"0123456789")
    assert read_inside(fence, "ten", 10) == read_limited(tmp_path / "ten", 10) == b"0123456789"
    for read in (lambda: read_inside(fence, "ten", 9), lambda: read_limited(tmp_path / "ten", 9)):
        with pytest.raises(FileRefused, match="the limit of such a file"):
            read()


def test_a_request_and_a_code_book_have_limits(tmp_path: Path) -> None:
    request = write(tmp_path, edited(("version: 1", "version: 1\n" + "#" * 2**20)))
    assert "larger than 1 MiB" in refusal(request)
    request = write(tmp_path, domain=coded("codes.csv"))
    with (tmp_path / "domains" / "codes.csv").open("wb") as stream:
        stream.truncate(64 * 2**20 + 1)
    assert "larger than 64 MiB" in refusal(request)


FOREIGN = {
    "passwd": f"root:x:0:0:{SECRET}:/root:/bin/bash\n",
    "csv": f"pid,name\n{SECRET},Jane\n",
    "mapping": f"{SECRET}: Jane\npassword: {SECRET}\n",
    "quoted keys": f'"{SECRET} Jane": 1\n"other {SECRET}": 2\n',
    "list": f"- {SECRET}\n- Jane\n",
    "bad": f"{SECRET}: [Jane\n",
    "anchor": f"a: &{SECRET} x\n",
    "alias": f"a: *{SECRET}\n",
    "tag": f"a: !{SECRET} x\n",
    "twice": f"{SECRET}: 1\n{SECRET}: 2\n",
    "directive": f"%TAG ! {SECRET}\n---\na: 1\n",
    "escape": f'a: "{SECRET}\\q"\n',
    "control": f"{SECRET}: a\x07\n",
}


@pytest.mark.parametrize("kind", list(FOREIGN))
@pytest.mark.parametrize("cls", [Request, Domain, Policy, SiteDocument])
def test_no_content_of_a_file_that_is_no_document(kind: str, cls: type) -> None:
    with pytest.raises(ConfigError) as caught:
        bind(FOREIGN[kind], cls)
    assert not any(word in str(caught.value) for word in (SECRET, "00042", "Jane", "root", "passw"))
    assert len(caught.value.problems) <= 2


def test_a_parser_that_quotes_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser in Python, which serves where libyaml is not built in, quotes what it could not read."""
    monkeypatch.setattr(nodes, "_LOADER", yaml.SafeLoader)
    for text in (f"a: !{SECRET}!x 1\n", f"%{SECRET} 1\n---\na: 1\n", f"a: [1\n{SECRET}: 1\n", f"a: !<{SECRET} x\n"):
        with pytest.raises(ConfigError) as caught:
            bind(text, Domain)
        assert not any(word in str(caught.value) for word in (SECRET, "MRN", "42"))


def test_unknown_keys_are_counted_by_line_and_only_misspelt_ones_are_quoted() -> None:
    text = f"version: 1\nnome: x\n{SECRET}: 1\ntitle {SECRET}: 1\nattributes: {{a: {{type: boolean}}}}\ntitel: x\n"
    with pytest.raises(ConfigError) as caught:
        bind(text, Domain)
    listed = [(problem.line, problem.path, problem.message) for problem in caught.value.problems]
    assert listed == [
        (2, "", "3 unknown keys on lines 2, 3, 4; allowed here: version, attributes, title, missing_together"),
        (6, "titel", "unknown key; did you mean 'title'?"),
    ]


def test_excerpts_are_short_and_visible() -> None:
    hostile = "x" * 500 + "\x1b[2J\u202e"
    for text in (f'version: "\\e[8m\\u202e{hostile[:20]}"\n', f"version: {'y' * 500}\n"):
        with pytest.raises(ConfigError) as caught:
            bind(text, Domain)
        message = str(caught.value)
        assert len(message) < 200
        assert shown(message) == message


@pytest.mark.parametrize(
    "text", ["two\\nlines", "\\e[8mhidden", "a\\u202eb", "a\\u200bb", "a\\0b", "a\\x9bb", "a\\u2028b", "a" * 201]
)
@pytest.mark.parametrize("key", ["title", "requester", "ticket", "column"])
def test_titles_names_and_tickets_are_one_short_visible_line(key: str, text: str) -> None:
    written = {
        "title": ("title: Readmission prototype", "title: {}"),
        "requester": ("name: ada", "name: {}"),
        "ticket": ("ticket: EHR-123", "ticket: {}"),
        "column": ("  - race", "  - {}"),
    }
    old, new = written[key]
    with pytest.raises(ConfigError) as caught:
        bind(edited((old, new.format(f'"{text}"'))), Request)
    [problem] = caught.value.problems
    assert "the text" in problem.message
    assert shown(str(problem)) == str(problem)


def test_a_column_name_is_one_visible_line() -> None:
    with pytest.raises(ConfigError, match="the column's name has"):
        bind('version: 1\nattributes:\n  "a\\0b": {type: boolean}\n', Domain)


def test_a_printed_line_cannot_forge_another() -> None:
    forged = "Trial\ntier T0\x1b[8m\u202e\u200b\x9b"
    assert shown(forged) == "Trial\\ntier T0\\x1b[8m\\u202e\\u200b\\x9b"
    assert shown("Zoë 東京 naïve") == "Zoë 東京 naïve"


def test_a_domain_may_be_larger_than_a_request(tmp_path: Path) -> None:
    file = tmp_path / "d.yaml"
    file.write_text(DOMAIN + "#" * 2**21, encoding="utf-8")
    assert kind_of_file(file) == "domain"


def test_deep_documents_end_in_words(tmp_path: Path) -> None:
    file = tmp_path / "d.yaml"
    file.write_text("a: " + "[" * 100_000, encoding="utf-8")
    with pytest.raises(ConfigError):
        load_domain(file)
