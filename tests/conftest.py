"""What all tests share."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from scipy.optimize import linear_sum_assignment

from pivq.config import Config, load_config

pytest.register_assert_rewrite("stand_ins")  # its assertions say what failed, too

if os.name == "nt":  # scripts of bash, signals and kills of POSIX
    collect_ignore = ["runs/test_parallel.py", "runs/test_resume.py", "storage/test_locking.py", "test_colab.py",
                      "trust/test_surroundings.py"]  # fmt: skip

os.environ["MPLBACKEND"] = "Agg"  # figures go to files, on any machine


LONGEST = ["test_notebooks.py", "test_surroundings.py", "test_parallel.py", "test_colab.py", "test_campaigns.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that no worker is left with one; skip tests marked `gpu` where there is none."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing:
        import torch

        for item in needing if not torch.cuda.is_available() else ():
            item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the folder that holds the whole project."""
    return Path(__file__).resolve().parent.parent


def make_tiny_config(**overrides) -> Config:
    """Return a configuration whose training step takes milliseconds, with everything on in eight steps.

    Latents of steps 1 … 4 are recorded, the codebook is set before steps 3 and 5, the discriminator trains from step 4
    on and the generator sees it from step 5 on. Further settings as `load_config` takes them.
    """
    model = {
        "image_size": 16, "patch_size": 4, "width": 8, "channel_multipliers": (2,), "residual_blocks": 1,
        "attention_sizes": (), "dim": 16, "feedforward": 32, "transformer_layers": 1, "heads": 2,
        "query_key_gain": 3.0, "codebook_size": 12, "num_codes": 4,
    }  # fmt: skip
    train = {
        "train_images": 24, "heldout_images": 10, "steps": 8, "batch_size": 4, "learning_rate": 1e-3,
        "adam_betas": (0.9, 0.99), "weight_decay": 0.01, "gradient_clip": 1.0, "warmup_steps": 3, "decay_from": 0.5,
        "ema_decay": 0.9, "ema_every": 1, "reconstruction_weight": 1.0, "perceptual_weight": 0.1,
        "codebook_weight": 0.25, "commitment_weight": 1.0, "quantize_from_step": 3, "history_steps": 2,
        "codebook_initialisations": 2, "discriminator_from_step": 4, "adversarial_from_step": 5,
        "adversarial_limit": 0.5, "discriminator_width": 4, "discriminator_layers": 2,
        "discriminator_augmentation": True, "discriminator_learning_rate": 1e-3, "nonfinite_limit": 3,
    }  # fmt: skip
    settings = {f"model__{name}": value for name, value in model.items()}
    settings |= {f"train__{name}": value for name, value in train.items()}
    settings |= {"evaluation__validate_every": 5, "evaluation__checkpoint_every": 4}
    return load_config("smoke", **settings | overrides)


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., Config]:
    """Return `make_tiny_config`."""
    return make_tiny_config


@pytest.fixture(scope="module")
def finished(tiny_config, tmp_path_factory):
    """Return both quantizers' runs, trained without a break, and how many steps each took; `PIVQ_ROOT` leads there."""
    from stand_ins import stand_in

    from pivq.runs.training import train

    with pytest.MonkeyPatch.context() as patch:
        network = stand_in(patch, tmp_path_factory.mktemp("root"))
        runs, steps = {}, {}
        for quantizer in ("matching", "nearest"):
            before = network.calls
            runs[quantizer] = train(tiny_config(), quantizer)
            steps[quantizer] = network.calls - before
        yield runs, steps


@pytest.fixture
def write_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of small notebooks into `tmp_path / "notebooks"`, which it returns.

    Cell 1 is a title, cell 2 holds the parameters, the given code follows from cell 3 on.
    """
    folder = tmp_path / "notebooks"
    folder.mkdir()

    def write(name: str, *cells: str, parameters: str = 'profile = "quick"\nseed = 0\nforce = False', kernel="python3"):
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": kernel, "display_name": "any"}})
        notebook.cells = [
            nbformat.v4.new_markdown_cell(f"# {name}"),
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *[nbformat.v4.new_code_cell(cell) for cell in cells],
        ]
        nbformat.write(notebook, folder / f"{name}.ipynb")
        return folder

    return write


@pytest.fixture
def solved(monkeypatch) -> list[tuple[int, int]]:
    """Return the shapes of the problems that scipy is given from now on."""
    shapes = []

    def solve(costs):
        shapes.append(costs.shape)
        return linear_sum_assignment(costs)

    for module in ("pivq.matching", "pivq.solvers.crowd"):
        monkeypatch.setattr(f"{module}.linear_sum_assignment", solve)
    return shapes


@pytest.fixture(scope="session")
def browser():
    """Return an opener of a page's file at a width in pixels: selenium's driver, with `asked()`: the addresses that the
    page asked for beside itself. Skips where there is no Chromium with its driver, or no selenium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason='no selenium: pip install -e ".[browser]"')
    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with chromedriver (on Debian: apt-get install chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))

    def asked() -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        found = [event["request"]["url"] for event in sent]
        return [address for address in found if address != page.current_url and address[:5] != "data:"]

    def open_page(path: Path, width: int):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        page.get_log("performance")  # forget what an earlier page asked for
        page.get(path.as_uri())
        return page

    page.asked = asked
    yield open_page
    page.quit()
