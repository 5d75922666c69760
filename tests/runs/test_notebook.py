"""What a kernel shows of errors, in real notebooks; in scripts nothing changes."""

import sys
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from pivq.config import load_config
from pivq.runs.notebook import Area, in_notebook, what_to_say
from pivq.runs.stopping import Stopped, StopWhenAsked

CELLS = {
    "ours": 'import pivq.runs\nfrom pivq.config import load_config\nload_config("quik")',
    "the user's": 'int("no number")',
    "a fault": "from pivq.config import Config\nConfig.options.fget(None)",
    "stopped": "from pivq.runs.stopping import Stopped\nraise Stopped('Stopped at step 167 and saved.')",
    "interrupted": "raise KeyboardInterrupt",
    "after": "print('still here')",
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list]:
    """Return the outputs of cells that are run one after the other, although some fail."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS.values()])
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, interrupt_on_timeout=False).execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def test_an_error_of_the_product_is_one_line_above_a_folded_traceback(outputs):
    error, folded = outputs["ours"]
    assert error.output_type == "error" and error.ename == "ValueError"
    (line,) = error.traceback
    assert line == f"\x1b[31mValueError: {error.evalue}\x1b[0m" and "did you mean quick?" in line
    html = folded.data["text/html"]
    assert html.startswith("<details><summary>Traceback</summary><pre>Traceback (most recent call last):")
    assert "load_config(&quot;quik&quot;)" in html and "interactiveshell" not in html


@pytest.mark.parametrize("whose", ["the user's", "a fault", "interrupted"])
def test_other_errors_are_shown_as_ever(outputs, whose):
    (error,) = outputs[whose]
    assert error.output_type == "error" and len(error.traceback) > 1


def test_a_stopped_training_is_one_line_that_says_how_to_resume(outputs):
    (error,) = outputs["stopped"]
    assert error.traceback == ["\x1b[31mStopped at step 167 and saved. Run this cell again to resume.\x1b[0m"]


def test_the_kernel_goes_on(outputs):
    assert outputs["after"][0].text == "still here\n"


def trace_of(call) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_what_is_said_of_an_error():
    ours = trace_of(lambda: load_config("quick", seed=-1))
    assert what_to_say(ours, ours.__traceback__) == f"ValueError: {ours}"
    one = SimpleNamespace(processes=SimpleNamespace(count=1))
    theirs = trace_of(lambda: int("x"))
    assert what_to_say(theirs, theirs.__traceback__) is None
    below = trace_of(lambda: StopWhenAsked(SimpleNamespace(is_set=lambda: True), lambda: int("x"))(one, {}))
    assert what_to_say(below, below.__traceback__) is None, "raised by what the product calls: a fault in it"
    assert what_to_say(KeyboardInterrupt(), theirs.__traceback__) is None, "not while the product worked"
    within = "Interrupted. Finished work is kept. Run this cell again."
    assert what_to_say(KeyboardInterrupt(), ours.__traceback__) == within
    assert what_to_say(Stopped("Stopped."), None) == "Stopped. Run this cell again to resume."


def test_a_script_is_no_notebook(monkeypatch):
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert not in_notebook()


def test_figures_are_shown_sharp_in_the_size_of_the_others(monkeypatch):
    from matplotlib.figure import Figure

    shown = []
    monkeypatch.setattr(Area, "show", lambda self, *content: shown.append(content))
    figure = Figure(figsize=(3, 2), dpi=100)
    figure.set_label("nothing")
    Area().show_figure(figure)
    ((data, metadata),) = shown
    assert int.from_bytes(data["image/png"][16:20]) == 600 and int.from_bytes(data["image/png"][20:24]) == 400
    assert metadata == {"image/png": {"width": 300, "height": 200, "alt": "nothing"}, "live": True}
