"""Autobahn's cases by kosoku, against a server (`server URL`) or a client (`client`, which is told the address on a
line of its own); prints every verdict as JSON. The further arguments choose cases, those with a minus leave some out.
"""

import asyncio
import json
import os
import sys

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver


def chosen(words):
    cases = [word for word in words if not word.startswith("-")]
    without = [word[1:] for word in words if word.startswith("-")]
    return cases or None, without or None


async def results(side, words):
    if side == "server":
        url, *words = words
        return await run_fuzzingclient(url, *chosen(words), concurrency=4)
    async with run_fuzzingserver(*chosen(words), host="127.0.0.1", port=0) as server:
        print(f"{server.address}:{server.port}", flush=True)
        return await server.get_result()


def main():
    side, *words = sys.argv[1:]
    failed = False
    try:
        found = asyncio.run(results(side, words))
    except FailureError as failure:
        found, failed = failure.results, True
    cases = [
        {
            "id": case.case_id,
            "behavior": case.behavior.value,
            "close": case.behavior_close.value,
            "passed": case.passed,
            "why": f"{case.result} / {case.result_close} / closed with {case.remote_close_code}, {case.duration} ms",
        }
        for case in found
    ]
    print(json.dumps({"failed": failed, "cases": cases}), flush=True)
    # All is said. What takes the interpreter down, with the judge's own threads in it, fails now and then.
    os._exit(0)


main()
