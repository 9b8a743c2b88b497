from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CompactDatapointsDto(_message.Message):
    __slots__ = ("data", "continuationToken")
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTINUATIONTOKEN_FIELD_NUMBER: _ClassVar[int]
    data: _containers.RepeatedCompositeFieldContainer[CompactDatapointsItem]
    continuationToken: str
    def __init__(self, data: _Optional[_Iterable[_Union[CompactDatapointsItem, _Mapping]]] = ..., continuationToken: _Optional[str] = ...) -> None: ...

class CompactDatapointsItem(_message.Message):
    __slots__ = ("id", "totalCount", "fields", "values")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOTALCOUNT_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    id: str
    totalCount: int
    fields: _containers.RepeatedScalarFieldContainer[str]
    values: _containers.RepeatedCompositeFieldContainer[CompactDataPointValue]
    def __init__(self, id: _Optional[str] = ..., totalCount: _Optional[int] = ..., fields: _Optional[_Iterable[str]] = ..., values: _Optional[_Iterable[_Union[CompactDataPointValue, _Mapping]]] = ...) -> None: ...

class CompactDataPointValue(_message.Message):
    __slots__ = ("int64", "double", "uint32", "uint64")
    INT64_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_FIELD_NUMBER: _ClassVar[int]
    UINT32_FIELD_NUMBER: _ClassVar[int]
    UINT64_FIELD_NUMBER: _ClassVar[int]
    int64: int
    double: float
    uint32: int
    uint64: int
    def __init__(self, int64: _Optional[int] = ..., double: _Optional[float] = ..., uint32: _Optional[int] = ..., uint64: _Optional[int] = ...) -> None: ...
