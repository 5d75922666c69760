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
# # 03 · Training: before quantization starts, at its start, and after
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/03_train.ipynb)
#
# **Claims that are tested here.** "Applying vector-quantization from the beginning of the training run leads to a catastrophic failure in learning", and re-initialising the codebook "more than once over successive windows of length W […] leads to better codebook usage" (Section 3.7). The loss has five terms: L1, perceptual and adversarial, which Section 3.6 names, and the codebook's and the commitment's, which come from the *base code*, the public code of "Unleashing Transformers" that the paper says it follows. This notebook measures what the perceptual and the adversarial term are worth.
#
# **Afterwards you can**
#
# - state the five terms of the loss, with the weight and the gradient of each;
# - say what $T_q$, $W$ and a fit of the codebook are, and why quantizing a random codebook from the start fails;
# - read training curves: what should happen at $T_q$, at each fit, and when the discriminator starts.
#
# Read with it: Sections 3.6 and 3.7 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the faces ([notebook 00](00_meet_the_faces.ipynb)) |
# | makes | the runs that all later notebooks load, in `results/<profile>/`; `training_curves`, `reconstructions`, `at_tq`, `ablations`, `ablation_samples` in `figures/<profile>/` |

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
# These are the parameters. `force` deletes all models, once in the life of the kernel, and trains them again; set it back to `False` afterwards. `steps` trains for another number of steps, with the whole schedule in proportion; the later notebooks then need the same number. `precision` is that of the training: `auto`, `fp32`, `bf16` or `fp16`. (`run_all.sh --compile` also compiles the blocks of the model, on GPUs; elsewhere, `%env PIVQ_COMPILE=1` does it.) `rerun_ablations` trains the variations of the last section again instead of showing the stored results.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
device = "auto"
precision = "auto"
features = ""
rerun_ablations = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
from math import isclose, log

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import Image, Markdown, display

from pivq.codebook_init import initialisation_steps
from pivq.config import load_config
from pivq.data import from_uint8
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.charts import plot_ablations, plot_curves
from pivq.figures.live import plot_training
from pivq.figures.pictures import ERRORS, plot_images, plot_reconstructions
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled, to_markdown, typeset
from pivq.figures.teaching import plot_latents_and_codes
from pivq.inference import encode_images, latents_in_batches
from pivq.losses import training_loss
from pivq.precision import use_precision
from pivq.pretrained.features import load_feature_network
from pivq.pretrained.perceptual import load_perceptual
from pivq.processes import pick_device
from pivq.runs.ablations import half_as_long, over_seeds, run_ablations, said
from pivq.runs.callbacks import best_and_last
from pivq.runs.cost import expected_cost
from pivq.runs.departures import departures
from pivq.runs.models import models
from pivq.runs.parallel import train_together
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.ready import check_ready
from pivq.runs.replacing import set_aside
from pivq.runs.shipped import LABEL, ship
from pivq.runs.splits import load_split
from pivq.runs.teaching.exercises import check_half_life, check_hinge
from pivq.runs.untrained import untrained_model
from pivq.storage.paths import figures_dir, stored_file
from pivq.storage.writing import read_sealed
from pivq.usage import slot_usage

config = load_config(
    profile, seed, data, features, layout=layout, on_error=on_error, steps=steps
)
check_ready(config, metrics=rerun_ablations)
seed_everything(seed)
use_style()
use_precision(precision)

