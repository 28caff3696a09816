"""The report: complete, self-contained, escaped, reproducible."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from synthward.records.codec import decode
from synthward.records.manifest import AttributeEntry, ColumnEntry, QualityEntry
from synthward.release.manifest import Manifest
from synthward.report import render as module
from synthward.report import words
from synthward.report.findings import column_findings, fit_findings, relation_findings
from synthward.report.plots import HEIGHT, MAX_BARS, MAX_LISTED, bar_list, histogram, shorten
from synthward.report.quality import quality_view
from synthward.report.relations import MAX_MAPPED, SMALLEST_TILE, Relation, graph, pair_map, relations
from synthward.report.render import render
from synthward.report.spending import groups, spending
from synthward.report.templates import resource

CROSS = " \N{MULTIPLICATION SIGN} "
EXAMPLE = Path(__file__).with_name("manifest_example.json")
VOID = {"meta", "br", "rect", "col"}


@pytest.fixture
def body() -> dict[str, Any]:
    return json.loads(EXAMPLE.read_text(encoding="utf-8"))


class Page(HTMLParser):
    """Checks nesting, collects tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def page(body: dict[str, Any]) -> Page:
    return Page(render(Manifest(body)))


def test_says_what_the_release_is(body: dict[str, Any]) -> None:
    text = page(body).text
    for phrase in (
        "SYNTHETIC DATA",
        body["request"]["title"],
        body["release_id"],
        "ε = 1 δ = 0",
        "Privacy unit patient Found by admissions.subject_id via hadm_id Neighbouring data",
        "Whom it is about",
        *body["guarantee"]["statements"],
        "Claim unit: patient, by admissions.subject_id via hadm_id , property synthward.privacy_unit",
        "8 rows a patient",
        "factor of at most 2.72",
        "data steward",
        "h.brandt",
        "DAR-2026-0117",
        "9 of 9",
        "0.042",
        "the true ones never leave the protected zone",
        body["budget"]["ledger"]["head"],
        body["source_ref"],
        Manifest(body).digest,
        *body["limits"],
    ):
        assert phrase in text
    for word in ("compliant", "compliance", "anonym", "GDPR", "HIPAA"):
        assert word.lower() not in text.lower()


def test_a_manifest_of_an_earlier_version_is_shown_without_what_it_does_not_say(body: dict[str, Any]) -> None:
    for name in ("key", "path", "promises", "statements"):
        del body["guarantee"][name]
    body["guarantee"]["claim"] = "unit: patient"
    text = page(body).text
    assert "Privacy unit patient Neighbouring data" in text
    assert "Whom it is about" not in text


def test_says_what_an_attacker_can_learn(body: dict[str, Any]) -> None:
    # 50% before; odds times e: 73.1% after at most, 26.9% at least.
    assert "50.0% 26.9% 73.1%" in page(body).text


def test_equal_manifests_give_equal_bytes(body: dict[str, Any]) -> None:
    manifest = Manifest(body)
    again = Manifest.parse(manifest.text)
    assert render(manifest) == render(manifest) == render(again)


