"""Image features for the metrics of Table 3, extracted in a stream and cached.

Two networks. `efficientnet_lite0` needs no download: its ImageNet weights come with a package. `inception` is the
network and the resizing of clean-fid, for numbers comparable to published FIDs; its weights must be put in place. A
Fréchet distance is named after its network and is FID only with Inception.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from pivq.config import suggestion
from pivq.data import to_uint8
from pivq.pretrained.efficientnet import LITE_MEAN, LITE_STD, efficientnet_lite0, fold_batch_norms
from pivq.pretrained.weights import INCEPTION
from pivq.profiles import FEATURE_NETWORKS
from pivq.settings import check_dense, check_device, check_whole, refusal
from pivq.storage.writing import file_digest, kept_arrays

# Source: assumption. On photographs of faces, 64×64, blurred or mixed images stand out from real ones more clearly at
# 96 pixels than at 64; 128 is hardly better, and the 224 of its training costs five times as much.
LITE_INPUT_SIZE = 96


class FeatureNet(nn.Module):
    """A frozen network from images to feature vectors.

    Attributes:
        name: as given to `load_feature_network`.
        label: for captions, e.g. "EfficientNet-Lite0".
        distance_name: what a Fréchet distance in these features is called, e.g. "FD (EfficientNet-Lite0)".
        preprocessing: what happens to an image before the network, in words; part of the cache key.
        weights_digest: SHA-256 of the weights file; part of the cache key.
        num_features: F.
    """

    name: str
    label: str
    distance_name: str
    num_features: int

    def __init__(self, network: nn.Module, preprocessing: str, weights_digest: str):
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.preprocessing = preprocessing
        self.weights_digest = weights_digest
        # Holds the device: a scripted or folded network may have no parameters.
        self.register_buffer("_location", torch.zeros(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Device that images are moved to."""
        return self._location.device

    def train(self, mode: bool = True) -> "FeatureNet":
        """Stay in evaluation mode: the network is never trained."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return features float32 `(B, F)` of images `(B, 3, H, W)`, uint8; `extract` takes floats too.

        Raises:
            TypeError: anything but a tensor.
            ValueError: another shape or type, or no images.
        """
        if not isinstance(images, Tensor):
            raise TypeError(f"images must be a tensor uint8 (B, 3, H, W), got {type(images).__name__}")
        check_dense("images", images)
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or not images.numel():
            raise ValueError(f"images must be uint8 (B, 3, H, W), got {images.dtype} {tuple(images.shape)}")
        return self._features(images.to(self.device).float()).float()

    def _features(self, levels: Tensor) -> Tensor:
        """Return features `(B, F)` of images `(B, 3, H, W)` given as float levels 0, 1, …, 255."""
        raise NotImplementedError


class EfficientNetLite0(FeatureNet):
    """Pooled features, 1280, of EfficientNet-Lite0 trained on ImageNet (weights: Apache-2.0).

    Args:
        input_size: pixels that images are resized to, a multiple of 32.

    Raises:
        ValueError: an input size that is not a positive multiple of 32.
        ImportError: the package with the architecture or the one with the weights is missing.
    """

    name, label, num_features = "efficientnet_lite0", "EfficientNet-Lite0", 1280
    distance_name = f"FD ({label})"

    def __init__(self, input_size: int = LITE_INPUT_SIZE):
        network, weights_file = efficientnet_lite0(input_size)
        super().__init__(
            network=fold_batch_norms(network).to(memory_format=torch.channels_last),
            preprocessing=f"levels, bilinear antialiased to {input_size}, (x - 127) / 128, batch norms folded",
            weights_digest=file_digest(weights_file),
        )
        self.input_size = input_size

    def _features(self, levels: Tensor) -> Tensor:
        size = (self.input_size, self.input_size)
        if levels.shape[2:] != size:
            levels = F.interpolate(levels, size=size, mode="bilinear", antialias=True)
        inputs = (levels / 255 - LITE_MEAN) / LITE_STD
        return self.network.extract_features(inputs.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))


class CleanInception(FeatureNet):
    """Pooled features, 2048, of clean-fid's Inception after clean-fid's resizing: the features of a FID.

    Args:
        weights_file: the TorchScript file `inception-2015-12-05.pt`; see `pivq.pretrained.weights.INCEPTION`.
    """

    name, label, num_features = "inception", "Inception", 2048
    distance_name = "FID"

    def __init__(self, weights_file: Path):
        from cleanfid.inception_torchscript import InceptionV3W

        network = InceptionV3W(str(weights_file.parent), download=False, resize_inside=False)
        super().__init__(network, "levels, clean-fid resizing to 299", file_digest(weights_file))

    def _features(self, levels: Tensor) -> Tensor:
        from cleanfid.resize import build_resizer

        resize = build_resizer("clean")
        resized = [resize(image) for image in levels.permute(0, 2, 3, 1).cpu().numpy()]
        return self.network(torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).to(self.device))


def load_feature_network(name: str = "efficientnet_lite0", device: str | torch.device = "cpu") -> FeatureNet:
    """Load a feature network; nothing is downloaded.

    Args:
        name: "efficientnet_lite0" or "inception".
        device: where it runs.

    Raises:
        ValueError: an unknown name, or a weights file with another checksum.
        FileNotFoundError: the Inception weights are missing; the message says where they belong.
        ImportError: a package with the network or its weights is missing.
        TypeError, ValueError: no such device.
    """
    device = check_device(device)
    if not isinstance(name, str) or name not in FEATURE_NETWORKS:
        raise ValueError(f"unknown feature network {name!r}{suggestion(name, FEATURE_NETWORKS)}")
    network = EfficientNetLite0() if name == "efficientnet_lite0" else CleanInception(INCEPTION.find())
    return network.to(device)


