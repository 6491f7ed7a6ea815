#!/usr/bin/env python3
"""What loadgen writes, read by others: the JSON by a validator of JSON Schema, the histograms by HdrHistogram's
Python reader. Called by scripts/test with the path of the built loadgen; needs tests/clients/requirements.txt.

The run is tests/golden/run.json, which the unit tests keep as it is written today. Prints a line per check.
"""

import collections
import io
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import jsonschema
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

HERE = pathlib.Path(__file__).resolve().parent
LONGEST_NS = 3_600_000_000_000


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"FAIL {what}: found {found!r}, wanted {wanted!r}")


def check_schema(run):
    schema = json.loads((HERE.parent / "schema/run-1.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for error in validator.iter_errors(run):
        sys.exit(f"FAIL schema: {error.json_path}: {error.message[:200]}")
    for spoil in ({"schema": "quoit-loadgen/2"}, {"measured_s": -1}, {"surprise": 1}):
        expect(validator.is_valid({**run, **spoil}), False, f"schema with {spoil}")
    print("ok   the JSON is as its schema says")


def quantile(histogram, share):
    """The least recorded duration that this share of samples does not exceed (Python's port rounds the rank)."""
    rank = math.ceil(share * histogram.get_total_count() - 1e-6)
    for step in histogram.get_recorded_iterator():
        if step.total_count_to_this_value >= rank:
            return histogram.get_highest_equivalent_value(step.value_iterated_to)


def check_histogram(durations, what):
    """The figures beside a histogram are those that its own reader finds in it."""
    histogram = HdrHistogram.decode(durations["histogram"])
    expect(histogram.get_total_count(), durations["count"], f"{what}: count")
    for name, share in (("p50_ns", 0.5), ("p90_ns", 0.9), ("p99_ns", 0.99), ("p999_ns", 0.999)):
        if durations[name] is not None:
            expect(quantile(histogram, share), durations[name], f"{what}: {name}")


def check_histograms(run):
    for name in ("response", "service", "lag"):
        check_histogram(run["total"][name], name)
    print("ok   HdrHistogram reads the histograms and finds the same quantiles")


def check_log(path, run):
    reader = HistogramLogReader(str(path), HdrHistogram(1, LONGEST_NS, 3))
    total = HdrHistogram(1, LONGEST_NS, 3)
    for interval in run["intervals"]:
        histogram = reader.get_next_interval_histogram()
        expect(histogram.get_total_count(), interval["response"]["count"], "log: count of an interval")
        start_ms = run["started_unix_ms"] + interval["start_s"] * 1000
        expect(abs(histogram.get_start_time_stamp() - start_ms) < 1, True, "log: start of an interval")
        total.add(histogram)
    expect(reader.get_next_interval_histogram(), None, "log: its end")
    expect(total.get_total_count(), run["total"]["response"]["count"], "log: count of all")
    expect(quantile(total, 0.99), run["total"]["response"]["p99_ns"], "log: p99 of all")
    print("ok   HdrHistogram reads the interval log and adds it up to the whole")


def check_distribution(path, run):
    """Every row counts what HdrHistogram counts up to its value (Python's port takes other steps than Java)."""
    histogram = HdrHistogram.decode(run["total"]["response"]["histogram"])
    counts = collections.defaultdict(set)   # several values look alike when printed
    for step in histogram.get_recorded_iterator():
        value = histogram.get_highest_equivalent_value(step.value_iterated_to)
        counts[f"{value / 1e6:.3f}"].add(step.total_count_to_this_value)
    printed = io.BytesIO()
    histogram.output_percentile_distribution(printed, 1e6)
    lines = path.read_text().splitlines()
    expect(lines[:2], printed.getvalue().decode().splitlines()[:2], "distribution: head")
    rows = [line.split() for line in lines[2:] if not line.startswith("#")]
    expect([row for row in rows if int(row[2]) not in counts[row[0]]], [], "distribution: counts")
    expect((len(rows) > 40, rows[-1][1]), (True, "1.000000000000"), "distribution: its end")
    print("ok   the distribution counts as HdrHistogram does")


def main():
    loadgen, golden = sys.argv[1], HERE / "golden/run.json"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        kinds = ",".join(f"{kind}={folder / kind}" for kind in ("json", "hlog", "hgrm"))
        subprocess.run([loadgen, "report", golden, "-o", kinds], check=True, timeout=20,
                       stdout=subprocess.DEVNULL)
        run = json.loads((folder / "json").read_text())
        expect(run, json.loads(golden.read_text()), "a run that is read and written again")
        check_schema(run)
        check_histograms(run)
        check_log(folder / "hlog", run)
        check_distribution(folder / "hgrm", run)


if __name__ == "__main__":
    main()