def test_loads_nothing_from_outside(body: dict[str, Any]) -> None:
    html = render(Manifest(body))
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link|<img|<iframe|javascript:|\bon[a-z]+=", html)
    policy = next(a["content"] for tag, a in Page(html).tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_everything_from_the_manifest_is_escaped(body: dict[str, Any]) -> None:
    hostile = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;{{ 7*7 }}"

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [poisoned(inner, key) for inner in value]
        numeric = key in {"epsilon", "delta", "requested_epsilon"} or key.endswith("_epsilon")
        structural = key in {"unit", "mechanism", "format"} or key.startswith("cap_")
        return hostile if isinstance(value, str) and not numeric and not structural else value

    bad = poisoned(body)
    renamed = {column["column"]: f"{hostile}{place}" for place, column in enumerate(body["quality"]["columns"])}
    for entry, source in zip(bad["quality"]["cliques"], body["quality"]["cliques"], strict=True):
        entry["columns"] = [renamed[name] for name in source["columns"]]
    drawn = body["model"]["graph"]
    bad["model"]["graph"] = {
        "order": [renamed[name] for name in drawn["order"]],
        "edges": [
            edge | {"parent": renamed[edge["parent"]], "child": renamed[edge["child"]]} for edge in drawn["edges"]
        ],
    }
    for place, (entry, column) in enumerate(zip(bad["domain"]["attributes"], bad["quality"]["columns"], strict=True)):
        entry["column"] = column["column"] = f"{hostile}{place}"
    html = render(Manifest(bad))
    assert "<script" not in html
    assert "<img" not in html
    assert "49" not in re.findall(r"<title>(.*?)</title>", html)[0]
    assert all("onerror" not in attributes for _, attributes in Page(html).tags)
    assert hostile in Page(html).text


def test_patient_unit_has_no_banner(body: dict[str, Any]) -> None:
    assert "NOT patient" not in render(Manifest(body))
    assert not [a for _, a in page(body).tags if a.get("role") == "alert"]


def row_unit(body: dict[str, Any]) -> dict[str, Any]:
    body["guarantee"] |= {
        "unit": "row",
        "claim": "unit: row, NOT patient",
        "neighbours": "add or remove one row",
        "max_rows_per_unit": 1,
        "mechanism": "gaussian",
        "epsilon": "1.2345678",
        "delta": "1E-9",
        "nano_epsilon": None,
        "nano_rho": 21_000_000,
    }
    return body


def test_another_unit_has_a_red_banner(body: dict[str, Any]) -> None:
    shown = page(row_unit(body))
    alerts = [a for _, a in shown.tags if a.get("role") == "alert"]
    assert len(alerts) == 1
    assert alerts[0]["class"] == "banner"
    assert shown.text.count("unit: row, NOT patient") == 3
    assert "Privacy unit unit: row, NOT patient Neighbouring data" in shown.text
    assert "Claim unit: row, NOT patient , property synthward.privacy_unit" in shown.text
    assert "NOT a patient" in shown.text
    assert re.search(r"\.banner \{ background: var\(--alarm\)", resource("style.css"))


def test_approximate_guarantee_is_rounded_up_and_explained(body: dict[str, Any]) -> None:
    text = page(row_unit(body)).text
    assert "ε = 1.235" in text
    assert "1 in 1,000,000,000" in text
    assert "factor of at most 3.44 , and by a further 1e-9" in text
    assert "\N{GREEK SMALL LETTER RHO} = 0.021" in text


def test_pure_statement_is_shown_beside_an_approximate_one(body: dict[str, Any]) -> None:
    body["guarantee"] |= {"epsilon": "0.887156711", "delta": "0.00001"}
    text = page(body).text
    assert "ε = 0.8872" in text
    assert "ε = 1 with δ = 0" in text


def test_failed_gate_is_loud(body: dict[str, Any]) -> None:
    body["gates"][6] |= {"passed": False, "detail": "more than 5.0% are undeclared in: HbA1c (%)"}
    shown = page(body)
    assert "1 of 9 gates failed: do not use this release" in shown.text
    assert "8 of 9" in shown.text
    assert "FAILED" in shown.text


def test_how_the_fit_ended_is_shown(body: dict[str, Any]) -> None:
    shown = page(body)
    assert "tree, 31 of at most 400 steps, tolerance reached" in shown.text
    assert "stopped short" not in shown.text
    assert fit_findings(None) == []
    del body["model"]["convergence"]
    assert "of at most 400 steps" not in page(body).text


def test_a_fit_that_stopped_short_is_a_finding(body: dict[str, Any]) -> None:
    body["model"]["convergence"] |= {"reached": False, "steps": 400}
    shown = page(body).text
    assert "tolerance not reached" in shown
    assert "The fit stopped short of its tolerance after 400 of at most 400 steps" in shown
    [finding] = fit_findings(Manifest(body).record.model.convergence)
    assert [name for name, _ in finding.subjects] == [f"age{CROSS}diagnosis"]


def test_weak_columns_are_named_worst_first(body: dict[str, Any]) -> None:
    findings = column_findings(Manifest(body).record.quality.columns)
    assert [name for name, _ in findings[0].subjects] == ["age", "HbA1c (%)", "length_of_stay", "admitted"]
    assert "HbA1c (%)" in dict(findings[1].subjects)
    assert "sex" not in dict(findings[1].subjects)
    headings = re.findall(r"<figure>\s*<h3>(.*?)</h3>", render(Manifest(body)))
    assert headings[:2] == ["age", "HbA1c (%)"]
    assert len(headings) == 11


def test_tables_have_captions_and_drawings_alternatives(body: dict[str, Any]) -> None:
    shown = page(body)
    assert shown.count("table") == shown.count("caption")
    drawings = [a for tag, a in shown.tags if tag == "svg"]
    assert drawings
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in drawings)
    assert next(a for tag, a in shown.tags if tag == "html")["lang"] == "en"


