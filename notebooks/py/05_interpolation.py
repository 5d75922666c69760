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
# # 05 · Walking from face to face, code by code
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/05_interpolation.ipynb)
#
# **Claim that is tested here.** Since codes have no places, two images can be mixed by mixing their sets of codes. "It is also possible to interpolate (approximately) smoothly from one image to another", along "multiple, equally plausible paths": $(|R|!)^2$ of them, where $|R|$ is the number of codes that only one of the two has (Sections 3.5 and 4.4, Fig. 1). The same recombination gives new images: Algorithm 1.
#
# | | |
# |---|---|
# | needs | the trained matching model (notebook 03) |
# | makes | `fig1_interpolation`, `smoothness`, `samples_with_parents`, and the numbers `interpolation.json` in `figures/<profile>/` |

# %% [markdown]
# In a checkout, the next cell uses that checkout; elsewhere, as on Colab, it fetches and installs the project ([docs/colab.md](https://github.com/REPOSITORY/blob/main/docs/colab.md)).

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("pivq") is None:
    checkout = Path.cwd().parent
    if not (checkout / "pivq").is_dir():
        checkout = Path.cwd() / "companion"
        if not checkout.exists():
            subprocess.run(["git", "clone", "--depth", "1", "https://github.com/REPOSITORY", checkout], check=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", checkout], check=True)
    sys.path.insert(0, str(checkout))

# %% [markdown]
# These are the parameters. Everything here is computed anew each time, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
force = False
device = "auto"

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import math

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json
from pivq.figures.charts import plot_smoothness
from pivq.figures.pictures import plot_images, plot_paths, plot_samples_with_parents
from pivq.figures.style import use_style
from pivq.figures.tables import escape
from pivq.inference import decode_in_batches, order_difference
from pivq.processes import pick_device
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import require_run
from pivq.runs.splits import load_split
from pivq.sampling import SMOOTH_STEP, cross_fade, interpolate, path_smoothness, smooth_path

config = load_config(profile, seed, data, layout=layout, on_error=on_error)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads the model, and the held-out faces with their codes: no step of training has seen these images. The pairs are drawn from the seed, not picked; only if one of the first two has a single path, as a hardly trained model's may, pairs with more come first.

# %%
run = require_run(config, "matching")
model = run.model(pick_device(device))
heldout = load_split(config, "heldout")
codes = torch.from_numpy(run.codes("heldout"))
generator = torch.Generator().manual_seed(seed)
pairs = torch.randperm(len(heldout), generator=generator)[: len(heldout) // 2 * 2].reshape(-1, 2)
single = torch.tensor([len(set(codes[i].tolist()) - set(codes[j].tolist())) < 2 for i, j in pairs.tolist()])
if single[:2].any():
    pairs = pairs[torch.argsort(single.int(), stable=True)]
display(Markdown(f"The first pair: {escape(heldout.ids[pairs[0, 0]])} and {escape(heldout.ids[pairs[0, 1]])}."))

# %% [markdown]
# Recombining sets only makes sense if order means nothing to the decoder (Section 3.2). The next cell decodes the codes of 50 faces in latent order and shuffled, and takes the greatest difference of any pixel.

# %%
by_order = order_difference(model.decode, codes[:50], generator)
display(Markdown(f"Greatest difference: **{by_order:.0e}** (of 1). The rounding of float32 sums makes about 1e-06."))

# %% [markdown]
# ## One step by hand
#
# Here are the two sets of codes of the first pair: the codes that they share ($C_c$), and those that only one has. A path exchanges the codes of the second line for those of the third, one at a time. The order is random, for each line separately.

# %%
a, b = (set(codes[i].tolist()) for i in pairs[0])
parts = {"shared by both": a & b, "only b (the beginning)": b - a, "only a (the end)": a - b}
display(Markdown("  \n".join(f"{name}: {sorted(part)}" for name, part in parts.items())))

# %% [markdown]
# ## Two paths between two faces (Fig. 1)
#
# The figure shows two paths for each of the first two pairs. At the far left and right, framed, are the original images; between them are decoded sets of codes alone. The first and last of these are the reconstructions of the two faces.

# %%
paths, images, titles, sources, counts = [], [], [], [], []
for i, j in pairs[:2].tolist():
    for _ in range(2):
        paths.append(smooth_path(codes[i], codes[j], generator))
        images.append(decode_in_batches(model.decode, paths[-1]))
    exchanged = len(paths[-1]) - 1
    count = math.factorial(exchanged) ** 2
    counts.append({"exchanged": exchanged, "paths": count})
    digits = len(str(count)) - 1
    number = rf"${count / 10**digits:.1f} \cdot 10^{{{digits}}}$" if digits > 5 else f"{count:,}"
    titles.append(f"|R| = {exchanged} of {config.model.num_codes} codes differ: (|R|!)² = {number} paths")
    sources += [heldout.images[j], heldout.images[i]]
figure = plot_paths(images, torch.stack(sources), titles)
note = "held-out faces drawn from the seed; two random paths for each pair"
save_figure(figure, "fig1_interpolation", config, caption(config, config.train.steps, note));

# %% [markdown]
# **What to look at.** Compare the two rows of a pair: they begin and end alike and differ in between, because traits change in another order. A trait that several codes carry changes over several steps. A step may also pass through a mixture of traits that no face has. So "approximately smooth" does not mean that every image on the way is a face.
#
# The number of paths is, exactly:

# %%
lines = [f"pair {n}: ({count['exchanged']}!)² = {count['paths']:,}" for n, count in enumerate(counts, 1)]
display(Markdown("  \n".join(lines)))

# %% [markdown]
# The next cell checks that each path starts and ends at its faces' own codes, exchanges exactly one code per step and never repeats a code. It also measures how far apart the two paths of a pair run, on average over their steps, as a share of the distance between the ends.

# %%
apart = []
for n in range(0, len(paths), 2):
    i, j = pairs[n // 2].tolist()
    for path in paths[n : n + 2]:
        assert set(path[0].tolist()) == set(codes[j].tolist()) and set(path[-1].tolist()) == set(codes[i].tolist())
        rows = [set(row.tolist()) for row in path]
        assert all(len(row) == config.model.num_codes for row in rows), "a code repeats"
        assert all(len(now - before) == 1 for before, now in zip(rows, rows[1:], strict=False)), "not one code a step"
    whole = (images[n][0] - images[n][-1]).abs().mean()
    between = (images[n][1:-1] - images[n + 1][1:-1]).abs()
    apart.append(float(between.mean() / whole) if len(between) and whole else 0.0)
display(Markdown(", ".join(f"pair {n}: {value:.0%}" for n, value in enumerate(apart, 1))))

# %% [markdown]
# ## How smooth?
#
# The next cell measures, over many pairs, the L1 distance between neighbouring images of a path, and how far each image is from the first. A straight path would be as long as the distance between its ends; each detour makes it longer. For contrast, a *cross-fade* mixes the pixels of the two reconstructions. It is perfectly straight, and its middle is a double exposure. The *detail* of an image, its mean absolute difference between neighbouring pixels, tells the two apart: double exposure and blur have less than the ends.

# %%
stops = 17
t = torch.linspace(0, 1, stops)
measured = []
distances, details = {"codes": [], "pixels": []}, {"codes": [], "pixels": []}
for i, j in pairs[:50].tolist():
    decoded = decode_in_batches(model.decode, smooth_path(codes[i], codes[j], generator))
    if len(decoded) < 3 or torch.equal(decoded[0], decoded[-1]):
        continue  # nothing between the ends, or no way to go
    measured.append(path_smoothness(decoded))
    walk = decoded[(t * (len(decoded) - 1)).round().long()]
    for name, frames in {"codes": walk, "pixels": cross_fade(decoded[0], decoded[-1], stops)}.items():
        distances[name].append(path_smoothness(frames).from_start.numpy())
        detail = frames.diff(dim=3).abs().mean(dim=(1, 2, 3)) + frames.diff(dim=2).abs().mean(dim=(1, 2, 3))
        details[name].append((detail / detail[[0, -1]].mean()).numpy())
figure = plot_smoothness(*map(np.stack, distances.values()), tuple(map(np.stack, details.values())))
note = f"{len(measured)} pairs of held-out faces; median, and band from 10% to 90%"
save_figure(figure, "smoothness", config, caption(config, config.train.steps, note));

# %% [markdown]
# **What to look at.** *Left:* does the band climb evenly, or in jumps? *Right:* an image that is put together from traits keeps its contours half-way; a cross-fade does not. Values above 100% say that some middle images have more contours than either end, such as two overlaid hairlines. The table has means over the paths (of detail: medians). Paths are called smooth if their largest step is less than `SMOOTH_STEP` of the way; notebook 08 judges it.

# %%
middle = stops // 2
smoothness = {
    "pairs": len(measured),
    "mean_exchanged": float(np.mean([len(path.steps) for path in measured])),
    "step": float(np.mean([float(path.steps.mean()) for path in measured])),
    "largest_step": float(np.mean([path.largest_step for path in measured])),
    "path_length": float(np.mean([path.length for path in measured])),
    "detail_half_way": float(np.median(np.stack(details["codes"])[:, middle])),
    "detail_half_way_crossfade": float(np.median(np.stack(details["pixels"])[:, middle])),
}
rows = [
    ["codes exchanged", f"{smoothness['mean_exchanged']:.1f}"],
    ["a step, as a share of the distance between the ends", f"{smoothness['step']:.1%}"],
    ["the largest step of a path", f"{smoothness['largest_step']:.0%} (smooth below {SMOOTH_STEP:.0%})"],
    ["length of a path, in distances between the ends", f"{smoothness['path_length']:.2f}"],
    ["detail half-way, as a share of the ends'", f"{smoothness['detail_half_way']:.0%}"],
    ["detail of cross-fades half-way", f"{smoothness['detail_half_way_crossfade']:.0%}"],
]
display(pd.DataFrame(rows, columns=[f"over {len(measured)} paths", ""]).style.hide(axis="index"))

# %% [markdown]
# Here is the first pair once more: above, codes are exchanged; below, pixels are mixed.

# %%
frames = (torch.linspace(0, 1, 9) * (len(images[0]) - 1)).round().long()
rows = [images[0][frames], cross_fade(images[0][0], images[0][-1], 9)]
plot_images(torch.cat(rows), columns=9, row_labels=["codes", "pixels"]);

# %% [markdown]
# ## New faces from two parents (Algorithm 1)
#
# Algorithm 1 keeps all codes that both parents have, and fills up to $L$ with codes drawn at random from those that only one has. Each draw is another face. In the figure, the parents are held-out originals, and the framed samples between them are decoded sets.

# %%
chosen, each = pairs[2:10], 4
parents_a, parents_b = codes[chosen[:, 0]], codes[chosen[:, 1]]
mixed = interpolate(parents_a.repeat_interleave(each, 0), parents_b.repeat_interleave(each, 0), generator)
samples = decode_in_batches(model.decode, mixed).unflatten(0, (len(chosen), each))
figure = plot_samples_with_parents(heldout.images[chosen[:, 0]], samples, heldout.images[chosen[:, 1]])
note = "held-out parents drawn from the seed, four samples of each pair"
save_figure(figure, "samples_with_parents", config, caption(config, config.train.steps, note));

# %% [markdown]
# **What to look at.** Which parent does a trait come from? Chance decides how many codes a sample takes from each parent, so some samples look like one of them. The next cell counts where the codes come from, over all pairs of the set.

# %%
first, second = codes[pairs[:, 0]], codes[pairs[:, 1]]
mixed = interpolate(first, second, generator)
in_a = (mixed[:, :, None] == first[:, None, :]).any(dim=2)
in_b = (mixed[:, :, None] == second[:, None, :]).any(dim=2)
composition = {
    "both": float((in_a & in_b).float().mean()),
    "one": float((in_a ^ in_b).float().mean()),
    "from_a_least": float((in_a & ~in_b).float().mean(dim=1).min()),
    "from_a_most": float((in_a & ~in_b).float().mean(dim=1).max()),
}
assert composition["both"] + composition["one"] > 1 - 1e-6, "a code from neither parent"
display(Markdown(
    f"{composition['both']:.0%} of a sample's codes are shared by both parents, and {composition['one']:.0%} come from "
    "one of them; no code comes from neither. The share that comes from parent a alone lies between "
    f"{composition['from_a_least']:.0%} and {composition['from_a_most']:.0%} over {len(pairs):,} samples."
))

# %% [markdown]
# Notebook 06 measures how good such samples are as a whole, and whether they are new. The next cell saves the numbers of this notebook for notebooks 06 and 08. Numbers of paths are saved as text, because many JSON readers cannot hold numbers of that size.

# %%
numbers = {
    "pairs": [
        {"a": heldout.ids[i], "b": heldout.ids[j], **count, "paths": str(count["paths"]), "apart": gap}
        for (i, j), count, gap in zip(pairs[:2].tolist(), counts, apart, strict=True)
    ],
    "order_difference": by_order,
    "smoothness": smoothness,
    "composition": composition,
}
save_json(numbers | stamp(config, config.train.steps), "interpolation", config);

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, run=run.folder.name))
