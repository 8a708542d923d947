"""Decoding of network outputs and the way into the networks and back, against values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetoall_cli.pose.detectors.boxes import choose_people, decode_yolov10, decode_yolox
from onetoall_cli.pose.detectors.crops import Crop, letterboxed, normalised, stretched
from onetoall_cli.pose.detectors.heatmaps import decode_heatmaps
from onetoall_cli.pose.detectors.interface import MAX_PEOPLE
from onetoall_cli.pose.detectors.simcc import decode_simcc

GOLDEN = Path(__file__).parents[1] / "data" / "pose_golden.npz"


def bump(x, y, height=0.8, sigma=2.0):
    """A Gaussian heatmap of 64 x 48."""
    rows, columns = np.mgrid[:64, :48]
    return height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def picture(width, height):
    """A smooth picture: red rises along x, green along y, by at most one a pixel."""
    x = np.linspace(0, min(255, width - 1), width)
    y = np.linspace(0, min(255, height - 1), height)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = np.round(x), np.round(y)[:, None]
    return image


class TestHeatmaps:
    def test_golden_keypoints_and_scores(self):
        golden = np.load(GOLDEN)
        crop = Crop.around(golden["heatmap.box"], 192 / 256)
        assert crop.center == pytest.approx(golden["heatmap.center"])
        assert crop.size == pytest.approx(golden["heatmap.scale_px"])
        points, scores = decode_heatmaps(golden["heatmap.input"].astype(np.float32))
        np.testing.assert_allclose(crop.to_picture(points, 48, 64), golden["heatmap.keypoints"], atol=1e-3)
        np.testing.assert_array_equal(scores[..., None], golden["heatmap.scores"])

    @given(st.floats(8, 39), st.floats(8, 55), st.floats(0.05, 1))
    def test_a_gaussian_is_found_to_a_fraction_of_a_pixel(self, x, y, height):
        points, scores = decode_heatmaps(bump(x, y, height)[None, None].astype(np.float32))
        assert points[0, 0] == pytest.approx([x, y], abs=0.02)
        assert 0.85 * height < scores[0, 0] <= height + 1e-6

    def test_a_peak_at_the_border_is_taken_as_it_is(self):
        points, _ = decode_heatmaps(np.stack([bump(1, 30), bump(30, 62), bump(47, 0)])[None].astype(np.float32))
        assert points[0].tolist() == [[1, 30], [30, 62], [47, 0]]

    def test_an_empty_heatmap_has_no_score(self):
        _, scores = decode_heatmaps(np.stack([np.zeros((64, 48)), np.full((64, 48), -1)])[None].astype(np.float32))
        assert (scores == 0).all()

    def test_the_input_is_left_alone(self):
        heatmaps = bump(20, 20)[None, None].astype(np.float32)
        before = heatmaps.copy()
        decode_heatmaps(heatmaps)
        np.testing.assert_array_equal(heatmaps, before)


class TestSimCC:
    def test_peaks_on_the_half_pixel_grid(self):
        columns, rows = np.zeros((1, 2, 576), np.float32), np.zeros((1, 2, 768), np.float32)
        columns[0, 0, 101], rows[0, 0, 400] = 0.7, 0.9
        columns[0, 1, 575], rows[0, 1, 0] = 1.4, 1.2
        points, scores = decode_simcc(columns, rows, split=2)
        assert points[0].tolist() == [[50.5, 200], [287.5, 0]]
        assert scores[0] == pytest.approx([0.7, 1.0])  # the lower of the two; overshoot is cut

    def test_without_a_positive_value_there_is_no_score(self):
        columns, rows = np.full((1, 1, 576), -0.1, np.float32), np.ones((1, 1, 768), np.float32)
        assert decode_simcc(columns, rows, split=2)[1].tolist() == [[0.0]]


class TestYoloV10:
    def test_only_people_of_some_score_are_kept(self):
        rows = np.zeros((300, 6), np.float32)
        rows[0] = [10, 20, 110, 220, 0.9, 0]
        rows[1] = [0, 0, 640, 640, 0.99, 16]  # a dog
        rows[2] = [5, 5, 50, 50, 0.06, 0]
        rows[3] = [5, 5, 600, 600, 0.04, 0]
        assert decode_yolov10(rows).tolist() == [rows[0, :5].tolist(), rows[2, :5].tolist()]


class TestYoloX:
    def test_cells_of_all_three_strides(self):
        rows = np.zeros((8400, 85), np.float32)
        # 80 x 80 cells of 8 px, then 40 x 40 of 16, then 20 x 20 of 32, each row by row.
        cells = {2 * 80 + 3: (3, 2, 8), 6400 + 7 * 40 + 5: (5, 7, 16), 6400 + 1600 + 19 * 20 + 10: (10, 19, 32)}
        expected = []
        for cell, (column, row, stride) in cells.items():
            rows[cell, :4] = [0.5, 0.25, np.log(4), np.log(6)]
            rows[cell, 4], rows[cell, 5], rows[cell, 30] = 0.8, 0.5, 0.4
            middle = ((column + 0.5) * stride, (row + 0.25) * stride)
            expected.append(
                [middle[0] - 2 * stride, middle[1] - 3 * stride, middle[0] + 2 * stride, middle[1] + 3 * stride, 0.4]
            )
        np.testing.assert_allclose(decode_yolox(rows), expected, rtol=1e-5)

    def test_what_is_more_of_something_else_is_no_person(self):
        rows = np.zeros((8400, 85), np.float32)
        rows[0, 4:7] = [1, 0.5, 0.6]
        assert len(decode_yolox(rows)) == 0

    def test_wild_values_in_empty_cells_do_no_harm(self):
        rows = np.zeros((8400, 85), np.float32)
        rows[:, 2:4] = 200
        with np.errstate(over="raise"):
            assert len(decode_yolox(rows)) == 0


class TestChoiceOfPeople:
    frame = np.zeros((720, 1280, 3), np.uint8)

    def choose(self, *boxes):
        return choose_people(np.array(boxes, np.float32).reshape(-1, 5), np.array([2.0, 1.125]), self.frame)

    def test_boxes_are_scaled_to_the_picture_and_kept_within_it(self):
        assert self.choose([-10, 20, 110, 700, 0.9]).tolist() == pytest.approx(
            np.array([[0, 22.5, 220, 720, 0.9]], np.float32)
        )

    def test_the_largest_comes_first_and_repeats_go(self):
        people = self.choose([0, 0, 50, 100, 0.9], [2, 0, 52, 100, 0.5], [100, 0, 300, 400, 0.4])
        assert people[:, 4].tolist() == pytest.approx([0.4, 0.9])

    def test_doubtful_boxes_are_ignored_beside_sure_ones(self):
        assert self.choose([0, 0, 600, 600, 0.2], [0, 0, 50, 100, 0.5])[:, 4].tolist() == pytest.approx([0.5])

    def test_where_nobody_is_sure_the_largest_is_the_one(self):
        assert self.choose([0, 0, 50, 60, 0.2], [0, 0, 500, 600, 0.06])[:, 4].tolist() == pytest.approx([0.06])

    def test_a_crowd_is_cut_to_the_largest(self):
        crowd = [[60 * i, 0, 60 * i + 40, 100 + 20 * i, 0.8] for i in range(10)]
        people = self.choose(*crowd)
        assert len(people) == MAX_PEOPLE
        assert (np.diff(people[:, 3]) < 0).all()

    def test_nobody_is_nobody(self):
        assert self.choose().shape == (0, 5)
        assert self.choose([700, 10, 800, 90, 0.9]).shape == (0, 5)  # outside the picture


class TestCrops:
    def test_a_wide_box_is_enlarged_in_height(self):
        crop = Crop.around(np.array([100, 100, 400, 200]), 0.75)
        assert crop.center.tolist() == [250, 150]
        assert crop.size.tolist() == [375, 500]  # 300 * 1.25, and that / 0.75

    @given(st.floats(0, 900), st.floats(0, 600), st.floats(2, 900), st.floats(2, 900))
    def test_the_crop_shows_the_pixels_it_says(self, x, y, width, height):
        image = picture(1000, 700)
        crop = Crop.around(np.array([x, y, x + width, y + height]), 192 / 256)
        cut = crop.cut(image, 192, 256)
        rows, columns = np.mgrid[20:256:40, 20:192:40]
        grid = np.stack([columns, rows], axis=-1).reshape(-1, 2)
        where = crop.to_picture(grid, 192, 256)
        inside = ((where > 8) & (where < (991, 691))).all(axis=1)  # away from the black border
        seen = cut[grid[inside, 1], grid[inside, 0], :2]
        expected = where[inside] * (255 / 999, 255 / 699)
        assert np.abs(seen - expected).max(initial=0) <= 1.01  # grey levels, rounded twice

    def test_a_strongly_reduced_crop_averages_its_pixels(self):
        image = np.zeros((2560, 1920, 3), np.uint8)
        image[:, ::10] = 250  # a line in ten columns: a mean of 25
        cut = Crop(np.array([960.0, 1280.0]), np.array([1920.0, 2560.0])).cut(image, 192, 256)
        assert np.abs(cut[20:-20, 20:-20].astype(float) - 25).max() <= 6  # single pixels would give 0 and 125

    def test_beyond_the_picture_it_is_black(self):
        cut = Crop(np.array([0.0, 0.0]), np.array([96.0, 128.0])).cut(np.full((64, 64, 3), 255, np.uint8), 192, 256)
        assert cut[:120, :90].max() == 0
        assert cut[200, 150].tolist() == [255, 255, 255]

    def test_normalised_is_rgb_in_imagenet_units(self):
        pixel = np.array([[[255, 0, 128]]], np.uint8)
        expected = (np.array([255, 0, 128]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        assert normalised(pixel).ravel() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("size", [(1000, 700), (333, 517), (2001, 1003), (640, 640)])
    def test_letterbox_and_stretch_give_the_way_back(self, size):
        width, height = size
        image = np.zeros((height, width, 3), np.uint8)
        image[-height // 4 :, -width // 4 :] = 255
        corner = np.array([width - width // 4, height - height // 4])
        for square, factors in (stretched(image, 640), letterboxed(image, 640, fill=0)):
            assert square.shape == (640, 640, 3)
            rows, columns = np.nonzero(square[..., 0] > 127)
            ends = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]) * factors
            assert np.abs(ends[0] - corner).max() <= max(factors) * 0.51 + 1
            assert np.abs(ends[1] - size).max() <= 1e-6

    def test_the_letterbox_is_filled_with_grey(self):
        square, _ = letterboxed(np.zeros((100, 200, 3), np.uint8), 640, fill=114)
        assert (square[:320] == 0).all() and (square[320:] == 114).all()
