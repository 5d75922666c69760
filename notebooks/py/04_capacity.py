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
# # 04 · How much a set of codes can hold
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/04_capacity.ipynb)
#
# **Claim that is tested here.** With nearest-neighbour quantization, the codes of an image repeat: of $L = 512$ at most $K_\text{img} = 49$ differ. Matching makes all $L$ differ, "resulting in over 3.5× the effective upper limit on information capacity" (Sections 3.4 and 4.2, Fig. 4, Table 2).
#
# | | |
# |---|---|
# | needs | both trained models (notebook 03) |
# | makes | `fig4_capacity`, `table2_capacity`, `codebook_use`, `slots`, and the numbers `capacity.json` in `figures/<profile>/` |
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
from itertools import combinations, combinations_with_replacement

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq import paper
from pivq.capacity import exactly_distinct_bits, matching_bits, multiset_bits, nearest_bits, positional_bits
from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.charts import plot_capacity, plot_codebook_use, plot_slots
from pivq.figures.style import use_style
from pivq.inference import latents_in_batches
from pivq.matching import match
from pivq.processes import pick_device
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import require_run
from pivq.runs.splits import load_split
from pivq.usage import code_usage, slot_usage

config = load_config(profile, seed, data)
seed_everything(seed)
use_style()

# %% [markdown]
# Both runs, and the codes that each gave to the training faces.

# %%
runs = {quantizer: require_run(config, quantizer) for quantizer in ("nearest", "matching")}
codes = {quantizer: run.codes("train") for quantizer, run in runs.items()}
K, L = config.model.codebook_size, config.model.num_codes
note = f"{len(codes['matching']):,} training faces"
display(Markdown(f"K = {K}, L = {L}, {note}."))

# %% [markdown]
# ## Counting, on the smallest example
#
# A codebook of $K = 3$ codes a, b, c and images of $L = 2$ codes. How many different representations are there? Capacity is the logarithm of that number. Everything can be listed:

# %%
letters = "abc"
lists = {
    "with positions": [first + second for first in letters for second in letters],
    "without order, repeats allowed": ["".join(pair) for pair in combinations_with_replacement(letters, 2)],
    "without order, no repeats": ["".join(pair) for pair in combinations(letters, 2)],
}
formulas = {
    "with positions": ("K^L (VQ-VAE, VQ-GAN)", positional_bits(3, 2)),
    "without order, repeats allowed": ("C(K + L − 1, L), multisets", multiset_bits(3, 2)),
    "without order, no repeats": ("C(K, L), Eq. (4), matching", matching_bits(3, 2)),
}
table = pd.DataFrame(
    [[name, " ".join(items), len(items), formulas[name][0], formulas[name][1]] for name, items in lists.items()],
    columns=["the codes of an image", "all of them", "number", "formula", "bits"],
)
assert all(round(2**bits) == number for bits, number in zip(table["bits"], table["number"], strict=True))
display(table.style.format({"bits": "{:.2f}"}).hide(axis="index"))

# %% [markdown]
# Matching holds *fewer* sets than repeats would allow. What it gains is that it really uses them: the paper finds that with nearest quantization an image never has more than a few different codes, and Eq. (2) counts only what can be made of so few: choose the $K_\text{img}$ codes of the image, then how often each occurs. Here with $K_\text{img} = 2$:

# %%
by_formula, once = 2 ** nearest_bits(3, 2, 2), 2 ** multiset_bits(3, 2)
display(Markdown(
    f"Eq. (2) gives {by_formula:.0f}, but there are only {once:.0f}. It counts aa once as a choice of {{a, b}} with no b, and once more "
    "as a choice of {a, c} with no c. So it is an upper bound; it is close where $K_\\text{img}$ is far below $L$, and **above the "
    "number of all multisets** where $K_\\text{img}$ comes near $L$. Keep this in mind for our own table."
))

# %% [markdown]
# ## The numbers of the paper, computed again
#
# For the paper's sizes, $K = 4096$ and $L = 512$, all of its numbers follow from the formulas, or do not:

