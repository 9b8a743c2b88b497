"""The layer rule, enforced: who may import whom, the size and shape of files, and that tests use public names.

Imports are read from the syntax trees, so that those inside functions and under TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.layer_plants import GOOD, PLANTED

ROOT = Path(__file__).parents[1]
PACKAGE = "omnia_beam"
MAX_LINES = 400
MAX_MODULES = 25

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
    "spnego": {"net"},
    "aiohttp": {"emulator"},
    "jinja2": {"pipelines"},
    "rich": {"beam", "mapping", "pipelines", "cli"},
    "pydantic": {"config", "net", "io", "pipelines"},
    "obstore": {"store"},
    "psycopg": {"io"},
    "adbc_driver_postgresql": {"io"},
    "yaml": {"config", "pipelines", "cli"},
}
"""Libraries that belong to some layers alone."""

KIND_TABLE = "omnia_beam/io/kinds.py"
"""The one module outside of the folders below `io/` that knows what kinds there are."""

PRIVATE_BY_CUSTOM = {"_replace", "_repr_html_", "_exit"}
"""Names that begin with an underscore and are public: of named tuples, of notebooks, of `os`."""

PRIVATE_ALLOWED: dict[str, set[str]] = {
    # A process that dies: what its writer has not flushed, and its open file, which the kernel closes.
    "tests/ledger/test_machine.py": {"_waiting", "_file", "_give_part_up"},
    # A simulated clock beats the heart of a lease, and no thread.
    "tests/soak/objects/world.py": {"_start_heartbeat"},
    # The moment between two statements of one transaction, in which another writer comes.
    "tests/io/postgresql/test_killed.py": {"_held"},
    # Faults that are planted in the midst of the product, to prove that the simulation sees the harm they do.
    "tests/soak/test_objects_plants.py": {
        "_Acquisition",
        "_check_conditions",
        "_client",
        "_delete",
        "_delete_fenced",
        "_do_put",
        "_header",
        "_is_ours",
        "_landed",
        "_put",
        "_state_dir",
        "_why_free",
    },
    # Other people's private names, where they offer no other way: Beam, argparse, azure-identity, the official SDK.
    "tests/conftest.py": {"_target"},
    "tests/deploy/test_setup_file.py": {"_build_setup_package"},
    "tests/net/auth/test_credentials.py": {"_client_credential", "_credential", "_settings"},
    "tests/soak/forked.py": {"_SHARED_UNBOUNDED_THREAD_POOL_EXECUTOR"},
    "tests/soak/objects/hand_beam.py": {"_MultiParDo", "_NamedPTransform", "_do_transform", "_main_tag"},
    "tests/soak/quick_beam.py": {"_get_formatter"},
    # What holds a password inside of a session: its repr and its pickle are looked at.
    "tests/net/auth/test_ntlm.py": {"_sign_in"},
    # A file that is replaced between its listing and its opening.
    "tests/store/test_changed_source.py": {"_open"},
    # A request with headers that the lake of the tests sends nowhere else.
    "tests/store/test_azurite.py": {"_send"},
    # A fault in the simulated store itself.
    "tests/soak/test_objects.py": {"_do_put"},
    **{
        path: {"_base_url"}
        for path in (
            "benchmarks/sdk_loop.py",
            "tests/emulator/omnia/sdk_contract.py",
            "tests/emulator/omnia/sdk_listing.py",
            "tests/net/api/sdk_read.py",
        )
    },
}
"""What tests and benchmarks reach for although it is private, and why: everything else goes through public names."""

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
    found += [*check_folders(root, modules), *check_circles(root, modules, known)]
    for path in others:
        if not is_generated(path):
            tree, place = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(root).as_posix()
            found += (f"{place}:{line}" for line in check_private_names(tree, PRIVATE_ALLOWED.get(place, set())))
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


def check_private_names(tree: ast.Module, allowed: set[str]) -> Iterator[str]:
    """Where a file takes hold of private names that are not its own: by import, attribute, or a text to patch."""
    own = allowed | PRIVATE_BY_CUSTOM
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            own.add(node.attr)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in {"self", "cls"}:
            names = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"setattr", "getattr", "delattr"}:
            texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            names = [str(each).split(".")[-1] for each in texts]
        for name in names:
            if re.match(r"_(?!_)", name) and name not in own:
                yield (
                    f"{node.lineno}: reaches for {name}, which is private: test what the public names do, or make it public"
                )


def check_folders(root: Path, modules: Sequence[Path]) -> Iterator[str]:
    for folder, count in Counter(path.parent for path in modules).items():
        if count > MAX_MODULES:
            place = folder.relative_to(root).as_posix()
            yield f"{place}:1: {count} modules; past {MAX_MODULES} nobody finds one: merge small ones, or make a folder"


def check_circles(root: Path, modules: Sequence[Path], known: set[str]) -> Iterator[str]:
    """A circle of imports, also of such inside functions: neither module can be read, or moved, without the other."""
    graph = {}
    for path in modules:
        place = path.relative_to(root)
        if place.as_posix() not in EXEMPT and not is_generated(path):
            targets = imported(ast.parse(path.read_text(encoding="utf-8")), place, known)
            graph[module_name(place)] = {each for _, each in targets if each.startswith(f"{PACKAGE}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
        yield f"{PACKAGE}:1: a circle of imports: {' < '.join(circle)}: move what both need into one below"


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


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_good_tree_has_no_violation(tmp_path: Path) -> None:
    assert find_violations(plant(tmp_path, GOOD)) == []


def test_a_folder_of_too_many_modules_is_found(tmp_path: Path) -> None:
    many = {f"omnia_beam/net/a{i}.py": '"""x."""\n' for i in range(MAX_MODULES)}
    found = find_violations(plant(tmp_path, GOOD | many))
    assert found == ["omnia_beam/net:1: 26 modules; past 25 nobody finds one: merge small ones, or make a folder"]


@pytest.mark.parametrize("inner", ["", "def _f():\n    "])
def test_a_circle_is_found(tmp_path: Path, inner: str) -> None:
    back = {"omnia_beam/emulator/store.py": f'"""x."""\n{inner}from omnia_beam.emulator.app import App\n'}
    found = find_violations(plant(tmp_path, GOOD | back))
    assert len(found) == 1
    assert "a circle of imports" in found[0]
    assert "omnia_beam.emulator.store" in found[0]


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, case: str) -> None:
    name, text, expected = PLANTED[case]
    found = find_violations(plant(tmp_path, GOOD | {name: text}))
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}:")
    assert expected in found[0]
