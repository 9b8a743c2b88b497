"""The service's protobuf messages, made from their description: the oracle for what the emulator encodes."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="emulator_oracle.proto", syntax="proto3", package="emulator_oracle")

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        made = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            made.field.add(name=field, number=number, label=label, type=kind, type_name=of or None)
        return made

    one, many = _F.LABEL_OPTIONAL, _F.LABEL_REPEATED
    message(
        "Page",
        ("data", 1, many, _F.TYPE_MESSAGE, ".emulator_oracle.Item"),
        ("continuationToken", 2, one, _F.TYPE_STRING, ""),
    )
    message(
        "Item",
        ("id", 1, one, _F.TYPE_STRING, ""),
        ("totalCount", 2, one, _F.TYPE_UINT64, ""),
        ("fields", 3, many, _F.TYPE_STRING, ""),
        ("values", 4, many, _F.TYPE_MESSAGE, ".emulator_oracle.Value"),
    )
    value = message(
        "Value",
        ("int64", 1, one, _F.TYPE_INT64, ""),
        ("double", 2, one, _F.TYPE_DOUBLE, ""),
        ("uint32", 3, one, _F.TYPE_UINT32, ""),
        ("uint64", 4, one, _F.TYPE_UINT64, ""),
    )
    value.oneof_decl.add(name="value")
    for field in value.field:
        field.oneof_index = 0
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
Page: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("emulator_oracle.Page"))


def table(item: Any) -> dict[str, list[Any]]:
    """The columns of an item, value by value."""
    values = [getattr(value, value.WhichOneof("value")) for value in item.values]
    width = len(item.fields)
    return {name: values[place::width] for place, name in enumerate(item.fields)}
