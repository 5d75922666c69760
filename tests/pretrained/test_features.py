"""Feature networks: the right features, streaming, and a cache that never meets another's features."""

import hashlib
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.cbook import get_sample_data
from PIL import Image
from sklearn.datasets import load_sample_images

import pivq.pretrained.features
from pivq.data import from_uint8
from pivq.pretrained.efficientnet import efficientnet_lite0
from pivq.pretrained.features import (
    EfficientNetLite0,
    FeatureNet,
    cached_features,
    extract,
    images_digest,
    load_feature_network,
)
from pivq.pretrained.weights import INCEPTION


class CountingNet(FeatureNet):
    """Three features per image, the mean level of each channel; counts the images it sees."""

    name, label, distance_name, num_features = "counting", "Counting", "FD (Counting)", 3

    def __init__(self, preprocessing="levels", weights_digest="0"):
        super().__init__(torch.nn.Identity(), preprocessing, weights_digest)
        self.seen = 0

    def _features(self, levels):
        self.seen += len(levels)
        return levels.mean(dim=(2, 3))


class Faces(torch.utils.data.Dataset):
    """A data set of images that are not in memory together."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return from_uint8(self.images[i])


@pytest.fixture(scope="module")
def lite():
    return load_feature_network("efficientnet_lite0")


@pytest.fixture
def images():
    return torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# EfficientNet-Lite0


def test_photographs_are_recognised():
    """The features, put through the network's own classifier, name what is to be seen at its training size."""
    temple, dahlia = load_sample_images().images
    with get_sample_data("grace_hopper.jpg") as file:
        officer = np.asarray(Image.open(file).convert("RGB"))
    squares = [temple[:, 106:533], dahlia[:, 106:533], officer[: officer.shape[1]]]
    batch = torch.stack([torch.from_numpy(np.array(Image.fromarray(s).resize((224, 224)))) for s in squares])
    classifier = efficientnet_lite0(224)[0]._fc
    features = EfficientNetLite0(input_size=224)(batch.permute(0, 3, 1, 2))
    with torch.no_grad():
        assert classifier(features).argmax(dim=1).tolist() == [698, 985, 652]  # palace, daisy, military uniform


def test_features_are_those_of_the_network_with_its_batch_norms(lite, images):
    network, _ = efficientnet_lite0(lite.input_size)
    resized = F.interpolate(images.float(), size=(96, 96), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = network.extract_features((resized - 127) / 128).mean(dim=(2, 3))
    features = lite(images)
    assert features.shape == (10, lite.num_features) == (10, 1280) and features.dtype == torch.float32
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    assert features.std(dim=0).max() > 0.1


def test_features_do_not_depend_on_the_batch(lite, images):
    together = extract(lite, images, batch_size=10, progress=False)
    np.testing.assert_allclose(extract(lite, images, batch_size=3, progress=False), together, rtol=1e-3, atol=1e-4)


def test_network_is_frozen(lite):
    before = {name: value.clone() for name, value in lite.state_dict().items()}
    lite.train()
    assert not lite(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).requires_grad
    assert not any(module.training for module in lite.modules())
    assert not any(parameter.requires_grad for parameter in lite.parameters())
    assert all(torch.equal(value, before[name]) for name, value in lite.state_dict().items())


def test_names_never_call_another_distance_fid(lite):
    assert lite.label == "EfficientNet-Lite0"
    assert lite.distance_name == "FD (EfficientNet-Lite0)"
    assert pivq.pretrained.features.CleanInception.distance_name == "FID"


@pytest.mark.parametrize("input_size", [0, -32, 100])
def test_input_size_must_suit_the_strides(input_size):
    with pytest.raises(ValueError, match=f"multiple of 32, got {input_size}"):
        EfficientNetLite0(input_size)


# Images in


def test_decoded_images_are_measured_as_if_stored(lite, images):
    """Bit for bit: floats are rounded to the levels that they would have in a file."""
    stored = from_uint8(images)
    overshoot = torch.where(stored == 0, -0.05, torch.where(stored == 1, 1.05, stored + 0.001))
    for network in (CountingNet(), lite):
        expected = extract(network, images, progress=False)
        for floats in (stored, overshoot):
            assert np.array_equal(extract(network, floats, progress=False), expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), r"must be uint8 \(B, 3, H, W\), got torch.uint8 \(2, 1, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"must be uint8 \(B, 3, H, W\), got torch.uint8 \(3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8), r"must be uint8 \(B, 3, H, W\), got torch.float32"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), r"must be uint8 \(B, 3, H, W\), got torch.int64"),
    ],
)
def test_the_network_refuses_other_images(images, message):
    with pytest.raises(ValueError, match=message):
        CountingNet()(images)


