// The exported model in JavaScript: from a text to probabilities, exactly as
// `imdb_sentiment.serving.Predictor` does it. Names and steps are those of the Python modules.

// --- Arrays: `shape`, and `data` in the order of NumPy. -----------------------------------------

const size = (shape) => shape.reduce((product, n) => product * n, 1);
const tensor = (shape, data = new Float32Array(size(shape))) => ({ shape, data });

function strides(shape) {
  const steps = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) steps[axis] = steps[axis + 1] * shape[axis + 1];
  return steps;
}

// For each element of an array of this shape, the sum of its indices times the steps of their axes.
function locate(shape, steps) {
  const places = new Int32Array(size(shape));
  let inner = places.length;
  shape.forEach((n, axis) => {
    inner /= n;
    if (!steps[axis]) return;
    for (let i = 0; i < places.length; i++) places[i] += (Math.floor(i / inner) % n) * steps[axis];
  });
  return places;
}

// Steps through an array that is broadcast to more axes, or along axes of length 1.
function broadcast(shape, n_axes) {
  const missing = Array(n_axes - shape.length).fill(0);
  return [...missing, ...strides(shape).map((step, axis) => (shape[axis] === 1 ? 0 : step))];
}

// --- Operators of ONNX, as far as `network/export.py` uses them. --------------------------------

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

const elementwise = (compute) => (x) => tensor(x.shape, x.data.map(compute));

const pairwise = (compute) => (a, b) => {
  const n_axes = Math.max(a.shape.length, b.shape.length);
  const [one, other] = [a, b].map(({ shape }) => [...Array(n_axes - shape.length).fill(1), ...shape]);
  const result = tensor(one.map((n, axis) => (n === 1 ? other[axis] : n)));
  const [i, j] = [a, b].map(({ shape }) => locate(result.shape, broadcast(shape, n_axes)));
  result.data.forEach((_, k) => (result.data[k] = compute(a.data[i[k]], b.data[j[k]])));
  return result;
};

// Combines all elements that differ in their indices of some axes alone.
function reduce(x, axes, start, combine) {
  const along = axes.map((axis) => (axis + x.shape.length) % x.shape.length);
  const kept = x.shape.filter((_, axis) => !along.includes(axis));
  const steps = strides(kept);
  const places = locate(x.shape, x.shape.map((_, axis) => (along.includes(axis) ? 0 : steps.shift())));
  const result = tensor(kept, new Float32Array(size(kept)).fill(start));
  x.data.forEach((value, i) => (result.data[places[i]] = combine(result.data[places[i]], value)));
  return { result, places };
}

const add = (a, b) => a + b;

function softmax(x) {
  const { result: most, places } = reduce(x, [-1], -Infinity, Math.max);
  const powers = tensor(x.shape, x.data.map((value, i) => Math.exp(value - most.data[places[i]])));
  const { result: total } = reduce(powers, [-1], 0, add);
  return tensor(x.shape, powers.data.map((value, i) => value / total.data[places[i]]));
}

