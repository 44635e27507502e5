#!/usr/bin/env python3
"""Measures the memory of live idle objects: the node's resident set before and after so many of them have answered once.

    cargo build --release && python3 tests/measure/memory.py [objects]"""
import http.client
import sys
import threading

from system import System


def wake(system, numbers):
    connection = http.client.HTTPConnection("127.0.0.1", system.ports["http"], timeout=60)
    for number in numbers:
        connection.request("POST", f"/v1/objects/Counter/c{number}/add", b"1")
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200, reply.status


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with System(["counter"], {"WASMVERSE_NODE__LIVE_MAX": str(count + 10)}) as system:
        wake(system, range(-100, 0))
        before = system.node.rss_bytes()
        threads = [threading.Thread(target=wake, args=(system, range(n, count, 8))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = system.node.rss_bytes()
        live = system.metric("node_ops", "wasmverse_node_live_objects")
        print(f"{live:,.0f} live objects; node {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after: "
              f"{(after - before) / count / 1024:.1f} KiB each")
