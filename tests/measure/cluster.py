"""What a cluster costs and how fast it changes: release programs, etcd and PostgreSQL as processes on this machine.

    python3 tests/measure/cluster.py            # takes about three minutes, on a quiet machine
"""
import glob
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from system import BIN, ROOT, Process, free_port, percentile

ETCD = max(glob.glob(os.path.expanduser("~/.cargo/registry/src/*/etcd-bin-vendored-linux-amd64-*/bin/etcd*")), key=len)
POSTGRES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]


def ask(url, data=None, method=None):
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")


class Cluster:
    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wasmverse-measure-"))
        os.chmod(self.folder, 0o777)
        self.log = open(self.folder / "log", "ab")
        self.etcd_url, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        self.etcd = Process([ETCD, "--name=m", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={self.etcd_url}",
                             f"--advertise-client-urls={self.etcd_url}", f"--listen-peer-urls={peer}",
                             f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=m={peer}"], {}, self.log)
        self.database = self.start_postgres()
        self.nodes, self.port = {}, free_port()
        return self

    def start_postgres(self):
        data, port = self.folder / "postgres", free_port()
        data.mkdir()
        os.chown(data, 65534, 65534)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run([*user, f"{POSTGRES}/initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"],
                       check=True, stdout=self.log, stderr=self.log)
        self.postgres = Process([*user, f"{POSTGRES}/postgres", "-D", data, "-p", port, "-k", "", "-c", "listen_addresses=127.0.0.1"],
                                {}, self.log)
        return f"postgres://postgres@127.0.0.1:{port}/postgres"

    def env(self, **more):
        common = {"WASMVERSE_CLUSTER__ETCD": self.etcd_url, "WASMVERSE_STORE__URL": self.database,
                  "WASMVERSE_CLUSTER__STABILITY": "200ms", "WASMVERSE_LOG__FILTER": "warn"}
        return {**common, **more}

    def start_node(self, name):
        port, ops = free_port(), free_port()
        env = self.env(WASMVERSE_NODE__ID=name, WASMVERSE_NODE__LISTEN=f"127.0.0.1:{port}",
                       WASMVERSE_NODE__OPS_LISTEN=f"127.0.0.1:{ops}", WASMVERSE_STORE__DATA_DIR=str(self.folder / name))
        self.nodes[name] = Process([BIN / "wasmverse-node"], env, self.log)

    def start_gate(self):
        grpc, ops = free_port(), free_port()
        env = self.env(WASMVERSE_GATE__GRPC_LISTEN=f"127.0.0.1:{grpc}", WASMVERSE_GATE__OPS_LISTEN=f"127.0.0.1:{ops}",
                       WASMVERSE_GATE__HTTP_LISTEN=f"127.0.0.1:{self.port}")
        self.gate, self.grpc = Process([BIN / "wasmverse-gate"], env, self.log), grpc

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def balanced(self, limit=60):
        """Seconds until every node serves its share."""
        began = time.time()
        while time.time() - began < limit:
            try:
                status = ask(f"{self.url}/v1/admin/cluster")
                counts = [node["shards"] for node in status["nodes"]]
                if (len(counts) == len(self.nodes) and status["shards"]["served"] == 8192
                        and max(counts) - min(counts) <= 1):
                    return time.time() - began
            except (urllib.error.URLError, OSError, ValueError):
                pass
            time.sleep(0.005)
        raise SystemExit("not balanced: " + (self.folder / "log").read_text()[-2000:])

    def deploy(self, *paths):
        for path in paths:
            subprocess.run([BIN / "wasmverse", "--url", self.url, "deploy", path], check=True, stdout=self.log, stderr=self.log)

    def bench(self, *arguments):
        command = [BIN / "wasmverse", "--url", f"grpc://127.0.0.1:{self.grpc}", "bench", "--json", *arguments]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def etcd_calls(self):
        text = urllib.request.urlopen(f"{self.etcd_url}/metrics").read().decode()
        lines = [line for line in text.splitlines() if line.startswith("grpc_server_handled_total") and "etcdserverpb.KV" in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def __exit__(self, *_):
        for process in [self.gate, *self.nodes.values(), self.postgres, self.etcd]:
            process.child.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def show(what, bench):
    latency = bench["latency_us"]
    print(f"{what}: {bench['calls_per_second']:.0f} calls/s, p50 {latency['p50'] / 1000:.2f} ms, "
          f"p99 {latency['p99'] / 1000:.2f} ms, slowest {latency['max'] / 1000:.0f} ms, errors {bench['errors']}", flush=True)


def under_load(cluster, what, change):
    """Calls at a fixed rate while something changes: how long that took, and what calls noticed."""
    took = []
    worker = threading.Thread(target=lambda: (time.sleep(2), took.append(change())))
    worker.start()
    bench = cluster.bench("--type", "Echo", "--method", "echo", "--objects", "1000", "--rate", "2000", "--duration", "12s")
    worker.join()
    print(f"{what} took {took[0]:.2f} s")
    show("  meanwhile, at 2,000 calls/s", bench)


def moves(cluster, count=200):
    status = ask(f"{cluster.url}/v1/admin/cluster")
    names = [node["id"] for node in status["nodes"]]
    end, gaps = threading.Event(), []

    def call():
        last = time.time()
        while not end.is_set():
            ask(f"{cluster.url}/v1/objects/Echo/shard%2377%2Fa/echo", b"1")
            now = time.time()
            gaps.append(now - last)
            last = now

    caller = threading.Thread(target=call)
    caller.start()
    before, times = cluster.etcd_calls(), []
    for step in range(count):
        began = time.time()
        target = json.dumps({"node": names[step % len(names)]}).encode()
        ask(f"{cluster.url}/v1/admin/shards/77/move", target, "POST")
        times.append(time.time() - began)
    calls = cluster.etcd_calls() - before
    end.set()
    caller.join()
    real = times[1:]
    print(f"{count} moves of a shard: p50 {percentile(real, 50) * 1000:.1f} ms, p99 {percentile(real, 99) * 1000:.1f} ms each; "
          f"an object of it answered {len(gaps)} calls, p99 {percentile(gaps, 99) * 1000:.1f} ms apart, at most {max(gaps) * 1000:.1f} ms; "
          f"{calls / count:.1f} requests to etcd a move")


def hops(cluster, count=3000):
    """One caller, one connection: an object that calls another on its own node, and on the other one."""
    shards = ask(f"{cluster.url}/v1/admin/shards")["shards"]
    owners = {}
    for shard in shards:
        owners.setdefault(shard["owner"], []).append(shard["shard"])
    (here, *_), (there, *_) = list(owners.values())[:2]
    near = next(shard for shard in owners[list(owners)[0]] if shard != here)
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port)

    def call(path, body):
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return text

    for what, tally in [("none", None), ("one on the same node", near), ("one on another node", there)]:
        path = f"/v1/objects/Caller/shard%23{here}%2Fa/" + ("name" if tally is None else "add_by_name")
        body = b"" if tally is None else json.dumps({"tally": f"shard#{tally}/b", "by": 1}).encode()
        times = []
        for step in range(count + 200):
            began = time.perf_counter()
            call(path, body)
            times.append(time.perf_counter() - began)
        times = times[200:]
        print(f"a call whose object calls {what}: p50 {percentile(times, 50) * 1e6:.0f} us, p99 {percentile(times, 99) * 1e6:.0f} us",
              flush=True)


def main():
    with Cluster() as cluster:
        cluster.start_gate()
        time.sleep(2)
        before = cluster.gate.rss_bytes()
        cluster.start_node("n1")
        print(f"one node serves all shards after {cluster.balanced():.2f} s")
        time.sleep(1)
        print(f"the gate has grown by {(cluster.gate.rss_bytes() - before) / 2**20:.1f} MiB")
        guests = ROOT / "target" / "guests" / "wasm32-wasip2" / "guest"
        cluster.deploy(ROOT / "objects" / "echo", guests / "caller.wasm", guests / "callee.wasm")
        echo = ("--type", "Echo", "--method", "echo", "--objects", "1000", "--connections", "64", "--duration", "8s")
        show("1 node, Echo.echo", cluster.bench(*echo))

        def join(name):
            cluster.start_node(name)
            return cluster.balanced()

        under_load(cluster, "1 to 2 nodes, from the start of its process to balanced,", lambda: join("n2"))
        show("2 nodes, Echo.echo", cluster.bench(*echo))
        hops(cluster)
        under_load(cluster, "2 to 3 nodes", lambda: join("n3"))
        show("3 nodes, Echo.echo", cluster.bench(*echo))
        moves(cluster)

        def leave(name):
            process = cluster.nodes.pop(name)
            began = time.time()
            process.child.terminate()
            process.child.wait()
            cluster.balanced()
            return time.time() - began

        def die(name):
            process = cluster.nodes.pop(name)
            began = time.time()
            process.child.kill()
            cluster.balanced()
            return time.time() - began

        under_load(cluster, "3 to 2 nodes, by SIGTERM,", lambda: leave("n3"))
        under_load(cluster, "2 to 1 nodes, by SIGKILL (lease 5 s),", lambda: die("n2"))


main()
