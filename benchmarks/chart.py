"""The chart of `benchmarks.compare`: images a second of every contender, a panel for each mode."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# What a step takes when its batch lies ready: no contender, but what tells the data's share.
NO_LOADING = "landslide_rcnn, bfloat16, one batch in memory"

OURS, PEER, ELSEWHERE = "#1f77b4", "#b0b7bf", "#e0c9a6"


def draw_chart(document: dict, path: Path) -> None:
    """Draw `speed.json`'s content.

    Args:
        document: What `compare.main` writes.
        path: A PNG.
    """
    modes = {name.partition(": ")[0]: None for name in document["medians"]}
    figure, panels = plt.subplots(
        len(modes), 1, figsize=(9, 0.6 + 2.9 * len(modes)), squeeze=False, layout="constrained"
    )
    for axes, mode in zip(panels[:, 0], modes):
        bars = _bars(document, mode)
        names, speeds, colors = zip(*bars)
        axes.barh(names, speeds, color=colors)
        axes.bar_label(axes.containers[0], fmt="%.2f", padding=3, fontsize=9)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.12)
        axes.set_title({"train": "Training", "detect": "Detection"}.get(mode, mode), loc="left")
        axes.set_xlabel("images a second")
    workload, machine = document["workload"], document["machine"]
    figure.suptitle(
        f"{workload['backbone']}-FPN, {workload['size']} px, batch {workload['batch']}, "
        f"{workload['rois']} rois an image; {machine['cores']} cores, {machine['processor']}",
        fontsize=10,
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _bars(document: dict, mode: str) -> list[tuple[str, float, str]]:
    bars = []
    for name, median in document["medians"].items():
        kind, _, contender = name.partition(": ")
        if kind == mode and contender != NO_LOADING and "images_per_s" in median:
            color = OURS if contender.startswith("landslide_rcnn") else PEER
            bars.append((contender, median["images_per_s"], color))
    batch = document["workload"]["batch"]
    for measured in document["matterport_port"] or []:
        if measured["mode"] == mode and measured["batch"] == batch:
            speed = batch / measured["median_s"]
            bars.append(("matterport port (another machine)", speed, ELSEWHERE))
    return bars