// Adds the products of four rows of a matrix with a vector to four sums: of the gates of a unit,
// whose rows are `step` apart. This loop takes nearly all of the time.
function addProducts(sums, matrix, row, step, vector, start, n) {
  let [a, b, c, d] = sums;
  for (let k = 0; k < n; k++) {
    const value = vector[start + k];
    a += matrix[row + k] * value;
    b += matrix[row + step + k] * value;
    c += matrix[row + 2 * step + k] * value;
    d += matrix[row + 3 * step + k] * value;
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

// Gates in ONNX's order: input, output, forget, candidate. Returns all outputs, and the last ones.
function lstm(x, kernel, recurrent, bias, n_units) {
  const [n_steps, n_texts, width] = x.shape;
  const n_directions = kernel.shape[0];
  const all = tensor([n_steps, n_directions, n_texts, n_units]);
  const last = tensor([n_directions, n_texts, n_units]);
  const sums = new Float64Array(4);
  for (let direction = 0; direction < n_directions; direction++) {
    for (let text = 0; text < n_texts; text++) {
      let output = new Float32Array(n_units);
      const memory = new Float32Array(n_units);
      for (let step = 0; step < n_steps; step++) {
        const word = direction ? n_steps - 1 - step : step;
        const next = new Float32Array(n_units);
        for (let unit = 0; unit < n_units; unit++) {
          for (let gate = 0; gate < 4; gate++) {
            const at = direction * 8 * n_units + gate * n_units + unit; // two biases per gate
            sums[gate] = bias.data[at] + bias.data[at + 4 * n_units];
          }
          const row = direction * 4 * n_units + unit;
          const start = (word * n_texts + text) * width;
          addProducts(sums, kernel.data, row * width, n_units * width, x.data, start, width);
          addProducts(sums, recurrent.data, row * n_units, n_units * n_units, output, 0, n_units);
          memory[unit] = sigmoid(sums[2]) * memory[unit] + sigmoid(sums[0]) * Math.tanh(sums[3]);
          next[unit] = sigmoid(sums[1]) * Math.tanh(memory[unit]);
        }
        output = next;
        all.data.set(output, ((word * n_directions + direction) * n_texts + text) * n_units);
      }
      last.data.set(output, (direction * n_texts + text) * n_units);
    }
  }
  return [all, last];
}

// The position of each value in a sorted array, counted from 1; 0 if it is not there.
function search(values, sorted) {
  return Int32Array.from(values, (value) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return sorted[low] === value ? low + 1 : 0;
  });
}

const OPERATORS = {
  Add: pairwise(add),
  Mul: pairwise((a, b) => a * b),
  Div: pairwise((a, b) => a / b),
  Max: pairwise(Math.max),
  Sqrt: elementwise(Math.sqrt),
  Sigmoid: elementwise(sigmoid),
  Softmax: softmax,
  ReduceSum: (x, axes) => reduce(x, [...axes.data], 0, add).result,
  ReduceMax: (x, { axes }) => reduce(x, axes, -Infinity, Math.max).result,
  ReduceMean(x, { axes }) {
    const { result } = reduce(x, axes, 0, add);
    return tensor(result.shape, result.data.map((sum) => (sum * result.data.length) / x.data.length));
  },
  MatMul(a, b) {
    const [n_inner, n_columns] = b.shape;
    const result = tensor([...a.shape.slice(0, -1), n_columns]);
    result.data.forEach((_, i) => {
      const row = Math.floor(i / n_columns) * n_inner;
      let sum = 0;
      for (let k = 0; k < n_inner; k++) sum += a.data[row + k] * b.data[k * n_columns + (i % n_columns)];
      result.data[i] = sum;
    });
    return result;
  },
  Gather(x, indices, { axis = 0 }) {
    const [before, after] = [x.shape.slice(0, axis), x.shape.slice(axis + 1)];
    const [n_before, n_after, n] = [size(before), size(after), indices.data.length];
    const result = tensor([...before, ...indices.shape, ...after]);
    for (let i = 0; i < n_before; i++) {
      for (let j = 0; j < n; j++) {
        const from = (i * x.shape[axis] + indices.data[j]) * n_after;
        result.data.set(x.data.subarray(from, from + n_after), (i * n + j) * n_after);
      }
    }
    return result;
  },
  Transpose(x, { perm }) {
    const shape = perm.map((axis) => x.shape[axis]);
    const steps = strides(x.shape);
    const places = locate(shape, perm.map((axis) => steps[axis]));
    return tensor(shape, x.data.map((_, i) => x.data[places[i]]));
  },
  Reshape(x, wanted) {
    const shape = [...wanted.data].map((n, axis) => n || x.shape[axis]); // 0: as it was
    const known = shape.filter((n) => n > 0);
    return tensor(shape.map((n) => (n < 0 ? x.data.length / size(known) : n)), x.data);
  },
  Concat(...given) {
    const parts = given.slice(0, -1); // along the last axis, which is the only use here
    const widths = parts.map(({ shape }) => shape.at(-1));
    const rows = size(parts[0].shape.slice(0, -1));
    const result = tensor([...parts[0].shape.slice(0, -1), widths.reduce(add)]);
    let at = 0;
    for (let row = 0; row < rows; row++) {
      parts.forEach(({ data }, i) => {
        result.data.set(data.subarray(row * widths[i], (row + 1) * widths[i]), at);
        at += widths[i];
      });
    }
    return result;
  },
  LSTM: (x, w, r, b, { hidden_size }) => lstm(x, w, r, b, hidden_size),
};

// --- The file: JSON and weights, compressed. ----------------------------------------------------

async function decompress(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

const TYPES = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array };

// The bytes of all constants: of each one the first bytes of its numbers, then the second bytes, …
function unpackConstants(buffer, constants) {
  const bytes = new Uint8Array(buffer);
  const found = new Map();
  let start = 0;
  for (const { name, type, shape } of constants) {
    const n = size(shape);
    const width = TYPES[type].BYTES_PER_ELEMENT;
    const ordered = new Uint8Array(n * width);
    for (let place = 0; place < width; place++) {
      for (let i = 0; i < n; i++) ordered[i * width + place] = bytes[start++];
    }
    found.set(name, tensor(shape, new TYPES[type](ordered.buffer)));
  }
  return found;
}

// --- Texts: `text/cleaning.py`, `text/words.py`, `text/ngrams.py`. ------------------------------

const isAscii = (text) => /^[\0-\x7f]*$/.test(text);
const SPACES = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u; // Python's
const cutAtSpaces = (text) => text.split(SPACES).filter(Boolean);
const lower = (text) => text.replaceAll("\u03a3", "\u03c3").toLowerCase();

const ENTITY = /&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]*);/gi;
const TAGS =
  "br|p|a|b|i|u|s|em|strong|span|div|font|h[1-6]|hr|img|ul|ol|li|dl|dt|dd|blockquote|pre|code|" +
  "sup|sub|small|big|del|ins|strike|center|table|caption|thead|tbody|tfoot|tr|td|th|html|head|" +
  "meta|body|form|input|button|o:p";
