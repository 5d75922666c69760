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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/06_sample_quality.ipynb)
#
# **Claims that are tested here.** Recombining the codes of two real images gives new images in one forward pass, without a learned prior, with "competitive precision, density and coverage" while FID and recall fall behind (Section 4.3, Table 3); and PI-VQ is discrete, samples in $\mathcal{O}(1)$ time and interpolates, all three (Table 1).
#
# | | |
# |---|---|
# | needs | both trained models (notebook 03) |
# | makes | `table1_capabilities`, `table1_measurements`, `table3_metrics`, `table3_reported`, `samples_and_neighbours`, `memorisation`, and the numbers `sample_quality.json` in `figures/<profile>/` |
# | cost | 1.3 minutes on two CPU cores in `quick`, most of it image features, which are kept in `results/<profile>/features/`; 2.5 GB of memory |

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
features = ""

# %% [markdown]
# Imports, the configuration and the style of all figures.

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
from pivq.figures.charts import plot_distances
from pivq.figures.pictures import plot_images, plot_nearest_neighbours
from pivq.figures.style import use_style
from pivq.figures.tables import to_markdown
from pivq.inference import decode_in_batches, decode_levels
from pivq.metrics.neighbours import nearest_real
from pivq.pretrained.features import load_feature_network
from pivq.probing import presence
from pivq.processes import pick_device
from pivq.runs.evaluation import compare, decoded_features, draw_samples, real_features
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.run import require_run
from pivq.runs.splits import load_split
from pivq.sampling import sample_pairs, smooth_path

config = load_config(profile, seed, data, features)
seed_everything(seed)
use_style()

# %% [markdown]
# Both runs, the images, and the network whose features stand for an image in every metric below.

# %%
runs = {quantizer: require_run(config, quantizer) for quantizer in ("matching", "nearest")}
run, model = runs["matching"], runs["matching"].model(pick_device(device))
train, heldout = load_split(config, "train"), load_split(config, "heldout")
network = load_feature_network(config.evaluation.features, pick_device(device))
K, L = config.model.codebook_size, config.model.num_codes
display(Markdown(f"{network.label}, {network.num_features} features. `{train}`, `{heldout}`."))

# %% [markdown]
# ## The samples
#
# Each from Algorithm 1 on a random pair of encoded training faces, as in the paper. The nearest model's codes may repeat; they are recombined as multisets.

# %%
samples = draw_samples(run, config.evaluation.samples)
fewer = min(len(heldout), config.evaluation.samples)
nearest_samples = draw_samples(runs["nearest"], fewer)
pictures = torch.cat(list(decode_levels(model, samples.codes[:48])))
plot_images(pictures, columns=12);

# %% [markdown]
# **What to look at.** Do they pass for faces of the set? Where they fail, look for two half traits in one place: codes that were exchanged without their companions.
#
# ## Five metrics (Table 3)
#
# All against the training faces. The **Fréchet distance** compares mean and covariance of features: 0 is equal. **Precision** is the share of samples that lie among real images, **recall** the share of real images that lie among samples; **density** and **coverage** are their more robust relatives [35]; density is about 1 when both distributions are equal. What "among" means depends on $k$ neighbours: $k = 3$ as in the base code, $k = 5$ as the authors of density and coverage have it.
#
# Two rows put the samples into proportion. *Held-out faces* are real: no generator can be expected to do better. *Reconstructions* of held-out faces show what decoding alone costs; what samples lose beyond that is the price of recombining. The metrics depend on the number of images, so these rows are compared with equally many samples.

# %%
real = real_features(run, network)
sets = {
    "PI-VQ, matching: samples": decoded_features(run, network, samples.codes),
    "PI-VQ, nearest: samples": decoded_features(runs["nearest"], network, nearest_samples.codes),
    "PI-VQ, matching: reconstructions": decoded_features(run, network, torch.from_numpy(run.codes("heldout")[:fewer])),
    "held-out images (real)": real_features(run, network, "heldout")[:fewer],
}
everything = sets["PI-VQ, matching: samples"]
if len(everything) > fewer:
    sets["PI-VQ, matching: as many samples as held-out images"] = everything[:fewer]
