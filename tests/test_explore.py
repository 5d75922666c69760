"""The explorer's notebook in JupyterLab, clicked in a browser: every move changes the picture that is seen."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

WebDriverException = pytest.importorskip("selenium.common.exceptions", reason="no selenium").WebDriverException

pytestmark = [pytest.mark.browser, pytest.mark.notebooks]
CHECKOUT = Path(__file__).resolve().parent.parent
BUTTONS = "[...document.querySelectorAll('button.jupyter-button')]"
BIG = "[...document.querySelectorAll('img')].find(one => Math.round(one.getBoundingClientRect().height) == 256)"
# What is clicked, and the picture that it changes.
OFFER = f"{BUTTONS}.filter(one => /· [0-9.]+%/.test(one.textContent) && one.offsetParent)"
TAKE = f"{BUTTONS}.filter(one => one.textContent.trim() == 'take' && one.offsetParent)"
CLICK = """
const [button, picture, done] = arguments;
const shown = () => { const image = eval(picture); return image ? image.src : ''; };
const before = shown(), look = () => shown() !== before ? done(true) : requestAnimationFrame(look);
eval(button).click();
requestAnimationFrame(look);
"""


def named(text: str) -> str:
    return f"{BUTTONS}.find(one => one.textContent.trim() == '{text}')"


def above(offers: str) -> str:
    """Return the picture above the last of some buttons."""
    return f"(all => all.length ? all.at(-1).parentElement.querySelector('img') : null)({offers})"


@pytest.fixture(scope="module")
def explorer(browser, tmp_path_factory):
    """Return the page of the notebook in a new JupyterLab, with all cells run; the model is the shipped one."""
    folder = tmp_path_factory.mktemp("lab")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=",
             "--LabApp.expose_app_in_browser=True"]  # fmt: skip
    command = [sys.executable, "-P", "-m", "pivq.commands.lab", "notebooks/explore.ipynb", *words]
    environment = os.environ | {"PIVQ_ROOT": str(folder), "PYTHONPATH": str(CHECKOUT)}
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        (folder / "empty.html").touch()
        page = browser(folder / "empty.html", 1400)
        page.set_script_timeout(60)

        def until(expression: str, seconds: int = 120) -> None:
            for _ in range(seconds):
                with suppress(WebDriverException):  # while there is no page, or it is loaded
                    if page.execute_script(f"return Boolean({expression})"):
                        return
                time.sleep(1)
            pytest.fail(f"not in {seconds} s: {expression}\n" + (folder / "log").read_text()[-3000:])

        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        page.get(f"http://127.0.0.1:{port}/lab/tree/notebooks/explore.ipynb?reset")
        until("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status == 'idle'")
        page.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        until(named("breed a and b"), 300)
        page.execute_script(f"{named('breed a and b')}.scrollIntoView({{block: 'center'}})")
        until(BIG)
        yield page
    finally:
        server.terminate()
        server.wait(30)


def test_every_move_changes_the_picture_that_is_seen(explorer):
    chips = f"{BUTTONS}.filter(one => /^[0-9]+$/.test(one.textContent.trim()))"
    assert explorer.execute_script(f"return {chips}.length") == 32, "the shipped model's set"
    moves = [(f"{chips}[5]", above(OFFER)), (f"{OFFER}[0]", BIG), (named("undo"), BIG),
             (named("breed a and b"), above(TAKE)), (f"{TAKE}[0]", BIG), (named("add"), BIG),
             (named("random pair"), BIG)]  # fmt: skip
    for button, picture in moves:
        assert explorer.execute_async_script(CLICK, button, picture), button