def test_forty_columns_are_small(body: dict[str, Any]) -> None:
    columns, attributes = [], []
    declared = {entry["column"]: entry for entry in body["domain"]["attributes"]}
    for place in range(40):
        column = copy.deepcopy(body["quality"]["columns"][place % 11])
        attribute = dict(declared[column["column"]])
        attribute["column"] = column["column"] = f"{column['column']} {place}"
        if place % 4 == 0:
            column["labels"] = [f"v{cell}" for cell in range(20_000)] + column["labels"][-2:]
            column["noisy"] = column["synthetic"] = [1 / 20_002] * 20_002
        columns.append(column)
        attributes.append(attribute)
    body["quality"]["columns"], body["domain"]["attributes"] = columns, attributes
    html = render(Manifest(body))
    assert len(html.encode()) < 1_000_000


def test_an_empty_approval_list_and_a_used_up_budget_are_said(body: dict[str, Any]) -> None:
    body["approvals"] = []
    body["budget"] |= {"spent_epsilon": "Infinity", "remaining_epsilon": "0"}
    text = page(body).text
    assert "No approval is on record" in text
    assert "ε = unlimited" in text


def test_names_of_approvers_are_as_entered(body: dict[str, Any]) -> None:
    text = page(body).text
    assert "Approved by m.lindqvist as data steward h.brandt as privacy officer names as entered, not signed" in text
    assert "Names and roles are as entered, not signed" in text
    assert "Approved by 2" not in text
    for entry in body["approvals"]:
        entry |= {"signed": True, "key_id": "00112233aabbccdd"}
    text = page(body).text
    assert "Names and roles are as entered" not in text
    assert "Signed with key" in text
    assert "00112233aabbccdd" in text
    assert "Each carries a signature of the key named in section 2" in text
    body["approvals"][0] |= {"signed": False}
    assert "Names and roles are as entered" in page(body).text


def test_a_control_is_printed_with_what_shows_it(body: dict[str, Any]) -> None:
    gate = next(gate for gate in body["gates"] if gate["gate"] == "population")
    assert f"population gate gate “population”: {gate['detail']} shown" in page(body).text
    gate["passed"] = False
    assert f"population gate gate “population”: {gate['detail']} FAILED" in page(body).text


def test_a_control_without_evidence_is_never_printed_as_done(body: dict[str, Any]) -> None:
    """Manifests of earlier versions name controls that nothing has performed; and evidence may name an absent gate."""
    del body["policy"]["evidence"]
    body["policy"]["controls"] = ["structure_gate", "leak_scan"]
    text = page(body).text
    assert "leak scan none on record NOT SHOWN" in text
    assert "structure gate none on record NOT SHOWN" in text
    body["policy"]["evidence"] = [{"control": "structure_gate", "gates": ["types", "gone"]}]
    assert "all columns as declared NOT SHOWN" in page(body).text.replace("FAILED", "NOT SHOWN")


def gaussian_account(body: dict[str, Any], *, charges: int, spent: str) -> dict[str, Any]:
    """A release that promises less than the scope, at a smaller delta, counts for it."""
    body["guarantee"] |= {"mechanism": "gaussian", "nano_epsilon": None, "nano_rho": 7_000_000}
    body["guarantee"] |= {"epsilon": "1", "delta": "1E-6"}
    body["budget"] |= {"charges": charges, "alone_epsilon": "1.3", "spent_epsilon": spent, "cap_delta": "1E-9"}
    return body


def test_a_single_charge_is_not_shown_as_two(body: dict[str, Any]) -> None:
    shown = page(gaussian_account(body, charges=1, spent="1.3"))
    assert "other charge" not in shown.text
    assert "this release alone, as the scope counts it: ε = 1.3" in shown.text
    assert "There this release counts as ε = 1.3; by itself it promises ε = 1 at δ = 1e-6" in shown.text
    assert not [a for tag, a in shown.tags if tag == "rect" and a.get("class") == "others"]


