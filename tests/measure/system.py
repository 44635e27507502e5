"""A release build's node and gate as processes of their own, for measurements (Python's standard library alone)."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "target" / "release"


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    def __init__(self, argv, env, log):
        self.child = subprocess.Popen([str(a) for a in argv], env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log, start_new_session=True)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        self.child.terminate()
        self.child.wait(30)


class System:
    """`with System(["echo"], {"WASMVERSE_…": "…"}) as system:` deploys these sample objects first."""

    def __init__(self, objects, env=None):
        self.objects, self.env = objects, env or {}

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wasmverse-measure-"))
        self.ports = {name: free_port() for name in ("node", "node_ops", "grpc", "http", "gate_ops")}
        p = self.ports
        env = {
            "WASMVERSE_NODE__LISTEN": f"127.0.0.1:{p['node']}", "WASMVERSE_NODE__OPS_LISTEN": f"127.0.0.1:{p['node_ops']}",
            "WASMVERSE_GATE__GRPC_LISTEN": f"127.0.0.1:{p['grpc']}", "WASMVERSE_GATE__HTTP_LISTEN": f"127.0.0.1:{p['http']}",
            "WASMVERSE_GATE__OPS_LISTEN": f"127.0.0.1:{p['gate_ops']}", "WASMVERSE_GATE__NODES": f"127.0.0.1:{p['node']}",
            "WASMVERSE_STORE__DATA_DIR": str(self.folder / "data"), **self.env,
        }
        self.log = open(self.folder / "log", "ab")
        self.node = Process([BIN / "wasmverse-node"], env, self.log)
        self.gate = Process([BIN / "wasmverse-gate"], env, self.log)
        self.wait_until_ready(p["node_ops"])
        self.wait_until_ready(p["gate_ops"])
        for name in self.objects:
            subprocess.run([BIN / "wasmverse", "--url", self.url, "deploy", ROOT / "objects" / name], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.ports['http']}"

    def wait_until_ready(self, port):
        end = time.time() + 30
        while time.time() < end:
            try:
                if urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise SystemExit("not ready: " + (self.folder / "log").read_text()[-2000:])

    def __exit__(self, *_):
        self.gate.stop()
        self.node.stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def metric(self, port, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}/metrics", timeout=5).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]
