"""Files are whole or not there."""

import pytest

from landslide_rcnn.files import (
    OutputExistsError,
    atomic_path,
    refuse_to_overwrite,
    sha256_of,
    write_json,
)


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "a.tif"
    with atomic_path(target) as partial:
        partial.write_text("half")
        assert not target.exists() and partial.parent == target.parent
        assert partial.suffix == ".tif"
    assert target.read_text() == "half"
    assert [p.name for p in target.parent.iterdir()] == ["a.tif"]


def test_an_error_leaves_the_former_file_and_no_other(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("good")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as partial:
        partial.write_text("bad")
        raise KeyboardInterrupt
    assert target.read_text() == "good" and len(list(tmp_path.iterdir())) == 1


def test_json_refuses_nan_and_keeps_the_former_file(tmp_path):
    write_json(tmp_path / "a.json", {"x": None})
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert (tmp_path / "a.json").read_text() == '{\n  "x": null\n}\n'


def test_digest(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_results_are_not_replaced_unless_asked(tmp_path):
    there = tmp_path / "there"
    refuse_to_overwrite(there, overwrite=False)
    there.touch()
    refuse_to_overwrite(there, overwrite=True)
    with pytest.raises(OutputExistsError, match="there.*--overwrite"):
        refuse_to_overwrite(tmp_path / "other", there, overwrite=False)
