#!/usr/bin/env python3
"""Measures echo calls through a gate and a node of their own: calls/s, latencies, CPU per call.

    cargo build --release && python3 tests/measure/gate.py [--seconds 10] [--connections 64]

Prints a row per surface. CPU is that of the processes' own accounting (/proc/PID/stat)."""
import argparse
import json
import subprocess

from system import BIN, System


def measure(system, via, url, seconds, connections, payload):
    before = system.node.cpu_seconds(), system.gate.cpu_seconds()
    out = subprocess.run(
        [BIN / "wasmverse", "--url", url, "--json", "bench", "--type", "Echo", "--method", "echo", "--objects", "100",
         "--connections", str(connections), "--duration", f"{seconds}s", "--payload", str(payload), "--via", via],
        check=True, capture_output=True, text=True).stdout
    result = json.loads(out)
    after = system.node.cpu_seconds(), system.gate.cpu_seconds()
    calls = result["calls"]
    node, gate = ((b - a) * 1e6 / calls for a, b in zip(before, after))
    latency = result["latency_us"]
    print(f"| {via}, {connections} connections | {result['calls_per_second']:,.0f} | {latency['p50']:,} | {latency['p99']:,} "
          f"| {gate:.1f} | {node:.1f} | {sum(result['errors'].values()) if result['errors'] else 0} |", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--seconds", type=int, default=10)
    args.add_argument("--connections", type=int, default=64)
    args.add_argument("--payload", type=int, default=16)
    args = args.parse_args()
    with System(["echo"]) as system:
        print("| by | calls/s | p50 us | p99 us | gate CPU us/call | node CPU us/call | errors |\n| --- | --- | --- | --- | --- | --- | --- |")
        for connections in (args.connections, 1):
            measure(system, "grpc", f"grpc://127.0.0.1:{system.ports['grpc']}", args.seconds, connections, args.payload)
            measure(system, "http", f"http://127.0.0.1:{system.ports['http']}", args.seconds, connections, args.payload)
            measure(system, "ws", f"http://127.0.0.1:{system.ports['http']}", args.seconds, connections, args.payload)


if __name__ == "__main__":
    main()
