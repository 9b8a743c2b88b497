"""decode_json_page against the standard library's parser: usual answers, odd ones, mutated ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import decode_json_page, json_points, json_reading
from tests.wire import json_oracle

EXACT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_points, "CHUNK_POINTS", 3)


def check(data: bytes) -> None:
    """The answer reads as the oracle reads it, or both refuse it. orjson may refuse more than the oracle's parser."""
    try:
        expected = json_oracle.expected(data)
    except json_oracle.RefusedError:
        with pytest.raises(WireFormatError):
            decode_json_page(data)
        return
    try:
        found = decode_json_page(data)
    except WireFormatError:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(data)
        return
    assert json_oracle.as_expected(found) == expected


TIMES = st.builds(
    lambda ns, form: form(ns),
    st.one_of(
        st.integers(1_600_000_000 * 10**9, 1_700_000_000 * 10**9),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from([0, -1, -(2**63), 2**63 - 1, 951_782_400 * 10**9, -2_203_891_201 * 10**9]),
    ),
    st.sampled_from([lambda ns: rfc3339(ns, 7, "Z"), lambda ns: rfc3339(ns, 9, "Z"), lambda ns: trimmed(ns)]),
)


def rfc3339(ns: int, digits: int, zone: str) -> str:
    seconds, fraction = divmod(ns, 10**9)
    stem = str(np.datetime64(seconds, "s"))
    return f"{stem}.{fraction:09d}"[: 20 + digits] + zone if digits else stem + zone


def trimmed(ns: int) -> str:
    return rfc3339(ns, 9, "").rstrip("0").rstrip(".") + "+00:00"


VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.sampled_from(["NaN", "Infinity", "-Infinity", -0.0, 5e-324, 1.7976931348623157e308, 0, -1, 1e22, 1e-7]),
)
STATUSES = st.one_of(st.sampled_from([192, 0, 64]), st.integers(0, 2**32 - 1))


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """An answer as the service gives it: raw data with or without statuses, or aggregates."""
    keys = draw(
        st.sampled_from(
            [
                ["time", "value", "status"],
                ["time", "value"],
                ["value", "status", "time"],
                ["time", "avg", "max", "count"],
            ]
        )
    )
    of = {"time": TIMES, "status": STATUSES}
    point = st.fixed_dictionaries({key: of.get(key, VALUES) for key in keys})
    item = st.fixed_dictionaries({"id": st.text(max_size=6), "datapoints": st.lists(point, max_size=10)})
    return draw(
        st.fixed_dictionaries(
            {"data": st.fixed_dictionaries({"items": st.lists(item, max_size=3)}), "count": st.just(1)},
            optional={
                "continuationToken": st.one_of(st.none(), st.text(max_size=6)),
                "federated": st.booleans(),
            },
        )
    )


def compact(response: Any) -> bytes:
    return json.dumps(response, separators=(",", ":"), ensure_ascii=False).encode()


@given(answers())
@settings(EXACT, max_examples=80)
@pytest.mark.usefixtures("small_chunks")
def test_answers_as_the_service_writes_them(response: dict[str, Any]) -> None:
    check(compact(response))


@pytest.mark.long
@given(answers(), st.sampled_from([None, 1]), st.booleans(), st.randoms(use_true_random=False))
@settings(EXACT, max_examples=60)
@pytest.mark.usefixtures("small_chunks")
def test_the_same_answers_written_otherwise(
    response: dict[str, Any], indent: int | None, escape: bool, random: Any
) -> None:
    for item in response["data"]["items"]:
        item["datapoints"] = [dict(random.sample(list(p.items()), len(p))) for p in item["datapoints"]]
    check(json.dumps(response, indent=indent, ensure_ascii=escape).encode())
    check(compact(response))