# %% [markdown]
# ## What is minimised
#
# For an image $x$ with latents $z_e$, code vectors $z_c$ and reconstruction $\hat x$, the autoencoder minimises
#
# $$\mathcal{L} = w_r \underbrace{\lVert \hat x - x \rVert_1}_{\text{L1}} + w_p \underbrace{\text{LPIPS}(\hat x, x)}_{\text{perceptual}} + \lambda \underbrace{\big({-D(\hat x)}\big)}_{\text{adversarial}} + w_c \underbrace{\lVert \mathrm{sg}[z_e] - z_c \rVert_2^2}_{\text{codebook}} + w_e \underbrace{\lVert z_e - \mathrm{sg}[z_c] \rVert_2^2}_{\text{commitment}},$$
#
# each term a mean over pixels or numbers (`pivq/losses.py`). The words in it:
#
# - **Perceptual distance.** Both images go through a network that was trained to classify photographs and is never trained here; its features, scaled to unit length, are compared. The paper's is LPIPS with VGG16. The small profiles use a network whose weights come with a package.
# - **Discriminator** $D$: a small convolutional network that scores patches, high for real images and low for reconstructions. It is trained together with the autoencoder, with the **hinge loss**, which has no gradient once a score is beyond a margin of 1:
#
# $$\mathcal{L}_D = \tfrac12 \big( \overline{\max(0, 1 - D(x))} + \overline{\max(0, 1 + D(\hat x))} \big).$$
#
# - **DiffAug**: real images and reconstructions are shifted and recoloured at random before $D$ sees them, in a way that gradients pass through. A small set of images is then harder to learn by heart. (The default profile goes without.)
# - **Adaptive weight** $\lambda$: so that neither side takes over, the adversarial term gets a gradient of the same size as the others at the decoder's last layer $\theta$, up to a limit:
#
# $$\lambda = \min \left( \frac{\lVert \nabla_\theta (w_r \text{L1} + w_p \text{LPIPS}) \rVert}{\lVert \nabla_\theta (-D(\hat x)) \rVert + 10^{-4}},\; \lambda_\text{max} \right).$$
#
# - **Codebook and commitment loss**, and $\mathrm{sg}$, the stopped gradient: see [notebook 02](02_matching_quantization.ipynb). They have equal values and different gradients.
# - **EMA**, the exponential moving average: in addition to the trained weights $\theta$, a second set $\bar\theta \leftarrow \beta \bar\theta + (1 - \beta)\, \theta$ with $\beta = 0.995$ follows after each step. It is smoother, and it is what all later notebooks load.
#
# **Delayed quantization** (Section 3.7). Up to step $T_q$ nothing is quantized: $z_c = z_e$, and the last two terms are absent. At $T_q$ the codebook is **fitted**: k-means, with k-means++ seeding ([notebook 02](02_matching_quantization.ipynb)), on the latents of the last $W$ steps. It is fitted again after each further $W$ steps, a few times, because latents and codes move.

# %% [markdown]
# ## Latents and a random codebook
#
# What would happen without the delay? Before you read on: the next picture shows latents of held-out faces from an encoder that has learned nothing yet, and two codebooks of $K$ codes. The first is random, as when quantization starts at step 0. The second is fitted to the latents of training faces. What can a decoder learn from the nearest codes of the first?

# %%
faces = load_split(config, "train").images
beginner = untrained_model(config, faces, device=pick_device(device))  # its codebook is fitted
shown = load_split(config, "heldout").images[:60]
latents = torch.cat(list(latents_in_batches(beginner, shown))).cpu()  # (N, L, d)
fitted = beginner.quantizer.codebook.cpu()
fresh = torch.randn(fitted.shape, generator=torch.Generator().manual_seed(seed))
codebooks = {"random codebook": fresh, "codebook fitted to latents": fitted}
plot_latents_and_codes(latents, codebooks);

# %% [markdown]
# The table has what counts for the decoder:
#
# - how far a latent is from its nearest code, compared with the distance between the latents of *one token* in two faces, which is all that tells faces apart;
# - how many codes are in use;
# - the share of faces in which a token takes its most frequent code;
# - the entropy of the codes, summed over tokens: the bits that they can say about a face ([notebook 04](04_capacity.ipynb)).

# %%
pairs = (latents[1:] - latents[:-1]).norm(dim=2)  # one token, two faces
rows = []
for title, codes_of in codebooks.items():
    distances = torch.cdist(latents.flatten(0, 1), codes_of).unflatten(0, latents.shape[:2])
    nearest = distances.argmin(dim=2)  # (N, L)
    of_tokens = slot_usage(nearest.numpy(), len(codes_of))
    rows.append([
        title,
        f"{distances.amin(dim=2).median():.2f}",
        f"{pairs.median():.2f}",
        f"{len(nearest.unique()):,} of {len(codes_of):,}",
        f"{of_tokens.counts.max(axis=1).mean() / len(nearest):.0%}",
        f"{of_tokens.entropy_bits:.0f}",
    ])
