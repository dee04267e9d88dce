"""The main job in ten seconds: a registry, three producers, a consumer, and a kill -9.

Everything runs in processes of its own and finds each other through the registry alone. Ends by
itself, with exit code 0 if all went as it should.
"""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
NAMES = ("alice", "bob", "carol")


def start(stack: ExitStack, *arguments: str) -> "subprocess.Popen[str]":
    """Start Python with these arguments, until the tour ends."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- ours
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def line_of(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a process writes."""
    line = process.stdout.readline().strip() if process.stdout else ""
    if not line:
        sys.exit(f"{process.args!r} ended with exit code {process.wait()}")
    return line


def main() -> None:
    """Show it."""
    with ExitStack() as stack:
        print("1. A registry: zreg dev")
        registry = start(stack, "-m", "zreg", "dev", "--port", "0", "-o", "json")
        while "url" not in (said := json.loads(line_of(registry))):
            print(f"   {said['role']} node at {said['address']}")

        print("2. Three producers: examples/producer.py")
        url = f"--url={said['url']}"
        producers = [start(stack, str(HERE / "producer.py"), f"--name={n}", url) for n in NAMES]
        for producer in producers:
            print(f"   {line_of(producer)}")

        print("3. A consumer, which is told of nothing but the registry: examples/consumer.py")
        options = ["--count=15", "--interval-seconds=0.2", url]
        consumer = start(stack, str(HERE / "consumer.py"), *options)
        answers = [line_of(consumer) for _ in range(6)]
        print("   " + "\n   ".join(answers))
        heard = {name for name in NAMES if any(name in answer for answer in answers)}
        if heard != set(NAMES):
            sys.exit(f"only {sorted(heard)} of {NAMES} were called")

        print("4. kill -9 of alice; the consumer goes on")
        producers[0].kill()
        killed_at = time.monotonic()
        answers = [line_of(consumer) for _ in range(9)]
        print("   " + "\n   ".join(answers))
        # One answer may have been on its way already.
        if any("alice" in answer for answer in answers[1:]) or consumer.wait() != 0:
            sys.exit("the consumer noticed the kill")
        took = time.monotonic() - killed_at
        print(f"Done: 15 calls, no error, 9 of them in the {took:.1f} s after the kill.")


if __name__ == "__main__":
    main()
