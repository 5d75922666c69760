"""Build the explorer as one page that runs without Python, from a trained model: decoder, codebook, faces, runtime.

    python docs/explorer/make_page.py                        # results/quick/explorer.html
    python docs/explorer/make_page.py --out docs/explorer.html --faces 120

The page opens from disk or from any server, and loads nothing. It is put together from `page.html`, `page.css` and
`page.js` in this folder; the decoder as ONNX; and onnxruntime-web, which is not part of this repository: npm downloads
it once, and its checksums stand here. The export needs the extra `explorer` (pip install -e ".[explorer]").
"""

import argparse
import base64
import gzip
import hashlib
import importlib.util
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from pivq.config import load_config
from pivq.model import PIVQ
from pivq.runs.explorer import Explorer, labels_to_edit
from pivq.runs.shipped import model_to_show
from pivq.runs.splits import load_split
from pivq.storage.paths import results_dir, root
from pivq.storage.writing import atomic_write

FOLDER = Path(__file__).resolve().parent
# onnxruntime-web (MIT): the package, and SHA-256 of the two files that the page holds.
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = {
    "runtime": ("ort.wasm.bundle.min.mjs", "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"),
    "wasm": ("ort-wasm-simd-threaded.wasm", "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"),
}
EXPORTER = ("onnx", "onnxscript")  # what torch.onnx.export needs
COLUMNS = 20  # faces in a row of the sprite
OFFERED = 12  # exchanges, and faces that share a code, shown at once


class CodesToImages(nn.Module):
    """The decoder with the codebook in front: codes `(B, L)` int32 to images `(B, 3, H, W)` in [0, 1]."""

    def __init__(self, model: PIVQ):
        super().__init__()
        self.codebook, self.decoder = model.quantizer.codebook, model.decoder

    def forward(self, codes: Tensor) -> Tensor:
        """Return the images of sets of codes."""
        return self.decoder(F.embedding(codes, self.codebook)).clamp(0, 1)


def export_decoder(model: PIVQ) -> bytes:
    """Return a model's decoder and codebook as ONNX: input `codes` `(B, L)` int32, output `images` `(B, 3, H, W)`."""
    examples = torch.arange(2 * model.config.num_codes, dtype=torch.int32).reshape(2, -1) % model.config.codebook_size
    sizes = {"codes": {0: torch.export.Dim.DYNAMIC}}
    # Strict: the decoder asks for the length of its input, which must stay free. Decomposed: the exporter knows
    # attention over four dimensions only, and some blocks have three.
    program = torch.export.export(CodesToImages(model), (examples,), dynamic_shapes=sizes, strict=True)
    made = torch.onnx.export(
        program.run_decompositions(), input_names=["codes"], output_names=["images"], external_data=False, verbose=False
    )
    return made.model_proto.SerializeToString()


def describe(explorer: Explorer, images: Tensor, ids: list[str], sentence: str, faces: int) -> dict[str, Any]:
    """Return what the page's script needs besides the decoder, in plain types.

    Args:
        explorer: of the model.
        images: the held-out faces that it knows, uint8 `(N, 3, H, W)`; the first `faces` are in the page.
        ids: their names.
        sentence: says which model it is.
        faces: at most.
    """
    probes = {name: explorer.coefficients(name) for name in explorer.attributes}
    return {
        "model": sentence, "size": images.shape[-1], "columns": COLUMNS, "offered": OFFERED,
        "sprite": "data:image/jpeg;base64," + _text(sprite(images[:faces])),
        "ids": ids[:faces], "codes": explorer.codes[:faces].tolist(), "faces": len(explorer.codes),
        "uses": explorer.uses.tolist(), "owners": explorer.owners.tolist() if explorer.has_slots else None,
        "alternatives": [codes.tolist() for codes in explorer.alternatives],
        "attributes": {
            name: {"weights": np.round(weights, 3).tolist(), "intercept": round(intercept, 3)}
            for name, (weights, intercept) in probes.items()
        },
    }  # fmt: skip


