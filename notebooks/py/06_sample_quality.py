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
# # 06 · How good are the samples, and are they new?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/06_sample_quality.ipynb)
#
# **Claims that are tested here.** Recombining the codes of two real images gives new images in one forward pass, without a learned prior, with "competitive precision, density and coverage" while FID and recall fall behind (Section 4.3, Table 3); and PI-VQ is discrete, samples in $\mathcal{O}(1)$ time and interpolates, all three (Table 1).
#
# **Afterwards you can**
#
# - state the five metrics and what each of them cannot see;
# - choose a reference and a control, so that a number means something;
# - design a test of memorisation that a blurred model does not pass by being blurred.
#
# Read with it: Section 4.3, and Tables 1 and 3 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the trained models ([notebook 03](03_train.ipynb)); the smoothness that [notebook 05](05_interpolation.ipynb) measured |
# | makes | `table1_capabilities`, `table1_measurements`, `table3_metrics`, `table3_reported`, `samples_and_neighbours`, `memorisation`, and the numbers `sample_quality.json` in `figures/<profile>/` |

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
features = ""

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import time

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq import paper
from pivq.capacity import matching_bits
from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.charts import plot_memorisation
from pivq.figures.pictures import plot_images, plot_nearest_neighbours
from pivq.figures.style import use_style
from pivq.figures.tables import escape, facts_table, styled, to_markdown
from pivq.inference import decode_levels
from pivq.metrics.neighbours import nearest_real
from pivq.pretrained.features import load_feature_network
from pivq.processes import pick_device
from pivq.runs.evaluation import decoded_features, draw_samples, real_features
from pivq.runs.models import require_models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.quality import NAMES, fewest_lost, in_words, measure_quality, measure_real
from pivq.runs.splits import load_split
from pivq.runs.teaching.exercises import check_precision
from pivq.runs.verdict import load_facts
from pivq.sampling import SMOOTH_STEP, sample_pairs
from pivq.usage import best_overlap, pack_codes, unpack_codes

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# The next cell loads the runs, the images, and the network whose features describe an image in every metric below. *Learned* tokens are what the paper describes; *drawn* tokens are our variant ([notebook 03](03_train.ipynb)). If both quantizers of learned tokens are one model, it is measured once.

# %%
runs = require_models(config)
run, model = runs["learned, matching"], runs["learned, matching"].model(pick_device(device))
names = dict(NAMES)
if np.array_equal(run.codes("train"), runs["learned, nearest"].codes("train")):
    del names["learned, nearest"]
measured_runs = {names[label]: made for label, made in runs.items() if label in names}
train, heldout = load_split(config, "train"), load_split(config, "heldout")
network = load_feature_network(config.evaluation.features, pick_device(device))
K, L = config.model.codebook_size, config.model.num_codes
size = config.model.image_size
display(
    Markdown(
        f"{network.label}, {network.num_features:,} features. {len(train):,} training and "
        f"{len(heldout):,} held-out images of {size}×{size} pixels ({escape(config.dataset)}). "
        f"Models: {'; '.join(measured_runs)}."
    )
)

# %% [markdown]
# ## The samples
#
# Each sample comes from Algorithm 1 ([notebook 05](05_interpolation.ipynb)) on a random pair of encoded training faces. (The paper says neither from which images pairs are drawn nor how.) A nearest model's codes may repeat; they are recombined as multisets. The picture has a row of samples for each model; their parents differ from row to row.

# %%
samples = draw_samples(run, config.evaluation.samples)
fewer = min(len(heldout), config.evaluation.samples)
first = [
    next(decode_levels(made.model(pick_device(device)), draw_samples(made, 12).codes)).cpu()
    for made in measured_runs.values()
]
plot_images(torch.cat(first), columns=12, row_labels=list(measured_runs));

