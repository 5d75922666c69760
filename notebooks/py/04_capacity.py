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
# **Claim that is tested here.** With nearest-neighbour quantization, the codes of an image repeat: of $L = 512$ at most $K_\text{img} = 49$ differ. Matching makes all $L$ differ, "resulting in over 3.5× the effective upper limit on information capacity" (Sections 3.4 and 4.2, Fig. 4, Table 2). Two kinds of tokens are measured side by side: *learned* ones, as the paper has them, and, where the profile trains them, ones *drawn* anew for every image, our variant ([notebook 09](09_when_codes_compete.ipynb)). The control is the untrained encoder.
#
# **Afterwards you can**
#
# - derive Eqs. (2) and (4), and check both by listing everything on a small example;
# - say what the order of the codes would be worth, in bits, at any size;
# - tell the codes that a set *could* hold from those that a trained model uses;
# - find the flaw in Eq. (2), and count without it.
#
# Read with it: Sections 3.4, 4.1 and 4.2 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the trained models ([notebook 03](03_train.ipynb)); the stored study of [notebook 09](09_when_codes_compete.ipynb), if there is one |
# | makes | `fig4_capacity`, `table2_capacity`, `codebook_use`, `slots`, and the numbers `capacity.json` in `figures/<profile>/` |

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
device = "auto"

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
from math import comb, factorial, log2

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from pivq import paper
from pivq.capacity import (
    exactly_distinct_bits,
    matching_bits,
    multiset_bits,
    nearest_bits,
    positional_bits,
)
from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.code_charts import plot_capacity, plot_codebook_use, plot_slots
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.figures.teaching import plot_cost_of_order
from pivq.inference import encode_images
from pivq.processes import pick_device
from pivq.runs.competition import capacity, effect_of_draw, stored_study
from pivq.runs.models import require_models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.splits import load_split
from pivq.runs.teaching.counting import cost_of_order, overcount, representations
from pivq.runs.teaching.exercises import check_multisets, check_order_bites, check_set_bits
from pivq.runs.untrained import untrained_model
from pivq.storage.paths import stored_file
from pivq.usage import code_usage, slot_usage

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads the runs, and the codes that each gave to the training faces.

# %%
runs = require_models(config)
codes = {label: run.codes("train") for label, run in runs.items()}
sizes = {label: run.config.model for label, run in runs.items()}
kinds = {label.partition(", ")[0]: run.config for label, run in runs.items()}
K, L = config.model.codebook_size, config.model.num_codes
note = f"{len(codes['learned, matching']):,} training faces"
lines = [
    f"{kind} tokens: K = {of.model.codebook_size}, L = {of.model.num_codes}"
    for kind, of in kinds.items()
]
display(Markdown("  \n".join([*lines, f"Codes of {note}."])))

# %% [markdown]
# ## Counting, on the smallest example
#
# An image that can be any of $N$ representations carries at most $\log_2 N$ bits: its **capacity**. So capacity is counting. Take a codebook of $K$ codes, written as letters, and images of $L$ codes. With positions, every place has $K$ choices. Without order, an image is a *multiset* if codes may repeat, and a *set* if they may not:
#
# $$N_\text{positions} = K^L, \qquad N_\text{multisets} = \binom{K + L - 1}{L}, \qquad N_\text{sets} = \binom{K}{L} = \frac{K!}{L!\,(K - L)!}.$$
#
# The last is the paper's capacity of matching, with the $K_\text{data}$ codes that the data set uses in place of $K$:
#
# $$B = \log_2 \binom{K_\text{data}}{L} \text{ bits}. \tag{4}$$
#
# The next cell lists everything. Change the letters or the length.

# %%
letters, length = "abc", 2
display(styled(representations(letters, length)))

# %% [markdown]
# There are *fewer* sets than multisets. Matching can gain only where nearest leaves most of its multisets unused: the paper finds that with nearest quantization an image never has more than a few different codes. Eq. (2) counts only what so few codes can express: choose the $K_\text{img}$ codes of the image, then how often each occurs.
#
# $$B = \log_2 \left[ \binom{K_\text{data}}{K_\text{img}} \times \binom{L + K_\text{img} - 1}{K_\text{img} - 1} \right] \text{ bits}. \tag{2}$$
#
# The next cell compares it with the list, for as many different codes per image as there can be.

# %%
display(Markdown(overcount(letters, length)))

