// The answer as it comes: text grows at its end, so that focus and screen readers keep their place.

import { node } from "./words.js";

const MARKER = /\[(\d+)\]/g;
const PUNCTUATION = /^[\p{Pe}\p{Pf}\p{Po}]+/u;
const UNFINISHED_MARKER = /\[\d*$/;

export class Answer {
  #root;
  #open;
  #held = "";
  #markers = [];
  #passages = new Map();
  #citations = [];
  streamed = "";

  // `open(citationOrPassage, button)` is called when a marker is activated.
  constructor(root, open) {
    this.#root = root;
    this.#open = open;
    root.replaceChildren();
  }

  know(passages) {
    this.#passages = new Map(passages.map((passage) => [passage.number, passage]));
  }

  // A citation follows its marker at once. A number in brackets that none follows, as in code, stays text.
  cite(citation) {
    this.#citations.push(citation);
    const marker = this.#markers.findLast(({ number }) => number === citation.number);
    if (marker && !marker.own) this.#link(marker, citation);
  }

  get cited() {
    return new Set(this.#citations.map((citation) => citation.number));
  }

  write(text) {
    this.streamed += text;
    const ready = this.#held + text;
    const cut = ready.search(UNFINISHED_MARKER);
    this.#held = cut < 0 ? "" : ready.slice(cut);
    this.#append(cut < 0 ? ready : ready.slice(0, cut));
  }

  // The finished event has the last word: where it differs from what was streamed, it replaces it.
  finish({ text, citations }) {
    this.#citations = citations;
    if (text === this.streamed) return this.flush();
    this.#root.replaceChildren();
    this.#markers = [];
    this.#held = "";
    this.streamed = text;
    this.#append(text);
    this.#linkInOrder();
  }

  flush() {
    this.#append(this.#held);
    this.#held = "";
  }

  #append(text) {
    let last = 0;
    for (const match of text.matchAll(MARKER)) {
      const number = Number(match[1]);
      if (!this.#passages.has(number)) continue;
      this.#plain(text.slice(last, match.index));
      this.#mark(number, match[0]);
      last = match.index + match[0].length;
    }
    this.#plain(text.slice(last));
  }

  // Browsers would break a line between a marker and the full stop behind it.
  #plain(text) {
    const before = this.#root.lastChild;
    const bare = before?.className === "kept" && before.childNodes.length === 1;
    const kept = (bare && PUNCTUATION.exec(text)?.[0]) || "";
    if (kept) before.append(kept);
    if (kept !== text) this.#root.append(text.slice(kept.length));
  }

  // Text until a citation comes for it; where its words were cited before, it opens the latest of them.
  #mark(number, text) {
    const citation = this.#citations.findLast((one) => one.number === number);
    const marker = { number, citation, own: false, place: node("span", { className: "kept" }, text) };
    this.#markers.push(marker);
    this.#root.append(marker.place);
    if (citation) this.#button(marker);
  }

  #link(marker, citation) {
    if (!marker.citation) this.#button(marker);
    Object.assign(marker, { citation, own: true });
  }

  // Without the stream's order, the nth marker of a number belongs to the nth citation with it.
  #linkInOrder() {
    const seen = new Map();
    for (const marker of this.#markers) {
      const nth = seen.get(marker.number) ?? 0;
      const same = this.#citations.filter((citation) => citation.number === marker.number);
      if (same.length) this.#link(marker, same[Math.min(nth, same.length - 1)]);
      seen.set(marker.number, nth + 1);
    }
  }

  #button(marker) {
    const { title } = this.#passages.get(marker.number);
    const button = node("button", { type: "button", className: "marker", textContent: `${marker.number}`, title });
    button.setAttribute("aria-label", `Citation ${marker.number}: ${title}`);
    button.addEventListener("click", () => this.#open(marker.citation, button));
    marker.place.firstChild.replaceWith(button);
  }
}
