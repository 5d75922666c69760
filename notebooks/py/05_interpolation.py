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
# **Claim that is tested here.** Since codes have no places, two images can be mixed by mixing their sets of codes. "It is also possible to interpolate (approximately) smoothly from one image to another", along "multiple, equally plausible paths": $(|R|!)^2$ of them, where $|R|$ is the number of codes that only one of the two has (Sections 3.5 and 4.4, Fig. 1). The same recombination gives new images: Algorithm 1 keeps "all the features shared by $C_a$ and $C_b$ as well as a mixture of features which are not shared". And codes "capture global information about an image" (Section 3.2).
#
# Each of these is measured with a control that could show it to be false: an untrained model, cross-faded pixels, reconstructions.
#
# **Afterwards you can**
#
# - state Algorithm 1 and the smooth path with sets, and count their results;
# - measure whether a path is smooth, whether its images are plausible and how far one code reaches, each with a control;
# - say where traits come from that neither parent has.
#
# Read with it: Sections 3.5 and 4.4, and Algorithm 1 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the trained matching models ([notebook 03](03_train.ipynb)), or the model that comes with the project: learned tokens, as the paper has them; and, where the profile trains them, tokens drawn anew for every image, our variant |
# | makes | `fig1_interpolation`, `fig1_path`, `smoothness`, `samples_with_parents`, `traits`, `traits_from_nowhere`, and the numbers `interpolation.json` in `figures/<profile>/` |

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
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import HTML, Markdown, display

from pivq.config import load_config
from pivq.figures.animation import embedded, side_by_side
from pivq.figures.artefacts import save_animation, save_figure, save_json, save_table
from pivq.figures.charts import plot_smoothness
from pivq.figures.code_charts import plot_traits
from pivq.figures.pictures import plot_images, plot_paths, plot_samples_with_parents
from pivq.figures.style import use_style
from pivq.figures.tables import escape, facts_table, styled
from pivq.inference import decode_in_batches, encode_images, order_difference
from pivq.pretrained.features import load_feature_network
from pivq.processes import pick_device
from pivq.runs.paths import (
    measure_apart,
    measure_plausibility,
    measure_spread,
    measure_walks,
    pairs_to_show,
    paths_apart,
)
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.recombination import (
    READABLE,
    as_records,
    beyond_controls,
    countable_attributes,
    explained_by_slots,
    measure_recombination,
    total_errors,
)
from pivq.runs.shipped import ShippedRun, runs_to_show, which
from pivq.runs.splits import load_split
from pivq.runs.teaching.exercises import check_number_of_samples, check_recombine
from pivq.runs.trait_tables import effect_of_slots, on_common_attributes, worst_traits
from pivq.runs.untrained import untrained_model
from pivq.sampling import SMOOTH_STEP, cross_fade, interpolate, smooth_path

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads the models, and the held-out faces with their codes: no step of training has seen these images. *Learned* tokens are the paper's. *Drawn* tokens, our variant, are other random vectors for every image in training ([notebook 09](09_when_codes_compete.ipynb)). The pairs are drawn from the seed, not picked. Those that are shown follow a rule (`pivq.runs.paths.pairs_to_show`): the seed's first pair, then the first one in which both faces wear headwear (else headwear or glasses), where attributes are known, because outlines show best what a path does; then the others in the seed's order, those with the same outline of head later. Pairs with a single path, as of a hardly trained model, come last.

