"""A scene with its polygons -> a folder of GeoTIFF tiles with one COCO file.

`landslide-rcnn tile`: what `data.scenes.SceneDataset` cuts on the fly, written once, for other
tools or for faster reading. Every file appears complete or not at all, `annotations.json` last; a
run that was stopped goes on where it was.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from landslide_rcnn.data.coco import CocoWriter
from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.files import OutputExistsError, as_json, refuse_to_overwrite, write_json
from landslide_rcnn.geo.writing import write_tile

LABELS, IMAGES = "annotations.json", "images"
RUN = ".tiles.json"  # hidden: a folder of labels takes every other JSON file for labels


def write_tiles(
    dataset: SceneDataset,
    folder: str | Path,
    settings: dict[str, Any],
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """Write the tiles of a scene.

    Args:
        dataset: Tiles, instances, bands.
        folder: Gets images/*.tif (each with its place, band names and mask of usable pixels),
            annotations.json (COCO, run lengths: no pixel is lost) and .tiles.json (how it was
            made).
        settings: How the dataset was made, as JSON; a stopped run goes on only with the same.
        resume: Keep the tiles that a stopped run wrote.
        overwrite: Replace results, or a stopped run, that are there.
        progress: Show a progress bar on stderr.

    Returns:
        Counts: "tiles", "tiles_with_landslides", "instances", "left_out" (parts of landslides
        that the rules leave out), "kept" (tiles of a stopped run).

    Raises:
        OutputExistsError: Results, or a stopped run, are there and neither option is set.
        DatasetError: The stopped run is another one.
        RasterError: The scene is damaged, or a tile cannot be written.
    """
    folder = Path(folder)
    run = {"settings": settings, "rules": asdict(dataset.rules), "scene": _stamp(dataset)}
    if resume and (folder / RUN).exists() and not overwrite:
        _refuse_other_run(folder, run)
    else:
        refuse_to_overwrite(folder / LABELS, overwrite=overwrite)
        if (folder / RUN).exists() and not overwrite:
            raise OutputExistsError(
                f"A stopped run is not replaced unless asked. Already there: {folder / RUN}. Use "
                "--resume (resume=True) to go on with it, or --overwrite."
            )
        _remove_former(folder)
        write_json(folder / RUN, run)
    writer = CocoWriter(dataset.class_names[1:], f"Tiles of {dataset.scene_path.name}")
    counts = dict.fromkeys(("tiles", "tiles_with_landslides", "instances", "left_out", "kept"), 0)
    for image_id in tqdm(dataset.image_ids, "tiles", unit="tile", disable=not progress):
        tile, grid = dataset.image_info[image_id]["tile"], dataset.tile_grid(image_id)
        name = f"{dataset.scene_path.stem}_r{tile.row_off:06d}_c{tile.col_off:06d}.tif"
        path = folder / IMAGES / name
        if path.exists():
            counts["kept"] += 1
        else:
            image, valid_mask = dataset.load_image(image_id), dataset.load_valid_mask(image_id)
            write_tile(path, image, valid_mask, grid, dataset.band_names)
        masks, class_ids = dataset.load_mask(image_id)
        # Beyond COCO, as in `geo/coco.py`: x = a * column + b * row + c, y = d * ... + f.
        place = {"transform": [float(value) for value in grid.transform[:6]]}
        if grid.crs is not None:
            place["crs"] = grid.crs.to_wkt()
        writer.add_image(f"{IMAGES}/{name}", masks, class_ids, **place)
        counts["tiles"] += 1
        counts["instances"] += int((class_ids > 0).sum())
        counts["tiles_with_landslides"] += bool((class_ids > 0).any())
        counts["left_out"] += dataset.left_out_fragments.get(image_id, 0)
    writer.write(folder / LABELS)
    return counts


def _stamp(dataset: SceneDataset) -> dict[str, Any]:
    status = dataset.scene_path.stat()
    return {
        "path": str(dataset.scene_path.resolve()),
        "bytes": status.st_size,
        "changed_ns": status.st_mtime_ns,
        "bands": dataset.band_names,
        "landslides": dataset.landslides_digest(),
        "tiles": dataset.num_images,
    }


def _refuse_other_run(folder: Path, run: dict[str, Any]) -> None:
    former = json.loads((folder / RUN).read_text(encoding="utf-8"))
    now = as_json(run)
    changed = [
        f"{part} {name}"
        for part in now
        for name in now[part]
        if former.get(part, {}).get(name) != now[part][name]
    ]
    if changed:
        raise DatasetError(
            "A stopped run goes on only with the same scene, polygons and settings. Received: "
            f"{folder}, made with other {', '.join(changed)}. Use --overwrite to begin anew."
        )


def _remove_former(folder: Path) -> None:
    """Remove what this command wrote into the folder before, and nothing else."""
    if not (folder / RUN).exists():
        return
    former = json.loads((folder / RUN).read_text(encoding="utf-8"))
    for path in (folder / IMAGES).glob(f"{Path(former['scene']['path']).stem}_r*_c*.tif"):
        path.unlink()
    (folder / LABELS).unlink(missing_ok=True)
    (folder / RUN).unlink()
