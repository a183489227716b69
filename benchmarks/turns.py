"""Contestants in processes of their own that take turns, so that the machine's moods meet all alike.

A contestant's program imports this file, whatever interpreter runs it: nothing beyond the standard library is used. It
gets ready and calls `serve`; the program that compares starts it as a `Contestant`, and asks it for so many rounds of
its work.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


# ---------------------------------------------------------------- what is compared


def serve(work: Callable[[int], None], facts: dict[str, Any]) -> None:
    """Prints some facts as JSON, and then answers each number of its input with the seconds of so much work.

    Args:
        work: Does it so many times, and returns when all of it is done.
        facts: What the program that compares wants to know.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    work(2)  # the first traces and compiles
    print(json.dumps(facts), file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        work(int(line))
        print(time.perf_counter() - start, file=answers, flush=True)


# ---------------------------------------------------------------- what compares


class Contestant:
    """A program that `serve`s, in a process of its own, with all cores.

    Args:
        command: Starts it, in this folder.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )

    def facts(self) -> dict[str, Any]:
        """Returns what it tells of itself, when it is ready.

        Raises:
            RuntimeError: If it has ended instead, with the last line that it printed.
        """
        return json.loads(self._answer())

    def seconds(self, count: int) -> float:
        """Returns how long it takes for so much work.

        Raises:
            RuntimeError: If it has ended instead.
        """
        print(count, file=self.process.stdin, flush=True)
        return float(self._answer())

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.communicate()
        self.log.close()

    def _answer(self) -> str:
        if line := self.process.stdout.readline():
            return line
        self.process.wait()
        self.log.seek(0)
        lines = [line for line in self.log.read().splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"exit status {self.process.returncode}")


def rates_in_turns(
    commands: dict[str, Sequence[str]], rounds: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]], dict[str, str]]:
    """Returns (times a second in each round, facts, why it failed), by the contestants' names.

    Args:
        commands: Start the contestants.
        rounds: How often each has its turn.
        seconds: About how long a turn takes.
    """
    contestants = {name: Contestant(command) for name, command in commands.items()}
    facts, failed, counts = {}, {}, {}
    try:
        for name, contestant in contestants.items():
            try:
                facts[name] = contestant.facts()
            except RuntimeError as error:
                failed[name] = str(error)[:300]
                print(f"  {name} failed: {failed[name]}", flush=True)
        for name in facts:  # when all are ready
            contestants[name].seconds(1)
            counts[name] = max(1, round(seconds / (contestants[name].seconds(3) / 3)))
        rates = {name: [] for name in facts}
        for _ in range(rounds):
            for name in facts:
                rates[name].append(counts[name] / contestants[name].seconds(counts[name]))
    finally:
        for contestant in contestants.values():
            contestant.stop()
    return rates, facts, failed


def fastest(rates: dict[str, list[float]], prefix: str) -> str | None:
    """Returns which of the contestants whose names begin so is the fastest; None where there is none."""
    return max((name for name in rates if name.startswith(prefix)), key=lambda name: median(rates[name]), default=None)


def ratio(rates: dict[str, list[float]], name: str | None, other: str | None) -> float | None:
    """Returns how many times as fast as the other a contestant is, the median over the rounds."""
    if name is None or other is None:
        return None
    return round(median([a / b for a, b in zip(rates[name], rates[other], strict=True)]), 3)


def median(values: Sequence[float]) -> float:
    """Returns the median."""
    return float(statistics.median(values))


# ---------------------------------------------------------------- the command line, and result files


def parser_for(description: str | None, result: Path) -> argparse.ArgumentParser:
    """Returns the options that all programs of recipes have: their names, and the file to write."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes; none: all")
    parser.add_argument("--output", type=Path, default=result, help="the file to write")
    return parser


def parsed(parser: argparse.ArgumentParser, recipes: Sequence[str]) -> argparse.Namespace:
    """Returns the options, refusing names that are not among the recipes."""
    args = parser.parse_args()
    if unknown := set(args.names) - set(recipes):
        parser.error(f"no such recipe here: {', '.join(sorted(unknown))}; expected some of {', '.join(recipes)}")
    return args


def machine(rates: bool = True) -> dict[str, Any]:
    """Returns hardware, versions and rates, measured now by machine.py in a process of its own."""
    without = "import json, machine; print(json.dumps(machine.environment()))"
    command = [sys.executable, *(["machine.py"] if rates else ["-c", without])]
    return json.loads(subprocess.run(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=True).stdout)


def write_entries(path: Path, command: str, entries: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """Puts some recipes' entries into a result file, beside those that it has of this machine; returns all of these.

    Args:
        path: Of the file, which may have entries of other machines, by processor and cores.
        command: That measures them all.
        entries: By recipe.
        about: The machine, of `machine`.
    """
    result = json.loads(path.read_text()) if path.exists() else {"command": command, "machines": {}}
    key = f"{about['processor']}, {about['cores']} cores"
    of_machine = result["machines"].setdefault(key, {"recipes": {}})
    of_machine["machine"] = about
    of_machine["recipes"] |= entries
    result["command"] = command
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=2) + "\n")
    part.rename(path)
    return of_machine["recipes"]