# %% [markdown]
# Where a count is too large, it is because Eq. (2) chooses the codes first, and a multiset that uses only some of the chosen ones belongs to several choices: *aa* to every pair of codes that holds *a*. So Eq. (2) is an upper bound. It is close where $K_\text{img}$ is far below $L$, and **above the number of all multisets** where $K_\text{img}$ comes near $L$. Remember this for our own table.
#
# ## What the order is worth
#
# $L$ different codes can stand in $L!$ orders, and a set does not know which. So of the $L \log_2 K$ bits that the same codes would hold with positions, a set gives up $\log_2 L!$; matching gives up a little more, because no code may repeat:
#
# $$\underbrace{L \log_2 K}_{\text{with positions}} = \underbrace{\log_2 \tbinom{K}{L}}_{\text{a set keeps}} + \underbrace{\log_2 L!}_{\text{the order}} + \underbrace{L \log_2 K - \log_2 \tfrac{K!}{(K - L)!}}_{\text{repeats}}.$$
#
# The figure has the three parts for the models of this profile and for the paper's sizes.

# %%
budgets = {
    f"{kind} tokens:\nK = {of.model.codebook_size}, L = {of.model.num_codes}":
        cost_of_order(of.model.codebook_size, of.model.num_codes)
    for kind, of in kinds.items()
}
ours = {(of.model.codebook_size, of.model.num_codes) for of in kinds.values()}
for size, places in sorted({(512, 32), (paper.CODEBOOK_SIZE, paper.NUM_CODES)} - ours):
    budgets[f"the paper:\nK = {size:,}, L = {places}"] = cost_of_order(size, places)
plot_cost_of_order(budgets);

# %% [markdown]
# **What to look at.** With $K = 512$ and $L = 32$, order would be worth 118 of 288 bits; at the paper's larger size, well over half. The loss is the price of mixing images by mixing sets. The paper pays it back with larger $K$ and $L$: 2,221 bits for its set of 512 codes, where a VQ-GAN with 256 codes in places has 2,560.

# %% [markdown]
# ## The numbers of the paper, computed again
#
# Here are the paper's numbers next to what its formulas give, for its sizes $K = 4096$ and $L = 512$. One of them does not match.

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
paper_once = {
    quantizer: capacity(quantizer, k_paper, nearest_row.codes_per_image, l_paper)[
        "bits_counted_once"
    ]
    for quantizer in ("nearest", "matching")
}
claims = {claim.id: claim for claim in paper.CLAIMS}
rows = [
    [claims[name].where, claims[name].text, f"{claims[name].value:,g}", f"{value:,.1f}"]
    if claims[name].value > 10
    else [claims[name].where, claims[name].text, f"{claims[name].value:g}", f"{value:.2f}"]
    for name, value in recomputed.items()
]
display(styled(pd.DataFrame(rows, columns=["where", "claim", "paper", "recomputed"])))

# %% [markdown]
# The 614 bits of nearest quantization are the one number that the formula does not give, for any $K_\text{data}$. And the "theoretical maximum of around 2313 bits" is the number of multisets, not the maximum of Eq. (2). The rows "counted once" count each multiset once: with exactly $K_\text{img}$ different codes there are $\binom{K_\text{data}}{K_\text{img}} \binom{L - 1}{K_\text{img} - 1}$, because each of them is used at least once.

# %%
distinct = range(1, l_paper + 1)
by_equation = [nearest_bits(k_paper, n, l_paper) for n in distinct]
counted_once = [exactly_distinct_bits(k_paper, n, l_paper) for n in distinct]
greatest = {
    "equation2_maximum": {
        "bits": max(by_equation),
        "codes_per_image": 1 + int(np.argmax(by_equation)),
    },
    "exactly_distinct_maximum": {
        "bits": max(counted_once),
        "codes_per_image": 1 + int(np.argmax(counted_once)),
    },
}
by_formula, by_count = greatest.values()
rows = [
    ["nearest: Table 2", nearest_row.codes_per_image, nearest_row.bits],
    [
        "nearest: Eq. (2), every code in use",
        nearest_row.codes_per_image,
        recomputed["nearest_bits"],
    ],
    ["nearest: the same, counted once", nearest_row.codes_per_image, paper_once["nearest"]],
    ["greatest of Eq. (2)", by_formula["codes_per_image"], by_formula["bits"]],
    ["greatest, counted once", by_count["codes_per_image"], by_count["bits"]],
    ["all multisets, counted once", None, recomputed["maximum_bits"]],
]
table = pd.DataFrame(rows, columns=["", "K_img", "bits"]).astype({"K_img": "Int64"})
display(styled(table, {"bits": "{:,.1f}"}, na_rep="any"))

