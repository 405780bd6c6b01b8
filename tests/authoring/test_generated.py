"""What is generated from the models is as fresh as they are, and every shipped file names its schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.authoring.test_schema import kind_of

from rollbackd.authoring.generated import generated
from rollbackd.authoring.keys import reachable
from rollbackd.authoring.kinds import KINDS
from rollbackd.authoring.reference import reference
from rollbackd.config.models.base import Model, fields, said

ROOT = Path(__file__).parents[2]
FILES = generated()
SHIPPED = sorted([*ROOT.glob("triggers/*.yml"), *ROOT.glob("plans/*/plan.yml")])
MODELS = list(
    dict.fromkeys(
        model
        for kind in KINDS.values()
        for model in (*reachable(kind.model).values(), *kind.instead.values())
    )
)


@pytest.mark.parametrize("name", FILES)
def test_is_fresh(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name], (
        "run `python -m rollbackd.authoring`, and commit what it wrote"
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_described_and_every_rule_says_what_it_is(model: type[Model]) -> None:
    assert all(info.description for info in model.model_fields.values())
    assert all(said(rule) for rule in model.rules)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_reference_has_a_row_for_every_key(model: type[Model]) -> None:
    rows = "\n".join(f"| `{key}` | " for key in fields(model))
    pattern = re.escape(rows).replace("\\\n", r"[^\n]*\n")
    assert re.search(pattern, reference())


def test_the_references_links_lead_to_its_sections() -> None:
    text = reference()
    headings = re.findall(r"^#{2,3} (.+)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(links) > 20
    assert set(links) <= set(anchors)
    assert [anchor for anchor in links if anchors.count(anchor) > 1] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_file_names_the_schema_of_its_kind(path: Path) -> None:
    match = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
    assert match is not None
    schema = (path.parent / match[1]).resolve()
    assert schema == ROOT / "docs" / "schema" / f"{kind_of(path)}.json"
    assert schema.is_file()
