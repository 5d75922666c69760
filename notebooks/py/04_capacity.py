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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/04_capacity.ipynb)
#
# **Claim that is tested here.** With nearest-neighbour quantization, the codes of an image repeat: of $L = 512$ at most $K_\text{img} = 49$ differ. Matching makes all $L$ differ, "resulting in over 3.5× the effective upper limit on information capacity" (Sections 3.4 and 4.2, Fig. 4, Table 2).
#
# | | |
# |---|---|
# | needs | both trained models (notebook 03) |
# | makes | `fig4_capacity`, `table2_capacity`, `codebook_use`, `slots`, and the numbers `capacity.json` in `figures/<profile>/` |

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
from pivq.figures.code_charts import plot_capacity, plot_codebook_use, plot_slots
from pivq.figures.style import use_style
from pivq.inference import latents_in_batches
from pivq.matching import match
from pivq.processes import pick_device
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import require_run
from pivq.runs.splits import load_split
from pivq.usage import code_usage, slot_usage

config = load_config(profile, seed, data, layout=layout, on_error=on_error)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads both runs, and the codes that each gave to the training faces.

# %%
runs = {quantizer: require_run(config, quantizer) for quantizer in ("nearest", "matching")}
codes = {quantizer: run.codes("train") for quantizer, run in runs.items()}
K, L = config.model.codebook_size, config.model.num_codes
note = f"{len(codes['matching']):,} training faces"
display(Markdown(f"K = {K}, L = {L}, {note}."))

# %% [markdown]
# ## Counting, on the smallest example
#
# Take a codebook of $K = 3$ codes a, b, c and images of $L = 2$ codes. How many different representations are there? Capacity is the base-2 logarithm of that number. Everything can be listed:

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
# There are *fewer* sets without repeats than with them. Matching gains because it really uses its sets: the paper finds that with nearest quantization an image never has more than a few different codes. Eq. (2) counts only what so few codes can express: choose the $K_\text{img}$ codes of the image, then how often each occurs. Here is the number for $K_\text{img} = 2$:

# %%
by_formula, once = 2 ** nearest_bits(3, 2, 2), 2 ** multiset_bits(3, 2)
display(Markdown(f"Eq. (2) gives {by_formula:.0f}, but there are only {once:.0f} multisets."))

# %% [markdown]
# Eq. (2) counts aa once as a choice of {a, b} with no b, and once more as a choice of {a, c} with no c. So it is an upper bound. It is close where $K_\text{img}$ is far below $L$, and **above the number of all multisets** where $K_\text{img}$ comes near $L$. Remember this for our own table.

# %% [markdown]
# ## The numbers of the paper, computed again
#
# The table compares the paper's numbers with the formulas, for the paper's sizes $K = 4096$ and $L = 512$:

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
rows = [
    [claims[name].where, claims[name].text, f"{claims[name].value:g}", f"{value:,.3f}"]
    for name, value in recomputed.items()
]
display(pd.DataFrame(rows, columns=["where", "claim", "paper", "recomputed"]).style.hide(axis="index"))

# %% [markdown]
# The 614 bits of nearest quantization are the one number that the formula does not give, for any $K_\text{data}$. And the "theoretical maximum of around 2313 bits" is the number of multisets, not the maximum of Eq. (2). The rows "counted once" count each multiset with exactly $K_\text{img}$ different codes once:

# %%
distinct = range(1, l_paper + 1)
by_equation = [nearest_bits(k_paper, n, l_paper) for n in distinct]
counted_once = [exactly_distinct_bits(k_paper, n, l_paper) for n in distinct]
greatest = {
    "equation2_maximum": {"bits": max(by_equation), "codes_per_image": 1 + int(np.argmax(by_equation))},
    "exactly_distinct_maximum": {"bits": max(counted_once), "codes_per_image": 1 + int(np.argmax(counted_once))},
}
by_formula, by_count = greatest.values()
rows = [
    ["nearest: Table 2", nearest_row.codes_per_image, nearest_row.bits],
    ["nearest: Eq. (2), every code in use", nearest_row.codes_per_image, recomputed["nearest_bits"]],
    ["greatest of Eq. (2)", by_formula["codes_per_image"], by_formula["bits"]],
    ["greatest, counted once", by_count["codes_per_image"], by_count["bits"]],
    ["all multisets, counted once", None, recomputed["maximum_bits"]],
]
table = pd.DataFrame(rows, columns=["", "K_img", "bits"]).astype({"K_img": "Int64"})
display(table.style.format({"bits": "{:,.1f}"}, na_rep="any").hide(axis="index"))

# %% [markdown]
# ## What our two models do
#
# $K_\text{data}$ is the number of codes in use over the data set, and $K_\text{img}$ the greatest number of different codes in any image.

# %%
usage = {quantizer: code_usage(rows, K) for quantizer, rows in codes.items()}
figure = plot_codebook_use(codes, K)
save_figure(figure, "codebook_use", config, caption(config, config.train.steps, note));

# %% [markdown]
# Table 2 has the capacity of each model by the paper's formula, and counted once. For nearest, the latter counts all multisets of $L$ codes with at most $K_\text{img}$ different ones. For matching, Eq. (4) already counts each set once.

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
save_table(table2, "table2_capacity", config, caption(config, config.train.steps, sizes))
display(table2.style.format(precision=2).hide(axis="index"))

