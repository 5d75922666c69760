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
# # 02 · Matching quantization
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/02_matching_quantization.ipynb)
#
# **Claim that is tested here.** Nearest-neighbour quantization, Eq. (1), may give several latents of an image the same code, and in a set a repeated code says little. Matching quantization, Eq. (3), "ensures that no two embedding vectors are mapped to the same codebook element in a given image" (Section 3.4, Fig. 3), at the least total distance.
#
# | | |
# |---|---|
# | needs | the faces (notebook 00); one section also uses the trained models of notebook 03, if there are any |
# | makes | `matching_example`, `fig3_matching`, `matching_totals` in `figures/<profile>/` |

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
steps = 0
force = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
from itertools import permutations

import pandas as pd
import torch
from IPython.display import Markdown, display
from sklearn.decomposition import PCA

from pivq.codebook_init import fit_codebook
from pivq.config import load_config
from pivq.data import from_uint8
from pivq.figures.artefacts import save_figure, save_table
from pivq.figures.charts import plot_totals
from pivq.figures.diagrams import draw_example, draw_matching
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.figures.tables import styled
from pivq.matching import greedy, match
from pivq.runs.competition import describe
from pivq.runs.models import models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import find_run
from pivq.runs.shipped import shipped_run
from pivq.runs.splits import load_split
from pivq.runs.untrained import untrained_model

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# ## An example to follow by hand
#
# An image has two latents, $z_0 = 0$ and $z_1 = 1$, and the codebook has two codes, $e_0 = 0.9$ and $e_1 = -3$. All that matters is the table of distances:

# %%
latents = torch.tensor([[0.0], [1.0]])
codebook = torch.tensor([[0.9], [-3.0]])
distances = torch.cdist(latents, codebook)
display(pd.DataFrame(distances.numpy(), ["latent z0", "latent z1"], ["code e0", "code e1"]).style.format("{:.1f}"))

# %% [markdown]
# **Nearest** takes the smallest number of each row. Both latents take $e_0$: the set of codes of this image is $\{e_0\}$, and that there were two latents is forgotten.

# %%
nearest = distances.argmin(dim=1)
display(Markdown(f"Nearest: codes {nearest.tolist()}, total distance {float(distances.min(dim=1).values.sum()):.1f}."))

# %% [markdown]
# So let no code be used twice. **Greedy** is the first idea: go through the latents in order, and each takes the nearest code that is still free. The first latent is served well, and the last takes what is left.

# %%
first_come = greedy(distances)
total = float(distances.gather(1, first_come[:, None]).sum())
display(Markdown(f"Greedy: codes {first_come.tolist()}, total distance {total:.1f}."))

# %% [markdown]
# **Matching** looks at the whole table. Of all ways to give each latent a code of its own it takes the one with the least total:

# %%
ways = [
    {"codes": list(way), "sum": " + ".join(f"{float(distances[i, k]):.1f}" for i, k in enumerate(way)),
     "total distance": float(sum(distances[i, k] for i, k in enumerate(way)))}
    for way in permutations(range(len(codebook)), len(latents))
]
display(pd.DataFrame(ways).style.format({"total distance": "{:.1f}"}).hide(axis="index"))
matched = match(distances)
display(Markdown(f"Matching: codes {matched.tolist()}. The first latent makes room for the second."))

# %% [markdown]
# With two latents there are two ways; with $L$ latents and $K$ codes there are $K!/(K-L)!$, far too many to list. The Hungarian algorithm finds the best without listing them.

# %%
figure = draw_example(
    latents[:, 0].tolist(),
    codebook[:, 0].tolist(),
    {
        "nearest, Eq. (1)": nearest.tolist(),
        "greedy, first come": first_come.tolist(),
        "matching, Eq. (3)": matched.tolist(),
    },
)
save_figure(figure, "matching_example", config, "an example made up to be followed by hand");

# %% [markdown]
# Here are two more examples, to try on paper first. In one there is no conflict, and matching gives the nearest codes. In the other, two latents are close together.