# %%
k_paper, l_paper = paper.CODEBOOK_SIZE, paper.NUM_CODES
nearest_row, matching_row = paper.TABLE2
recomputed = {
    "matching_bits": matching_bits(k_paper, l_paper),
    "nearest_bits": nearest_bits(k_paper, nearest_row.codes_per_image, l_paper),
    "maximum_bits": multiset_bits(k_paper, l_paper),
    "vqgan_bits": positional_bits(paper.VQGAN_CODEBOOK_SIZE, paper.VQGAN_NUM_CODES),
}
recomputed["capacity_ratio"] = recomputed["matching_bits"] / recomputed["nearest_bits"]
claims = {claim.id: claim for claim in paper.CLAIMS}
table = pd.DataFrame(
    [[claims[name].where, claims[name].text, f"{claims[name].value:g}", f"{value:,.3f}"] for name, value in recomputed.items()],
    columns=["where", "claim", "paper", "recomputed"],
)
display(table.style.hide(axis="index"))

# %% [markdown]
# The 614 bits of nearest quantization are the one number that the formula does not give, whatever $K_\text{data}$ is. And the "theoretical maximum of around 2313 bits" is the number of multisets, not the maximum of Eq. (2):

# %%
distinct = range(1, l_paper + 1)
by_equation = [nearest_bits(k_paper, n, l_paper) for n in distinct]
counted_once = [exactly_distinct_bits(k_paper, n, l_paper) for n in distinct]
display(Markdown(
    f"- Table 2 says {nearest_row.bits} bits; Eq. (2) with K_img = {nearest_row.codes_per_image} gives at most {recomputed['nearest_bits']:.1f} (every code in use).  \n"
    f"- Eq. (2) is greatest at K_img = {1 + int(np.argmax(by_equation))}: {max(by_equation):,.1f} bits, which no set of {l_paper} codes can hold. Counted once each, multisets with exactly K_img "
    f"different codes are most numerous at K_img = {1 + int(np.argmax(counted_once))}: {max(counted_once):,.1f} bits; all multisets together: {recomputed['maximum_bits']:,.1f}."
))

# %% [markdown]
# ## What our two models do
#
# $K_\text{data}$ is the number of codes in use over the data set, $K_\text{img}$ the greatest number of different codes in any image.

# %%
usage = {quantizer: code_usage(rows, K) for quantizer, rows in codes.items()}
figure = plot_codebook_use(codes, K)
save_figure(figure, "codebook_use", profile, caption(config, config.train.steps, note));

# %% [markdown]
# The capacity of each by the paper's formula, and counted once: for nearest, all multisets of $L$ codes with at most $K_\text{img}$ different ones; for matching, Eq. (4) counts each set once as it is.

# %%
near, matched = usage["nearest"], usage["matching"]
bits = {
    "nearest": nearest_bits(near.codes_in_use, near.max_codes_per_image, L),
    "matching": matching_bits(matched.codes_in_use, L),
}
exact = [exactly_distinct_bits(near.codes_in_use, n, L) for n in range(1, near.max_codes_per_image + 1)]
once = {"nearest": float(np.logaddexp2.reduce(exact)), "matching": bits["matching"]}
table2 = pd.DataFrame(
    {
        "quantization": [row.quantizer for row in paper.TABLE2],
        "paper: K_img (max)": [row.codes_per_image for row in paper.TABLE2],
        "paper: bits": [row.bits for row in paper.TABLE2],
        "paper's sizes, recomputed": [recomputed[f"{row.quantizer}_bits"] for row in paper.TABLE2],
        "ours: K_img (max)": [usage[row.quantizer].max_codes_per_image for row in paper.TABLE2],
        "ours: K_img (mean)": [usage[row.quantizer].mean_codes_per_image for row in paper.TABLE2],
        "ours: K_data": [usage[row.quantizer].codes_in_use for row in paper.TABLE2],
        "ours: bits, Eq. (2) / (4)": [bits[row.quantizer] for row in paper.TABLE2],
        "ours: bits, each counted once": [once[row.quantizer] for row in paper.TABLE2],
    }
)
sizes = f"paper: CelebA-HQ, K = {k_paper}, L = {l_paper}; ours: K = {K}, L = {L}, {note}"
save_table(table2, "table2_capacity", profile, caption(config, config.train.steps, sizes))
display(table2.style.format(precision=2).hide(axis="index"))

