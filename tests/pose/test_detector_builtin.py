"""The builtin detector as a whole: that it reads what MediaPipe 0.10.21 did, and what it finds on a photograph."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.media import open_video, read_picture
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose import open_detector
from onetoall_cli.pose.detectors.builtin.networks import FOLDER, Networks
from onetoall_cli.pose.detectors.builtin.people_finder import PeopleFinder
from onetoall_cli.pose.detectors.builtin.person_reader import PersonReader
from onetoall_cli.pose.detectors.builtin.regions import Region
from onetoall_cli.pose.detectors.builtin.search import DOUBTFUL

PEOPLE = Path(__file__).parents[1] / "data" / "people"
MEDIA = Path(__file__).parents[3] / "shared" / "media"


@pytest.fixture(scope="module")
def detector():
    with open_detector("builtin") as detector:
        yield detector


@pytest.fixture(scope="module")
def portrait():
    """Grace Hopper by the United States Navy, in the public domain (from matplotlib's sample data), 512 x 600."""
    return read_picture(PEOPLE / "grace_hopper.jpg")


@pytest.fixture(scope="module")
def networks():
    networks = Networks()
    yield networks
    networks.close()


@pytest.fixture(scope="module")
def answers():
    """MediaPipe's: of single readings, and of whole runs."""
    with np.load(PEOPLE / "mediapipe.npz") as readings, np.load(PEOPLE / "dances.npz") as dances:
        return {**readings, **dances}


class TestAgainstMediaPipe:
    """What MediaPipe's own graphs made of three pictures, kept from before this detector took their place."""

    PICTURES = ("grace_hopper.jpg", "puppet_b.webp", "puppet_c.webp")

    @pytest.mark.parametrize("picture", PICTURES)
    def test_people_are_found_where_it_finds_them(self, picture, networks, answers):
        image = read_picture(PEOPLE / picture)
        height, width = image.shape[:2]
        whole = Region(width / 2, height / 2, max(width, height), 0.0)
        finds = PeopleFinder(networks, DOUBTFUL).find(image, whole)
        expected = answers[f"{Path(picture).stem}.finds"]
        assert len(finds) == len(expected)
        for find, (score, x, y, *region) in zip(finds, expected.tolist(), strict=True):
            assert find.score == pytest.approx(score, abs=0.01)
            assert find.chest == pytest.approx((x, y), abs=0.002 * region[2])
            assert find.region.overlap(Region(*region)) > 0.98
            assert find.region.rotation == pytest.approx(region[3], abs=0.01)

    @pytest.mark.parametrize("picture", PICTURES)
    def test_a_person_is_read_as_it_reads_them(self, picture, networks, answers):
        """In the same region, and once more in the picture moved by 3 pixels, hands and face from where they were."""
        image, name = read_picture(PEOPLE / picture), Path(picture).stem
        reader, before = PersonReader(networks), None
        for step in range(2):
            expected = {
                part: answers.get(f"{name}.{step}.{part}") for part in ("body", "face", "left_hand", "right_hand")
            }
            region = Region(*answers[f"{name}.{step}.region"].tolist())
            moved = np.ascontiguousarray(np.roll(image, 3 * step, axis=1))
            ((landmarks),) = reader.read(moved, [(region, before)])
            for part, limit in {"body": 0.0005, "face": 0.0005, "left_hand": 0.002, "right_hand": 0.002}.items():
                ours, theirs = getattr(landmarks, part), expected[part]
                if theirs is not None:
                    off = np.linalg.norm((ours - theirs)[:, :2], axis=1) / region.size
                    assert np.median(off) < limit, (part, np.median(off))
            np.testing.assert_allclose(landmarks.body[:, 2], expected["body"][:, 2], atol=0.02)
            assert landmarks.next_region.overlap(Region(*answers[f"{name}.{step}.next"].tolist())) > 0.99
            before = landmarks


@pytest.mark.skipif(not MEDIA.is_dir(), reason="the real dances lie beside the repository")
class TestRealMedia:
    """Whole runs against the keypoints of MediaPipe's graphs. Regions follow from reading to reading, which amplifies
    any rounding: a region off by a millionth moves the same graphs' points on these pictures by up to 0.8 %."""

    @staticmethod
    def differences(ours, theirs):
        """Of each visible point in parts of the median height of the body; and the part of them that was lost."""
        body = theirs[:, : kp.FEET.stop]
        seen = body[..., 2] > 0.3
        height = np.median([np.ptp(person[see, 1]) for person, see in zip(body, seen, strict=True)])
        visible, kept = theirs[..., 2] >= 0.3, ours[..., 2] >= 0.3
        off = np.linalg.norm((ours - theirs)[..., :2], axis=-1) / height
        return off[visible & kept], int((visible & ~kept).sum()) / int(visible.sum())

    @pytest.mark.parametrize("name", ["dance_far", "dance_full_body"])
    def test_a_dance_has_the_same_points(self, name, detector, answers):
        theirs = answers[name]
        frames = open_video(MEDIA / f"{name}.mp4")
        ours = []
        for people, _ in zip(detector.follow(frame.image for frame in frames), theirs, strict=False):
            assert len(people) >= 1
            ours.append(people[0])
        off, lost = self.differences(np.stack(ours), theirs[:, 0])
        assert np.median(off) < 0.003 and np.quantile(off, 0.9) < 0.02
        assert lost < 0.03  # hands before the body come and go

    @pytest.mark.parametrize("name", ["bust_portrait", "full_body_cartoon", "half_body"])
    def test_a_picture_has_the_same_person_face_and_all(self, name, detector, answers):
        (people,) = detector.detect([read_picture(MEDIA / f"{name}.png")])
        assert len(people) == len(answers[name]) == 1
        off, _ = self.differences(people, answers[name])
        assert np.median(off) < 0.01
        _, lost = self.differences(people[:, : kp.LEFT_HAND.start], answers[name][:, : kp.LEFT_HAND.start])
        assert lost == 0  # of body and face; a hand may come and go with the version of OpenCV that cuts it out


class TestOnAPhotograph:
    def test_every_part_is_where_it_belongs(self, detector, portrait):
        (people,) = detector.detect([portrait])
        assert people.shape == (1, 133, 3)
        person = people[0]
        face = person[kp.FACE]
        # She faces us: her left is on the right of the picture. Places read off the photograph, in pixels.
        seen = {
            kp.NOSE: (268, 236),
            kp.LEFT_EYE: (309, 189),
            kp.RIGHT_EYE: (219, 193),
            kp.LEFT_EAR: (355, 215),
            kp.RIGHT_EAR: (170, 215),
            kp.LEFT_SHOULDER: (455, 420),
            kp.RIGHT_SHOULDER: (90, 415),
        }
        for row, place in seen.items():
            assert person[row, :2] == pytest.approx(place, abs=25)
            assert person[row, 2] > 0.9
        chin, jaw, brows, nostrils, mouth = face[8], face[:17], face[17:27], face[31:36], face[48:68]
        assert chin[1] == jaw[:, 1].max() and (np.diff(jaw[1:16, 0]) > 0).all()
        assert brows[:, 1].max() < face[36:48, 1].min() < face[36:48, 1].max() < nostrils[:, 1].min()
        assert nostrils[:, 1].max() < mouth[:, 1].min() and mouth[:, 1].max() < chin[1]
        assert face[36:42, 0].max() < face[42:48, 0].min() and (np.diff(brows[:, 0]) > 0).all()
        assert face[48, 0] < face[54, 0]  # corners of the mouth, right then left

    def test_what_is_below_the_picture_is_no_measure(self, detector, portrait):
        (people,) = detector.detect([portrait])
        hips_and_legs = people[0, kp.LEFT_HIP : kp.FEET.stop]
        assert (hips_and_legs[:, 1] > 600).all() and (hips_and_legs[:, 2] < 0.5).all()

    def test_a_mirrored_picture_swaps_the_sides(self, detector, portrait):
        straight, mirrored = (people[0] for people in detector.detect([portrait, portrait[:, ::-1]]))
        assert mirrored[kp.LEFT_SHOULDER, 0] == pytest.approx(512 - straight[kp.RIGHT_SHOULDER, 0], abs=25)
        assert mirrored[kp.LEFT_EYE, 0] == pytest.approx(512 - straight[kp.RIGHT_EYE, 0], abs=10)

    @pytest.mark.parametrize("quarters", [1, 2, 3])
    def test_a_turned_picture_has_the_person_turned(self, quarters, detector, portrait):
        straight = detector.detect([portrait])[0][0]
        turned = np.ascontiguousarray(np.rot90(portrait, quarters))
        (people,) = detector.detect([turned])
        assert len(people) == 1
        back = people[0, :, :2]
        for earlier in reversed(range(quarters)):
            width = (512, 600)[earlier % 2]  # of the picture before this quarter to the left
            back = np.stack([width - back[:, 1], back[:, 0]], axis=1)
        upper = [*range(7), *range(kp.FACE.start, kp.FACE.stop)]
        assert np.median(np.linalg.norm((back - straight[:, :2])[upper], axis=1)) < 6

    def test_a_close_up_is_found(self, detector, portrait):
        close = np.ascontiguousarray(portrait[60:420, 110:410])
        (people,) = detector.detect([close])
        assert len(people) == 1
        assert people[0, kp.NOSE, :2] == pytest.approx((268 - 110, 236 - 60), abs=15)

    def test_two_people_are_two(self, detector, portrait):
        both = np.hstack([portrait, np.zeros_like(portrait[:, :80]), portrait[:, ::-1]])
        (people,) = detector.detect([both])
        noses = sorted(people[:, kp.NOSE, 0])
        assert noses == pytest.approx([268, 512 + 80 + 512 - 268], abs=25)

    def test_where_nobody_is_nobody_is_found(self, detector, portrait):
        noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
        flag = np.ascontiguousarray(portrait[:300, :120])
        assert [len(people) for people in detector.detect([noise, flag])] == [0, 0]

    def test_pictures_do_not_depend_on_each_other(self, detector, portrait):
        shifted = np.roll(portrait, 12, axis=1)
        alone = detector.detect([portrait])[0]
        np.testing.assert_array_equal(detector.detect([shifted, portrait])[1], alone)

    def test_a_clip_is_followed_through_a_cut_and_an_absence(self, detector, portrait):
        still = [np.roll(portrait, 3 * i, axis=1) for i in range(3)]
        mirrored = [np.ascontiguousarray(frame[:, ::-1]) for frame in still[:2]]
        clip = [*still, *mirrored, np.full_like(portrait, 90), still[0]]
        answers = list(detector.follow(clip))
        assert [len(people) for people in answers] == [1, 1, 1, 1, 1, 0, 1]
        noses = [people[0, kp.NOSE, 0] for people in answers if len(people)]
        expected = [268, 271, 274, 244, 241, 268]
        assert noses == pytest.approx(expected, abs=12)
        for again, people in zip(detector.follow(clip[:3]), answers[:3], strict=True):
            np.testing.assert_array_equal(again, people)


def test_the_package_s_networks_are_those_of_the_card():
    card = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.onnx"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in card, path.name