# %% [markdown]
# ## What our models do
#
# $K_\text{data}$ is the number of codes in use over the data set, and $K_\text{img}$ the greatest number of different codes in any image, as in the paper's Table 2. The figure has the codes of each model by frequency, on a logarithmic scale, and a histogram of the distinct codes of an image; a vertical line stands for a model whose images all have equally many. The dotted line is the limit of matching, which uses a code at most once per image; a code above it must be repeated within images. Two quantizers that are one model are drawn once.

# %%
usage = {label: code_usage(rows, sizes[label].codebook_size) for label, rows in codes.items()}
same = bool((codes["learned, nearest"] == codes["learned, matching"]).all())
names = {label: label for label in codes}  # of what is drawn: one model once
if same:
    names["learned, matching"] = "learned, both quantizers (one model)"
    del names["learned, nearest"]
figure = plot_codebook_use(
    {name: codes[label] for label, name in names.items()},
    {name: sizes[label].codebook_size for label, name in names.items()},
)
save_figure(figure, "codebook_use", config, caption(config, config.train.steps, note));

# %% [markdown]
# Table 2 has the capacity of each model by the paper's formula, and with each representation counted once: for nearest all multisets of $L$ codes with at most $K_\text{img}$ different ones; for matching all sets, which Eq. (4) counts once already. Each kind of tokens has its own $L$, so compare nearest with matching of the same kind.

# %%
bits = {
    label: capacity(
        runs[label].quantizer, of.codes_in_use, of.max_codes_per_image, sizes[label].num_codes
    )
    for label, of in usage.items()
}
formula = {"nearest": "bits_equation_2", "matching": "bits_equation_4"}
reported = {row.quantizer: row for row in paper.TABLE2}
rows = []
for label in sorted(
    runs, key=lambda label: (label.startswith("drawn"), label.endswith("matching"))
):
    (tokens, quantizer), of = label.split(", "), usage[label]
    theirs = reported[quantizer] if tokens == "learned" else None
    rows.append(
        {
            "tokens": tokens,
            "quantization": quantizer,
            "paper: K_img (max)": theirs and theirs.codes_per_image,
            "paper: bits": theirs and theirs.bits,
            "paper's sizes, recomputed": theirs and recomputed[f"{quantizer}_bits"],
            "paper's sizes, counted once": theirs and paper_once[quantizer],
            "ours: L": sizes[label].num_codes,
            "ours: K_img (max)": of.max_codes_per_image,
            "ours: K_img (mean)": of.mean_codes_per_image,
            "ours: K_data": of.codes_in_use,
            "ours: bits, Eq. (2) / (4)": bits[label][formula[quantizer]],
            "ours: bits, each counted once": bits[label]["bits_counted_once"],
        }
    )
table2 = pd.DataFrame(rows).astype({"paper: K_img (max)": "Int64"})
about = f"paper: CelebA-HQ, learned tokens, K = {k_paper}, L = {l_paper}; ours: K = {K}, {note}"
save_table(table2, "table2_capacity", config, caption(config, config.train.steps, about))
display(styled(table2, precision=1, thousands=",", na_rep="–"))

# %% [markdown]
# The table has the numbers that the claim is about. Nearest collapses as in the paper if its images have far fewer different codes than $L$. Where $K_\text{img}$ is near $L$, Eq. (2) counts the same multiset many times, so read the last row too: below 1, nearest repeats so rarely that the rule against repeats only takes possibilities away. By construction, matching never repeats a code.

# %%
ratios = {
    kind: {
        "ratio": bits[f"{kind}, matching"]["bits_equation_4"]
        / bits[f"{kind}, nearest"]["bits_equation_2"],
        "ratio_counted_once": bits[f"{kind}, matching"]["bits_counted_once"]
        / bits[f"{kind}, nearest"]["bits_counted_once"],
    }
    for kind in kinds
}
near = {kind: usage[f"{kind}, nearest"] for kind in kinds}
lengths = {kind: of.model.num_codes for kind, of in kinds.items()}
once_in_paper = paper_once["matching"] / paper_once["nearest"]
rows = [
    [
        "nearest: K_img (max) / L",
        nearest_row.codes_per_image / l_paper,
        *(near[kind].max_codes_per_image / lengths[kind] for kind in kinds),
    ],
    [
        "nearest: K_img (mean) / L",
        None,
        *(near[kind].mean_codes_per_image / lengths[kind] for kind in kinds),
    ],
    [
        "bits of matching / nearest, Eqs. (4) and (2)",
        recomputed["capacity_ratio"],
        *(of["ratio"] for of in ratios.values()),
    ],
    [
        "bits of matching / nearest, counted once",
        once_in_paper,
        *(of["ratio_counted_once"] for of in ratios.values()),
    ],
]
columns = ["", "paper", *(f"ours, {kind} tokens" for kind in kinds)]
display(styled(pd.DataFrame(rows, columns=columns), precision=2, na_rep="–"))