const BARE = "hidden|disabled|checked|selected|required|readonly|multiple|nowrap|noshade|async|defer";
const END = String.raw`(?:\s+(?:${BARE}))*(?:\s+[\p{L}\p{N}_:\-]+\s*=[^<>]*|\s*(?:\/\s*)?)>`;
const MARKUP = new RegExp(
  `</?(?:${TAGS})${END}` +
    String.raw`|<(script|style)${END}(?:(?!<\1).)*?</\1\s*>` +
    `|</?(?:script|style)${END}` +
    String.raw`|<!--(?:(?!<!--).)*?-->|<!doctype\s[^<>]*>`,
  "gisu",
);
const INVISIBLE = /[\0-\x1f\x7f-\x9f\u200b\ufeff\ud800-\udfff]/gu;

// As Python's `html.unescape`, which drops code points that HTML forbids; the browser keeps them.
function decodeEntity(entity) {
  const [, hexadecimal, decimal] = /^&#(?:x([^;]+)|([^;]+));$/i.exec(entity) ?? [];
  const code = hexadecimal ? parseInt(hexadecimal, 16) : Number(decimal ?? 32);
  const isControl = (code > 0 && code < 9) || code === 11 || (code > 13 && code < 32) || code === 127;
  const isNone = (code >= 0xfdd0 && code <= 0xfdef) || ((code & 0xfffe) === 0xfffe && code < 0x110000);
  if (isControl || isNone) return "";
  const { body } = new DOMParser().parseFromString(`<body>.${entity}`, "text/html");
  return body.textContent.slice(1);
}

