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
# # 14 · What codes mean, and editing
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/14_what_codes_mean.ipynb)
#
# **Beyond the paper.** The paper probes its codes for attributes (Section 3.8) and shows that they can be read. Does a single code *mean* something? This notebook counts what each code says, decodes what each code does, computes the scores that the literature on disentanglement uses, and tests the probe: if its weights say which codes make a hat, exchanging these codes should put a hat on.
#
# **Afterwards you can**
#
# - tell what a code says (counted on labels) from what it does (decoded);
# - compute mutual information, disentanglement, completeness and the mutual information gap (MIG) of sets, each with its control;
# - edit a face by exchanging the fewest codes, and say why greedy finds the fewest;
# - judge an edit by its picture, not by the probe that made it.
#
# Read with it: Section 3.8 of [the paper](https://arxiv.org/abs/2604.01843), [notebook 07](07_probing.ipynb) and [notebook 11](11_better_samples.ipynb). `./run_all.sh --extras` runs this notebook after the others.
#
# | | |
# |---|---|
# | needs | the trained models ([notebook 03](03_train.ipynb)), or the model that comes with the project; rivals of [notebook 13](13_rivals.ipynb) that are trained here are scored too |
# | makes | `atlas`, `code_bits`, `code_atlas`, `disentanglement`, `editing`, `edit_success`, `edits`, `what_codes_mean` in `figures/<profile>/` |

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
# These are the parameters. No model is trained here, so `force` and `steps` change nothing but which model is shown.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
device = "auto"
features = ""

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import numpy as np
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.atlas_charts import plot_atlas, plot_code_bits, plot_edits, plot_success
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.inference import decode_in_batches, encode_images
from pivq.pretrained.features import load_feature_network
from pivq.processes import pick_device
from pivq.runs.beyond import atlas as atlas_of
from pivq.runs.beyond import disentanglement, editing
from pivq.runs.beyond.atlas import (
    alternatives,
    best_bits,
    chance_of_groups,
    code_atlas,
    labels_of_splits,
    measure_swaps,
    most_telling,
    picture_code,
    row_label,
)
from pivq.runs.beyond.disentanglement import SCORED, of_rival, of_sets, score_all
from pivq.runs.beyond.editing import (
    chosen_edits,
    fit_probe,
    goals_in_words,
    in_plain_words,
    mean_edit,
    measure_editing,
    over_goals,
)
from pivq.runs.beyond.information import entropy_bits
from pivq.runs.beyond.picture_judge import Judge, judge_table
from pivq.runs.beyond.rivals import CONTENDERS, OURS, is_trained, open_contender
from pivq.runs.evaluation import decoded_features, image_features
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.recombination import as_records
from pivq.runs.shipped import LABEL, runs_to_show, which
from pivq.runs.splits import load_split
from pivq.runs.untrained import untrained_model

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads the paper's model (learned tokens, matching), the codes of all images, and their attributes.

# %%
run = runs_to_show(config)[LABEL]
on = pick_device(device)
model, size = run.model(on), run.config.model.codebook_size
train, heldout = load_split(config, "train"), load_split(config, "heldout")
codes, unseen = run.codes("train"), run.codes("heldout")
labels = labels_of_splits(train, heldout)
names = list(labels.train.columns)
display(Markdown(f"{which(run)} K = {size:,}, L = {codes.shape[1]}; {len(names)} attributes."))
if not labels.given:
    display(Markdown("**These images have no labels**: statistics of pixels stand in for them."))

# %% [markdown]
# ## What can be exchanged
#
# A code cannot be taken out of a set or added to it: an image has exactly $L$ codes. It can be exchanged for an **alternative**. Which codes are alternatives? Two answers: the codes of one *learned token* ([notebook 04](04_capacity.ipynb)), or an *exchange group*, codes that never meet in an image, found from the sets alone ([notebook 11](11_better_samples.ipynb)). The table says how many of the groups have no code, one code or more in an image. Where tokens have divided the codebook, each image has exactly one code of each token; exchange groups can put codes of two tokens together that happen never to meet. The partition with more exact ones is used below; its parts are called groups. Only a code that is alone in its group is exchanged, so a set stays a set.

# %%
found = alternatives(codes, size)
groups = found.groups
display(styled(found.sizes, dict.fromkeys(found.sizes.columns[1:], "{:.1%}")))
display(Markdown(f"Groups are taken by **{found.kind}**."))