# %% [markdown]
# ## Already so before training?
#
# Is what the table shows learned? The next cell takes encoders with their first random weights, fits a codebook to their latents, and quantizes held-out faces to the nearest codes, as [notebook 02](02_matching_quantization.ipynb) does. Drawn tokens are drawn anew for every image here, as in training.

# %%
device = pick_device(device)
train, heldout = load_split(config, "train"), load_split(config, "heldout")
some = heldout.images[:500]
before, rows = {}, []
for kind, of in kinds.items():
    model = untrained_model(of, train.images, "nearest", device)
    of_draw = effect_of_draw(model, some)
    first = encode_images(model, train.images[:2000])
    before[kind] = {
        "codes_in_use": code_usage(first, of.model.codebook_size).codes_in_use,
        "mean_codes_per_image": of_draw["mean_codes_per_image_drawn"],
        "agreement": of_draw["agreement"],
        "slot_dominant_share": slot_usage(first, of.model.codebook_size).dominant_share,
        "slot_dominant_share_redrawn": of_draw["dominant_share"],
    }
    different = before[kind]["mean_codes_per_image"], near[kind].mean_codes_per_image
    rows.append([kind, *different, lengths[kind]])
columns = ["tokens", "different codes per image, untrained", "the same, trained", "L"]
display(styled(pd.DataFrame(rows, columns=columns), precision=1))

# %% [markdown]
# **What to look at.** Where the mean is $L$, nearest repeats no code, and matching has nothing to decide. Where it is so in both columns, training has nothing to do with it ([notebook 02](02_matching_quantization.ipynb)). Where only the trained model repeats codes, training makes latents compete.

# %% [markdown]
# ## Capacity against length (Fig. 4)
#
# The curves are the paper's figure: $K = 4096$, and for nearest $K_\text{img} = 49$ at every length (at most $L$, where $L$ is smaller). The dashed curve counts each multiset of nearest once; the shaded region above it is what Eq. (2) counts too much. The large marks are our models, the small ones the study of [notebook 09](09_when_codes_compete.ipynb), all at *their* sizes and each representation counted once. Where these are not the paper's, compare the marks with each other, not with the lines. Marks of the study at the same $L$ can differ in $K$ ([notebook 09](09_when_codes_compete.ipynb) lists them).

# %%
places = list(range(1, l_paper + 1))
most = nearest_row.codes_per_image
curves = {
    "VQ-VAE (positional)": [positional_bits(k_paper, n) for n in places],
    "PI-VQ, matching": [matching_bits(k_paper, n) for n in places],
    f"PI-VQ, nearest\n($K_\\mathrm{{img}}$ = {most})": [
        nearest_bits(k_paper, min(most, n), n) for n in places
    ],
    "nearest, counted once": [
        capacity("nearest", k_paper, min(most, n), n)["bits_counted_once"] for n in places
    ],
}
measured = [
    (
        rf"{label} ($K_\mathrm{{img}}$ = {usage[label].max_codes_per_image})",
        sizes[label].num_codes,
        of["bits_counted_once"],
    )
    for label, of in bits.items()
]
study = stored_study(profile, seed) if stored_file("competition", profile, seed).exists() else []
small = []
for label in [
    f"{kind}, {quantizer}" for kind in ("learned", "drawn") for quantizer in ("matching", "nearest")
]:
    rows = [
        row
        for row in study
        if f"{row['variation']}, {row['quantizer']}" == label and row["bits_counted_once"]
    ]
    if rows:
        small.append(
            (
                f"study: {label}",
                [row["L"] for row in rows],
                [row["bits_counted_once"] for row in rows],
            )
        )
figure = plot_capacity(places, curves, measured, small=small)
about = f"curves: K = {k_paper:,}, computed; marks: our models, counted once, measured on {note}"
about += "; marks of the study: outside of the enlarged part"
save_figure(figure, "fig4_capacity", config, caption(config, config.train.steps, about));

