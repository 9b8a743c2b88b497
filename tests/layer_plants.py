"""A small tree that keeps the layer rules, and files that each break one: the rules are tried on them."""

from __future__ import annotations

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
    "tests/core/test_chunk.py": "import omnia_beam.cli\nclass _A:\n    def f(self, other):\n"
    "        self._x = 1\n        return other._x, self._y, other._replace(a=_A)\n",
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
    "a private function": ("tests/net/test_a.py", "from omnia_beam.net.client import _send\n", ":1: reaches for _send"),
    "a private attribute": (
        "tests/net/test_a.py",
        "def test(client):\n    client.session._pool\n",
        ":2: reaches for _pool",
    ),
    "a private constant": (
        "tests/net/test_a.py",
        'def test(monkeypatch):\n    monkeypatch.setattr("omnia_beam.net.client._LIMIT", 2)\n',
        ":2: reaches for _LIMIT",
    ),
    "a private method": (
        "benchmarks/a.py",
        'def test(patches, client):\n    patches.setattr(client, "_send", print)\n',
        ":2: reaches for _send",
    ),
    "too long": ("omnia_beam/net/a.py", '"""x."""\n' + "\n" * 400, "401 lines"),
    "too long a test": ("tests/net/test_a.py", "\n" * 401, "401 lines"),
    "module without words": ("omnia_beam/net/a.py", "_A = 1\n", "the module has no docstring"),
    "empty __init__": ("omnia_beam/net/__init__.py", "", "the module has no docstring"),
    "class without words": ("omnia_beam/net/a.py", '"""x."""\nclass Client: ...\n', ":2: Client is public"),
    "function without words": ("omnia_beam/net/a.py", '"""x."""\nasync def fetch(): ...\n', ":2: fetch is public"),
}