columns = ["", "latent to nearest code", "latent to latent, other face", "codes in use"]
columns += ["faces with a token's most frequent code", "bits"]
display(styled(pd.DataFrame(rows, columns=columns)))

# %% [markdown]
# **What to look at.** The latents form one cloud for each learned token, and the clouds are small compared with the distance to a random code. So a token takes nearly the same code for every face, and the set says hardly anything about the face. The decoder sees nothing but codes, so it learns little more than the mean face. Its gradient, which is copied straight through to latents far away, does not tell the encoder what to change: that is the "catastrophic failure" of Section 3.7. A fitted codebook has several codes within each cloud. The last section measures both.

# %% [markdown]
# ## What is trained, and how it departs from the paper
#
# The paper trains two models, which differ in the quantizer alone: **matching** (Eq. 3) and **nearest** (Eq. 1). Its encoder has *learned tokens*: L vectors that are the same for every image. The small profiles also train a variant of ours, with *drawn tokens*: L random vectors, drawn anew for every image. Learned tokens are what the paper describes; drawn ones are ours, and there the latents have no names, so they may compete for codes. Both are named wherever they appear.
#
# The table has the settings of this profile that differ from the paper's, or from its base code where the paper says nothing. Neither gives $T_q$, $W$, the number of fits, the factor on the first weights and, for CelebA, the steps: in the paper's column these are our assumptions, too. [docs/settings.md](https://github.com/REPOSITORY/blob/main/docs/settings.md) has all settings with their sources.

# %%
table = departures(config)
if len(table):
    display(Markdown(typeset(to_markdown(table), markdown=True)))
else:
    display(Markdown("None: this profile has the settings of the paper."))

# %% [markdown]
# Before $T_q$ nothing is quantized, so these steps are the same for both quantizers. As long as no two latents of an image share a nearest code, the nearest codes already are the cheapest matching, so both models still take identical steps. All shared steps are trained once: this saves time, and it makes the comparison exact. On a CPU, trainings run side by side, one core each; in `quick` they take up to 5 GB of memory. Meanwhile a figure shows curves, held-out faces above their reconstructions and, from $T_q$ on, samples of Algorithm 1 from the codes of these faces, always with the same parents. An interrupted run is resumed from its last checkpoint, and a finished one is loaded. Before a new training, a few of its slowest steps are timed, and an estimate is printed.

# %%
jobs = models(config)
if force and "discarded" not in globals():  # once: to run this cell again resumes the training
    print(f"force = True: the runs of {len(jobs)} models are trained again.")
    print("Set force back to False: after a restart of the kernel, they would be trained again.")
    for job in jobs.values():
        set_aside(job.config, [job.quantizer])
    discarded = True
for label, job in jobs.items():
    if job.quantizer == "matching" and (cost := expected_cost(job.config, device=device)):
        print(f"{label}, if trained alone: {cost}")
runs = dict(zip(jobs, train_together(list(jobs.values()), device, draw=plot_training), strict=True))

# %% [markdown]
# The table has the results on the held-out faces, which no step has seen. L1 is on the scale from 0 to 1.

# %%
summary = pd.DataFrame({label: run.summary for label, run in runs.items()}).T
sizes = [(run.config.model.num_codes, run.config.train.steps) for run in runs.values()]
table = pd.DataFrame(
    {"tokens, quantizer": summary.index, "L": [L for L, _ in sizes], "steps": [s for _, s in sizes]}
)
measures = {
    "heldout_l1": "held-out L1",
    "heldout_psnr": "PSNR (dB)",
    "heldout_perceptual": "perceptual distance",
}
measures |= {"codes_in_use": "codes in use", "mean_codes_per_image": "distinct codes per image"}
measures |= {"skipped_steps": "steps skipped"}
for name, title in measures.items():
    table[title] = summary[name].astype(float).to_numpy()
heldout_images = load_split(config, "heldout")
note = f"{len(heldout_images):,} held-out images"
save_table(table, "training", config, caption(config, note=note))
display(Markdown(to_markdown(table)))

