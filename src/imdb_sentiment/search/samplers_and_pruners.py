"""Optuna's samplers and pruners, made from the names of their classes."""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

# The first two end a study from inside `Study.optimize`, which is not used here; the third wraps
# another sampler; and the last needs the value of each fold by itself, but trials report that of
# all folds so far.
_UNSUPPORTED = ("BruteForceSampler", "GridSampler", "PartialFixedSampler", "WilcoxonPruner")
# Packages that Optuna imports only when they are first used, which would be after hours of work.
_REQUIRED_PACKAGES = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}
# Numbers of trials before a sampler uses its arguments: the default, and the most that are tried.
_STARTUP_TRIALS, _MOST_STARTUP_TRIALS = 10, 100
_STEPS = 4  # values that a trial reports to a pruner


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


def try_sampler_and_pruner(
    sampler: Mapping[str, Any],
    pruner: Mapping[str, Any],
    space: Mapping[str, BaseDistribution],
    *,
    is_parallel: bool,
) -> None:
    """Make both, and try arguments in a study of a few trials that train nothing.

    Many arguments are not checked by Optuna until a trial, perhaps the tenth, has used them.

    Args:
        sampler: `name` and `arguments` of the sampler, see `make_sampler`.
        pruner: `name` and `arguments` of the pruner, see `make_pruner`.
        space: Distribution of each hyperparameter that is searched.
        is_parallel: Whether several trials run at the same time.

    Raises:
        ValueError: One of them can't be made, or fails with these arguments.

    """
    made = make_sampler(**sampler, seed=0, is_parallel=is_parallel)
    if sampler["arguments"]:
        _try("sampler", sampler, space, made, optuna.pruners.NopPruner())
    also_made = make_pruner(**pruner)
    if pruner["arguments"]:
        _try("pruner", pruner, space, optuna.samplers.RandomSampler(seed=0), also_made)


def _try(
    kind: str,
    tried: Mapping[str, Any],
    space: Mapping[str, BaseDistribution],
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
) -> None:
    startup = tried["arguments"].get("n_startup_trials")
    n_startup = startup if isinstance(startup, int) else _STARTUP_TRIALS
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            study = optuna.create_study(sampler=sampler, pruner=pruner)
            for number in range(min(n_startup, _MOST_STARTUP_TRIALS) + 2):
                trial = study.ask(dict(space))
                for step in range(_STEPS):
                    trial.report(float(number + step), step)
                    trial.should_prune()
                study.tell(trial, float(number))
    except Exception as error:  # whatever Optuna does with an argument of a wrong kind
        arguments = ", ".join(f"{name}: {value!r}" for name, value in tried["arguments"].items())
        raise ValueError(
            f"{kind}: {tried['name']} fails in a search with the arguments {arguments} "
            f"({type(error).__name__}: {error}): correct them in tuning.{kind}.arguments"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)


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
