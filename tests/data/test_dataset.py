"""`ImageDataset`, whose items are floats; bytes and floats turned into each other."""

import numpy as np
import pytest
import torch

from pivq.data import from_uint8, load_dataset, to_uint8


@pytest.mark.usefixtures("one_process")
def test_items_are_floats_in_0_1(root):
    loaded = load_dataset("avatars", limit=3)
    items = list(loaded)
    assert len(items) == len(loaded) == 3
    assert all(item.shape == (3, 64, 64) and item.dtype == torch.float32 for item in items)
    assert torch.equal(torch.stack(items), loaded.images.float() / 255)
    assert torch.equal(loaded[-1], items[2]) and torch.equal(loaded[np.int64(1)], items[1])
    with pytest.raises(IndexError):
        loaded[3]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_all_256_levels_make_the_round_trip(kind):
    levels = kind(np.arange(256, dtype=np.uint8).reshape(4, 8, 8))
    floats = from_uint8(levels)
    assert type(floats) is type(levels) and floats.dtype in (np.float32, torch.float32)
    assert (float(floats.min()), float(floats.max())) == (0.0, 1.0)
    back = to_uint8(floats)
    assert type(back) is type(levels) and back.dtype == levels.dtype and back.shape == (4, 8, 8)
    assert (back == levels).all()


def test_to_uint8_rounds_and_clamps():
    floats = torch.tensor([-0.3, -1e-9, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0, 1.7], requires_grad=True)
    assert to_uint8(floats).tolist() == [0, 0, 0, 1, 254, 255, 255]
    assert to_uint8(torch.tensor([0.5, 1.0], dtype=torch.bfloat16)).tolist() == [128, 255]
    assert to_uint8(np.array([0.0, 0.25, 1.0])[::-1]).tolist() == [255, 64, 0]
    assert to_uint8(torch.empty(0, 3, 8, 8)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(("value", "named"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (255.0, "255")])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_to_uint8_refuses_what_is_no_image(kind, value, named):
    with pytest.raises(ValueError, match=named):
        to_uint8(kind(np.array([0.5, value, 0.1], dtype=np.float32)))


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="floats.*uint8"):
        to_uint8(torch.zeros(3, dtype=torch.uint8))
    with pytest.raises(TypeError, match="uint8.*float32"):
        from_uint8(torch.zeros(3))
    with pytest.raises(TypeError, match="uint8.*int64"):
        from_uint8(np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize("images", [[0.5], 0.5, None, "images"])
def test_what_is_no_array_is_refused_by_name(images):
    with pytest.raises(TypeError, match=f"images must be .* floats .* got {type(images).__name__}"):
        to_uint8(images)
    with pytest.raises(TypeError, match=f"images must be .* uint8 levels, got {type(images).__name__}"):
        from_uint8(images)


@pytest.mark.parametrize(
    "low, high, hint", [(-1, 1, r"map \[-1, 1\] to"), (0, 255, "divide by 255"), (0, 9, "divide"), (-3, 1, "range$")]
)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.longdouble, torch.float16, torch.float32])
def test_images_of_another_range_are_refused_with_a_hint(low, high, hint, kind):
    levels = torch.linspace(low, high, 99)
    images = levels.to(kind) if isinstance(kind, torch.dtype) else levels.numpy().astype(kind)
    with pytest.raises(ValueError, match=f"got {low} to {high}: .*{hint}"):
        to_uint8(images)


def test_floats_of_any_precision_become_levels():
    for kind in (np.float16, np.float32, np.float64, np.longdouble):
        assert to_uint8(np.array([[0, 0.5, 1]], kind)).tolist() == [[0, 128, 255]]
    with pytest.raises(ValueError, match="inf"):
        to_uint8(np.array([1e300]))
    with pytest.raises(TypeError, match="complex"):
        to_uint8(torch.tensor([1j]))
