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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/07_probing.ipynb)
#
# **Claim that is tested here.** "For certain attributes […] the logistic regression is significantly more accurate than the baseline", so that "the semantic codes capture separable, interpretable features"; for others it "is not much better than predicting the majority class" (Section 4.4, Fig. 5). The control is what an *untrained* encoder's codes tell: only what goes beyond that was learned.
#
# **Afterwards you can**
#
# - state the probe: its inputs, its model, its baseline and its control;
# - say which attributes the codes hold, and which training put there;
# - compute a limit that no probe can exceed, not even a nonlinear one.
#
# Read with it: Sections 3.8 and 4.4, and Fig. 5 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the trained matching models ([notebook 03](03_train.ipynb)), or the model that comes with the project |
# | makes | `fig5_probing`, `probing`, `predictive_codes`, and the numbers `probing.json` in `figures/<profile>/` |

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

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
from collections import Counter

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.charts import plot_probing
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled, to_markdown
from pivq.inference import encode_images
from pivq.probing import correlate_codes, pixel_statistics, probe, top_attributes
from pivq.runs.probes import compare_probes, in_words
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.shipped import ShippedRun, runs_to_show, which
from pivq.runs.splits import load_split
from pivq.runs.teaching.exercises import check_ceiling, check_presence
from pivq.runs.untrained import untrained_model
from pivq.usage import presence, slot_usage

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The paper probes its whole data set, so the next cell takes the codes and attributes of all faces, training and held-out together. Training never saw an attribute, and every accuracy is measured on faces that its probe was not fitted to. *Learned* tokens are what the paper describes; *drawn* tokens are our variant, where they are trained ([notebook 03](03_train.ipynb)).

# %%
runs = runs_to_show(config)
display(Markdown(which(runs["learned, matching"])))
run, drawn = runs["learned, matching"], runs.get("drawn, matching")
train, heldout = load_split(config, "train"), load_split(config, "heldout")
K, L, folds = config.model.codebook_size, config.model.num_codes, config.evaluation.probe_folds
heldout_codes = run.codes("heldout")
codes = np.concatenate([run.codes("train"), heldout_codes])
if train.attributes is None:
    statistics = pd.concat(
        [pixel_statistics(split.images.numpy(), split.ids) for split in (train, heldout)]
    )
    attributes = (statistics > statistics.median()).astype("Int8")
    display(
        Markdown(
            "**These images have no labels.** Simple properties of their pixels are probed "
            "instead, "
            "each true of the half of the images that has more of it."
        )
    )
else:
    attributes = pd.concat([train.attributes, heldout.attributes])
count = attributes.shape[1]
display(
    Markdown(
        f"{len(codes):,} faces, {count} attributes, {K} inputs of which {L} are 1 for each face."
    )
)

# %% [markdown]
# ## The probe
#
# A *probe* is a simple classifier that reads an attribute from the codes; if it succeeds, the attribute is in them. Each face becomes a row $p \in \{0, 1\}^K$ of zeros and ones: $p_k = [\,k \in C_x\,]$, is the code among its codes or not? The probe does not learn where in the set a code stands. Here is the first face, and what the probe sees of it:

# %%
inputs = presence(codes, K)
row = inputs[0].toarray()[0].astype(int)
display(
    Markdown(
        f"codes {sorted(codes[0].tolist())}  \ninputs "
        f"{''.join(map(str, row[:64]))}{'…' if K > 64 else ''}"
    )
)

# %% [markdown]
# The probe is one **logistic regression** per attribute: a weight $w_k$ for each code and a bias $b$ give the probability of a yes,
#
# $$P(y = 1 \mid C_x) = \sigma \Big( b + \sum_{k \in C_x} w_k \Big), \qquad \sigma(s) = \frac{1}{1 + e^{-s}}.$$
#
# So each code adds its vote, and the other codes do not change it. It is *cross-validated*: the faces are split into folds, and each fold is predicted by a probe that was fitted to the others. Folds are stratified, so each has the same share of positives. The *baseline* always predicts the class that is more frequent. An attribute is **significantly above** the baseline if the error bars (one standard deviation over folds) of probe and baseline do not overlap. Faces whose attribute cannot be seen are left out for that attribute.

