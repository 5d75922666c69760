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
# # 07 · What the codes know
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/07_probing.ipynb)
#
# **Claim that is tested here.** "For certain attributes […] the logistic regression is significantly more accurate than the baseline", so that "the semantic codes capture separable, interpretable features"; for others it "is not much better than predicting the majority class" (Section 4.4, Fig. 5).
#
# | | |
# |---|---|
# | needs | the trained matching model (notebook 03) |
# | makes | `fig5_probing`, `probing`, `predictive_codes`, and the numbers `probing.json` in `figures/<profile>/` |
# | cost | 0.5 minutes; 1.5 GB of memory |

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

# %% [markdown]
# Imports, the configuration and the style of all figures.

# %%
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.charts import plot_probing
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.probing import pixel_statistics, presence, probe, top_attributes
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import require_run
from pivq.runs.splits import load_split
from pivq.usage import slot_usage

config = load_config(profile, seed, data)
seed_everything(seed)
use_style()

# %% [markdown]
# The codes and attributes of all faces, training and held-out together, as the paper probes its whole data set. Training never saw an attribute, and every accuracy is measured on faces that its probe was not fitted to.

# %%
run = require_run(config, "matching")
train, heldout = load_split(config, "train"), load_split(config, "heldout")
K, L, folds = config.model.codebook_size, config.model.num_codes, config.evaluation.probe_folds
heldout_codes = run.codes("heldout")
codes = np.concatenate([run.codes("train"), heldout_codes])
if train.attributes is None:
    statistics = pd.concat([pixel_statistics(split.images.numpy(), split.ids) for split in (train, heldout)])
    attributes = (statistics > statistics.median()).astype("Int8")
    display(Markdown("**These images have no labels.** What is probed instead are simple properties of their pixels, each true of the half of the images that has more of it."))
else:
    attributes = pd.concat([train.attributes, heldout.attributes])
display(Markdown(f"{len(codes):,} faces, {attributes.shape[1]} attributes, {K} inputs of which {L} are 1 for each face."))

# %% [markdown]
# ## The probe
#
# Each face becomes a row of $K$ zeros and ones: is the code among its codes or not? Where in the set it stands is not told. The first face, and what the probe sees of it:

# %%
inputs = presence(codes, K)
row = inputs[0].toarray()[0].astype(int)
display(Markdown(f"codes {sorted(codes[0].tolist())}  \ninputs {''.join(map(str, row[:64]))}{'…' if K > 64 else ''}"))

# %% [markdown]
# One logistic regression an attribute, five-fold cross-validated; folds are stratified, so each has the same share of positives. The *baseline* always predicts the class that is more frequent. An attribute counts as **significantly above** when the error bars (one standard deviation over folds) of probe and baseline do not overlap. Faces whose attribute cannot be seen are left out for that attribute.

# %%
frame = probe(codes, attributes, K, folds=folds, seed=seed)
top = top_attributes(frame, 15)
note = f"{len(codes):,} faces, {folds}-fold cross-validation"
figure = plot_probing(top)
save_figure(figure, "fig5_probing", profile, caption(config, config.train.steps, note + "; the 15 attributes with most accuracy gained over the baseline"));

# %% [markdown]
# **What to look at.** The distance between mark and dot, not the height of the dot: an attribute that 95% of faces lack is "predicted" with 95% accuracy by a machine that knows nothing. All attributes, the most gained first:

# %%
table = top_attributes(frame, len(frame))
table = pd.concat([table, frame[frame["accuracy"].isna()]], ignore_index=True)
table.insert(4, "gain", table["accuracy"] - table["baseline"])
save_table(table, "probing", profile, caption(config, config.train.steps, note))
display(table.drop(columns="baseline_std").style.format(precision=3).format({name: "{:,}" for name in ("positives", "used")}).hide(axis="index"))

# %% [markdown]
# What that says about the claim (written from the numbers):

# %%
scored = frame.dropna(subset="accuracy")
above = scored[scored["significant"]]
below = scored[~scored["significant"]]
skipped = frame[frame["accuracy"].isna()]
texts = [f"**{len(above)} of {len(scored)} attributes** are significantly above the majority baseline."]
if len(above):
    best = table.iloc[0]
    texts.append(f"Most is gained for *{best['attribute'].replace('_', ' ')}*: {best['baseline']:.1%} → {best['accuracy']:.1%}.")
if len(below):
    texts.append(f"Not above it: {', '.join(name.replace('_', ' ') for name in below['attribute'])}. As in the paper, not everything that can be said about a face can be read linearly from its codes.")
else:
    texts.append("None is left at the baseline, unlike in the paper: the attributes of drawn faces are simpler than those of photographs.")
if len(skipped):
    texts.append("Not scored: " + "; ".join(f"{name.replace('_', ' ')} ({reason})" for name, reason in zip(skipped["attribute"], skipped["note"], strict=True)) + ".")
display(Markdown("  \n".join(f"- {text}" for text in texts)))

