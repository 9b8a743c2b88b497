"""The guards of conftest.py, tripped on purpose in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

PLANTED = """
import os, socket, threading, time
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()


def test_unknown_host_is_unknown():
    with pytest.raises(socket.gaierror):
        socket.create_connection(("service.invalid", 80))


def test_connect_elsewhere():
    socket.socket().connect(("192.0.2.1", 80))


def test_connect_elsewhere_swallowed():
    with pytest.raises(AssertionError):
        socket.socket().connect_ex(("192.0.2.1", 80))


def test_connect_elsewhere_over_ipv6():
    socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80))


def test_look_up_elsewhere():
    socket.getaddrinfo("gateway.example.com", 443)


def test_look_up_in_a_thread_swallowed():
    def look_up():
        try:
            socket.getaddrinfo(b"gateway.example.com", 443)
        except Exception:
            pass
    thread = threading.Thread(target=look_up)
    thread.start()
    thread.join()


def test_short_sleep_is_fine():
    time.sleep(0.01)


def test_long_sleep():
    time.sleep(60)


def test_long_sleep_by_an_early_import():
    sleep(60)


def test_thread_left_over():
    threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start()


def test_pool_left_open():
    global pool
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    pool.submit(int)


def test_the_next_one_is_not_blamed():
    pool.shutdown()


@pytest.mark.threads_may_stay("to see that it may")
def test_thread_may_stay():
    threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start()


@pytest.fixture(scope="module")
def shared():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_thread_of_a_shared_fixture(shared):
    pass


def test_environment():
    assert "AZURE_CLIENT_SECRET" not in os.environ
    assert "https_proxy" not in os.environ
    assert os.environ["KEPT"] == "1"
    assert time.localtime(0).tm_gmtoff == 5 * 3600 + 45 * 60
"""

FAIL = {
    "test_connect_elsewhere": "192.0.2.1",
    "test_connect_elsewhere_swallowed": "192.0.2.1",
    "test_connect_elsewhere_over_ipv6": "2001:db8::1",
    "test_look_up_elsewhere": "gateway.example.com",
    "test_look_up_in_a_thread_swallowed": "gateway.example.com",
    "test_long_sleep": "time.sleep(60)",
    "test_long_sleep_by_an_early_import": "time.sleep(60)",
    "test_thread_left_over": "daemon",
    "test_pool_left_open": "prefetch_0",
}
PASS = {
    "test_loopback_is_open",
    "test_unknown_host_is_unknown",
    "test_short_sleep_is_fine",
    "test_the_next_one_is_not_blamed",
    "test_thread_may_stay",
    "test_thread_of_a_shared_fixture",
    "test_environment",
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By test name, what the planted tests failed with; empty where they passed."""
    folder = tmp_path_factory.mktemp("planted")
    conftest = (Path(__file__).parent / "conftest.py").read_text()
    (folder / "conftest.py").write_text(conftest.replace("THREAD_GRACE_S = 5.0", "THREAD_GRACE_S = 0.2"))
    (folder / "test_planted.py").write_text(PLANTED)
    environ = os.environ | {"AZURE_CLIENT_SECRET": "x", "https_proxy": "http://192.0.2.1:3128", "KEPT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "--junitxml=out.xml"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (folder / "out.xml").exists(), done.stdout + done.stderr
    cases: dict[str, str] = {}
    for case in ElementTree.parse(folder / "out.xml").iter("testcase"):
        failures = [*case.iter("failure"), *case.iter("error")]
        cases[case.attrib["name"]] = cases.get(case.attrib["name"], "") + "".join(each.text or "" for each in failures)
    return cases


def test_every_planted_test_ran(outcome: dict[str, str]) -> None:
    assert outcome.keys() == FAIL.keys() | PASS


@pytest.mark.parametrize("name", sorted(FAIL))
def test_is_refused(outcome: dict[str, str], name: str) -> None:
    assert FAIL[name] in outcome[name]


@pytest.mark.parametrize("name", sorted(PASS))
def test_is_allowed(outcome: dict[str, str], name: str) -> None:
    assert outcome[name] == ""
