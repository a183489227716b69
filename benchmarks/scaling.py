"""Strong scaling from one to two workers on this machine, and what a paper model says of many.

    python benchmarks/scaling.py

Measured: images per second of `cifar_convnet.fit` on one single-threaded worker, on two that share each batch, and on
two that know nothing of each other: the last is what the processor gives, for two of its threads may share a core.

On paper: a step takes the time of its arithmetic, plus a ring all-reduce of the gradients,
2 (n - 1) / n * bytes / bandwidth + 2 (n - 1) * latency (Patarasuk and Yuan, 2009,
https://doi.org/10.1016/j.jpdc.2008.09.002), plus 2 log2(n) * latency for each small message of the synchronized batch
norms, three forwards and three backwards each. Nothing overlaps. Its assumptions stand in `LINKS` and `GPU`.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

BATCH_SIZE, STEPS, WARM_UP = 256, 24, 4
GPU = 100e12  # floating-point operations per second that a GPU reaches on such networks: assumed
LINKS = {  # name -> (workers, bytes per second of each link, seconds of latency per message): assumed
    "8 GPUs of one machine (NVLink, 300 GB/s)": (8, 300e9, 5e-6),
    "64 machines of one GPU (100 Gbit/s Ethernet)": (64, 12.5e9, 20e-6),
}


def measure() -> None:
    """Trains as one worker, on one core and one thread, and prints the seconds of its steps as JSON."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[int(os.environ["SCALING_CORE"])]})
    import keras
    import tensorflow as tf

    from recipes import cifar_convnet

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    class Watch(keras.callbacks.Callback):
        times: list = []

        def on_train_batch_end(self, batch, logs=None):
            self.times.append(time.perf_counter())

    config = cifar_convnet.Config(
        dataset="shapes", precision="float32", epochs=1, batch_size=BATCH_SIZE, max_examples=BATCH_SIZE * STEPS,
        validation_fraction=0.02, checkpoint_seconds=1e9,
    )  # fmt: skip
    cifar_convnet.fit(config, callbacks=[Watch()], runs=os.environ["SCALING_RUNS"])
    seconds = [after - before for before, after in zip(Watch.times, Watch.times[1:], strict=False)][WARM_UP:]
    print("measured", json.dumps(seconds), flush=True)


def images_per_second(workers: int, together: bool, runs: str) -> float:
    """Returns the rate of so many workers, sharing batches or each with its own."""
    from recipes.cli.launch import free_ports

    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    processes = []
    for index in range(workers):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        where = {"SCALING_CORE": str(index), "SCALING_RUNS": f"{runs}/{workers}-{together}-{index * (not together)}"}
        if together:
            where["TF_CONFIG"] = json.dumps(cluster)
        command = [sys.executable, __file__, "--measure"]
        processes.append(subprocess.Popen(command, env={**os.environ, **where}, stdout=subprocess.PIPE, text=True))
    rates = []
    for process in processes:
        output = process.communicate()[0]
        assert process.returncode == 0, output
        [line] = [line for line in output.splitlines() if line.startswith("measured ")]
        rates.append(BATCH_SIZE / statistics.median(json.loads(line.split(" ", 1)[1])))
    return rates[0] if together else sum(rates)


def networks() -> dict[str, tuple[float, int, int, int]]:
    """Returns name -> (a training step's operations, bytes of gradients, small messages, batch in images or tokens)."""
    import keras

    from recipes import cifar_convnet, cifar_lecture

    found = {}
    for name, recipe in (("cifar_convnet", cifar_convnet), ("cifar_lecture", cifar_lecture)):
        model = recipe.build()
        per_image = 3 * forward_operations(model)  # forward, and twice that backward
        parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        messages = 6 * sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
        found[name] = (per_image * 1024, 4 * parameters, messages, 1024)
    tokens = 64 * 256
    found["Transformer, 10 M parameters"] = (6 * 10e6 * tokens, int(4 * 10e6), 0, tokens)  # 6 N D: Kaplan et al. (2020)
    return found


def forward_operations(model) -> int:
    """Returns the floating-point operations of convolutions and dense layers on one image."""
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return sum(2 * math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape) for layer in kernels)


def paper(
    operations: float, gradient: float, messages: int, workers: int, bandwidth: float, latency: float
) -> dict[str, float]:
    """Returns the milliseconds of a step's parts, the same batch for all workers, and the share of the ideal."""
    alone = operations / GPU
    compute = alone / workers
    reduce = 2 * (workers - 1) / workers * gradient / bandwidth + 2 * (workers - 1) * latency
    reduce += messages * 2 * math.log2(workers) * latency
    return {
        "step_ms": round(1e3 * (compute + reduce), 4),
        "all_reduce_ms": round(1e3 * reduce, 4),
        "speed_up_same_batch": round(alone / (compute + reduce), 2),
        "efficiency_same_batch": round(compute / (compute + reduce), 4),
        "efficiency_batch_per_worker": round(alone / (alone + reduce), 4),
    }


def predictions() -> dict:
    """Returns what the paper model says of each network on each of LINKS."""
    return {
        name: {
            "operations_per_step": operations,
            "gradient_bytes": gradient,
            "batch": batch,
            "small_messages": messages,
            **{link: paper(operations, gradient, messages, *numbers) for link, numbers in LINKS.items()},
        }
        for name, (operations, gradient, messages, batch) in networks().items()
    }


def main() -> None:
    """Measures, predicts, prints and writes benchmarks/results/scaling.json."""
    import tempfile

    from machine import environment

    with tempfile.TemporaryDirectory() as runs:
        turns = []
        for turn in range(3):  # in turns, for the machine's own speed changes
            turns.append(
                {
                    "one": images_per_second(1, True, f"{runs}/{turn}"),
                    "two_together": images_per_second(2, True, f"{runs}/{turn}"),
                    "two_apart": images_per_second(2, False, f"{runs}/{turn}"),
                }
            )
    middle = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    result = {
        "command": "python benchmarks/scaling.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": environment(),
        "batch_size": BATCH_SIZE,
        "images_per_second": turns,
        "speed_up_of_two": statistics.median(turn["two_together"] / turn["one"] for turn in turns),
        "ceiling_two_apart": statistics.median(turn["two_apart"] / turn["one"] for turn in turns),
        "ideal": 2,
        "median": middle,
        "paper": predictions(),
    }
    print(json.dumps(result, indent=2))
    (Path(__file__).parent / "results" / "scaling.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="be one of the workers")
    measure() if parser.parse_args().measure else main()
