"""The data server, its points and its state sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import KNOWN, Pi

Start = Callable[..., Pi]
NAMES = sorted(KNOWN, key=str.casefold)


def test_the_data_server(pi: Start) -> None:
    client = pi("--data-server", "PISRV01")
    [server] = client.get("/dataservers")["Items"]
    assert (server["Name"], server["Path"]) == ("PISRV01", "\\\\PIServers[PISRV01]")
    assert client.get(f"/dataservers/{server['WebId']}")["Id"] == server["Id"]
    assert client.get("/DataServers", name="pisrv01")["Id"] == server["Id"]
    assert client.get("/dataservers", path="\\\\PIServers[PISRV01]")["Id"] == server["Id"]
    assert "PI Data Archive" in client.refused("/dataservers", 404, name="OTHER")
    assert "was not found" in client.refused("/dataservers/F1DSnone", 404)
    assert client.get("/")["Links"]["DataServers"].endswith("/piwebapi/dataservers")
    assert client.get("/system")["ProductVersion"]


def test_points_page_by_page_to_the_end(pi: Start) -> None:
    client = pi()
    path, seen = f"/dataservers/{client.server}/points", []
    page = client.get(path, maxCount=4)
    first = page["Links"]["First"]
    while True:
        seen += [item["Name"] for item in page["Items"]]
        if "Next" not in page["Links"]:
            break
        page = client.session.get(page["Links"]["Next"], timeout=30).json()
    assert seen == NAMES
    assert [item["Name"] for item in client.session.get(page["Links"]["Last"], timeout=30).json()["Items"]] == NAMES[8:]
    assert [item["Name"] for item in client.session.get(first, timeout=30).json()["Items"]] == NAMES[:4]
    assert [
        item["Name"] for item in client.session.get(page["Links"]["Previous"], timeout=30).json()["Items"]
    ] == NAMES[4:8]
    assert client.get(path, startIndex=len(NAMES))["Items"] == []
    assert client.get(path, nameFilter="none*") == {"Links": {}, "Items": []}
    assert "less than" in client.refused(path, 400, startIndex=-1)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("st*", ["STATES", "STEADY"]),
        ("??ADY", []),
        ("*EADY", ["STEADY"]),
        ("steady", ["STEADY"]),
        ("*", NAMES),
        ("[S]*", []),
    ],
)
def test_name_filters(pi: Start, pattern: str, expected: list[str]) -> None:
    client = pi()
    found = client.get(f"/dataservers/{client.server}/points", nameFilter=pattern, selectedFields="Items.Name")
    assert found == {"Items": [{"Name": name} for name in expected]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name:STEADY", ["STEADY"]),
        ("name:st*", ["STATES", "STEADY"]),
        ("name:SHARED\\ TIMES", ["SHARED TIMES"]),
        ("name:* AND description:a\\ pressure", ["STEADY"]),
        ("name:PUMP AND description:a*", []),
        ("", NAMES),
    ],
)
def test_search(pi: Start, query: str, expected: list[str]) -> None:
    client = pi()
    found = client.get("/points/search", query=query, dataserverwebid=client.server)
    assert [item["Name"] for item in found["Items"]] == expected


def test_search_refuses_other_fields_and_servers(pi: Start) -> None:
    client = pi()
    assert "'colour'" in client.refused("/points/search", 400, query="colour:red")
    assert "not found" in client.refused("/points/search", 404, query="name:*", dataServerWebId="F1DSx")


def test_a_point_by_path_by_web_id_and_among_others(pi: Start) -> None:
    client = pi()
    point = client.get("/points", path="\\\\emu\\steady")
    expected = {"Name": "STEADY", "PointType": "Float64", "EngineeringUnits": "bar", "Descriptor": "A pressure",
                "Path": "\\\\EMU\\STEADY", "Step": False, "Future": False}  # fmt: skip
    assert {name: point[name] for name in expected} == expected
    for kind in ("Full", "IDOnly", "PathOnly"):
        short = client.get("/points", path="\\\\EMU\\STEADY", webIdType=kind)["WebId"]
        assert short[:2] == kind[0] + "1"
        assert client.get(f"/points/{short}")["Id"] == point["Id"]
        assert client.get(f"/streams/{short}/value")["Good"] is True
    many = client.get("/points/multiple", webId=[point["WebId"], "F1DPx"])["Items"]
    assert (many[0]["Object"]["Name"], many[1]["Exception"]["StatusCode"]) == ("STEADY", 400)
    assert "PI Point not found 'none'" in client.refused("/points", 404, path="\\\\EMU\\none")
    assert "OTHER" in client.refused("/points", 404, path="\\\\OTHER\\STEADY")
    assert "'path' is required" in client.refused("/points", 400)
    assert "is invalid" in client.refused(f"/points/{client.server}", 400)


def test_create_rename_delete_and_create_again(pi: Start) -> None:
    client = pi("--now", "2024-05-01T12:00:00Z")
    path = f"/dataservers/{client.server}/points"
    body = {"Name": "NEW", "PointType": "float32", "EngineeringUnits": "m", "Step": True, "PointClass": "classic"}
    made = client.ask(path, "POST", body)
    assert (made.status_code, made.content) == (201, b"")
    point = client.session.get(made.headers["Location"], timeout=30).json()
    assert (point["Name"], point["PointType"], point["Step"]) == ("NEW", "Float32", True)
    [first] = client.recorded("NEW", "2024-05-01", "2024-05-02")
    assert (first["Value"], first["Good"]) == ({"Name": "Pt Created", "Value": 253, "IsSystem": True}, False)
    assert "already exists" in client.refused(path, 409, "POST", {"Name": "new"})

    path_only = client.get("/points", path="\\\\EMU\\NEW", webIdType="PathOnly")["WebId"]
    patched = client.ask(f"/points/{point['WebId']}", "PATCH", {"Name": "RENAMED", "Descriptor": "x"})
    assert patched.status_code == 204
    assert client.get(f"/points/{point['WebId']}")["Name"] == "RENAMED"  # the id inside still leads to it
    assert "not found" in client.refused(f"/points/{path_only}", 404)
    assert "already exists" in client.refused(f"/points/{point['WebId']}", 409, "PATCH", {"Name": "steady"})

    assert client.ask(f"/points/{point['WebId']}", "DELETE").status_code == 204
    assert "not found" in client.refused(f"/points/{point['WebId']}", 404)
    assert client.ask(path, "POST", {"Name": "RENAMED"}).status_code == 201
    assert client.web_id("RENAMED") != point["WebId"]
    assert "not found" in client.refused(f"/streams/{point['WebId']}/recorded", 404)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name '' is invalid"),
        ({"Name": "a*b"}, "'a*b' is invalid"),
        ({"Name": "A", "PointType": "Blob"}, "'Blob' is not one of"),
        ({"Name": "A", "PointType": "Digital"}, "digital set '' does not exist"),
        ({"Name": "A", "PointType": "Digital", "DigitalSetName": "none"}, "digital set 'none' does not exist"),
        ({"Name": "A", "Step": "yes"}, "'Step' is of the wrong type"),
        ([], "is not an object"),
    ],
)
def test_points_that_cannot_be_made(pi: Start, body: object, said: str) -> None:
    client = pi()
    assert said in client.refused(f"/dataservers/{client.server}/points", 400, "POST", body)


def test_state_sets(pi: Start) -> None:
    client = pi()
    path = f"/dataservers/{client.server}/enumerationsets"
    sets = {item["Name"]: item for item in client.get(path)["Items"]}
    assert set(sets) == {"SYSTEM", "PUMP states"}
    states = client.session.get(sets["PUMP states"]["Links"]["Values"], timeout=30).json()["Items"]
    assert [(state["Name"], state["Value"]) for state in states] == [("Stopped", 0), ("Running", 1)]
    assert {"Name": "I/O Timeout", "Value": 246} in client.get(
        f"/enumerationsets/{sets['SYSTEM']['WebId']}/enumerationvalues", selectedFields="Items.Name;Items.Value"
    )["Items"]

    made = client.ask(path, "POST", {"Name": "VALVE", "Description": "d"})
    assert made.status_code == 201
    found = client.session.get(made.headers["Location"], timeout=30).json()
    assert (found["Name"], found["Description"]) == ("VALVE", "d")
    values = f"/enumerationsets/{found['WebId']}/enumerationvalues"
    for code, name in ((2, "Open"), (5, "Åpen")):
        assert client.ask(values, "POST", {"Name": name, "Value": code}).status_code == 201
    assert [state["Name"] for state in client.get(values)["Items"]] == ["Open", "Åpen"]
    assert "already has" in client.refused(values, 409, "POST", {"Name": "other", "Value": 2})
    assert "needs a name" in client.refused(values, 400, "POST", {"Name": "other"})
    assert "already exists" in client.refused(path, 409, "POST", {"Name": "valve"})
    assert "not found" in client.refused("/enumerationsets/F1MSx", 404)
    point = {"Name": "V1", "PointType": "Digital", "DigitalSetName": "VALVE"}
    assert client.ask(f"/dataservers/{client.server}/points", "POST", point).status_code == 201
    assert client.write("V1", [("2024-01-01T00:00:00Z", "Open")]).status_code == 204
    [value] = client.recorded("V1", "2024-01-01", "2024-01-02")
    assert value["Value"] == {"Name": "Open", "Value": 2, "IsSystem": False}


def test_paths_and_methods_that_are_none(pi: Start) -> None:
    client = pi()
    assert "No HTTP resource" in client.refused("/nowhere", 404)
    assert "does not support http method 'PUT'" in client.refused("/points", 405, "PUT")
    outside = client.session.get(client.url.removesuffix("/piwebapi") + "/other", timeout=30)
    assert outside.status_code == 404
