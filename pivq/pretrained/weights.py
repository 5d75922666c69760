"""Weights files of published networks: found on this computer and checked; downloaded by a command alone.

`pivq download weights` and `run_all.sh --download` bring them (`pivq.commands.download`); nothing else does.
"""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pivq.storage.writing import file_digest

COMMAND = "`pivq download weights`"  # or --download of run_all.sh
MOST_BYTES = 10**9  # of a published file; VGG's has 553 million


@dataclass(frozen=True)
class WeightsFile:
    """A published weights file.

    Attributes:
        name: file name.
        url: where it is published.
        sha256: of its contents.
        size: in bytes.
        licence: under which it is published, in words.
        variable: environment variable that may name the file or its folder.
        needed_for: what needs it, for messages.
        instead: a sentence that says what works without it.
    """

    name: str
    url: str
    sha256: str
    size: int
    licence: str
    variable: str
    needed_for: str
    instead: str

    def places(self) -> list[Path]:
        """Return where the file may be: where `variable` says if it is set, else the caches of torch and clean-fid."""
        given = os.environ.get(self.variable)
        if given:
            place = Path(given).expanduser()
            return [place if place.is_file() or place.name == self.name else place / self.name]
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        torch_home = Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser()
        return [torch_home / "hub" / "checkpoints" / self.name, Path(tempfile.gettempdir()) / self.name]

    def find(self) -> Path:
        """Return the file's path.

        Raises:
            FileNotFoundError: it is in none of these places; the message says what to put where.
            ValueError: the file has other contents, such as half a download or a web page.
        """
        for path in self.places():
            if path.is_file():
                self._check(path)
                return path
        raise FileNotFoundError(
            f"the weights for {self.needed_for} are missing: no {self.name} (SHA-256 {self.sha256[:16]}…) at "
            f"{' or '.join(map(str, self.places()))}. {COMMAND} downloads it ({self.size / 1e6:.0f} MB). Or take it "
            f"from {self.url} and put it at the first of these places, or set the environment variable {self.variable} "
            f"to its folder. {self.instead}"
        )

    def _check(self, path: Path) -> None:
        size, kind = path.stat().st_size, f"{path} is not the published {self.name}"
        if size > MOST_BYTES:  # before it is read
            raise ValueError(f"{kind}: it has {size:,} bytes, too many. Download it again: {COMMAND}")
        digest = file_digest(path)
        if digest != self.sha256:
            raise ValueError(
                f"{kind}: its {size:,} bytes have SHA-256 {digest[:16]}…, expected {self.sha256[:16]}…. Download it "
                f"again: {COMMAND}"
            )


VGG16 = WeightsFile(
    name="vgg16-397923af.pth",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    size=553_433_881,
    licence="torchvision: BSD 3-Clause; terms of ImageNet, on which it was trained, may apply to your use",
    variable="PIVQ_VGG16",
    needed_for="the perceptual loss LPIPS (VGG)",
    instead="The profiles quick, smoke and folder need no download.",
)
INCEPTION = WeightsFile(
    name="inception-2015-12-05.pt",
    url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    size=95_607_719,
    licence="the network: Apache 2.0; NVIDIA's TorchScript of it: Nvidia Source Code License, non-commercial use only",
    variable="PIVQ_INCEPTION",
    needed_for="the Inception features of FID",
    instead="The features efficientnet_lite0 need no download (--features efficientnet_lite0).",
)
WEIGHTS = {"lpips_vgg": VGG16, "inception": INCEPTION}  # by the name of the network in the settings


def check_weights(networks: Iterable[str]) -> None:
    """Check that the weights files of networks are in place, before any work is done.

    Args:
        networks: names of perceptual or feature networks; some need no file.

    Raises:
        FileNotFoundError: names every file that is missing, and where to put it.
        ValueError: a file has other contents.
    """
    missing = []
    for file in [WEIGHTS[name] for name in dict.fromkeys(networks) if name in WEIGHTS]:
        try:
            file.find()
        except FileNotFoundError as error:
            missing.append(str(error))
    if missing:
        raise FileNotFoundError("\n".join(missing))
