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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/05_interpolation.ipynb)
#
# **Claim that is tested here.** Since codes have no places, two images can be mixed by mixing their sets of codes. "It is also possible to interpolate (approximately) smoothly from one image to another", along "multiple, equally plausible paths": $(|R|!)^2$ of them, where $|R|$ is the number of codes that only one of the two has (Sections 3.5 and 4.4, Fig. 1). The same recombination gives new images: Algorithm 1.
#
# | | |
# |---|---|
# | needs | the trained matching model (notebook 03) |
# | makes | `fig1_interpolation`, `smoothness`, `samples_with_parents`, and the numbers `interpolation.json` in `figures/<profile>/` |
# | cost | 0.4 minutes; 1.5 GB of memory |

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
# The parameters. Everything here is computed anew each time, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
force = False
device = "auto"

# %% [markdown]
# Imports, the configuration and the style of all figures.

# %%
import math

import numpy as np
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json
from pivq.figures.charts import plot_smoothness
from pivq.figures.pictures import plot_images, plot_paths, plot_samples_with_parents
from pivq.figures.style import use_style
from pivq.inference import decode_in_batches
from pivq.processes import pick_device
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import require_run
from pivq.runs.splits import load_split
from pivq.sampling import interpolate, smooth_path

config = load_config(profile, seed, data)
seed_everything(seed)
use_style()

# %% [markdown]
# The model, and the held-out faces with their codes: no step of training has seen these images. The pairs are drawn from the seed, not picked.

