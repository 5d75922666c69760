"""All that the product keeps on disk, made once, small; and for each kind of file what is done with it."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import checkout  # noqa: F401
import pytest
from stand_ins import Colours, Perceptual, make_split, noise, stand_in
from trials import AROUND, digest, tiny

from pivq.commands import jobs
from pivq.commands.schedule import record_seconds
from pivq.data import ImageDataset, cache, load_dataset
from pivq.figures.artefacts import save_json
from pivq.model import PIVQ, model_digest
from pivq.rivals.set_prior import PriorSettings
from pivq.runs.beyond import pieces, rival_training, rivals
from pivq.runs.beyond.rival_training import train_rival
from pivq.runs.beyond.rivals import run_rivals, stored_rivals
from pivq.runs.beyond.set_priors import trained_prior
from pivq.runs.evaluation import image_features
from pivq.runs.parallel import train_ahead
from pivq.runs.run import Run, open_run, run_dir
from pivq.runs.training import train
from pivq.runs.verdict import SOURCES, load_facts
from pivq.storage.paths import results_dir

SMALL = PriorSettings(dim=8, feedforward=8, layers=1, heads=2, steps=3, batch_size=4, warmup_steps=1, validations=3)
RIVAL = "VQ-VAE, absorbing"
MODULE = "from pivq.solvers.compiled import compiled\n\n@compiled\ndef double(x):\n    return 2 * x\n"


class Use(NamedTuple):
    """Files, as patterns below a root; what is done with them there, which returns what came of it by part.

    `before` prepares the root, for example by deleting what is to be made.
    """

    files: tuple[str, ...]
    run: Callable[[Path], dict[str, Any]]
    before: Callable[[Path], None] | None = None


def make(root: Path) -> None:
    """Make everything in a root, and the pictures beside it: the cache of them is for one place."""
    for i in range(5):
        noise(root.parent / "pictures" / f"{i}.png", i, (16, 16))
    (root / "code").mkdir(parents=True)
    (root / "code" / "doubling.py").write_text(MODULE)
    with inside(root):
        train_ahead("shared", tiny(), "cpu")
        train(tiny(), "matching", "cpu").model().save_pretrained(root / "export")
        for name in SOURCES:
            save_json({"number": 12.5, "rows": [{"a": 1.25, "b": 1001}]}, name, tiny())
        save_json({"rows": run_rivals(tiny(), [RIVAL], [0])}, "rivals", tiny())
    for use in (prior, encode, features, samples, decoded, drawn, times, compiled):
        use(root)
    with interrupted(jobs, "encode_images", 2):
        encode(root, "parts.npz")
    with interrupted(cache, "decode", 3):
        decoded(root / "interrupted")
    with inside(root / "interrupted", interrupt_at=7), pytest.raises(KeyboardInterrupt):
        train(tiny(), "matching", "cpu")
    with interrupted(pieces, "_note_progress", 2):
        rival(root / "interrupted")


@contextmanager
def inside(root: Path, **perceptual: Any) -> Iterator[None]:
    """Use a root, with stand-ins for data and networks and small portions of everything."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, root, **perceptual)
        patch.setattr(rival_training, "load_perceptual", lambda name: Perceptual())
        patch.setattr(rivals, "load_feature_network", lambda name, device: Colours())
        patch.setattr(rivals, "measured", lambda rival, *_: {"weights": digest(rival.state_dict())})
        patch.setattr(jobs, "CHUNK", 8)
        patch.setattr(cache, "CHUNK_IMAGES", 2)
        yield


@contextmanager
def interrupted(module: Any, name: str, after: int) -> Iterator[None]:
    """Interrupt what is done at the call after `after` calls of a function of a module."""
    function, calls = getattr(module, name), []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, name, counted)
        yield


def parts(run: Run) -> dict[str, Any]:
    """Return what is read of a run."""
    return {
        "codes": digest([run.codes(split) for split in ("train", "heldout")]),
        "ids": digest([run.ids(split) for split in ("train", "heldout")]),
        "model": model_digest(run.model()),
        **{f"summary's {name}": value for name, value in run.summary.items() if name not in AROUND},
        "log": [{name: v for name, v in row.items() if name != "seconds"} for row in run.log().to_dict("records")],
        "pictures": digest(run.pictures()),
    }


def trained(root: Path) -> dict[str, Any]:
    """Train the matching run, resume it or load it; then read all of it."""
    with inside(root):
        found = parts(train(tiny(), "matching", "cpu"))
    return {name: repr(value) for name, value in found.items()}  # a NaN is like itself


def opened(root: Path) -> dict[str, Any]:
    """Draw samples of a run that somebody names."""
    with inside(root):
        run = open_run(run_dir(tiny(), "matching"))
        jobs.write_samples(run, 3, root / "new samples", 0)
    return {path.name: digest(path.read_bytes()) for path in (root / "new samples").iterdir()}


def without_runs(root: Path) -> None:
    """Delete the runs, but not the steps that they share."""
    for folder in (root / "results" / "smoke").glob("[mn]*-seed0-*"):
        shutil.rmtree(folder)


def rival(root: Path) -> dict[str, Any]:
    """Train a rival and its prior, resume them or load them."""
    with inside(root):
        found = train_rival(tiny(), "vq-vae", "absorbing", "cpu")
    return {"weights": digest(found.rival.state_dict()), "steps": (found.facts["steps"], found.facts["prior_steps"])}


