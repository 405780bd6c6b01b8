"""YAML that people go on with: values quoted so that every reader of YAML takes them for what they are, and
comments where they belong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from textwrap import indent
from typing import Any

import yaml

from rollbackd.core.notation import visible

VERSION = "version: rollbackd/v1"
# Not only what 1.1 and 1.2 take for numbers, but what a reader may stumble over.
_NUMBER = re.compile(r"[-+.]?[0-9][0-9_.:eExo+-]*|0[xo][0-9a-fA-F]+", re.ASCII)


# Lines that can be indented as they are: no blanks first, and not more than one line break at the end.
_BLOCK = re.compile(r"(?=[^\n]*\n)\S(?:.*\S)?\n?", re.DOTALL)
# Where a comment begins with it, it speaks to rollbackd (`disable …`) or fetches a schema.
_SPEAKS = re.compile(r"(?:^|(?<=#))([ \t]*(?:rollbackd|yaml-language-server)):")
_STR = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Lists of plain values on one line; texts of several lines as blocks; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_STR, value, style=_style(dumper, value))


def _style(dumper: yaml.SafeDumper, value: str) -> str | None:
    if _BLOCK.fullmatch(value) and value.replace("\n", "").isprintable():
        return "|"
    if _is_plain(dumper, value):
        return None
    return "'" if value.isprintable() and ('"' in value or "\\" in value) else '"'


def _resolve(dumper: Any, value: str) -> object:
    return dumper.resolve(yaml.ScalarNode, value, (True, False))  # untyped in the stubs


def _is_plain(dumper: yaml.SafeDumper, value: str) -> bool:
    """Whether it needs no quotes, for any reader."""
    read_as = _resolve(dumper, value)
    free = (
        value.isprintable()
        and bool(value)
        and value[0] not in "<>=!"
        and dumper.analyze_scalar(value).allow_block_plain
    )
    return free and read_as == _STR and not _NUMBER.fullmatch(value)


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.SequenceNode:
    plain = not any(isinstance(each, dict | list) for each in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=plain)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def dump(value: Mapping[str, Any]) -> str:
    """The mapping as YAML in block style, in its own order."""
    made = yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return str(made)


def item(value: Mapping[str, Any], deep: int) -> str:
    """The mapping as one entry of a list whose dashes stand `deep` columns in."""
    return " " * deep + "- " + indent(dump(value), " " * (deep + 2)).lstrip()


def trigger(value: Mapping[str, Any], deep: int, today: date) -> str:
    """The trigger as an entry; where it watches alone, with the day since when, which `check` looks at."""
    own = " " * (deep + 2) + "action: shadow\n"
    return item(value, deep).replace(own, f"{own.rstrip()} # {shadow_since(today)}\n", 1)


def shadow_since(today: date) -> str:
    return f"rollbackd: shadow since {today.isoformat()}"


def comment(lines: Iterable[str], deep: int = 0) -> str:
    """Lines as comments, `deep` columns in. What is no character of YAML's is spelled out, and what others
    wrote to tools stays text."""
    rows = [_SPEAKS.sub(r"\1 :", visible(row, 4000)) for line in lines for row in (line.splitlines() or [""])]
    return "".join(f"{' ' * deep}# {row}".rstrip() + "\n" for row in rows)


def modeline(schema: str) -> str:
    """What has an editor complete and check the file (yaml-language-server and what is built on it)."""
    return f"# yaml-language-server: $schema={schema}\n"
