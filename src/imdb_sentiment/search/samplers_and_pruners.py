"""Optuna's samplers and pruners, made from the names of their classes."""

import warnings
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import optuna

# The first two end a study from inside `Study.optimize`, which is not used here; the last one wraps
# another sampler.
_UNSUPPORTED = ("BruteForceSampler", "GridSampler", "PartialFixedSampler")
# Packages that Optuna imports only when they are first used, which would be after hours of work.
_REQUIRED_PACKAGES = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}


def make_sampler(
    name: str, arguments: dict[str, Any], seed: int, *, is_parallel: bool
) -> optuna.samplers.BaseSampler:
    """Return a new sampler, which proposes hyperparameters.

    Args:
        name: Name of the class, such as `TPESampler`.
        arguments: Arguments of its constructor, except `seed`.
        seed: Seed of the sampler.
        is_parallel: Whether several trials run at the same time. TPE then counts running trials as
            bad, so that simultaneous trials differ. Otherwise a running trial is one that a crash
            left behind, and must not affect the next.

    Returns:
        The sampler.

    Raises:
        ValueError: Optuna has no such sampler, it can't be constructed with these arguments, they
            include a seed, or a package that it needs is missing.

    """
    if "seed" in arguments:
        raise ValueError(f"sampler: {name}: set tuning.seed instead of the argument seed")
    arguments = {**arguments, "seed": seed}
    if name == "TPESampler":
        arguments.setdefault("constant_liar", is_parallel)
    sampler: optuna.samplers.BaseSampler = _make(optuna.samplers, "sampler", name, arguments)
    return sampler


def make_pruner(name: str, arguments: dict[str, Any]) -> optuna.pruners.BasePruner:
    """Return a new pruner, which ends unpromising trials early.

    Args:
        name: Name of the class, such as `MedianPruner`.
        arguments: Arguments of its constructor.

    Returns:
        The pruner.

    Raises:
        ValueError: Optuna has no such pruner, it can't be constructed with these arguments, or a
            package that it needs is missing.

    """
    pruner: optuna.pruners.BasePruner = _make(optuna.pruners, "pruner", name, arguments)
    return pruner


def _make(module: ModuleType, kind: str, name: str, arguments: dict[str, Any]) -> Any:
    known = [
        known
        for known in module.__all__
        if known.endswith(kind.capitalize())
        and not known.startswith("Base")
        and known not in _UNSUPPORTED
    ]
    if name not in known:
        raise ValueError(f"{kind}: unknown name {name!r}: choose from {', '.join(known)}")
    package = _REQUIRED_PACKAGES.get(name)
    if package and find_spec(package) is None:
        raise ValueError(f"{kind}: {name} needs the package {package}: pip install {package}")
    with warnings.catch_warnings(action="ignore"):  # some classes and arguments are experimental
        try:
            return getattr(module, name)(**arguments)
        except (TypeError, ValueError, ImportError) as error:
            raise ValueError(f"{kind}: {name}: {error}") from error
