"""What `help()`, signatures and reprs show: never what stands in the environment of the process that asks."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.leaks import spellings

CANARY = "c4nary/In+The=Env.x7Yq9"
VARIABLES = (
    *("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "IDENTITY_HEADER", "USER_ASSERTION", "OMNIA_KEY"),
    *("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PGPASSWORD", "no_such_variable_of_ours", "OMNIA_BEAM_STATE"),
)

WALK = r'''
import dataclasses, functools, importlib, inspect, pkgutil, pydoc, sys, types
import omnia_beam

def ours(thing):
    return str(getattr(thing, "__module__", "") or "").startswith("omnia_beam")

def parts(thing):
    """What hangs on a thing and may be ours too: members, defaults, what it wraps and closes over."""
    if inspect.ismodule(thing) or inspect.isclass(thing):
        yield from vars(thing).values()
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            yield from (field.default, field.default_factory)
    if isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    if isinstance(thing, property):
        yield thing.fget
    for name in ("__func__", "__wrapped__", "func"):
        if hasattr(thing, name):
            yield getattr(thing, name)
    if inspect.isfunction(thing):
        yield from thing.__defaults__ or ()
        yield from (thing.__kwdefaults__ or {}).values()
        for cell in thing.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:
                pass
        # Functions and lambdas within: their defaults are only made when it runs, but constants show.
        yield from (const for const in thing.__code__.co_consts if isinstance(const, str))
    if isinstance(thing, dict):
        yield from thing.values()
    if isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing

def render(thing):
    yield repr(thing)
    if callable(thing):
        try:
            yield str(inspect.signature(thing))
        except (TypeError, ValueError):
            pass
    if inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing) or isinstance(thing, property):
        yield pydoc.plain(pydoc.render_doc(thing))

waiting = [omnia_beam]
for each in pkgutil.walk_packages(omnia_beam.__path__, "omnia_beam."):
    if not each.name.endswith("__main__"):
        waiting.append(importlib.import_module(each.name))
waiting += [getattr(omnia_beam, name) for name in omnia_beam.__all__]
PLAIN = (dict, list, tuple, set, frozenset, str, functools.partial, property, classmethod, staticmethod)
seen, kept, counts = set(), [], {}
while waiting:
    thing = waiting.pop()
    if id(thing) in seen:
        continue
    seen.add(id(thing))
    kept.append(thing)  # or its id would be given again
    is_ours = ours(thing) if not inspect.ismodule(thing) else thing.__name__.startswith("omnia_beam")
    if not (is_ours or isinstance(thing, PLAIN)) or isinstance(thing, types.GenericAlias):
        if isinstance(thing, (str, bytes, int, float)) or thing is None or inspect.ismodule(thing) or inspect.isclass(thing):
            continue
        print(repr(thing))  # a value of a foreign kind that we hold, such as os.environ: shown, not entered
        continue
    for text in render(thing):
        print(text)
    counts[type(thing).__name__] = counts.get(type(thing).__name__, 0) + 1
    waiting.extend(parts(thing))
print(counts, file=sys.stderr)
assert counts["module"] > 200 and counts["type"] > 300 and counts["function"] > 2000, counts
'''


@functools.cache
def rendered(plant: str = "") -> str:
    """Everything that can be asked of the package, by a Python whose environment holds the canary many times."""
    environ = os.environ | {name: f"{CANARY}-{name}" for name in VARIABLES}
    program = WALK.replace("waiting = [omnia_beam]", f"{plant}\nwaiting = [omnia_beam]")
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=Path(__file__).parents[1], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.long
def test_nothing_of_the_package_shows_the_environment() -> None:
    text = rendered()
    assert "requests_per_second" in text
    assert [each for each in spellings(CANARY) if each.decode() in text] == []
    assert "environ({" not in text
    assert not any(name in text for name in VARIABLES[-2:]), "names of variables that are not ours"


PLANTS = {
    "AZURE_CLIENT_SECRET": "api.open_session.__kwdefaults__ = {'environ': {'planted': VALUE}}",
    "IDENTITY_HEADER": "api.ApiClient.environ = {'planted': VALUE}",
    "OMNIA_KEY": "api.later = functools.partial(print, VALUE)",
    "GITHUB_TOKEN": "exec('def later_still(home=VALUE): pass', vars(api))",
    "PGPASSWORD": "api.latest = [{'planted': VALUE}]",
}


@pytest.mark.long
def test_what_is_planted_is_found() -> None:
    plants = [plant.replace("VALUE", f'os.environ["{name}"]') for name, plant in PLANTS.items()]
    text = rendered("\n".join(["import os", "import omnia_beam.net.api.api as api", "api.os = os", *plants]))
    assert [name for name in PLANTS if f"{CANARY}-{name}" not in text] == []
