"""What zreg does, in ten seconds: a registry, three producers, a consumer, and a kill -9.

Each of them is a process of its own, and they find each other only through the registry. The tour
ends by itself, with exit code 0 if everything worked.
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
    """Start Python with these arguments; kill it when the tour ends."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- ours
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def line_of(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a process writes; end the tour if it writes none."""
    line = process.stdout.readline().strip() if process.stdout else ""
    if not line:
        sys.exit(f"{process.args!r} ended with exit code {process.wait()}")
    return line


def main() -> None:
    """Run the tour."""
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

        print("3. A consumer, which knows only the registry: examples/consumer.py")
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
        # One answer of alice may already have been under way.
        if any("alice" in answer for answer in answers[1:]) or consumer.wait() != 0:
            sys.exit("the consumer saw an error, or was sent to alice after the kill")
        took = time.monotonic() - killed_at
        print(f"Done: 15 calls, no error, 9 of them in the {took:.1f} s after the kill.")


if __name__ == "__main__":
    main()