# %% [markdown]
# What that says about the claim (this text is written from the numbers above):

# %%
ratio, repeats = bits["matching"] / bits["nearest"], 1 - near.mean_codes_per_image / L
texts = []
if near.max_codes_per_image < L / 2:
    texts.append(f"Nearest repeats its codes as in the paper: no image has more than {near.max_codes_per_image} different codes of {L}.")
elif repeats > 0.1:
    texts.append(f"Nearest repeats codes, less than in the paper: {repeats:.0%} of an image's codes are repeats on average, and the richest image has {near.max_codes_per_image} different ones of {L}.")
else:
    texts.append(f"**Nearest does not collapse here**: {near.mean_codes_per_image:.2f} of {L} codes are different in an average image, at most {near.max_codes_per_image}. In the paper it is at most {nearest_row.codes_per_image} of {l_paper}.")
if ratio > 1:
    texts.append(f"Matching holds {ratio:.2f} times the bits of nearest by the paper's formulas (paper: {recomputed['capacity_ratio']:.2f}).")
else:
    texts.append(
        f"By the paper's formulas nearest then comes out *above* matching, {bits['nearest']:.1f} against {bits['matching']:.1f} bits. That is no merit of nearest: "
        f"where K_img is near L, Eq. (2) counts the same multiset many times. Counted once, it is {once['nearest']:.1f} bits."
    )
if once["nearest"] > once["matching"]:
    texts.append("That is still more than matching: where an image may fill its set with different codes anyway, the rule against repeats only takes possibilities away.")
    texts.append("So the claim that matching *raises* capacity is **not reproduced at this scale**. What holds by construction, and is measured, is that matching never repeats a code.")
elif ratio <= 1:
    texts.append("Counted once, matching holds more.")
display(Markdown("  \n".join(f"- {text}" for text in texts)))

# %% [markdown]
# ## Capacity against length (Fig. 4)
#
# The paper's figure: $K = 4096$, and for nearest $K_\text{img} = 49$ at every length (at most $L$, where $L$ is smaller). The marks are our two models at *their* sizes, which are far smaller than the curves': compare the marks with each other, not with the lines.

# %%
lengths = list(range(1, l_paper + 1))
curves = {
    "VQ-VAE (positional)": [positional_bits(k_paper, n) for n in lengths],
    "PI-VQ, matching": [matching_bits(k_paper, n) for n in lengths],
    f"PI-VQ, nearest\n(K_img = {nearest_row.codes_per_image})": [nearest_bits(k_paper, min(nearest_row.codes_per_image, n), n) for n in lengths],
}
measured = [
    (f"our nearest (K = {K}, L = {L}, K_img = {near.max_codes_per_image})", L, bits["nearest"]),
    (f"our matching (K = {K}, L = {L})", L, bits["matching"]),
]
figure = plot_capacity(lengths, curves, measured)
save_figure(figure, "fig4_capacity", profile, caption(config, config.train.steps, f"curves: K = {k_paper:,}, computed; marks: our models, Eqs. (2) and (4), measured on {note}"));

# %% [markdown]
# **What to look at.** With positions, capacity grows with a straight line. A set of $L$ different codes loses the $\log_2 L!$ bits of their order, so its curve bends: the paper makes up for it with larger $L$ and $K$. The nearest curve is nearly flat, for with 49 different codes an image gains little from more places to repeat them in. Its first 49 lengths are steep because there $K_\text{img} = L$, the very case in which Eq. (2) over-counts; there it runs above the matching curve.
#
# ## Which learned token uses which code
#
# Why do codes (not) repeat? Each latent comes from one learned token, a *slot*. For the decoder the set has no order, but nothing keeps the slots from dividing the codebook among themselves. Each column is a code, each row a slot:

# %%
slots = {quantizer: slot_usage(rows, K) for quantizer, rows in codes.items()}
figure, panels = plt.subplots(2, 1, figsize=(8.5, 6.2))
for axes, (quantizer, slot) in zip(panels, slots.items(), strict=True):
    plot_slots(slot.counts, quantizer, axes)
save_figure(figure, "slots", profile, caption(config, config.train.steps, note));