# %% [markdown]
# **The control** is an encoder that was never trained: its first random weights, and a codebook fitted to its latents as at $T_q$. Random networks keep much of an image, so a probe of their codes finds attributes, too. The next cell encodes all faces with such an encoder and probes all models. This takes about a minute.

# %%
images = torch.cat([train.images, heldout.images])
probes = {"learned": probe(codes, attributes, K, folds=folds, seed=seed)}
untrained_codes = encode_images(untrained_model(config, train.images), images)
probes["untrained"] = probe(untrained_codes, attributes, K, folds=folds, seed=seed)
if drawn:
    of_drawn = np.concatenate([drawn.codes("train"), drawn.codes("heldout")])
    probes["drawn"] = probe(
        of_drawn, attributes, drawn.config.model.codebook_size, folds=folds, seed=seed
    )
frame = compare_probes(probes)
top = top_attributes(frame, len(frame))
note = f"{len(codes):,} faces, {folds}-fold cross-validation; learned tokens, matching"
figure = plot_probing(top)
line = caption(config, config.train.steps, f"{note}; all attributes that have a score")
save_figure(figure, "fig5_probing", config, line);

# %% [markdown]
# **What to look at.** The paper shows "the top 15 most predictable" attributes; here are all, those with most accuracy gained over the baseline first. Look at the distance between mark and dot, not at the height of the dot: a machine that knows nothing "predicts" an attribute that 95% of faces lack with 95% accuracy. Then compare the dot with the square, the untrained encoder: where they are equal, training taught the codes nothing about the attribute, and where the dot is lower, training *lost* it. The table has the same in numbers. Its `note` says why an attribute has no score.

# %%
table = pd.concat([top, frame[frame["accuracy"].isna()]], ignore_index=True)
table.insert(4, "gain", table["accuracy"] - table["baseline"])
save_table(table, "probing", config, caption(config, config.train.steps, note))
shown = table.drop(columns=[name for name in table if name.endswith("_std")])
shown = shown.rename(columns=lambda column: column.replace("_", " "))
display(Markdown(to_markdown(shown.assign(attribute=shown["attribute"].str.replace("_", " ")))))

# %% [markdown]
# The next cell says in words what the table shows.

# %%
display(Markdown("\n".join(f"- {line}" for line in in_words(frame))))

# %% [markdown]
# The next table counts them. The paper finds attributes that are significantly above the baseline, and others that are not. Whether the *training* put them into the codes, the control decides: the row "above the untrained encoder, too".

# %%
scored = frame.dropna(subset="accuracy")
above = scored[scored["significant"]]
below = scored[~scored["significant"]]
skipped = frame[frame["accuracy"].isna()]
beyond = above[above["beyond_untrained"]]
groups = {"significantly above the baseline": above, "above the untrained encoder, too": beyond,
          "not above the baseline": below, "not scored": skipped}
rows = [
    [name, len(part), ", ".join(part["attribute"]).replace("_", " ")]
    for name, part in groups.items()
]
display(styled(pd.DataFrame(rows, columns=["", "attributes", "which"])))

# %% [markdown]
# Does it matter that the autoencoder was trained on most of these faces? The next cell applies the same probe to the held-out faces alone, which no step has seen. It has fewer faces to learn from.

# %%
unseen = probe(heldout_codes, attributes.loc[heldout.ids], K, folds=folds, seed=seed)
both = frame.merge(unseen, on="attribute", suffixes=("", "_heldout")).dropna(
    subset=["accuracy", "accuracy_heldout"]
)
differences = (both["accuracy_heldout"] - both["baseline_heldout"]) - (
    both["accuracy"] - both["baseline"]
)
display(
    Markdown(
        f"On {len(heldout):,} held-out faces alone, {int(unseen['significant'].sum())} attributes "
        "are significantly above "
        f"the baseline. The gain over it differs by {differences.median():+.1%} in the median "
        "attribute, and by "
        f"{differences.min():+.1%} to {differences.max():+.1%} over all."
    )
)

