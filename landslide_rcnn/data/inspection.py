"""A dataset -> what is there, and every problem in it, as numbers and as text.

Called by `workflows/dataset.py`. The images are opened once, by `data/checking.py`; statistics
are joined image by image, so memory does not grow with the dataset.

Units: areas in pixels, and in square metres where an image's pixel size is known.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landslide_rcnn.data.checking import ImageFacts, check_images
from landslide_rcnn.data.leakage import CheckedDataset, find_duplicates, find_leaks
from landslide_rcnn.data.problems import KINDS, Problem, by_kind
from landslide_rcnn.data.statistics import BandStatistics

# Limits of the classes of area: 1, 3, 10, 30, ...; of pixels and of square metres alike.
AREA_STEPS = np.array([1, 3])
BAR_WIDTH = 30  # letters of the longest bar of the histogram
NO_CRS = "none"


@dataclass(frozen=True)
class Histogram:
    """How many instances have which area.

    Attributes:
        unit: "px" or "m2".
        limits: [n + 1] of the classes; each holds its lower limit, the last its upper one too.
        counts: [n].
        median: Of all areas.
        total: Sum of all areas.
    """

    unit: str
    limits: list[float]
    counts: list[int]
    median: float
    total: float


@dataclass(frozen=True)
class Inspection:
    """What was found in a dataset.

    Attributes:
        name: As the dataset was named.
        images: How many there are, readable or not.
        images_without_instances: Of the readable ones.
        classes: Class name -> instances.
        crowds: Regions that mark groups.
        from_scene: Images are tiles of a scene: a landslide on an edge counts in each of them.
        landslide_px: Usable pixels in instances.
        background_px: Usable pixels outside.
        areas: One histogram, or two where pixel sizes are known; none without instances.
        sizes: "H x W" -> images, the most frequent first.
        bands: (Number of bands, data type) -> images.
        band_names: Where they are known.
        crs: CRS, or "none" -> images.
        pixel_size_m: Smallest and largest, metres; None where no image says.
        statistics: Of the bands of the most frequent number of bands; None without images.
        problems: Everything found, by kind.
    """

    name: str
    images: int
    images_without_instances: int
    classes: dict[str, int]
    crowds: int
    from_scene: bool
    landslide_px: int
    background_px: int
    areas: list[Histogram]
    sizes: dict[str, int]
    bands: dict[tuple[int, str], int]
    band_names: list[str] | None
    crs: dict[str, int]
    pixel_size_m: tuple[float, float] | None
    statistics: BandStatistics | None
    problems: list[Problem]

    @property
    def imbalance_ratio(self) -> float | None:
        """Non-landslide / landslide pixels; None without landslides."""
        return self.background_px / self.landslide_px if self.landslide_px else None


def inspect_datasets(
    datasets: Sequence[tuple[str, Any]], *, progress: bool = True
) -> tuple[Inspection, list[ImageFacts]]:
    """Look at a dataset, and at what it shares with others.

    Args:
        datasets: (name, prepared dataset); the first is inspected, the others are only compared
            with it.
        progress: Show progress bars on stderr.

    Returns:
        The inspection of the first, and the facts of its images.
    """
    checked = [
        CheckedDataset(name, dataset, check_images(dataset, details=True, progress=progress))
        for name, dataset in datasets
    ]
    first = checked[0]
    problems = [
        *first.dataset.problems,
        *(problem for facts in first.facts for problem in facts.problems),
        *_odd_ones(first.facts),
        *find_duplicates(first.dataset, first.facts),
    ]
    for other in checked[1:]:
        problems += find_leaks([other, first])
    of_kinds = by_kind(problems)
    ordered = [problem for kind in of_kinds.values() for problem in kind]
    return _summarise(first, ordered), list(first.facts)


def _summarise(checked: CheckedDataset, problems: list[Problem]) -> Inspection:
    dataset = checked.dataset
    sound = [facts for facts in checked.facts if facts.size is not None]
    instances: Counter = sum((Counter(facts.instances) for facts in sound), Counter())
    sizes = Counter(f"{facts.size[0]} x {facts.size[1]}" for facts in sound if facts.size)
    bands = Counter((facts.channels, facts.dtype) for facts in sound)
    pixel_sizes = [size for facts in sound if (size := _pixel_size_m(facts, dataset))]
    named = [
        facts.place.crs.to_string() if facts.place and facts.place.crs else NO_CRS
        for facts in sound
    ]
    return Inspection(
        name=checked.name,
        images=dataset.num_images,
        images_without_instances=sum(not facts.instances for facts in sound),
        classes={name: instances[i] for i, name in enumerate(dataset.class_names) if i},
        crowds=sum(count for class_id, count in instances.items() if class_id < 0),
        from_scene=any("tile" in info for info in dataset.image_info),
        landslide_px=sum(facts.landslide_px for facts in sound),
        background_px=sum(facts.background_px for facts in sound),
        areas=_histograms(sound, dataset),
        sizes=dict(sizes.most_common()),
        bands=dict(bands.most_common()),
        band_names=None if dataset.band_names is None else list(dataset.band_names),
        crs=dict(Counter(named).most_common()),
        pixel_size_m=(min(pixel_sizes), max(pixel_sizes)) if pixel_sizes else None,
        statistics=_joined_statistics(sound),
        problems=problems,
    )


def _pixel_size_m(facts: ImageFacts, dataset: Any) -> float | None:
    return (facts.place.pixel_size_m if facts.place else None) or dataset.pixel_size_m


def _joined_statistics(sound: list[ImageFacts]) -> BandStatistics | None:
    """Join those of the images with the most frequent number of bands."""
    counts = Counter(facts.channels for facts in sound)
    if not counts:
        return None
    channels = counts.most_common(1)[0][0]
    joined = None
    for facts in sound:
        if facts.channels == channels and facts.statistics is not None:
            joined = facts.statistics if joined is None else joined.joined(facts.statistics)
    return joined


def _odd_ones(checked: Sequence[ImageFacts]) -> list[Problem]:
    """Return the images whose bands or data type are not those of most."""
    sound = [facts for facts in checked if facts.size is not None]
    if not sound:
        return []
    channels = Counter(facts.channels for facts in sound).most_common(1)[0][0]
    dtype = Counter(facts.dtype for facts in sound).most_common(1)[0][0]
    problems = []
    for facts in sound:
        if facts.channels != channels:
            text = f"{facts.channels} bands, where most images have {channels}"
            problems.append(Problem("bands", facts.name, text))
        if facts.dtype != dtype:
            text = f"{facts.dtype}, where most images are {dtype}"
            problems.append(Problem("dtype", facts.name, text))
    return problems


def _histograms(sound: list[ImageFacts], dataset: Any) -> list[Histogram]:
    areas_px = [facts.areas_px for facts in sound]
    if not sum(map(len, areas_px)):
        return []
    histograms = [_histogram("px", np.concatenate(areas_px).astype(np.float64))]
    sizes_m = [_pixel_size_m(facts, dataset) for facts in sound]
    areas_m2 = [areas * size**2 for areas, size in zip(areas_px, sizes_m) if size]
    if sum(map(len, areas_m2)):
        histograms.append(_histogram("m2", np.concatenate(areas_m2)))
    return histograms


def _histogram(unit: str, areas: np.ndarray) -> Histogram:
    powers = np.arange(np.floor(np.log10(areas.min())), np.ceil(np.log10(areas.max())) + 1)
    limits = (10.0 ** powers[:, None] * AREA_STEPS).ravel()
    first = np.searchsorted(limits, areas.min(), side="right") - 1
    last = np.searchsorted(limits, areas.max(), side="right")
    limits = limits[first : last + 1]
    counts, _ = np.histogram(areas, limits)
    return Histogram(
        unit, limits.tolist(), counts.tolist(), float(np.median(areas)), float(areas.sum())
    )


def as_json(inspection: Inspection) -> dict[str, Any]:
    """Return an inspection for machines: numbers and lists only, no NaN."""
    statistics = inspection.statistics
    names = inspection.band_names or []
    bands = []
    if statistics is not None and statistics.count:
        for index in range(len(statistics.mean)):
            bands.append(
                {
                    "name": names[index] if index < len(names) else f"band {index + 1}",
                    **{
                        key: float(getattr(statistics, attribute)[index])
                        for key, attribute in STATISTICS.items()
                    },
                }
            )
    return {
        "name": inspection.name,
        "images": inspection.images,
        "images_without_instances": inspection.images_without_instances,
        "instances": sum(inspection.classes.values()),
        "classes": inspection.classes,
        "crowds": inspection.crowds,
        "from_scene": inspection.from_scene,
        "landslide_px": inspection.landslide_px,
        "background_px": inspection.background_px,
        "imbalance_ratio": inspection.imbalance_ratio,
        "areas": [vars(histogram) for histogram in inspection.areas],
        "sizes": inspection.sizes,
        "dtypes": [
            {"bands": count, "dtype": dtype, "images": images}
            for (count, dtype), images in inspection.bands.items()
        ],
        "bands": bands,
        "crs": inspection.crs,
        "pixel_size_m": inspection.pixel_size_m,
        "problems": [
            {**vars(problem), "stops_training": problem.stops} for problem in inspection.problems
        ],
    }


# How the columns of band statistics are called, and their attributes.
STATISTICS = {"min": "minimum", "max": "maximum", "mean": "mean", "std": "deviation"}


def as_text(inspection: Inspection) -> str:
    """Return an inspection for people."""
    lines = [inspection.name, *_overview_lines(inspection)]
    for histogram in inspection.areas:
        lines += ["", *_histogram_lines(histogram)]
    lines += ["", *_statistics_lines(as_json(inspection)["bands"])]
    return "\n".join([*lines, "", *_problem_lines(inspection.problems)])


def _overview_lines(found: Inspection) -> list[str]:
    def counted(counts: dict, limit: int = 6) -> str:
        shown = [f"{name} ({count})" for name, count in list(counts.items())[:limit]]
        more = f", {len(counts) - limit} others" if len(counts) > limit else ""
        return ", ".join(shown) + more or "-"

    ratio = found.imbalance_ratio
    rows = {
        "images": f"{found.images}, {found.images_without_instances} of them without a landslide",
        "instances": f"{sum(found.classes.values())}: {counted(found.classes)}"
        + (f", and {found.crowds} crowds" if found.crowds else "")
        + (" (one that tiles' edges cut counts in each tile)" if found.from_scene else ""),
        "imbalance ratio": "no landslide pixel"
        if ratio is None
        else f"{ratio:.2f} non-landslide pixels to one of landslide "
        f"({found.landslide_px:,} of {found.landslide_px + found.background_px:,})",
        "sizes": counted(found.sizes),
        "bands": counted({f"{count} x {dtype}": n for (count, dtype), n in found.bands.items()}),
        "CRS": counted(found.crs),
        "pixel size": _range_m(found.pixel_size_m),
    }
    return [f"  {title:<16} {text}" for title, text in rows.items()]


def _range_m(sizes: tuple[float, float] | None) -> str:
    if sizes is None:
        return "not known"
    low, high = (f"{size:.3g}" for size in sizes)
    return f"{low} m" if low == high else f"{low} to {high} m"


def _histogram_lines(histogram: Histogram) -> list[str]:
    unit = {"px": "pixels", "m2": "m²"}[histogram.unit]
    lines = [f"  area in {unit} (median {histogram.median:,.0f}, all {histogram.total:,.0f})"]
    most = max(histogram.counts)
    for low, high, count in zip(histogram.limits, histogram.limits[1:], histogram.counts):
        bar = "#" * int(np.ceil(count / most * BAR_WIDTH))
        lines.append(f"  {low:>12,.12g} - {high:<12,.12g} {count:>7}  {bar}".rstrip())
    return lines


def _statistics_lines(bands: list[dict[str, Any]]) -> list[str]:
    if not bands:
        return ["  no band statistics: no usable pixel"]
    width = max(len(band["name"]) for band in bands)
    head = "".join(f"{title:>12}" for title in STATISTICS)
    return [f"  {'':<{width}}{head}"] + [
        f"  {band['name']:<{width}}" + "".join(f"{band[title]:>12.5g}" for title in STATISTICS)
        for band in bands
    ]


def _problem_lines(problems: list[Problem]) -> list[str]:
    if not problems:
        return ["  no problems found"]
    stopping = sum(problem.stops for problem in problems)
    lines = [f"  {len(problems)} problems, {stopping} of which stop training"]
    for kind, found in by_kind(problems).items():
        stops = ", stops training" if KINDS[kind].stops else ""
        lines += ["", f"  {KINDS[kind].title} ({len(found)}{stops})"]
        lines += [f"    {problem}" for problem in found]
    return lines
