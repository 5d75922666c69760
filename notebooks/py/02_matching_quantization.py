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
# | needs | the faces (notebook 00); the last section also uses the trained matching model of notebook 03, if there is one |
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
from pivq.inference import latents_in_batches
from pivq.matching import greedy, match
from pivq.model import PIVQ
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import find_run
from pivq.runs.splits import load_split

config = load_config(profile, seed, data, layout=layout, on_error=on_error)
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
# Patches repeat where an image has plain regions. Do the latents of PI-VQ repeat? Each comes from a learned token of its own. The next cell takes the latents of the trained matching model. If there is none, it takes those of an untrained encoder, with a codebook fitted to them.

# %%
run = find_run(config, "matching")
model = run.model() if run else PIVQ(config.model, "matching").eval()
latents = torch.cat(list(latents_in_batches(model, train.images[:200])))
if not run:
    with torch.no_grad():
        model.quantizer.codebook.copy_(fit_codebook(latents.flatten(0, 1), config.model.codebook_size, seed))
distances = model.quantizer.distances(latents)
nearest, matched = distances.argmin(dim=2), match(distances)
distinct = torch.tensor([len(set(row)) for row in nearest.tolist()], dtype=torch.float32)
K, L = config.model.codebook_size, config.model.num_codes
display(Markdown(
    f"{'The trained model' if run else 'An untrained encoder'}, L = {L}, K = {K}: "
    f"nearest makes {distinct.mean():.2f} different codes of {L} latents; "
    f"in {float((nearest == matched).float().mean()):.1%} of all cases matching and nearest agree."
))

# %% [markdown]
# **What to look at.** If the number of different codes is close to $L$, the two quantizers rarely disagree: the learned tokens send their latents to different regions, each with codes of its own, and repeats are rare. The paper reports the opposite for its much larger $L$, $K$ and longer training (at most 49 different codes of 512). Notebook 04 measures both trained models on all faces and shows which token uses which code.

# %% [markdown]
# ## What it costs
#
# The paper solves Eq. (3) with the Hungarian algorithm, $\mathcal{O}(n^3)$ for $n = \max(L, K)$, and calls the added complexity "a necessary trade-off" (Section 3.4). It need not be one. A latent whose nearest code no other latent wants is done; the others are assigned among the codes near them by shortest augmenting paths (`pivq/solvers/augmenting.py`), and prices prove each answer optimal. For a trained model's latents the remaining work is to read the $L \times K$ distances, and nearest-neighbour quantization reads them too. `docs/performance.md` compares the times with scipy's solver, from latents of a trained model to latents that all want the same code, and shows how they grow with $K$ and $L$.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures. They use the faces alone; only the last section, which saves nothing, also uses the model.

# %%
display(stamp(config, model=run.folder.name if run else "untrained"))
