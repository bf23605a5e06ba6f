"""An RPC agent for tests: it does what the capability says, well or badly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

COUNTED = {"starts": 1}


def answer(question: dict, **outcome: object) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": question["id"], **outcome})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def act(question: dict) -> None:
    params = question["params"]
    match question["method"]:
        case "echo":
            answer(question, result=params["input"])
        case "task":
            answer(question, result=params)
        case "pid":
            answer(question, result={"pid": os.getpid()})
        case "fail":
            answer(question, error={"code": -32000, "message": "the disk\nis full"})
        case "hang":
            time.sleep(3600)
        case "large":
            answer(question, result={"text": "x" * 1_100_000})
        case "endless":
            while True:
                sys.stdout.write("x" * 65536)
        case "nonsense":
            print("Starting up ...", flush=True)
        case "die":
            print("out of cheese", file=sys.stderr, flush=True)
            os._exit(7)
        case "neither":
            answer(question)
        case "breed":
            child = subprocess.Popen(["sleep", "3600"])
            answer(question, result={"child": child.pid})
        case unknown:
            answer(question, error={"code": -32601, "message": f"no method {unknown}"})


if "deaf" in sys.argv:  # it neither reads nor ends when it is asked to
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)
for line in sys.stdin:
    threading.Thread(target=act, args=(json.loads(line),), daemon=True).start()
