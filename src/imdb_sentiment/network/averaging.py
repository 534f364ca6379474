"""The average of several networks, as one network."""

from collections.abc import Sequence

import numpy as np

from imdb_sentiment.network.model import KerasModel
from imdb_sentiment.network.tensorflow_setup import tensorflow_setup


def average_networks(models: Sequence[KerasModel]) -> KerasModel:
    """Return one network whose logits are the mean of the logits of several networks.

    The layers of the networks stand side by side, except the last one, which takes the outputs of
    all. The average is not compiled, since it has no optimizer to continue with.

    Args:
        models: Networks from `train_model` with the same hyperparameters; they are not changed.

    Returns:
        The average; a single network is returned as it is.

    """
    if len(models) == 1:
        return models[0]
    with tensorflow_setup():
        import keras

    token_ids = keras.Input(shape=(None,), dtype="int32", name="token_ids")
    outputs = []
    for number, model in enumerate(models, start=1):
        output = token_ids
        for layer in model.layers[:-1]:
            config = layer.get_config()
            copy = type(layer).from_config({**config, "name": f"{config['name']}_of_{number}"})
            output = copy(output)
            copy.set_weights(layer.get_weights())
        outputs.append(output)
    kernels, biases = zip(*(model.layers[-1].get_weights() for model in models), strict=True)
    last = models[0].layers[-1]
    top = type(last).from_config(last.get_config())
    averaged = keras.Model(token_ids, top(keras.layers.Concatenate()(outputs)))
    top.set_weights([np.concatenate(kernels) / len(models), np.mean(biases, axis=0)])
    return averaged
