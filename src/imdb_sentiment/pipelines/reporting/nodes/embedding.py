"""The exported model as text, inside a page that runs it: `templates/predictor.js` reads it."""

import base64
import gzip
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from imdb_sentiment.parameters import ReportParameters
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.cleaning import is_mark
from imdb_sentiment.text.tokenizer import find_rule, get_sequence_length, has_whole_words
from imdb_sentiment.text.words import SAME_LETTERS, character_classes, get_rule

MEGABYTE = 1_000_000

Embedded = dict[str, str]
Array = npt.NDArray[Any]


def embed_model(onnx_model: bytes, report: ReportParameters) -> Embedded:
    """Return the exported model as text, for a page that predicts the labels of typed texts.

    Args:
        onnx_model: Output of the pipeline training.
        report: The maximum size of the text; 0 for none.

    Returns:
        `description`, JSON with the operators of the model's graph and everything that is needed to
        compute their inputs from a text, and `constants`, the weights, both compressed (gzip) and
        in base64; or `reason`, why they are missing; empty if the maximum size is 0.

    """
    if not report.model_megabytes:
        return {}
    predictor = Predictor(onnx_model)
    if not has_whole_words(predictor.tokenizer):
        return {"reason": "the model reads subwords, and this page can only cut texts into words"}
    if find_rule(predictor.tokenizer).script == "ascii":
        return {
            "reason": "the model is from an earlier version: train it again with kedro run "
            "--pipelines training,reporting"
        }
    operators, constants = _read_graph(onnx_model)
    packed = [_pack_numbers(array) for array in constants.values()]
    description = {
        "labels": predictor.labels,
        "rule": asdict(predictor.rule) | {"weights": predictor.rule.weights.tolist()},
        "reasons": {
            "empty": predictor.explain_silence("", is_scored=False),
            "unknown": predictor.explain_silence("?", is_scored=False),
            "unsure": predictor.explain_silence("?", is_scored=True),
        },
        "vocabulary": _list_words(predictor.tokenizer.get_vocab()),
        "unknown_tokens": predictor.unknown_tokens,
        "has_network": predictor.has_network,
        "sequence_length": get_sequence_length(predictor.tokenizer),
        "head_length": predictor.head_length,
        "max_ngram": predictor.max_ngram,
        "character_ngram": predictor.character_ngram,
        **_describe_words(predictor),
        "operators": operators,
        "constants": [
            {"name": name, "type": array.dtype.name, "shape": array.shape}
            for name, array in constants.items()
        ],
    }
    text = json.dumps(description, ensure_ascii=False)
    embedded = {
        "description": _compress(text.encode("utf-8")),
        "constants": _compress(b"".join(packed)),
    }
    size = sum(map(len, embedded.values())) / MEGABYTE
    if size > report.model_megabytes:
        return {
            "reason": f"the model would take {size:.1f} MB here, and report.model_megabytes "
            f"allows {report.model_megabytes:g}: raise it to embed the model"
        }
    return embedded


def _read_graph(onnx_model: bytes) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """Return the operators of an exported model in their order, and all constants by their names.

    Attributes that are tensors become constants, and then contain the names of these.
    """
    import onnx

    graph = onnx.load_from_string(onnx_model).graph
    constants = {found.name: onnx.numpy_helper.to_array(found) for found in graph.initializer}
    operators = []
    for number, node in enumerate(graph.node):
        attributes = {}
        for attribute in node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                name = f"{attribute.name}_{number}"
                constants[name] = onnx.numpy_helper.to_array(value)
                value = name
            attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
        inputs, outputs = list(node.input), list(node.output)
        operators.append(
            {"type": node.op_type, "inputs": inputs, "outputs": outputs, "attributes": attributes}
        )
    # JavaScript looks hashes up in 64 bits, however small they are.
    return operators, {
        name: array if name.startswith("keys_tensor") else _shorten(array)
        for name, array in constants.items()
    }


def _shorten(array: Array) -> Array:
    """Return the same numbers with fewer bits, as far as predictions stay the same.

    Weights are rounded to 16 significant bits, by less than 0.002%. Counts become int32.
    """
    if array.dtype == np.float32:
        bits = (array.view(np.uint32) + np.uint32(0x80)) & np.uint32(0xFFFFFF00)
        return bits.view(np.float32)
    fits = np.abs(array).max(initial=0) < 2**31
    return array.astype(np.int32) if fits else array


def _pack_numbers(array: Array) -> bytes:
    """Return the first bytes of all numbers, then the second bytes, and so on.

    Bytes of one place are alike, so they are compressed better ("shuffle" of Blosc and HDF5).
    """
    little = array.astype(array.dtype.newbyteorder("<"))
    return np.frombuffer(little.tobytes(), np.uint8).reshape(-1, array.itemsize).T.tobytes()


def _compress(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode("ascii")


def _list_words(vocabulary: dict[str, int]) -> list[str]:
    """Return the words of a vocabulary in the order of their ids, which have no gaps."""
    return sorted(vocabulary, key=lambda word: vocabulary[word])


def _describe_words(predictor: Predictor) -> dict[str, Any]:
    """Return the patterns that cut texts into words, which JavaScript reads as well.

    Their classes of characters are those of Python's version of Unicode.
    """
    rule = get_rule(predictor.script)
    return {
        "words": find_rule(predictor.tokenizer).words.pattern,
        "tokens": rule.tokens.pattern,
        "single": rule.single.pattern,
        "ignored": f"[{character_classes()['ignored']}]+",
        "same_letters": SAME_LETTERS,
        "marks": _find_marks(),
    }


def _find_marks() -> str:
    """Return the marks that cleaning limits, as written between [ and ] in a regular expression."""
    characters = map(chr, range(0x20000))  # beyond which there are none
    return "".join(filter(is_mark, characters))