# %% [markdown]
# Does it matter that the autoencoder was trained on most of these faces? The same probe on the held-out faces alone, which no step has seen; it has fewer faces to learn from.

# %%
unseen = probe(heldout_codes, attributes.loc[heldout.ids], K, folds=folds, seed=seed)
both = frame.merge(unseen, on="attribute", suffixes=("", "_heldout")).dropna(subset=["accuracy", "accuracy_heldout"])
differences = (both["accuracy_heldout"] - both["baseline_heldout"]) - (both["accuracy"] - both["baseline"])
display(Markdown(
    f"On {len(heldout):,} held-out faces alone {int(unseen['significant'].sum())} attributes are significantly above the baseline; "
    f"the gain over it differs by {differences.median():+.1%} in the median attribute, {differences.min():+.1%} to {differences.max():+.1%} over all."
))

# %% [markdown]
# ## A code with a meaning
#
# Take the attribute with the greatest gain, and the code whose presence goes with it most closely (by the correlation of the two yes-or-no variables, over the training faces).

# %%
name = top.iloc[0]["attribute"]
labels = attributes.loc[train.ids, name].astype(float).to_numpy()
known = np.isfinite(labels)
has = presence(run.codes("train"), K)[known].toarray()
label = labels[known] - labels[known].mean()
spread = has.std(axis=0)
correlation = np.divide(label @ has / len(has), spread * label.std(), out=np.zeros(K), where=spread > 0)
ranked = np.argsort(-correlation)[:5]
title = name.replace("_", " ")
with_code = [labels[known][has[:, code] > 0].mean() for code in ranked]
without = [labels[known][has[:, code] == 0].mean() for code in ranked]
strongest = pd.DataFrame({"code": ranked, "faces that have it": [f"{has[:, code].mean():.1%}" for code in ranked], "correlation": correlation[ranked],
                          f"{title}, with the code": with_code, f"{title}, without": without})
display(strongest.style.format(precision=2).format({column: "{:.1%}" for column in strongest.columns[3:]}).hide(axis="index"))

# %% [markdown]
# Held-out faces that have the first of these codes, and faces that do not. Is it only correlated with the attribute, or does it *make* it? In the last row the code is put into the faces of the second row, in exchange for the code of the same learned token (notebook 04 shows that tokens keep to their codes), and the sets are decoded.

# %%
code = int(ranked[0])
slot = int(slot_usage(run.codes("train"), K).counts[:, code].argmax())
present = (heldout_codes == code).any(axis=1)
shown = min(10, int(present.sum()), int((~present).sum()))
generator = np.random.default_rng(seed)
have = np.sort(generator.choice(np.flatnonzero(present), shown, replace=False))
lack = np.sort(generator.choice(np.flatnonzero(~present), shown, replace=False))
changed = heldout_codes[lack].copy()
changed[:, slot] = code
model = run.model()
decoded = [model.decode(torch.from_numpy(rows)) for rows in (heldout_codes[lack], changed)]
pictures = torch.cat([heldout.images[have].float() / 255, heldout.images[lack].float() / 255, *decoded])
figure = plot_images(pictures, columns=shown, row_labels=[f"with code {code}", f"without code {code}", "reconstructed", f"code {code} put in"])
save_figure(figure, "predictive_codes", profile, caption(config, config.train.steps, f"held-out faces drawn from the seed; code {code} goes with the attribute “{title}”"));

# %% [markdown]
# **What to look at.** What do the faces of the first row have in common that those of the second lack? It need not be the attribute alone: codes follow what the reconstruction needs, and attributes that go together (notebook 00) are told by the same code. The last row shows what one code can do by itself. How much it changes, against an exchange for a random code:

# %%
other = heldout_codes[lack].copy()
other[:, slot] = [generator.choice(np.setdiff1d(np.arange(K), row)) for row in heldout_codes[lack]]
effect, chance = (float((model.decode(torch.from_numpy(rows)) - decoded[0]).abs().mean()) for rows in (changed, other))
display(Markdown(f"Mean change of a pixel: {effect:.4f} with code {code}, {chance:.4f} with a random code in its place."))

# %% [markdown]
# The numbers, for the verdict.

# %%
numbers = {
    "images": len(codes),
    "heldout": len(heldout),
    "folds": folds,
    "scored": len(scored),
    "significant": len(above),
    "significant_attributes": above["attribute"].tolist(),
    "not_significant": below["attribute"].tolist(),
    "not_scored": skipped["attribute"].tolist(),
    "significant_heldout": int(unseen["significant"].sum()),
    "top": top[["attribute", "accuracy", "std", "baseline"]].to_dict("records"),
    "predictive_code": {"attribute": name, "code": code, "slot": slot, "correlation": float(correlation[code]),
                        "share_with": float(with_code[0]), "share_without": float(without[0])},
}
save_json(numbers, "probing", profile);

# %% [markdown]
# ## Provenance
#
# What made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, run=run.folder.name))