# %% [markdown]
# ## What codes say
#
# Let $u$ be 1 for images that have a code, and $y$ an attribute. Their **mutual information** is how many bits the code says about the attribute. With counts $n$ of $N$ images,
#
# $$I(u; y) = \sum_{u, y} \frac{n_{uy}}{N} \log_2 \frac{n_{uy}\,N}{n_u\,n_y} \;\le\; H(y),$$
#
# where $H(y)$ is the entropy of the attribute, the most that can be said about it. The same formula holds where $u$ is *which* code of a group an image has. It is computed from counts, exactly; but any two things that are counted together agree a little. So the **control** shuffles the images' labels and takes the most that any code says about any attribute, of 20 shuffles.
#
# The next cell compares, for each attribute, the best group of codes, the best single code, the best group of an encoder that was never trained, and chance.

# %%
blank = untrained_model(config, train.images, device=on)
blank_codes = encode_images(blank, train.images[:SCORED])
blank_unseen = encode_images(blank, heldout.images)
blank_found = alternatives(blank_codes, size)
blank_groups = blank_found.groups
some = labels.train.iloc[:SCORED]
best = best_bits(codes[:SCORED], groups, some, size)
first = best_bits(blank_codes, blank_groups, some, size)
by_chance = chance_of_groups(codes[:SCORED], groups, some, size, seed)
bits = {
    "best group": best["group"],
    "best single code": best["code"],
    "best group, untrained encoder": first["group"],
    "chance: the best group, labels shuffled": np.full(len(names), by_chance),
}
entropy = entropy_bits(some)
figure = plot_code_bits(bits, names, entropy)
note = f"{LABEL}; {len(some):,} training images"
save_figure(figure, "code_bits", config, caption(config, note=note));

# %% [markdown]
# The dotted line is one number of bits, the most that any group says about any shuffled attribute; as a share it is larger where an attribute has a small entropy.
#
# **What to look at.** Where circle and diamond are at the same place, one code is the attribute's own. Where the circle is far to the right, the attribute is spread over the codes of a group, each for a part of the images that have it: no single code means it, but the group does. Where everything lies at the dotted line, no code and no group says anything alone, even if the probe of [notebook 07](07_probing.ipynb) reads the attribute from many.

# %% [markdown]
# ## What codes do
#
# A code can say "hat" because it makes the hat, or because it makes something that goes with hats. So each code is put into held-out faces that lack it, in exchange for the code of its group, and the change of the picture, $\Delta_i$ for face $i$, is measured. Its **consistency** is
#
# $$\frac{\lVert \tfrac1n \sum_i \Delta_i \rVert}{\tfrac1n \sum_i \lVert \Delta_i \rVert} \in [0, 1],$$
#
# 1 if the code changes every face alike, and about $1/\sqrt n$ if it does something else in every face. The **control** puts a random other code of the group into each of the same faces; these differ from face to face, so its consistency can hardly be higher, and says only how different the codes of a group are. *Spread* is the share of the picture that changes, as in [notebook 05](05_interpolation.ipynb).
#
# The table has all codes; the codes that say most are shown. *Lift* is the share of the attribute among images with the code, over its share among all.

# %%
atlas, chance = code_atlas(codes, labels.train, size, groups, seed=seed)
swaps = measure_swaps(
    model.decode, unseen[: atlas_of.FACES], groups, atlas["code"].to_numpy(), seed=seed
)
atlas = atlas.merge(swaps, on="code", how="left")
note = f"{LABEL}; {len(codes):,} training images; put into {atlas_of.FACES} held-out faces"
save_table(atlas, "atlas", config, caption(config, note=f"{note}; chance {chance:.4f} bits"))
shown = most_telling(atlas, 15, chance)
columns = ["code", "images", "token", "attribute", "bits", "part", "lift", "beyond_chance"]
columns += ["change", "consistency", "random_consistency", "spread", "where"]
percent = dict.fromkeys(["part", "change", "spread"], "{:.0%}")
table = shown[columns].assign(attribute=shown["attribute"].str.replace("_", " "))
table = table.rename(columns=lambda name: name.replace("_", " "))
display(styled(table, percent, precision=2, na_rep="–"))

# %% [markdown]
# The figure has a row for each attribute's own code: the code that says most about it. No face is chosen; the first ones of each kind are shown. The number after × is the lift. Where it is below 1, the code belongs to faces *without* the attribute. The last column is the mean change, blue where the picture gets darker and red where it gets brighter.

# %%
rows = [
    picture_code(model.decode, heldout.images, unseen, groups, int(code))
    for code in shown["code"].head(10)
]
figure = plot_atlas(rows, [row_label(row) for row in shown.head(10).to_dict("records")])
line = caption(config, note=f"{LABEL}; held-out faces, the first of each kind")
save_figure(figure, "code_atlas", config, line);

