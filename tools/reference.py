"""Write the reference pages of site, policy, request and domain from the dataclasses that bind them.

    python tools/reference.py            # writes docs/reference/*.md
    python tools/reference.py --check    # fails when a page is not up to date

The meaning of a key is its `doc` in the code. Its example stands in the code too (`example`), or is the
shortest one in `conf/` that is not the default.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from synthward.config.canonical import canonical_json
from synthward.config.nodes import Mapping, Node, Scalar, Sequence, parse
from synthward.config.shapes import (
    DictShape,
    ListShape,
    LiteralShape,
    Member,
    OptionalShape,
    RecordShape,
    RowShape,
    ScalarShape,
    Shape,
    VariantShape,
    members,
    shape_of,
)
from synthward.run.documents import KINDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
LONGEST_EXAMPLE = 90
KIND_OF_FOLDER = {"requests": "request", "domains": "domain", "populations": "population", "risks": "risk"}
SCALARS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Decimal": "number"}

Examples = dict[tuple[str, str], list[str]]


def example_files() -> Iterator[tuple[str, Path]]:
    """The configuration files of this repository, each with the name of its document."""
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        kind = KIND_OF_FOLDER.get(path.parent.name, path.stem)
        if kind in KINDS:
            yield kind, path


def collect(shape: Shape, node: Node, found: Examples) -> None:
    """Gather what a file says for each key of each class."""
    if isinstance(shape, OptionalShape):
        collect(shape.inner, node, found)
    elif isinstance(shape, ListShape) and isinstance(node, Sequence):
        for item in node.items:
            collect(shape.item, item, found)
    elif isinstance(shape, DictShape) and isinstance(node, Mapping):
        for _, value in node.entries.values():
            collect(shape.value, value, found)
    elif isinstance(shape, VariantShape) and isinstance(node, Mapping) and "type" in node.entries:
        tag = node.entries["type"][1]
        for name, cls in shape.variants:
            if isinstance(tag, Scalar) and tag.text == name:
                collect(RecordShape(cls), node, found)
    elif isinstance(shape, RecordShape) and isinstance(node, Mapping):
        for member in members(shape.cls):
            if member.name in node.entries:
                value = node.entries[member.name][1]
                found.setdefault((shape.cls.__name__, member.name), []).append(flow(value))
                collect(member.shape, value, found)


def flow(node: Node) -> str:
    """A value on one line, as YAML allows it."""
    if isinstance(node, Scalar):
        plain = node.plain or re.fullmatch(r"[A-Za-z][\w ./-]*", node.text)
        return node.text if plain else '"' + node.text.replace('"', '\\"') + '"'
    if isinstance(node, Sequence):
        return "[" + ", ".join(flow(item) for item in node.items) + "]"
    return "{" + ", ".join(f"{name}: {flow(value)}" for name, (_, value) in node.entries.items()) + "}"


def type_of(shape: Shape, member: Member) -> str:
    """What a key may hold, in words; classes are links to their section."""
    if isinstance(shape, OptionalShape):
        return type_of(shape.inner, member) + ", or null"
    if isinstance(shape, ScalarShape):
        return limited(SCALARS.get(shape.kind.__name__, shape.kind.__name__), member)
    if isinstance(shape, LiteralShape):
        return "one of " + ", ".join(f"`{value}`" for value in shape.values)
    if isinstance(shape, ListShape):
        return "list of: " + type_of(shape.item, member)
    if isinstance(shape, RowShape):
        return "list of " + " and ".join(type_of(item, member) for item in shape.items)
    if isinstance(shape, DictShape):
        return "mapping of names to: " + type_of(shape.value, member)
    if isinstance(shape, VariantShape):
        return " or ".join(f"[{tag}](#{tag})" for tag, _ in shape.variants)
    return f"[{title(shape.cls)}](#{title(shape.cls).replace(' ', '-')})"


def limited(words: str, member: Member) -> str:
    """The limits of a scalar behind its type."""
    key = member.key
    if key.choices is not None:
        return "one of " + ", ".join(f"`{choice}`" for choice in key.choices)
    limits = [
        f"{word} {shown(limit)}"
        for word, limit in (("at least", key.minimum), ("above", key.exclusive_minimum), ("at most", key.maximum))
        if limit is not None
    ]
    return f"{words}, {', '.join(limits)}" if limits else words


def shown(limit: float | Decimal) -> str:
    """A limit as people write it."""
    return str(limit) if limit != int(limit) else f"{int(limit):,}"


def title(cls: type) -> str:
    """A class as a heading: `PathStep` is `path step`."""
    tag = getattr(cls, "TAG", None)
    return tag if isinstance(tag, str) else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()


def classes_of(shape: Shape) -> Iterator[type]:
    """The classes of a document, each once, in the order in which a reader meets them."""
    seen: list[type] = []
    waiting = [shape]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, OptionalShape):
            waiting.insert(0, current.inner)
        elif isinstance(current, ListShape):
            waiting.insert(0, current.item)
        elif isinstance(current, DictShape):
            waiting.insert(0, current.value)
        elif isinstance(current, RowShape):
            waiting = [*current.items, *waiting]
        elif isinstance(current, VariantShape):
            waiting = [*(RecordShape(cls) for _, cls in current.variants), *waiting]
        elif isinstance(current, RecordShape) and current.cls not in seen:
            seen.append(current.cls)
            yield current.cls
            waiting += [member.shape for member in members(current.cls)]


def default_of(cls: type, member: Member) -> str:
    """The default as YAML; "required" where there is none."""
    if member.required:
        return "required"
    field = cls.__dataclass_fields__[member.field]
    value = field.default if not callable(field.default_factory) else field.default_factory()
    if value is None:
        return "null"
    if hasattr(value, "__dataclass_fields__"):
        return "its own defaults"
    if isinstance(value, Decimal):
        return f"`{value}`"
    node, _ = parse(canonical_json(value))
    return "empty text" if value == "" else f"`{flow(node)}`" if node is not None else str(value)


def example_of(cls: type, member: Member, found: Examples) -> str:
    """The example in the code; else the shortest one in `conf/` that is not the default; else an allowed value."""
    default = default_of(cls, member).strip("`")
    if member.key.example is not None:
        return f"`{member.name}: {member.key.example}`"
    texts = sorted(
        {text for text in found.get((cls.__name__, member.name), []) if len(text) <= LONGEST_EXAMPLE},
        key=lambda text: (len(text), text),
    )
    telling = [text for text in texts if text not in (default, "[]", "{}")]
    chosen = (telling or texts or [made_up(member.shape, member, default)])[0]
    return f"`{member.name}: {chosen}`" if chosen else type_of(member.shape, member) if is_record(member.shape) else ""


def is_record(shape: Shape) -> bool:
    """Whether a key holds keys of its own, which have examples in their own section."""
    if isinstance(shape, OptionalShape):
        return is_record(shape.inner)
    if isinstance(shape, DictShape):
        return is_record(shape.value)
    if isinstance(shape, ListShape):
        return is_record(shape.item)
    return isinstance(shape, RecordShape | VariantShape)


def made_up(shape: Shape, member: Member, default: str) -> str:
    """An allowed value of a key that no file of `conf/` sets; an empty text where its type does not tell one."""
    if isinstance(shape, OptionalShape):
        return made_up(shape.inner, member, default)
    if isinstance(shape, LiteralShape):
        others = [str(value) for value in shape.values if str(value) != default]
        return (others or [default])[0]
    if isinstance(shape, ScalarShape) and shape.kind is bool:
        return "false" if default == "true" else "true"
    if isinstance(shape, ScalarShape) and shape.kind in (int, float, Decimal) and default not in ("null", "required"):
        return default
    return "" if default in ("null", "required", "its own defaults", "empty text", "[]", "{}") else default


def page(kind: str, found: Examples) -> str:
    """One reference page."""
    cls, heading = KINDS[kind].document, KINDS[kind].title
    lines = [
        f"# {heading}",
        "",
        (
            "Made by `python tools/reference.py` from the code; do not edit. "
            f"For editors: the JSON Schema `lib/synthward/config/schemas/{kind}.json`."
        ),
        "",
    ]
    for part in classes_of(shape_of(cls)):
        lines += [f"## {title(part)}", "", (part.__doc__ or "").strip().splitlines()[0], ""]
        lines += ["| key | holds | default | meaning | example |", "|---|---|---|---|---|"]
        for member in members(part):
            cells = (
                f"`{member.name}`",
                type_of(member.shape, member),
                default_of(part, member),
                member.key.doc,
                example_of(part, member, found),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every page by file name."""
    found: Examples = {}
    for kind, path in example_files():
        node, _ = parse(path.read_text(encoding="utf-8"))
        assert node is not None
        collect(shape_of(KINDS[kind].document), node, found)
    return {f"{kind}.md": page(kind, found) for kind in KINDS}


def stale() -> list[str]:
    """Names of the pages that are missing or not what the code says."""
    texts = pages()
    return [
        name
        for name, text in texts.items()
        if not (PAGES / name).is_file() or (PAGES / name).read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is not up to date")
    if parser.parse_args().check:
        if outdated := stale():
            sys.exit(f"docs/reference: {', '.join(outdated)} not up to date; run: python tools/reference.py")
        return
    PAGES.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
        print(f"wrote docs/reference/{name}")


if __name__ == "__main__":
    main()
