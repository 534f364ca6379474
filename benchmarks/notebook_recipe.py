"""The usual recipe of notebooks, for comparison in benchmarks/notebook.py.

    python benchmarks/notebook_recipe.py CSV SEED

The CSV is read in chunks that are concatenated in memory; Keras's `Tokenizer` and `pad_sequences`
encode the texts; batches have 64 reviews; two trials and the final model are trained for five
epochs on a random 80/20 split. The split comes from the CSV's column `split`, so that both sides
use the same one. The network is a plain embedding, LSTM, dropout and dense layer of the sizes in
conf/base, with Keras's defaults otherwise. As in notebooks, the search uses the test set, so the
accuracy may be too high.
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
    """Train for five epochs and return the best accuracy on the test set."""
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
