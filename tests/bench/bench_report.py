# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results as a table for people, as Markdown, and the targets with met or missed."""

import json
from statistics import median

from bench_run import figure_find

ROWS = [
    # phase, what it is, target: times the best of zram and zswap
    ("fill", "fill beyond the limit", 1.3),
    ("scan", "sequential scan", 2.0),
    ("read-uniform", "random reads, uniform", 1.3),
    ("read-zipf", "random reads, Zipf 0.99", 1.3),
    ("write-uniform", "random writes, uniform", 1.1),
    ("write-zipf", "random writes, Zipf 0.99", 1.1),
    ("read-threads", "4 threads, random reads", 1.1),
    ("redis-get", "redis GET", 1.1),
    ("redis-set", "redis SET", 1.1),
]
RIVALS = ("zram", "zswap+file")
FILE_ROWS = [
    # the same with a file: times the best of zswap+file and swap file
    ("fill", "fill beyond the limit", None),
    ("scan", "sequential scan", 2.0),
    ("read-uniform", "random reads, uniform", 1.15),
    ("read-zipf", "random reads, Zipf 0.99", 1.3),
    ("write-uniform", "random writes, uniform", None),
    ("write-zipf", "random writes, Zipf 0.99", None),
    ("read-threads", "4 threads, random reads", 1.2),
]
FILE_RIVALS = ("zswap+file", "swap file")
CODEC = "lz4"  # of most pages in memory
SAME_PLACEMENT_SLACK_US = 4
STARTUP_MAX_US = 1000
MIB = 1 << 20


class Table:
    """Rows of cells, as aligned text or as Markdown."""

    def __init__(self, *head):
        self.rows = [head]

    def add(self, *cells):
        self.rows.append(cells)

    def text(self):
        widths = [max(len(row[i]) for row in self.rows) for i in range(len(self.rows[0]))]
        lines = []
        for row in self.rows:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            lines.append("  ".join(cells).rstrip())
        lines.insert(1, "-" * len(max(lines, key=len)))
        return "\n".join(lines)

    def markdown(self):
        lines = ["| " + " | ".join(row) + " |" for row in self.rows]
        lines.insert(1, "|---" + "|---:" * (len(self.rows[0]) - 1) + "|")
        return "\n".join(lines)


def values_of(result, candidate, phase, figure="us_per_op"):
    """One value per round in which the candidate ran."""
    rounds = result["rounds"].get(candidate, [])
    return [r[phase][figure] for r in rounds if phase in r]


def spread(values, digits=1):
    """median (min–max)"""
    if not values:
        return "–"
    low, mid, high = (f"{v:.{digits}f}" for v in (min(values), median(values), max(values)))
    return mid if len(values) == 1 else f"{mid} ({low}–{high})"


def verdict(ok):
    return "met" if ok else "MISSED"


def rows_of(result):
    return FILE_ROWS if result["file"] else ROWS


def best_rival(result, phase):
    """(name, median us) of the fastest of those that count, or None."""
    rivals = FILE_RIVALS if result["file"] else RIVALS
    found = [(median(v), name) for name in rivals if (v := values_of(result, name, phase))]
    return min(found)[::-1] if found else None


def total_allowed(result):
    """What uswap may take at its peak: the limit and 5 % or 8 MiB, whichever is larger."""
    return result["total_bytes"] + max(result["total_bytes"] * 0.05, 8 * MIB)


def peak_totals(result, candidate, part):
    rounds = result["rounds"].get(candidate, [])
    return [sum(r[part + " peak"].values()) for r in rounds if part + " peak" in r]


def is_over(result, phase):
    """True if uswap was only fast because it took more memory than the others."""
    totals = peak_totals(result, "uswap", "redis" if phase.startswith("redis") else "memory")
    return bool(totals) and median(totals) > total_allowed(result)