# %% [markdown]
# ## What no probe can know
#
# Is an attribute that the probe does not find absent from the codes, or would a better classifier find it? There is a limit that holds for *every* classifier, linear or not. Faces with the same set of codes look the same to it, so it can be right at most for the more frequent label of each such group:
#
# $$\text{accuracy} \;\le\; \frac1N \sum_{S} \max_{y} \big|\{ n : C_{x_n} = S,\; y_n = y \}\big|.$$
#
# The next cell counts the faces that share their whole set with another one. Exercise 7.2 computes the limit.

# %%
sets = [frozenset(row) for row in codes.tolist()]
sizes = Counter(sets)
sharing = sum(count for count in sizes.values() if count > 1)
display(
    Markdown(
        f"{len(sizes):,} different sets of codes for {len(sets):,} faces: {sharing:,} faces share "
        "theirs "
        f"with another face, {max(sizes.values())} at most."
    )
)

# %% [markdown]
# ## A code with a meaning
#
# Take the attribute with the greatest gain, and the code whose presence goes with it most closely (by the correlation of the two yes-or-no variables, over the training faces).

# %%
name = top.iloc[0]["attribute"]
title = name.replace("_", " ")
strongest = correlate_codes(run.codes("train"), attributes.loc[train.ids, name], K).nlargest(
    5, "correlation"
)
titles = {
    "share": "faces that have it",
    "with_code": f"{title}, with the code",
    "without_code": f"{title}, without",
}
table = strongest.rename(columns=titles).rename_axis("code")
table = table.reset_index()
shares = dict.fromkeys(titles.values(), "{:.1%}")
display(styled(table, shares | {"correlation": "{:.2f}"}))

# %% [markdown]
# The figure shows held-out faces that have the first of these codes (learned tokens), and faces that do not. Is the code only correlated with the attribute, or does it *make* it? In the fourth row, the code is put into the faces of the second row, in exchange for the code of the same learned token, and the sets are decoded. In the last row, a random code is put there instead. The title has the mean change of a pixel by both. ([Notebook 04](04_capacity.ipynb) shows whether tokens keep to their codes.)

# %%
code = int(strongest.index[0])
slot = int(slot_usage(run.codes("train"), K).counts[:, code].argmax())
present = (heldout_codes == code).any(axis=1)
shown = min(8, int(present.sum()), int((~present).sum()))
generator = np.random.default_rng(seed)
have = np.sort(generator.choice(np.flatnonzero(present), shown, replace=False))
lack = np.sort(generator.choice(np.flatnonzero(~present), shown, replace=False))
changed = heldout_codes[lack].copy()
changed[:, slot] = code
other = heldout_codes[lack].copy()
other[:, slot] = [generator.choice(np.setdiff1d(np.arange(K), row)) for row in heldout_codes[lack]]
model = run.model()
decoded = [model.decode(torch.from_numpy(rows)) for rows in (heldout_codes[lack], changed, other)]
effect, chance = (float((images - decoded[0]).abs().mean()) for images in decoded[1:])
pictures = torch.cat(
    [heldout.images[have].float() / 255, heldout.images[lack].float() / 255, *decoded]
)
labels = [f"with code {code}", f"without code {code}", "reconstructed"]
labels += [f"code {code} put in", "a random code put in"]
figure = plot_images(pictures, columns=shown, row_labels=labels)
measured = f"Mean change of a pixel: {effect:.1%} of the range by code {code}, "
measured += f"{chance:.1%} by a random code"
figure.suptitle(measured, x=0.01, y=1.01, ha="left", va="bottom", fontsize=11)
note = f"held-out faces drawn from the seed; code {code} goes with the attribute “{title}”"
save_figure(figure, "predictive_codes", config, caption(config, config.train.steps, note))

# %% [markdown]
# **What to look at.** What do the faces of the first row have in common that those of the second lack? It need not be the attribute alone: codes serve the reconstruction, and one code can carry several attributes that go together ([notebook 00](00_meet_the_faces.ipynb)). The fourth row shows what one code can do by itself, and the last row what any exchange does: only what the fourth row has *and the last one lacks* is made by this code. Look also for traits that come with it although nobody asked for them.

