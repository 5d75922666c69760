"""The explorer's widgets: pictures, a slider along a path, one button per code; the moves are `pivq.runs.explorer`."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image

from pivq.figures.pictures import as_pixels
from pivq.figures.style import BLUE, GREEN, INK, ORANGE, PALE
from pivq.storage.writing import atomic_write

COLOURS = {"both": (PALE, INK), "a": (BLUE, "white"), "b": (ORANGE, INK), "neither": (GREEN, "white")}
MEANINGS = {"both": "a and b have it", "a": "only a", "b": "only b", "neither": "neither (exchanged)"}
OFFERED, CHILDREN, SHOWN = 12, 6, 12  # exchanges, recombinations, and faces that share a code
BIG, SMALL = 256, 80  # pixels on the screen


class ExplorerPanel:
    """A panel of widgets; display its `view`.

    Args:
        explorer: a `pivq.runs.explorer.Explorer`.
        images: the faces whose codes it knows, uint8 `(N, 3, H, W)`, in their order.
        folder: where saved pictures go.
        pair: the two faces to begin with, as rows of `images`.
        seed: of the first path; "another order" counts it up, and so does breeding.

    Attributes:
        view: the widget to display.
        codes: the set that is shown, `(L,)`.
        ends: the two images with their codes, by name, "a" and "b".
    """

    def __init__(self, explorer: Any, images: torch.Tensor, folder: Path, pair: Sequence[int], seed: int = 0):
        self.explorer, self.images, self.folder, self.seed = explorer, images, folder, seed
        self.ends, self.history, self.place, self.newborn = {}, [], 0, None
        self.picture, self.words = _picture(BIG), widgets.HTML()
        self.slider = widgets.IntSlider(description="a to b", layout=widgets.Layout(width="auto"))
        self.chips = [widgets.Button(layout=widgets.Layout(width="3.2em", padding="0", margin="1px"))
                      for _ in explorer.codes[0]]  # fmt: skip
        self.picks = {name: self._end(name, row) for name, row in zip("ab", pair, strict=True)}
        self.about, self.offers, self.sharers = widgets.HTML(), _choices(OFFERED), _picture(SMALL, SHOWN)
        self.children, self.attribute = _choices(CHILDREN), widgets.Dropdown(options=explorer.attributes)
        self.count = widgets.BoundedIntText(4, 1, 12, description="codes", layout=widgets.Layout(width="10em"))
        self.probe = widgets.HTML()
        self.view = widgets.VBox([self._walk(), self._code(), self._more()])
        for index, chip in enumerate(self.chips):
            chip.on_click(lambda _, index=index: self.look_at(index))
        for index, (_, button) in enumerate(self.offers):
            button.on_click(lambda _, index=index: self.exchange(index))
        for index, (_, button) in enumerate(self.children):
            button.on_click(lambda _, index=index: self.change(self.newborn[index]))
        self.slider.observe(lambda change: self.show(self.path[min(change["new"], len(self.path) - 1)]), "value")
        self.attribute.observe(lambda _: self._say_probe(), "value")
        for name, row in zip("ab", pair, strict=True):
            self.ends[name] = images[row], explorer.codes[row]
        self.walk()

    # --- What is where ------------------------------------------------------------------------------------------------

    def _end(self, name: str, row: int) -> dict[str, Any]:
        """Return the widgets that choose image a or b: its picture, a number, an own file, the path of one."""
        number = widgets.BoundedIntText(row, 0, len(self.images) - 1, description=f"face {name}")
        upload = widgets.FileUpload(accept="image/*", description="own picture")
        path = widgets.Text(placeholder="or its path", continuous_update=False)
        for widget in (number, path, upload):
            widget.layout.width = "11em"
        number.style.description_width = "4em"
        number.observe(lambda change: self.choose(name, change["new"]), "value")
        path.observe(lambda change: change["new"] and self.take(name, Path(change["new"])), "value")
        upload.observe(lambda change: change["new"] and self.take(name, bytes(change["new"][0]["content"])), "value")
        return {"picture": _picture(128), "number": number, "upload": upload, "path": path}

    def _walk(self) -> widgets.Widget:
        ends = {name: _column(pick.values()) for name, pick in self.picks.items()}
        buttons = [
            _button("another order", self.reorder, "exchange the same codes in another order"),
            _button("random pair", self.surprise, "two other faces"),
            _button("undo", self.undo, "take back the last change of the set"),
            _button("save PNG", self.save, f"write this picture to {self.folder}"),
        ]
        middle = _column([self.picture, self.slider, _row(buttons)])
        return widgets.VBox([_row([ends["a"], middle, ends["b"]]), self.words])

    def _code(self) -> widgets.Widget:
        legend = " ".join(
            f'<span style="background:{COLOURS[name][0]};color:{COLOURS[name][1]};padding:0 .5em">{text}</span>'
            for name, text in MEANINGS.items()
        )
        title = widgets.HTML(f"<b>The set of codes.</b> Click one to exchange it. {legend}")
        tiles = _row([widgets.VBox(pair) for pair in self.offers])
        return widgets.VBox([title, _row(self.chips, "0"), self.about, tiles, self.sharers])

    def _more(self) -> widgets.Widget:
        breed = _row([_button("breed a and b", self.breed, "Algorithm 1: new sets from the codes of both"),
                      *[widgets.VBox(pair) for pair in self.children]])  # fmt: skip
        if not self.explorer.attributes:
            return breed
        edit = _row([
            widgets.HTML("<b>Edit</b>"), self.attribute, self.count,
            _button("remove", lambda: self.edit(-1), "exchange codes against this attribute"),
            _button("add", lambda: self.edit(1), "exchange codes for this attribute"), self.probe,
        ])  # fmt: skip
        return widgets.VBox([breed, edit])

    # --- What a click does --------------------------------------------------------------------------------------------

    def choose(self, name: str, row: int) -> None:
        """Make face `row` image a or b."""
        self.ends[name] = self.images[row], self.explorer.codes[row]
        self.walk()

    def take(self, name: str, picture: bytes | Path) -> None:
        """Make an own picture image a or b; if it cannot be read, say why and change nothing."""
        try:
            self.ends[name] = self.explorer.encode(picture)
        except (OSError, ValueError) as error:
            self.words.value = _plain(f"The picture was not taken: {error}")
            return
        self.walk()

    def surprise(self) -> None:
        """Take two other faces at random."""
        rows = np.random.default_rng().choice(len(self.images), 2, replace=False)
        for pick, row in zip(self.picks.values(), rows.tolist(), strict=True):
            pick["number"].value = row  # which chooses it

    def reorder(self) -> None:
        """Draw another order of the exchanges, and stay where the slider is."""
        self.seed += 1
        self.walk(self.slider.value)

    def walk(self, step: int = 0) -> None:
        """Begin a path between the two images, at one of its steps."""
        (_, a), (_, b) = self.ends.values()
        self.path = self.explorer.path(a, b, self.seed)
        for name, pick in self.picks.items():
            pick["picture"].value = _png(self.ends[name][0])
        last = len(self.path) - 1
        self.slider.disabled = last == 0  # equal sets
        self.slider.max = max(1, last)  # a slider needs two ends; one that is beyond its new end moves, and shows
        self.slider.value = min(step, last)
        self.history.clear()
        self.show(self.path[self.slider.value])

    def look_at(self, place: int) -> None:
        """Show what is known of the code at a place, and the image with each code that could take it."""
        self.place, code = place, int(self.codes[place])
        offered = self.explorer.exchanges(self.codes, place, OFFERED)
        rows = self.explorer.sharing(code)
        whose = f"of slot {self.explorer.owners[code]}" if self.explorer.has_slots else "of no slot"
        kind = "other codes of its slot" if self.explorer.has_slots else "codes that seldom share a face with it"
        self.about.value = _plain(
            f"Code {code}, {whose}: {len(rows):,} of {len(self.explorer.codes):,} faces have it. "
            f"The image with {kind}, and how much a pixel changes on average; then faces that share code {code}:"
        )
        changed = np.tile(self.codes, (len(offered) + 1, 1))  # the last one stays, to compare with
        changed[:-1, place] = offered
        images = self.explorer.decode(changed).float() / 255
        changes = (images[:-1] - images[-1]).abs().mean(dim=(1, 2, 3)).tolist()
        labels = [f"{code} · {change:.1%}" for code, change in zip(offered, changes, strict=True)]
        _fill(self.offers, images[:-1], labels)
        if len(rows):
            self.sharers.value, self.sharers.layout.display = _png(self.images[rows[:SHOWN]]), None

    def exchange(self, index: int) -> None:
        """Exchange the code that is looked at for one of those offered."""
        code = self.explorer.exchanges(self.codes, self.place, OFFERED)[index]
        self.change(np.where(np.arange(len(self.codes)) == self.place, code, self.codes))
        self.look_at(self.place)

    def breed(self) -> None:
        """Recombine the two images by Algorithm 1."""
        self.seed += 1
        self.newborn = self.explorer.breed(self.ends["a"][1], self.ends["b"][1], CHILDREN, self.seed)
        _fill(self.children, self.explorer.decode(self.newborn), ["take"] * CHILDREN)

    def edit(self, sign: int) -> None:
        """Add an attribute (`sign` 1) or remove it (-1), by as many codes as the slider says."""
        self.change(self.explorer.edit(self.codes, self.attribute.value, sign * self.count.value))

    def change(self, codes: np.ndarray) -> None:
        """Show another set, and remember the one before."""
        self.history.append(self.codes)
        self.show(codes)

    def undo(self) -> None:
        """Go back to the set before the last change; moving the slider is none."""
        if self.history:
            self.show(self.history.pop())

    def save(self) -> None:
        """Write the picture to `folder`, under the next free number."""
        taken = [int(path.stem) for path in self.folder.glob("*.png") if path.stem.isdecimal()]
        target = self.folder / f"{1 + max(taken, default=0):03d}.png"
        with atomic_write(target) as path:
            path.write_bytes(self.picture.value)
        self.words.value = _plain(f"Saved as {target}.")

    def show(self, codes: np.ndarray) -> None:
        """Show a set: its picture, and the colour of each code; what was offered for one of another set is hidden."""
        self.codes, self.about.value, self.sharers.layout.display = np.array(codes), "", "none"
        _fill(self.offers, [], [])
        self.picture.value = _png(self.explorer.decode(self.codes[None]))
        origins = self.explorer.origins(self.codes, self.ends["a"][1], self.ends["b"][1])
        for chip, code, origin in zip(self.chips, self.codes, origins, strict=True):
            chip.description, chip.tooltip = str(code), f"code {code}: {MEANINGS[origin]}"
            chip.style.button_color, chip.style.text_color = COLOURS[origin]
        self.words.value = "Codes: " + _plain(
            ", ".join(f"{text}: {origins.count(name)}" for name, text in MEANINGS.items() if name in origins)
        )
        self._say_probe()

    def _say_probe(self) -> None:
        if self.attribute.value:
            chance = self.explorer.chance(self.codes, self.attribute.value)
            self.probe.value = _plain(f"the probe's probability: {chance:.0%}")


def _plain(text: str) -> str:
    """Return text for an HTML widget, shown as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _png(images: torch.Tensor) -> bytes:
    """Return images, uint8 `(3, H, W)` or `(N, 3, H, W)`, as one PNG, side by side."""
    pixels = as_pixels(images if images.ndim == 4 else images[None])
    with io.BytesIO() as file:
        Image.fromarray(np.concatenate(list(pixels), axis=1)).save(file, "png", compress_level=1)
        return file.getvalue()


