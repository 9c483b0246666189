"""Files appear whole or not at all, and a folder counts as finished only with a valid manifest."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench.bench.errors import MedbenchError
from medbench.bench.store.folder import evaluation_id, trial_id
from medbench.bench.store.records import (
    canonical,
    damage,
    is_sealed,
    read_json,
    read_yaml,
    sealed_folder,
    short_id,
    write_json,
    write_text,
    write_yaml,
)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def seal(folder: Path, text: str = "content") -> Path:
    with sealed_folder(folder) as working:
        write_text(working / "a.txt", text)
        write_text(working / "sub" / "b.txt", "more")
    return folder


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_equal_values_have_equal_ids_whatever_the_order(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))

    assert canonical(value) == canonical(turned)
    assert len(short_id(value)) == 16


def test_an_id_is_pinned_because_stores_outlive_versions() -> None:
    by_sha256sum = "91ff63a7ddb19a1b"  # of {"a":"ü","b":[1,2.5,null]}

    assert short_id({"b": [1, 2.5, None], "a": "ü"}) == by_sha256sum


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "ü"], "b": {"c": True}}

    write_json(tmp_path / "x.json", value)
    write_yaml(tmp_path / "x.yaml", value)

    assert read_json(tmp_path / "x.json") == read_yaml(tmp_path / "x.yaml") == value


@pytest.mark.parametrize("name", ["x.json", "x.yaml"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{", encoding="utf-8")
    read = read_json if name.endswith("json") else read_yaml

    with pytest.raises(MedbenchError, match=name):
        read(tmp_path / name)
    with pytest.raises(MedbenchError, match="missing"):
        read(tmp_path / f"missing-{name}")


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "\ud800")

    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_sealed_folder_is_whole_and_sound(tmp_path: Path) -> None:
    folder = seal(tmp_path / "trial")

    assert is_sealed(folder)
    assert damage(folder) == []
    assert (folder / "sub" / "b.txt").read_text() == "more"
    assert [path.name for path in tmp_path.iterdir()] == ["trial"]


def test_work_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with sealed_folder(tmp_path / "trial") as working:
            write_text(working / "a.txt", "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()

    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_folder_is_replaced_and_a_finished_one_is_kept(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "rest.txt").touch()
    assert not is_sealed(tmp_path / "trial")

    seal(tmp_path / "trial", "first")
    seal(tmp_path / "trial", "second")

    assert (tmp_path / "trial" / "a.txt").read_text() == "first"
    assert not (tmp_path / "trial" / "rest.txt").exists()


@pytest.mark.parametrize("harm", ["missing", "shorter", "no manifest", "half a manifest", "another manifest"])
def test_a_damaged_folder_does_not_count_as_finished(tmp_path: Path, harm: str) -> None:
    folder = seal(tmp_path / "trial")
    manifest = folder / "manifest.json"
    match harm:
        case "missing":
            (folder / "sub" / "b.txt").unlink()
        case "shorter":
            (folder / "a.txt").write_text("conten")
        case "no manifest":
            manifest.unlink()
        case "half a manifest":
            manifest.write_text(manifest.read_text()[:40])
        case _:
            manifest.write_text("[]")

    assert not is_sealed(folder)


def test_a_flipped_byte_is_found_by_digest(tmp_path: Path) -> None:
    folder = seal(tmp_path / "trial")
    (folder / "a.txt").write_text("c0ntent")

    assert damage(folder) == [f"{folder / 'a.txt'}: SHA-256 differs from the manifest's"]


def test_a_trial_is_what_it_is_and_not_where_its_data_lay() -> None:
    config = {"model": "m", "seed": 0, "source": {"set": {"folder": "here"}}}

    assert trial_id(config) == trial_id({**config, "source": {"set": {"folder": "there"}}})
    assert trial_id(config) != trial_id({**config, "seed": 1})


def test_an_evaluation_is_trial_images_and_scoring_and_not_its_name() -> None:
    config = {"scoring": 1, "trial": "t", "images_digest": "d", "score_at": "native", "name": "ph2"}

    assert evaluation_id(config) == evaluation_id({**config, "name": "other"})
    for key in ("scoring", "trial", "images_digest", "score_at"):
        assert evaluation_id(config) != evaluation_id({**config, key: "x"})
