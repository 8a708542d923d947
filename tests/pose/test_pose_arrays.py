"""Arrays of keypoints: what they hold is believed only after the header was found right, and nothing is unpickled."""

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence, arrays

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "poses_real.npz"
KEYPOINTS = (np.random.default_rng(0).random((2, 133, 3)) * [100, 100, 1]).astype(np.float32)


def npy(shape="(2, 133, 3)", descr="'<f4'", order="False", data=KEYPOINTS.tobytes(), version=b"\x01\x00"):
    """An .npy file with a header of our own wording."""
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode().ljust(200) + b"\n"
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + header + data


def refused(path, content, words):
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words) as error:
        PoseSequence.load(path)
    assert path.name in error.value.problem and len(str(error.value)) < 600


def test_the_made_headers_are_right_but_for_what_a_test_changes(tmp_path):
    for version in (b"\x01\x00", b"\x02\x00"):
        (tmp_path / "a.npy").write_bytes(npy(version=version))
        assert np.array_equal(PoseSequence.load(tmp_path / "a.npy").keypoints[:, 0], KEYPOINTS)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i8", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_type_and_order_are_read(tmp_path, dtype, order):
    np.save(tmp_path / "a.npy", np.asarray(KEYPOINTS.round(), dtype, order=order))
    found = PoseSequence.load(tmp_path / "a.npy").keypoints
    assert np.array_equal(found[:, 0], KEYPOINTS.round())


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"shape": "(-1, 133, 3)"}, "shape"),
        ({"shape": "(0, 133, 3)"}, "shape"),
        ({"shape": "(3, 133, 3)"}, "shape"),
        ({"shape": "(9999999999, 133, 3)"}, "shape"),
        ({"shape": f"({'9' * 100}, 133, 3)"}, "shape"),
        ({"shape": "(798,)"}, r"shape \(798,\), not"),
        ({"shape": "(2.0, 133, 3)"}, "damaged"),
        ({"shape": "(2, 133, 3"}, "damaged"),
        ({"shape": "2"}, "damaged"),
        ({"descr": "'|O'"}, "numbers"),
        ({"descr": "'<c8'"}, "numbers"),
        ({"descr": "[('x', '<f4')]"}, "numbers"),
        ({"descr": "('<f4', (9999,))"}, "numbers"),
        ({"descr": "'<U4'"}, "numbers"),
        ({"descr": "None"}, "damaged|numbers"),
        ({"descr": "__import__('os')"}, "damaged"),
        ({"order": "3"}, "damaged"),
        ({"version": b"\x09\x00"}, "damaged"),
        ({"data": KEYPOINTS.tobytes()[:-1]}, "shape"),
        ({"data": b""}, "shape"),
    ],
)
def test_a_header_that_cannot_be_is_refused_before_anything_is_loaded(tmp_path, header, words):
    refused(tmp_path / "a.npy", npy(**header), words)
    with zipfile.ZipFile(tmp_path / "whole.npz", "w") as archive:
        archive.writestr("dance.npy", npy(**header))
    refused(tmp_path / "a.npz", (tmp_path / "whole.npz").read_bytes(), words)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04\x95junk."])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_file_of_another_kind_is_named(tmp_path, name, content):
    refused(tmp_path / name, content, "damaged")


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    content = io.BytesIO()
    np.save(content, np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npy", content.getvalue(), "numbers")
    assert not (tmp_path / "touched").exists()


def test_an_archive_that_unpacks_to_more_than_it_may_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_FILE_BYTES", 100_000)
    np.savez_compressed(tmp_path / "whole.npz", np.zeros((1000, 133, 3), np.float32))
    content = (tmp_path / "whole.npz").read_bytes()
    assert len(content) < 10_000
    refused(tmp_path / "a.npz", content, r"shape \(1000, 133, 3\), which 100000 bytes cannot hold")


def test_a_damaged_archive_is_named(tmp_path):
    content = bytearray(REAL.read_bytes())
    content[2000:3000] = bytes(1000)
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.npz"):
        PoseSequence.load(f"{tmp_path / 'bad.npz'}:dance_full")


def test_an_array_with_nan_names_the_point(tmp_path):
    keypoints = np.ones((4, 133, 3))
    keypoints[2, 50, 1] = np.nan
    np.save(tmp_path / "a.npy", keypoints)
    with pytest.raises(BadInput, match="point 2, 50 is NaN"):
        PoseSequence.load(tmp_path / "a.npy")


@pytest.mark.parametrize("path", sorted((DATA / "cases" / "arrays").iterdir()), ids=lambda path: path.name)
def test_the_arrays_that_went_wrong_are_refused(path):
    with pytest.raises(BadInput, match=r"\.npy"):
        PoseSequence.load(path)


def mutated(content, generator):
    """`content` with a few bytes changed, mostly in its headers, which stand at the beginning and, in zip, the end."""
    content = bytearray(content)
    for _ in range(generator.randint(1, 3)):
        place = generator.choice([generator.randrange(140), -1 - generator.randrange(140), generator.randrange(999)])
        kind = generator.randrange(4)
        if kind == 0:
            content[place] = generator.randrange(256)
        elif kind == 1:
            content[place : place + 2] = generator.choice([b"-1", b"()", b"9e", b"|O", b"\x00\xff"])
        elif kind == 2:
            del content[place : place + generator.randrange(9)]
        else:
            content[place:place] = generator.choice([b"9" * 20, b"(" * 50, b"None", b"\n"])
    return bytes(content)


def test_mutated_arrays_load_or_are_refused(tmp_path):
    generator = random.Random(17)
    seeds = {}
    for name, save in [("a.npy", np.save), ("a.npz", np.savez), ("b.npz", np.savez_compressed)]:
        save(tmp_path / name, KEYPOINTS)
        seeds[name] = (tmp_path / name).read_bytes()
    outcomes = set()
    for _ in range(600):
        name = generator.choice(sorted(seeds))
        (tmp_path / name).write_bytes(mutated(seeds[name], generator))
        try:
            PoseSequence.load(tmp_path / name)
            outcomes.add("read")
        except BadInput as error:
            outcomes.add("refused")
            assert name in error.problem
    assert outcomes == {"read", "refused"}