def _picture(size: int, images: int = 1) -> widgets.Image:
    """Return an empty picture of this height on the screen, for at most this many images side by side."""
    layout = widgets.Layout(height=f"{size}px" if images == 1 else "auto", max_height=f"{size}px", max_width="100%",
                            object_fit="contain")  # fmt: skip
    return widgets.Image(format="png", layout=layout)


def _choices(count: int) -> list[tuple[widgets.Image, widgets.Button]]:
    """Return pictures with a button below each, not shown before `_fill`."""
    layout = {"width": f"{SMALL}px", "padding": "0"}
    made = [(_picture(SMALL), widgets.Button(layout=layout)) for _ in range(count)]
    _fill(made, [], [])
    return made


def _fill(choices: list[tuple[widgets.Image, widgets.Button]], images: Sequence, labels: Sequence[str]) -> None:
    """Show as many of the choices as there are images, and hide the others."""
    for index, (picture, button) in enumerate(choices):
        shown = index < len(images)
        picture.layout.display = button.layout.display = None if shown else "none"
        if shown:
            picture.value, button.description = _png(images[index]), labels[index]


def _button(text: str, action: Callable[[], None], tooltip: str) -> widgets.Button:
    button = widgets.Button(description=text, tooltip=tooltip, layout=widgets.Layout(width="auto"))
    button.on_click(lambda _: action())
    return button


def _column(children: Iterable[widgets.Widget]) -> widgets.Box:
    return widgets.VBox(list(children), layout=widgets.Layout(max_width="400px", overflow="hidden"))


def _row(children: Sequence[widgets.Widget], gap: str = "6px") -> widgets.Box:
    """Return widgets side by side, on as many lines as a narrow window needs."""
    layout = widgets.Layout(flex_flow="row wrap", align_items="flex-start", grid_gap=gap)
    return widgets.Box(list(children), layout=layout)
