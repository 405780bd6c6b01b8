"""What composed conditions mean, told from Kleene's tables and by trying out: slow, and sharing nothing with
the core (W10).

In a table a letter is what a part says: B breach, o ok, ? unknown, _ no data, L low traffic; w where its
answer or its sample is still to come.
"""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

from hypothesis import strategies as st

from rollbackd.core.model import NoData

ALL = """\
  B o ? _ L w
B B o ? _ L w
o o o o o o o
? ? o ? ? ? w
_ _ o ? _ _ w
L L o ? _ L w
w w o w w w w
"""
ANY = """\
  B o ? _ L w
B B B B B B B
o B o ? _ L w
? B ? ? ? ? w
_ B _ ? _ _ w
L B L ? _ L w
w B w w w w w
"""


def cells(table: str) -> list[tuple[str, str, str]]:
    head, *rows = (line.split() for line in table.splitlines())
    return [(row[0], column, cell) for row in rows for column, cell in zip(head, row[1:], strict=True)]


TREES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, None, None, *get_args(NoData)]).map(lambda own: ("one", own)),
    lambda inside: st.tuples(st.sampled_from(["all", "any"]), st.lists(inside, min_size=1, max_size=3)),
    max_leaves=6,
)
Leaf = tuple[str, str]  # what it says, and its own no_data


def oracle(tree: Any, leaves: list[Leaf]) -> tuple[str, str]:
    """What it says, and how a missing verdict counts, by trying out all that the missing might have been."""
    fixed = {
        n: own if own in ("breach", "ok") and said in ("no_data", "unknown") else said
        for n, (said, own) in enumerate(leaves)
    }
    missing = [n for n, said in fixed.items() if said not in ("breach", "ok")]

    def outcome(assumed: dict[int, str]) -> bool:
        return _true(tree, iter([(fixed | assumed)[n] == "breach" for n in range(len(leaves))]))

    cases = [dict(zip(missing, case, strict=True)) for case in product(["breach", "ok"], repeat=len(missing))]
    outcomes = {outcome(case) for case in cases}
    matter = [
        n for n in missing if any(outcome(case) != outcome({**case, n: _other(case[n])}) for case in cases)
    ]
    if len(outcomes) > 1:
        ranked = [
            said for said in ("waits", "unknown", "no_data", "low_traffic") if said in map(fixed.get, matter)
        ]
        resets = any(leaves[n][1] == "reset" and fixed[n] in ("no_data", "unknown") for n in matter)
        return ranked[0], "reset" if resets and ranked[0] != "waits" else ""
    (true,) = outcomes
    decided = "breach" if true else "ok"
    if any(said in ("breach", "ok") for said, _ in leaves):
        return decided, ""
    return "unknown" if "unknown" in dict(leaves) else "no_data", decided


def _other(said: str) -> str:
    return "ok" if said == "breach" else "breach"


def _true(tree: Any, leaves: Any) -> bool:
    how, inside = tree
    if how == "one":
        return bool(next(leaves))
    return (all if how == "all" else any)([_true(each, leaves) for each in inside])


def owns(tree: Any) -> list[str]:
    how, inside = tree
    return [inside or ""] if how == "one" else [own for each in inside for own in owns(each)]
