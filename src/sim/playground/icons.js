// Signs as drawings in the colour of the text: emoji look different everywhere and lack on some systems.
// Each is a path in a field of 24 by 24, drawn with a stroke.

const PATHS = {
  call: "M5 4h4l1.5 4.5L8 10.5a12 12 0 0 0 5.5 5.5l2-2.5L20 15v4a1.5 1.5 0 0 1-1.6 1.5A15 15 0 0 1 3.5 5.6 1.5 1.5 0 0 1 5 4Z",
  close: "M6 6l12 12M18 6 6 18",
  edit: "M4 20h4L19 9l-4-4L4 16v4Z",
  file: "M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-2.5-2.5A2.5 2.5 0 0 1 9 18Zm10-2a2.5 2.5 0 1 1-2.5-2.5A2.5 2.5 0 0 1 19 16Z",
  lock: "M6 11h12v9H6Zm2.5 0V8a3.5 3.5 0 0 1 7 0v3",
  megaphone: "M4 10v4h3l9 5V5L7 10H4Zm15-1.5a4 4 0 0 1 0 7",
  menu: "M4 7h16M4 12h16M4 17h16",
  microphone: "M12 4a2.8 2.8 0 0 0-2.8 2.8v4.4a2.8 2.8 0 0 0 5.6 0V6.8A2.8 2.8 0 0 0 12 4ZM6 11a6 6 0 0 0 12 0M12 17v3.5",
  react: "M11 20.5A8.5 8.5 0 1 1 19.5 12M8.5 10h.1M13.5 10h.1M8 14a4 4 0 0 0 6 0M19 16v5M16.5 18.5h5",
  reply: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6v1",
  sound: "M4 10v4h3.5L13 18.5v-13L7.5 10H4Zm12-1.5a5 5 0 0 1 0 7m2.5-9.5a9 9 0 0 1 0 12",
  soundOff: "M4 10v4h3.5L13 18.5v-13L7.5 10H4Zm12 0 5 5m0-5-5 5",
  stop: "M7 7h10v10H7Z",
  text: "M9 4 7 20M17 4l-2 16M4.5 9h16M3.5 15h16",
  window: "M14 5h5v5m0-5-7.5 7.5M10 6H6v12h12v-4",
};
const SVG = "http://www.w3.org/2000/svg";

/** The sign of that name; it says nothing to screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "sign-icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