# %% [markdown]
# In numbers: how many codes a slot takes, how much of all use falls to a code's main slot, and what capacity remains if each slot only chooses among the codes that it dominates. The last column is what these data use at most: the sum over slots of the entropy of their codes.

# %%
rows = []
for quantizer, slot in slots.items():
    shares = slot.counts / slot.counts.sum(axis=1, keepdims=True)
    entropy = float(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum())
    rows.append([quantizer, slot.dominant_share, slot.codes_per_slot, slot.bits, L * np.log2(K / L), once[quantizer], entropy])
names = ["quantization", "uses by the main slot", "codes a slot", "bits of separate slots", "L log2(K / L)", "bits of a free set", "entropy of the slots"]
by_slot = pd.DataFrame(rows, columns=names)
display(by_slot.style.format(precision=2).format({"uses by the main slot": "{:.1%}"}).hide(axis="index"))

# %% [markdown]
# And how often would the other rule have decided otherwise? The latents of each trained model on the held-out faces are quantized both ways.

# %%
agreement = {}
heldout = load_split(config, "heldout").images
for quantizer, run in runs.items():
    model, same = run.model(pick_device(device)), []
    for latents in latents_in_batches(model, heldout):
        distances = model.quantizer.distances(latents)
        same.append((distances.argmin(dim=2) == match(distances)).float().mean(dim=1))
    agreement[quantizer] = float(torch.cat(same).mean())
display(Markdown(f"Matching and nearest choose the same code for **{agreement['matching']:.1%}** of the latents of the matching model, and for {agreement['nearest']:.1%} of those of the nearest model ({len(heldout):,} faces)."))

# %% [markdown]
# What follows (again written from the numbers):

# %%
share = slots["matching"].dominant_share
lost = once["matching"] - slots["matching"].bits
if share > 0.9:
    text = (
        f"{share:.1%} of all uses of a code come from one slot. The slots have divided the codebook among themselves, about {slots['matching'].codes_per_slot:.1f} codes each, "
        f"so their latents rarely compete, and matching agrees with nearest on {agreement['matching']:.1%} of them. The set is a set for the decoder, but it is filled like a form with {L} fields: "
        f"the usable capacity is nearer {slots['matching'].bits:.0f} bits than the {once['matching']:.0f} of Eq. (4), {lost:.0f} fewer."
    )
else:
    text = (
        f"{share:.1%} of all uses of a code come from its main slot, so slots share codes, and matching has something to decide: "
        f"it differs from nearest for {1 - agreement['matching']:.1%} of the latents."
    )
display(Markdown(text + " Whether this is so at the paper's scale (L = 512, far longer training) is an open question: its text does not say which token uses which code."))

# %% [markdown]
# ## The numbers, for the verdict
#
# Notebook 08 reads them from here.

# %%
numbers = {
    "K": K,
    "L": L,
    "images": len(codes["matching"]),
    "paper_recomputed": recomputed,
    "equation2_maximum": {"bits": max(by_equation), "codes_per_image": 1 + int(np.argmax(by_equation))},
    "exactly_distinct_maximum": {"bits": max(counted_once), "codes_per_image": 1 + int(np.argmax(counted_once))},
    "ratio": ratio,
    "ratio_counted_once": once["matching"] / once["nearest"],
    "positional_bits": positional_bits(K, L),
    "multiset_bits": multiset_bits(K, L),
    "models": {
        quantizer: {
            "codes_in_use": usage[quantizer].codes_in_use,
            "max_codes_per_image": usage[quantizer].max_codes_per_image,
            "mean_codes_per_image": usage[quantizer].mean_codes_per_image,
            "bits": bits[quantizer],
            "bits_counted_once": once[quantizer],
            "slot_dominant_share": slots[quantizer].dominant_share,
            "slot_codes": slots[quantizer].codes_per_slot,
            "slot_bits": slots[quantizer].bits,
            "slot_entropy_bits": float(by_slot.set_index("quantization").loc[quantizer, "entropy of the slots"]),
            "agreement": agreement[quantizer],
        }
        for quantizer in runs
    },
}
save_json(numbers, "capacity", profile);

# %% [markdown]
# ## Provenance
#
# What made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, runs={quantizer: run.folder.name for quantizer, run in runs.items()}))
