"""Fetching from a server that stalls, breaks off, forgets ranges, and serves what it should not."""

import contextlib
import hashlib
import http.server
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights import fetching
from landslide_rcnn.weights.fetching import PublicFile, cache_folder, fetch, has_digest

CONTENT = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = dict(progress=False, timeout_s=0.5, pauses_s=(0, 0))


class Server:
    """A server of one file on this machine.

    Args:
        plan: For each request one step: a number of bytes after which to break off, "stall",
            "no range" (answers with everything), "wrong" content, a redirection, or a code. What
            follows the plan is served in full.
    """

    def __init__(self, plan=(), tag='"v1"', content=CONTENT):
        self.plan, self.tag, self.content = list(plan), tag, content
        self.requests: list[str] = []
        self.released = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                with contextlib.suppress(ConnectionError):
                    owner.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/weights.bin"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def public(self):
        return PublicFile(self.url, has_digest("sha256", SHA256))

    def answer(self, handler):
        wanted = handler.headers.get("Range", "")
        self.requests.append(wanted)
        step = self.plan.pop(0) if self.plan else "all"
        if isinstance(step, str) and "://" in step:
            handler.send_response(302)
            handler.send_header("Location", step)
            handler.end_headers()
            return
        if isinstance(step, int) and 400 <= step < 600:
            handler.send_error(step)
            return
        content = bytes(len(self.content)) if step == "wrong" else self.content
        start = int(wanted[6:-1]) if wanted else 0
        same = handler.headers.get("If-Range") in (None, self.tag)
        if start and same and step != "no range":
            handler.send_response(206)
            whole = len(content)
            handler.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            content = content[start:]
        else:
            handler.send_response(200)
        if self.tag:
            handler.send_header("ETag", self.tag)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if step == "stall":
            handler.wfile.write(content[:300_000])
            handler.wfile.flush()
            self.released.wait(10)
        else:
            handler.wfile.write(content[: step if isinstance(step, int) else None])


def test_a_file_is_fetched_once(tmp_path):
    with Server() as server:
        path = fetch(server.public(), folder=tmp_path / "cache", **QUICK)
        assert path == tmp_path / "cache" / "weights.bin" and path.read_bytes() == CONTENT
        assert fetch(server.public(), folder=tmp_path / "cache", **QUICK) == path
    assert server.requests == [""]
    assert [p.name for p in path.parent.iterdir()] == ["weights.bin"]


def test_a_transfer_that_breaks_off_is_continued(tmp_path):
    with Server([250_000, 250_000]) as server:
        path = fetch(server.public(), folder=tmp_path, **QUICK)
    assert path.read_bytes() == CONTENT
    assert server.requests == ["", "bytes=250000-", "bytes=500000-"]


def test_the_next_call_continues_what_the_last_one_left(tmp_path):
    with Server([100_000, 0, 0]) as server:
        with pytest.raises(WeightsError, match="broke off after 100000 of 1024000 bytes"):
            fetch(server.public(), folder=tmp_path, **QUICK)
        assert not (tmp_path / "weights.bin").exists()
        path = fetch(server.public(), folder=tmp_path, **QUICK)
    assert path.read_bytes() == CONTENT and server.requests[-1] == "bytes=100000-"


