"""The page without Python: what is put into it, the decoder as ONNX, and the page in a browser."""

import base64
import gzip
import importlib.util
import io
import json
import re
import shutil
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pivq.model import PIVQ
from pivq.runs.explorer import Explorer

sys.path.append(str(Path(__file__).resolve().parents[3] / "docs" / "explorer"))

import make_page  # noqa: E402

MISSING = [name for name in make_page.EXPORTER if importlib.util.find_spec(name) is None]
needs_exporter = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (extra `explorer`)")


@pytest.fixture(scope="module")
def explorer(tiny_config) -> Explorer:
    """Return an untrained model with made-up codes: slot l takes 3 l, 3 l + 1 or 3 l + 2."""
    torch.manual_seed(0)
    model = PIVQ(tiny_config().model).eval().requires_grad_(False)
    codes = np.random.default_rng(0).choice(3, (60, 4)) + 3 * np.arange(4)
    codes[:2] = [[0, 3, 6, 9], [1, 3, 7, 11]]
    return Explorer(model, codes, pd.DataFrame({"is_one": (codes[:, 0] == 1).astype(int)}))


@pytest.fixture(scope="module")
def decoder(explorer) -> bytes:
    return make_page.export_decoder(explorer.model)


@needs_exporter
def test_the_decoder_as_onnx_equals_pytorch(explorer, decoder):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra `explorer`)")
    session = onnxruntime.InferenceSession(decoder)
    for count in (1, 5):
        codes = torch.from_numpy(explorer.codes[:count])
        (images,) = session.run(["images"], {"codes": codes.int().numpy()})
        np.testing.assert_allclose(images, explorer.model.decode(codes).numpy(), atol=1e-3)
        (shuffled,) = session.run(["images"], {"codes": codes.flip(1).int().numpy()})
        np.testing.assert_allclose(shuffled, images, atol=1e-5)


def test_the_faces_are_where_the_page_looks_for_them(monkeypatch):
    monkeypatch.setattr(make_page, "COLUMNS", 3)
    levels = torch.tensor([[40 * i, 255 - 40 * i, 100] for i in range(5)], dtype=torch.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(make_page.sprite(levels[:, :, None, None].expand(-1, -1, 16, 16)))))
    assert sheet.shape == (32, 48, 3)
    for i in range(5):
        y, x = 16 * (i // 3), 16 * (i % 3)
        assert np.abs(sheet[y : y + 16, x : x + 16].astype(int) - levels[i].numpy()).max() <= 3, i


def test_the_page_has_the_faces_and_what_is_known_of_all(explorer):
    images = torch.zeros(60, 3, 16, 16, dtype=torch.uint8)
    described = make_page.describe(explorer, images, [f"face {i}" for i in range(60)], "A model.", 7)
    assert len(described["codes"]) == len(described["ids"]) == 7 and described["faces"] == 60
    assert sum(described["uses"]) == explorer.codes.size
    assert described["alternatives"][0] == explorer.alternatives[0].tolist()
    (weights,) = [probe["weights"] for probe in described["attributes"].values()]
    np.testing.assert_allclose(weights, explorer.coefficients("is_one")[0], atol=5e-4)
    json.dumps(described)  # plain types


def test_the_page_is_whole_and_asks_no_server():
    page = make_page.assemble({"wasm": b"\0asm", "data": b'{"a": 1}'})
    for name, content in (("wasm", b"\0asm"), ("data", b'{"a": 1}')):
        packed = re.search(rf'<script type="application/octet-stream" id="{name}">(.*?)</script>', page)[1]
        assert gzip.decompress(base64.b64decode(packed)) == content
    assert "/* STYLE */" not in page and "/* SCRIPT */" not in page and "<!-- PAYLOADS -->" not in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)|https?://|@import|url\(""", page)


def test_another_runtime_than_the_expected_one_is_refused(tmp_path, monkeypatch):
    (tmp_path / "dist").mkdir()
    for name, _ in make_page.RUNTIME_FILES.values():
        (tmp_path / "dist" / name).write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not that of onnxruntime-web@"):
        make_page.find_runtime(tmp_path)
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    (tmp_path / "results").mkdir()
    with tarfile.open(tmp_path / "results" / (make_page.RUNTIME.replace("@", "-") + ".tgz"), "w:gz") as archive:
        archive.add(tmp_path / "dist", "package/dist")
    with pytest.raises(ValueError, match="delete it, and build again"):
        make_page.find_runtime(None)
    archive = next((tmp_path / "results").iterdir())
    archive.write_bytes(archive.read_bytes()[:100])  # an interrupted download
    with pytest.raises(ValueError, match="delete it, and build again"):
        make_page.find_runtime(None)


def test_without_npm_the_way_round_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="install Node.js .*, or unpack that package .* --runtime"):
        make_page.find_runtime(None)


# --- In a browser -----------------------------------------------------------------------------------------------------