# %%
examples = {"no conflict": ([1.1, 4.9], [5.0, 0.0, 1.0]), "a conflict": ([0.1, 0.2], [0.0, 1.0, 10.0])}
rows = []
for name, (points, centres) in examples.items():
    table = torch.cdist(torch.tensor(points)[:, None], torch.tensor(centres)[:, None])
    rows.append([name, points, centres, table.argmin(dim=1).tolist(), match(table).tolist()])
table = pd.DataFrame(rows, columns=["", "latents", "codebook", "nearest", "matching"]).style.hide(axis="index")
display(table.format(lambda numbers: ", ".join(f"{number:g}" for number in numbers), subset=table.columns[1:]))

# %% [markdown]
# ## Eq. (3), and its shapes
#
# The paper writes: find "the optimal permutation $P \in \{0, 1\}^{K \times K}$ of the distance matrix $D \in \mathbb{R}^{K \times L}$ where $D_{ij}$ is the euclidean distance between the codebook entry $i$ and latent embedding $j$",
#
# $$P^* = \arg\min_P \text{Tr}(PD), \tag{3}$$
#
# and read the code of latent $j$ from the row of the 1 in column $j$ of $P$. As printed, this has no meaning: $K \times K$ times $K \times L$ is $K \times L$, and only a square matrix has a trace. What is meant, and solved here, has a *selection* $P$ with a row for each latent and a column for each code:
#
# $$P^* = \arg\min_{P \in \{0, 1\}^{L \times K}} \text{Tr}(PD) = \arg\min_P \sum_{l} \sum_{k} P_{lk} D_{kl}, \qquad \sum_k P_{lk} = 1 \text{ for each latent } l, \qquad \sum_l P_{lk} \le 1 \text{ for each code } k.$$
#
# Each latent takes one code, and no code is taken twice. Now $PD$ is $L \times L$, entry $(l, l)$ is the distance from latent $l$ to its code, and the trace is their sum. The code of latent $l$ is the *column* of the 1 in *row* $l$: with the paper's $D$, the selection is the transpose of the one that its text describes. The next cell does this for the conflict above, with $L = 2$ and $K = 3$, and compares all selections:

# %%
points, centres = (torch.tensor(values)[:, None] for values in examples["a conflict"])
D = torch.cdist(centres, points)  # (K, L), as in the paper
selections = [torch.eye(len(centres))[list(way)] for way in permutations(range(len(centres)), len(points))]  # (L, K)
traces = [float(torch.trace(P @ D)) for P in selections]
best = selections[traces.index(min(traces))]
assert best.argmax(dim=1).tolist() == match(D.T).tolist()
display(Markdown(
    f"D = {[[round(value, 1) for value in row] for row in D.tolist()]}, K × L. Of {len(selections)} selections the "
    f"best is P = {best.int().tolist()}, L × K, with Tr(PD) = {min(traces):.1f}: codes {best.argmax(dim=1).tolist()}. "
    f"The others have {', '.join(f'{value:.1f}' for value in sorted(traces)[1:])}."
))

# %% [markdown]
# One more detail: the cost is the distance, **not its square**. For the nearest code that makes no difference. For the matching it can, because a square counts one long distance more than two middling ones:

# %%
table = torch.tensor([[3.0, 2.0], [2.0, 0.9]])
display(pd.DataFrame(table.numpy(), ["latent z0", "latent z1"], ["code e0", "code e1"]).style.format("{:.1f}"))
squared = match(table**2).tolist()
display(Markdown(f"Matching takes codes {match(table).tolist()}; with squared distances it would take {squared}."))

# %% [markdown]
# ## Real vectors in a plane (Fig. 3)
#
# To show the two quantizers at work, take latents that can be drawn. A face is cut into 16 patches. Each patch is described by two numbers: its position in the plane in which patches of all faces vary most (the first two principal components). The codebook is fitted to the patches of many faces as the paper fits it, by k-means with k-means++ seeding. The distances in the figure are the distances that count.

# %%
train = load_split(config, "train")
faces = from_uint8(train.images[: min(1000, len(train))])
side = config.model.image_size // 4
patches = faces.unfold(2, side, side).unfold(3, side, side)  # (N, 3, 4, 4, side, side)
patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(len(faces), 16, -1)
plane = PCA(2, random_state=seed).fit(patches.flatten(0, 1).numpy())
points = torch.tensor(plane.transform(patches.flatten(0, 1).numpy()), dtype=torch.float32).reshape(len(faces), 16, 2)
codebook = fit_codebook(points.flatten(0, 1), codebook_size=32, seed=seed)
held = plane.explained_variance_ratio_.sum()
display(Markdown(
    f"{len(faces):,} faces, 16 latents each, {len(codebook)} codes; the plane holds {held:.0%} of the variance."
))