# %% [markdown]
# The next cell saves the numbers for the verdict.

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
    "top": top[["attribute", "accuracy", "std", "baseline"]].head(15).to_dict("records"),
    "attributes": scored.drop(columns="note").to_dict("records"),
    "above_untrained": beyond["attribute"].tolist(),
    "untrained_significant": int(scored["untrained_significant"].sum()),
    "lost_by_training": scored.loc[scored["below_untrained"], "attribute"].tolist(),
    "predictive_code": {
        "attribute": name,
        "code": code,
        "slot": slot,
        "correlation": strongest.loc[code, "correlation"],
        "share_with": strongest.loc[code, "with_code"],
        "share_without": strongest.loc[code, "without_code"],
    },
}
if not isinstance(run, ShippedRun):  # the verdict is on runs of one's own
    save_json(numbers | stamp(config, config.train.steps), "probing", config)

# %% [markdown]
# ## Summary
#
# - The probe sees presence and absence of codes, and adds their votes. Compare an accuracy with the majority baseline, and a claim about *learning* with the untrained encoder.
# - Some attributes are in the codes, some are not, and some are lost by training.
# - Faces that share their whole set of codes set a limit for any classifier.
# - A code that goes with an attribute need not make it: that takes an experiment.
#
# Next: [notebook 08](08_verdict.ipynb) collects the verdict.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 7.1: the probe's inputs
#
# Write the table of the probe's inputs, `(N, K)` zeros and ones, from codes `(N, L)` as a numpy array.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def presence_table(codes, codebook_size):
    """Return an array (N, K): 1 where the code is among the face's codes, else 0."""
    table = np.zeros((len(codes), codebook_size), dtype=int)
    table[np.arange(len(codes))[:, None], codes] = 1
    return table

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_presence(presence_table)))

# %% [markdown]
# ### Exercise 7.2: a limit for every probe
#
# Write the limit above as a function of codes `(N, L)` and labels `(N,)`, both numpy arrays. Then apply it: which attributes does it cap well below 100%?

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def ceiling(codes, labels):
    """Return the accuracy that no classifier of sets of codes can exceed."""
    groups = {}
    for row, label in zip(codes.tolist(), labels.tolist(), strict=True):
        groups.setdefault(frozenset(row), Counter())[label] += 1
    return sum(max(group.values()) for group in groups.values()) / len(labels)


limits = {}
for attribute, column in attributes.items():
    seen = column.notna().to_numpy()
    limits[attribute] = ceiling(codes[seen], column[seen].to_numpy(int))
lowest = sorted(limits, key=limits.get)[:5]
display(Markdown("The lowest limits: " + ", ".join(
    f"{attribute.replace('_', ' ')} {limits[attribute]:.1%}" for attribute in lowest
)))

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_ceiling(ceiling)))

# %% [markdown]
# ### Exercise 7.3: what does the limit prove?
#
# An attribute has a limit of 96%, a probe of 62% and a baseline of 60%. Is it in the codes?
#
# <details><summary>Answer</summary>
#
# The limit does not settle it. It only proves what is *lost*: 4% of the labels cannot be known from the codes, by anything. That groups of equal sets are small makes the limit generous: a face with a set of its own counts as known, although no rule could be learned from it. The probe shows that hardly anything is there for a *linear* reader. Between the two, a stronger classifier on held-out faces would decide.
#
# </details>

# %% [markdown]
# ### Exercise 7.4: why the untrained encoder?
#
# Why is the majority baseline alone no control for "the codes learned this attribute"?
#
# <details><summary>Answer</summary>
#
# A random network keeps much of an image: overall brightness, large shapes. A probe of its codes beats the majority as well, and nothing was learned there. Only the difference between trained and untrained codes is the work of training.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Probes.** G. Alain, Y. Bengio: Understanding Intermediate Layers Using Linear Classifier Probes. [arXiv:1610.01644](https://arxiv.org/abs/1610.01644), 2016.
# - **FFHQ.** T. Karras, S. Laine, T. Aila: A Style-Based Generator Architecture for Generative Adversarial Networks. TPAMI 2021. [arXiv:1812.04948](https://arxiv.org/abs/1812.04948).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
folders = {label: made.folder.name for label, made in runs.items() if label.endswith("matching")}
facts = stamp(config, steps=config.train.steps, runs=folders)
display(facts_table(facts))
