"""The mutants of one module: mutmut's operators, and a name for each that moving lines does not change."""

from __future__ import annotations
import __future__

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from types import CodeType
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "daemon/rollbackd/core"

UNTOUCHED = {"len", "isinstance", "assert_never", "cast", "TypeVar"}
"""Calls that only a type checker, or nothing, tells from their mutants."""

Key = tuple[str, str, str, str, int]


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change. `was` and `now` are the source lines that differ, without indentation."""

    path: Path
    function: str  # "" where it is no function's code: constants, defaults, class bodies
    was: str
    now: str
    nth: int  # among equal ones of the function
    lines: range
    code: CodeType  # of the statement of the module it is in
    source: str  # the whole module's, where it is no function's

    @property
    def module(self) -> str:
        return module_of(self.path)

    @property
    def key(self) -> Key:
        return self.module, self.function, self.was, self.now, self.nth


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(CORE).with_suffix("").parts)


def mutants(path: Path, every: int = 1) -> Iterator[Mutant]:
    """The mutants that compile to something else, in the order of the source; each `every`th change."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
    module = wrapper.module
    visitor = _Visitor()
    wrapper.visit(visitor)
    seen = Counter[tuple[str, str, str]]()
    number = 0
    for place, statement in enumerate(module.body):
        before = _source([statement])
        original = _compiled(before, path)
        for function, lines, node, changed in visitor.found[id(statement)]:
            number += 1
            if number % every:
                continue
            mutated: Any = statement.deep_replace(node, changed)
            after = _source([mutated])
            code = _compiled(after, path)
            if code is None or original is None or code == original:
                continue
            name = function if function and code_of(code, function) != code_of(original, function) else ""
            was, now = _difference(before, after)
            seen[name, was, now] += 1
            whole = "" if name else _source([*module.body[:place], mutated, *module.body[place + 1 :]])
            yield Mutant(path, name, was, now, seen[name, was, now], lines, code, whole)


def _source(statements: Sequence[Any]) -> str:
    return str(cst.Module(statements).code)


def _compiled(source: str, path: Path) -> CodeType | None:
    try:
        code = compile(source, str(path), "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    except SyntaxError:
        return None
    return code if isinstance(code, CodeType) else None


def code_of(code: CodeType, function: str) -> CodeType:
    """The code of a top-level function or method, by its qualified name."""
    for part in function.split("."):
        code = next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == part)
    return code


def _difference(was: str, now: str) -> tuple[str, str]:
    before, after = was.splitlines(), now.splitlines()
    edits = [op for op in SequenceMatcher(None, before, after, False).get_opcodes() if op[0] != "equal"]
    low, high = edits[0], edits[-1]
    return _text(before[low[1] : high[2]]), _text(after[low[3] : high[4]])


def _text(lines: Sequence[str]) -> str:
    return "\n".join(line.strip() for line in lines)


Change = tuple[str, range, cst.CSTNode, cst.CSTNode]
"""The outermost function, its lines, and which node becomes which."""


class _Visitor(cst.CSTVisitor):  # type: ignore[misc]
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, list[Change]] = {}  # id of the module's statement → its changes
        self._statement: list[Change] = []
        self._within: list[str] = []  # classes and functions
        self._function = ""  # the outermost

    def visit_Module(self, node: cst.Module) -> None:
        self.found = {id(statement): [] for statement in node.body}

    def on_visit(self, node: cst.CSTNode) -> bool:
        self._statement = self.found.get(id(node), self._statement)
        if _meaningless(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._within.append(node.name.value)
            if isinstance(node, cst.FunctionDef) and not self._function:
                self._function = ".".join(self._within)
        self._statement += self._changes(node)
        return bool(super().on_visit(node))

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            if self._function == ".".join(self._within):
                self._function = ""
            self._within.pop()

    def _changes(self, node: cst.CSTNode) -> Iterator[Change]:
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for changed in operator(node):
                    place = self.get_metadata(PositionProvider, node)
                    yield self._function, range(place.start.line, place.end.line + 1), node, changed
                    if isinstance(node, cst.SimpleString):
                        break  # one other word will do: the rest differ from it in nothing


def _meaningless(node: cst.CSTNode) -> bool:
    """Annotations, docstrings, imports for the type checker, and messages: texts with a space in them."""
    match node:
        case cst.Annotation() | cst.Decorator():
            return True
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True
        case cst.If(test=cst.Name("TYPE_CHECKING")):
            return True
        case cst.Call(func=cst.Name(name)) if name in UNTOUCHED:
            return True
        case cst.SimpleString(value=text):
            return " " in text
    return False
