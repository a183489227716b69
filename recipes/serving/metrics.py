"""What has been asked and how long it took, on a page for Prometheus under TensorFlow Serving's names."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from typing import Any

#: Upper bounds in microseconds, as TensorFlow's: 10 * 1.8^k.
BOUNDS = [10 * 1.8**k for k in range(33)]

PREFIX = ":tensorflow:serving:"
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms of one server. Any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[Labels]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = {}  # 33 + 1 buckets, and the sum

    def count(self, name: str, number: int = 1, **labels: str) -> None:
        """Adds to a counter."""
        with self._lock:
            self._counts.setdefault(name, Counter())[tuple(labels.items())] += number

    def total(self, name: str) -> int:
        """Returns a counter's sum over all its labels."""
        with self._lock:
            return sum(self._counts.get(name, Counter()).values())

    def observe(self, name: str, microseconds: float, **labels: str) -> None:
        """Adds a duration to a histogram."""
        with self._lock:
            of_name = self._histograms.setdefault(name, {})
            histogram = of_name.setdefault(tuple(labels.items()), [0.0] * (len(BOUNDS) + 2))
            histogram[bisect.bisect_left(BOUNDS, microseconds)] += 1
            histogram[-1] += microseconds

    def page(self) -> str:
        """Returns everything in Prometheus' text format.

        >>> metrics = Metrics()
        >>> metrics.count("request_count", model_name="m", status="OK")
        >>> print(metrics.page(), end="")
        # TYPE :tensorflow:serving:request_count counter
        :tensorflow:serving:request_count{model_name="m",status="OK"} 1
        """
        lines: list[str] = []
        with self._lock:
            for name, counts in sorted(self._counts.items()):
                lines.append(f"# TYPE {PREFIX}{name} counter")
                lines += [f"{PREFIX}{name}{{{_written(labels)}}} {number}" for labels, number in sorted(counts.items())]
            for name, histograms in sorted(self._histograms.items()):
                lines.append(f"# TYPE {PREFIX}{name} histogram")
                for labels, histogram in sorted(histograms.items()):
                    lines += _lines_of_histogram(PREFIX + name, labels, histogram)
        return "\n".join([*lines, ""])


def _lines_of_histogram(name: str, labels: Labels, histogram: list[float]) -> list[str]:
    lines, total = [], 0
    for bound, number in zip([*map(_bound, BOUNDS), "+Inf"], histogram[:-1], strict=True):
        total += int(number)
        lines.append(f"{name}_bucket{{{_written((*labels, ('le', bound)))}}} {total}")
    lines.append(f"{name}_sum{{{_written(labels)}}} {histogram[-1]:g}")
    lines.append(f"{name}_count{{{_written(labels)}}} {total}")
    return lines


def _bound(value: float) -> str:
    return f"{value:g}"


def _written(labels: Any) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
