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
# # 11 · A better sampler for the same model
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/11_better_samples.ipynb)
#
# **Beyond the paper.** Algorithm 1 recombines the codes of two images drawn at random, one code at a time (Section 3.5). Samples of our models are then far from anything that the decoder makes of real faces ([notebook 06](06_sample_quality.ipynb)), with traits that neither parent has ([notebook 05](05_interpolation.ipynb)). Nothing is trained here: the same model and the same sets of codes, recombined in another way. How much is gained, and is a sample still new?
#
# **Afterwards you can**
#
# - find codes that are alternatives to each other from the sets alone;
# - say what the choice of the parents is worth, and what the unit of exchange;
# - compare a sampler's novelty with that of real images, and not with zero.
#
# Read with it: Sections 3.5 and 4.3 of [the paper](https://arxiv.org/abs/2604.01843). `./run_all.sh --extras` runs this notebook after the others.
#
# | | |
# |---|---|
# | needs | the trained models ([notebook 03](03_train.ipynb)) |
# | makes | `samplers`, `samplers_compared`, `samplers_side_by_side` in `figures/<profile>/` |

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
# These are the parameters. Everything here is computed anew each time, so `force` changes nothing; features that were computed before are loaded.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
device = "auto"
features = ""

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.pictures import plot_images
from pivq.figures.sampler_charts import plot_samplers
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.inference import decode_levels
from pivq.pretrained.features import load_feature_network
from pivq.processes import pick_device
from pivq.runs.beyond.samplers import (
    draw,
    empty_balls_in_words,
    group_sizes,
    measure_samplers,
    over_seeds,
    said,
    samplers,
)
from pivq.runs.models import require_models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.recombination import as_records
from pivq.runs.splits import load_split
from pivq.usage import exchange_groups

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# Only sets without repeats are recombined here, and matching makes them. The next cell loads the models that quantize by matching, and the network whose features describe an image.

# %%
runs = {name: run for name, run in require_models(config).items() if run.quantizer == "matching"}
on = pick_device(device)
train, heldout = load_split(config, "train"), load_split(config, "heldout")
network = load_feature_network(config.evaluation.features, on)
display(Markdown(f"Models: {', '.join(runs)}. {network.label}."))

# %% [markdown]
# ## Codes that are alternatives
#
# Two codes that say the same kind of thing, such as two hair colours, never meet in an image. So look for a partition $g$ of the codebook into $L$ *exchange groups* with few meetings inside a group. With $\mathcal S_n$ the set of image $n$,
#
# $$\min_g \sum_n \big|\{(c, c') \in \mathcal S_n^2 : c \ne c',\ g(c) = g(c')\}\big| .$$
#
# It is 0 exactly if every image has one code of each group. A greedy colouring makes it small (`pivq.usage.exchange_groups`): the codes of one image open the groups, then the code whose second-best group is worst for it joins its best one. No names of slots and no order of codes are used, so this works for any sets. The table says how far it goes: the share of pairs of image and group with no code, one code, or more.

# %%
groups = {
    name: exchange_groups(run.codes("train"), run.config.model.codebook_size)
    for name, run in runs.items()
}
table = pd.DataFrame(
    [{"model": name} | group_sizes(run.codes("train"), groups[name]) for name, run in runs.items()]
)
display(styled(table, dict.fromkeys(table.columns[1:], "{:.1%}")))

# %% [markdown]
# **What to look at.** Where nearly every image has exactly one code of each group, codes have fixed alternatives, as learned tokens that divide the codebook among themselves would make them. Where many have none or several, a group is only what seldom meets.