ODD_TIMES = [
    *(
        "2021-02-30T00:00:00Z",
        "2021-13-01T09:54:05Z",
        "2021-02-01T24:00:00Z",
        "2021-02-01T09:54:60Z",
        "2021-02-01T09:54:05.Z",
    ),
    *("2021-02-01T09:54:05", "2021-02-01", "2021-02-01T09:54:05.1234567890Z", "2021-02-01T09:54:05.1234567891Z"),
    *("2262-04-12T00:00:00Z", "0000-01-01T00:00:00Z", "2021-02-01T10:54:05.42+01:00", "2021-02-01T09:54:05-00:00"),
    *("2021-02-01T09:54:05+24:00", "2021-02-01t09:54:05Z", "2021-02-01 09:54:05Z", "1677-09-21T00:12:43.1452241Z"),
]
ODD = st.sampled_from([None, True, "192", "x", [], {}, -1, 2**32, 1.5, 10**400, *ODD_TIMES])


@pytest.mark.long
@given(answers(), st.data())
@settings(EXACT, max_examples=100)
@pytest.mark.usefixtures("small_chunks")
def test_one_member_changed_or_missing(response: dict[str, Any], data: st.DataObject) -> None:
    points = [point for item in response["data"]["items"] for point in item["datapoints"]]
    if points:
        point = data.draw(st.sampled_from(points))
        key = data.draw(st.sampled_from([*point, "other"]))
        if data.draw(st.booleans()):
            point[key] = data.draw(ODD)
        else:
            point.pop(key, None)
    check(compact(response))


PIECES = [
    b",",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"0",
    b"-",
    b".",
    b"e",
    b" ",
    b"\\",
    b"null",
    b"NaN",
    b"\xff",
    b"\xc3\xa9",
]
PIECES += [b"-0", b'"datapoints":[{', b'"status":', b'"time":', b"},{", b"cut out: 0", b'\\"', b"1e999", b"00"]


@pytest.mark.long
@given(answers(), st.data())
@settings(EXACT, max_examples=150)
@pytest.mark.usefixtures("small_chunks")
def test_mutated_answers(response: dict[str, Any], data: st.DataObject) -> None:
    text = bytearray(compact(response))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        match data.draw(st.sampled_from(["insert", "delete", "set", "cut", "double"])):
            case "insert":
                text[at:at] = data.draw(st.sampled_from(PIECES))
            case "delete":
                del text[at : at + data.draw(st.integers(1, 30))]
            case "set":
                text[at : at + 1] = data.draw(st.sampled_from(PIECES))
            case "cut":
                del text[at:]
            case "double":
                text[at:at] = text[at : at + data.draw(st.integers(1, 60))]
    check(bytes(text))


SMALL = compact(
    {
        "data": {
            "items": [
                {
                    "id": "a",
                    "datapoints": [
                        {"time": f"2021-02-0{n}T09:54:05.42Z", "value": n / 7, "status": 192} for n in (1, 2)
                    ],
                },
                {"id": "b", "datapoints": []},
            ]
        },
        "continuationToken": "next",
    }
)


@pytest.mark.long
def test_cut_and_changed_at_every_byte() -> None:
    for at in range(len(SMALL)):
        check(SMALL[:at])
        check(SMALL[:at] + SMALL[at + 1 :])
        for piece in (b",", b'"', b"9", b"}", b"]"):
            check(SMALL[:at] + piece + SMALL[at + 1 :])
            check(SMALL[:at] + piece + SMALL[at:])


@pytest.mark.parametrize(
    "text",
    [
        b'{"data":{"items":[{"id":"a","datapoints":["cut out: 0"]}]},'
        b'"other":{"datapoints":[{"time":"1970-01-01T00:00:00Z","value":1}]}}',
        b'{"data":{"items":[{"id":"a","datapoints":[]}]},"other":{"datapoints":[{"time":"1970-01-01T00:00:00Z","value":1}]}}',
        b'{"data":{"items":[{"id":"a","x\\"datapoints":[{"time":"1970-01-01T00:00:00Z","value":1}],"datapoints":[]}]}}',
        b'{"data":{"items":[{"id":"]","datapoints":[{"time":"1970-01-01T00:00:00Z","value":1,"a":"]"}]}]}}',
        b'{"data":{"items":[{"id":"cut out: 0","datapoints":[{"time":"1970-01-01T00:00:00Z","value":1}]}]}}',
        b'{"data":{"items":[{"id":"a","datapoints":[{"time":"1970-01-01T00:00:00Z","time":"1970-01-01T00:00:01Z","value":1}]}]}}',
        b'{"data":{"items":[{"id":"a","datapoints":[{"time":"1970-01-01T00:00:00Z","value":1}],"datapoints":[]}]}}',
        b'{"data":{"items":[{"id":"a","datapoints":[{"time":"1970-01-01T00:00:00Z","avg":1,"max":2},'
        b'{"time":"1970-01-01T00:00:00Z","max":1,"avg":2}]}]}}',
    ],
)
def test_texts_that_look_alike(text: bytes) -> None:
    check(text)


