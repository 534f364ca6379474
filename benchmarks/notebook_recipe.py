"""The recipe as a notebook has it, for benchmarks/notebook.py to compare with.

    python benchmarks/notebook_recipe.py CSV SEED

Chunks put together in memory, Keras's `Tokenizer` and `pad_sequences`, batches of 64, two trials of
five epochs on the random 80/20 split, five epochs of the best. The split is in the CSV's column
`split`, so that both sides have the same. The network is that of conf/base, but for the mask:
notebooks leave it out. It tunes on the test set, as notebooks do, so its accuracy is flattered if
anything.
"""

import json
import sys

import keras
import optuna
import pandas as pd
from keras.src.legacy.preprocessing.text import Tokenizer

path, seed = sys.argv[1], int(sys.argv[2])
keras.utils.set_random_seed(seed)

reviews = pd.concat(pd.read_csv(path, chunksize=5000))
labels = reviews["sentiment"].map({"negative": 0, "positive": 1}).to_numpy()
tokenizer = Tokenizer(num_words=5000)
tokenizer.fit_on_texts(reviews["review"])
sequences = keras.utils.pad_sequences(tokenizer.texts_to_sequences(reviews["review"]), maxlen=200)
test = (reviews["split"] == "test").to_numpy()
x_train, x_test, y_train, y_test = sequences[~test], sequences[test], labels[~test], labels[test]


def build(units: int, dropout_rate: float, optimizer: str) -> keras.Model:
    """Return the compiled network."""
    model = keras.Sequential(
        [
            keras.Input(shape=(200,)),
            keras.layers.Embedding(5000, 64),
            keras.layers.LSTM(units),
            keras.layers.Dropout(dropout_rate),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    return model


def objective(trial: optuna.Trial) -> float:
    """Train for five epochs and return the accuracy."""
    model = build(
        trial.suggest_int("units", 50, 100),
        trial.suggest_float("dropout_rate", 0.2, 0.5),
        trial.suggest_categorical("optimizer", ["adam", "rmsprop"]),
    )
    history = model.fit(
        x_train, y_train, epochs=5, batch_size=64, validation_data=(x_test, y_test), verbose=0
    )
    return float(max(history.history["val_accuracy"]))


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
study.optimize(objective, n_trials=2)
best = build(**study.best_params)
best.fit(x_train, y_train, epochs=5, batch_size=64, verbose=0)
_, accuracy = best.evaluate(x_test, y_test, verbose=0)
print(json.dumps({"accuracy": accuracy}))