scored = compare(real, sets, config.evaluation.prdc_k, network.device)
measured = [{"method": name, "samples": len(sets[name])} | row for name, row in scored.items()]

# %% [markdown]
# Our table: one line for each $k$.

# %%
scores = ("precision", "recall", "density", "coverage")
ours = pd.DataFrame(
    [
        {"data": f"{config.dataset} {config.model.image_size}×{config.model.image_size}", "method": row["method"], "source": "measured",
         "features": network.label, "k": str(k), "samples": f"{row['samples']:,}", f"{network.distance_name} ↓": row["distance"]}
        | {f"{name} ↑": row[f"{name} (k={k})"] for name in scores}
        for k in config.evaluation.prdc_k
        for row in measured
    ]
)
display(Markdown(f"**Measured here**, against {len(train):,} training faces.\n\n" + to_markdown(ours.drop(columns=["source", "data"]))))

# %% [markdown]
# The paper's table, for reading beside it: its numbers are of its own data and in Inception features, in which alone the Fréchet distance is called FID. **Only with both, as after a training at the paper's scale, may they be ranked with ours**; then the rows of the same data set also stand in our table. The paper states neither its $k$ nor the number of samples behind the numbers that it quotes.

# %%
comparable = network.distance_name == "FID" and config.dataset in paper.DATA
reported = pd.DataFrame(
    [
        {"data": row.data, "method": row.method, "source": "reported", "features": "Inception", "k": "",
         "samples": paper.SAMPLES[row.data] if row in paper.TABLE3 and row.method == "PI-VQ" else "", "FID ↓": row.fid}
        | {f"{name} ↑": getattr(row, name) for name in scores}
        for row in paper.TABLE3 + paper.TABLE3_AVERAGES
    ]
).astype({f"{name} ↑": float for name in scores})
display(Markdown(f"**Reported by the paper** ({paper.SOURCE}, Table 3).\n\n" + to_markdown(reported.drop(columns=["source"]))))
table = pd.concat([ours, reported[reported["data"] == paper.DATA[config.dataset]]]) if comparable else ours
note = f"{network.label} features" + ("" if comparable else ": not to be ranked with the paper's numbers")
save_table(table, "table3_metrics", profile, caption(config, config.train.steps, note))
save_table(reported, "table3_reported", profile, f"{paper.SOURCE}, Table 3: nothing of this is measured here");

# %% [markdown]
# What our rows say (written from the numbers, at the first $k$, with equally many images in each row):

# %%
k = config.evaluation.prdc_k[0]
rows = {row["method"]: row for row in measured}
rebuilt, floor, near = (rows[name] for name in ("PI-VQ, matching: reconstructions", "held-out images (real)", "PI-VQ, nearest: samples"))
made = rows.get("PI-VQ, matching: as many samples as held-out images", rows["PI-VQ, matching: samples"])
precision, recall = made[f"precision (k={k})"], made[f"recall (k={k})"]
texts = [
    f"{network.distance_name}: samples {made['distance']:.2f}, reconstructions {rebuilt['distance']:.2f}, real held-out faces {floor['distance']:.2f}."
    + (f" Decoding makes {(rebuilt['distance'] - floor['distance']) / (made['distance'] - floor['distance']):.0%} of the difference between samples and real faces, recombining the rest."
       if floor["distance"] < rebuilt["distance"] < made["distance"] else ""),
    f"Recall {recall:.2f} is {'below' if recall < precision else 'not below'} precision {precision:.2f}"
    + (", as in the paper on every data set: samples show less than the diversity of the data." if recall < precision else "; in the paper it is below on every data set."),
    f"Density {made[f'density (k={k})']:.2f} (real held-out faces: {floor[f'density (k={k})']:.2f}), coverage {made[f'coverage (k={k})']:.2f} ({floor[f'coverage (k={k})']:.2f}).",
    f"Samples of the nearest model: distance {near['distance']:.2f}, " + ("the same as matching's: notebook 03 shows that the models are one." if near["distance"] == made["distance"] else f"{'worse' if near['distance'] > made['distance'] else 'better'} than matching's {made['distance']:.2f}. One seed: small differences mean nothing."),
]
display(Markdown("  \n".join(f"- {text}" for text in texts)))