def test_other_charges_are_what_the_scope_adds(body: dict[str, Any]) -> None:
    shown = page(gaussian_account(body, charges=3, spent="2.6"))
    assert "with 2 other charges of the scope: ε = 2.6" in shown.text
    own, others = (
        a for tag, a in shown.tags if tag == "rect" and a.get("class") in ("own", "others") and a.get("height") == "10"
    )
    assert float(own["width"] or 0) == pytest.approx(float(others["width"] or 0), abs=0.02)


def test_an_earlier_manifest_has_one_bar(body: dict[str, Any]) -> None:
    for key in ("alone_epsilon", "charges"):
        del body["budget"][key]
    shown = page(body)
    assert "spent, this release included: ε = 2.5" in shown.text
    assert "as the scope counts it" not in shown.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.999999991", "1"),
        ("0.8871567", "0.8872"),
        ("12", "12"),
        ("0", "0"),
        ("1E-9", "1e-9"),
        ("0.00001001", "1.001e-5"),
        ("1234.51", "1235"),
        ("0.00012", "0.00012"),
        ("Infinity", "unlimited"),
    ],
)
def test_privacy_loss_is_rounded_up(value: str, shown: str) -> None:
    assert words.rounded_up(Decimal(value)) == shown


def test_belief_stays_a_probability_whatever_epsilon() -> None:
    assert module._belief(Decimal("0.5"), Decimal(0)) == (0.5, 0.5)
    high, low = module._belief(Decimal("0.5"), Decimal(10_000))
    assert (high, round(low, 9)) == (1.0, 0.0)
    assert words.factor(Decimal(10_000)) == "more than 10^99"
    assert words.factor(Decimal(8)) == "2,981"


def test_what_was_learned_is_said_with_its_price(body: dict[str, Any]) -> None:
    assert "A part of delta" not in render(Manifest(body))
    body["guarantee"]["atto_delta"] = 10**8
    for entry, learns in zip(body["measurements"][1:], ("bins", "categories"), strict=False):
        entry["learns"] = learns
    for attribute in body["domain"]["attributes"]:
        attribute["learned"] = "bins" if "bounds" in attribute else "categories"
    page = render(Manifest(body))
    assert "A part of delta, 1 in 10,000,000,000, went into finding" in page
    said = ("where to cut bins", "further values that many have", "cut into bins as learned", "some of them learned")
    assert not [phrase for phrase in said if phrase not in page]
    assert "what is marked as learned follows from noisy answers" in page


def test_shares_of_the_budget_add_up(body: dict[str, Any]) -> None:
    answers = spending(Manifest(body).record.measurements, pure=True)
    assert sum(row.share for row in answers) == pytest.approx(1)
    assert answers == sorted(answers, key=lambda row: -row.share)
    marginal = next(row for row in answers if row.query == "marginal(age)")
    source = next(entry for entry in body["measurements"] if entry["query"] == "marginal(age)")
    assert marginal.unit == "rows"
    assert marginal.noise == pytest.approx(source["scale"] * 2**0.5 / 65536)


def test_budget_by_kind_of_table(body: dict[str, Any]) -> None:
    found = groups(spending(Manifest(body).record.measurements, pure=True))
    assert sum(group.answers for group in found) == len(body["measurements"])
    assert sum(group.share for group in found) == pytest.approx(1)
    by_name = {group.name: group for group in found}
    assert by_name["tables of two columns"].answers == 9
    assert by_name["tables of three columns"].answers == 1
    assert by_name["number of units"].unit == "units"
    least, most = by_name["shares of the values of a column"].least, by_name["shares of the values of a column"].most
    assert least is not None
    assert most is not None
    assert least <= most
    text = page(body).text
    assert all(name in text for name in by_name)


def test_hundreds_of_answers_are_listed_up_to_a_limit(body: dict[str, Any]) -> None:
    pair = next(entry for entry in body["measurements"] if len(entry["columns"]) == 2)
    body["measurements"] += [pair | {"query": f"marginal(a{place}, b)"} for place in range(700)]
    shown = page(body)
    assert f"Every noisy answer: {len(body['measurements'])} with their noise" in shown.text
    assert len(re.findall(r"marginal\(", shown.text)) == module.MAX_ANSWERS
    assert "the 100 largest parts; all are in the manifest" in shown.text


def test_a_choice_has_no_noise_to_show(body: dict[str, Any]) -> None:
    body["measurements"].append(
        body["measurements"][0] | {"query": "selection 1", "kind": "selection", "deviation": None, "columns": []}
    )
    assert page(body).text.count("a choice, not a number") == 2


