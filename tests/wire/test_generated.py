"""The generated code is the schema's, and runs with every protobuf that setup.py allows."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from tests.wire import timeseries_pb2

ROOT = Path(__file__).parents[2]


def test_the_generator_is_not_newer_than_the_oldest_allowed_runtime() -> None:
    generated = Path(timeseries_pb2.__file__).read_text(encoding="utf-8")
    generator = re.search(r"# Protobuf Python Version: (\d+)\.(\d+)\.(\d+)", generated)
    oldest = re.search(r'"protobuf>=(\d+)\.(\d+),', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert generator is not None
    assert oldest is not None
    assert tuple(map(int, generator.groups())) <= (*map(int, oldest.groups()), 0)


def test_field_numbers_are_the_contract() -> None:
    schema = FileDescriptorProto.FromString(timeseries_pb2.DESCRIPTOR.serialized_pb)
    kinds = FieldDescriptorProto
    fields = {
        message.name: {f.number: (f.name, f.type, f.label == kinds.LABEL_REPEATED) for f in message.field}
        for message in schema.message_type
    }
    assert schema.package == ""
    assert fields == {
        "CompactDatapointsDto": {
            1: ("data", kinds.TYPE_MESSAGE, True),
            2: ("continuationToken", kinds.TYPE_STRING, False),
        },
        "CompactDatapointsItem": {
            1: ("id", kinds.TYPE_STRING, False),
            2: ("totalCount", kinds.TYPE_UINT64, False),
            3: ("fields", kinds.TYPE_STRING, True),
            4: ("values", kinds.TYPE_MESSAGE, True),
        },
        "CompactDataPointValue": {
            1: ("int64", kinds.TYPE_INT64, False),
            2: ("double", kinds.TYPE_DOUBLE, False),
            3: ("uint32", kinds.TYPE_UINT32, False),
            4: ("uint64", kinds.TYPE_UINT64, False),
        },
    }