# %% [markdown]
# Are the two quantizers' models different at all? The next cell says how many steps they share, with the minutes, and compares their codes of held-out faces. Trainings that ran at the same time had one core each. If they share all steps, they are one model, to the last digit: in no step did two latents of an image compete for a code, so matching had nothing to decide. [Notebook 04](04_capacity.ipynb) shows when that happens, and [notebook 09](09_when_codes_compete.ipynb) what decides it.

# %%
kinds = dict.fromkeys(label.partition(", ")[0] for label in runs)
shown, lines = {}, []
for kind in kinds:
    pair = [runs[f"{kind}, {quantizer}"] for quantizer in ("matching", "nearest")]
    first, second = (run.codes("heldout") for run in pair)
    one = bool((first == second).all())
    share = float((first == second).mean())
    common, steps = int(pair[0].summary["shared_steps"]), pair[0].config.train.steps
    seconds = [run.log().set_index("step")["seconds"].dropna() for run in pair]
    alone = " and ".join(f"{of[of.index > common].sum() / 60:.1f}" for of in seconds)
    lines.append(
        f"- **{kind} tokens**: {common:,} of {steps:,} steps are shared "
        f"({seconds[0][seconds[0].index <= common].sum() / 60:.1f} minutes)"
        + (f", the others took {alone} minutes" if common < steps else "")
        + f". The two models give the same code for {share:.1%} of the latents of held-out faces"
        + (": they are one model." if one else ".")
    )
    shown[f"{kind} tokens, one model" if one else f"{kind} tokens, matching"] = pair[0]
    shown |= {} if one else {f"{kind} tokens, nearest": pair[1]}
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Training curves
#
# The figure shows measurements on held-out faces with the averaged (EMA) model, and the adversarial loss of the training batches with its adaptive weight. The vertical lines belong to the training with learned tokens; where drawn ones have another $T_q$, it is a line in their colours.

# %%
marks = {
    "$T_q$": config.train.quantize_from_step,
    "codebook fitted again": initialisation_steps(config.train)[1:],
}
marks |= {"discriminator starts": config.train.discriminator_from_step}
if config.train.adversarial_from_step > config.train.discriminator_from_step + 1:
    marks |= {"generator sees it": config.train.adversarial_from_step}
starts = {label: run.config.train.quantize_from_step for label, run in shown.items()}
own = {label: step for label, step in starts.items() if step != marks["$T_q$"]}
figure = plot_curves({label: run.log() for label, run in shown.items()}, marks, own=own)
save_figure(figure, "training_curves", config, caption(config));

# %% [markdown]
# **What to look at.** Up to $T_q$ there is one curve: the model is an ordinary autoencoder whose bottleneck is a set of $L$ vectors. At $T_q$ each vector is replaced by one of $K$ codes: does the loss jump? After $T_q$, latents and codes move towards each other through the codebook and the commitment loss. So a later fit of the codebook should cost little at once and help afterwards. The adaptive weight should fall when the discriminator's gradient grows. Between fits, codes in use can only fall: a code that no latent takes gets no gradient and stays where it is. They are counted on a few held-out faces only, so there are fewer than in the whole set.

# %% [markdown]
# Does more training always help? The table has the best of these measurements after $T_q$, and the last. Where they differ, look for what else changes from there on, such as the codes in use.

# %%
display(styled(best_and_last({label: run.log() for label, run in shown.items()})))

# %% [markdown]
# ## The loss of one batch, term by term
#
# The next cell computes the terms for a batch of held-out images and the model with learned tokens, each in a line that is its formula. The adversarial term is left out: the discriminator is not part of the finished model.

# %%
model, batch = runs["learned, matching"].model(), from_uint8(heldout_images.images[:16])
perceptual = load_perceptual(config.train.perceptual_network)
with torch.no_grad():
    made, z_e, quantization = model(batch)  # x̂ (B, 3, H, W), z_e (B, L, d)
    z_c = quantization.quantized  # (B, L, d)
    terms = {
        "l1": (made - batch).abs().mean(),
        "perceptual": perceptual(made, batch).mean(),
        "codebook": (z_e - z_c).square().mean(),  # its gradient goes to the codebook
        "commitment": (z_e - z_c).square().mean(),  # its gradient goes to the encoder
    }
