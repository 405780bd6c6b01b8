"""How the auditor reads composed conditions: by Kleene's tables, and as the core's own oracle does (W10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.kleene import ALL, ANY, TREES, cells, oracle, owns

from rollbackd.sim.audit.reading import Reading, weigh

LETTERS = {"B": "breach", "o": "ok", "?": "unknown", "_": "no_data", "L": "low_traffic", "w": ""}


def document(tree: Any) -> dict[str, Any]:
    how, inside = tree
    if how == "one":
        return {"how": "one", "parts": [], "no_data": inside}
    return {"how": how, "parts": [document(each) for each in inside], "no_data": None}


@pytest.mark.parametrize(("how", "table"), [("all", ALL), ("any", ANY)])
def test_kleenes_tables(how: str, table: str) -> None:
    condition = document((how, [("one", None), ("one", None)]))
    for one, other, cell in cells(table):
        said = weigh(condition, [Reading(LETTERS[one]), Reading(LETTERS[other])])
        assert (said.verdict, said.counts) == (LETTERS[cell], ""), (one, other)


@given(TREES.filter(lambda tree: tree[0] != "one"), st.data())
def test_it_weighs_as_the_oracle_says(tree: Any, data: st.DataObject) -> None:
    own = owns(tree)
    said = [data.draw(st.sampled_from(sorted(LETTERS.values()))) for _ in own]
    verdict, counts = oracle(tree, list(zip([one or "waits" for one in said], own, strict=True)))
    weighed = weigh(document(tree), [Reading(one) for one in said])
    assert (weighed.verdict or "waits", weighed.counts) == (verdict, counts)