# %% [markdown]
# **What to look at.** Could they be faces of the set? Where they fail, look for two half traits in one place: codes that were exchanged without those that go with them. [Notebook 05](05_interpolation.ipynb) counts such traits.
#
# ## Five metrics (Table 3)
#
# All five compare two sets of images, real ones $x_i$ and fake ones $y_j$, by *features*: the numbers $\phi(x) \in \mathbb{R}^F$ that a network trained on photographs gives an image.
#
# The **Fréchet distance** compares means $\mu$ and covariances $\Sigma$ of the features; it is 0 if they are equal. It is called FID only in features of the network Inception:
#
# $$\text{FD} = \lVert \mu_r - \mu_f \rVert_2^2 + \text{Tr} \big( \Sigma_r + \Sigma_f - 2\, (\Sigma_r \Sigma_f)^{1/2} \big).$$
#
# The other four (together: PRDC) look at neighbourhoods. Let $B(x_i)$ be the ball around a real image that just reaches its $k$-th nearest real neighbour, and $B(y_j)$ the same among the fakes; $[\,\cdot\,]$ is 1 where its content is true, else 0:
#
# $$\text{precision} = \frac1M \sum_{j} \big[ y_j \in \textstyle\bigcup_i B(x_i) \big], \qquad \text{recall} = \frac1N \sum_{i} \big[ x_i \in \textstyle\bigcup_j B(y_j) \big],$$
#
# $$\text{density} = \frac{1}{kM} \sum_{j} \sum_i \big[ y_j \in B(x_i) \big], \qquad \text{coverage} = \frac1N \sum_{i} \big[ \exists j: y_j \in B(x_i) \big].$$
#
# **Precision** is the share of samples that lie among real images, **recall** the share of real images that lie among samples. **Density** counts *in how many* balls a sample lies, so that one outlier with a huge ball counts little; it is about 1 if both distributions are equal, and can be more. **Coverage** is the share of real images with a sample in their ball. The number of neighbours is $k = 3$ in the base code, and $k = 5$ in the article that introduced density and coverage. Precision and recall are those of the base code, by nearest neighbours, although the paper cites another definition (see the references).
#
# The protocol is the base code's: the Fréchet distance is measured against all reference images, the other four with equally many images on both sides, because coverage of the same samples falls as real images are added. The reference is a setting, `evaluation.reference`: all images in the paper's profiles, as in the base code, and the training images in the small ones, so that real held-out faces can be compared with them.
#
# Each model is measured against **two references**. Against *real images*, two rows are for comparison: *held-out images* are real, and a generator can hardly do better; *reconstructions* of held-out images show what decoding alone costs. Against *reconstructions* of training images by the same model, the decoder's faults are on both sides and cancel: what is left is the price of recombining.

# %%
measured = measure_real(run, network)
for name, made in measured_runs.items():
    measured += measure_quality(made, network, name)

# %% [markdown]
# Our table has one line per method and reference, here for the first $k$; the saved file has all.

# %%
scores, ks = ("precision", "recall", "density", "coverage"), config.evaluation.prdc_k
ours = pd.DataFrame(
    [
        {
            "data": f"{config.dataset} {size}×{size}",
            "method": row["method"],
            "compared with": row["reference"],
            "source": "measured",
            "features": network.label,
            "k": str(k),
            "samples": f"{row['samples']:,}",
            f"{network.distance_name} ↓": row["distance"],
        }
        | {f"{name} ↑": row[f"{name} (k={k})"] for name in scores}
        for k in ks
        for row in sorted(measured, key=lambda row: row["reference"] != "real")
    ]
)
text = to_markdown(ours[ours["k"] == str(ks[0])].drop(columns=["source", "data", "features"]))
reference = "all" if config.evaluation.reference == "all" else f"{len(train):,} training"
display(
    Markdown(f"**Measured here**, in {network.label} features; real images: {reference}.\n\n{text}")
)

# %% [markdown]
# **What to look at.** Compare rows with equally many images and the same reference. The next cell says what the numbers support. With one seed, small differences mean nothing.

# %%
lines = in_words(measured, list(measured_runs), ks[0], network.distance_name)
if len(measured_runs) > 1:
    lines.append(fewest_lost(measured, list(measured_runs), network.distance_name))
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# The paper's numbers are of its own data and in Inception features; only in these is the Fréchet distance called FID. **Compare them with ours only if data set *and* feature network are the same**, as after a training at the paper's scale; then our table also has the paper's rows of that data set. The paper states neither its $k$ nor the number of samples behind the numbers that it quotes from others.

# %%
comparable = network.distance_name == "FID" and config.dataset in paper.DATA
counts = {row: paper.SAMPLES[row.data] for row in paper.TABLE3 if row.method == "PI-VQ"}
reported = pd.DataFrame(
    [
        {
            "data": row.data,
            "method": row.method,
            "source": "reported",
            "features": "Inception",
            "k": "",
            "compared with": "real",
            "samples": counts.get(row, ""),
            "FID ↓": row.fid,
        }
        | {f"{name} ↑": getattr(row, name) for name in scores}
        for row in paper.TABLE3 + paper.TABLE3_AVERAGES
    ]
).astype({f"{name} ↑": float for name in scores})
text = to_markdown(reported.drop(columns=["source", "compared with"]))
display(Markdown(f"**Reported by the paper** ({paper.SOURCE}, Table 3).\n\n{text}"))
table = (
    pd.concat([ours, reported[reported["data"] == paper.DATA[config.dataset]]])
    if comparable
    else ours
)
note = f"{network.label} features" + (
    "" if comparable else ": not to be ranked with the paper's numbers"
)
save_table(table, "table3_metrics", config, caption(config, config.train.steps, note))
save_table(
    reported,
    "table3_reported",
    config,
    f"{paper.SOURCE}, Table 3: nothing of this is measured here",
);

