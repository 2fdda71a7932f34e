"""Names, choice and statistics of bands."""

import numpy as np
import pytest

from landslide_rcnn.data.bands import (
    band_names_of,
    band_statistics,
    pixel_scale,
    select_bands,
)
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.errors import DatasetError


class Images(Dataset):
    """Arrays as images; where the first band is 7, a pixel is not usable."""

    def __init__(self, images):
        super().__init__()
        self.images = images
        self.add_class("landslide", 1, "landslide")
        for index in range(len(images)):
            self.add_image("landslide", index, None)
        self.prepare()

    def load_image(self, image_id):
        return self.images[image_id]

    def load_valid_mask(self, image_id):
        image = self.images[image_id]
        return np.ones(image.shape[:2], bool) if image.ndim == 2 else image[..., 0] != 7

    def load_mask(self, image_id):
        mask = np.zeros((*self.images[image_id].shape[:2], 1), bool)
        mask[0] = True
        return mask, np.ones(1, np.int32)


@pytest.fixture
def images(rng):
    sizes = [(4, 5), (9, 3), (1, 1), (40, 30)] * 12
    scale, offset = np.array([30, 1e-4, 1.0]), np.array([1e4, 0, 255])
    return [rng.normal(size=(*size, 3)) * scale + offset for size in sizes]


def test_statistics_are_those_of_all_usable_pixels(images):
    images[3][5:, :, 0] = 7
    images[5][..., 0] = 7  # nothing usable
    pixels = np.concatenate([image[image[..., 0] != 7] for image in images])
    found = band_statistics(Images(images), progress=False)
    mean, deviation = pixel_scale(found)
    assert found.count == len(pixels)
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(deviation, pixels.std(axis=0), rtol=1e-10)
    np.testing.assert_array_equal(found.minimum, pixels.min(axis=0))


def test_constant_bands_grey_images_and_no_pixels():
    mean, deviation = pixel_scale(band_statistics(Images([np.full((2, 2, 1), 0.1)] * 3)))
    assert mean == pytest.approx([0.1]) and deviation.tolist() == [1.0]
    grey = Images([np.array([[0, 4], [0, 4]], np.uint8)])
    mean, deviation = pixel_scale(band_statistics(grey, 3))
    assert mean.tolist() == deviation.tolist() == [2, 2, 2]
    with pytest.raises(DatasetError, match="need usable pixels. Received: 1 images without any"):
        band_statistics(Images([np.full((2, 2, 1), 7.0)]))
    with pytest.raises(DatasetError, match="IMAGE_CHANNEL_COUNT channels"):
        band_statistics(Images([np.zeros((2, 2, 4)), np.zeros((2, 2, 5))]))


def test_bands_are_chosen_by_number_and_name(images):
    dataset = Images(images)
    dataset.band_names = ["Red", "dem", "slope"]
    chosen = select_bands(dataset, "3, height=DEM,vis=1")
    assert chosen.band_names == ["slope", "height", "vis"]
    assert chosen.num_images == 48 and chosen.class_names == ["BG", "landslide"]
    np.testing.assert_array_equal(chosen.load_image(1), images[1][..., [2, 1, 0]])
    # What is usable is a matter of the whole image.
    images[1][0, 0, 0] = 7
    without = select_bands(dataset, "2")
    np.testing.assert_array_equal(without.load_valid_mask(1), images[1][..., 0] != 7)
    np.testing.assert_array_equal(without.load_mask(1)[0], dataset.load_mask(1)[0])
    assert without.verify(progress=False, channel_count=1)["instances"] == 48
    with pytest.raises(DatasetError, match="from 1 to 3 or one of Red, dem, slope. Received: '4'"):
        select_bands(dataset, "1,4")
    with pytest.raises(DatasetError, match="told apart by their names. Received: dem, dem"):
        select_bands(dataset, "dem,2")


def test_names_come_from_the_first_file(write_raster):
    import rasterio

    path = write_raster(np.zeros((4, 5, 2), np.float32))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("slope_deg", "river_level")
    dataset = Dataset()
    dataset.add_image("landslide", 0, path)
    dataset.prepare()
    assert band_names_of(dataset) == ["slope_deg", "river_level"]
    assert band_names_of(Images([np.zeros((2, 2, 3))])) == ["red", "green", "blue"]
    assert band_names_of(Images([np.zeros((2, 2, 2))])) == ["band 1", "band 2"]
