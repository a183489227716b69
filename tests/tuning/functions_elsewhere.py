"""What the tests of processes have run in another process; light, so that it is imported fast."""

import errno
import io
import os
import signal
import sys
import time
from pathlib import Path

from recipes.errors import ConfigError


def add(a, b, send):
    return a + b


def ask(questions, send):
    return [send(question) for question in questions]


def refuse(send):
    raise ConfigError("units=0; expected 1 or more")


def kill_itself(send):
    os.kill(os.getpid(), signal.SIGKILL)


def exit_at_once(status, send):
    os._exit(status)


def exit_as_after_sigterm(send):
    raise SystemExit(75)


def break_down(send):
    raise ValueError("a fault of a recipe")


def print_and_die(text, send):
    print(text)
    os._exit(3)


def print_all_ways(text, send):
    print(text)
    print(text, file=sys.stderr)
    os.system(f"echo {text}")


def where_it_is(send):
    return os.getpid(), os.getppid()


def open_files(send):
    return len(list(Path("/proc/self/fd").iterdir()))


def note_sigterm(file, send):
    """Says that it waits, and waits; what it notes when SIGTERM comes is whole before it ends."""

    def note(number, frame):
        file.write_text("saved")
        os._exit(75)

    signal.signal(signal.SIGTERM, note)
    send(os.getpid())
    while True:
        time.sleep(60)


class FullDisk(io.StringIO):
    def flush(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_the_disk(send):
    sys.stdout = FullDisk()
    return "done"


def interrupt_itself(send):
    """Gets what Ctrl-C sends to all processes of a terminal."""
    os.kill(os.getpid(), signal.SIGINT)
    return "not interrupted"


def search(folder, number):
    """Is a process with `number` functions in processes of their own, that waits until it is killed."""
    import threading

    from recipes.tuning.processes import Processes

    waiting = threading.Semaphore(0)
    with Processes([]) as processes:
        for one in range(number):
            threading.Thread(
                target=processes.run,
                args=(note_sigterm, folder / f"{one}.txt"),
                kwargs={"log": folder / "log.txt", "on_message": lambda number: waiting.release()},
                daemon=True,
            ).start()
        for _ in range(number):
            waiting.acquire()
        print("ready", flush=True)
        time.sleep(60)


def take(place, send):
    """Takes a share of the machine; returns what is seen of it then."""
    import tensorflow as tf

    place.take()
    tf.reduce_sum(tf.ones(10))  # starts the runtime and its threads
    logical = len(tf.config.list_logical_devices("CPU"))
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return {"logical": logical}
    processors = {task.name: sorted(os.sched_getaffinity(int(task.name))) for task in tasks.iterdir()}
    names = {task: (tasks / task / "comm").read_text().strip() for task in processors}
    pool = [processors[task] for task, name in names.items() if name == "tf_Compute"]
    return {"logical": logical, "processors": sorted(os.sched_getaffinity(0)), "pool": pool}