def sprite(images: Tensor) -> bytes:
    """Return images, uint8 `(N, 3, H, W)`, as one JPEG, `COLUMNS` in a row."""
    size, rows = images.shape[-1], -(-len(images) // COLUMNS)
    sheet = np.zeros((rows * size, COLUMNS * size, 3), np.uint8)
    for index, image in enumerate(images.numpy()):
        y, x = index // COLUMNS * size, index % COLUMNS * size
        sheet[y : y + size, x : x + size] = image.transpose(1, 2, 0)
    with io.BytesIO() as file:
        Image.fromarray(sheet).save(file, "jpeg", quality=90, subsampling=0)
        return file.getvalue()


def find_runtime(package: Path | None) -> dict[str, bytes]:
    """Return the files of onnxruntime-web by their place in the page, checked.

    Args:
        package: the unpacked npm package; None downloads it by npm, once, to `results/`.

    Raises:
        FileNotFoundError: there is no npm, or the folder is another one; says what to do.
        ValueError: a file is another than expected.
    """
    archive = root() / "results" / (RUNTIME.replace("@", "-") + ".tgz")
    if package is None and not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        command = [shutil.which("npm") or "npm", "pack", RUNTIME, "--pack-destination", str(archive.parent), "--silent"]
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise FileNotFoundError(
                f"npm did not download {RUNTIME} ({error}): install Node.js and check the network, or unpack that "
                "package elsewhere and pass its folder as --runtime"
            ) from error
    found = {}
    for place, (name, expected) in RUNTIME_FILES.items():
        found[place] = _from_package(archive if package is None else package, f"dist/{name}")
        if hashlib.sha256(found[place]).hexdigest() != expected:
            raise ValueError(f"{name} in {package or archive} is not that of {RUNTIME}: delete it, and build again")
    return found


def _from_package(package: Path, name: str) -> bytes:
    """Return a file of an npm package, a folder or an archive; b"" of an archive that is damaged."""
    if package.is_dir():
        return (package / name).read_bytes()
    try:
        with tarfile.open(package) as files:
            return files.extractfile(f"package/{name}").read()
    except (tarfile.TarError, EOFError, KeyError):
        return b""


def assemble(payloads: dict[str, bytes]) -> str:
    """Return the page with its script, its style and its payloads, each packed (gzip, base64)."""
    page, style, script = ((FOLDER / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    packed = "\n".join(
        f'<script type="application/octet-stream" id="{name}">{_text(gzip.compress(content, mtime=0))}</script>'
        for name, content in payloads.items()
    )
    page = page.replace("/* STYLE */", style).replace("/* SCRIPT */", script)
    return page.replace("<!-- PAYLOADS -->", packed)


def build(explorer: Explorer, images: Tensor, ids: list[str], sentence: str, faces: int, package: Path | None) -> str:
    """Return the whole page; the arguments are those of `describe` and `find_runtime`."""
    described = describe(explorer, images, ids, sentence, faces)
    payloads = {"decoder": export_decoder(explorer.model), "data": json.dumps(described).encode()}
    return assemble(find_runtime(package) | payloads)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def main() -> None:
    """Build the page and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick", help="its run, or the model that comes with it (default: quick)")
    parser.add_argument("--seed", type=int, default=0, help="of that run (default: 0)")
    parser.add_argument("--data", default="", help="where its images are, if the profile needs that")
    parser.add_argument("--layout", default="", help="how its files are read (default: the profile's, or recognised)")
    parser.add_argument("--on-error", default="raise", help="raise or skip, for images that cannot be read")
    parser.add_argument("--faces", type=int, default=200, help="held-out faces in the page (default: 200)")
    parser.add_argument("--runtime", type=Path, help=f"folder of the unpacked {RUNTIME} (default: npm gets it)")
    parser.add_argument("--out", type=Path, help="the page to write (default: results/<profile>/explorer.html)")
    arguments = parser.parse_args()
    if missing := [name for name in EXPORTER if importlib.util.find_spec(name) is None]:
        parser.error(f"{' and '.join(missing)} not installed: pip install -e '.[explorer]'")
    target = arguments.out or results_dir(arguments.profile) / "explorer.html"
    try:
        reading = {"layout": arguments.layout, "on_error": arguments.on_error}
        config = load_config(arguments.profile, arguments.seed, arguments.data, **reading)
        model, codes, sentence = model_to_show(config)
        heldout = load_split(config, "heldout")
        explorer = Explorer(model, codes, labels_to_edit(heldout))
        page = build(explorer, heldout.images, heldout.ids, sentence, arguments.faces, arguments.runtime)
        with atomic_write(target) as path:
            path.write_text(page, encoding="utf-8")
    except (OSError, ValueError) as error:  # their messages say what to do
        parser.exit(1, f"{error}\n")
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB; open it in a browser")


if __name__ == "__main__":
    main()
