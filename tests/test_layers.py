"""The layer rule, enforced: who may import whom, and the size and shape of files.

Imports are read from the syntax trees, so that those inside functions and under TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "omnia_beam"
MAX_LINES = 400

ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "wire": {"core"},
    "store": {"core"},
    "config": {"core", "store"},
    "net": {"core", "wire", "config"},
    "ledger": {"core", "store"},
    "plan": {"core", "store", "ledger"},
    "transforms": {"core", "wire"},
    "beam": {"core", "wire", "store", "config", "net", "ledger", "plan", "transforms"},
    "io": {"core", "wire", "store", "config", "net", "ledger", "plan", "transforms", "beam"},
    "mapping": {"core", "store", "config", "net", "ledger", "beam", "io", "transforms"},
    "pipelines": {"core", "wire", "store", "config", "net", "ledger", "plan", "transforms", "beam", "io", "mapping"},
    "emulator": set(),
    "cli": {"core", "config", "beam", "pipelines", "emulator"},
    "__main__": {"cli"},
}
"""The layers that each layer may import, besides itself. What a layer may not import, no module of it imports."""

ALLOWED_MODULES: dict[str, set[str]] = {
    "emulator": {"omnia_beam.core.limits"},
    # Until the models of sources, sinks and jobs, which join the kinds, stand above the net layer.
    "config": {
        "omnia_beam.net.auth.credentials",
        "omnia_beam.net.auth.keys",
        "omnia_beam.net.http.federation",
        "omnia_beam.net.http.options",
    },
}
"""Single modules of another layer. The emulator shares no codec and no planner with what it is there to test."""

OUTSIDE: dict[str, set[str]] = {
    "apache_beam": {"transforms", "beam", "io", "pipelines"},
    "requests": {"net", "emulator"},
    "azure": {"net"},
    "aiohttp": {"emulator"},
    "jinja2": {"pipelines"},
    "rich": {"beam", "mapping", "pipelines", "cli"},
    "pydantic": {"config", "net", "io", "pipelines"},
    "obstore": {"store"},
    "yaml": {"config", "pipelines", "cli"},
}
"""Libraries that belong to some layers alone."""

KIND_TABLE = "omnia_beam/io/kinds.py"
"""The one module outside of the folders below `io/` that knows what kinds there are."""

EXEMPT = {"omnia_beam/__init__.py"}  # its table of lazily loaded names reaches into every layer, that is its purpose


def find_violations(root: Path) -> list[str]:
    """Everything in the tree under `root` that breaks a rule, one line each: `path:line: what, and the cure`."""
    modules = sorted((root / PACKAGE).rglob("*.py"))
    kinds = Kinds.of(root)
    others = [path for folder in ("tests", "benchmarks") for path in sorted((root / folder).rglob("*.py"))]
    known = {
        module_name(place) for path in modules for place in [path.relative_to(root), path.relative_to(root).parent]
    }
    found = [line for path in [*modules, *others] for line in check_file(path, path.relative_to(root).as_posix())]
    for path in modules:
        place = path.relative_to(root)
        if is_generated(path):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), place.as_posix())
        found += (f"{place.as_posix()}:{line}" for line in check_docstrings(tree))
        if place.as_posix() not in EXEMPT:
            found += (f"{place.as_posix()}:{line}" for line in check_imports(tree, place, known))
            found += (f"{place.as_posix()}:{line}" for line in check_kinds(tree, place, known, kinds))
    return found


@dataclass(frozen=True)
class Kinds:
    """The kinds of a tree: the folders below `io/`, the classes of their options, and the names in the table."""

    folders: set[str]
    classes: set[str]
    names: set[str]

    @classmethod
    def of(cls, root: Path) -> Kinds:
        options = sorted((root / PACKAGE / "io").glob("*/options.py"))
        trees = [ast.parse(path.read_text(encoding="utf-8")) for path in options]
        classes = {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
        table = root / KIND_TABLE
        keys = ast.walk(ast.parse(table.read_text(encoding="utf-8"))) if table.exists() else []
        names = {
            key.value
            for node in keys
            if isinstance(node, ast.Dict)
            for key in node.keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
        return cls({path.parent.name for path in options}, classes, names)


def check_kinds(tree: ast.Module, place: Path, known: set[str], kinds: Kinds) -> Iterator[str]:
    """What a module that is neither the table of kinds nor below a kind's folder knows of a kind."""
    if place.as_posix() == KIND_TABLE or (place.parts[1:2] == ("io",) and place.parts[2] in kinds.folders):
        return
    cure = "go through the protocols of omnia_beam.io.base"
    for line, target in imported(tree, place, known):
        if target.startswith(f"{PACKAGE}.io.") and target.split(".")[2] in kinds.folders:
            yield f"{line}: imports {target}, which belongs to one kind: {cure}"
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in kinds.classes:
            yield f"{node.lineno}: names {name}, which belongs to one kind: {cure}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            if re.search(r"(Source|Sink)\b", ast.unparse(node)):
                yield f"{node.lineno}: asks of which kind an end is: {cure}"
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            words = {each.value for side in sides for each in ast.walk(side) if isinstance(each, ast.Constant)}
            about = any(ast.unparse(side).split(".")[-1] == "kind" for side in sides)
            if about and words & kinds.names:
                yield f"{node.lineno}: asks for the kind {min(words & kinds.names)}: {cure}"