def test_a_part_that_is_whole_only_gets_its_name(tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(CONTENT)
    with Server() as server:
        assert fetch(server.public(), folder=tmp_path, **QUICK).read_bytes() == CONTENT
    assert server.requests == [] and [p.name for p in tmp_path.iterdir()] == ["weights.bin"]


def test_a_server_that_stalls(tmp_path):
    with Server(["stall"]) as server:
        begun = time.monotonic()
        path = fetch(server.public(), folder=tmp_path, **QUICK)
        assert time.monotonic() - begun < 5
    assert path.read_bytes() == CONTENT and server.requests == ["", "bytes=300000-"]


def test_a_server_that_always_stalls(tmp_path):
    with Server(["stall"] * 3) as server:
        with pytest.raises(WeightsError, match="timed out, after 3 tries.*By hand"):
            fetch(server.public(), folder=tmp_path, **QUICK)


@pytest.mark.parametrize("how", ["no range", "changed", "no tag"])
def test_without_ranges_all_is_fetched_again(tmp_path, how):
    with Server([200_000, "no range" if how == "no range" else "all"]) as server:
        if how == "no tag":
            server.tag = None
        with pytest.raises(WeightsError):
            fetch(server.public(), folder=tmp_path, **{**QUICK, "pauses_s": ()})
        if how == "changed":
            server.tag = '"v2"'
        path = fetch(server.public(), folder=tmp_path, **QUICK)
    assert path.read_bytes() == CONTENT
    assert server.requests == ["", "" if how == "no tag" else "bytes=200000-"]


@pytest.mark.parametrize("code", [404, 403])
def test_what_is_not_there_is_not_asked_for_twice(tmp_path, code):
    with Server([code]) as server:
        with pytest.raises(WeightsError) as caught:
            fetch(server.public(), folder=tmp_path, **QUICK)
    message = str(caught.value)
    assert f"the server answers {code}" in message and "\n" not in message
    assert server.url in message and str(tmp_path / "weights.bin") in message  # the way by hand
    assert server.requests == [""] and not (tmp_path / "weights.bin").exists()


def test_a_server_in_trouble_is_asked_again(tmp_path):
    with Server([503, 429]) as server:
        assert fetch(server.public(), folder=tmp_path, **QUICK).read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(bytes(2_000_000))
    (tmp_path / "weights.bin.part.tag").write_text('"v1"')
    with Server([416]) as server:
        assert fetch(server.public(), folder=tmp_path, **QUICK).read_bytes() == CONTENT
    assert server.requests == ["bytes=2000000-", ""]


def test_a_wrong_file_is_refused_and_not_continued(tmp_path):
    with Server(["wrong"]) as server:
        with pytest.raises(WeightsError, match=f"one that was published.*not {SHA256}.*By hand"):
            fetch(server.public(), folder=tmp_path, **QUICK)
        assert list(tmp_path.iterdir()) == []
        assert fetch(server.public(), folder=tmp_path, **QUICK).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_replaced(tmp_path):
    (tmp_path / "weights.bin").write_bytes(CONTENT[:-1])
    with Server() as server:
        assert fetch(server.public(), folder=tmp_path, **QUICK).read_bytes() == CONTENT


def test_no_network(tmp_path):
    with Server() as server:
        public = server.public()
    with pytest.raises(WeightsError, match="refused.*By hand: download http"):
        fetch(public, folder=tmp_path, **QUICK)


@pytest.mark.parametrize("scheme", ["file", "ftp"])
def test_other_schemes_lead_nowhere(tmp_path, scheme):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="by https"):
        fetch(PublicFile(f"{scheme}://{secret}", has_digest("sha256", SHA256)), folder=tmp_path)
    with Server([f"{scheme}://{secret}"] * 3) as server:
        with pytest.raises(WeightsError, match="By hand"):
            fetch(server.public(), folder=tmp_path, **QUICK)
    assert not (tmp_path / "weights.bin").exists()


@pytest.mark.skipif(fetching.fcntl is None, reason="needs file locks")
def test_a_second_process_writes_elsewhere(tmp_path):
    lock = fetching._lock(tmp_path / "weights.bin.part")
    lock.write(b"the other process's bytes")
    lock.flush()
    with lock, Server() as server:
        assert fetch(server.public(), folder=tmp_path, **QUICK).read_bytes() == CONTENT
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["weights.bin", "weights.bin.part"]
    assert (tmp_path / "weights.bin.part").read_bytes() == b"the other process's bytes"


def test_many_at_once(tmp_path):
    found = []
    with Server([400_000]) as server:

        def run():
            found.append(fetch(server.public(), folder=tmp_path, **QUICK).read_bytes() == CONTENT)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 4
    assert [p.name for p in tmp_path.iterdir()] == ["weights.bin"]


def test_a_bar_shows_the_progress(tmp_path, capsys):
    with Server() as server:
        fetch(server.public(), folder=tmp_path, **{**QUICK, "progress": True})
    shown = capsys.readouterr()
    assert "weights.bin" in shown.err and "100%" in shown.err and shown.out == ""


def test_the_cache_can_be_moved(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "/k")
    assert cache_folder() == Path("/k/landslide_rcnn")
    monkeypatch.setenv("LANDSLIDE_RCNN_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")


def test_fetching_needs_no_tensorflow():
    code = "import sys, landslide_rcnn.weights; print('keras' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "False", done.stderr
