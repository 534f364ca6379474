import optuna
import pytest

from imdb_sentiment.search import make_pruner, make_sampler


@pytest.mark.parametrize("name", ["HyperbandPruner", "MedianPruner", "NopPruner"])
def test_pruners_are_made_by_name(name: str) -> None:
    assert type(make_pruner(name, {})).__name__ == name


@pytest.mark.parametrize("name", ["TPESampler", "RandomSampler", "CmaEsSampler", "QMCSampler"])
def test_samplers_are_made_by_name_and_seed(name: str) -> None:
    def draw(seed: int) -> list[float]:
        sampler = make_sampler(name, {}, seed, is_parallel=False)
        assert type(sampler).__name__ == name
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        return [trial.params["x"] for trial in study.trials]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_only_in_parallel_are_running_trials_counted_as_bad() -> None:
    one, several, chosen = (
        make_sampler("TPESampler", arguments, 0, is_parallel=is_parallel)
        for arguments, is_parallel in (({}, False), ({}, True), ({"constant_liar": False}, True))
    )
    assert not vars(one)["_constant_liar"]
    assert vars(several)["_constant_liar"]
    assert not vars(chosen)["_constant_liar"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^sampler: unknown name 'TPE': choose from .*TPESampler"):
        make_sampler("TPE", {}, 0, is_parallel=False)
    with pytest.raises(ValueError, match=r"^sampler: TPESampler: set tuning\.seed instead"):
        make_sampler("TPESampler", {"seed": 7}, 0, is_parallel=False)
    with pytest.raises(
        ValueError, match=r"^pruner: unknown name 'BasePruner': choose from .*Median"
    ):
        make_pruner("BasePruner", {})