@pytest.mark.parametrize("value", [-1.0, 255.0, torch.nan])
def test_floats_outside_the_range_are_refused(tmp_path, value):
    images, message = torch.full((2, 3, 8, 8), value), rf"images must lie in \[0, 1\], got {value:g} to {value:g}"
    with pytest.raises(ValueError, match=message):
        extract(CountingNet(), images, progress=False)
    with pytest.raises(ValueError, match=message):
        cached_features(CountingNet(), images, tmp_path, progress=False)


def test_tensors_data_sets_and_streams_give_the_same_features(images):
    expected = images.float().mean(dim=(2, 3)).numpy()
    sources = [images, from_uint8(images), Faces(images), (batch for batch in from_uint8(images).split(4)),
               torch.utils.data.DataLoader(Faces(images), batch_size=4)]  # fmt: skip
    for source in sources:
        features = extract(CountingNet(), source, batch_size=3, progress=False)
        np.testing.assert_allclose(features, expected, rtol=1e-6)
        assert features.dtype == np.float32


def test_a_stream_is_never_held_as_a_whole(images):
    network, made = CountingNet(), []

    def stream():
        for batch in from_uint8(images).split(2):
            assert network.seen == sum(made), "the network has seen every batch before the next is made"
            made.append(len(batch))
            yield batch

    assert len(extract(network, stream(), progress=False)) == 10


def test_extraction_without_a_result_is_refused(images):
    with pytest.raises(ValueError, match="no images"):
        extract(CountingNet(), images[:0], progress=False)
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1, got 0"):
        extract(CountingNet(), images, batch_size=0, progress=False)

    def broken(batch):
        return torch.where(torch.arange(len(batch)) == 1, torch.nan, 0.0)[:, None]

    with pytest.raises(ValueError, match="features of image 1 are not finite"):
        extract(broken, images, progress=False)
    with pytest.raises(ValueError, match="features of image 5 are not finite"):
        extract(lambda batch: broken(batch) if batch[0, 0, 0, 0] == images[4, 0, 0, 0]
                else torch.zeros(len(batch), 1), images, batch_size=2, progress=False)  # fmt: skip


# Cache


def test_cache_is_read_the_second_time(images, tmp_path):
    network = CountingNet()
    first = cached_features(network, images, tmp_path / "cache", progress=False)
    second = cached_features(network, images, tmp_path / "cache", progress=False)
    assert network.seen == 10
    assert np.array_equal(first, second) and second.dtype == np.float32
    assert len(list((tmp_path / "cache").iterdir())) == 1, "nothing but the one whole file"
    # The same images in another shape of source are the same images.
    cached_features(network, Faces(images), tmp_path / "cache", progress=False)
    assert network.seen == 10


def test_keys_are_those_of_earlier_versions(tmp_path):
    """Features that were cached before are found again."""
    images = (torch.arange(10 * 3 * 8 * 8) * 7 % 256).to(torch.uint8).reshape(10, 3, 8, 8)
    for source in (images, from_uint8(images)):
        cached_features(CountingNet(), source, tmp_path, progress=False)
        assert [path.name for path in tmp_path.iterdir()] == ["features-counting-15b17d531f61ee77.npz"]
    cached_features(CountingNet(), images, tmp_path, progress=False, identity="x")
    assert (tmp_path / "features-counting-6cf7ca2267bc99f2.npz").is_file()


def test_everything_that_matters_is_in_the_key(images, tmp_path):
    cached_features(CountingNet(), images, tmp_path, progress=False)
    changed = images.clone()
    changed[7, 1, 2, 3] += 1  # one level of one pixel, 255 to 0 included
    renamed = CountingNet()
    renamed.name = "other"
    variants = [
        (CountingNet(), changed, {}),
        (CountingNet(), images.flip(0), {}),
        (CountingNet(), images[:9], {}),
        (CountingNet(), images.reshape(10, 3, 4, 16), {}),
        (CountingNet(preprocessing="other"), images, {}),
        (CountingNet(weights_digest="1"), images, {}),
        (renamed, images, {}),
        (CountingNet(), images, {"batch_size": 5}),
    ]
    for network, source, options in variants:
        expected = source.float().mean(dim=(2, 3)).numpy()
        features = cached_features(network, source, tmp_path, progress=False, **options)
        assert network.seen == len(source)
        np.testing.assert_allclose(features, expected, rtol=1e-6)
    assert len(list(tmp_path.iterdir())) == 1 + len(variants)


