"""Fill the generated parts of the documentation's site: the commands from the parser, the API from the names of the package.

MkDocs calls `on_page_markdown` for each page (`hooks` of mkdocs.yml).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any

import omnia_beam
from omnia_beam.cli.arguments import build_parser
from omnia_beam.cli.table import COMMANDS

COMMANDS_MARK = "<!-- commands -->"
API_MARK = "<!-- api -->"


def on_page_markdown(markdown: str, **context: Any) -> str:
    """Return a page's text with its generated part in place of the mark."""
    if COMMANDS_MARK in markdown:
        markdown = markdown.replace(COMMANDS_MARK, "\n".join(command_sections()))
    if API_MARK in markdown:
        markdown = markdown.replace(API_MARK, "\n".join(api_sections()))
    return markdown


def command_sections() -> Iterator[str]:
    """Yield a section for each command: what it does, how it is called, its arguments and options."""
    yield from _sections(build_parser(COMMANDS), "omnia-beam", "##")


def _sections(parser: argparse.ArgumentParser, program: str, heading: str) -> Iterator[str]:
    for group in _groups(parser):
        for choice in group._choices_actions:
            name, command, text = choice.dest, group.choices[choice.dest], choice.help or ""
            actions = [each for each in command._actions if each.help != argparse.SUPPRESS and each.dest != "help"]
            places = " ".join(_value(each) for each in actions if not each.option_strings)
            options = " [options]" if any(each.option_strings for each in actions) else ""
            title = f"{program} {name}".removeprefix("omnia-beam ")
            yield f"{heading} {title}\n\n{_as_text(text[:1].upper() + text[1:])}.\n"
            yield f"```console\n$ {program} {name} {places}".rstrip() + f"{options}\n```\n"
            rows = [each for each in actions if not isinstance(each, argparse._SubParsersAction)]
            if rows:
                yield "| argument | what it is |\n|---|---|"
                yield from (f"| {_signature(each)} | {_as_text(_help(each))} |" for each in rows)
                yield ""
            yield from _sections(command, f"{program} {name}", f"{heading}#")


def _groups(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]


def _signature(action: argparse.Action) -> str:
    value = _value(action)
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    return ", ".join(f"`{name}`" for name in names).replace("|", "\\|")


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.metavar is None and action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {"default": action.default, "prog": "omnia-beam"}


def _as_text(text: str) -> str:
    """Return a help text for a cell of a table: options as code, no mark of Markdown or HTML taken for one."""
    escaped = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return re.sub(r"(?<![\w-])(--[a-z-]*)", r"`\1`", escaped)


def api_sections() -> Iterator[str]:
    """Yield a section for each public name, made from its docstring."""
    for name in omnia_beam.__all__:
        yield f"::: {omnia_beam._HOMES[name]}.{name}\n"