# %% [markdown]
# ## Memorised? Samples and their nearest training faces
#
# The figure shows four samples between their parents, and the three training faces that are nearest to each sample in feature space; the model is the paper's, with learned tokens and matching. A sample that copies a training face would stand next to its copy. Parents are training faces and may be among the three. Look also at what the distance calls near: are the neighbours alike to your eye?

# %%
real, everything = real_features(run, network), decoded_features(run, network, samples.codes)
indices, distances = nearest_real(real, everything[:fewer], k=3)
shown = 4
figure = plot_nearest_neighbours(
    next(decode_levels(model, samples.codes[:shown])).cpu(),
    train.images[samples.pairs[:shown].cpu()],
    train.images[torch.from_numpy(indices[:shown])],
    distances[:shown],
)
note = f"distances in {network.label} features"
save_figure(figure, "samples_and_neighbours", config, caption(config, config.train.steps, note));

# %% [markdown]
# How far is the nearest training face of every sample? If samples were copies, they would be closer to training faces than images that the model cannot know. The fair comparison is with *reconstructions* of held-out faces: like samples, they come out of the decoder. The right panel needs no features: how many of its $L$ codes does an image share with the most similar training face, a sample's parents left out?

# %%
parents = samples.pairs[:fewer].numpy()
again = decoded_features(run, network, torch.from_numpy(run.codes("heldout")[:fewer]))
apart = nearest_real(real, everything[:fewer], excluded=parents)[1][:, 0]
groups = {
    "samples": distances[:, 0],
    "samples, parents left out": apart,
    "held-out, reconstructed": nearest_real(real, again)[1][:, 0],
    "held-out, real": nearest_real(real, real_features(run, network, "heldout")[:fewer])[1][:, 0],
}
overlaps = {
    "samples": best_overlap(samples.codes[:fewer], run.codes("train"), K, excluded=parents),
    "held-out": best_overlap(run.codes("heldout")[:fewer], run.codes("train"), K),
}
label = f"distance to the nearest training face\n({network.label} features)"
figure = plot_memorisation(groups, label, overlaps, L)
save_figure(
    figure,
    "memorisation",
    config,
    caption(config, config.train.steps, f"{fewer:,} images in each group"),
);

# %% [markdown]
# The table has the same in numbers. *Suspiciously close* is a sample, parents left out, that is closer to a training face than 99% of the reconstructed held-out faces are. The last two rows are about shared codes.

# %%
threshold = float(np.quantile(groups["held-out, reconstructed"], 0.01))
memorisation = {
    "images": fewer,
    "median_distance": {name: float(np.median(values)) for name, values in groups.items()},
    "nearest_is_parent": float((indices[:, :1] == parents).any(axis=1).mean()),
    "suspiciously_close": float((apart < threshold).mean()),
    "mean_best_overlap": {name: float(values.mean()) for name, values in overlaps.items()},
    "copied_sets": float((overlaps["samples"] == L).mean()),
}
overlap = {name: f"{values.mean():.1f} of {L}" for name, values in overlaps.items()}
copied = {name: f"{(values == L).mean():.1%}" for name, values in overlaps.items()}
rows = [
    [
        "nearest training face is a parent",
        f"{memorisation['nearest_is_parent']:.0%}",
        f"chance {2 / len(train):.2%}",
    ],
    ["suspiciously close", f"{memorisation['suspiciously_close']:.1%}", "reconstructions 1.0%"],
    [
        "codes shared with the most similar",
        overlap["samples"],
        f"held-out faces {overlap['held-out']}",
    ],
    ["all codes shared", copied["samples"], f"held-out faces {copied['held-out']}"],
]
display(styled(pd.DataFrame(rows, columns=["", "samples", "for comparison"])))

