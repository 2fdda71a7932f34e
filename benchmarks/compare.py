"""Compare training and detection with the peers, side by side in one run.

    python -m benchmarks.compare --output results

Every contender runs in a process of its own, through its public API, one after the other in
several rounds, so that a busy minute of the machine meets all of them. Written are
`results/speed.json` (every step's seconds, memory, versions, the machine) and `results/speed.png`.
A peer that is not installed is named in both.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chart import NO_LOADING, draw_chart

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Contender:
    """One implementation in one precision: how it is called and what it needs."""

    name: str
    module: str
    precision: str
    package: str
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("train", "detect")


def contenders(options: argparse.Namespace) -> list[Contender]:
    """Return who takes part; each peer in every precision it has, so that its best one counts."""
    ours = dict(module="benchmarks.contenders.landslide_rcnn_here", package="landslide_rcnn")
    ours["environment"] = {"KERAS_BACKEND": options.backend}
    peer = dict(
        module="benchmarks.contenders.torchvision_maskrcnn",
        package="torchvision",
        python=options.torchvision_python,
    )
    return [
        Contender("landslide_rcnn, bfloat16", precision="bfloat16", **ours),
        Contender("landslide_rcnn, float32", precision="float32", **ours),
        Contender(
            NO_LOADING,
            precision="bfloat16",
            arguments=("--no-loading",),
            modes=("train",),
            **ours,
        ),
        Contender("torchvision, float32", precision="float32", **peer),
        Contender("torchvision, float32, channels last", precision="float32_last", **peer),
        Contender("torchvision, bfloat16", precision="bfloat16", **peer),
        Contender("torchvision, bfloat16, channels last", precision="bfloat16_last", **peer),
    ]


def main() -> None:
    """Run all rounds and write the results."""
    options = parse_options()
    absent = {}
    for contender in contenders(options):
        if contender.package not in absent and not is_installed(contender):
            absent[contender.package] = f"not installed in {contender.python}"
            print(f"{contender.package}: {absent[contender.package]}; left out", flush=True)
    results: dict[str, list[dict]] = {}
    for round_number in range(1, options.rounds + 1):
        for mode in options.modes:
            for contender in contenders(options):
                if contender.package in absent or mode not in contender.modes:
                    continue
                found = run(contender, mode, options)
                results.setdefault(f"{mode}: {contender.name}", []).append(found)
                seconds = statistics.median(found["step_s"]) if "step_s" in found else None
                print(f"round {round_number}, {mode}: {contender.name}: {seconds} s", flush=True)
    medians = {name: summarise(runs, options.batch) for name, runs in results.items()}
    port = read_port(options)
    if port is None:
        absent["matterport port"] = f"its measurements are not at {options.port}"
    document = {
        "machine": describe_machine(),
        "workload": {k: getattr(options, k) for k in ("backbone", "size", "batch", "rois")},
        "absent": absent,
        "medians": medians,
        "share_of_time_spent_on_data": data_share(medians),
        "matterport_port": port,
        "runs": results,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "speed.json").write_text(json.dumps(document, indent=1))
    draw_chart(document, options.output / "speed.png")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for JSON and chart")
    parser.add_argument("--modes", nargs="+", default=["train", "detect"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="timed steps a round")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--batch", type=int, default=4, help="images a step")
    parser.add_argument("--rois", type=int, default=200, help="rois an image, in training")
    parser.add_argument("--backend", default="tensorflow", help="Keras' backend for this package")
    parser.add_argument(
        "--torchvision-python", default=sys.executable, help="interpreter that has torchvision"
    )
    goldens = os.environ.get("LANDSLIDE_GOLDENS", ROOT / ".." / "shared" / "goldens")
    parser.add_argument(
        "--port", type=Path, default=Path(goldens) / "matterport_port_speed.json",
        help="measurements of a matterport port, made elsewhere",
    )  # fmt: skip
    return parser.parse_args()


def is_installed(contender: Contender) -> bool:
    command = [contender.python, "-c", f"import {contender.package}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


def run(contender: Contender, mode: str, options: argparse.Namespace) -> dict:
    """Run one contender once: its JSON line, or {"error": the end of what it said}."""
    command = [contender.python, "-m", contender.module, "--mode", mode]
    command += ["--precision", contender.precision, "--steps", str(options.steps)]
    command += contender.arguments
    for name in ("backbone", "size", "batch", "rois"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = {**os.environ, **contender.environment, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def summarise(runs: list[dict], batch: int) -> dict:
    """Reduce the rounds of one contender to medians; its error where it has one."""
    good = [found for found in runs if "step_s" in found]
    if not good:
        return {"error": runs[0]["error"]}
    step_s = statistics.median(t for found in good for t in found["step_s"])
    return {
        "step_s": round(step_s, 4),
        "cpu_s": round(statistics.median(t for found in good for t in found["cpu_s"]), 4),
        "images_per_s": round(batch / step_s, 3),
        "peak_rss_mb": max(found["peak_rss_mb"] for found in good),
    }


def data_share(medians: dict[str, dict]) -> float | None:
    """Return the share of a training step that goes to its data, or None if it was not run."""
    steps = [
        medians.get(f"train: {name}", {}).get("step_s")
        for name in ("landslide_rcnn, bfloat16", NO_LOADING)
    ]
    return None if None in steps else round(1 - steps[1] / steps[0], 4)


def read_port(options: argparse.Namespace) -> list[dict] | None:
    """Return the port's measurements of this workload, or None where they are not at hand."""
    if not options.port.is_file():
        return None
    wanted = {"backbone": options.backbone, "size": options.size, "layers": "all"}
    measured = json.loads(options.port.read_text())
    return [m for m in measured if all(m[name] == value for name, value in wanted.items())]


def describe_machine() -> dict:
    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        lines = cpu_info.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
        flags = next((x for x in lines if x.startswith("flags")), "")
        model += "".join(f", {name}" for name in ("avx512_bf16", "amx_bf16") if name in flags)
    return {"processor": model, "cores": os.cpu_count(), "load": os.getloadavg()}


if __name__ == "__main__":
    main()
