// The answer as it comes: text grows at its end, so that focus and screen readers keep their place.

import { node } from "./words.js";

const MARKER = /\[(\d+)\]/g;
const PUNCTUATION = /^[\p{Pe}\p{Pf}\p{Po}]+/u;
const UNFINISHED_MARKER = /\[\d*$/;

export class Answer {
  #root;
  #open;
  #held = "";
  #seen = new Map();
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

  cite(citation) {
    this.#citations.push(citation);
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
    this.#seen.clear();
    this.#held = "";
    this.streamed = text;
    this.#append(text);
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
      this.#root.append(node("span", { className: "kept" }, this.#marker(number)));
      last = match.index + match[0].length;
    }
    this.#plain(text.slice(last));
  }

  // Browsers would break a line between a marker and the full stop behind it.
  #plain(text) {
    const before = this.#root.lastChild;
    const bare = before?.className === "kept" && before.lastChild.className === "marker";
    const kept = (bare && PUNCTUATION.exec(text)?.[0]) || "";
    if (kept) before.append(kept);
    if (kept !== text) this.#root.append(text.slice(kept.length));
  }

  #marker(number) {
    const occurrence = this.#seen.get(number) ?? 0;
    this.#seen.set(number, occurrence + 1);
    const { title } = this.#passages.get(number);
    const button = node("button", { type: "button", className: "marker", textContent: `${number}`, title });
    button.setAttribute("aria-label", `Citation ${number}: ${title}`);
    button.addEventListener("click", () => this.#open(this.#target(number, occurrence), button));
    return button;
  }

  // The nth marker of a number belongs to the nth citation with it; looked up late, when all are known.
  #target(number, occurrence) {
    const same = this.#citations.filter((citation) => citation.number === number);
    return same[Math.min(occurrence, same.length - 1)] ?? this.#passages.get(number);
  }
}
