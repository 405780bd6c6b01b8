"""PromQL without a Prometheus: understood, or a ValueError of one line; the coverage it asks is PromQL."""

from __future__ import annotations

from rollbackd.config.promql import MAX_LENGTH, Expression, analyse, coverage


def one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found: Expression | str
    try:
        found = analyse.__wrapped__(text)
    except ValueError as error:
        found = str(error)
    if isinstance(found, str):
        assert found.isprintable(), found
        assert len(found) <= 200
        return
    assert found.longest_range >= 0
    queries = coverage(found, ("cohort",))
    assert sum(map(len, queries)) <= 40 * len(queries) + 2 * MAX_LENGTH
    for query in queries:
        assert analyse.__wrapped__(query).kind == "vector", query
