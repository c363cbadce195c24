"""The Router of 3.0.1 and `daffi router` beside each other: `routers.py PATH_OF_DAFFI [MILLISECONDS [ROUNDS]]`.

Run by an interpreter that has daffi 3.0.1. Pairs of a caller and a worker of 3.0.1 call one at a time
through each Router in turn, on all cores and with everything on one. What is told are medians of the rounds.
"""

import glob
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROUTER = [sys.executable, f"{HERE}/service.py", "router"]


def start(command, cores):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, cores), **pipes)
    return process, process.stdout.readline().split()[0]


def used(process):
    """Microseconds of CPU, of every thread that is there."""
    paths = glob.glob(f"/proc/{process.pid}/task/*/schedstat")
    return sum(int(pathlib.Path(path).read_text(encoding="ascii").split()[0]) for path in paths) / 1000


def one_round(command, cores, pairs, milliseconds):
    router, endpoint = start(command, cores)
    address = endpoint.rpartition("/")[2]
    host, _, port = address.rpartition(":")
    nodes, callers = [router], []
    for number in range(pairs):
        worker, _ = start([sys.executable, f"{HERE}/service.py", "worker", address, f"worker-{number}"], cores)
        caller = [sys.executable, f"{HERE}/client.py", host, port, "PICKLE", f"caller-{number}", f"worker-{number}"]
        callers.append(start(caller, cores)[0])
        nodes += [worker, callers[-1]]

    def work(milliseconds):
        for caller in callers:
            caller.stdin.write(f"{milliseconds}\n")
            caller.stdin.flush()
        return [json.loads(caller.stdout.readline()) for caller in callers]

    work(300)
    before = [used(node) for node in nodes]
    outcomes = work(milliseconds)
    spent = [used(node) - was for node, was in zip(nodes, before)]
    calls = sum(outcome["calls"] for outcome in outcomes)
    for node in reversed(nodes):
        node.stdin.close()
        node.terminate()
        node.wait()
    return sum(outcome["calls"] / outcome["seconds"] for outcome in outcomes), spent[0] / calls, sum(spent) / calls


def main(daffi, milliseconds=2000, rounds=4):
    ours = [daffi, "--quiet", "router", "--listen", "tcp://127.0.0.1:0"]
    routers = {"Router of 3.0.1": ROUTER, "daffi router": ours, "daffi router --threads 1": [*ours, "--threads", "1"]}
    every = os.sched_getaffinity(0)
    print("| | calls/s | CPU of the Router per call | of all processes |\n|---|---|---|---|")
    for where, cores in ((f"{len(every)} cores", every), ("one CPU", {min(every)})):
        for pairs in (1, 2, 4):
            found = {name: [] for name in routers}
            for _ in range(int(rounds)):
                for name, command in routers.items():
                    found[name].append(one_round(command, cores, pairs, int(milliseconds)))
            for name, runs in found.items():
                rate, router, whole = (sorted(column) for column in zip(*runs))
                middle = statistics.median
                spread = f"({router[0]:.1f}..{router[-1]:.1f})"
                line = f"| {where}, {pairs} pairs: {name} | {middle(rate):.0f} | {middle(router):.1f} us {spread} |"
                print(line, f"{middle(whole):.0f} us |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
