# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The explorer · change a set of codes, see the face change
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/explore.ipynb)
#
# **What you can try here.** The decoder gets a *set* of codes, so a face can be changed code by code: walk from one face to another (Section 3.5), exchange single codes, see which faces share a code, breed two faces by Algorithm 1, and add or remove an attribute by the codes that a linear probe names (Section 3.8). Nothing is trained, and nothing here enters the verdict.
#
# `run_all.sh` leaves this notebook out: open it in JupyterLab and run all cells. Elsewhere, as in an exported page, the same moves are drawn as still pictures. [docs/explorer.md](https://github.com/REPOSITORY/blob/main/docs/explorer.md) tells how the same explorer becomes one page that runs without Python.
#
# | | |
# |---|---|
# | needs | a trained model: that of a run (notebook 03), or the one that comes with the project; `ipywidgets`, for anything to click |
# | makes | no figure; pictures that you save go to `results/<profile>/explorer/` |

# %% [markdown]
# In a checkout, the next cell uses that checkout; elsewhere, as on Colab, it fetches and installs the project ([docs/colab.md](https://github.com/REPOSITORY/blob/main/docs/colab.md)).

# %%
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.append(str(Path.cwd().parent))
if find_spec("pivq") is None:
    clone = "git clone --depth 1 https://github.com/REPOSITORY companion"
    install = f"'{sys.executable}' -m pip install -q -e companion"
    subprocess.run(f"([ -d companion ] || {clone}) && {install}", shell=True, check=True)
    sys.path.append("companion")

# %% [markdown]
# These are the parameters. Everything here is computed anew each time, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of the pictures.

# %%
import numpy as np
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.pictures import plot_images, plot_samples_with_parents
from pivq.figures.style import use_style
from pivq.figures.tables import escape
from pivq.runs.explorer import Explorer, is_interactive, labels_to_edit
from pivq.runs.provenance import seed_everything
from pivq.runs.shipped import model_to_show
from pivq.runs.splits import load_split
from pivq.storage.paths import results_dir

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads a trained model and the codes that it gave to the held-out faces, which no step of training has seen. Two of these faces, drawn from the seed, are *a* and *b*.

# %%
model, codes, sentence = model_to_show(config)
heldout = load_split(config, "heldout")
explorer = Explorer(model, codes, labels_to_edit(heldout))
L, K = model.config.num_codes, model.config.codebook_size
a, b = np.random.default_rng(seed).choice(len(heldout), 2, replace=False).tolist()
slots = "each code belongs to one slot, a learned token"
slots = slots if explorer.has_slots else "codes belong to no slot"
display(Markdown(f"{escape(sentence)} It makes {L} codes of {K} for each face; {slots}."))

# %% [markdown]
# ## Click and see
#
# - Move the slider: each step exchanges one code of *a* for one of *b*. *Another order* exchanges the same codes in another order.
# - Click a code: below it are the images with the codes that can take its place, and faces that share it. Where codes belong to slots, these are the other codes of its slot; elsewhere codes that seldom share a face with it.
# - *Breed* draws new sets from the codes of both faces; *take* shows one in full.
# - *Add* and *remove* exchange the codes that change the probe's sum most. The probe's probability says what the probe makes of the new set; whether one can see it in the picture is another question.
# - A picture of your own is cropped to a square and encoded. The model knows only aligned faces of its data set, so it turns any other picture into something like one of these.

# %%
if is_interactive():
    from pivq.figures.explorer_panel import ExplorerPanel

    folder = results_dir(profile) / "explorer"
    display(ExplorerPanel(explorer, heldout.images, folder, (a, b), seed).view)
else:
    display(Markdown(
        "**Nothing can be clicked here.** For that, open `notebooks/explore.ipynb` in "
        "JupyterLab, in an environment that has `ipywidgets`, and run all cells. "
        "The still pictures below show the same moves."
    ))

# %% [markdown]
# ## The moves as still pictures
#
# **Walk.** Two orders of the same exchanges, from face *a* (left) to face *b* (right):

# %%
paths = [explorer.path(codes[a], codes[b], order) for order in (seed, seed + 1)]
frames = np.linspace(0, len(paths[0]) - 1, 9).round().astype(int)
steps = [f"{t} of {frames[-1]}" for t in frames]
rows = torch.cat([explorer.decode(path[frames]) for path in paths])
plot_images(rows, columns=9, row_labels=["one order", "another"], column_labels=steps);

# %% [markdown]
# **Exchange.** The first image is face *a* as the model makes it. In the others, one of its codes is exchanged for another. (Of its codes, it is the one with the most others to choose from.)

# %%
place = max(range(L), key=lambda place: len(explorer.exchanges(codes[a], place)))
code, offered = codes[a][place], explorer.exchanges(codes[a], place, 9)
changed = np.tile(codes[a], (1 + len(offered), 1))
changed[1:, place] = offered
titles = [f"code {number}" for number in (code, *offered)]
plot_images(explorer.decode(changed), columns=len(changed), titles=titles);

# %% [markdown]
# **Who shares it?** These held-out faces have the code of the first image. What they have in common is what the code may stand for.

# %%
sharing = explorer.sharing(code)
count = f"{len(sharing):,} of {len(codes):,} held-out faces"
display(Markdown(f"{count} have code {code}. The first of them:"))
plot_images(heldout.images[sharing[:10]], columns=len(sharing[:10]));

# %% [markdown]
# **Breed.** Algorithm 1 keeps the codes that both parents have, and draws the others from those that only one of them has.

# %%
children = explorer.decode(explorer.breed(codes[a], codes[b], 10, seed))
plot_samples_with_parents(heldout.images[[a]], children[None], heldout.images[[b]]);

# %% [markdown]
# **Edit.** In the first row, up to four codes of each face are exchanged so that the probe's sum falls; in the last row, so that it rises. The attribute is the one whose coefficients reach furthest.

# %%
if explorer.attributes:
    attribute = max(explorer.attributes, key=lambda name: explorer.coefficients(name)[0].max())
    faces = np.random.default_rng(seed).choice(len(codes), 10, replace=False)
    pictures, labels = [], []
    for word, count in (("removed", -4), ("as it is", 0), ("added", 4)):
        sets = [explorer.edit(codes[face], attribute, count) for face in faces]
        chance = np.mean([explorer.chance(edited, attribute) for edited in sets])
        pictures.append(explorer.decode(sets))
        labels.append(f"{word}\nprobe: {chance:.0%}")
    display(Markdown(f"The attribute: **{escape(attribute.replace('_', ' '))}**"))
    plot_images(torch.cat(pictures), columns=len(faces), row_labels=labels)
else:
    display(Markdown("No attribute has enough labels of both kinds to edit by."))

# %% [markdown]
# **What to look at.** The probe reads codes and never sees the picture: a set that it is sure of need not look like it. Codes that say the same thing twice, such as two hairlines, show where a trait is carried by several codes. Notebook 05 counts how often recombined faces have traits that neither parent has.