def relation(names: str, tvd: float, noise: float, error: float = 0.001) -> Relation:
    return Relation(tuple(names), 10, tvd, noise, error, 1)


@pytest.mark.parametrize(
    ("tvd", "shade"), [(0.02, 0), (0.0219, 0), (0.025, 1), (0.0319, 1), (0.033, 2), (0.0719, 2), (0.073, 3)]
)
def test_pairs_are_shaded_by_what_noise_does_not_explain(tvd: float, shade: int) -> None:
    assert relation("ab", tvd, 0.02).shade == shade


def test_range_of_the_distance_to_the_real_shares() -> None:
    found = relation("ab", 0.03, 0.02, 0.001)
    assert found.beyond_noise == pytest.approx(0.008)
    assert found.at_most == pytest.approx(0.052)
    assert relation("ab", 0.01, 0.02).beyond_noise == 0
    assert relation("ab", 0.9, 0.4).at_most == 1


def of_columns(count: int) -> list[ColumnEntry]:
    given = {"cells": 4, "tvd": 0.001, "noise_tvd": 0.002, "share_error": 0.001}
    return [dataclasses.replace(column([], [], []), column=f"c{place}", **given) for place in range(count)]


def test_the_map_has_a_tile_for_every_measured_pair_and_hatching_for_the_rest() -> None:
    found = [Relation(("c0", "c2"), 9, 0.2, 0.01, 0.001, 1), Relation(("c1", "c0"), 9, 0.01, 0.1, 0.001, 0)]
    drawn = pair_map(of_columns(4), [*found, Relation(("c0", "c1", "c2"), 27, 0.5, 0.1, 0.01, 1)])
    assert (len(drawn.tiles), drawn.unmeasured, drawn.hatching.count("M")) == (4 + 2, 4, 4)
    side = drawn.tile
    places = {(tile.x // side, tile.y // side): tile for tile in drawn.tiles}
    assert (places[0, 2].shade, places[0, 2].uncertain, places[0, 2].number) == (3, False, "20.0")
    assert (places[0, 1].shade, places[0, 1].uncertain) == (0, True)
    assert all(tile.x <= tile.y for tile in drawn.tiles)
    assert [label[2] for label in drawn.labels] == ["c0", "c1", "c2", "c3"]


def test_a_map_of_many_columns_keeps_the_worst() -> None:
    found = [Relation(("c90", "c99"), 9, 0.2, 0.01, 0.001, 1)]
    drawn = pair_map(of_columns(100), found)
    assert (drawn.shown, drawn.left_out) == (MAX_MAPPED, 100 - MAX_MAPPED)
    assert drawn.tile == SMALLEST_TILE
    assert {"c90", "c99"} <= {label[2] for label in drawn.labels}
    assert all(tile.number == "" for tile in drawn.tiles)


def test_the_report_draws_the_map_and_lists_the_worst_tables_first(body: dict[str, Any]) -> None:
    html = render(Manifest(body))
    shown = Page(html)
    assert "12 of 55" in shown.text
    assert html.count('class="corner"') == 1 + sum(
        entry["noise_tvd"] > 0.05 for entry in body["quality"]["cliques"] if len(entry["columns"]) == 2
    ) + sum(column["noise_tvd"] > 0.05 for column in body["quality"]["columns"])
    worst = relations(Manifest(body).record.quality)[0]
    assert worst.columns == ("age", "length_of_stay")
    assert f"<title>{worst.title}</title>" in html
    tables = html[html.index("How close relations are to what was measured") :]
    listed = re.findall(rf'<tr><th scope="row">([^<]*{CROSS}[^<]*)</th>', tables)
    assert listed[0] == f"age{CROSS}length_of_stay"
    assert len(listed) == len(body["quality"]["cliques"]) == 13
    assert "in a wider table" in shown.text


def test_the_report_says_first_how_far_the_release_is_from_the_real_rows(body: dict[str, Any]) -> None:
    view = quality_view(decode(QualityEntry, body["quality"]))
    assert view is not None
    shown = page(body)
    summary = body["quality"]["expected"]["summary"]
    assert f"Expected distance {summary['expected_column_mean']:.3f} to the real rows" in shown.text
    assert "How far it is from the real rows" in shown.text
    assert "Fit residual: how close it is to what was measured" in shown.text
    assert f"of {summary['pairs_unknown']} nothing is known" in shown.text
    known = [pair.distance for pair in view.pairs if pair.distance is not None]
    assert known == sorted(known, reverse=True)
    assert view.pairs[-1].distance is None
    assert len(view.tiles) == 11 * 12 // 2
    html = render(Manifest(body))
    assert html.count('<g class="unclear"') == sum(pair.unclear for pair in (*view.pairs, *view.columns))
    assert f"<title>{view.pairs[0].title}</title>" in html


def test_a_manifest_without_simulated_releases_shows_fit_residuals(body: dict[str, Any]) -> None:
    del body["quality"]["expected"], body["quality"]["counts"]
    shown = page(body)
    assert "Fit residual 0.042 to the noisy shares" in shown.text
    assert "How far it is from the real rows" not in shown.text
    assert quality_view(decode(QualityEntry, body["quality"])) is None


def test_a_map_of_verdicts_of_many_columns_leaves_some_out(body: dict[str, Any]) -> None:
    [entry] = [e for e in body["quality"]["expected"]["entries"] if e["columns"] == ["age"]]
    wide = body["quality"]["expected"] | {"entries": [entry | {"columns": [f"c{k}"]} for k in range(100)]}
    view = quality_view(decode(QualityEntry, body["quality"] | {"expected": wide}))
    assert view is not None
    assert (len(view.labels), view.left_out) == (60, 40)


def test_weak_relations_are_findings(body: dict[str, Any]) -> None:
    misfit, noisy = relation_findings(relations(Manifest(body).record.quality))
    assert [name for name, _ in misfit.subjects] == [f"age{CROSS}length_of_stay"]
    assert f"sex{CROSS}readmitted" not in dict(noisy.subjects)
    assert misfit.what in page(body).text


def test_warnings_given_before_the_run_are_kept(body: dict[str, Any]) -> None:
    assert body["warnings"][0] in page(body).text
    body["warnings"] = [f"warning {place}" for place in range(15)]
    text = page(body).text
    assert "warning 11 and 3 more of this kind" in text
    body["warnings"] = []
    assert "Said before anything was spent" not in page(body).text


def test_independent_columns_are_said_to_be_so(body: dict[str, Any]) -> None:
    body["quality"]["cliques"] = []
    body["quality"]["summary"] |= {
        "pairs_measured": 0,
        "pair_tvd_mean": None,
        "pair_tvd_max": None,
        "pair_noise_tvd_mean": None,
    }
    body["model"]["graph"]["edges"] = []
    shown = page(body)
    assert "No two columns were measured together" in shown.text
    assert "each column was drawn independently of all others" in shown.text
    assert not [a for _, a in shown.tags if a.get("class") in ("map", "graph")]


def test_the_graph_joins_what_was_drawn_together(body: dict[str, Any]) -> None:
    drawn = graph(Manifest(body).record.model.graph)
    edges = body["model"]["graph"]["edges"]
    assert len(drawn.lines) == len(edges)
    assert {node.full for node in drawn.nodes if node.alone} == {"admitted"}
    assert drawn.alone == 1
    assert drawn.strongest[0][2] == max(edge["strength"] for edge in edges)
    assert drawn.lines[-1].opacity == max(line.opacity for line in drawn.lines)
    names = [node.full for node in drawn.nodes]
    assert sorted(names) == sorted(body["model"]["graph"]["order"])
    one, two, _ = drawn.strongest[0]
    assert abs(names.index(one) - names.index(two)) in (1, len(names) - 1)
    left, upper, width, height = drawn.box
    assert all(left < node.x < left + width and upper < node.y < upper + height for node in drawn.nodes)
    assert not drawn.is_wide


def test_sixty_columns_with_all_pairs_are_small(body: dict[str, Any]) -> None:
    declared = {entry["column"]: entry for entry in body["domain"]["attributes"]}
    columns, attributes, names = [], [], [f"column_with_a_name_{place}" for place in range(60)]
    for place, name in enumerate(names):
        column = copy.deepcopy(body["quality"]["columns"][place % 11])
        attributes.append(declared[column["column"]] | {"column": name})
        columns.append(column | {"column": name})
    body["quality"]["columns"], body["domain"]["attributes"] = columns, attributes
    pair = {"cells": 9, "tvd": 0.01, "noise_tvd": 0.01, "noise_tvd_error": 0.001, "measured": 1}
    pairs = [(one, two) for place, two in enumerate(names) for one in names[:place]]
    body["quality"]["cliques"] = [{"columns": [one, two], **pair} for one, two in pairs]
    edges = [{"parent": one, "child": two, "strength": 0.1} for one, two in pairs[:300]]
    body["model"]["graph"] = {"order": names, "edges": edges}
    html = render(Manifest(body))
    assert len(html.encode()) < 1_500_000
    assert "the first 100; all are in the manifest" in html


def column(labels: list[str], noisy: list[float], synthetic: list[float], error: float = 0.01) -> ColumnEntry:
    return ColumnEntry(
        column="c",
        kind="categorical",
        cells=len(labels),
        tvd=0.0,
        noise_tvd=0.0,
        share_error=error,
        out_of_domain=0.0,
        out_of_domain_error=0.0,
        labels=tuple(labels),
        noisy=tuple(noisy),
        synthetic=tuple(synthetic),
    )


def categories(other: str | None) -> AttributeEntry:
    return AttributeEntry("c", "categorical", False, other=other)


def test_long_lists_are_folded_and_nothing_is_lost() -> None:
    labels = [f"v{place}" for place in range(30)]
    noisy = [(30 - place) / 500 for place in range(30)]
    plot = bar_list(
        column([*labels, "(other)", "(missing)"], [*noisy, 0.05, 0.02], [*noisy, 0.05, 0.02]), categories("O")
    )
    assert [share.label for share in plot.shares[-3:]] == ["23 further values", "other", "missing"]
    assert len(plot.shares) == MAX_LISTED + 3
    assert sum(share.noisy for share in plot.shares) == pytest.approx(1)
    assert plot.shares[-3].error == pytest.approx(0.01 * 23**0.5)
    assert all(0 <= plot.along(share.high) <= 100 for share in plot.shares)


def test_a_declared_value_called_missing_stays_a_value() -> None:
    plot = bar_list(column(["(missing)", "(other)", "(missing)"], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]), categories(None))
    assert [share.special for share in plot.shares] == [False, False, True]


def test_many_bins_are_drawn_together() -> None:
    bins = 1000
    values = [1 / (bins + 1)] * (bins + 1)
    plot = histogram(column([str(place) for place in range(bins)] + ["(missing)"], values, values), "999")
    assert plot.merged == 21
    assert len(plot.shares) <= MAX_BARS + 1
    assert sum(share.synthetic for share in plot.shares) == pytest.approx(1)
    assert [text for _, _, text in plot.ticks] == ["0", "504", "999", "missing"]


def test_drawings_stay_inside_their_box_when_noise_is_all_there_is() -> None:
    plot = histogram(
        column(["0", "1", "(missing)"], [0, 1, 0], [1, 0, 0], 40.0),
        "2",
    )
    levels = [
        float(number) for path in (plot.bars, plot.whiskers, plot.steps) for number in re.findall(r"V([-\d.]+)", path)
    ]
    assert all(0 <= level <= HEIGHT for level in levels)


def test_labels_are_shortened_by_their_width() -> None:
    assert shorten("short") == "short"
    assert shorten("x" * 26) == "x" * 26
    assert shorten("x" * 27).endswith("…")
    assert len(shorten("診" * 30)) == 13


def keys_of(value: Any, path: str = "") -> set[str]:
    """Paths of the leaves, `[]` for the entries of a list."""
    if isinstance(value, dict):
        return set().union(*(keys_of(inner, f"{path}.{name}" if path else name) for name, inner in value.items()))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(keys_of(inner, f"{path}[]") for inner in value))
    return {path}


def test_every_key_of_the_manifest_is_documented(body: dict[str, Any]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE))
    body["forecast"] = {"*": 0.1}
    body["domain"]["attributes"][0]["after"] = "*"
    body["approvals"][0]["key_id"] = "00112233aabbccdd"
    body["request"]["readable_until"] = "2027-11-30"
    body["sampling"]["where"] = {"*": {"*": "1"}}
    assert keys_of(body) == documented


def test_the_last_day_is_shown_where_there_is_one(body: dict[str, Any]) -> None:
    before = render(Manifest(body))
    assert "May be read until" not in before
    body["request"]["readable_until"] = "2027-11-30"
    assert "May be read until</dt><dd>2027-11-30" in render(Manifest(body))