const ASCII_MARKS = /[!"#$%&()*+,\-./:;<=>?@[\\\]^_`{|}~\s]+/;
const ASCII_TOKEN = /\w+(?:'\w+)*|[^\w\s]/g;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

function crc32(text) {
  let crc = ~0;
  for (const byte of new TextEncoder().encode(text)) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const FACTOR = 0x9e3779b97f4a7c15n;
const to64Bits = (number) => BigInt.asUintN(64, number);

function combineHashes(tokens, max_ngram) {
  let hashes = tokens.map((token) => to64Bits((token + 1n) * FACTOR));
  const found = new Set(hashes);
  for (let n = 1; n < Math.min(max_ngram, tokens.length); n++) {
    hashes = hashes
      .slice(0, -1)
      .map((hash, i) => to64Bits(((hash ^ (hash >> 32n)) + tokens[i + n] + 1n) * FACTOR));
    hashes.forEach((hash) => found.add(hash));
  }
  found.delete(0n);
  return BigInt64Array.from(found, (hash) => BigInt.asIntN(64, hash));
}

// The hashes of a word's character n-grams, which `text/ngrams.py` computes for all words at once.
function hashCharacters(word, length) {
  const codes = Array.from(` ${word} `, (character) => BigInt(character.codePointAt(0)));
  const isSpace = codes.map((code) => code === 32n);
  const found = [];
  for (let start = 0; start + length <= codes.length; start++) {
    const stop = start + length;
    const isWhole = isSpace[start] && isSpace[stop - 1];
    if (isWhole || isSpace.slice(start + 1, stop - 1).includes(true)) continue;
    const hash = codes.slice(start, stop).reduce((sum, code) => to64Bits((sum + code) * FACTOR), 0n);
    found.push(Number(hash >> 32n) + 1);
  }
  return found;
}

// --- The model: `serving/predictor.py`, `serving/explanation.py`. -------------------------------

const MAX_WORDS = 500; // maximum number of words with an effect
const UNKNOWN_ID = 1;

class Predictor {
  // Reads what `embed_model` has written.
  static async load({ description, constants }) {
    const text = new TextDecoder().decode(await decompress(description));
    const model = new Predictor(JSON.parse(text));
    model.constants = unpackConstants(await decompress(constants), model.description.constants);
    return model;
  }

  constructor(description) {
    const { labels, vocabulary, words, tokens, single, ignored, marks } = description;
    this.description = description;
    this.labels = labels;
    this.ids = new Map(vocabulary.map((word, id) => [word, id]));
    this.words = new RegExp(words, "gu");
    this.tokens = new RegExp(tokens, "gu");
    this.single = new RegExp(`^(?:${single})`, "u");
    this.ignored = new RegExp(ignored, "gu");
    this.manyMarks = new RegExp(`([${marks}]{30})[${marks}]+`, "gu");
  }

  clean(text) {
    const plain = text.replace(ENTITY, decodeEntity).replace(MARKUP, " ").replace(INVISIBLE, " ");
    return cutAtSpaces(plain.replace(this.manyMarks, "$1").normalize("NFC")).join(" ");
  }

  fold(word) {
    if (isAscii(word)) return word.toLowerCase();
    let folded = lower(word.normalize("NFKC")).replace(this.ignored, "");
    for (const [found, same] of this.description.same_letters) folded = folded.replaceAll(found, same);
    return cutAtSpaces(folded).join(" ");
  }

  // What a pattern finds, folded. Pieces in ASCII are cut as if there were no other characters.
  cut(text, pattern, cutAscii) {
    return text.split(" ").flatMap((piece) => {
      if (isAscii(piece)) return cutAscii(piece.toLowerCase());
      return (piece.match(pattern) ?? []).map((word) => this.fold(word));
    });
  }

  // At most `length` words; if there are more, the first and the last ones, in the shares that the
  // network reads.
  cutToSize(words, length) {
    const { sequence_length, head_length } = this.description;
    const nFirst = Math.floor((length * head_length) / sequence_length);
    const nLeftOut = Math.max(0, words.length - length);
    return words.filter((_, i) => i < nFirst || i >= nFirst + nLeftOut);
  }

  // Ids, starts and stops of the words that the network reads.
  findWords(text) {
    const found = [...text.matchAll(this.words)].map(({ 0: word, index }) => ({
      id: this.ids.get(this.fold(word)) ?? UNKNOWN_ID,
      start: index,
      stop: index + word.length,
    }));
    const known = found.filter(({ id }) => id > UNKNOWN_ID);
    return this.cutToSize(known, this.description.sequence_length);
  }

  // For each word and punctuation mark: its hash, the hashes of its character n-grams, its start and
  // stop, and whether it is a word.
  findTokens(text) {
    const { max_ngram, character_ngram } = this.description;
    if (!max_ngram) return [];
    const tokens = this.cut(text, this.tokens, (piece) => piece.match(ASCII_TOKEN) ?? []);
    return [...text.matchAll(this.tokens)].map(({ 0: token, index }, i) => ({
      hash: BigInt(crc32(tokens[i])),
      characters: character_ngram ? hashCharacters(tokens[i], character_ngram) : [],
      start: index,
      stop: index + token.length,
      isWord: /[\p{L}\p{N}]/u.test(token) || this.single.test(token),
    }));
  }

  // The probability of each label, or null if no word and no n-gram is known (in older models, if the
  // network knows no word). `steps` has the results of all operators by their outputs; those
  // of `earlier` are kept if their inputs are the same arrays.
  run(ids, tokens, earlier) {
    if (this.description.has_network && !ids.shape[1]) return { probabilities: null };
    const ngrams = combineHashes(tokens.map(({ hash }) => hash), this.description.max_ngram);
    const numbers = new Set(tokens.flatMap(({ characters }) => characters));
    const characters = BigInt64Array.from(numbers, BigInt);
    const inputs = {
      token_ids: ids,
      ngrams: tensor([1, ngrams.length], ngrams),
      characters: tensor([1, characters.length], characters),
    };
    const steps = new Map([...this.constants, ...Object.entries(inputs)]);
    for (const { type, inputs, outputs, attributes } of this.description.operators) {
      const given = inputs.map((name) => steps.get(name));
      const isSame = earlier && inputs.every((name, i) => earlier.get(name) === given[i]);
      const results = isSame
        ? outputs.map((name) => earlier.get(name))
        : [this.compute(type, given, attributes)].flat();
      outputs.forEach((name, i) => steps.set(name, results[i]));
    }
    const output = [...steps.get("probabilities").data];
    if (output.some(Number.isNaN)) return { probabilities: null };
    const all = output.length === 1 ? [1 - output[0], output[0]] : output;
    const total = all.reduce(add);
    return { probabilities: all.map((p) => p / total), steps };
  }

  compute(type, given, attributes) {
    if (type === "LabelEncoder") {
      const keys = this.constants.get(attributes.keys_tensor).data;
      return tensor(given[0].shape, search(given[0].data, keys));
    }
    return OPERATORS[type](...given, attributes);
  }

  // The code of the label by the rule of `evaluation/probabilities.py`, and the label itself, or the
  // reason why there is none.
  decide(cleaned, probabilities) {
    const { rule, reasons } = this.description;
    if (!probabilities) return { label: null, reason: cleaned ? reasons.unknown : reasons.empty };
    const products = probabilities.map((p, code) => p * rule.weights[code]);
    const total = products.reduce(add);
    let code = products.indexOf(Math.max(...products));
    if (rule.is_median) {
      let reached = 0;
      code = products.findIndex((product) => (reached += product) >= total / 2);
    }
    const isSure = products[code] / total >= rule.min_confidence;
    return { label: isSure ? this.labels[code] : null, code, reason: isSure ? null : reasons.unsure };
  }

  predict(text) {
    return this.explain(text).next().value;
  }

  // Yields the prediction first, and then again and again with more words in `effects`: by how much
  // the probability of the label falls if one word is left out.
  *explain(text) {
    const cleaned = this.clean(text);
    const [known, tokens] = [this.findWords(cleaned), this.findTokens(cleaned)];
    const asInput = (found) => {
      const read = found.length ? found.map(({ id }) => id) : this.description.unknown_tokens;
      return tensor([1, read.length], Int32Array.from(read));
    };
    const ids = asInput(known);
    const { probabilities, steps } = this.run(ids, tokens);
    const decision = this.decide(cleaned, probabilities);
    const effects = [];
    const all = tokens.filter(({ isWord }) => isWord);
    const words = tokens.length ? this.cutToSize(all, MAX_WORDS) : known;
    const n_words = probabilities ? words.length : 0;
    const prediction = { ...decision, probabilities, cleaned, effects, n_words };
    yield prediction;
    if (!probabilities) return;
    for (const { start, stop } of words) {
      const isKept = (found) => found.stop <= start || found.start >= stop;
      const kept = known.filter(isKept);
      const without = this.run(
        kept.length === known.length ? ids : asInput(kept),
        tokens.filter(isKept),
        steps,
      ).probabilities;
      const other = without ? without[decision.code] : 1 / this.labels.length;
      effects.push({ start, stop, effect: probabilities[decision.code] - other });
      yield prediction;
    }
  }
}
