"""`python -m tests.adversarial`: judge every fixture on this machine and write docs/trust.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from evo.device import Device, missing_for_cuda
from evo.facts import machine_facts
from tests.adversarial.judging import Bench, by_problem, private_runtime, rows_for
from tests.adversarial.results_page import alarm, load, record, save, summary_line, write_page


def main() -> int:
    """Judge and write; the status is 1 when a cheating kernel passed or an honest one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversarial", description=__doc__)
    parser.add_argument("rows", nargs="*", help="as A4 or A4.integers; all without any")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    if options.page:
        write_page()
        return 0
    device: Device = "cuda"
    if options.device == "cpu" or (not options.device and missing_for_cuda()):
        device = "cpu"
    private_runtime()
    rows = rows_for(device)
    if unknown := set(options.rows) - {name for r in rows for name in (r.row, r.key)}:
        parser.error(f"no row {', '.join(sorted(unknown))} for {device}; they have names as A4")
    if options.rows:
        rows = [r for r in rows if {r.row, r.key} & set(options.rows)]
    found = {}
    facts = machine_facts(device, threads=1)
    machine = {name: facts[name] for name in ("device", "torch") if name in facts}
    with tempfile.TemporaryDirectory(prefix="evo-adversarial-") as folder:
        os.environ["EVO_CACHE_DIR"] = folder
        with Bench(Path(folder), device) as bench:
            for row in by_problem(rows):
                found[row.key] = record(row, bench.finding(row))
                save(device, machine, found)
                print(summary_line(row, found[row.key]), flush=True)
    write_page()
    failed = [k for k, e in found.items() if e["caught"] is False or alarm(e)]
    print(f"{len(found)} rows judged, {len(load(device)['rows'])} recorded for {device}")
    if failed:
        print(f"open or false alarms: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
