"""An MCP server for tests, by hand: it starts quickly, and can be as wrong as a test wants it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

TOOLS = ["echo", "fail", "hang", "large", "nonsense", "die", "pid"]


def say(message: dict) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(question: dict, result: dict) -> None:
    say({"id": question["id"], "result": result})


def told(structured: dict) -> dict:
    return {"content": [{"type": "text", "text": json.dumps(structured)}], "structuredContent": structured}


def call(question: dict) -> None:
    arguments = question["params"].get("arguments") or {}
    match question["params"]["name"]:
        case "echo":
            answer(question, told(arguments))
        case "pid":
            answer(question, told({"pid": os.getpid()}))
        case "fail":
            answer(question, {"content": [{"type": "text", "text": "the disk\nis full"}], "isError": True})
        case "hang":
            time.sleep(3600)
        case "large":
            answer(question, told({"text": "x" * 1_100_000}))
        case "nonsense":
            print("Starting up ...", flush=True)
        case "die":
            print("out of cheese", file=sys.stderr, flush=True)
            os._exit(7)


def act(question: dict) -> None:
    match question.get("method"):
        case "initialize":
            version = question["params"]["protocolVersion"]
            info = {"name": "test", "version": "1"}
            answer(question, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
        case "tools/list":
            schema = {"type": "object"}
            answer(question, {"tools": [{"name": name, "inputSchema": schema} for name in TOOLS]})
        case "tools/call":
            threading.Thread(target=call, args=(question,), daemon=True).start()
        case _ if "id" in question:
            say({"id": question["id"], "error": {"code": -32601, "message": "Method not found"}})


if "deaf" in sys.argv:
    time.sleep(3600)
if "gibberish" in sys.argv:
    print("Welcome to the server!", flush=True)
for line in sys.stdin:
    act(json.loads(line))
