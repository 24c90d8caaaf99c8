"""What `powqmix profile` prints of a report where --json is not given."""

from __future__ import annotations

from typing import Any

from .output import count, print_table


def print_report(report: dict[str, Any]) -> None:
    """The tables of `report["part"]`."""
    tables = {"learner": _learner, "actors": _actors, "kernels": _kernels, "wire": _wire, "system": _system}
    tables[report["part"]](report)


def _learner(report: dict[str, Any]) -> None:
    print(
        f"{report['env']}, {report['algorithm']}: batches of {report['batch_size']} episodes of {report['steps']} steps"
    )
    print(f"on {report['device']}, {report['threads']} threads, {report['precision']}")
    print(f"{report['updates_per_second']:.2f} updates/s, {report['ms_per_update']:.2f} ms each")
    total = sum(report["stages_ms"].values())
    peaks = report["peaks"]

    def beside_peak(name: str) -> str:
        if name in report["gflop_per_second"]:
            return f"{report['gflop_per_second'][name]:.0f} of {peaks['gflops']:.0f} GFLOP/s"
        if name == "sample and gather":
            return f"{report['gather_gb_per_second']:.1f} of {peaks['copy_gb_per_second']:.1f} GB/s"
        return ""

    print_table(
        ("stage", ">ms", ">share", ">rate, of the peak"),
        [
            (name, f"{ms:.3f}", f"{100 * ms / total:.1f} %", beside_peak(name))
            for name, ms in report["stages_ms"].items()
        ],
    )


def _actors(report: dict[str, Any]) -> None:
    processes = "one process" if report["actors"] == 1 else f"{report['actors']} processes"
    print(f"{report['env']}: {processes} sending to a learner that only counts")
    stages = list(report["rows"][0]["us"])
    print_table(
        (">environments", ">env steps/s", *(f">{name} us" for name in stages), ">actor cores", ">receiver cores"),
        [
            (
                row["envs"], count(row["env_steps_per_second"]), *(f"{us:.2f}" for us in row["us"].values()),
                f"{row['actors_cores']:.2f}", f"{row['receiver_cores']:.2f}",
            )
            for row in report["rows"]
        ],
    )  # fmt: skip
    rate = max(row["policy_gmacs_per_second"] for row in report["rows"])
    print(f"us an environment step of the first actor, by the clock; wait: for credit. The policy does {rate:.1f} 10^9")
    print(f"multiply-adds a second, zeros skipped; a matrix product on one core {report['peak_gmacs_per_second']:.1f}")


def _kernels(report: dict[str, Any]) -> None:
    shape = ", ".join(f"{letter} {size}" for letter, size in report["shape"].items())
    print(f"{report['env']} on {report['device']}, {report['threads']} threads: {shape}")
    print_table(
        ("op", ">ms", ">reference ms", ">times as fast", ">largest difference"),
        [
            (
                row["op"], f"{row['ms']:.3f}", f"{row['reference_ms']:.3f}", f"{row['ratio']:.2f}",
                f"{row['largest_difference']:.1e}",
            )
            for row in report["rows"]
        ],
    )  # fmt: skip


def _wire(report: dict[str, Any]) -> None:
    print(f"{report['env']}: {report['actors']} actors whose steps only sleep {report['sleep_ms']:g} ms")
    rows = [
        ("env steps/s", count(report["env_steps_per_second"])),
        ("of what sleeping allows", f"{100 * report['share_of_possible']:.1f} %"),
        ("episodes/s", f"{report['episodes_per_second']:.1f}"),
        ("MB/s", f"{report['mb_per_second']:.2f}"),
        ("receiver, cores", f"{report['receiver_cores']:.3f}"),
        ("receiver, us an episode", f"{report['receiver_us_per_episode']:.0f}"),
        ("actors, cores", f"{report['actors_cores']:.2f}"),
        ("parameter lag, median / 99 %", f"{report['parameter_lag_median']} / {report['parameter_lag_p99']} versions"),
        ("a version every", f"{report['published_every_ms']:g} ms"),
        ("memory of all actors (PSS)", "unknown" if report["pss_mb"] is None else f"{report['pss_mb']:.0f} MB"),
        ("lost / refused episodes", f"{report['lost']} / {report['rejected']}"),
    ]
    print_table(("figure", ">value"), rows)


def _system(report: dict[str, Any]) -> None:
    print(
        f"{report['env']}: {report['actors']} actors of {report['envs_per_actor']} environments on {report['cores']} "
        f"cores, learner on {report['device']}"
    )
    sides = report["env_steps_per_second"]
    print_table(
        ("side", ">env steps/s at most", ""),
        [(side, count(rate), "limits" if side == report["bottleneck"] else "") for side, rate in sides.items()],
    )
    print(f"the {report['bottleneck']} side limits: {report['change']}")
    print(f"{report['actors_that_suffice']} actors with a core each would keep the other sides busy")
