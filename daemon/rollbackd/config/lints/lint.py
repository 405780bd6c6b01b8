"""What a lint is, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rollbackd.config.lints.tree import Tree, tree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from rollbackd.config.models.plans import PlanModel
    from rollbackd.config.models.triggers import ConditionModel
    from rollbackd.config.triggers import ReadTrigger
    from rollbackd.config.yaml_source import Loc
    from rollbackd.core.model import Action, Trigger

Role = Literal["expr", "errors", "total", "traffic"]
Needs = Literal["file", "set", "prometheus"]
"""What a lint must see to find all that it can: the file alone, the whole configuration, a Prometheus."""


class Finding(NamedTuple):
    """`remedy`: in place of the lint's own."""

    loc: Loc
    what: str
    remedy: str = ""


class Asked(NamedTuple):
    """An expression of a condition. `condition` is the leaf that it belongs to."""

    loc: Loc
    role: Role
    text: str
    condition: ConditionModel
    within: Watched
    tree: Tree

    @property
    def per(self) -> list[str]:
        return self.within.read.model.per


@dataclass(frozen=True)
class Watched:
    """A sound trigger with what is around it. `plan`: None where it is not among the files. `tested`: the
    triggers that the tests beside the file name; None where there are none."""

    read: ReadTrigger
    trigger: Trigger
    plan: PlanModel | None
    max_action: Action
    tested: frozenset[str] | None
    since: date | None  # what the file says of how long it has been in shadow
    today: date

    @cached_property
    def leaves(self) -> list[tuple[Loc, ConditionModel]]:
        return list(leaves(self.read))

    @cached_property
    def asked(self) -> list[Asked]:
        return [
            Asked((*at, *keys), role, text, leaf, self, tree(text))
            for at, leaf in self.leaves
            for role, keys, text in expressions(leaf)
        ]


def leaves(read: ReadTrigger) -> Iterator[tuple[Loc, ConditionModel]]:
    """Its conditions that are not composed of others, that of `recovered` included, and where they stand."""
    yield from read.model.leaves(read.loc)
    if read.model.recovered is not None:
        yield from read.model.recovered.leaves((*read.loc, "recovered"))


def expressions(model: ConditionModel) -> Iterator[tuple[Role, tuple[str, ...], str]]:
    """The queries of a leaf that yield a value for each subject, and under which keys they stand."""
    if model.expr is not None:
        yield "expr", ("expr",), model.expr
    if model.ratio is not None:
        yield "errors", ("ratio", "errors"), model.ratio.errors
        yield "total", ("ratio", "total"), model.ratio.total
    if model.traffic is not None:
        yield "traffic", ("traffic", "expr"), model.traffic.expr


Find: TypeAlias = Callable[[Watched], "Iterable[Finding]"]
FindIn: TypeAlias = Callable[[Asked], "Iterable[str]"]


@dataclass(frozen=True, slots=True)
class Lint:
    """`means`: what it sees, in a line. `reason`: why that bites. `bad` and `good`: keys of a trigger, where
    YAML alone can show it. `find`: None where something else sees it, and notes it by the lint's ID."""

    id: str
    means: str
    reason: str
    remedy: str
    rule: str = ""
    bad: str = ""
    good: str = ""
    needs: Needs = "file"
    find: Find | None = None


def in_expressions(find: FindIn) -> Find:
    """A lint of each expression by itself, from a function that yields what is wrong with it."""

    def found(watched: Watched) -> Iterator[Finding]:
        for asked in watched.asked:
            for what in find(asked):
                yield Finding(asked.loc, what)

    return found