# %% [markdown]
# **What to look at.** Compare the first part of a row with the third: does the code, put in, bring what the faces with it have in common? And look at the last column: is the change where the attribute is, or all over the face? The sentences are computed.

# %%
told = {"atlas": atlas_of.in_words(atlas, chance)}
display(Markdown("\n".join(f"- {sentence}" for sentence in told["atlas"])))

# %% [markdown]
# ## Scores of the literature, on sets
#
# Papers on disentanglement score representations whose *units* are numbered, such as the dimensions of a VAE. A set has no numbered units. Two things can stand in: a **code**, there or not ($K$ units), or a **group** of alternatives, whose value is the code that the image has of it ($L$ units). The group is what can be compared with a dimension of a VAE or a cell of a VQ-VAE: all codes of a group share what a dimension says alone, so scores by code are low by construction.
#
# - **DCI** (disentanglement, completeness, informativeness). A predictor of each attribute $a$ uses unit $u$ with an importance $R_{ua}$. A unit is *disentangled* if it serves one attribute, an attribute *complete* if it needs one unit:
#
# $$D_u = 1 - H_A\big(R_{u\cdot} / \textstyle\sum_a R_{ua}\big), \qquad C_a = 1 - H_U\big(R_{\cdot a} / \textstyle\sum_u R_{ua}\big),$$
#
# with entropies to the base of the number of attributes and units. $D$ is the mean over units weighted by importance, $C$ the mean over attributes. *Informativeness* is the accuracy on held-out images above the more frequent class. The predictor is logistic regression with an L1 penalty, whose strength is chosen on other images; a predictor that uses no unit is among the choices. A predictor that uses few units makes $D$ high even if it reads nothing, so both are also computed with mutual information in the place of $R$ (*by bits*).
# - **MIG** (mutual information gap). The bits of the most informative unit less those of the second, over $H(y)$; the mean over attributes.
#
# The **controls** are shuffled labels and the untrained encoder. Rivals are scored where they are trained on this machine.

# %%
scored = [of_sets("PI-VQ", codes, unseen, size, groups, found.kind)]
blank_name = "PI-VQ, untrained"
scored.append(
    of_sets(blank_name, blank_codes, blank_unseen, size, blank_groups, blank_found.kind)
)
kinds = {one.kind: one for one in CONTENDERS if one.kind != OURS and is_trained(config, one)}
for one in kinds.values():
    rival = open_contender(config, one, device)[0]
    name = one.name.split(",")[0]
    scored.append(of_rival(name, rival, train.images, heldout.images, on))
if not kinds:
    display(
        Markdown(
            "No rival is trained here, so PI-VQ is scored with its controls alone. "
            "`python benchmarks/complete_rivals.py --seeds 0` trains them, in hours."
        )
    )
scores = score_all(scored, labels.train.iloc[:SCORED], labels.heldout, seed)
line = caption(config, note=f"{LABEL}; {min(SCORED, len(train)):,} training images")
save_table(scores, "disentanglement", config, line)
table = scores.rename(columns={"mig": "MIG"}).rename(columns=lambda name: name.replace("_", " by "))
display(styled(table, {"informativeness": "{:.1%}"}, precision=3, na_rep="–"))

# %% [markdown]
# The next cell says what the table supports.

# %%
told["disentanglement"] = disentanglement.in_words(scores)
display(Markdown("\n".join(f"- {sentence}" for sentence in told["disentanglement"])))

# %% [markdown]
# ## Editing by the probe
#
# The probe gives each code a weight, and an image the probability $\sigma\big(b + \sum_{k \in \mathcal S} w_k\big)$ of the attribute. Exchanging code $k$ for $k'$ of its group gains $w_{k'} - w_k$, independently of the other groups. So the most that $m$ exchanges can gain is the sum of the $m$ largest gains of different groups, and **greedy is optimal**: take the largest gains one after the other until the probe is 90% sure; no other choice needs fewer exchanges. (`tests/runs/beyond/test_editing.py` compares it with trying every set.) At most 8 codes are exchanged.
#
# The probe then says yes, by construction. A **judge** that knows nothing of codes decides whether the *picture* shows the attribute: linear classifiers of image features, fitted to real training pictures. It is not perfect, and decoded pictures are blurred: how well it reads reconstructions of real faces is the ceiling of any edit.

# %%
network = load_feature_network(config.evaluation.features, on)
judge = Judge(image_features(train, network, config.profile), labels.train)
real = image_features(heldout, network, config.profile)
again = decoded_features(run, network, torch.from_numpy(unseen))
ceiling = judge_table(judge, real, again, labels.heldout)
shares = dict.fromkeys(ceiling.columns[1:], "{:.0%}")
ceiling = ceiling.assign(attribute=ceiling["attribute"].str.replace("_", " "))
display(styled(ceiling, shares, na_rep="–"))