# %% [markdown]
# ## Memorised? Samples beside their nearest training faces
#
# Beside each sample the three training faces that are nearest to it in feature space. A sample that copies a training face would stand next to itself. Its two parents are training faces and may well be among them.

# %%
indices, distances = nearest_real(real, everything[:fewer], k=3)
shown = 12
figure = plot_nearest_neighbours(pictures[:shown], train.images[torch.from_numpy(indices[:shown])], distances[:shown])
save_figure(figure, "samples_and_neighbours", profile, caption(config, config.train.steps, f"distances in {network.label} features"));

# %% [markdown]
# The same for all: how far is the nearest training face? If samples were copies, they would be closer to training faces than images are that the model cannot know. The fair yardstick are *reconstructions* of held-out faces: like samples they come out of the decoder.

# %%
parents = samples.pairs[:fewer].numpy()
apart = nearest_real(real, everything[:fewer], excluded=parents)[1][:, 0]
groups = {
    "samples": distances[:, 0],
    "samples, parents left out": apart,
    "held-out, reconstructed": nearest_real(real, sets["PI-VQ, matching: reconstructions"])[1][:, 0],
    "held-out, real": nearest_real(real, sets["held-out images (real)"])[1][:, 0],
}
figure = plot_distances(groups, f"distance to the nearest training face ({network.label} features)")
save_figure(figure, "memorisation", profile, caption(config, config.train.steps, f"{fewer:,} images in each group"));

# %% [markdown]
# In numbers, with a second look that needs no features: how many of a sample's $L$ codes does its most similar training face have, parents left out?

# %%
is_parent = (indices[:, :1] == parents).any(axis=1)
threshold = float(np.quantile(groups["held-out, reconstructed"], 0.01))
training_codes = presence(run.codes("train"), K)
recombined = sample_pairs(torch.from_numpy(run.codes("train")), fewer, seed=config.seed)
overlaps = {}
for name, rows in {"samples": recombined.codes.numpy(), "held-out": run.codes("heldout")[:fewer]}.items():
    best = []
    for start in range(0, fewer, 500):  # a part of the table at a time: all of it does not fit for large sets
        common = (presence(rows[start : start + 500], K) @ training_codes.T).toarray()
        if name == "samples":
            np.put_along_axis(common, parents[start : start + 500], 0, axis=1)
        best.append(common.max(axis=1))
    overlaps[name] = np.concatenate(best)
memorisation = {
    "images": fewer,
    "median_distance": {name: float(np.median(values)) for name, values in groups.items()},
    "nearest_is_parent": float(is_parent.mean()),
    "suspiciously_close": float((apart < threshold).mean()),
    "mean_best_overlap": {name: float(values.mean()) for name, values in overlaps.items()},
    "copied_sets": float((overlaps["samples"] == L).mean()),
}
display(Markdown(
    f"- The nearest training face of a sample is one of its parents in {memorisation['nearest_is_parent']:.0%} of the cases (by chance: {2 / len(train):.2%}).  \n"
    f"- Parents left out, {memorisation['suspiciously_close']:.1%} of the samples are closer to a training face than all but 1% of reconstructed held-out faces are.  \n"
    f"- The most similar training face other than the parents shares {memorisation['mean_best_overlap']['samples']:.1f} of {L} codes with a sample and {memorisation['mean_best_overlap']['held-out']:.1f} with a held-out face; "
    f"{memorisation['copied_sets']:.1%} of the samples have exactly the codes of a training face that is not a parent.  \n"
    + ("- So samples are not copies of training faces." if memorisation["suspiciously_close"] < 0.05
       else "- **More samples than expected lie very close to a training face.** Either the decoded images look alike, or faces are repeated: the figures above tell which.")
))

# %% [markdown]
# ## Three properties, measured (Table 1)
#
# Table 1 of the paper says yes or no. For our model each yes is shown by a measurement.
#
# **Discrete.** The image is in its codes and in nothing else: written to bytes and read back, they give the same image, bit for bit.

