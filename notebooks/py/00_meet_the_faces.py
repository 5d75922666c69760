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
# # 00 · Meet the faces
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/00_meet_the_faces.ipynb)
#
# **Claim that is prepared here.** The paper argues that sets of discrete codes suit *spatially aligned* images: they have many discrete attributes, and since eyes, mouth and hair are always in the same place, little needs to be said about position (Section 1). The paper uses photographs of faces. Nothing can be downloaded here, so this companion draws its own: portraits put together from parts, whose attributes are known exactly.
#
# | | |
# |---|---|
# | needs | nothing; the first start draws the faces and keeps them in `data/` |
# | makes | `faces`, `attributes` in `figures/<profile>/` |
# | cost | about 1 minute on the first start, then 0.2 minutes; 1 GB of memory |

# %% [markdown]
# So that `import pivq` works: a notebook opened in a checkout finds it there; one opened by itself, as on Colab, fetches the project and installs what is missing, leaving Colab's torch and numpy as they are. Nothing is mounted.
#
# *On Colab, to keep runs and checkpoints through a disconnect*, do this before the next cell: `from google.colab import drive; drive.mount("/content/drive"); import os; os.environ["PIVQ_ROOT"] = "/content/drive/MyDrive/pivq"`; a training then goes on from its last checkpoint. *To bring CelebA*, put `img_align_celeba.zip`, `list_attr_celeba.txt` and `list_eval_partition.txt` into a folder there, and give it as `data`, with `profile = "celeba64"`, in the parameters below.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("pivq") is None:
    clone = Path.cwd() / "companion"
    checkout = next((folder for folder in (clone, *Path.cwd().parents) if (folder / "pivq").is_dir()), clone)
    if checkout == clone:
        if not (clone / "pivq").is_dir():
            subprocess.run(["git", "clone", "--depth", "1", "https://github.com/pi-vq/companion", clone], check=True)
        subprocess.run([sys.executable, clone / "notebooks" / "colab.py"], check=True)  # again, if it failed before
    sys.path.insert(0, str(checkout))

# %% [markdown]
# The parameters. There is nothing here that `force` could do again: faces that are drawn stay the same.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
force = False

# %% [markdown]
# Imports, the configuration and the style of all figures.

# %%
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.data import from_uint8
from pivq.data.labels import label_counts
from pivq.figures.artefacts import save_figure, save_table
from pivq.figures.charts import plot_attributes
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.splits import load_split

config = load_config(profile, seed, data)
seed_everything(seed)
use_style()

# %% [markdown]
# ## The faces
#
# Two sets: one for training, one held out for every number that judges a model. If they are not in `data/` yet, they are drawn now.

# %%
train = load_split(config, "train")
heldout = load_split(config, "heldout")
display(Markdown(f"`{train}`  \n`{heldout}`"))

# %% [markdown]
# A first look at the training set.

# %%
figure = plot_images(train.images[:48], columns=12)
save_figure(figure, "faces", profile, caption(config, note="the first 48 faces of the training set"));

# %% [markdown]
# **What to look at.** Everything is where it is in every other picture: the face fills the frame, eyes and mouth share their height. What varies is *what* is there, and most of it is a choice from a short list: a colour of hair, glasses or none, a mouth. Hair and brows have one colour; some combinations (beards with long hair, blond hair with dark skin) are rare or absent, as among people. The pictures are far simpler than photographs: take results on them as a test of the method, not as a benchmark.

# %% [markdown]
# How strict the alignment is shows in the mean of many training faces. Beside it, how much each pixel varies over the set, scaled so that the greatest deviation is white.

# %%
deviation, mean = torch.std_mean(from_uint8(train.images[:2000]), dim=0)
shown = np.stack([mean, deviation / deviation.max()])
plot_images(shown, columns=2, column_labels=["mean", "standard deviation"]);

# %% [markdown]
# The mean face is also the simplest of all "models": it answers every image with the same picture. Any autoencoder has to do better than this.

# %%
rest = from_uint8(heldout.images[:2000]) - mean
error, decibels = float(rest.abs().mean()), -10 * float(rest.square().mean().log10())
display(Markdown(f"Held-out L1 of the mean face: **{error:.3f}** (0–1 scale), or {decibels:.1f} dB PSNR."))