def speed_table(result):
    table = Table("us per page or request", *result["candidates"], "ratio", "target", "")
    for phase, what, target in rows_of(result):
        cells = [spread(values_of(result, c, phase)) for c in result["candidates"]]
        if all(cell == "–" for cell in cells):
            continue
        own, rival = values_of(result, "uswap", phase), best_rival(result, phase)
        ratio, met = "–", ""
        if own and rival:
            value = rival[1] / median(own)
            ratio = f"{value:.2f}x {rival[0]}"
            met = verdict(value >= target) if target else ""
            if is_over(result, phase):
                met = "VOID: over the limit"
        table.add(what, *cells, ratio, f"{target}x" if target else "–", met)
    return table


def latency_table(result):
    """Of single accesses; "waited" counts only those that had to wait for their page."""
    table = Table("us, p50 / p99 of all · p50 of waited", *result["candidates"])
    for phase, what, _ in rows_of(result):
        cells = []
        for c in result["candidates"]:
            p50, p99 = (values_of(result, c, phase, f) for f in ("p50_us", "p99_us"))
            cell = f"{median(p50):.1f} / {median(p99):.0f}" if p50 else "–"
            if p50 and "slow_p50_us" in result["rounds"][c][0][phase]:
                cell += f" · {median(values_of(result, c, phase, 'slow_p50_us')):.1f}"
            cells.append(cell)
        if any(cell != "–" for cell in cells):
            table.add(what, *cells)
    return table


def memory_table(result):
    table = Table("MiB at the peak", "resident", "pool", "total", "of the total allowed", "")
    for part in ("memory", "redis"):
        for c in result["candidates"]:
            peaks = [r[part + " peak"] for r in result["rounds"].get(c, []) if part + " peak" in r]
            if not peaks:
                continue
            resident, pool = (median(p[x] for p in peaks) / MIB for x in ("resident", "pool"))
            totals = peak_totals(result, c, part)
            percent = f"{100 * median(totals) / result['total_bytes']:.0f} %"
            met = verdict(max(totals) <= total_allowed(result)) if c == "uswap" else ""
            total = spread([t / MIB for t in totals], 0)
            table.add(f"{c}, {part}", f"{resident:.0f}", f"{pool:.0f}", total, percent, met)
    return table


def written_table(result):
    """What went to the disk."""
    table = Table("MiB written by uswap", "to the file", "per byte evicted", "read back")
    rounds = [r["stats"] for r in result["rounds"].get("uswap", []) if "stats" in r]
    rounds = [s for s in rounds if s.get("file")]
    if not result["file"] or not rounds:
        return table
    written = [s["file"]["written_bytes"] / MIB for s in rounds]
    part = [s["file"]["written_bytes"] / (s["evictions"]["pages"] * 4096) for s in rounds]
    read = [s["file"]["read_bytes"] / MIB for s in rounds]
    table.add("all phases", spread(written, 0), spread(part, 2), spread(read, 0))
    return table


def placement_of(result):
    """The placement uswap says it ended with, else the one given, else None."""
    for r in result["rounds"].get("uswap", []):
        name = figure_find(r.get("stats", {}), "placement")
        if name in ("follow", "float"):
            return name
    return None