# %% [markdown]
# The table has the numbers that the claim is about. Nearest collapses as in the paper if its images have far fewer different codes than $L$. Where $K_\text{img}$ is near $L$, Eq. (2) counts the same multiset many times, so read the last row too: below 1, nearest repeats so rarely that the rule against repeats only takes possibilities away. By construction, matching never repeats a code.

# %%
ratio, ratio_once = bits["matching"] / bits["nearest"], once["matching"] / once["nearest"]
rows = [
    ["nearest: K_img (max) / L", nearest_row.codes_per_image / l_paper, near.max_codes_per_image / L],
    ["nearest: K_img (mean) / L", None, near.mean_codes_per_image / L],
    ["bits of matching / nearest, Eqs. (4) and (2)", recomputed["capacity_ratio"], ratio],
    ["bits of matching / nearest, counted once", None, ratio_once],
]
table = pd.DataFrame(rows, columns=["", "paper", "ours"])
display(table.style.format(precision=2, na_rep="–").hide(axis="index"))

# %% [markdown]
# ## Capacity against length (Fig. 4)
#
# The curves are the paper's figure: $K = 4096$, and for nearest $K_\text{img} = 49$ at every length (at most $L$, where $L$ is smaller). The marks are our two models at *their* sizes. Where these are not the paper's, compare the marks with each other, not with the lines.

# %%
lengths = list(range(1, l_paper + 1))
most = nearest_row.codes_per_image
curves = {
    "VQ-VAE (positional)": [positional_bits(k_paper, n) for n in lengths],
    "PI-VQ, matching": [matching_bits(k_paper, n) for n in lengths],
    f"PI-VQ, nearest\n(K_img = {most})": [nearest_bits(k_paper, min(most, n), n) for n in lengths],
}
measured = [
    (f"our nearest (K = {K}, L = {L}, K_img = {near.max_codes_per_image})", L, bits["nearest"]),
    (f"our matching (K = {K}, L = {L})", L, bits["matching"]),
]
figure = plot_capacity(lengths, curves, measured)
sources = f"curves: K = {k_paper:,}, computed; marks: our models, Eqs. (2) and (4), measured on {note}"
save_figure(figure, "fig4_capacity", config, caption(config, config.train.steps, sources));

# %% [markdown]
# **What to look at.** With positions, capacity grows in a straight line. A set of $L$ different codes loses the $\log_2 L!$ bits of their order, so its curve bends: the paper makes up for it with larger $L$ and $K$. The nearest curve is nearly flat: with 49 different codes, an image gains little from more places in which to repeat them. Its first 49 lengths are steep because there $K_\text{img} = L$, the very case in which Eq. (2) over-counts; there it runs above the matching curve.
#
# ## Which learned token uses which code
#
# Why do codes repeat, or not? Each latent comes from one learned token, a *slot*. For the decoder the set has no order, but nothing prevents the slots from dividing the codebook among themselves. In the figure, each column is a code and each row a slot:

# %%
slots = {quantizer: slot_usage(rows, K) for quantizer, rows in codes.items()}
figure, panels = plt.subplots(2, 1, figsize=(8.5, 6.2))
for axes, (quantizer, slot) in zip(panels, slots.items(), strict=True):
    plot_slots(slot.counts, quantizer, axes)
save_figure(figure, "slots", config, caption(config, config.train.steps, note));

# %% [markdown]
# How often would the other rule have decided otherwise? The next cell quantizes the latents of each trained model on the held-out faces both ways.

# %%
agreement = {}
heldout = load_split(config, "heldout").images
for quantizer, run in runs.items():
    model, same = run.model(pick_device(device)), []
    for latents in latents_in_batches(model, heldout):
        distances = model.quantizer.distances(latents)
        same.append((distances.argmin(dim=2) == match(distances)).float().mean(dim=1))
    agreement[quantizer] = float(torch.cat(same).mean())

# %% [markdown]
# The table has the share of latents for which matching and nearest choose the same code, how many codes a slot takes, and which share of all uses falls to a code's main slot. Then it compares capacities in bits: if each slot only chooses among the codes that it dominates; if each slot had $K/L$ codes; and of a free set, counted once. The last column is what these data use at most: the sum over slots of the entropy of their codes.

# %%
rows = {
    quantizer: {
        "both rules agree": agreement[quantizer],
        "uses by the main slot": slot.dominant_share,
        "codes per slot": slot.codes_per_slot,
        "bits of separate slots": slot.bits,
        "L log2(K / L)": L * np.log2(K / L),
        "bits of a free set": once[quantizer],
        "entropy of the slots": slot.entropy_bits,
    }
    for quantizer, slot in slots.items()
}
table = pd.DataFrame(rows).T.style.format(precision=2)
display(table.format("{:.1%}", subset=["both rules agree", "uses by the main slot"]))

# %% [markdown]
# **What to look at.** If nearly all uses of a code come from its main slot, the slots have divided the codebook among themselves. Then their latents rarely compete, and both rules agree. The set is a set for the decoder, but it is filled like a form with $L$ fields: its usable capacity is nearer the bits of separate slots than those of a free set. If slots share codes, matching has something to decide. Which of the two holds at the paper's scale ($L = 512$, far longer training) is an open question: the paper does not say which token uses which code.

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
    **greatest,
    "ratio": ratio,
    "ratio_counted_once": ratio_once,
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
            "slot_entropy_bits": slots[quantizer].entropy_bits,
            "agreement": agreement[quantizer],
        }
        for quantizer in runs
    },
}
save_json(numbers | stamp(config, config.train.steps), "capacity", config);

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, runs={quantizer: run.folder.name for quantizer, run in runs.items()}))