train = config.train
weights = {"l1": train.reconstruction_weight, "perceptual": train.perceptual_weight}
weights |= {"codebook": train.codebook_weight, "commitment": train.commitment_weight}
assert isclose(
    sum(weights[name] * float(terms[name]) for name in terms),
    training_loss(terms, train),
    rel_tol=1e-5,
)
rows = [
    [name.replace("l1", "L1"), float(term), weights[name], float(term) * weights[name]]
    for name, term in terms.items()
]
columns = ["term", "value", "weight", "weight × value"]
formats = {"value": "{:.4f}", "weight": "{:g}", "weight × value": "{:.4f}"}
display(styled(pd.DataFrame(rows, columns=columns), formats))

# %% [markdown]
# ## What happens at $T_q$, in pictures
#
# The figure shows reconstructions of the same held-out faces by the averaged model with learned tokens: just before $T_q$, one step after the first fit of the codebook, with a map of the errors, and at the last validation.

# %%
pictures = runs["learned, matching"].pictures()
fitted = initialisation_steps(config.train)
before = max(step for step in pictures if step <= fitted[0])
chosen = [
    step for step in (before, *(step + 1 for step in fitted), max(pictures)) if step in pictures
]
names = {step: f"step {step:,}" for step in (before, fitted[0] + 1, max(pictures))}
made = {name: pictures[step][8:14] for step, name in names.items() if step in pictures}
figure = plot_reconstructions(pictures[before][:6], made, [names[fitted[0] + 1]])
note = f"learned tokens, matching, quantized after step {fitted[0]:,}; {ERRORS}"
save_figure(figure, "at_tq", config, caption(config, config.train.steps, note));

# %% [markdown]
# The table has the same in numbers, measured on held-out faces at these steps and one step after each later fit.

# %%
validations = runs["learned, matching"].log().dropna(subset="heldout_l1").set_index("step")
measured = validations.reindex(chosen)[["heldout_l1", "heldout_psnr", "codes_in_use"]]
measured.columns = ["held-out L1", "PSNR (dB)", "codes in use"]
formats = {"step": "{:,}", "held-out L1": "{:.4f}", "PSNR (dB)": "{:.2f}"}
formats |= {"codes in use": "{:.0f}"}
display(styled(measured.rename_axis("step").reset_index(), formats, na_rep="–"))

# %% [markdown]
# ## Reconstructions
#
# The figure shows held-out faces, what each model makes of their codes alone, and where it errs. Two quantizers that are one model have one row.

# %%
originals = heldout_images.images[:8]
reconstructions = {}
for label, run in shown.items():
    model = run.model()
    reconstructions[label] = model.decode(torch.from_numpy(encode_images(model, originals)))
figure = plot_reconstructions(originals, reconstructions, errors_of=reconstructions)
note = f"held-out images; {ERRORS}: what the codes lose"
save_figure(figure, "reconstructions", config, caption(config, note=note));

# %% [markdown]
# **What to look at.** Outlines that are grey are misplaced by a pixel or blurred. Whole areas that are grey have another colour: do hats, clothes or backgrounds come back in the colour that most faces have? Black spots are details that are gone: look at mouths, brows and the direction of the eyes, and compare expressions from face to face.

# %% [markdown]
# ## What each part is worth
#
# The matching model with learned tokens is trained again with one thing changed at a time:
#
# - *L1 only*: without the perceptual and adversarial losses;
# - *base code's weights*: with the base code's weights for these losses;
# - *one initialisation*: with a single fit of the codebook;
# - *fitted at step W*: with $T_q$ as early as the first fit allows;
# - *quantized from the start*: quantized from the first step, which also means from a random codebook.
#
# All of them, *as trained* too, are half as long as the models above, with $T_q$ half as late. Together they still take much longer than the models themselves, so the default run shows stored results. `--rerun-ablations` trains them here, and with three seeds those rows that the verdict uses; if interrupted, the same command resumes. The first table says where the results come from. The second has means and standard deviations over seeds, and the number of seeds.