def extract(
    network: FeatureNet, images: Tensor | Iterable[Tensor], batch_size: int = 32, progress: bool = True
) -> NDArray[np.float32]:
    """Return the features of images, computed batch by batch.

    Floats are first rounded to the 256 levels that they would have in a file, and values a little outside [0, 1] are
    clamped, so that decoded and stored images are measured alike.

    Args:
        network: maps uint8 images `(B, 3, H, W)` to features `(B, F)`.
        images: a tensor `(N, 3, H, W)`, uint8 or float in [0, 1]; a data set of such items `(3, H, W)`; or an iterable
            of such batches `(B, 3, H, W)`, for example `pivq.inference.decode_levels`, never held as a whole.
        batch_size: images at a time; an iterable of batches has its own.
        progress: show a progress bar.

    Returns:
        float32 `(N, F)`.

    Raises:
        TypeError: a network or images that are none.
        ValueError: no images, floats that are not in [0, 1], images that the network refuses, or a feature that is not
            finite.
    """
    if not callable(network):
        raise refusal("network", "a network of `load_feature_network`", network)
    features: list[NDArray] = []
    total = len(images) if _is_indexed(images) else None
    with tqdm(total=total, desc="features", unit="img", disable=not progress) as bar:
        for levels in map(_levels, _batches(images, batch_size)):
            rows = network(levels).cpu().numpy()
            bad = np.nonzero(~np.isfinite(rows).all(axis=1))[0]
            if len(bad):
                raise ValueError(f"the features of image {sum(map(len, features)) + bad[0]} are not finite")
            features.append(rows)
            bar.update(len(rows))
    if not features:
        raise ValueError("no images to extract features from")
    return np.concatenate(features).astype(np.float32, copy=False)


def cached_features(
    network: FeatureNet,
    images: Tensor | Iterable[Tensor],
    cache_dir: str | os.PathLike,
    batch_size: int = 32,
    progress: bool = True,
    identity: str | None = None,
) -> NDArray[np.float32]:
    """Return the features of images, from `cache_dir` if exactly these were extracted before.

    The key holds network, weights, preprocessing and the content of the images, so the features of another network or
    of other images are never returned. A damaged file causes a warning and is made again.

    Args:
        network: see `extract`.
        images: see `extract`; without `identity`, a tensor or data set, which can be read more than once.
        cache_dir: folder of the cache, created if missing.
        batch_size: see `extract`; it changes the last bits of features, so it is part of the key.
        progress: show a progress bar while extracting.
        identity: a text that is equal only for equal images, such as a data set's fingerprint, or a digest of codes and
            of the model that decodes them. It saves reading the images for their digest.

    Returns:
        float32 `(N, F)`.

    Raises:
        TypeError: without `identity`, images that can be read only once, such as a generator.
        ValueError: see `extract`.
    """
    batch_size = check_whole("batch_size", batch_size)
    if identity is None and not _is_indexed(images):
        raise TypeError(f"a cache needs images that can be read twice (a tensor or a data set), got {type(images)}")
    key = json.dumps(
        {
            "network": network.name,
            "weights": network.weights_digest,
            "preprocessing": network.preprocessing,
            "images": identity or images_digest(images),
            "batch_size": batch_size,
        }
    )
    path = Path(cache_dir) / f"features-{network.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    return kept_arrays(
        path,
        {"key": key},
        lambda: {"features": extract(network, images, batch_size, progress)},
        "the features",
        digest=lambda arrays: hashlib.sha256(np.ascontiguousarray(arrays["features"])).hexdigest(),
        compress=False,
    )["features"]


def images_digest(images: Tensor | Iterable[Tensor]) -> str:
    """Return the SHA-256 of the shape and the uint8 levels of images, which are as in `extract`."""
    digest = hashlib.sha256()
    for levels in map(_levels, _batches(images, 256)):
        digest.update(str(tuple(levels.shape[1:])).encode())
        digest.update(levels.contiguous().cpu().numpy())
    return digest.hexdigest()


def _is_indexed(images: Tensor | Iterable[Tensor]) -> bool:
    """Tell a tensor or data set, read by index, from an iterable of batches; raise an error for anything else."""
    indexed = hasattr(images, "__getitem__") and hasattr(images, "__len__")
    if not (indexed or isinstance(images, Iterable)) or isinstance(images, str) or getattr(images, "ndim", 4) != 4:
        raise refusal("images", "a tensor (N, 3, H, W), a data set of (3, H, W), or batches", images)
    return indexed


def _batches(images: Tensor | Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    batch_size = check_whole("batch_size", batch_size)
    if not _is_indexed(images):
        yield from images
        return
    check_dense("images", images)
    if not len(images):
        raise ValueError("no images to extract features from")
    for start in range(0, len(images), batch_size):
        if isinstance(images, Tensor):
            yield images[start : start + batch_size]
        else:
            items = [images[i] for i in range(start, min(start + batch_size, len(images)))]
            if not isinstance(items[0], Tensor):
                raise refusal("images", "a tensor (N, 3, H, W), a data set of (3, H, W), or batches", images)
            yield torch.stack(items)


def _levels(images: Tensor) -> Tensor:
    """Return images, uint8 or float in [0, 1], as uint8."""
    if not isinstance(images, Tensor) or images.ndim != 4:
        raise refusal("images", "tensors (B, 3, H, W)", images)
    check_dense("images", images)
    if images.dtype == torch.uint8:
        return images
    return to_uint8(images)
