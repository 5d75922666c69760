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
# # PI-VQ in a minute
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/demo.ipynb)
#
# **What this is.** A first look at [the paper](https://arxiv.org/abs/2604.01843), with a small model that comes with the project: nothing is trained. An image becomes a *set* of codes, the order of the codes does not matter, and sets can be mixed. `./run_all.sh --demo` runs it.
#
# | | |
# |---|---|
# | needs | nothing: sixteen faces are drawn now |
# | makes | nothing that is kept |

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
# These are the parameters. Another seed draws other orders, paths and samples.

# %% tags=["parameters"]
profile = "quick"
seed = 0
force = False

# %% [markdown]
# The next cell imports what is needed. `force` changes nothing here.

# %%
import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.data import load_dataset
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.runs.provenance import caption
from pivq.runs.shipped import find_shown, which
from pivq.sampling import interpolate, smooth_path

config = load_config(profile)
use_style()
generator = torch.Generator().manual_seed(seed)

# %% [markdown]
# ## A face is a set of codes
#
# The model has a codebook of $K$ vectors. It describes each image by $L$ of them, all different, and by nothing else: neither where in the image a code belongs nor in which order they come.

# %%
run = find_shown(config)
model = run.model()
faces = load_dataset(config.dataset, "heldout", config.model.image_size, limit=16)
images = torch.stack([faces[i] for i in range(16)])
codes = model.encode(images)  # (16, L)
K, L = config.model.codebook_size, config.model.num_codes
first = ", ".join(map(str, sorted(codes[0].tolist())))
display(Markdown(f"{which(run)} K = {K}, L = {L}. The first face is the set **{{{first}}}**."))

# %% [markdown]
# ## Shuffled codes, the same image
#
# The first row shows faces that the model has not been trained on, the second what it makes of their codes, the third what it makes of the same codes in a random order. Few codes lose small details; a random order loses nothing.

# %%
order = torch.randperm(codes.shape[1], generator=generator)
rows = ["image", "its codes, decoded", "the codes shuffled"]
pictures = torch.cat([images[:8], model.decode(codes[:8]), model.decode(codes[:8, order])])
plot_images(pictures, columns=8, row_labels=rows);

# %% [markdown]
# ## Two paths between two faces
#
# Codes that only one face has are exchanged for codes that only the other has, one at a time, in a random order. Each order makes another path; with $n$ codes on each side to exchange there are $(n!)^2$.

# %%
a, b = codes[1], codes[2]
paths = [smooth_path(b, a, generator) for _ in range(2)]
shown = torch.linspace(0, len(paths[0]) - 1, 8).round().long()
pictures = torch.cat([model.decode(path[shown]) for path in paths])
labels = [f"{int(t)} exchanged" for t in shown]
plot_images(pictures, columns=8, row_labels=["one path", "another"], column_labels=labels);

# %% [markdown]
# ## New faces from two parents
#
# Algorithm 1 keeps the codes that both parents have and adds any of the others until there are $L$. One pass of the decoder makes an image of them. Look for traits that neither parent has: every code comes from a parent, but not every trait does (notebook [05](05_interpolation.ipynb) counts).

# %%
pairs = [(3, 4), (5, 6)]
rows = []
for i, j in pairs:
    samples = interpolate(codes[i].expand(6, -1), codes[j].expand(6, -1), generator)
    rows += [model.decode(codes[i : i + 1]), model.decode(samples), model.decode(codes[j : j + 1])]
plot_images(torch.cat(rows), columns=8, column_labels=["parent", *["sample"] * 6, "parent"])
plt.show()  # now, above its caption
display(Markdown(f"*{caption(config, run.summary['steps'], 'all decoded')}*"))

# %% [markdown]
# ## Where to go from here
#
# [10 · The method from scratch](10_from_scratch.ipynb) has all of it in 150 plain lines, and `explore.ipynb` lets you play with it. `./run_all.sh` trains the models and makes every figure and table; [08 · Verdict](08_verdict.ipynb) says which of the paper's claims hold here, and which do not.
