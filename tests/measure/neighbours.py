#!/usr/bin/env python3
"""Measures what hostile objects cost their neighbours: latencies of echo calls before, beside objects that spin, and beside
objects that eat memory.

    cargo build --release && python3 tests/measure/neighbours.py"""
import http.client
import threading
import time

from system import System, percentile


def caller(system, path, body, stop, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", system.ports["http"], timeout=60)
    while not stop.is_set():
        connection.request("POST", path, body, headers or {})
        connection.getresponse().read()


def latencies(system, seconds):
    connection = http.client.HTTPConnection("127.0.0.1", system.ports["http"], timeout=60)
    taken, end = [], time.time() + seconds
    while time.time() < end:
        begun = time.perf_counter()
        connection.request("POST", "/v1/objects/Echo/neighbour/echo", b"1")
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200, reply.status
        taken.append((time.perf_counter() - begun) * 1e3)
        time.sleep(0.002)
    return taken


def beside(system, what, hostile, path, body):
    stop = threading.Event()
    threads = [threading.Thread(target=caller, args=(system, path.format(n), body, stop)) for n in range(hostile)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    taken = latencies(system, 8)
    stop.set()
    for thread in threads:
        thread.join()
    print(f"| {what} | {percentile(taken, 50):.2f} | {percentile(taken, 99):.1f} | {max(taken):.1f} | {len(taken)} |", flush=True)


if __name__ == "__main__":
    with System(["echo", "mischief"]) as system:
        print("| neighbours | p50 ms | p99 ms | max ms | calls |\n| --- | --- | --- | --- | --- |")
        beside(system, "none", 0, "", b"")
        beside(system, "one that spins", 1, "/v1/objects/Mischief/spin-{}/spin", None)
        beside(system, "four that spin", 4, "/v1/objects/Mischief/spin-{}/spin", None)
        beside(system, "two that eat memory", 2, "/v1/objects/Mischief/eat-{}/allocate", b"1000000000")
        beside(system, "two that fill 48 MiB, again and again", 2, "/v1/objects/Mischief/fill-{}/allocate", b"50331648")
