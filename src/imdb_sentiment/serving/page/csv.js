/**
 * Yields the rows of a CSV, as lists of strings, while it is read. Quotation marks are tolerated
 * anywhere, as in Python's csv module; a row may be cut at the end of the blob.
 *
 * @param {Blob} blob - a CSV in UTF-8, separated by commas
 */
export async function* readRows(blob) {
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
      } else if (character === '"' && (hasQuote || field === "")) {
        if (hasQuote) field += '"';
        isQuoted = true;
        hasQuote = false;
      } else if (character === ",") {
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

async function* decode(blob) {
  const reader = blob.stream().pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}
