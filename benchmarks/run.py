"""Time ours, the floor and the peer in turn, in one run; write benchmarks/results.json."""

from __future__ import annotations

import json
import multiprocessing
import platform
import resource
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median

import cyclopts
from work import BENCHMARKS

OUT = Path(__file__).with_name("results.json")


def measure(name: str, size: int, rounds: int) -> dict[str, object]:
    """Run one benchmark in a process of its own: medians in seconds, peak memory of ours in MB."""
    benchmark = BENCHMARKS[name]
    with tempfile.TemporaryDirectory() as folder:
        work = benchmark.prepare(size, Path(folder))
        work["ours"]()  # imports and caches warm
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds: dict[str, list[float]] = {way: [] for way in work}
        for _ in range(rounds):
            for way, job in work.items():
                start = time.perf_counter()
                own = job()  # a peer in an environment of its own gives its own seconds
                took = own if isinstance(own, float) else time.perf_counter() - start
                seconds[way].append(took)
    found = {way: round(median(values), 4) for way, values in seconds.items()}
    return {
        "name": name,
        "size": size,
        "ours_s": found["ours"],
        "floor": benchmark.floor,
        "floor_s": found["floor"],
        "peer": (benchmark.peer(size) if callable(benchmark.peer) else benchmark.peer) or None,
        "peer_s": found.get("peer"),
        "peak_mb": round(before / 1024),
        "rounds": rounds,
        "date": date.today().isoformat(),
        "machine": f"{multiprocessing.cpu_count()} cores, {platform.system()} {platform.machine()}",
    }


def main(*, name: str = "all", size: str = "", rounds: int = 5) -> None:
    """Run the benchmarks.

    Parameters
    ----------
    name
        One benchmark, or all.
    size
        Rows, such as 1e6; each benchmark's own size where left out.
    rounds
        How often each way runs; the median counts.
    """
    names = list(BENCHMARKS) if name == "all" else [name]
    unknown = [n for n in names if n not in BENCHMARKS]
    if unknown:
        raise SystemExit(f"no benchmark {unknown}; there are {list(BENCHMARKS)}")
    results = {
        (r["name"], r["size"]): r for r in (json.loads(OUT.read_text()) if OUT.exists() else [])
    }
    context = multiprocessing.get_context("spawn")
    for one in names:
        rows = int(float(size)) if size else int(BENCHMARKS[one].size)
        with context.Pool(1) as pool:
            found = pool.apply(measure, (one, rows, rounds))
        results[found["name"], found["size"]] = found
        ratio = found["ours_s"] / found["floor_s"]
        peer = f", peer {found['peer_s']} s" if found["peer_s"] else ""
        print(
            f"{one} ({rows:,}): ours {found['ours_s']} s = {ratio:.2f} × floor{peer}, peak {found['peak_mb']} MB"
        )
    text = json.dumps(sorted(results.values(), key=lambda r: (r["name"], r["size"])), indent=1)
    OUT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    cyclopts.run(main)
