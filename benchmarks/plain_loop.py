"""A loop that only reads, splits and looks up words, for comparison in benchmarks/data_path.py.

    python benchmarks/plain_loop.py CSV

It is what a notebook would contain, and imports nothing else: csv.DictReader, lower case,
str.translate, split, Counter and a dictionary.
"""

import csv
import string
import sys
from collections import Counter

VOCABULARY, LENGTH = 5000, 200

to_space = str.maketrans(dict.fromkeys(string.punctuation, " "))
counts: Counter[str] = Counter()
reviews = []
with open(sys.argv[1], encoding="utf-8", newline="") as file:  # noqa: PTH123
    for row in csv.DictReader(file):
        words = row["review"].lower().translate(to_space).split()
        counts.update(words)
        reviews.append(words)
ids = {word: number for number, (word, _) in enumerate(counts.most_common(VOCABULARY), 2)}
sequences = [[ids[word] for word in words if word in ids][-LENGTH:] for words in reviews]
