"""Plant one deliberate fault at a time in a copy of the package, and see whether a test of that module fails.

    python tests/trust/mutants.py            # all, and the table that docs/robustness.md shows
    python tests/trust/mutants.py Eq. EMA    # those whose description has one of these words

A fault that no test notices "survives": the exit status is then 1. Nothing is changed in the checkout.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# What is wrong then, the file, its text, what stands there instead, and the tests that should notice.
MUTANTS = [
    ("Eq. (4): K + 1 in place of K", "capacity.py", "math.comb(codes_in_use, num_codes)",
     "math.comb(codes_in_use + 1, num_codes)", "test_capacity.py"),
    ("Eq. (2): L + K_img in place of L + K_img − 1", "capacity.py",
     "math.comb(num_codes + codes_per_image - 1, codes_per_image - 1)",
     "math.comb(num_codes + codes_per_image, codes_per_image - 1)", "test_capacity.py"),
    ("Eq. (3): squared distances", "quantizers.py", "return match(distances)", "return match(distances.square())",
     "test_quantizers.py"),
    ("Eq. (1): the second nearest code", "quantizers.py", "return distances.argmin(dim=2)",
     "return distances.argsort(dim=2)[..., 1]", "test_quantizers.py"),
    ("matching: prices lowered by too little", "solvers/augmenting.py",
     "price = v[code] - (length - tree.lengths[at])", "price = v[code] - 0.5 * (length - tree.lengths[at])",
     "test_matching.py solvers"),
    ("matching: the crowd's proof is not asked for", "solvers/crowd.py", "if is_optimal(codes, costs, radii) else None",
     "if True else None", "test_matching.py solvers"),
    ("k-means++: the worst candidate seed", "codebook_init.py", "best = int(lowered.sum(dim=1).argmin())",
     "best = int(lowered.sum(dim=1).argmax())", "test_codebook_init.py"),
    ("W: the window begins one step late", "codebook_init.py", "range(end - config.history_steps, end)",
     "range(end - config.history_steps + 1, end)", "test_codebook_init.py test_trainer.py"),
    ("Algorithm 1: a shared code may be left out", "sampling.py", "masked_fill_(twice, -1.0)",
     "masked_fill_(twice, 0.5)", "test_sampling.py"),
    ("paths: a and b exchanged", "sampling.py", "only_a, only_b)  # position", "only_b, only_a)  # position",
     "test_sampling.py"),
    ("seeds: every epoch in the same order", "trainer.py", "manual_seed(seed * 1_000_003 + epoch)",
     "manual_seed(seed * 1_000_003)", "test_trainer.py"),
    ("seeds: all samples from one stretch", "sampling.py", ".advance(start * blocks)", ".advance(0)",
     "test_sampling.py"),
    ("EMA: the decay's complement", "trainer.py", "get_ema_multi_avg_fn(self.config.train.ema_decay)",
     "get_ema_multi_avg_fn(1 - self.config.train.ema_decay)", "test_trainer.py"),
    ("Section 3.6: codebook and commitment weights exchanged", "losses.py", '"codebook": weights.codebook_weight',
     '"codebook": weights.commitment_weight', "test_losses.py test_trainer.py"),
    ("Section 3.6: adaptive weight not limited", "losses.py", ".clamp(0, limit)", ".clamp(0)",
     "test_losses.py test_trainer.py"),
    ("straight-through: no gradient to the latents", "quantizers.py",
     "quantized=latents + (quantized - latents).detach()", "quantized=quantized", "test_quantizers.py test_model.py"),
    ("Section 3.2: positions on the codes", "model.py", "sequence = torch.cat([quantized, outputs], dim=1)",
     "sequence = torch.cat([quantized + outputs[:, :1] * torch.arange(quantized.shape[1], "
     "device=quantized.device)[:, None], outputs], dim=1)", "test_model.py"),
    ("Table 3: precision and recall exchanged", "metrics/neighbours.py", "precision=float(in_real_ball[i].mean())",
     "precision=float(in_fake_ball[i].mean())", "metrics"),
    ("Table 3: one trace forgotten", "metrics/frechet.py", "+ np.trace(cov_a) + np.trace(cov_b)",
     "+ np.trace(cov_a)", "metrics"),
    ("K_img: the mean in place of the most", "usage.py", "int(distinct.max())", "int(distinct.mean())",
     "test_usage.py"),
    ("Section 3.8: folds not shuffled by the seed", "probing.py", "shuffle=True, random_state=seed",
     "shuffle=True, random_state=0", "test_probing.py"),
    ("labels joined by position", "data/labels.py", 'return labels.reindex(pd.Index(ids, name="id"))',
     'return labels.iloc[: len(ids)].set_axis(pd.Index(ids, name="id"))', "data/test_labels.py data/test_layouts.py"),
    ("images in [−1, 1] given as [0, 1] levels", "data/dataset.py", "images.float() / 255", "images.float() / 127.5",
     "data/test_dataset.py"),
    ("verdict: every claim is reproduced", "runs/verdict/judging.py", "return REPRODUCED if condition else DIFFERS",
     "return REPRODUCED", "runs/verdict"),
]  # fmt: skip


def is_killed(file: str, text: str, fault: str, tests: str) -> bool:
    """Plant a fault in a copy of the package and run the tests; return whether one fails.

    Raises:
        ValueError: the text does not stand in the file exactly once.
        RuntimeError: the tests could not be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("pivq", "tests", "benchmarks", "figures/quick"):
            shutil.copytree(CHECKOUT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(CHECKOUT / "pyproject.toml", root)
        path = root / "pivq" / file
        source = path.read_text(encoding="utf-8")
        if source.count(text) != 1:
            raise ValueError(f"{file} has {text!r} {source.count(text)} times")
        path.write_text(source.replace(text, fault), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += [f"tests/{test}" for test in tests.split()]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests of {file} did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


def run(words: list[str]) -> list[tuple[str, str, bool]]:
    """Plant the faults whose description has one of the words, or all; return each with its file, and if it is killed.

    One table row per fault is printed.
    """
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant[0] for word in words)]
    file, text, tests = "capacity.py", MUTANTS[0][2], " ".join(dict.fromkeys(" ".join(m[-1] for m in chosen).split()))
    if is_killed(file, text, text, tests):
        raise RuntimeError(f"a test fails without any fault: {tests}")
    print("| fault | file | noticed |\n|---|---|---|", flush=True)
    rows = []
    for what, *mutant in chosen:
        rows.append((what, mutant[0], is_killed(*mutant)))
        print(f"| {what} | `{mutant[0]}` | {'yes' if rows[-1][2] else '**no**'} |", flush=True)
    return rows


def main(words: list[str]) -> int:
    """Print one table row per fault; return 1 if one survived."""
    rows = run(words)
    noticed = sum(killed for *_, killed in rows)
    print(f"\n{noticed} of {len(rows)} noticed.")
    return int(noticed < len(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
