#!/usr/bin/env python3
"""Measures `wasmverse dev`: start to the first answered call with warm compiled code, and a hot reload from save to swapped.

    cargo build --release && python3 tests/measure/start.py"""
import contextlib
import http.client
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from system import BIN, ROOT, Process, free_port, percentile


@contextlib.contextmanager
def dev(folder, arguments):
    http_port, grpc = free_port(), free_port()
    env = {"WASMVERSE_GATE__HTTP_LISTEN": f"127.0.0.1:{http_port}", "WASMVERSE_GATE__GRPC_LISTEN": f"127.0.0.1:{grpc}"}
    with open(folder / "log", "ab") as log:
        begun = time.perf_counter()
        process = Process([BIN / "wasmverse", "dev", *arguments, "--data-dir", folder / "data"], env, log)
        try:
            yield http_port, begun
        finally:
            process.child.send_signal(signal.SIGTERM)
            process.child.wait(30)


def call(port, path, body):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    except OSError:
        return 0, b""


def until(done, limit=300):
    end = time.time() + limit
    while not done():
        if time.time() > end:
            raise SystemExit("it does not come")
        time.sleep(0.005)


def start(folder, arguments):
    with dev(folder, arguments) as (port, begun):
        until(lambda: call(port, "/v1/objects/Counter/x/value", None)[0] == 200)
        return time.perf_counter() - begun


if __name__ == "__main__":
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wasmverse-measure-"))
    crates = [ROOT / "objects" / name for name in ("echo", "counter", "bank-account", "mischief")]
    start(folder, crates)
    warm = [start(folder, crates) for _ in range(5)]
    print(f"start to the first answer, four crates, warm: median {percentile(warm, 50):.2f} s")
    wasm = [ROOT / "target" / "wasmverse" / f"{crate.name}.wasm" for crate in crates]
    warm = [start(folder, wasm) for _ in range(5)]
    print(f"the same from .wasm files: median {percentile(warm, 50):.2f} s")
    subprocess.run([BIN / "wasmverse", "new", "hello"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    source = next((folder / "hello" / "src").glob("lib.rs"))
    with dev(folder, [folder / "hello", "--watch"]) as (port, _):
        answers = lambda value: call(port, "/v1/objects/Hello/x/value", None) == (200, str(value).encode())
        until(lambda: answers(0))
        taken = []
        for n in range(1, 6):
            text = source.read_text()
            begun = time.perf_counter()
            source.write_text(text.replace("        self.value\n" if n == 1 else f"        self.value + {n - 1}\n", f"        self.value + {n}\n"))
            until(lambda: answers(n))
            taken.append(time.perf_counter() - begun)
        print(f"hot reload, from save to the first answer of the new code: median {percentile(taken, 50):.2f} s")
    shutil.rmtree(folder, ignore_errors=True)
