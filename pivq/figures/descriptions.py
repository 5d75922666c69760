"""What a figure shows, in words: for those who cannot see it, in a file, a notebook and its page."""

import re
import sys
import textwrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cbook import strip_math
from matplotlib.figure import Figure

LONGEST = 600  # letters
MOST_LABELS = 12  # of one panel


def describe(figure: Figure) -> str:
    """Return a description made of what stands in a figure: name, panels with axes, legends and labels, caption.

    The name is the figure's label and the caption its text of the group "caption", as `save_figure` leaves them.

    Example:
        >>> figure = Figure()
        >>> axes = figure.add_subplot(title="codes in use")
        >>> _ = axes.set(xlabel="step", ylabel="codes")
        >>> describe(figure)
        'codes in use, codes over step.'
    """
    texts = {text.get_gid() == "caption": [] for text in figure.texts} | {True: [], False: []}
    for text in figure.texts:
        texts[text.get_gid() == "caption"].append(_plain(text.get_text()))
    legends = [f"legend: {_listed(_labels(legend))}" for legend in figure.legends]
    panels = [_panel(axes) for axes in figure.axes if axes.get_visible()]
    parts = [figure.get_label().replace("_", " "), *texts[False], *panels, *legends, *texts[True]]
    told = list(dict.fromkeys(part for part in parts if part))
    return textwrap.shorten("".join(f"{part.rstrip('.')}. " for part in told), LONGEST, placeholder=" …")


def _panel(axes: Axes) -> str:
    """Return title, pictures, axes, legend and labels of one panel, those that it has."""
    titles = [_plain(axes.get_title(loc)) for loc in ("left", "center", "right")]
    x, y = (_plain(axis.get_label_text()) if axes.axison else "" for axis in (axes.xaxis, axes.yaxis))
    pictures = f"{len(axes.images)} picture{'s' * (len(axes.images) > 1)}" if axes.images else ""
    legend = axes.get_legend()
    named = f"legend: {_listed(_labels(legend))}" if legend else ""
    written = [_plain(text.get_text()) for text in axes.texts if text.get_visible()]
    labels = list(dict.fromkeys(text for text in written if any(map(str.isalpha, text))))
    told = f"labels: {_listed(labels)}" if labels else ""
    parts = [*titles, pictures, f"{y} over {x}" if x and y else x or y, named, told]
    return ", ".join(part for part in parts if part)


def _labels(legend: Any) -> list[str]:
    return [_plain(text.get_text()) for text in legend.get_texts()]


def _listed(labels: list[str]) -> str:
    return "; ".join(labels[:MOST_LABELS]) + (" …" if len(labels) > MOST_LABELS else "")


def _plain(text: str) -> str:
    """Return the words of a text that may have formulas and several lines."""
    def spell(formula: re.Match) -> str:
        return strip_math(re.sub(r"\\[a-z]+(?={)", "", formula[0]))

    return re.sub(r"(?<!\\)\$.*?\$", spell, " ".join(text.split())).replace("\\$", "$")


def show_described() -> None:
    """Make a notebook show its figures sharp on any screen and with their descriptions; elsewhere do nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if not shell or not matplotlib.get_backend().endswith("inline"):
        return
    shell.run_line_magic("matplotlib", "inline")  # else the first figure would do it and undo what follows
    shell.run_line_magic("config", "InlineBackend.figure_formats = ['retina']")
    formatter = shell.display_formatter.formatters["image/png"]
    draw = formatter.for_type(Figure)

    def draw_described(figure: Figure) -> Any:
        drawn = draw(figure)
        if not isinstance(drawn, tuple):  # a figure without anything in it
            return drawn
        return drawn[0], drawn[1] | {"alt": describe(figure)}

    formatter.for_type(Figure, draw_described)