# %%
codes = run.codes("heldout")[:50]
width = np.ceil(np.log2(K)).astype(int)
packed = [np.packbits((row[:, None] >> np.arange(width)) & 1).tobytes() for row in codes]
unpacked = np.stack([np.unpackbits(np.frombuffer(data, np.uint8))[: L * width].reshape(L, width) @ (1 << np.arange(width)) for data in packed])
difference = float((model.decode(torch.from_numpy(codes)) - model.decode(torch.from_numpy(unpacked.astype(np.int64)))).abs().max())
bits = matching_bits(max(run.summary["codes_in_use"], L), L)
discrete = difference == 0 and codes.dtype == np.int64
display(Markdown(
    f"{L} whole numbers, {len(packed[0])} bytes as written here, {bits:.0f} bits by Eq. (4); the picture has {train.images[0].numel():,} bytes. "
    f"Greatest difference after reading back: {difference:g}."
))

# %% [markdown]
# **$\mathcal{O}(1)$-time sampling.** Every run of the network is counted while one batch of samples is made from encoded faces. An autoregressive prior would run once for each of its codes. The time is shown but not kept in the table, for it is another on every machine.

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
display(Markdown(f"100 samples: {calls['decoder']} run of the decoder, {calls['encoder']} of the encoder, {1000 * seconds / 100:.1f} ms a sample on this machine."))

# %% [markdown]
# **Interpolation.** On paths between random held-out pairs: each step exchanges one code, and no step goes half of the way (notebook 05 shows the pictures and measures more).

# %%
generator = torch.Generator().manual_seed(seed)
heldout_codes = torch.from_numpy(run.codes("heldout"))
largest, lengths = [], []
for i, j in torch.randperm(len(heldout), generator=generator)[:40].reshape(-1, 2).tolist():
    decoded = decode_in_batches(model.decode, smooth_path(heldout_codes[i], heldout_codes[j], generator))
    whole = float((decoded[-1] - decoded[0]).abs().mean())
    if len(decoded) > 2 and whole:
        largest.append(float((decoded[1:] - decoded[:-1]).abs().mean(dim=(1, 2, 3)).max()) / whole)
        lengths.append(len(decoded) - 1)
interpolates = bool(largest) and float(np.mean(largest)) < 0.5
display(Markdown(f"{len(lengths)} paths of {np.mean(lengths):.1f} steps; the largest step of a path covers {np.mean(largest):.0%} of the distance between the ends on average."))

# %% [markdown]
# Both tables: the measurements, and the paper's rows with ours added.

# %%
measurements = pd.DataFrame(
    [
        ["discrete", f"{L} codes of {K} written to {len(packed[0])} bytes and read back", f"greatest pixel difference {difference:g}; {bits:.0f} bits by Eq. (4)", discrete],
        ["O(1)-time sampling", "network runs for 100 samples", f"decoder {calls['decoder']}, encoder {calls['encoder']}", one_pass],
        ["interpolation", f"{len(lengths)} paths, {np.mean(lengths):.1f} steps on average", f"largest step {np.mean(largest):.0%} of the distance between the ends", interpolates],
    ],
    columns=["property", "measured", "result", "holds"],
)
save_table(measurements, "table1_measurements", profile, caption(config, config.train.steps, "matching"))
table1 = pd.DataFrame(paper.TABLE1).rename(columns={"one_pass_sampling": "O(1)-time sampling"}).assign(source="reported")
table1.loc[len(table1)] = ["PI-VQ, this companion", discrete, one_pass, interpolates, "measured"]
save_table(table1, "table1_capabilities", profile, caption(config, config.train.steps, f"reported: {paper.SOURCE}, Table 1"))
display(Markdown(to_markdown(measurements) + "\n\n" + to_markdown(table1)))

# %% [markdown]
# The numbers, for the verdict.

# %%
numbers = {
    "features": network.label,
    "distance_name": network.distance_name,
    "reference_images": len(train),
    "rows": measured,
    "memorisation": memorisation,
    "properties": {"discrete": discrete, "one_pass_sampling": one_pass, "interpolation": interpolates,
                   "bits": bits, "decoder_runs": calls["decoder"], "largest_step": float(np.mean(largest)) if largest else None},
}
save_json(numbers, "sample_quality", profile);

# %% [markdown]
# ## Provenance
#
# What made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, features=network.name, preprocessing=network.preprocessing, runs={name: run.folder.name for name, run in runs.items()}))