# %% [markdown]
# The next cell quantizes all of them both ways, and counts the different codes of each face.

# %%
distances = torch.cdist(points, codebook)
nearest, matched = distances.argmin(dim=2), match(distances)
distinct = torch.tensor([len(set(row)) for row in nearest.tolist()])
assert all(len(set(row)) == 16 for row in matched.tolist()), "matching must not repeat a code"
display(Markdown(
    f"Of 16 latents, nearest makes **{distinct.float().mean():.1f}** different codes on average "
    f"(from {distinct.min()} to {distinct.max()}); matching always 16."
))

# %% [markdown]
# The figure shows one face. Of those with the typical count, it is the one whose patches lie farthest apart, so that they can be told apart.

# %%
typical = torch.nonzero(distinct == distinct.median()).squeeze(1)
one = int(typical[points[typical].std(dim=1).sum(dim=1).argmax()])
titles = {"nearest, Eq. (1)": nearest[one].numpy(), "matching, Eq. (3)": matched[one].numpy()}
figure = draw_matching(points[one].numpy(), codebook.numpy(), titles)
note = f"latents: 16 patches of the face {train.ids[one]} in the plane of their first two principal components"
save_figure(figure, "fig3_matching", config, caption(config, note=f"{note}; codes: k-means"));

# %% [markdown]
# Here are the face and its 16 patches, in the order of the latents:

# %%
plot_images(faces[one : one + 1], columns=1)
both = zip(nearest[one].tolist(), matched[one].tolist(), strict=True)
titles = [f"nearest {a}, matching {b}" for a, b in both]
plot_images(patches[one].reshape(16, 3, side, side), columns=8, titles=titles);

# %% [markdown]
# **What to look at.** Where latents crowd, because patches look alike, nearest sends several to one code. Matching sends one of them there and its neighbours to the codes around. Each line is a little longer, but every code of the set now says something, and crowded regions show in the set as *several* codes. The next cell gives the cost of the longer lines.

# %%
paid = distances.gather(2, matched[..., None]).squeeze(2).sum(dim=1)
least = distances.min(dim=2).values.sum(dim=1)
display(Markdown(
    f"Total distance of a face on average: nearest {least.mean():.2f}, matching {paid.mean():.2f}. "
    f"In {float((nearest == matched).float().mean()):.0%} of all cases matching gives a latent its nearest code anyway."
))

# %% [markdown]
# ## Why greedy is not enough
#
# Greedy never repeats a code either, and needs no Hungarian algorithm. There are two ways to be greedy: *first come* (latents in order, as above), and *cheapest pair first* (always the closest pair of a free latent and a free code). The next cell applies both to all these faces.

# %%
ways = {
    "greedy, first come": greedy(distances),
    "greedy, cheapest pair first": greedy(distances, cheapest_first=True),
}
totals = {}
for name, codes in ways.items():
    of_latents = distances.gather(2, codes[..., None]).squeeze(2).unbind(1)
    totals[name] = sum(of_latents).numpy()
optimal = paid.numpy()
assert all((values >= optimal - 1e-4).all() for values in totals.values()), "nothing can be below the optimum"

# %% [markdown]
# The figure shows how much more than the optimum each pays:

# %%
figure = plot_totals(optimal, totals)
note = f"{len(faces):,} faces, 16 latents, {len(codebook)} codes"
save_figure(figure, "matching_totals", config, caption(config, note=note))
totals["matching"] = optimal
table = pd.DataFrame(
    {
        "method": list(totals),
        "mean total distance": [float(values.mean()) for values in totals.values()],
        "mean excess": [f"{(values / optimal - 1).mean():.1%}" for values in totals.values()],
        "faces above the optimum": [f"{(values > optimal + 1e-4).mean():.0%}" for values in totals.values()],
    }
)
save_table(table, "matching_totals", config, caption(config, note=note))
display(table.style.format({"mean total distance": "{:.2f}"}).hide(axis="index"))