# %% [markdown]
# ## Their attributes
#
# The attributes of the drawn faces are not annotated and not predicted: they follow from the choices a face was drawn from. (CelebA's were annotated; FFHQ's are the predictions of a face API. A set without attributes passes over the cells below.) Six faces with what is true of them, at most six attributes of each:

# %%
if train.attributes is not None:
    names = [", ".join(row.index[(row == 1).to_numpy(bool, na_value=False)][:6]) for _, row in train.attributes[:6].iterrows()]
    plot_images(train.images[:6], columns=6, titles=[name.replace("_", " ") for name in names])

# %% [markdown]
# The parts and colours behind the same six faces:

# %%
if train.choices is not None:
    display(train.choices[:6])

# %% [markdown]
# All attributes, what a 1 means, and how frequent each is. An attribute that cannot be seen is *missing*, not false: the colour of hair under a hat, the eyes behind sunglasses.

# %%
if train.attributes is not None:
    table = pd.DataFrame(
        {
            "attribute": train.attributes.columns,
            "meaning of 1": [train.meanings[name] for name in train.attributes.columns],
            "training": train.attributes.mean().to_numpy(float),
            "held out": heldout.attributes.mean().to_numpy(float),
            "missing": train.attributes.isna().mean().to_numpy(float),
        }
    )
    save_table(table, "attributes", profile, caption(config, note="shares of the images; missing: cannot be seen"))
    display(table.style.format({name: "{:.1%}" for name in ("training", "held out", "missing")}).hide(axis="index"))

# %% [markdown]
# In counts, for both sets: how many images a probe of an attribute can use, as positives and negatives, and how many are left out of it because the label is missing.

# %%
if train.attributes is not None:
    display(label_counts(pd.concat([train.attributes, heldout.attributes])))

# %% [markdown]
# The same as a figure, most frequent first.

# %%
if train.attributes is not None:
    figure = plot_attributes(train.attributes, heldout.attributes)
    save_figure(figure, "attributes", profile, caption(config))

# %% [markdown]
# **What to look at.** Bars and dots agree, so the two sets are alike. No attribute is so rare, or so common, that a probe could not learn it from these many images:

# %%
if train.attributes is not None:
    shares = train.attributes.mean().astype(float)
    display(Markdown(
        f"{len(shares)} attributes, from {shares.min():.1%} (`{shares.idxmin()}`) to {shares.max():.1%} (`{shares.idxmax()}`)."
    ))

# %% [markdown]
# ## Two sets that share nothing
#
# Drawn faces with the same attributes all go to one side of the split, so the held-out set asks for *combinations* that training never showed. Ids and, of the drawn faces, pictures and combinations of attributes that occur in both sets are counted:

# %%
shared = {"ids": len(set(train.ids) & set(heldout.ids))}
if train.choices is not None:
    combinations = [set(map(tuple, split.attributes.astype("Int64").fillna(-1).to_numpy())) for split in (train, heldout)]
    pictures = [{image.numpy().tobytes() for image in split.images} for split in (train, heldout)]
    shared |= {"pictures": len(pictures[0] & pictures[1]), "combinations of attributes": len(combinations[0] & combinations[1])}
    display(Markdown(f"Distinct combinations of attributes: {len(combinations[0]):,} in training, {len(combinations[1]):,} held out."))
assert not any(shared.values()), f"training and held-out set share {shared}"
display(Markdown(f"In common: {', '.join(f'{count} {name}' for name, count in shared.items())}."))

# %% [markdown]
# ## Attributes that go together
#
# Attributes are not independent, and a probe (notebook 07) may use one to guess another. The strongest correlations, among the images where both can be seen:

# %%
if train.attributes is not None:
    correlation = train.attributes.astype(float).corr()
    upper = correlation.where(np.triu(np.ones(correlation.shape, dtype=bool), k=1)).stack()
    strongest = upper.reindex(upper.abs().sort_values(ascending=False).index)[:8]
    display(strongest.rename("correlation").rename_axis(["attribute", "and"]).reset_index().style.format({"correlation": "{:+.2f}"}).hide(axis="index"))

# %% [markdown]
# **What to look at.** Some are matters of definition: a head cannot be bald and long-haired. Others follow the plausibility of the drawings, such as hair colours that go with skin tones. Keep them in mind when a probe finds, say, dark hair in the codes: skin may have told it.

# %% [markdown]
# ## Provenance
#
# What made this notebook's figures.

# %%
display(stamp(config, faces=train.versions, fingerprints={"train": train.fingerprint, "heldout": heldout.fingerprint}))
