// JSON with whole 64-bit integers, which JavaScript's numbers would round: those that are too long pass as
// texts with a mark, which goes when they are shown.

const MARK = "\u{e000}";
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Reads JSON; integers of 16 digits and more come as marked texts, for `printJson` alone. */
export const parseExactly = (json) => JSON.parse(json.replace(TOKEN, (token) => (/^-?\d{16,}$/.test(token) ? `"${MARK}${token}"` : token)));

/** Prints a value for people. */
export const printJson = (value) => JSON.stringify(value, null, 2).replace(new RegExp(`"${MARK}(-?\\d+)"`, "g"), "$1");