# %%
stored = figures_dir(profile, seed) / "ablations.json"
trained_here = rerun_ablations or (profile == "smoke" and not stored.exists())
if trained_here:
    measured, samples = run_ablations(
        config, load_feature_network(config.evaluation.features), device
    )
    note = f"learned tokens, matching · {len(heldout_images):,} samples against the training images"
    steps = half_as_long(config)["steps"]
    line = caption(config, steps, note)
    save_table(
        over_seeds(measured), "ablations", config, f"{line} · mean ± standard deviation over seeds"
    )
    figure = plot_images(torch.cat(list(samples.values())), columns=8, row_labels=list(samples))
    save_figure(figure, "ablation_samples", config, line + " · a column has the same parents")
    facts = stamp(config, steps, "matching", protocol=note)
    save_json({"rows": measured.to_dict("records")} | facts, "ablations", config)
    plt.close("all")  # shown from their files, below
stored = stored_file("ablations", profile, seed)
ablations = read_sealed(stored)
same = "this run's" if ablations["digest"] == config.digest("matching") else "other"
origin = {"results": f"{'trained in this run' if trained_here else 'stored'}, {same} settings"}
origin["made with"] = ", ".join([
    ablations["profile"],
    ablations["dataset"],
    f"{ablations['steps']:,} steps",
    f"seed {ablations['seed']}",
])
origin["protocol"] = ablations["protocol"]
display(facts_table(origin))
rows = pd.DataFrame(ablations["rows"])
display(Markdown(typeset(to_markdown(over_seeds(rows)), markdown=True)))
panels = rows.drop(columns=["change", "seed"], errors="ignore")
panels = panels.rename(columns=lambda name: name.partition(" (Eff")[0])
figure = plot_ablations(panels, highlight="as trained")
if stored.parent == figures_dir(profile, seed):  # else the rows are those of another profile
    repeated = panels.iloc[:, 0].duplicated().any()
    dots = "a dot is a seed, stroke and number their mean" if repeated else "one seed"
    note = f"{ablations['protocol']} · {dots}"
    save_figure(figure, "ablations", config, caption(config, ablations["steps"], note))

# %% [markdown]
# **What to look at.** Compare each row with *as trained*: differences within the spread over seeds mean nothing, and with one seed there is no spread to compare with. Of *L1 only* and *base code's weights*, compare the held-out L1 and the distance of the samples in the last column. Of *one initialisation*, compare the codes in use. The last two rows tell two explanations of the paper's "catastrophic failure" apart: *quantized from the start* lacks the delay **and** the codebook that is fitted to latents, *fitted at step W* lacks nearly all of the delay but has the fitted codebook. The perceptual loss and the Fréchet distance use the same network, which favours models trained with it: trust the pictures as much as the numbers.
#
# The pictures show each variation's samples of Algorithm 1, of the first seed. All samples of a column have the same parents. The picture `ablations` in the same folder has the table's numbers, seed by seed.

# %%
display(Image(stored.with_name("ablation_samples.png")))

# %% [markdown]
# The next cell says in words what the numbers show.

# %%
display(Markdown("\n".join(f"- {line}" for line in said(ablations["rows"]))))

# %% [markdown]
# ## The model, to show
#
# The next cell keeps the model of learned tokens with matching next to the figures: its weights in half precision, and its codes of the held-out faces. Notebooks that need one model to show take it where there is no run of these settings.

# %%
kept = ship(runs[LABEL])
where = f"in `{kept.parent.name}/{kept.name}`" if kept else "nowhere: it is over 3 MB"
display(Markdown(f"Kept {where}."))

# %% [markdown]
# ## Summary
#
# - Five terms: L1, perceptual, adversarial, codebook, commitment. The adaptive weight balances the third against the first two.
# - Quantization starts at $T_q$, with a codebook fitted to the latents of the last $W$ steps, and fitted again a few times.
# - With a random codebook from the start, a token takes nearly the same code for every face, and the decoder learns little more than the mean face.
# - As long as no two latents of an image want the same code, both quantizers take the same steps. In `quick`, that holds to the end with learned tokens, so both are one model, and not with drawn tokens.
#
# Next: [notebook 04](04_capacity.ipynb) counts what a set of codes can hold.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 3.1: hinge losses
#
# Write the discriminator's and the generator's loss from their formulas above. Both get tensors of scores.

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
def discriminator_loss(real, fake):
    """Return the hinge loss, × 0.5, of scores of real images and of reconstructions."""
    return 0.5 * ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean())