def check_file(path: Path, place: str) -> Iterator[str]:
    if path.stem in {"utils", "util", "helpers", "common", "misc"}:
        yield f"{place}:1: a file is named after its one noun, not {path.name}"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MAX_LINES and not is_generated(path):
        yield f"{place}:{lines}: {lines} lines; past {MAX_LINES} it is more than one noun: split it"


def check_docstrings(tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "1: the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            # An overload's words stand at the implementation.
            overload = any("overload" in ast.unparse(each) for each in node.decorator_list)
            if not overload and not ast.get_docstring(node):
                yield f"{node.lineno}: {node.name} is public and has no docstring"


def check_imports(tree: ast.Module, place: Path, known: set[str]) -> Iterator[str]:
    layer = layer_of(module_name(place))
    if layer not in ALLOWED:
        yield f"1: no layer is called {layer!r}: put it into one of {', '.join(ALLOWED)}"
        return
    for line, target in imported(tree, place, known):
        top = target.partition(".")[0]
        if top != PACKAGE:
            if layer not in OUTSIDE.get(top, {layer}):
                yield f"{line}: {layer} imports {top}, which belongs to {', '.join(sorted(OUTSIDE[top]))} alone"
        elif target == PACKAGE:
            yield (
                f"{line}: {layer} imports {PACKAGE} itself, whose table reaches every layer: import from the module that "
                f"defines the name (for the version: from {PACKAGE} import __version__)"
            )
        elif layer_of(target) not in {layer, *ALLOWED[layer]} and target not in ALLOWED_MODULES.get(layer, set()):
            allowed = sorted(ALLOWED[layer] | ALLOWED_MODULES.get(layer, set())) or ["nothing of the package"]
            yield f"{line}: {layer} imports {target}; it may import {', '.join(allowed)}"


def imported(tree: ast.Module, place: Path, known: set[str]) -> Iterator[tuple[int, str]]:
    """(line, absolute module) of each import; `from package import submodule` names the submodule."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, place)
            for alias in node.names:
                if base == PACKAGE and alias.name == "__version__":
                    continue  # the one thing that only the front door has
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if inner in known else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            # A computed name cannot be judged, so only the front door may import by one.
            name = node.args[0] if node.args else None
            yield node.lineno, str(name.value) if isinstance(name, ast.Constant) else PACKAGE


def absolute(node: ast.ImportFrom, place: Path) -> str:
    if not node.level:
        return node.module or ""
    parents = place.with_suffix("").parts[: -node.level]
    return ".".join([*parents, *([node.module] if node.module else [])])


def module_name(place: Path) -> str:
    parts = place.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    return [*module.split("."), ""][1]


def is_generated(path: Path) -> bool:
    return path.stem.endswith("_pb2")


def test_the_tree_keeps_the_rules() -> None:
    found = find_violations(ROOT)
    assert not found, "\n".join(["", *found])


# The rules themselves, on trees with one planted violation each.

GOOD = {
    "omnia_beam/__init__.py": '"""x."""\nfrom omnia_beam.io.read import Read\n',
    "omnia_beam/core/__init__.py": '"""x."""\n',
    "omnia_beam/core/limits.py": '"""x."""\nimport numpy\n_A = 1\ndef _private(): ...\n',
    "omnia_beam/core/chunk.py": '"""x."""\nfrom . import limits\nfrom .limits import GOOD\n',
    "omnia_beam/wire/big_pb2.py": "import omnia_beam.net.client\n" + "\n" * 500,
    "omnia_beam/net/client.py": '"""x."""\nimport requests\nfrom omnia_beam import __version__\n',
    "omnia_beam/io/read.py": '"""x."""\nimport apache_beam as beam\nfrom omnia_beam.net import client\n'
    'class Read:\n    """x."""\n    def process(self): ...\n',
    "omnia_beam/io/kinds.py": '"""x."""\nfrom omnia_beam.io.lake.options import LakeSink\nKINDS = {"lake": LakeSink}\n',
    "omnia_beam/io/lake/__init__.py": '"""x."""\n',
    "omnia_beam/io/lake/options.py": '"""x."""\nclass LakeSink:\n    """x."""\n',
    "omnia_beam/io/lake/sink.py": '"""x."""\nfrom omnia_beam.io.lake.options import LakeSink\n_A = isinstance(1, LakeSink)\n',
    "omnia_beam/emulator/app.py": '"""x."""\nimport aiohttp\nfrom omnia_beam.core import limits\n'
    "from omnia_beam.core.limits import GOOD\nfrom omnia_beam.emulator.store import Store\n",
    "omnia_beam/emulator/store.py": '"""x."""\n',
    "omnia_beam/cli.py": '"""x."""\nfrom omnia_beam.pipelines import backfill\nfrom omnia_beam.emulator import app\n',
    "omnia_beam/pipelines/backfill.py": '"""x."""\nfrom omnia_beam.config.model import Config\n',
    "omnia_beam/config/model.py": '"""x."""\nimport yaml\nfrom omnia_beam.core.errors import UsageError\n',
    "tests/core/test_chunk.py": "import omnia_beam.cli\n",
}

PLANTED = {
    "upward": (
        "omnia_beam/core/a.py",
        '"""x."""\nfrom omnia_beam.wire.page import Page\n',
        "core imports omnia_beam.wire.page",
    ),
    "upward by import": (
        "omnia_beam/wire/a.py",
        '"""x."""\nimport omnia_beam.net.client as c\n',
        "wire imports omnia_beam.net",
    ),
    "upward by package": (
        "omnia_beam/wire/a.py",
        '"""x."""\nfrom omnia_beam import net\n',
        "wire imports omnia_beam.net",
    ),
    "upward, relative": (
        "omnia_beam/net/a.py",
        '"""x."""\nfrom ..io.read import Read\n',
        "net imports omnia_beam.io.read",
    ),
    "upward, relative module": (
        "omnia_beam/net/a.py",
        '"""x."""\nfrom ..io import read\n',
        "net imports omnia_beam.io.read",
    ),
    "upward, relative from __init__": (
        "omnia_beam/net/__init__.py",
        '"""x."""\nfrom ..io import read\n',
        "net imports omnia_beam.io",
    ),
    "upward, nested": ("omnia_beam/net/b/a.py", '"""x."""\nfrom ...io import read\n', "net imports omnia_beam.io.read"),
    "sideways": (
        "omnia_beam/transforms/a.py",
        '"""x."""\nfrom omnia_beam.io.read import Read\n',
        "transforms imports omnia_beam.io",
    ),
    "config sideways": (
        "omnia_beam/config/a.py",
        '"""x."""\nimport omnia_beam.net.client\n',
        "config imports omnia_beam.net",
    ),
    "pipelines to emulator": (
        "omnia_beam/pipelines/a.py",
        '"""x."""\nimport omnia_beam.emulator.app\n',
        "pipelines imports omnia_beam.emulator",
    ),
    "cli from below": (
        "omnia_beam/pipelines/a.py",
        '"""x."""\nfrom omnia_beam import cli\n',
        "pipelines imports omnia_beam.cli",
    ),
    "emulator to core": (
        "omnia_beam/emulator/a.py",
        '"""x."""\nfrom omnia_beam.core.chunk import Chunk\n',
        "may import omnia_beam.core.limits",
    ),
    "emulator to wire": (
        "omnia_beam/emulator/a.py",
        '"""x."""\nimport omnia_beam.wire.big_pb2\n',
        "emulator imports omnia_beam.wire",
    ),
    "in a function": (
        "omnia_beam/core/a.py",
        '"""x."""\ndef _f():\n    import omnia_beam.net.client\n',
        ":3: core imports",
    ),
    "for types only": (
        "omnia_beam/core/a.py",
        '"""x."""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from omnia_beam.net.client import C\n',
        ":4: core imports",
    ),
    "by name": (
        "omnia_beam/core/a.py",
        '"""x."""\nimport importlib\nimportlib.import_module("omnia_beam.net.client")\n',
        "core imports omnia_beam.net",
    ),
    "by computed name": (
        "omnia_beam/core/a.py",
        '"""x."""\ndef _f(n):\n    __import__(n)\n',
        "imports omnia_beam itself",
    ),
    "imports omnia_beam itself": (
        "omnia_beam/io/a.py",
        '"""x."""\nfrom omnia_beam import Chunk\n',
        "imports omnia_beam itself",
    ),
    "Beam below its layers": (
        "omnia_beam/net/a.py",
        '"""x."""\nfrom apache_beam import coders\n',
        "net imports apache_beam",
    ),
    "I/O in transforms": (
        "omnia_beam/transforms/a.py",
        '"""x."""\nimport requests.adapters\n',
        "transforms imports requests",
    ),
    "a kind in the engine": (
        "omnia_beam/pipelines/a.py",
        '"""x."""\nfrom omnia_beam.io.lake import sink\n',
        "imports omnia_beam.io.lake.sink, which belongs to one kind",
    ),
    "a kind beside its folder": (
        "omnia_beam/io/a.py",
        '"""x."""\ndef _f():\n    from ..io.lake.sink import x\n',
        ":3: imports omnia_beam.io.lake.sink, which belongs to one kind",
    ),
    "a kind's class by another way": (
        "omnia_beam/cli/a.py",
        '"""x."""\nfrom omnia_beam.pipelines import backfill\n_A = backfill.LakeSink\n',
        ":3: names LakeSink, which belongs to one kind",
    ),
    "the kind of an object": (
        "omnia_beam/pipelines/a.py",
        '"""x."""\ndef _f(sink, ThatSink):\n    return isinstance(sink, ThatSink)\n',
        ":3: asks of which kind an end is",
    ),
    "the name of a kind": (
        "omnia_beam/pipelines/a.py",
        '"""x."""\ndef _f(sink):\n    return sink.kind in ("lake", "river")\n',
        ":3: asks for the kind lake",
    ),
    "unknown layer": ("omnia_beam/extras/a.py", '"""x."""\n', "no layer is called 'extras'"),
    "utils": ("omnia_beam/net/utils.py", '"""x."""\n', "not utils.py"),
    "utils in tests": ("tests/utils.py", "", "not utils.py"),
    "too long": ("omnia_beam/net/a.py", '"""x."""\n' + "\n" * 400, "401 lines"),
    "too long a test": ("tests/net/test_a.py", "\n" * 401, "401 lines"),
    "module without words": ("omnia_beam/net/a.py", "_A = 1\n", "the module has no docstring"),
    "empty __init__": ("omnia_beam/net/__init__.py", "", "the module has no docstring"),
    "class without words": ("omnia_beam/net/a.py", '"""x."""\nclass Client: ...\n', ":2: Client is public"),
    "function without words": ("omnia_beam/net/a.py", '"""x."""\nasync def fetch(): ...\n', ":2: fetch is public"),
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_good_tree_has_no_violation(tmp_path: Path) -> None:
    assert find_violations(plant(tmp_path, GOOD)) == []


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, case: str) -> None:
    name, text, expected = PLANTED[case]
    found = find_violations(plant(tmp_path, GOOD | {name: text}))
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}:")
    assert expected in found[0]