# %% [markdown]
# **What to look at.** With positions, capacity grows in a straight line. A set of $L$ different codes loses the $\log_2 L!$ bits of their order, so its curve bends: the paper makes up for it with larger $L$ and $K$. The nearest curve is nearly flat: with 49 different codes, an image gains little from more places in which to repeat them. Its first 49 lengths are steep because there $K_\text{img} = L$, the very case in which Eq. (2) over-counts; there it runs above the matching curve, and counted once, it is above only because there are more multisets than sets.
#
# ## Which token uses which code
#
# Why do codes repeat, or not? Each latent comes from one token. For the decoder the set has no order, but nothing prevents a learned token from using codes of its own. In the figure, each column is a code and each row a token. Drawn tokens are one fixed draw here, the one that the model uses after training.

# %%
slots = {label: slot_usage(rows, sizes[label].codebook_size) for label, rows in codes.items()}
figure, axes = plt.subplots(len(names), 1, figsize=(8.5, 2.8 * len(names)), squeeze=False)
for panel, (label, name) in zip(axes.flat, names.items(), strict=True):
    plot_slots(slots[label].counts, name, panel)
save_figure(figure, "slots", config, caption(config, config.train.steps, note));

# %% [markdown]
# How often would the other rule have decided otherwise? The next cell quantizes the latents of held-out faces both ways with each trained model. For the models that draw tokens, it also draws others: how much of the codes and the pictures comes from the draw?

# %%
effects = {label: effect_of_draw(run.model(device), some) for label, run in runs.items()}

# %% [markdown]
# The *main token* of a code is the one that uses it most. The table has
#
# - the share of latents for which matching and nearest choose the same code;
# - the share of all uses that falls to a code's main token, with the tokens of the encoder, and with tokens drawn anew for every image;
# - how many codes a token takes;
# - capacities in bits: if each token only chooses among the codes of which it is the main token; if each token had $K/L$ codes; and of a free set, counted once;
# - the entropy $\sum_l H_l$ with $H_l = -\sum_k p_{lk} \log_2 p_{lk}$, where $p_{lk}$ is the share of images in which token $l$ takes code $k$: the most that these data use. If it exceeds the bits of a free set, it counts an order that a set does not keep;
# - the effect of another draw of the tokens: codes that stay, and the mean absolute difference of the pictures.

# %%
even = {
    label: of.num_codes * np.log2(of.codebook_size / of.num_codes) for label, of in sizes.items()
}
table = pd.DataFrame(
    {
        label: {
            "both rules agree": f"{effects[label]['agreement']:.1%}",
            "uses by the main token": f"{of.dominant_share:.1%}",
            "– tokens drawn anew": f"{effects[label]['dominant_share']:.1%}",
            "codes per token": f"{of.codes_per_slot:.1f}",
            "bits of separate tokens": f"{of.bits:.1f}",
            "L log2(K / L)": f"{even[label]:.1f}",
            "bits of a free set, counted once": f"{bits[label]['bits_counted_once']:.1f}",
            "entropy of the tokens": f"{of.entropy_bits:.1f}",
            "another draw: same codes": f"{effects[label]['draw_codes']:.1%}",
            "another draw: difference of pictures": f"{effects[label]['draw_pixels']:.4f}",
        }
        for label, of in slots.items()
    }
)
display(styled(table, index=True))

# %% [markdown]
# **What to look at.** If nearly all uses of a code come from its main token, each token has codes of its own. Then latents do not compete, and both rules agree. The set is a set for the decoder, but it is filled like a form with $L$ fields, or *slots*, one for each token: its usable capacity is nearer the bits of separate tokens than those of a free set. If tokens share codes, matching has something to decide. Which of the two holds at the paper's scale ($L = 512$, far longer training) is open: the paper does not say which token uses which code, and reports that nearest collapses. [Notebook 09](09_when_codes_compete.ipynb) shows what decides it here.
#
# ## The numbers, for the verdict
#
# [Notebook 08](08_verdict.ipynb) reads them from here.