CHANGED = """
const done = arguments[arguments.length - 1], [id, value] = arguments;
explorer.milliseconds = null;
if (value === null) document.getElementById(id).click();
else {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("input"));
}
const wait = () => (explorer.milliseconds === null ? setTimeout(wait, 5) : done(explorer.state.set));
wait();
"""


@pytest.fixture(scope="module")
def driver():
    """Return a headless Chromium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra `browser`)")
    service = pytest.importorskip("selenium.webdriver.chrome.service")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None or shutil.which("chromedriver") is None:
        pytest.skip("Chromium or its driver (chromedriver) is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(option)
    found = webdriver.Chrome(options=options, service=service.Service(shutil.which("chromedriver")))
    yield found
    found.quit()


@pytest.fixture(scope="module")
def page(driver, explorer, decoder, tmp_path_factory):
    """Return the browser with the page opened from disk; onnxruntime-web is what npm gives."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIVQ_ROOT", str(folder))
        try:
            runtime = make_page.find_runtime(None)
        except FileNotFoundError as error:
            pytest.skip(str(error))
    images = (torch.rand(60, 3, 16, 16) * 255).byte()
    described = make_page.describe(explorer, images, [f"face {i}" for i in range(60)], "An untrained model.", 40)
    payloads = runtime | {"decoder": decoder, "data": json.dumps(described).encode()}
    (folder / "explorer.html").write_text(make_page.assemble(payloads), encoding="utf-8")
    assert (folder / "explorer.html").stat().st_size < 20e6
    driver.get((folder / "explorer.html").as_uri())
    for _ in range(300):
        if driver.execute_script("return explorer.ready || explorer.failed"):
            break
        time.sleep(0.1)
    assert driver.execute_script("return [explorer.ready, explorer.failed]") == [True, ""]
    return driver


@needs_exporter
@pytest.mark.browser
def test_the_browser_decodes_as_pytorch_does_and_loads_nothing(page, explorer):
    codes = explorer.codes[:3]
    script = "const done = arguments[1]; explorer.decode(arguments[0]).then((floats) => done([...floats]));"
    found = [page.execute_async_script(script, row.tolist()) for row in codes]
    expected = explorer.model.decode(torch.from_numpy(codes)).flatten(1).numpy()
    np.testing.assert_allclose(np.array(found), expected, atol=1e-3)
    loaded = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert not [name for name in loaded if not name.startswith(("blob:", "data:"))]


@needs_exporter
@pytest.mark.browser
def test_what_a_click_will_show_is_decoded_when_the_pointer_comes_and_kept(page, explorer):
    script = """
        const done = arguments[2], [codes, again] = arguments;
        Promise.all([codes, again].map((set) => explorer.decode(set))).then(([a, b]) => done(a === b));"""
    codes = explorer.codes[0].tolist()
    assert page.execute_async_script(script, codes, codes[::-1]), "one set, one image: it is not decoded twice"
    start = page.execute_async_script(CHANGED, "slider", 0)
    page.execute_script("made.clear(); document.getElementById('chips').children[0].dispatchEvent("
                        "new Event('pointerenter'))")  # fmt: skip
    offered = explorer.exchanges(np.array(start), 0).tolist()
    expected = {",".join(map(str, sorted([other, *start[1:]]))) for other in offered}
    for _ in range(100):
        if len(found := set(page.execute_script("return [...made.keys()]"))) == len(expected):
            break
        time.sleep(0.1)
    assert found == expected and expected


@needs_exporter
@pytest.mark.browser
def test_the_page_s_moves_are_those_of_the_package(page, explorer):
    a, b = explorer.codes[0].tolist(), explorer.codes[1].tolist()
    sets = [page.execute_async_script(CHANGED, "slider", step) for step in (0, 1, 2, 3)]
    assert set(sets[0]) == set(a) and set(sets[-1]) == set(b)
    assert all(sum(x != y for x, y in zip(*pair, strict=True)) == 1 for pair in zip(sets, sets[1:], strict=False))
    page.execute_async_script(CHANGED, "slider", 0)
    place = sets[0].index(0)
    page.execute_script("document.getElementById('chips').children[arguments[0]].click()", place)
    tiles = page.execute_script("return [...document.querySelectorAll('#offers button')].map((tile) => tile.innerText)")
    offered = [text.partition(" · ")[0] for text in tiles]  # then, once the image is there, how much it changes
    assert [int(text) for text in offered] == explorer.exchanges(np.array(a), 0).tolist()
    page.execute_script("document.querySelector('#offers button').setAttribute('id', 'offer')")
    assert sorted(page.execute_async_script(CHANGED, "offer", None)) == sorted([int(offered[0]), 3, 6, 9])
    assert page.execute_async_script(CHANGED, "undo", None) == sets[0]
    page.execute_script("document.getElementById('amount').value = 1")
    assert page.execute_async_script(CHANGED, "add", None) == explorer.edit(sets[0], "is_one", 1).tolist()
    page.execute_script("document.getElementById('breed').click()")
    for child in page.execute_script("return explorer.state.newborn"):
        assert {3} <= set(child) <= {*a, *b} and len(set(child)) == 4
