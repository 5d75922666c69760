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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/00_meet_the_faces.ipynb)
#
# **Claim that is prepared here.** The paper argues that sets of discrete codes suit *spatially aligned* images: they have many discrete attributes, and since eyes, mouth and hair are always in the same place, a code hardly needs to say *where* something is (Section 1). The paper uses photographs of faces. The default profile downloads nothing: it draws portraits from parts, so their attributes are known exactly.
#
# **Afterwards you can**
#
# - say what *spatially aligned* images are, and show it with two pictures: the mean and the standard deviation of a set;
# - state the simplest rival of every model, the mean face, and its error as L1 and as PSNR;
# - read a table of attributes: which are rare, which are missing, which go together.
#
# Read with it: Section 1 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | nothing for drawn faces, which are drawn on the first start and kept in `data/`; the other profiles need their data set |
# | makes | `faces`, `attributes` in `figures/<profile>/` |

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
# These are the parameters. `force` changes nothing here: drawn faces always stay the same.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.data import from_uint8
from pivq.figures.artefacts import save_figure, save_table
from pivq.figures.charts import plot_attributes
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.figures.tables import escape, facts_table, styled
from pivq.losses import psnr
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.splits import load_split
from pivq.runs.teaching.exercises import check_best_constant

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# ## The faces
#
# There are two sets: one for training, and one held out for every number that judges a model. Drawn faces that are not in `data/` yet are drawn now. An image $x$ has the shape $3 \times H \times W$: three colours, height, width. It is stored as whole numbers from 0 to 255, and a model gets it divided by 255.

# %%
train = load_split(config, "train")
heldout = load_split(config, "heldout")
height, width = train.images.shape[2:]
display(Markdown(
    f"{len(train):,} training faces and {len(heldout):,} held-out faces of {height}×{width} pixels "
    f"({escape(train.name)})."
))

# %% [markdown]
# Here is a first look at the training set.

# %%
figure = plot_images(train.images[:48], columns=12)
note = "the first 48 faces of the training set"
save_figure(figure, "faces", config, caption(config, note=note));

# %% [markdown]
# **What to look at.** Is everything in the same place in every picture? In aligned faces, eyes and mouth keep their height, and the face fills the frame. What varies is *what* is there.

# %%
if config.dataset == "avatars":
    display(
        Markdown(
            "In drawn faces, most of what varies is a choice from a short list: a hair colour, "
            "glasses or none, a mouth. "
            "Hair and brows have one colour. Some combinations are rare or absent, as among "
            "people: beards with long hair, "
            "blond hair with dark skin. The pictures are far simpler than photographs, so take "
            "results on them as a test "
            "of the method, not as a benchmark."
        )
    )

# %% [markdown]
# The mean of many training faces shows how strict the alignment is. The second picture shows how much each pixel varies over the set, scaled so that the greatest deviation is white.

# %%
deviation, mean = torch.std_mean(from_uint8(train.images[:2000]), dim=0)
shown = np.stack([mean, deviation / deviation.max()])
plot_images(shown, columns=2, column_labels=["mean", "standard deviation"]);

# %% [markdown]
# The mean face is also the simplest of all "models": it answers every image with the same picture. Any autoencoder has to do better. Two numbers say how far a picture $\hat x$ is from an image $x$, both with values from 0 to 1. The **L1** error is the mean absolute difference; the **PSNR**, the peak signal-to-noise ratio, is the mean squared difference on a logarithmic scale:
#
# $$\text{L1} = \frac{1}{3HW} \lVert \hat x - x \rVert_1, \qquad \text{PSNR} = -10 \log_{10} \Big( \frac{1}{3HW} \lVert \hat x - x \rVert_2^2 \Big) \text{ dB}.$$
#
# Less L1 and more PSNR are better; 3 dB more halve the squared error.

# %%
images = from_uint8(heldout.images[:2000])
error, decibels = (
    float((images - mean).abs().mean()),
    float(psnr(images, mean.expand_as(images)).mean()),
)
display(
    Markdown(
        f"Held-out L1 of the mean face: **{error:.3f}** (0–1 scale), or {decibels:.1f} dB PSNR."
    )
)

# %% [markdown]
# ## Their attributes
#
# The attributes of drawn faces are neither annotated nor predicted: they follow from the choices that a face was drawn from. CelebA's attributes were annotated, and FFHQ's are the predictions of a face API. For a set without attributes, the cells below show nothing. Here are six faces with at most six of the attributes that are true of each:

# %%
if train.attributes is not None:
    traits = [
        row.index[(row == 1).to_numpy(bool, na_value=False)][:6]
        for _, row in train.attributes[:6].iterrows()
    ]
    plot_images(
        train.images[:6], columns=6, titles=[", ".join(names).replace("_", " ") for names in traits]
    )

# %% [markdown]
# A drawn face also has the parts and colours it was made from. Here are those of the same six faces:

# %%
if train.choices is not None:
    readable = train.choices[:6].map(lambda choice: choice.replace("_", " ").lower())
    display(styled(readable.rename(columns=lambda name: name.replace("_", " "))))

# %% [markdown]
# The table lists all attributes, what a 1 means, and how frequent each is. An attribute that cannot be seen is *missing*, not false: the colour of hair under a hat, the eyes behind sunglasses.

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
    save_table(
        table,
        "attributes",
        config,
        caption(config, note="shares of the images; missing: cannot be seen"),
    )
    readable = table.assign(attribute=table["attribute"].str.replace("_", " "))
    display(styled(readable, dict.fromkeys(["training", "held out", "missing"], "{:.1%}")))

# %% [markdown]
# The figure shows the same, with the most frequent first.

