"""What the benchmark sets up, without setting it up."""

import re
from pathlib import Path

from benchmarks import environments
from benchmarks.peers import PEERS
from benchmarks.worker import _one_line


def test_every_package_is_pinned():
    for peer in PEERS.values():
        assert peer.package is None or re.fullmatch(r"[\w-]+==[\w.]+", peer.package)


def test_a_peer_without_its_python_is_reported(monkeypatch):
    found = environments._set_up("newer-python", None, [PEERS["jet-for-pytorch"]], overlay=False)
    assert found.peers == []
    assert found.failures == {"jet-for-pytorch": "needs Python 3.12 and there is none on this machine"}


def test_a_changed_pin_asks_for_a_new_set_up():
    one = environments._wanted(Path("python3"), [PEERS["deepxde"]])
    assert one == environments._wanted(Path("python3"), [PEERS["deepxde"]])
    assert one != environments._wanted(Path("python3"), [PEERS["pina-mathlab"]])


def test_a_reason_names_no_path_of_the_machine():
    reason = _one_line(FileNotFoundError("no such file: /home/somebody/lib/x.so\nmore"))
    assert reason == "FileNotFoundError: no such file: …"
