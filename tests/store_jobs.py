"""Records, and jobs of processes that share them; `test_store_faults.py` runs these.

A job that is run as a script imports the database alone: without torch it starts in a
tenth of a second. It prints what it found, and the warnings that it got, as JSON.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import random
import resource
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterable
from pathlib import Path

if __name__ == "__main__":
    (ROOT,) = importlib.util.find_spec("sktransfer").submodule_search_locations
    for name, place in (
        ("sktransfer", ROOT),
        ("sktransfer.features", ROOT + "/features"),
    ):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [place]

from sktransfer.features._database import Database  # noqa: E402

SPACE = b"the space of them"
ENOUGH = 2**30


def sample(number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=16).digest()


def samples(n: int) -> list[bytes]:
    return [sample(number) for number in range(n)]


@functools.cache
def value(key: bytes) -> bytes:
    """Return the one right value of a sample: 1 to 60 kilobytes, as records have."""
    digest = hashlib.shake_128(key)
    return digest.digest(1000 + int.from_bytes(digest.digest(2), "little") * 59 // 64)


def records(keys: Iterable[bytes]) -> dict[bytes, bytes]:
    return {key: value(key) for key in keys}


def is_right(found: dict[bytes, bytes]) -> bool:
    return all(content == value(key) for key, content in found.items())


def write_forever(folder: Path, seed: int) -> None:
    """Write, evict, read and clear until killed."""
    warnings.simplefilter("error")
    rng = random.Random(seed)
    database = Database(folder, 2**20)
    keys = samples(64)
    print("ready", flush=True)
    while True:
        action = rng.random()
        if action < 0.02:
            database.clear()
        elif action < 0.2:
            assert is_right(database.read(SPACE, rng.sample(keys, 8)))
        else:
            database.write(SPACE, records(rng.sample(keys, rng.randint(1, 12))))


def write_same(folder: Path, n_times: int) -> dict[str, object]:
    """Write the same records again and again, and read them in between."""
    database = Database(folder, ENOUGH)
    keys = samples(16)
    right = True
    for _ in range(n_times):
        database.write(SPACE, records(keys))
        right = right and database.read(SPACE, keys) == records(keys)
    return {"right": right}


def write_until_full(folder: Path, limit: int) -> dict[str, object]:
    """Write although no file may have more than `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    database = Database(folder, ENOUGH)
    keys = samples(128)
    right, counts = True, []
    for start in range(0, len(keys), 8):
        database.write(SPACE, records(keys[start : start + 8]))
        found = database.read(SPACE, keys)
        right = right and is_right(found)
        counts.append(len(found))
    return {"right": right, "counts": counts}


def clear_although_full(folder: Path, limit: int) -> dict[str, object]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    database = Database(folder, ENOUGH)
    n_before = len(database.read(SPACE, samples(64)))
    database.clear()
    return {"n_before": n_before, "n_after": len(database.read(SPACE, samples(64)))}


def use_as_other_user(folder: Path, user: int) -> dict[str, object]:
    """Read and write as a user that no permission is waived for."""
    if os.getuid() != user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    database = Database(folder, ENOUGH)
    keys = samples(40)
    found = database.read(SPACE, keys)
    for _ in range(3):
        database.write(SPACE, records(set(keys) - set(found)))
    again = database.read(SPACE, keys)
    database.clear()
    n_records = database.info().n_records
    return {
        "right": is_right(found) and found == again,
        "n_found": len(found),
        "n_records": n_records,
    }


def use_often(folder: Path, seconds: int) -> dict[str, object]:
    """Write what is missing, again and again."""
    database = Database(folder, ENOUGH)
    keys = samples(16)
    right, n_found, n_missing = True, 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = database.read(SPACE, keys)
        right = right and is_right(found)
        n_found += len(found)
        n_missing += len(keys) - len(found)
        database.write(SPACE, records(set(keys) - set(found)))
    return {"right": right, "n_found": n_found, "n_missing": n_missing}


def fork_while_writing(folder: Path, n_forks: int) -> dict[str, object]:
    """Fork while another thread writes; let each child write and read."""
    database = Database(folder, ENOUGH)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            database.write(SPACE, records(samples(32)))

    thread = threading.Thread(target=write)
    thread.start()
    codes = []
    for number in range(n_forks):
        time.sleep(0.003 * (number % 7))
        child = os.fork()
        if child == 0:
            own = [sample(1000 + number)]
            with warnings.catch_warnings(action="error"):
                database.write(SPACE, records(own))
                sound = database.read(SPACE, own) == records(own)
            os._exit(0 if sound else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    done.set()
    thread.join()
    everything = samples(32) + [sample(1000 + number) for number in range(n_forks)]
    right = database.read(SPACE, everything) == records(everything)
    return {"right": right, "codes": codes}


def main(job: str, folder: str, number: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = globals()[job](Path(folder), int(number))
    print(json.dumps({**result, "warnings": [str(w.message) for w in caught]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