def row(root: Path) -> dict[str, Any]:
    """Make the row of a rival, or read it."""
    with inside(root):
        (found,) = run_rivals(tiny(), [RIVAL], [0])
    return found


def rows(root: Path) -> dict[str, Any]:
    """Read the stored rows of the rivals."""
    with inside(root):
        return {"rows": stored_rivals("smoke")}


def prior(root: Path) -> dict[str, Any]:
    """Train the prior over the sets of the run, or read it."""
    with inside(root):
        found = trained_prior(open_run(run_dir(tiny(), "matching")), 0, SMALL)
    return {"weights": digest(found.prior.state_dict()), "log": found.log}


def exported(root: Path) -> dict[str, Any]:
    """Load the exported model."""
    model = PIVQ.from_pretrained(root / "export")
    return {"model": model_digest(model), "facts": model.facts, "config": model.config}


def _noise() -> ImageDataset:
    split = make_split(tiny(), "train")
    return ImageDataset(split.images, split.ids, "noise", "train", fingerprint="noise")


def encode(root: Path, name: str = "codes.npz") -> dict[str, Any]:
    """Encode 24 images into a file; they may be there already, or some of them."""
    with inside(root):
        jobs.encode_dataset(PIVQ.from_pretrained(root / "export"), _noise(), root / "encoded" / name)
        found = jobs.read_arrays(root / "encoded" / name)
    return {key: digest(array) for key, array in found.items()}


def features(root: Path) -> dict[str, Any]:
    """Measure features, or read them."""
    with inside(root):
        return {"features": digest(image_features(_noise(), Colours(), "smoke"))}


def samples(root: Path) -> dict[str, Any]:
    """Draw samples of the run into a folder that may hold them."""
    with inside(root):
        jobs.write_samples(open_run(run_dir(tiny(), "matching")), 3, root / "samples", 0)
    return {path.name: digest(path.read_bytes()) for path in (root / "samples").iterdir()}


def decoded(root: Path) -> dict[str, Any]:
    """Read the pictures, which lie beside the root that `make` made or its copies."""
    beside = root.parent if (root.parent / "pictures").exists() else root.parent.parent
    with inside(root):
        dataset = load_dataset(beside / "pictures", "all", 16)
        return {"images": digest(dataset.images), "ids": dataset.ids, "fingerprint": dataset.fingerprint}


def drawn(root: Path) -> dict[str, Any]:
    """Read, or draw, three faces."""
    with inside(root):
        dataset = load_dataset("avatars", "heldout", 16, limit=3)
        return {"images": digest(dataset.images), "labels": dataset.attributes.to_csv(), "of": dataset.fingerprint}


def numbers(root: Path) -> dict[str, Any]:
    """Read the numbers that the verdict judges."""
    with inside(root):
        return {name: value for name, value in load_facts(tiny()).items() if name != "config"}


def times(root: Path) -> dict[str, Any]:
    """Note how long a notebook took; that of others may be lost."""
    with inside(root):
        record_seconds(results_dir("smoke") / "notebooks" / "timings.json", "03_train", 1.5)
    return {}


def compiled(root: Path) -> dict[str, Any]:
    """Call a compiled function that numba keeps."""
    spec = importlib.util.spec_from_file_location("doubling", root / "code" / "doubling.py")
    module = importlib.util.module_from_spec(spec)
    before = os.environ.pop("NUMBA_CACHE_DIR", None)
    spec.loader.exec_module(module)
    if before:
        os.environ["NUMBA_CACHE_DIR"] = before
    return {"doubled": module.double(21)}


USES = {
    "a finished run: `train`": Use(("results/smoke/matching-*/*",), trained),
    "a finished run: `sample`": Use(("results/smoke/matching-*/*",), opened),
    "an interrupted run: `train`": Use(
        ("interrupted/results/smoke/*-seed0-*/*",), lambda root: trained(root / "interrupted")
    ),
    "steps that runs share: `train`": Use(("results/smoke/[st]*-seed0-*/*",), trained, without_runs),
    "a finished rival": Use(("results/smoke/rivals/*/*/*",), rival),
    "an interrupted rival": Use(("interrupted/results/smoke/rivals/*/*/*",), lambda root: rival(root / "interrupted")),
    "a kept row of a rival": Use(("results/smoke/rivals/rows/*",), row),
    "stored rows of the rivals": Use(("figures/smoke/rivals.json",), rows),
    "a kept prior over sets": Use(("results/smoke/priors/*",), prior),
    "an exported model": Use(("export/*",), exported),
    "codes: `encode`": Use(("encoded/codes.npz",), encode),
    "parts of an interrupted `encode`": Use(("encoded/parts.npz.partial/*",), lambda root: encode(root, "parts.npz")),
    "samples: `sample`": Use(("samples/*",), samples),
    "features of images": Use(("results/smoke/features/*",), features),
    "decoded images": Use(("data/cache/*/*",), decoded),
    "images half decoded": Use(("interrupted/data/cache/*/*",), lambda root: decoded(root / "interrupted")),
    "drawn faces": Use(("data/avatars*",), drawn),
    "numbers of the notebooks": Use(tuple(f"figures/smoke/{name}.json" for name in SOURCES), numbers),
    "times of the notebooks": Use(("results/smoke/notebooks/*",), times),
    "compiled functions": Use(("code/__pycache__/*.nb*",), compiled),
}
