"""Damaged or foreign files are detected: a torn state costs one step, and nothing is ever unpickled into code."""

import hashlib
import io
import pickle

import pytest
import torch

from detector.core.errors import DetectorError
from detector.models import checkpoints
from detector.training.resume import ResumeState


def test_the_newest_state_comes_back(tmp_path):
    state = ResumeState(tmp_path)
    assert state.load() is None
    for step in (1, 2, 3):
        state.save(step, {"step": step, "tensor": torch.full((3,), float(step))})
    assert state.load()["step"] == 3
    assert torch.equal(state.load()["tensor"], torch.full((3,), 3.0))
    assert len(list(tmp_path.iterdir())) == 2, "two states are kept, no more"


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_state_falls_back_one_step(tmp_path, damage):
    state = ResumeState(tmp_path)
    for step in (1, 2):
        state.save(step, {"step": step, "tensor": torch.arange(1000)})
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    assert state.load()["step"] == 1


def test_a_pickle_posing_as_a_state_is_never_run(tmp_path):
    """With a valid checksum, so that only `weights_only` stands between it and the process."""
    payload = io.BytesIO()
    torch.save({"model": Bomb()}, payload)
    content = hashlib.sha256(payload.getvalue()).digest() + payload.getvalue()
    (tmp_path / "000001-000000000.state").write_bytes(content)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        ResumeState(tmp_path).load()


def test_weights_round_trip(tmp_path):
    weights = {"a": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), "n": torch.tensor(7)}
    checkpoints.save_weights(tmp_path / "w.safetensors", weights)
    loaded = checkpoints.load_weights(tmp_path / "w.safetensors")
    assert all(torch.equal(weights[name], loaded[name]) for name in weights)


def test_a_flipped_bit_in_weights_is_found(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoints.save_weights(path, {"a": torch.arange(1000.0)})
    content = bytearray(path.read_bytes())
    content[-500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DetectorError, match=r"w\.safetensors: damaged .* delete it"):
        checkpoints.load_weights(path)


def test_truncated_weights_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoints.save_weights(path, {"a": torch.arange(1000.0)})
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DetectorError, match=r"w\.safetensors: not a readable safetensors file"):
        checkpoints.load_weights(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_posing_as_weights_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DetectorError, match="not a readable safetensors"):
        checkpoints.load_weights(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoints.save_weights(path, {"a": torch.ones(2)})
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        checkpoints.save_weights(path, {"a": "no tensor"})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "a temporary file was left behind"