# %%
device = pick_device(device)
runs = {
    label.removesuffix(", matching"): run
    for label, run in runs_to_show(config).items()
    if label.endswith("matching")
}
display(Markdown("  \n".join(which(run) for run in runs.values())))
trained = {kind: run.model(device) for kind, run in runs.items()}
codes = {kind: torch.from_numpy(run.codes("heldout")) for kind, run in runs.items()}
titles = {"learned": "learned tokens (the paper's)", "drawn": "drawn tokens (our variant)"}
train, heldout = load_split(config, "train"), load_split(config, "heldout")
generator = torch.Generator().manual_seed(seed)
pairs = torch.randperm(len(heldout), generator=generator)[: len(heldout) // 2 * 2].reshape(-1, 2)
learned = codes["learned"]
shown = pairs_to_show(pairs, learned, heldout.attributes, 4)
lines = [
    f"Pair {n}: a is {escape(heldout.ids[i])}, b is {escape(heldout.ids[j])}."
    for n, (i, j) in enumerate(shown[:2].tolist(), 1)
]
display(Markdown("  \n".join(lines)))

# %% [markdown]
# The controls are the same models with their first random weights, and a codebook fitted to their latents:

# %%
untrained = {
    kind: untrained_model(run.config, train.images, device=device) for kind, run in runs.items()
}
some = heldout.images[pairs[:50].flatten()]
untrained_codes = {
    kind: torch.from_numpy(encode_images(model, some)) for kind, model in untrained.items()
}
untrained_pairs = torch.arange(len(some)).reshape(-1, 2)

# %% [markdown]
# Recombining sets only makes sense if order means nothing to the decoder (Section 3.2). The next cell decodes the codes of 50 faces in latent order and shuffled, and takes the greatest difference of any pixel.

# %%
by_order = order_difference(trained["learned"].decode, learned[:50], generator)
display(
    Markdown(
        f"Greatest difference: **{by_order:.0e}** (of 1). The rounding of float32 sums makes about "
        "1e-06."
    )
)

# %% [markdown]
# ## One step by hand
#
# The codes of two images are the sets $C_a$ and $C_b$, of $L$ codes each. They share some, and the others are exclusive to one of them:
#
# $$C_c = C_a \cap C_b, \qquad R_a = C_a \setminus C_b, \qquad R_b = C_b \setminus C_a, \qquad |R| = |R_a| = |R_b| = L - |C_c|.$$
#
# A **smooth path** from $a$ to $b$ exchanges the codes of $R_a$ for those of $R_b$, one at a time. Put each in a random order, $R'_a$ and $R'_b$; after $t$ of $|R|$ steps the set is
#
# $$C^t_\text{smooth} = C_c \;\cup\; R'_b[1 \dots t] \;\cup\; R'_a[t + 1 \dots |R|].$$
#
# In this notebook a is the beginning and b the end. (The paper writes $a$ and $b$ the other way round, and so does the function: `pivq.sampling.smooth_path` begins with its second argument.) There are $|R|!$ orders of each, so $(|R|!)^2$ paths. Here are the sets of the first pair, and one path, row by row; what is new in a row is bold.

# %%
a, b = (set(learned[i].tolist()) for i in shown[0])
parts = {"$C_c$, shared by both": a & b, "$R_a$, only a (the beginning)": a - b}
parts |= {"$R_b$, only b (the end)": b - a}
display(Markdown("  \n".join(f"{name}: {sorted(part)}" for name, part in parts.items())))
own = torch.Generator().manual_seed(seed)  # the figures below do not depend on this path
path = smooth_path(*(learned[i] for i in shown[0].flip(0)), own).tolist()
lines = [
    ", ".join(f"**{code}**" if code not in before else str(code) for code in now)
    for before, now in zip([path[0], *path], path, strict=False)
]
display(Markdown("  \n".join(lines[:4] + ["…"] * (len(lines) > 4))))

# %% [markdown]
# ## Two paths between two faces (Fig. 1)
#
# The figure shows two paths for each of two pairs and each model. At the far left and right, in orange frames, are the originals. Between them are decoded sets of codes alone; the first and the last, in blue frames, are the reconstructions of the two faces. The next cell checks three things: a path starts and ends at its faces' codes, each step swaps one code, and no code repeats.

# %%
images, headings, sources = [], [], []
counts = {kind: [] for kind in runs}
for i, j in shown[:2].tolist():
    for kind, model in trained.items():
        rows = codes[kind]
        paths = [smooth_path(rows[j], rows[i], generator) for _ in range(2)]
        for path in paths:
            sets = [set(row.tolist()) for row in path]
            assert sets[0] == set(rows[i].tolist()) and sets[-1] == set(rows[j].tolist())
            assert all(len(row) == rows.shape[1] for row in sets), "a code repeats"
            assert all(
                len(now - before) == 1 for before, now in zip(sets, sets[1:], strict=False)
            ), "not one a step"
        images += [decode_in_batches(model.decode, path) for path in paths]
        exchanged = len(paths[0]) - 1
        count = math.factorial(exchanged) ** 2
        counts[kind].append(
            {"exchanged": exchanged, "paths": str(count), "apart": paths_apart(*images[-2:])}
        )
        digits = len(str(count)) - 1
        number = (
            rf"${count / 10**digits:.1f} \cdot 10^{{{digits}}}$" if digits > 5 else f"{count:,}"
        )
        headings.append(
            f"{titles[kind]}: |R| = {exchanged} of {rows.shape[1]} codes differ: (|R|!)² = "
            f"{number} paths"
        )
        sources += [heldout.images[i], heldout.images[j]]
figure = plot_paths(images, torch.stack(sources), headings)
note = "matching; two random paths for each pair; held-out faces: the seed's first pair"
if heldout.attributes is not None:
    note += ", and its first one in which both wear headwear, if there is one"
save_figure(figure, "fig1_interpolation", config, caption(config, config.train.steps, note));

# %% [markdown]
# **What to look at.** First compare each original with its reconstruction: what is lost there is not lost on the path. Then compare the two rows of a pair: they begin and end alike and differ in between, because traits change in another order. A trait that several codes carry changes over several steps. Look also for traits on the way that neither end has, such as a beard between two shaven faces: "approximately smooth" does not mean that every image on the way is a face with the traits of its ends. Below, this is counted.
#
# The animation shows one path for each of four pairs at once, from a to b and back, with learned tokens. Originals are not shown. It is saved as `fig1_path.webp`, which browsers, GitHub and JupyterLab play.

# %%
decode, rows = trained["learned"].decode, codes["learned"]
own = torch.Generator().manual_seed(seed)
walking = [
    decode_in_batches(decode, smooth_path(rows[j], rows[i], own)) for i, j in shown.tolist()
]
frames = side_by_side(walking, frames=21)
path = save_animation(frames, "fig1_path", config, seconds=1.4)
display(HTML(embedded(path, "Four faces turn into four others and back, code by code")))

# %% [markdown]
# The first table has the exact number of paths of the two pairs, and how far apart the two that are shown run: the mean distance over their steps, as a share of the distance between the ends. Two pairs prove little, and two random paths differ in any model. So the second table has two random paths for each of many pairs, in the trained and in the untrained model:

# %%
rows = [
    [
        titles[kind],
        n,
        f"({count['exchanged']}!)² = {int(count['paths']):,}",
        count["apart"],
    ]
    for kind, of in counts.items()
    for n, count in enumerate(of, 1)
]
columns = ["model", "pair", "number of paths", "apart"]
display(styled(pd.DataFrame(rows, columns=columns), {"apart": "{:.0%}"}))
apart = {
    kind: {
        "apart": measure_apart(model.decode, codes[kind], pairs[:50], generator),
        "untrained_apart": measure_apart(
            untrained[kind].decode, untrained_codes[kind], untrained_pairs, generator
        ),
    }
    for kind, model in trained.items()
}
rows = [
    [titles[kind], model, of["pairs"], of["low"], of["median"], of["high"]]
    for kind, both in apart.items()
    for model, of in zip(("trained", "untrained"), both.values(), strict=True)
]
columns = ["tokens", "model", "pairs", "10th percentile", "median", "90th percentile"]
shares = dict.fromkeys(columns[3:], "{:.0%}")
display(styled(pd.DataFrame(rows, columns=columns), shares, na_rep="–"))

# %% [markdown]
# ## How smooth?
#
# The next cell measures, over many pairs, the L1 distance between neighbouring images of a path, $\lVert \hat x^{t+1} - \hat x^t \rVert_1 / \lVert \hat x^{|R|} - \hat x^0 \rVert_1$, and how far each image is from the first. A straight path would be as long as the distance between its ends; each detour makes it longer. For contrast, a *cross-fade* mixes the pixels of the two reconstructions. It is perfectly straight, and its middle is a double exposure. The *detail* of an image, its mean absolute difference between neighbouring pixels, tells the two apart: double exposure and blur have less than the ends.

# %%
walks = {
    kind: measure_walks(model.decode, codes[kind], pairs[:50], generator)
    for kind, model in trained.items()
}
figure, grid = plt.subplots(
    len(walks), 2, figsize=(8.5, 3.0 * len(walks)), sharex=True, squeeze=False
)
for panels, (kind, walk) in zip(grid, walks.items(), strict=True):
    plot_smoothness(*walk.distances.values(), tuple(walk.details.values()), panels, titles[kind])
for axes in grid[:-1].flat:
    axes.set_xlabel("")
note = f"matching; {walks['learned'].numbers['pairs']} pairs of held-out faces"
note += "; median, and band from 10% to 90%"
save_figure(figure, "smoothness", config, caption(config, config.train.steps, note));

# %% [markdown]
# **What to look at.** *Left:* does the band climb evenly, or in jumps? *Right:* how much more detail the image by codes has than the cross-fade of the same pair at the same place. Zero (orange) would say that codes blend as pixels do. An image that is put together from traits keeps its contours half-way, and a cross-fade does not, so the line should lie above zero in the middle. Some middle images even have more contours than either end, such as two overlaid hairlines: more detail need not be better.
#
# A path is called smooth here if its largest step is less than `SMOOTH_STEP` of the distance between the ends. A mean over paths can hide single jumps, so the table also has the share of paths that are not smooth. The untrained model shows what steps come from the architecture alone.

# %%
smoothness = {kind: walk.numbers for kind, walk in walks.items()}
for kind, model in untrained.items():
    steps = measure_walks(model.decode, untrained_codes[kind], untrained_pairs, generator).numbers[
        "largest_step"
    ]
    smoothness[kind]["untrained_largest_step"] = steps
quantities = {
    "pairs": ("paths", "{:.0f}"),
    "mean_exchanged": ("codes exchanged (mean)", "{:.1f}"),
    "step": ("a step, as a share of the distance between the ends (mean)", "{:.1%}"),
    "largest_step": ("the largest step of a path (mean)", "{:.0%}"),
    "untrained_largest_step": ("the same, untrained model", "{:.0%}"),
    "share_with_large_step": (f"paths with a step of {SMOOTH_STEP:.0%} or more", "{:.0%}"),
    "path_length": ("length of a path, in distances between the ends (mean)", "{:.2f}"),
    "detail_half_way": ("detail half-way, as a share of the ends' (median)", "{:.0%}"),
    "detail_half_way_crossfade": ("detail of cross-fades half-way (median)", "{:.0%}"),
}
rows = [
    [text, *("–" if of[name] is None else pattern.format(of[name]) for of in smoothness.values())]
    for name, (text, pattern) in quantities.items()
]
display(styled(pd.DataFrame(rows, columns=["", *(titles[kind] for kind in smoothness)])))
lines = [
    f"{titles[kind].capitalize()}: {1 - of['share_with_large_step']:.0%} of the paths are smooth; "
    "the largest step is "
    f"{of['largest_step'] / of['untrained_largest_step']:.2f} times the untrained model's."
    for kind, of in smoothness.items()
    if of["largest_step"] and of["untrained_largest_step"]
]
display(Markdown("  \n".join(lines) or "No pair has a path."))

# %% [markdown]
# Here is the first pair once more, in the model with learned tokens: above, codes are exchanged; below, pixels are mixed.

# %%
frames = (torch.linspace(0, 1, 9) * (len(images[0]) - 1)).round().long()
rows = [images[0][frames], cross_fade(images[0][0], images[0][-1], 9)]
plot_images(torch.cat(rows), columns=9, row_labels=["codes", "pixels"]);

# %% [markdown]
# ## How plausible?
#
# Detail is one measure, and it favours codes. "Equally plausible" asks for another: are the images on the way as near to real faces as the ends are? The next cell takes the distance from each image to the nearest training face, in the features that [notebook 06](06_sample_quality.ipynb) measures with. The cross-fade is the control: a path through codes should come out nearer to real faces than a double exposure.

# %%
network = load_feature_network(config.evaluation.features, device)
plausibility = {
    kind: measure_plausibility(run, network, codes[kind], pairs[:300], generator)
    for kind, run in runs.items()
}
stops = {
    "ends": "the ends (reconstructions)",
    "quarter": "a quarter of the way by codes",
    "half_way": "half-way by codes",
    "cross_fade_half_way": "half-way by cross-fade",
}
rows = [
    [text, *(f"{of[name]:.1f}" for of in plausibility.values())] for name, text in stops.items()
]
nearer = "half-way, pairs nearer to a real face by codes than by cross-fade"
rows.append([nearer, *(f"{of['nearer']:.0%} of {of['pairs']}" for of in plausibility.values())])
errors = [1 / math.sqrt(of["pairs"]) for of in plausibility.values()]  # two, of a share of one half
rows.append(["what a coin gives", *(f"{0.5 - e:.0%} to {0.5 + e:.0%}" for e in errors)])
columns = ["median distance to the nearest training face", *(titles[kind] for kind in plausibility)]
display(styled(pd.DataFrame(rows, columns=columns)))

# %% [markdown]
# **What to look at.** Paths through codes are more plausible than double exposures if the share of pairs lies above what a coin gives. [Notebook 08](08_verdict.ipynb) judges by this rule.

# %% [markdown]
# ## How far does one code reach?
#
# "Codes capture global information": a code of a VQ-GAN has a place and changes the picture there; a code here has none. The next cell gives a face one code of another face, in the place of the code of the same latent, and measures over which share of the picture the change spreads. Let $\delta_p$ be the change of pixel $p$ of $P$. The *participation ratio* is $(\sum_p \delta_p)^2 / (P \sum_p \delta_p^2)$: 100% if all pixels change alike, and 1/64 if one of 64 cells does. For scale: two different faces, and one cell of the decoder's grid replaced.

# %%
chosen = pairs[:300]
spread = {
    kind: measure_spread(model.decode, codes[kind], chosen, config.model.grid_size, generator)
    for kind, model in trained.items()
}
for kind, model in untrained.items():
    spread[kind]["untrained"] = measure_spread(
        model.decode, untrained_codes[kind], untrained_pairs, config.model.grid_size, generator
    )["participation"]
reach = {"participation": "one code exchanged (median)", "low": "– 10th percentile of the pairs",
         "high": "– 90th percentile", "faces": "two faces", "cell": "one cell of the grid",
         "untrained": "one code exchanged, untrained model"}  # fmt: skip
rows = [
    [text, *("–" if of[name] is None else f"{of[name]:.1%}" for of in spread.values())]
    for name, text in reach.items()
]
display(
    styled(
        pd.DataFrame(rows, columns=["the change spreads over", *(titles[kind] for kind in spread)])
    )
)

# %% [markdown]
# **What to look at.** A code whose change spreads over far more than one cell acts on the picture as a whole. The untrained model says how much of that is the architecture, which lets every code reach every cell.
#
# ## New faces from two parents (Algorithm 1)
#
# **Algorithm 1** keeps all codes that both parents have, and fills up to $L$ with codes drawn at random from those that only one has:
#
# 1. $C_c = C_a \cap C_b$, and $C_d = (C_a \setminus C_b) \cup (C_b \setminus C_a)$.
# 2. Start with $C_\text{interp} = C_c$.
# 3. $L - |C_c|$ times: draw a code uniformly from $C_d$, add it to $C_\text{interp}$, and remove it from $C_d$.
#
# Half of $C_d$ is drawn, so there are $\binom{2|R|}{|R|}$ different results. In the figure, the parents are held-out originals, and the framed samples between them are decoded sets (`pivq.sampling.interpolate`). The more codes of parent a a sample has, the further left it stands.

# %%
chosen, each = pairs[2:7], 3
samples = []
for kind, model in trained.items():
    parents_a, parents_b = (codes[kind][rows].repeat_interleave(each, 0) for rows in chosen.T)
    mixed = interpolate(parents_a, parents_b, generator)
    of_a = (mixed[:, :, None] == parents_a[:, None]).any(2).sum(1).unflatten(0, (-1, each))
    mixed = mixed.unflatten(0, (-1, each))  # (pairs, each, L)
    order = of_a.argsort(descending=True, stable=True)[..., None].expand_as(mixed)
    mixed = mixed.gather(1, order).flatten(0, 1)
    samples.append(decode_in_batches(model.decode, mixed).unflatten(0, (-1, each)))
originals = (heldout.images[side] for side in chosen.T)
figure = plot_samples_with_parents(
    next(originals),
    torch.cat(samples, dim=1),
    next(originals),
    [titles[kind] for kind in trained],
)
note = f"matching; held-out parents drawn from the seed, {each} samples of each pair and model; "
note += "from the left, those with most codes of a"
save_figure(figure, "samples_with_parents", config, caption(config, config.train.steps, note));

# %% [markdown]
# **What to look at.** Chance decides how many codes a sample takes from each parent, so some samples look like one of them. Look for traits that *neither* parent has. Every *code* comes from a parent, as the next cell counts over all pairs; that does not make every *trait* come from one.

# %%
composition = {}
for kind, rows in codes.items():
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    mixed = interpolate(first, second, generator)
    in_a = (mixed[:, :, None] == first[:, None, :]).any(dim=2)
    in_b = (mixed[:, :, None] == second[:, None, :]).any(dim=2)
    composition[kind] = {
        "both": float((in_a & in_b).float().mean()),
        "one": float((in_a ^ in_b).float().mean()),
        "from_a_least": float((in_a & ~in_b).float().mean(dim=1).min()),
        "from_a_most": float((in_a & ~in_b).float().mean(dim=1).max()),
    }
    assert composition[kind]["both"] + composition[kind]["one"] > 1 - 1e-6, (
        "a code from neither parent"
    )
display(
    Markdown(
        "  \n".join(
            f"{titles[kind].capitalize()}: {of['both']:.0%} of a sample's codes are shared by both "
            "parents, and "
            f"{of['one']:.0%} come from one of them; no code comes from neither. The share that "
            "comes from parent a alone lies "
            f"between {of['from_a_least']:.0%} and {of['from_a_most']:.0%} over {len(pairs):,} "
            "samples."
            for kind, of in composition.items()
        )
    )
)

# %% [markdown]
# ## Do traits come from the parents?
#
# Where images have attributes, as the drawn faces do, this can be counted. A linear classifier learns each attribute from features of reconstructed training images. It then reads the samples of pairs of held-out faces: how many show a trait that neither parent has, and how many lack one that both have? Only attributes that it reads on held-out reconstructions with a balanced error of at most `READABLE` are counted, and only pairs whose own reconstructions are read correctly. (The *balanced error* is the mean of two: the share of false alarms and the share of misses.)
#
# There are two controls. *Their reconstructions*, those of the held-out faces, have the classifier's errors, and those of encoding and decoding. *Cross-fades* are not faces either, but cannot show a trait that neither parent has: what the classifier sees in them, it may also see wrongly in samples. And there is one experiment, *slot by slot*, which is explained below.

# %%
countable = countable_attributes(train, heldout)
count = min(4000, config.evaluation.samples)
recombined = {
    kind: measure_recombination(run, train, heldout, network, count)
    for kind, run in runs.items()
    if countable
}
counted = {kind: measured for kind, measured in recombined.items() if len(measured.traits)}
rows = [
    [
        titles[kind],
        str(measured.traits["attribute"].nunique()),
        ", ".join(measured.unread).replace("_", " ") or "none",
    ]
    for kind, measured in recombined.items()
]
columns = ["model", f"counted: balanced error of {READABLE:.0%} or less"]
columns += ["not counted: misread more, or not known of every image"]
display(styled(pd.DataFrame(rows, columns=columns)))

# %% [markdown]
# The figure shows all attributes that are counted. The table has the numbers of Algorithm 1; the saved one, `traits`, has all.

# %%
if counted:
    figure = plot_traits({titles[kind]: measured.traits for kind, measured in counted.items()})
    note = f"matching; {count:,} samples of held-out parents; lines: 95% intervals"
    save_figure(figure, "traits", config, caption(config, config.train.steps, note))
    frames = [measured.traits.assign(tokens=kind) for kind, measured in counted.items()]
    told = ["sampler", "attribute", "gained", "neither", "lost", "both", "false_alarms", "misses"]
    table = pd.concat(frames)[["tokens", *told]].rename(
        columns={
            "gained": "has it, neither parent has",
            "neither": "pairs without",
            "lost": "lacks it, both have it",
            "both": "pairs with",
            "false_alarms": "reconstructions: false alarms",
            "misses": "reconstructions: misses",
        }
    )
    save_table(table, "traits", config, caption(config, config.train.steps, note))
    patterns = dict.fromkeys(table.columns[[3, 5, 7, 8]], "{:.1%}")
    patterns |= dict.fromkeys(table.columns[[4, 6]], "{:,.0f}")
    readable = table[table["sampler"] == "Algorithm 1"].drop(columns="sampler")
    readable = readable.assign(attribute=readable["attribute"].str.replace("_", " "))
    display(styled(readable, patterns, na_rep="–"))

# %% [markdown]
# The table has the attribute that samples of Algorithm 1 most often show although neither parent has it, and the one that they most often lack although both have it, beyond the larger of the two controls. (*Slot by slot* is explained below.) The last column has all attributes that are clear of both controls: their 95% intervals do not overlap. Each of them is a trait for which Algorithm 1 does not keep what the parents share, although the set contains all their shared *codes* and no others.

# %%
worst = {kind: worst_traits(measured.traits) for kind, measured in counted.items()}
if counted:
    table = pd.concat([frame.assign(tokens=kind) for kind, frame in worst.items()])
    table["error"] = table["error"].map({"gained": "neither parent has it", "lost": "both have it"})
    table["attribute"] = table["attribute"].str.replace("_", " ")
    table["clear"] = [", ".join(names).replace("_", " ") or "none" for names in table["clear"]]
    columns = {"tokens": "tokens", "error": "error", "attribute": "attribute", "cases": "cases"}
    columns |= {"algorithm": "Algorithm 1", "by_slot": "slot by slot"}
    columns |= {"cross_fade": "cross-fades", "reconstructions": "reconstructions"}
    table = table.rename(columns=columns | {"clear": "clear of both controls"})
    shares = dict.fromkeys([*columns.values()][4:], "{:.1%}")
    in_table = [*columns.values(), "clear of both controls"]
    display(styled(table[in_table], shares | {"cases": "{:,.0f}"}, na_rep="–"))

# %% [markdown]
# Compare two models only on the attributes that are counted in both. The next table adds these up: the shares of the cases in which Algorithm 1 makes a trait from nowhere, and loses one.

# %%
common, sums = on_common_attributes({kind: of.traits for kind, of in counted.items()})
rows = [
    [titles[kind], len(common), of["gained"].iloc[0], of["lost"].iloc[0]]
    for kind, of in sums.items()
    if len(of)
]
if rows:
    table = pd.DataFrame(rows, columns=["model", "attributes", "from nowhere", "lost"])
    display(styled(table, dict.fromkeys(table.columns[2:], "{:.1%}"), na_rep="–"))

# %% [markdown]
# Here are such samples of the first attribute, with learned tokens, drawn from the seed. They stand between the *reconstructions* of their parents, which already show what decoding alone does.

# %%
name = worst["learned"]["attribute"].iloc[0] if "learned" in worst else None
if pd.notna(name):
    at = torch.from_numpy(counted["learned"].from_nowhere[name])
    at = at[torch.randperm(len(at), generator=generator)[:12]]
    if len(at):
        sampled, decode = counted["learned"].samples, trained["learned"].decode
        parents = codes["learned"][sampled.pairs[at]]
        rows = [
            decode_in_batches(decode, rows)
            for rows in (parents[:, 0], sampled.codes[at], parents[:, 1])
        ]
        figure = plot_samples_with_parents(*rows)
        note = f"{titles['learned']}, matching: {name.replace('_', ' ')} in the sample"
        note += ", in neither parent; all decoded"
        save_figure(
            figure, "traits_from_nowhere", config, caption(config, config.train.steps, note)
        )

# %% [markdown]
# ## Is it the slots?
#
# An explanation suggests itself. With learned tokens each token, or *slot*, takes codes of its own ([notebook 04](04_capacity.ipynb)), as a form has fields. Algorithm 1 knows no fields: it takes any of the codes that differ, so a sample can hold two codes of one slot and none of another, which no image in training does. If that is why traits go wrong, then
#
# 1. samples with more slots of two codes go wrong more often, and more so than the same pairs do slot by slot, and
# 2. hardly any go wrong *slot by slot*, where each latent takes the code of one parent or the other, and no slot has two.
#
# For each model, the first table groups the samples by their slots with two codes, and the second adds all attributes up. The last table has what slots explain: of the errors that recombining adds to those of reconstructions, the part that goes away slot by slot; and how many points the share rises from the samples with the fewest such slots to those with the most. What rises slot by slot as well, in the same pairs, is due to the pairs.

# %%
totals = {kind: total_errors(measured.traits) for kind, measured in counted.items()}
for kind, measured in counted.items():
    shares = dict.fromkeys([*measured.twice.columns[2:]], "{:.1%}")
    display(Markdown(f"{titles[kind].capitalize()}:"), styled(measured.twice, shares))
    patterns = {"gained": "{:.1%}", "lost": "{:.1%}", "neither": "{:,}", "both": "{:,}"}
    display(styled(totals[kind], patterns, na_rep="–"))
if counted:
    rows = [{"tokens": kind} | effect_of_slots(measured) for kind, measured in counted.items()]
    words = {"algorithm": "from nowhere: Algorithm 1", "by_slot": "slot by slot"}
    words |= {"explained": "explained by slots", "rise_by_slot": "rise, slot by slot"}
    table = pd.DataFrame(rows).rename(columns=words)
    points = dict.fromkeys(["rise", "rise, slot by slot"], "{:+.1%}")
    shares = dict.fromkeys([*[*words.values()][:2], "reconstructions"], "{:.1%}")
    display(styled(table, shares | points | {"explained by slots": "{:.0%}"}, na_rep="–"))

# %% [markdown]
# **What to look at.** Errors that remain slot by slot are not due to two codes of one slot. Then a trait is made by codes of several slots, and half of each parent's codes can add up to a trait that neither parent has. With drawn tokens a latent has no name in training, so there is no form to fill in, and slot by slot is only another way to draw half of the codes.
#
# ## The numbers, for the verdict
#
# [Notebook 06](06_sample_quality.ipynb) measures how good such samples are as a whole, and whether they are new. The next cell saves the numbers of this notebook for notebooks [06](06_sample_quality.ipynb) and [08](08_verdict.ipynb). Numbers of paths are saved as text, because many JSON readers cannot hold numbers of that size.

# %%
numbers = {}
for kind in runs:
    numbers[kind] = {
        "pairs": [
            {"a": heldout.ids[i], "b": heldout.ids[j], **of}
            for (i, j), of in zip(shown[:2].tolist(), counts[kind], strict=True)
        ],
        **apart[kind],
        "smoothness": smoothness[kind],
        "composition": composition[kind],
        "plausibility": plausibility[kind],
        "spread": spread[kind],
    }
traits = {
    kind: {
        "rows": as_records(measured.traits),
        "by_slots": as_records(measured.twice),
        "totals": as_records(totals[kind]),
        "common": as_records(sums[kind]) if kind in sums else [],
        "common_attributes": common,
        "unread": measured.unread,
        "beyond_controls": {
            error: beyond_controls(measured.traits, error) for error in ("gained", "lost")
        },
        "explained_by_slots": {
            error: explained_by_slots(totals[kind], error) for error in ("gained", "lost")
        },
    }
    for kind, measured in counted.items()
}
all_numbers = (
    {"order_difference": by_order}
    | numbers.pop("learned")
    | numbers
    | ({"traits": traits} if traits else {})
)
if not isinstance(runs["learned"], ShippedRun):  # the verdict is on runs of one's own
    save_json(all_numbers | stamp(config, config.train.steps), "interpolation", config)

# %% [markdown]
# ## Summary
#
# - Algorithm 1 and smooth paths are operations on sets: intersection, difference, exchange. They need no learned prior, and one pass of the decoder per image.
# - Every *code* of a sample comes from a parent. Not every *trait* does: several codes make a trait, and half of them can make another.
# - A path of codes keeps contours where a cross-fade doubles them; whether its images are nearer to real faces is measured above, with its control.
#
# Next: [notebook 06](06_sample_quality.ipynb) measures samples as a whole.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 5.1: Algorithm 1 on Python sets
#
# Write Algorithm 1 for two sets and a `random.Random`. The check runs it 600 times and looks at the odds.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def recombine(a, b, rng):
    """Return a set of as many codes as a and b have: Algorithm 1, with rng a random.Random."""
    exclusive = sorted(a ^ b)
    return (a & b) | set(rng.sample(exclusive, len(a - b)))

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_recombine(recombine)))

