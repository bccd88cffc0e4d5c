// What a person types, as text with entities: **bold**, _italic_, `code` (three backticks for lines of it),
// ~~strike~~, ||spoiler||, web addresses, @Name of a member or archetype, @everyone. A backslash keeps the next sign as it is. Offsets
// count UTF-16 code units, which is how JavaScript counts.

import { space } from "./store.js";

const MARKS = [
  { mark: "**", type: "bold" },
  { mark: "~~", type: "strikethrough" },
  { mark: "||", type: "spoiler" },
  { mark: "_", type: "italic" },
  { mark: "```", type: "monospace", raw: true },
  { mark: "`", type: "monospace", raw: true },
];
const WORD = /[\p{L}\p{N}_]/u;
const URL_HERE = /https?:\/\/[^\s<>|`]*[^\s<>|`.,;:!?)'"*_~]/iy;

/** Reads markup; returns `{ text, entities }`. */
export function parseMarkup(source) {
  const names = mentionable();
  const entities = [];
  let text = "";

  const add = (type, start, more) => entities.push({ type, offset: start, length: text.length - start, ...more });

  const read = (from, to) => {
    let i = from;
    while (i < to) {
      if (source[i] === "\\" && i + 1 < to && /[\\*_`~|@]/.test(source[i + 1])) {
        text += source[i + 1];
        i += 2;
        continue;
      }
      const marked = markAt(source, i, to);
      if (marked) {
        const start = text.length;
        // A fence on a line of its own does not count that line's end.
        if (marked.raw) text += source.slice(marked.inner, marked.close).replace(/^\n|\n$/g, "");
        else read(marked.inner, marked.close);
        if (text.length > start) add(marked.type, start);
        i = marked.close + marked.mark.length;
        continue;
      }
      const named = source[i] === "@" && !WORD.test(source[i - 1] ?? "") && nameAt(names, source, i + 1, to);
      if (named) {
        const start = text.length;
        text += `@${named.name}`;
        add(named.type, start, named.more);
        i += 1 + named.name.length;
        continue;
      }
      const url = urlAt(source, i, to);
      if (url) {
        const start = text.length;
        text += url;
        const { host, pathname, search, hash, protocol } = new URL(url);
        add("url", start, { domain: protocol === "http:" ? `http://${host}` : host, path: pathname + search + hash });
        i += url.length;
        continue;
      }
      text += source[i++];
    }
  };
  read(0, source.length);
  return { text, entities: entities.sort((a, b) => a.offset - b.offset || b.length - a.length) };
}

// A mark opens before a sign and closes after one; `_` does so only at the edge of a word, so that
// snake_case and __init__ stay what they are.
function markAt(source, i, to) {
  for (const kind of MARKS) {
    const { mark, raw } = kind;
    if (!source.startsWith(mark, i)) continue;
    const inner = i + mark.length;
    if (/\s/.test(source[inner] ?? " ") && !raw) continue;
    if (mark === "_" && (WORD.test(source[i - 1] ?? "") || source[inner] === "_")) continue;
    for (let close = source.indexOf(mark, inner); close >= 0 && close + mark.length <= to; close = source.indexOf(mark, close + 1)) {
      if (close === inner) continue;
      if (!raw && (/\s/.test(source[close - 1]) || source[close - 1] === "\\")) continue;
      if (mark === "_" && WORD.test(source[close + 1] ?? "")) continue;
      return { ...kind, inner, close };
    }
  }
  return null;
}

function urlAt(source, i, to) {
  if (source[i] !== "h" && source[i] !== "H") return null;
  if (WORD.test(source[i - 1] ?? "")) return null;
  URL_HERE.lastIndex = i;
  const found = URL_HERE.exec(source.slice(0, to))?.[0];
  return found && URL.canParse(found) ? found : null;
}

/** Every name that `@` may be followed by, the longest first. */
export function mentionable() {
  const here = space();
  if (!here) return [];
  const names = [{ name: "everyone", type: "mentionEveryone", more: {}, about: "All members" }];
  for (const { userId, username, displayName, isBot } of here.members) {
    names.push({ name: displayName, type: "mention", more: { userId }, about: isBot ? "Bot" : username });
    if (username !== displayName) names.push({ name: username, type: "mention", more: { userId }, about: displayName, alias: true });
  }
  for (const { archetypeId, name } of here.archetypes) {
    if (name.toLowerCase() === "everyone") continue; // the mention of all has that name
    names.push({ name, type: "mentionRole", more: { archetypeId }, about: "Archetype" });
  }
  return names.sort((a, b) => b.name.length - a.name.length);
}

function nameAt(names, source, at, to) {
  for (const each of names) {
    const end = at + each.name.length;
    if (end <= to && source.slice(at, end).toLowerCase() === each.name.toLowerCase() && !WORD.test(source[end] ?? "")) {
      return { ...each, name: source.slice(at, end) };
    }
  }
  return null;
}