# %% [markdown]
# **What to look at.** Samples that are copies make the last three rows much larger than the comparison. If only *suspiciously close* is large, either the decoded images look alike or faces are repeated in the set: the figures above tell which. In the right panel, look first at how near held-out faces come to $L$: where a new face shares nearly all codes with a training face, sets say little about who it is, and shared codes prove no copy.

# %% [markdown]
# ## Three properties, measured (Table 1)
#
# Table 1 of the paper says yes or no. For our model each yes is shown by a measurement. In its rows, VQ-GAN (TT) is the VQ-GAN of *Taming Transformers* (Esser et al. 2021), with an autoregressive prior, and VQ-GAN (UT) is that of *Unleashing Transformers*, the base code (see the references), with a prior that shows hidden codes in any order.
#
# **Discrete.** The image is in its codes alone: written to bytes and read back, they give the same image, bit for bit.

# %%
codes = run.codes("heldout")[:50]
packed = pack_codes(codes, K)
before, after = (
    model.decode(torch.from_numpy(rows)) for rows in (codes, unpack_codes(packed, L, K))
)
difference = float((before - after).abs().max())
bits = matching_bits(max(run.summary["codes_in_use"], L), L)
discrete = difference == 0 and codes.dtype == np.int64
display(
    Markdown(
        f"{L} whole numbers, {len(packed[0])} bytes as written here, {bits:.0f} bits by Eq. (4); "
        f"the picture has {train.images[0].numel():,} bytes. Greatest difference after reading "
        f"back: {difference:g}."
    )
)

# %% [markdown]
# **$\mathcal{O}(1)$-time sampling.** The next cell counts every run of the network while one batch of samples is made from encoded faces. An *autoregressive prior*, a model that draws one code after the other, would run once for each of its codes. The time is shown but not kept in the table, because it differs between machines.

# %%
calls = {"encoder": 0, "decoder": 0}
hooks = [model.encoder.register_forward_hook(lambda *_: calls.update(encoder=calls["encoder"] + 1)),
         model.decoder.register_forward_hook(lambda *_: calls.update(decoder=calls["decoder"] + 1))]
start = time.perf_counter()
drawn = sample_pairs(torch.from_numpy(run.codes("train")), 100, seed=seed + 1)
model.decode(drawn.codes)
seconds = time.perf_counter() - start
for hook in hooks:
    hook.remove()
one_pass = calls == {"encoder": 0, "decoder": 1}
display(Markdown(
    f"100 samples: {calls['decoder']} run of the decoder, {calls['encoder']} of the encoder, "
    f"{1000 * seconds / 100:.1f} ms per sample on this machine."
))

# %% [markdown]
# **Interpolation.** Each step of a path exchanges one code. [Notebook 05](05_interpolation.ipynb) measured the steps of paths between random held-out pairs: the largest must be less than `SMOOTH_STEP` of the way, on average over the paths.

# %%
smoothness = load_facts(config, ["interpolation"])["interpolation"]["smoothness"]
largest, length = smoothness["largest_step"], smoothness["mean_exchanged"]
interpolates = largest < SMOOTH_STEP
display(
    Markdown(
        f"{smoothness['pairs']} paths of {length:.1f} steps on average; the largest step of a path "
        f"covers {largest:.0%} of "
        f"the distance between the ends on average (smooth below {SMOOTH_STEP:.0%})."
    )
)

# %% [markdown]
# The first table has the measurements, the second the paper's rows with ours added.

# %%
measurements = pd.DataFrame(
    [
        ["discrete", f"{L} codes of {K} written to {len(packed[0])} bytes and read back",
         f"greatest pixel difference {difference:g}; {bits:.0f} bits by Eq. (4)", discrete],
        ["O(1)-time sampling", "network runs for 100 samples",
         f"decoder {calls['decoder']}, encoder {calls['encoder']}", one_pass],
        ["interpolation", f"{smoothness['pairs']} paths, {length:.1f} steps on average",
         f"largest step {largest:.0%} of the distance between the ends", interpolates],
    ],
    columns=["property", "measured", "result", "holds"],
)
save_table(
    measurements, "table1_measurements", config, caption(config, config.train.steps, "matching")
)
table1 = pd.DataFrame(paper.TABLE1).rename(columns={"one_pass_sampling": "O(1)-time sampling"})
table1 = table1.assign(source="reported")
table1.loc[len(table1)] = ["PI-VQ, this companion", discrete, one_pass, interpolates, "measured"]
note = f"reported: {paper.SOURCE}, Table 1"
save_table(table1, "table1_capabilities", config, caption(config, config.train.steps, note))
display(Markdown(to_markdown(measurements) + "\n\n" + to_markdown(table1)))