# %% [markdown]
# ### Exercise 5.2: how many children?
#
# Two faces differ in 16 codes each. How many *paths* lead from one to the other, and how many different sets can Algorithm 1 return? Compute the second.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
results = math.comb(32, 16)

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_number_of_samples(results)))

# %% [markdown]
# ### Exercise 5.3: half a hat
#
# One parent wears a hat, the other has long hair. On the way from one to the other, what will the picture show half-way? Predict first. Then draw the path of such a pair: take two faces by their attributes, `smooth_path`, `decode_in_batches` and `plot_images`.
#
# <details><summary>Answer</summary>
#
# A hat is not one code: colour, outline and shadow are spread over several, and they are exchanged in a random order. So half-way there is often half a hat: its colour without its outline, or hair that shines through. The decoder has never seen such a set in training, where all codes came from one image. With another order of the same codes the picture half-way is another one. See *Do traits come from the parents?* above for how often this happens.
#
# </details>

# %% [markdown]
# ### Exercise 5.4: a control for smoothness
#
# An untrained model has paths, too. Why are *its* steps measured, and what would you conclude if they were just as small?
#
# <details><summary>Answer</summary>
#
# Each step changes one of $L$ codes in any model, so small steps can come from the architecture alone. If the untrained model's steps were as small, smoothness would say nothing about what was learned.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **The base code.** S. Bond-Taylor, P. Hessey, H. Sasaki, T. P. Breckon, C. G. Willcocks: Unleashing Transformers: Parallel Token Prediction with Discrete Absorbing Diffusion for Fast High-Resolution Image Generation from Vector-Quantized Codes. ECCV 2022. [doi:10.1007/978-3-031-20050-2_11](https://doi.org/10.1007/978-3-031-20050-2_11).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(
    config, steps=config.train.steps, runs={kind: run.folder.name for kind, run in runs.items()}
)
display(facts_table(facts))