# %%
run = require_run(config, "matching")
model = run.model(pick_device(device))
heldout = load_split(config, "heldout")
codes = torch.from_numpy(run.codes("heldout"))
generator = torch.Generator().manual_seed(seed)
pairs = torch.randperm(len(heldout), generator=generator)[: len(heldout) // 2 * 2].reshape(-1, 2)
display(Markdown(f"The first pair: `{heldout.ids[pairs[0, 0]]}` and `{heldout.ids[pairs[0, 1]]}`."))

# %% [markdown]
# Recombining sets only makes sense if order means nothing to the decoder. On the trained model, the greatest difference of any pixel (of 1) between the codes of 50 faces in latent order and shuffled:

# %%
shuffled = torch.stack([row[torch.randperm(len(row), generator=generator)] for row in codes[:50]])
in_order, out_of_order = (decode_in_batches(model.decode, sets) for sets in (codes[:50], shuffled))
order_difference = float((out_of_order - in_order).abs().max())
display(Markdown(f"{order_difference:.0e}: the rounding of float32 sums, nothing else."))

# %% [markdown]
# ## One step by hand
#
# The two sets of codes of the first pair, what they share ($C_c$), and what only one has. A path exchanges the codes of the second line for those of the third, one at a time; in which order is chosen at random, for both lines separately.

# %%
a, b = (set(codes[i].tolist()) for i in pairs[0])
display(Markdown(f"shared by both: {sorted(a & b)}  \nonly b (the beginning): {sorted(b - a)}  \nonly a (the end): {sorted(a - b)}"))

# %% [markdown]
# ## Two paths between two faces (Fig. 1)
#
# For the first two pairs two paths each. At the far left and right, framed, the original images; between them nothing but decoded sets of codes. The first and last image of a row are the reconstructions of the two faces.

# %%
paths, images, titles, sources, counts = [], [], [], [], []
for i, j in pairs[:2].tolist():
    for _ in range(2):
        paths.append(smooth_path(codes[i], codes[j], generator))
        images.append(decode_in_batches(model.decode, paths[-1]))
    exchanged = len(paths[-1]) - 1
    counts.append({"exchanged": exchanged, "paths": math.factorial(exchanged) ** 2})
    digits = len(str(counts[-1]["paths"])) - 1
    number = rf"${counts[-1]['paths'] / 10**digits:.1f} \cdot 10^{{{digits}}}$" if digits > 5 else f"{counts[-1]['paths']:,}"
    titles.append(f"|R| = {exchanged} of {config.model.num_codes} codes differ: (|R|!)² = {number} paths")
    sources += [heldout.images[j], heldout.images[i]]
figure = plot_paths(images, torch.stack(sources), titles)
save_figure(figure, "fig1_interpolation", profile, caption(config, config.train.steps, "held-out faces drawn from the seed; two random paths for each pair"));

# %% [markdown]
# **What to look at.** Compare the two rows of a pair: they begin and end alike and differ in between, since traits change in another order. A trait that several codes carry changes over several steps; a step may also pass through a mixture that no face has, such as half a hat. That is what "approximately smooth" means here.
#
# The number of paths, exactly:

# %%
display(Markdown("  \n".join(f"pair {n}: ({count['exchanged']}!)² = {count['paths']:,}" for n, count in enumerate(counts, 1))))

# %% [markdown]
# That each path starts and ends at its faces' own codes, exchanges exactly one code a step and never repeats one is checked, and how far apart the two paths of a pair run, on average over their steps, as a share of the distance between the ends:

# %%
apart = []
for n in range(0, len(paths), 2):
    i, j = pairs[n // 2].tolist()
    for path in paths[n : n + 2]:
        assert set(path[0].tolist()) == set(codes[j].tolist()) and set(path[-1].tolist()) == set(codes[i].tolist())
        rows = [set(row.tolist()) for row in path]
        assert all(len(row) == config.model.num_codes for row in rows), "a code repeats"
        assert all(len(now - before) == 1 for before, now in zip(rows, rows[1:], strict=False)), "not one code a step"
    between = (images[n][1:-1] - images[n + 1][1:-1]).abs().mean()
    apart.append(float(between / (images[n][0] - images[n][-1]).abs().mean()))
display(Markdown(", ".join(f"pair {n}: {value:.0%}" for n, value in enumerate(apart, 1))))

# %% [markdown]
# ## How smooth?
#
# Over many pairs: the L1 distance between neighbouring images of a path, and how far the image has come from its beginning. A path that went straight would be as long as the distance between its ends; each detour makes it longer. The contrast is what pixels alone can do, a *cross-fade* of the two reconstructions. It is perfectly straight, and its middle is a double exposure. To tell the two apart, the *detail* of an image, its mean absolute difference between neighbouring pixels, is compared with that of the ends: double exposure and blur lose it.

# %%
stops = 17
t = torch.linspace(0, 1, stops)
walks, fades, walk_details, fade_details, lengths, steps, largest, exchanges = [], [], [], [], [], [], [], []
for i, j in pairs[:50].tolist():
    path = smooth_path(codes[i], codes[j], generator)
    decoded = decode_in_batches(model.decode, path)
    whole = (decoded[-1] - decoded[0]).abs().mean()
    if len(path) < 3 or not whole:
        continue
    step = (decoded[1:] - decoded[:-1]).abs().mean(dim=(1, 2, 3)) / whole
    steps.append(float(step.mean()))
    largest.append(float(step.max()))
    lengths.append(float(step.sum()))
    exchanges.append(len(step))
    walk = decoded[(t * (len(decoded) - 1)).round().long()]
    fade = torch.lerp(decoded[0], decoded[-1], t[:, None, None, None])
    for frames, far, details in ((walk, walks, walk_details), (fade, fades, fade_details)):
        far.append(((frames - decoded[0]).abs().mean(dim=(1, 2, 3)) / whole).numpy())
        detail = frames.diff(dim=3).abs().mean(dim=(1, 2, 3)) + frames.diff(dim=2).abs().mean(dim=(1, 2, 3))
        details.append((detail / detail[[0, -1]].mean()).numpy())
figure = plot_smoothness(np.stack(walks), np.stack(fades), (np.stack(walk_details), np.stack(fade_details)))
save_figure(figure, "smoothness", profile, caption(config, config.train.steps, f"{len(walks)} pairs of held-out faces; median, and band from 10% to 90%"));

# %% [markdown]
# **What to look at.** *Left:* does the band climb evenly, or in jumps? *Right:* an image put together from traits keeps its contours half-way, a cross-fade does not. Values above 100% say that some middle images have more contours than either end, such as two overlaid hairlines. In numbers:

# %%
middle = stops // 2
smoothness = {
    "pairs": len(walks),
    "mean_exchanged": float(np.mean(exchanges)),
    "step": float(np.mean(steps)),
    "largest_step": float(np.mean(largest)),
    "path_length": float(np.mean(lengths)),
    "detail_half_way": float(np.median(np.stack(walk_details)[:, middle])),
    "detail_half_way_crossfade": float(np.median(np.stack(fade_details)[:, middle])),
}
display(Markdown(
    f"One exchanged code changes the image by {smoothness['step']:.1%} of the distance between the ends on average, the largest step of a path by {smoothness['largest_step']:.0%}; "
    f"about {smoothness['mean_exchanged']:.0f} codes are exchanged, and a path is {smoothness['path_length']:.2f} times as long as the straight line. "
    f"Detail half-way: {smoothness['detail_half_way']:.0%} of the ends', cross-fades {smoothness['detail_half_way_crossfade']:.0%}. "
    + ("No single code makes most of the way: the paths are smooth in the paper's approximate sense." if smoothness["largest_step"] < 0.5
       else "A single code often makes half of the way or more: these paths are not smooth.")
))

# %% [markdown]
# The first pair once more, both ways side by side: above by codes, below by pixels.

# %%
frames = (torch.linspace(0, 1, 9) * (len(images[0]) - 1)).round().long()
fade = torch.lerp(images[0][0], images[0][-1], torch.linspace(0, 1, 9)[:, None, None, None])
plot_images(torch.cat([images[0][frames], fade]), columns=9, row_labels=["codes", "pixels"]);

# %% [markdown]
# ## New faces from two parents (Algorithm 1)
#
# Keep all codes that both parents have, and fill up to $L$ with codes drawn at random from those that only one has. Each draw is another face. Parents are held-out originals; the samples between them (framed) are decoded sets.

# %%
chosen, each = pairs[2:10], 4
parents_a, parents_b = codes[chosen[:, 0]], codes[chosen[:, 1]]
mixed = interpolate(parents_a.repeat_interleave(each, 0), parents_b.repeat_interleave(each, 0), generator)
samples = decode_in_batches(model.decode, mixed).unflatten(0, (len(chosen), each))
figure = plot_samples_with_parents(heldout.images[chosen[:, 0]], samples, heldout.images[chosen[:, 1]])
save_figure(figure, "samples_with_parents", profile, caption(config, config.train.steps, "held-out parents drawn from the seed, four samples of each pair"));

# %% [markdown]
# **What to look at.** Which parent does a trait come from? A sample takes its codes from both parents in a proportion that chance decides, so some samples look like one of them. What they are made of, over all pairs of the set:

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
    f"{composition['both']:.0%} of a sample's codes are shared by both parents, {composition['one']:.0%} come from one of them; no code comes from neither. "
    f"The share that parent a alone contributes goes from {composition['from_a_least']:.0%} to {composition['from_a_most']:.0%} over {len(pairs):,} samples."
))

# %% [markdown]
# How good such samples are as a whole, and whether they are new, is measured in notebook 06. The numbers of this notebook, for the verdict (numbers of paths as text, for they exceed what JSON readers take for a number):

# %%
numbers = {
    "pairs": [{"a": heldout.ids[i], "b": heldout.ids[j], "exchanged": count["exchanged"], "paths": str(count["paths"]), "apart": gap}
              for (i, j), count, gap in zip(pairs[:2].tolist(), counts, apart, strict=True)],
    "order_difference": order_difference,
    "smoothness": smoothness,
    "composition": composition,
}
save_json(numbers, "interpolation", profile);

# %% [markdown]
# ## Provenance
#
# What made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, run=run.folder.name))