def floor_table(result):
    """Our fault latency beside what the machine allows."""
    table = Table("us", "p50", "mean", "p99")
    floors = result["floor"]
    if not floors:
        return table

    def floor(name, figure):
        return median(f[name][figure] for f in floors)

    where = {"follow": "same CPU", "other": "other CPU, asleep", "float": "unpinned"}
    for name, what in where.items():
        figures = [f"{floor('rtt ' + name, f'{x}_us'):.1f}" for x in ("p50", "mean", "p99")]
        table.add(f"raw round trip, {what} ({name})", *figures)
    for name in ("lz4", "zstd-1"):
        ratio = floor("codec " + name, "ratio")
        decompress = floor("codec " + name, "decompress_us")
        table.add(f"{name} decompression (ratio {ratio:.2f})", f"{decompress:.1f}", "–", "–")
    own = values_of(result, "uswap", "read-uniform", "slow_p50_us")
    if own:
        p99 = median(values_of(result, "uswap", "read-uniform", "slow_p99_us"))
        table.add("uswap fault, random reads", f"{median(own):.1f}", "–", f"{p99:.1f}")
        for name in [placement_of(result)] if placement_of(result) else ["follow", "float"]:
            allowed = floor("rtt " + name, "p50_us") + floor("codec " + CODEC, "decompress_us")
            allowed += SAME_PLACEMENT_SLACK_US
            met = verdict(median(own) <= allowed)
            table.add(f"target: {name} + {CODEC} + {SAME_PLACEMENT_SLACK_US}", f"{allowed:.1f}", "", met)
    return table


def unpressured_table(result):
    table = Table("time under uswap : plain", "ratio", "plain : plain (noise)", "target", "")
    for phase, figures in result["unpressured"].items():
        ratio, noise = median(figures["ratio"]), figures["noise"]
        width = max(max(noise) - 1, 1 - min(noise))
        target, met = ("1.01 or noise", verdict(ratio <= 1 + max(0.01, width)))
        cells = (spread(figures["ratio"], 3), spread(noise, 3))
        table.add(phase, *cells, target, met)
    return table


def startup_table(result):
    table = Table("us per process", "plain", "uswap", "difference", "target", "")
    for name, what in (
        ("short", "500 x /bin/true in a shell"),
        ("whole", "one `uswap run -- true`"),
    ):
        plain, own = (result["startup"][f"{name} {c}"] for c in ("plain", "uswap"))
        difference = median(own) - median(plain)
        met = verdict(difference < STARTUP_MAX_US)
        cells = (spread(plain, 0), spread(own, 0), f"{difference:.0f}", f"< {STARTUP_MAX_US}")
        table.add(what, *cells, met)
    return table


def sections(result):
    """(title, table) of everything that was measured."""
    found = [("Speed: median (min–max) of all rounds", speed_table(result))]
    found.append(("Latency", latency_table(result)))
    found.append(("Memory", memory_table(result)))
    found.append(("Writes", written_table(result)))
    found.append(("Floor of this machine", floor_table(result)))
    if result.get("unpressured"):
        found.append(("No pressure", unpressured_table(result)))
    if result.get("startup"):
        found.append(("Start-up", startup_table(result)))
    return [(title, table) for title, table in found if len(table.rows) > 1]


def preamble(result):
    """The facts without which the figures mean nothing."""
    m = result["machine"]
    lines = [
        f"{m['kernel']}, {m['cpus']} CPUs ({m['cpu']}), {m['date']}",
        f"working set {result['size'] // MIB} MiB, total RAM {result['total_bytes'] // MIB} MiB, "
        f"{result['n_rounds']} interleaved rounds",
        f"command: {result['command']}",
    ]
    lines += [f"{name}: {text}" for name, text in result["settings"].items()]
    lines += [f"not run: {name}: {why}" for name, why in result["missing"].items()]
    lines += [f"note: {text} ({n} times)" for text, n in sorted(result["notes"].items())]
    return lines


def as_text(result):
    parts = ["\n".join(preamble(result))]
    parts += [f"{title}\n\n{table.text()}" for title, table in sections(result)]
    return "\n\n".join(parts) + "\n"


def as_markdown(result):
    parts = ["<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n# Benchmark"]
    parts += ["\n".join("- " + line for line in preamble(result))]
    parts += [f"### {title}\n\n{table.markdown()}" for title, table in sections(result)]
    return "\n\n".join(parts) + "\n"


def save(args, figures, markdown):
    """What --json and --markdown ask for."""
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(figures, f, indent="\t")
            f.write("\n")
    if args.markdown:
        with open(args.markdown, "w", encoding="utf-8") as f:
            f.write(markdown)
