/**
 * Yields the rows of a CSV, as lists of strings, while it is read. Quotation marks are tolerated
 * anywhere, as in Python's csv module; a row may be cut at the end of the blob.
 *
 * @param {Blob} blob - a CSV in UTF-8
 * @param {string} delimiter - what separates its fields
 * @param {boolean} isSpaced - whether spaces may precede the quotation mark of a field
 */
export async function* readRows(blob, delimiter, isSpaced = false) {
  let row = [];
  let field = "";
  let isQuoted = false; // between quotation marks
  let hasQuote = false; // just after one that may be doubled, or end the field
  let hasReturn = false; // just after a carriage return, which may be followed by a line feed
  for await (const text of decode(blob)) {
    for (const character of text) {
      if (hasReturn && character === "\n") {
        hasReturn = false;
        continue;
      }
      hasReturn = false;
      if (isQuoted && !hasQuote) {
        if (character === '"') hasQuote = true;
        else field += character;
      } else if (character === '"' && (hasQuote || (isSpaced ? /^ *$/ : /^$/).test(field))) {
        field = hasQuote ? `${field}"` : ""; // without the spaces
        isQuoted = true;
        hasQuote = false;
      } else if (character === delimiter) {
        row.push(field);
        field = "";
        isQuoted = hasQuote = false;
      } else if (character === "\n" || character === "\r") {
        yield [...row, field];
        row = [];
        field = "";
        isQuoted = hasQuote = false;
        hasReturn = character === "\r";
      } else {
        field += character;
        isQuoted = hasQuote = false;
      }
    }
  }
  if (row.length || field) yield [...row, field];
}

/**
 * Returns the first rows of a CSV with the delimiter that fits best: with which most rows have as
 * many fields as the header, more than one. A line such as `sep=;`, for Excel, tells it. Spaces
 * before quotation marks are left out if more rows fit then, or nearly all rows have such spaces.
 *
 * @param {Blob} blob - the beginning of a CSV in UTF-8
 * @param {number} number - how many rows, at most
 * @returns {Promise<{rows: string[][], delimiter: string}>} the header is the first row
 */
export async function readFirstRows(blob, number) {
  const [, told] = /^"?sep=([!#-/:-@[-`{-~\t])"?(?:\r\n?|\n|$)/i.exec(await blob.text()) ?? [];
  let best = { rows: [], delimiter: ",", fit: -1 };
  for (const delimiter of told ? [told] : [",", ";", "\t", "|"]) {
    for (const isSpaced of [false, true]) {
      const rows = [];
      for await (const row of readRows(blob, delimiter, isSpaced)) {
        rows.push(row);
        if (rows.length > number) break;
      }
      if (told) rows.shift();
      const width = rows[0]?.length ?? 0;
      const fit = width > 1 ? rows.filter((row) => row.length === width).length / rows.length : 0;
      const isLikelier = isSpaced && fit === best.fit && haveSpaces(best.rows);
      if (fit > best.fit || isLikelier) best = { rows, delimiter, fit };
    }
  }
  return best;
}

function haveSpaces([, ...rows]) {
  const spaced = rows.filter((row) => row.some((field) => /^ +".*" *$/s.test(field)));
  return spaced.length >= Math.max(1, 0.9 * rows.length);
}

async function* decode(blob) {
  const reader = blob.stream().pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}