# %% [markdown]
# A longer way is one thing. Worse, *first come* depends on which latent comes first. If the latents are shuffled, greedy finds another **set** of codes for the same face; matching finds the same set, and each latent keeps its code. A representation that is meant to have no order must not depend on one.

# %%
generator = torch.Generator().manual_seed(seed)
order = torch.randperm(16, generator=generator)
changed = {}
for name, assign in {"greedy": greedy, "matching": match}.items():
    sets, shuffled = (assign(table).sort(dim=1).values for table in (distances, distances[:, order]))
    changed[name] = float((sets != shuffled).any(dim=1).float().mean())
display(Markdown(
    f"After the shuffle, greedy gives another set of codes to **{changed['greedy']:.0%}** of the faces, "
    f"matching to {changed['matching']:.1%} (only exact ties could do that)."
))

# %% [markdown]
# ## The latents of PI-VQ itself
#
# Patches repeat where an image has plain regions. Do the latents of PI-VQ repeat? Each comes from a token of its own. In the paper these are *learned*; in our variant they are *drawn* anew for every image (notebook 09). The next cell quantizes the latents of 200 faces to the nearest codes: by untrained encoders, with codebooks fitted to their latents, and by the trained models that are there (until notebook 03 has trained them, the one that comes with the project). Drawn tokens are other ones for every image when codes are counted.
#
# It also asks where the variance of the latents comes from: from the token (what all images have in common at its place), from the image (what all its latents have in common), or from both together. For this, all images get the same draw.

# %%
rows, found = [], {}
for label, job in models(config).items():
    kind, quantizer = label.split(", ")
    if quantizer == "nearest":
        encoders = {"untrained": untrained_model(job.config, train.images, "nearest")}
        if run := find_run(*job) or (kind == "learned" and shipped_run(config)):
            encoders["trained"], found[label] = run.model(), run.folder.name
        for state, model in encoders.items():
            told, length = describe(model, train.images[:200]), job.config.model.num_codes
            rows.append([
                f"{kind} tokens, {state}", f"{told['mean_codes_per_image_drawn']:.2f} of {length}",
                *(f"{told[name]:.1%}" for name in ("agreement", "dominant_share", "token", "image", "both")),
            ])  # fmt: skip
columns = ["encoder", "different codes an image, nearest", "matching and nearest agree",
           "uses by the code's main token", "variance by token", "by image", "by both"]  # fmt: skip
display(styled(pd.DataFrame(rows, columns=columns)))

# %% [markdown]
# **What to look at.** If the number of different codes is close to $L$, the two quantizers rarely disagree. See first whether that is so *before* training: then no training has divided the codebook. An untrained encoder's latents differ by their tokens where these have a large share of the variance; k-means then gives each token codes of its own, and nothing competes for them. That share follows from how tokens are initialised, which the paper does not say (`token_spread`, README). Tokens that are drawn anew for every image have no codes of their own.
#
# The paper reports repeats for its much larger $L$, $K$ and longer training (at most 49 different codes of 512). Notebook 04 measures the trained models on all faces and shows which token uses which code; notebook 09 asks when codes compete.

# %% [markdown]
# ## What it costs
#
# The paper solves Eq. (3) with the Hungarian algorithm, $\mathcal{O}(n^3)$ for $n = \max(L, K)$, and calls the added complexity "a necessary trade-off" (Section 3.4). How much it is depends on the latents. A latent whose nearest code no other latent wants is done; the others are assigned among the codes near them by shortest augmenting paths (`pivq/solvers/augmenting.py`), and prices prove each answer optimal. Where all latents have nearest codes of their own, as in our models with learned tokens, the remaining work is to read the $L \times K$ distances, and nearest-neighbour quantization reads them too. Where they crowd on few codes, as the 512 latents on 49 codes that the paper reports of nearest, there is more to solve. `docs/performance.md` compares the times with scipy's solver on made-up latents of each kind, and shows how they grow with $K$ and $L$.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures. They use the faces alone; only one section, which saves nothing, also uses models.

# %%
display(stamp(config, runs=found))