# %% [markdown]
# ## The samplers
#
# Two things are changed, alone and together.
#
# 1. **What is exchanged.** *Code by code* is Algorithm 1: of the codes that only one parent has, any half. *Group by group*: a coin per group says which parent its codes come from. If the coins choose more or fewer than half of the codes, some are left out or added at random: a sample always has $L$ codes.
# 2. **Who is the other parent.** *Any* image, as in the paper, or one of the $P$ images that have most codes in common with the first.
#
# Each is measured against as many reconstructions of training images as there are samples, so what decoding costs is on both sides and cancels. Precision, recall, density and coverage are those of [notebook 06](06_sample_quality.ipynb). The control is what the model makes of held-out images. Parents that are alike have children that are like them, so novelty is counted too: the codes of a sample that the most similar training image lacks, and the *copies*, samples without any. The same is counted for the held-out images: that is how new real images are. *Traits gained* are shown by a sample though neither parent has them, and *traits lost* are missing though both parents have them, counted as in [notebook 05](05_interpolation.ipynb). Here the parents are training images and the classifier is fitted to held-out ones, there it is the other way round, so the shares differ a little.

# %%
seeds = range(1 if profile == "smoke" else 3)
with empty_balls_in_words() as notes:
    measured = {
        name: measure_samplers(run, network, train, heldout, seeds) for name, run in runs.items()
    }
means = {name: over_seeds(frame) for name, frame in measured.items()}
note = f"{config.evaluation.samples:,} samples each, {len(seeds)} sampling "
note += f"seed{'s' * (len(seeds) != 1)}, one model"
line = caption(config, note=f"{note}; k = 3; {network.distance_name}")
table = pd.concat([frame.assign(model=name) for name, frame in means.items()])
table = table[["model", *[name for name in table if name not in ("model", "partners")]]]
names = {"distance": network.distance_name, "new": "new codes", "gained": "traits gained"}
names |= {"lost": "traits lost", "deviation": f"deviation of {network.distance_name}"}
table = table.rename(columns=names)
save_table(table, "samplers", config, line)
numbers = {name: as_records(frame) for name, frame in means.items()}
save_json(numbers | stamp(config, config.train.steps), "samplers", config)
formats = dict.fromkeys(["copies", "traits gained", "traits lost"], "{:.1%}")
display(styled(table, formats, precision=2, thousands=",", na_rep="–"), *map(Markdown, notes))

# %% [markdown]
# The next cell draws the distance, on a logarithmic axis, over the novelty. Each point is a seed of the drawing, a line joins the means, and a label says who the other parent is.

# %%
figure = plot_samplers(measured, network.distance_name)
save_figure(figure, "samplers_compared", config, line);

# %% [markdown]
# ## The pictures
#
# Each row has samples of one sampler; the first parents are the same in all rows.

# %%
run = next(iter(runs.values()))
codes, size = torch.from_numpy(run.codes("train")), run.config.model.codebook_size
chosen = samplers(len(codes))
model = run.model(on)
rows = [next(decode_levels(model, draw(codes, size, way, 10, seed).codes)).cpu() for way in chosen]
figure = plot_images(torch.cat(rows), columns=10, row_labels=[way.name for way in chosen])
save_figure(figure, "samplers_side_by_side", config, caption(config, note=f"{next(iter(runs))}"));

# %% [markdown]
# ## Summary

# %%
for name, frame in means.items():
    sentences = [f"- {sentence}" for sentence in said(frame)]
    display(Markdown("\n".join([f"### {name}", "", *sentences])))

# %% [markdown]
# **How to read it.** A sampler that only copied training images would win every column but the last ones; so none is better unless it is about as new as the held-out images are. What is left open: pairs that are near cannot leave the neighbourhood of the data; a prior over sets, trained on the codes, could.
#
# Next: [notebook 12](12_prior_over_sets.ipynb) trains such a prior.

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Colouring.** D. Brélaz: New Methods to Color the Vertices of a Graph. Communications of the ACM 22 (4), 1979. [doi:10.1145/359094.359101](https://doi.org/10.1145/359094.359101). The saturation rule that the greedy colouring follows.
# - **Density and coverage.** M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo: Reliable Fidelity and Diversity Metrics for Generative Models. ICML 2020. [arXiv:2002.09797](https://arxiv.org/abs/2002.09797).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(
    config, steps=config.train.steps, runs={name: run.folder.name for name, run in runs.items()}
)
display(facts_table(facts))