def generator_loss(fake):
    """Return the adversarial term of the autoencoder's loss."""
    return -fake.mean()

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_hinge(discriminator_loss, generator_loss)))

# %% [markdown]
# ### Exercise 3.2: how long an average remembers
#
# The averaged weights follow with $\beta = 0.995$. After how many steps has half of what they held left them?

# %% cellView="form" tags=["answer"] jupyter={"source_hidden": true}
half_life = log(0.5) / log(0.995)

# %% [markdown]
# The next cell checks the answer, and says what is wrong with it.

# %% tags=["check"]
display(Markdown(check_half_life(half_life)))

# %% [markdown]
# ### Exercise 3.3: two equal losses
#
# In the table *The loss of one batch*, the codebook loss and the commitment loss have the same value. Are both needed? What would happen without either?
#
# <details><summary>Answer</summary>
#
# They have one value and two gradients. Without the codebook loss nothing moves the codes but new fits, because the straight-through estimator gives them no gradient: the latents would drift away from them. Without the commitment loss nothing holds the latents: the decoder's gradient, which was computed at $z_c$, moves them on, away from their codes, and the straight-through estimate gets worse.
#
# </details>

# %% [markdown]
# ### Exercise 3.4: one fit or four (lab)
#
# The paper says that repeated initialisation "leads to better codebook usage". Train the smallest profile with one fit and with two, then compare: `python -m pivq train --profile smoke --set train.codebook_initialisations=1`. Then look at the row *one initialisation* above. What may you conclude from each?
#
# <details><summary>Answer</summary>
#
# From `smoke` nothing: it trains for 40 steps, and the numbers of codes in use differ by less than between two seeds. In the stored rows of the default profile, one fit leaves clearly fewer codes in use. Before you call that better, compare the other columns too: more codes in use need not mean better samples. And look at the number of seeds: with one there is no error bar.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **The base code.** S. Bond-Taylor, P. Hessey, H. Sasaki, T. P. Breckon, C. G. Willcocks: Unleashing Transformers: Parallel Token Prediction with Discrete Absorbing Diffusion for Fast High-Resolution Image Generation from Vector-Quantized Codes. ECCV 2022. [doi:10.1007/978-3-031-20050-2_11](https://doi.org/10.1007/978-3-031-20050-2_11).
# - **VQ-VAE.** A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural Discrete Representation Learning. NeurIPS 2017. [arXiv:1711.00937](https://arxiv.org/abs/1711.00937).
# - **VQ-GAN.** P. Esser, R. Rombach, B. Ommer: Taming Transformers for High-Resolution Image Synthesis. CVPR 2021. [arXiv:2012.09841](https://arxiv.org/abs/2012.09841).
# - **LPIPS.** R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. CVPR 2018. [arXiv:1801.03924](https://arxiv.org/abs/1801.03924).
# - **Adversarial training.** I. Goodfellow, J. Pouget-Abadie, M. Mirza, B. Xu, D. Warde-Farley, S. Ozair, A. Courville, Y. Bengio: Generative Adversarial Networks. [arXiv:1406.2661](https://arxiv.org/abs/1406.2661), 2014.
# - **Hinge loss of GANs.** J. H. Lim, J. C. Ye: Geometric GAN. [arXiv:1705.02894](https://arxiv.org/abs/1705.02894), 2017.
# - **DiffAug.** S. Zhao, Z. Liu, J. Lin, J.-Y. Zhu, S. Han: Differentiable Augmentation for Data-Efficient GAN Training. NeurIPS 2020. [arXiv:2006.10738](https://arxiv.org/abs/2006.10738).
# - **k-means++.** D. Arthur, S. Vassilvitskii: k-means++: The Advantages of Careful Seeding. SODA 2007.
# - **Delayed quantization.** A. Łańcucki, J. Chorowski, G. Sanchez, R. Marxer, N. Chen, H. J. G. A. Dolfing, S. Khurana, T. Alumäe, A. Laurent: Robust Training of Vector Quantized Bottleneck Models. IJCNN 2020. [arXiv:2005.08520](https://arxiv.org/abs/2005.08520).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
facts = stamp(
    config, steps=config.train.steps, runs={label: run.folder.name for label, run in runs.items()}
)
display(facts_table(facts))