# %%
if train.attributes is not None:
    figure = plot_attributes(train.attributes, heldout.attributes)
    save_figure(figure, "attributes", config, caption(config))

# %% [markdown]
# **What to look at.** Where bars and dots agree, the two sets are alike. An attribute that is very rare, or very common, gives a probe little to learn from. The next cell names the rarest and the most common one.

# %%
if train.attributes is not None:
    shares = train.attributes.mean().astype(float)
    rarest, commonest = shares.idxmin(), shares.idxmax()
    display(Markdown(
        f"{len(shares)} attributes, from {shares[rarest]:.1%} ({escape(rarest.replace('_', ' '))}) "
        f"to {shares[commonest]:.1%} ({escape(commonest.replace('_', ' '))})."
    ))

# %% [markdown]
# ## Two sets that share nothing
#
# Drawn faces with the same attributes all go to one side of the split, so the held-out set asks for *combinations* that training never showed. The next cell counts what occurs in both sets: ids and, of drawn faces, pictures and combinations of attributes.

# %%
shared = {"ids": len(set(train.ids) & set(heldout.ids))}
if train.choices is not None:
    labels = [split.attributes.astype("Int64").fillna(-1).to_numpy() for split in (train, heldout)]
    combinations = [set(map(tuple, rows)) for rows in labels]
    pictures = [{image.numpy().tobytes() for image in split.images} for split in (train, heldout)]
    shared["pictures"] = len(pictures[0] & pictures[1])
    shared["combinations of attributes"] = len(combinations[0] & combinations[1])
    training, held_out = map(len, combinations)
    display(
        Markdown(
            f"Distinct combinations of attributes: {training:,} in training, {held_out:,} held out."
        )
    )
assert not any(shared.values()), f"training and held-out set share {shared}"
display(Markdown(f"In common: {', '.join(f'{count} {name}' for name, count in shared.items())}."))

# %% [markdown]
# ## Attributes that go together
#
# Attributes are not independent. A *probe*, a classifier that reads an attribute from the codes ([notebook 07](07_probing.ipynb)), may use one to guess another. These are the strongest correlations, among the images where both attributes can be seen:

# %%
if train.attributes is not None:
    correlation = train.attributes.astype(float).corr()
    upper = correlation.where(np.triu(np.ones(correlation.shape, dtype=bool), k=1)).stack()
    strongest = upper.reindex(upper.abs().sort_values(ascending=False).index)[:8]
    table = strongest.rename("correlation").rename_axis(["attribute", "and"]).reset_index()
    pair = table[["attribute", "and"]].apply(lambda names: names.str.replace("_", " "))
    readable = table.assign(**pair)
    display(styled(readable, {"correlation": "{:+.2f}"}))

# %% [markdown]
# **What to look at.** Some correlations follow from the definitions: no drawn face has both light and dark skin, and headwear hides long hair. Others come from the set: in photographs from who was photographed, in drawn faces from the rules of the drawing, such as hair colours that go with skin tones. Remember them when a probe finds dark hair in the codes: it may have read the skin.

# %% [markdown]
# ## Summary
#
# - Aligned images have everything in the same place; what varies is *what* is there.
# - The mean face reaches about 13 dB in the default set. A model has to beat it, or it shows nothing.
# - Attributes of drawn faces are exact. Some are rare, some go together, and the held-out set asks for combinations that training never showed.
#
# Next: [notebook 01](01_architecture.ipynb) builds the model.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 0.1: the best constant picture
#
# The mean face has the least mean *squared* error of all constant pictures. Which constant picture has the least mean *absolute* error, L1? Complete the function; `images` is a tensor `(N, 3, H, W)`.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def best_constant(images):
    """Return the picture (3, H, W) with the least mean absolute difference to all images."""
    return images.median(dim=0).values

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_best_constant(best_constant)))

# %% [markdown]
# ### Exercise 0.2: accuracy without looking
#
# An attribute is true of a share $p$ of the faces. Which accuracy does a predictor reach that never looks at a picture? Compute it for the rarest attribute of the table above. What follows for a reader of [notebook 07](07_probing.ipynb)?
#
# <details><summary>Answer</summary>
#
# It always says what is more frequent and is right in $\max(p, 1 - p)$ of all cases: with $p = 6\%$ it reaches 94%. An accuracy means something only next to this *majority baseline*, so Fig. 5 shows both.
#
# </details>

# %% [markdown]
# ### Exercise 0.3: hair or skin?
#
# Among the drawn faces, black hair and dark skin go together. A classifier of black hair is right for 80% of the faces. How do you find out whether it looks at the hair or at the skin?
#
# <details><summary>Answer</summary>
#
# Test it within each group: among the faces with dark skin alone, and among those with light skin alone. Compare each time with the majority baseline of that group. A classifier that reads the skin falls to the baseline within both groups.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **CelebA.** Z. Liu, P. Luo, X. Wang, X. Tang: Deep Learning Face Attributes in the Wild. ICCV 2015. [arXiv:1411.7766](https://arxiv.org/abs/1411.7766).
# - **CelebA-HQ.** T. Karras, T. Aila, S. Laine, J. Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and Variation. [arXiv:1710.10196](https://arxiv.org/abs/1710.10196), 2017.
# - **FFHQ.** T. Karras, S. Laine, T. Aila: A Style-Based Generator Architecture for Generative Adversarial Networks. TPAMI 2021. [arXiv:1812.04948](https://arxiv.org/abs/1812.04948).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(
    config,
    faces=train.versions,
    fingerprints={"train": train.fingerprint, "heldout": heldout.fingerprint},
)
display(facts_table(facts))