def body_of(members: list[str]) -> bytes:
    points = ",".join("{" + member + "}" for member in members)
    return f'{{"data":{{"items":[{{"id":"a","datapoints":[{points}]}}]}}}}'.encode()


DAYS = [
    "2023-02-28",
    "2023-02-29",
    "2024-02-29",
    "2024-02-30",
    "1900-02-29",
    "2000-02-29",
    "2023-04-31",
    "2023-12-31",
    "2023-00-01",
]
CLOCKS = [
    "00:00:00Z",
    "23:59:59.9999999Z",
    "24:00:00Z",
    "12:60:00Z",
    "12:00:60Z",
    "12-00-00Z",
    "1:00:00Z",
    "12:00:0aZ",
    "12:00:00",
]


@pytest.mark.parametrize(
    "time", [*ODD_TIMES, *(f"{day}T00:00:00.5Z" for day in DAYS), *(f"2023-01-01T{c}" for c in CLOCKS)]
)
def test_times_that_may_not_exist(time: str) -> None:
    usual = '"time":"2023-01-01T00:00:00.5Z","value":1'
    check(body_of([f'"time":"{time}","value":1']))
    check(body_of([usual, f'"time":"{time}","value":1', usual]))


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "00",
        "01",
        "-01",
        "1.",
        ".5",
        "+1",
        "1e5",
        "1E+2",
        "-",
        "--1",
        "0x10",
        "1_0",
        "inf",
        "nan",
        "true",
        '"1"',
        '""',
        "",
    ],
)
@pytest.mark.parametrize("member", ["value", "status"])
def test_numbers_that_json_may_not_know(member: str, number: str) -> None:
    other = '"status":1' if member == "value" else '"value":1'
    usual = f'"time":"2023-01-01T00:00:00Z","{member}":1,{other}'
    check(body_of([f'"time":"2023-01-01T00:00:00Z","{member}":{number},{other}']))
    check(body_of([usual, f'"time":"2023-01-01T00:00:00Z","{member}":{number},{other}', usual]))


@pytest.mark.parametrize("spaces", ["", " "])
def test_minus_zero_keeps_its_sign_however_it_is_written(spaces: str) -> None:
    """.NET writes the double -0.0 as `-0`, which a JSON parser takes for the integer 0."""
    numbers = ["-0", "-0.0", "0", "-0e0", "-1"]
    points = ",".join(f'{{"time":"1970-01-01T00:00:00Z","value":{spaces}{number}}}' for number in numbers)
    body = f'{{"data":{{"items":[{{"id":"a","datapoints":[{points}]}}]}}}}'.encode()
    check(body)
    values = decode_json_page(body).items[0].values
    assert values is not None
    assert np.signbit(values).tolist() == [True, True, False, True, True]


@pytest.mark.parametrize("n_points", [1, 20_000])
def test_a_usual_answer_is_never_read_object_by_object(n_points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    times = 1_700_000_000 * 10**9 + np.arange(n_points) * 123_456_700
    values = random.normal(size=n_points)
    statuses = random.choice(np.array([192, 0, 64], np.uint32), n_points)
    points = [
        {"time": rfc3339(t, 7, "Z"), "value": v, "status": s}
        for t, v, s in zip(times.tolist(), values.tolist(), statuses.tolist(), strict=True)
    ]

    def slow(*_: object) -> None:
        raise AssertionError("read object by object")

    monkeypatch.setattr(json_reading, "read_objects", slow)
    body = compact({"data": {"items": [{"id": "a", "datapoints": points}]}})
    for kind in (bytes, bytearray, memoryview):
        (item,) = decode_json_page(kind(body)).items
        np.testing.assert_array_equal(item.columns["time"], times)
        np.testing.assert_array_equal(item.columns["value"], values)
        np.testing.assert_array_equal(item.columns["status"], statuses)
