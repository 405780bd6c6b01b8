"""Each planted defect can still be planted (what finds them is `python -m tests.crashes.planted`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.crashes.planting import Plant, broken_source
from tests.crashes.plants import PLANTS


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_its_snippet_stands_in_its_module_once(plant: Plant) -> None:
    spec = find_spec(plant.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    broken = broken_source(plant, source)
    assert broken != source
    compile(broken, spec.origin, "exec")


def test_their_names_differ() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)