# %% [markdown]
# The next cell saves the numbers for the verdict.

# %%
numbers = {
    "features": network.label,
    "distance_name": network.distance_name,
    "reference_images": len(train),
    "protocol": {
        "reference": config.evaluation.reference,
        "reference_images": measured[1]["reference_images"],
        "fakes": config.evaluation.samples,
        "prdc": "min(N, M) on both sides",
    },
    "rows": measured,
    "memorisation": memorisation,
    "properties": {
        "discrete": discrete,
        "one_pass_sampling": one_pass,
        "interpolation": interpolates,
        "bits": bits,
        "decoder_runs": calls["decoder"],
        "largest_step": largest,
    },
}
save_json(numbers | stamp(config, config.train.steps), "sample_quality", config);

# %% [markdown]
# ## Summary
#
# - FD compares two moments of features; precision and recall ask who lies among whom; density and coverage are their robust variants.
# - A number means something only next to those of held-out images, which are real, and of reconstructions, which show what decoding costs.
# - Samples take one pass of the decoder. To judge novelty, compare with reconstructions of held-out faces, and count shared codes.
#
# Next: [notebook 07](07_probing.ipynb) asks what the codes know.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 6.1: precision in five lines
#
# Write precision from its formula, for features `(N, F)` of real and `(M, F)` of fake images, as numpy arrays.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def precision(real, fake, k):
    """Return the share of fakes that lie in the ball of a real point, out to its k-th neighbour."""
    among = np.linalg.norm(real[:, None] - real, axis=2)
    radius = np.sort(among, axis=1)[:, k]  # at 0 is the point itself
    between = np.linalg.norm(fake[:, None] - real, axis=2)  # (M, N)
    return float((between <= radius).any(axis=1).mean())

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_precision(precision)))

# %% [markdown]
# ### Exercise 6.2: equal, and yet different
#
# Describe two sets of numbers that look quite different and have a Fréchet distance of 0.
#
# <details><summary>Answer</summary>
#
# It sees means and covariances only. Half of the numbers at −1 and half at +1, against a normal distribution with mean 0 and variance 1: the same two moments, FD 0, and not one number in common. The features of images are hardly normal either.
#
# </details>

# %% [markdown]
# ### Exercise 6.3: a test that blur does not pass
#
# "Samples are far from the nearest training face, so nothing is memorised." A decoder that blurs everything passes this test, even if it has learned its training faces by heart. Design one that it does not pass.
#
# <details><summary>Answer</summary>
#
# Compare like with like. (a) Compare with *reconstructions of held-out faces*, as above: they are blurred as well, and cannot be memorised. Samples that are copies are nearer to training faces than these are. (b) Compare samples with *reconstructions* of training faces instead of the faces themselves, so that blur is on both sides. (c) Look at codes instead of pictures: how many codes does a sample share with the most similar training face, parents left out, and how many does a held-out face? (d) As a positive control, put copies among the samples, and see whether the test finds them.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **The base code.** S. Bond-Taylor, P. Hessey, H. Sasaki, T. P. Breckon, C. G. Willcocks: Unleashing Transformers: Parallel Token Prediction with Discrete Absorbing Diffusion for Fast High-Resolution Image Generation from Vector-Quantized Codes. ECCV 2022. [doi:10.1007/978-3-031-20050-2_11](https://doi.org/10.1007/978-3-031-20050-2_11).
# - **FID.** M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler, S. Hochreiter: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium. NeurIPS 2017. [arXiv:1706.08500](https://arxiv.org/abs/1706.08500).
# - **Precision and recall.** By neighbours, as here: T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila: Improved Precision and Recall Metric for Assessing Generative Models. NeurIPS 2019. [arXiv:1904.06991](https://arxiv.org/abs/1904.06991). The paper cites M. S. M. Sajjadi, O. Bachem, M. Lucic, O. Bousquet, S. Gelly: Assessing Generative Models via Precision and Recall. NeurIPS 2018. [arXiv:1806.00035](https://arxiv.org/abs/1806.00035).
# - **Density and coverage.** M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo: Reliable Fidelity and Diversity Metrics for Generative Models. ICML 2020. [arXiv:2002.09797](https://arxiv.org/abs/2002.09797).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
folders = {name: run.folder.name for name, run in runs.items()}
measured_by = {"features": network.name, "preprocessing": network.preprocessing}
facts = stamp(config, steps=config.train.steps, **measured_by, runs=folders)
display(facts_table(facts))