# %%
numbers = {
    label: {
        "codes_in_use": usage[label].codes_in_use,
        "max_codes_per_image": usage[label].max_codes_per_image,
        "mean_codes_per_image": usage[label].mean_codes_per_image,
        "bits": bits[label][formula[run.quantizer]],
        "bits_counted_once": bits[label]["bits_counted_once"],
        "slot_dominant_share": slots[label].dominant_share,
        "slot_dominant_share_redrawn": effects[label]["dominant_share"],
        "slot_codes": slots[label].codes_per_slot,
        "slot_bits": slots[label].bits,
        "slot_entropy_bits": slots[label].entropy_bits,
        "agreement": effects[label]["agreement"],
        "draw_codes": effects[label]["draw_codes"],
        "draw_pixels": effects[label]["draw_pixels"],
    }
    for label, run in runs.items()
}
models = {quantizer: numbers[f"learned, {quantizer}"] for quantizer in formula}
if "drawn" in kinds:
    of = kinds["drawn"].model
    models["drawn"] = {
        "K": of.codebook_size,
        "L": of.num_codes,
        **ratios["drawn"],
        "untrained": before["drawn"],
    }
    models["drawn"] |= {quantizer: numbers[f"drawn, {quantizer}"] for quantizer in formula}
all_numbers = {
    "K": K,
    "L": L,
    "images": len(codes["learned, matching"]),
    "paper_recomputed": recomputed,
    "paper_counted_once": paper_once,
    **greatest,
    **ratios["learned"],
    "positional_bits": positional_bits(K, L),
    "multiset_bits": multiset_bits(K, L),
    "models": {quantizer: models[quantizer] for quantizer in formula},
    "untrained": before["learned"],
}
all_numbers |= {"drawn": models["drawn"]} if "drawn" in models else {}
save_json(all_numbers | stamp(config, config.train.steps), "capacity", config);

# %% [markdown]
# ## Summary
#
# - Capacity is the logarithm of a number of representations. Matching has $\log_2 \binom{K}{L}$ bits.
# - A set gives up $\log_2 L!$ bits for the order: 118 of 288 at $K = 512$, $L = 32$.
# - Eq. (2) counts some multisets several times; near $K_\text{img} = L$ it exceeds the number of all of them.
# - The paper's 3.5 times rest on a collapse of nearest to 49 codes. Whether it happens depends on which token uses which code.
#
# Next: [notebook 05](05_interpolation.ipynb) mixes sets. [Notebook 09](09_when_codes_compete.ipynb) asks when latents compete for codes.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 4.1: Eq. (4)
#
# Write Eq. (4) as a function. At the paper's size $\binom{4096}{512}$ has 669 digits: does your function still work?

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def set_bits(codebook_size, num_codes):
    """Return log2 C(K, L): the bits of a set of L codes out of K."""
    return log2(comb(codebook_size, num_codes))

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_set_bits(set_bits)))

# %% [markdown]
# ### Exercise 4.2: Eq. (2) without the over-count
#
# How many multisets of $L$ codes out of $K$ have *exactly* $K_\text{img}$ different codes? The check lists them.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def multisets(codebook_size, codes_per_image, num_codes):
    """Return the number of multisets of L codes out of K with exactly K_img different ones."""
    choices = comb(codebook_size, codes_per_image)
    return choices * comb(num_codes - 1, codes_per_image - 1)

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_multisets(multisets)))

# %% [markdown]
# ### Exercise 4.3: when the order bites
#
# Take $K = 512$. From which $L$ on is the order worth more than half of the $L \log_2 K$ bits?

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
bites = 1
while log2(factorial(bites)) <= bites * log2(512) / 2:
    bites += 1

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_order_bites(bites)))

# %% [markdown]
# ### Exercise 4.4: the better measure
#
# In the default profile, the table says of learned tokens that nearest holds more bits than matching. Is nearest the better quantizer, then?
#
# <details><summary>Answer</summary>
#
# No: both give the same codes here, so they say the same about an image. Eq. (2) and Eq. (4) are *upper bounds* from counts of codes, and Eq. (2) over-counts most where $K_\text{img} \approx L$. Counted once, the two nearly agree; what is left are the multisets that repeat a code, which nearest could use and does not. And since each token keeps codes of its own, even the set's bound is far above what is used: see *bits of separate tokens*.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Counting.** P. Flajolet, R. Sedgewick: Analytic Combinatorics. Cambridge University Press, 2009.
# - **VQ-VAE.** A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. NeurIPS 2017. [arXiv:1711.00937](https://arxiv.org/abs/1711.00937).
# - **VQ-GAN.** P. Esser, R. Rombach, B. Ommer: Taming Transformers for High-Resolution Image Synthesis. CVPR 2021. [arXiv:2012.09841](https://arxiv.org/abs/2012.09841).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(
    config, steps=config.train.steps, runs={label: run.folder.name for label, run in runs.items()}
)
display(facts_table(facts))
