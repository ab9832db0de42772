"""Runs aquifer beside llama.cpp on the same machine, in alternating rounds on as many threads, and prints the ratios that
docs/performance.md shows. It is what ./build.sh bench-peers calls; --help says how to narrow it down.

The first run downloads and builds llama.cpp and writes three GGUF files of Llama-2-7B's shape with random weights, 8 GB in
all, into the user's cache folder (see llama_cpp.py and noise_gguf.py).
"""

import argparse
import datetime
import json
import statistics
import sys
from pathlib import Path

import llama_cpp
import noise_gguf
import quiet

AQUIFER = Path(__file__).resolve().parents[2] / "bin" / "aquifer"
SHAPE = (4096, 4096)  # of the matrices that kernels are compared on
LLAMA2 = "llama-2-7b"
LLAMA2_TYPES = ("q2_K", "q4_0", "iq2_xxs")


class Samples:
    """Figures of all rounds, higher is better, by name: ours and theirs, or anything else."""

    def __init__(self):
        self.figures = {}
        self.others = []  # processors that others used, by round

    def add(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def ratios(self, above, below):
        """Returns the ratio of two figures in each round; below may be a list, whose best counts."""
        rivals = below if isinstance(below, list) else [below]
        if any(name not in self.figures for name in [above, *rivals]):
            return []
        best = [max(values) for values in zip(*(self.figures[name] for name in rivals))]
        return [a / b for a, b in zip(self.figures[above], best)]


def p50(values):
    return statistics.median(values)


def p90(values):
    """What nine of ten rounds reach: the tenth percentile, and the worst of fewer than ten."""
    return sorted(values)[len(values) // 10]


def ours(*args):
    return json.loads(llama_cpp.run(AQUIFER, "bench", *args, "-o", "json"))


def tokens_per_second(rows, prompt, gen):
    return next(r["avg_ts"] for r in rows if r["n_prompt"] == prompt and r["n_gen"] == gen)


# ---- whole models -------------------------------------------------------------------------------------------------


def smollm2(peer, level, native, threads, samples):
    """One round of the embedded model against the file it was made from."""
    for precision in ("exact", "fast"):
        rows = ours("-p", 512, "-n", 128, "-r", 2, "-t", threads, "--level", level, "--precision", precision)
        samples.add(f"{precision} decode", tokens_per_second(rows, 0, 128))
        samples.add(f"{precision} prefill", tokens_per_second(rows, 512, 0))
    env = peer.environment(level, native)
    rows = json.loads(peer.bench(env, "-m", llama_cpp.smollm2(), "-p", 512, "-n", 128, "-r", 2, "-t", threads))
    samples.add("Q4_1 decode", tokens_per_second(rows, 0, 128))
    samples.add("Q4_1 prefill", tokens_per_second(rows, 512, 0))


def llama2(peer, level, native, threads, samples):
    """One round of Llama-2-7B's shape: 2x8g8 against the types of LLAMA2_TYPES, and against its own products."""
    # Large prompts take long: smaller ones warm up for them, and one of 512 tokens is run where a ratio wants it.
    for precision, prompts in (("exact", "16,64"), ("fast", "16,64,512")):
        rows = ours("--synthetic", f"{LLAMA2}:2x8g8", "--no-warmup", "-p", prompts, "-n", 16, "-r", 1, "-t", threads,
                    "--level", level, "--precision", precision)  # fmt: skip
        add_tests(samples, precision, rows)
    samples.add("products of fast", 1 / products_of_a_token(level, threads))
    env = peer.environment(level, native)
    for kind in LLAMA2_TYPES:
        prompts = "16,64,512" if kind == "q2_K" else "16,64"
        model = noise_gguf.write(llama_cpp.cache(), LLAMA2, kind)
        rows = json.loads(peer.bench(env, "-m", model, "--no-warmup", "-p", prompts, "-n", 16, "-r", 1, "-t", threads))
        add_tests(samples, kind, rows)


def add_tests(samples, name, rows):
    for r in rows:
        if r["n_gen"] > 0:
            samples.add(f"{name} decode", r["avg_ts"])
        elif r["n_prompt"] > 16:
            samples.add(f"{name} prefill {r['n_prompt']}", r["avg_ts"])


def products_of_a_token(level, threads):
    """Returns the seconds that the products of a token of Llama-2-7B take, 2x8g8 fast and the head in Q8_0."""
    common = ("--kernels", "-b", 1, "-r", 3, "-t", threads, "--level", level)
    shape = noise_gguf.SHAPES[LLAMA2]
    hidden, inner = shape["hidden"], shape["inner"]
    count = {(hidden, hidden): 4, (inner, hidden): 2, (hidden, inner): 1}
    names = ",".join(f"{rows}x{cols}" for rows, cols in count)
    layers = ours(*common, "--precision", "fast", "--encodings", "2x8g8", "--shapes", names)
    head = ours(*common, "--encodings", "q8_0", "--shapes", f"{shape['vocab']}x{hidden}")
    layer = sum(r["median_ns"] * count[r["n_rows"], r["n_cols"]] for r in layers)
    return (layer * shape["layers"] + head[0]["median_ns"]) / 1e9


# ---- products -----------------------------------------------------------------------------------------------------


def kernels(peer, level, native, threads, samples):
    """One round of single products."""
    rows, cols = SHAPE
    batch = "1,4,8,64,512"
    reads = []
    for r in ours("--kernels", "--encodings", "2x8g8,1x16g8", "--shapes", f"{rows}x{cols}", "-b", batch, "-r", 3, "-t", threads,
                  "--level", level):  # fmt: skip
        samples.add(f"{r['encoding']} {r['precision']} {r['n_tokens']}", r["gflop_s"])
        reads.append(r["read_gb_s"])
    samples.add("GB/s of merely reading", p50(reads))
    types = "f16,q4_0,q2_K,iq2_xxs"
    env = peer.environment(level, native)
    for line in llama_cpp.run(peer.products(), rows, cols, threads, 3, batch, types, env=env).splitlines():
        r = json.loads(line)
        ns = p50(r["samples_ns"])
        samples.add(f"{r['encoding']} {r['n_tokens']}", 2 * rows * cols * r["n_tokens"] / ns)


# ---- tables -------------------------------------------------------------------------------------------------------

# What issue 5 asks for: name, ours, theirs, and at least / aim of an AVX2 and of an AVX-512 machine.
LLAMA_BEST_512 = ["f16 512", "q4_0 512", "q2_K 512", "iq2_xxs 512"]
ROWS = {
    "kernels": [
        ("2x8 fast / IQ2_XXS", "2x8g8 fast 1", "iq2_xxs 1", "1.8 / 2.3", "4.0 / 5.2"),
        ("2x8 fast / Q2_K", "2x8g8 fast 1", "q2_K 1", "1.15 / 1.3", "1.5 / 1.9"),
        ("2x8 fast / Q4_0", "2x8g8 fast 1", "q4_0 1", "1.7 / 2.0", "1.7 / 2.2"),
        ("2x8 exact / IQ2_XXS", "2x8g8 exact 1", "iq2_xxs 1", "1.3 / 1.6", "2.8 / 3.6"),
        ("2x8 exact / Q2_K", "2x8g8 exact 1", "q2_K 1", "0.7 / 0.85", "1.0 / 1.2"),
        ("1x16 fast / IQ2_XXS", "1x16g8 fast 1", "iq2_xxs 1", "0.65 / 0.8", "0.75 / 0.9"),
        ("1x16 fast / F16, 4 tokens", "1x16g8 fast 4", "f16 4", "1.2 / 1.6", "1.1 / 1.4"),
        ("2x8 fast / Q4_0, 64 tokens", "2x8g8 fast 64", "q4_0 64", "2.2 / 2.8", "2.1 / 2.8"),
        ("2x8 fast / Q2_K, 64 tokens", "2x8g8 fast 64", "q2_K 64", "2.8 / 3.5", "3.4 / 4.5"),
        ("2x8 fast / llama.cpp's best, 512 tokens", "2x8g8 fast 512", LLAMA_BEST_512, "1.5 / 2.0", "1.5 / 2.0"),
        ("2x8 fast, 8 tokens / 1, work per second", "2x8g8 fast 8", "2x8g8 fast 1", "2.0 / 3.0", "1.0 / 1.4"),
    ],
    "llama2": [
        ("2x8 fast / Q2_K, decode", "fast decode", "q2_K decode", "1.15 / 1.4", "1.6 / 2.0"),
        ("2x8 fast / Q2_K, prefill 512", "fast prefill 512", "q2_K prefill 512", "2.5 / 3.5", "3.0 / 4.0"),
        ("2x8 exact / Q2_K, decode", "exact decode", "q2_K decode", "", ""),
        ("2x8 fast / Q4_0, decode", "fast decode", "q4_0 decode", "", ""),
        ("2x8 fast / IQ2_XXS, decode", "fast decode", "iq2_xxs decode", "", ""),
        ("2x8 fast / Q4_0, prefill 64", "fast prefill 64", "q4_0 prefill 64", "", ""),
        ("decode over the sum of its products", "fast decode", "products of fast", "0.85 / 0.95", "0.85 / 0.95"),
    ],
    "smollm2": [
        ("4x8g8 exact / Q4_1, decode 128", "exact decode", "Q4_1 decode", "1.0 / 1.3", "1.0 / 1.3"),
        ("4x8g8 fast / Q4_1, decode 128", "fast decode", "Q4_1 decode", "1.0 / 1.3", "1.0 / 1.3"),
        ("4x8g8 exact / Q4_1, prefill 512", "exact prefill", "Q4_1 prefill", "1.0 / 2.0", "1.0 / 2.0"),
    ],
}
TITLES = {
    "kernels": f"Products, {SHAPE[0]} x {SHAPE[1]}, cold weights, GFLOP/s",
    "llama2": "Llama-2-7B's shape with random weights, tokens/s",
    "smollm2": "SmolLM2-135M, tokens/s",
}
ROUND = {"kernels": kernels, "llama2": llama2, "smollm2": smollm2}


def plural(n, word):
    return f"{n} {word}{'s' * (n != 1)}"


def table(header, rows):
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def report(part, level, by_threads):
    """Prints ratios and figures of a part at a level; by_threads maps numbers of threads to samples."""
    print(f"### {TITLES[part]}, level {level}\n")
    names = [plural(n, "thread") for n in by_threads]
    rows = []
    for name, above, below, avx2, avx512 in ROWS[part]:
        cells = [s.ratios(above, below) for s in by_threads.values()]
        rows.append([name, avx512 if level == "avx512" else avx2, *(f"{p50(c):.2f} ({p90(c):.2f})" if c else "" for c in cells)])
    if part == "kernels" and len(by_threads) > 1:
        one, most = by_threads[min(by_threads)], by_threads[max(by_threads)]
        ratios = [b / a for a, b in zip(one.figures["2x8g8 fast 1"], most.figures["2x8g8 fast 1"])]
        goal = "1.7 / 1.9" if level == "avx512" else "1.8 / 1.95"
        blank = [""] * (len(names) - 1)
        rows.append([f"2x8 fast, {max(by_threads)} threads / one", goal, *blank, f"{p50(ratios):.2f} ({p90(ratios):.2f})"])
    table(["ratio", "at least / aim", *(f"{n}, p50 (p90)" for n in names)], rows)
    figures = []
    for name in next(iter(by_threads.values())).figures:
        figures.append([name, *(f"{p50(s.figures[name]):.1f}" for s in by_threads.values())])
    figures.append(["processors that others used", *(f"{p50(s.others):.2f} (worst {max(s.others):.2f})" for s in by_threads.values())])
    table(["p50 of", *names], figures)


def main():
    parser = argparse.ArgumentParser(prog="build.sh bench-peers", description=__doc__.split("\n\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to compare: {', '.join(ROUND)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each part (default 5)")
    parser.add_argument("--levels", help="levels, separated by commas (default: all but baseline)")
    parser.add_argument("--quiet", type=float, default=20, help="seconds to wait, before each measurement, for others to be quiet (default 20)")
    parser.add_argument("--threads", help="numbers of threads, separated by commas (default: 1 and all; all for whole models)")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(ROUND):
        parser.error(f"no part {', '.join(unknown)}")
    doctor = json.loads(llama_cpp.run(AQUIFER, "doctor", "--json"))
    levels = [r["name"] for r in doctor["levels"] if r["ok"] and r["name"] != "baseline"]
    native, every = levels[-1], doctor["default_threads"]
    peer = llama_cpp.LlamaCpp()
    info = json.loads(peer.bench(None, "-m", llama_cpp.smollm2(), "-p", 1, "-n", 0, "-r", 1))[0]
    print(f"aquifer {doctor['version']} and llama.cpp {info['build_commit']} on {doctor['cpu']}, {doctor['logical_cores']} processors, "
          f"{datetime.date.today()}, {plural(args.rounds, 'round')}. They alternate between the programs and levels; a ratio is that of one round. p50 is the "
          "median over the rounds, p90 what nine of ten reach (the worst of fewer). Below its best level the machine stands "
          "in for one without: ours runs with --level, ggml is built without the rest.\n")  # fmt: skip
    for part in args.parts or ROUND:
        threads = [int(n) for n in args.threads.split(",")] if args.threads else sorted({1, every} if part == "kernels" else {every})
        wanted = args.levels.split(",") if args.levels else levels[::-1]
        samples = {level: {n: Samples() for n in threads} for level in wanted}
        for i in range(args.rounds):
            for level in wanted:
                for n in threads:
                    llama_cpp.say(f"{part}, round {i + 1} of {args.rounds}, {level}, {plural(n, 'thread')}")
                    if not quiet.wait(args.quiet):
                        llama_cpp.say("others use this machine, which two programs do not suffer from alike")
                    others = quiet.Others()
                    ROUND[part](peer, level, native, n, samples[level][n])
                    samples[level][n].others.append(others.processors())
        for level in wanted:
            report(part, level, samples[level])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