def test_a_damaged_cache_is_reported_and_made_again(images, tmp_path):
    expected = cached_features(CountingNet(), images, tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    with np.load(path) as file:
        entries = dict(file)
    other_key = entries | {"key": np.array("{}")}
    other_values = entries | {"features": entries["features"] + 1}

    def cut():
        path.write_bytes(whole[: len(whole) // 2])

    def flip():
        at = whole.index(expected.tobytes())
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])

    damages = [cut, flip, lambda: path.write_bytes(b""), lambda: path.write_text("not an archive"),
               lambda: np.savez(path, **other_key), lambda: np.savez(path, **other_values),
               lambda: np.savez(path, features=expected)]  # fmt: skip
    for damage in damages:
        damage()
        network = CountingNet()
        with pytest.warns(UserWarning, match="is damaged .* the features are made again"):
            features = cached_features(network, images, tmp_path, progress=False)
        assert network.seen == 10 and np.array_equal(features, expected)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.array_equal(cached_features(network, images, tmp_path, progress=False), expected)
        assert network.seen == 10, "the file is whole again"


def test_a_file_of_an_earlier_version_is_read(images, tmp_path):
    cached_features(CountingNet(), images, tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    with np.load(path) as file:
        key, features = str(file["key"]), file["features"] + 1
    np.savez(path, features=features, key=key, sha256=hashlib.sha256(features.tobytes()).hexdigest())
    network = CountingNet()
    assert np.array_equal(cached_features(network, images, tmp_path, progress=False), features) and network.seen == 0


def test_an_interrupted_extraction_leaves_no_file(images, tmp_path):
    class Interrupted(CountingNet):
        def _features(self, levels):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_features(Interrupted(), images, tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_stream_cannot_be_cached(images, tmp_path):
    with pytest.raises(TypeError, match="read twice"):
        cached_features(CountingNet(), iter([from_uint8(images)]), tmp_path, progress=False)


def test_images_digest_is_of_content_alone(images):
    digest = images_digest(images)
    assert digest == images_digest(from_uint8(images)) == images_digest(Faces(images))
    assert digest != images_digest(images.flip(3))


# Loading


@pytest.mark.parametrize(
    ("name", "suggestion"), [("inceptoin", "did you mean inception"), ("vgg", "known: efficientnet_lite0")]
)
def test_unknown_networks_are_refused_with_a_suggestion(name, suggestion):
    with pytest.raises(ValueError, match=f"unknown feature network '{name}'.*{suggestion}"):
        load_feature_network(name)


def test_absent_inception_weights_are_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_INCEPTION", str(tmp_path / "mine"))
    with pytest.raises(FileNotFoundError, match="Inception features of FID are missing: no inception-2015-12-05.*mine"):
        load_feature_network("inception")


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_inception_goes_through_clean_fid(tmp_path):
    """A stand-in for the weights: clean-fid's resizing and scaling reach the network as they should."""

    class Layers(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3)).repeat(1, 683)[:, :2048]

    class Base(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = Layers()

        def forward(self, x):
            return self.layers(x)

    torch.jit.script(Base()).save(str(tmp_path / INCEPTION.name))
    network = pivq.pretrained.features.CleanInception(tmp_path / INCEPTION.name)
    flat = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 16, 16)
    features = network(flat)
    assert features.shape == (2, network.num_features)
    assert features[1, :3].tolist() == pytest.approx([-1.0, 0.0, 127 / 128])


def test_no_images_and_no_tensor_are_refused():
    none = torch.zeros(0, 3, 8, 8, dtype=torch.uint8)
    for call in (lambda: extract(CountingNet(), none, progress=False), lambda: images_digest(none)):
        with pytest.raises(ValueError, match="no images to extract features from"):
            call()
    with pytest.raises(ValueError, match="images must be uint8"):
        CountingNet()(none)
    with pytest.raises(TypeError, match="images must be a tensor .* got ndarray"):
        CountingNet()(none.numpy())