# %% [markdown]
# Each attribute is added to held-out faces that lack it and removed from faces that have it; only faces whose reconstruction the judge reads right are edited, so that nothing succeeds before it begins. The **control** exchanges codes at the same places for random others of the same groups. *Identity* is how far the picture moves in features, as a share of the mean distance between two different faces; *others* counts the other attributes that the judge reads differently.

# %%
probe = fit_probe(codes, labels.train, size)
table, edits, between = measure_editing(
    run, network, judge, probe, labels.heldout, groups, seed=seed
)
told["editing"] = editing.in_words(table, between)
note = f"{LABEL}; up to {editing.FACES} held-out faces each; goal {editing.GOAL:.0%}"
line = caption(config, note=note)
if len(table):
    save_table(table, "editing", config, line)
    save_figure(plot_success(table), "edit_success", config, line)
    shares = ["reached", "success", "control", "ceiling", "identity", "identity, control"]
    readable = in_plain_words(table)
    display(styled(readable, dict.fromkeys(shares, "{:.0%}"), precision=1, na_rep="–"))

# %% [markdown]
# **What to look at.** An edit means something only where the circle is far from the cross: random exchanges in the same groups change a face, too. Where both succeed, it was enough to take the old code away; the new one did not matter. Where the circle is near the bar, the edit does all that the judge could see. Pale attributes are those that the judge does not read well from reconstructions; they do not count.
#
# Does the probe say yes too early? The next cell asks it to be surer, which takes more exchanges. It edits fewer faces of each attribute; the rows are means over the attributes and directions that can be judged.

# %%
by_goal = over_goals(run, network, judge, probe, labels.heldout, groups, seed=seed)
told["editing"] += goals_in_words(by_goal)
shares = ["reached", "success", "control", "identity", "identity, control"]
formats = dict.fromkeys(shares, "{:.0%}") | {"goal": "{:.1%}", "exchanges": "{:.1f}"}
display(styled(in_plain_words(by_goal), formats, na_rep="–"))

# %% [markdown]
# The next figure shows edits from the most to the least successful, evenly spaced, with the first faces of each. A blue frame: the judge sees what was wanted; an orange one: it does not.

# %%
chosen = chosen_edits(table, 8)
faces = [
    [decode_in_batches(model.decode, torch.from_numpy(sets[:3])) for sets in edits[key][:3]]
    for key in chosen
]
verdicts = [(edits[key].success[:3], edits[key].control_success[:3]) for key in chosen]
if chosen:
    figure = plot_edits(faces, verdicts, list(chosen.values()))
    save_figure(figure, "edits", config, line)

# %% [markdown]
# ## Summary

# %%
numbers = {"atlas": as_records(shown), "chance": chance, "scores": as_records(scores)}
numbers |= {"editing": as_records(table), "between": between, "sentences": told}
numbers |= {"goals": as_records(by_goal), "edited": mean_edit(table)}
numbers["bits"] = {kind: dict(zip(names, values, strict=True)) for kind, values in bits.items()}
save_json(numbers | stamp(config, config.train.steps), "what_codes_mean", config)
display(Markdown("\n".join(f"- {sentence}" for part in told.values() for sentence in part)))

# %% [markdown]
# **How to read it.** That a probe reads an attribute says that the codes *contain* it. That exchanging its codes changes the picture says that they *make* it. The first can hold without the second: a probe uses everything that goes together in the data. And a score of disentanglement says neither: it is a property of the codes and of the attributes that somebody happened to label.
#
# Next: [notebook 15](15_other_data.ipynb) trains the same model on other pictures.

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **DCI.** C. Eastwood, C. K. I. Williams: A Framework for the Quantitative Evaluation of Disentangled Representations. ICLR 2018. [openreview](https://openreview.net/forum?id=By-7dz-AZ).
# - **MIG.** R. T. Q. Chen, X. Li, R. Grosse, D. Duvenaud: Isolating Sources of Disentanglement in Variational Autoencoders. NeurIPS 2018. [arXiv:1802.04942](https://arxiv.org/abs/1802.04942).
# - **What the scores do not say.** F. Locatello et al.: Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations. ICML 2019. [arXiv:1811.12359](https://arxiv.org/abs/1811.12359).
# - **The largest value under shuffling.** P. H. Westfall, S. S. Young: Resampling-Based Multiple Testing. Wiley, 1993.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(config, steps=config.train.steps, runs={LABEL: run.folder.name})
display(facts_table(facts))
