// The source panel: a document's text with the exact span marked.

import { movedWords, node, place } from "./words.js";

const MOST_SHOWN = 60_000; // UTF-16 units on each side of the span: more would make the page slow

// The API counts Unicode code points, JavaScript UTF-16 units: an emoji is one there and two here.
export function utf16Offset(text, codePoints) {
  let offset = 0;
  for (let passed = 0; passed < codePoints && offset < text.length; passed += 1) {
    offset += text.codePointAt(offset) > 0xffff ? 2 : 1;
  }
  return offset;
}

export class SourcePanel {
  #parts;
  #load;
  #cache = new Map();
  #opener = null;
  #latest = 0;

  constructor(parts, load) {
    this.#parts = parts;
    this.#load = load;
    parts.close.addEventListener("click", () => this.close());
  }

  get isOpen() {
    return !this.#parts.panel.hidden;
  }

  // Documents are kept for one identity only.
  forget() {
    this.#cache.clear();
    this.close();
  }

  close() {
    this.#latest += 1;
    if (!this.isOpen) return;
    this.#parts.panel.hidden = true;
    this.#opener?.removeAttribute("aria-current");
    if (this.#opener?.isConnected) this.#opener.focus();
    this.#opener = null;
  }

  async show(target, opener) {
    const turn = (this.#latest += 1);
    this.#opener?.removeAttribute("aria-current");
    this.#opener = opener;
    opener.setAttribute("aria-current", "true");
    this.#head(target);
    try {
      const stored = await this.#document(target);
      if (turn === this.#latest) this.#body(stored, target);
    } catch (problem) {
      if (turn === this.#latest) this.#note(problem.status === 404 ? "This document is no longer there for you." : problem.message);
    }
  }

  #head(target) {
    const { panel, title, where, text } = this.#parts;
    title.textContent = target.title || target.uri;
    where.textContent = [target.uri, place(target)].filter(Boolean).join(" · ");
    text.replaceChildren();
    this.#note("");
    panel.hidden = false;
    title.focus({ preventScroll: true });
  }

  #body(stored, target) {
    const { text } = this.#parts;
    const start = utf16Offset(stored.text, target.char_start);
    const end = start + utf16Offset(stored.text.slice(start), target.char_end - target.char_start);
    const mark = node("mark", { textContent: stored.text.slice(start, end) });
    const pages = stored.page_starts.map((point) => utf16Offset(stored.text, point));
    const [from, to] = [start - MOST_SHOWN, end + MOST_SHOWN];
    text.replaceChildren(
      ...(from > 0 ? [line("earlier text is not shown")] : []),
      ...slice(stored.text, from, start, pages),
      mark,
      ...slice(stored.text, end, to, pages),
      ...(to < stored.text.length ? [line("later text is not shown")] : []),
    );
    if (!target.redacted && mark.textContent !== (target.quote ?? target.text)) this.#note(movedWords(stored, target));
    text.scrollTop += mark.getBoundingClientRect().top - text.getBoundingClientRect().top - text.clientHeight / 4;
  }

  async #document({ document_id: id, version }) {
    if (this.#cache.get(id)?.version !== version) this.#cache.set(id, await this.#load(id));
    return this.#cache.get(id);
  }

  #note(words) {
    this.#parts.note.textContent = words;
    this.#parts.note.hidden = !words;
  }
}

// The text from one offset to another as nodes, with a line where a page begins.
function* slice(text, from, to, pages) {
  let at = Math.max(0, from);
  const end = Math.min(text.length, to);
  for (const [index, page] of pages.entries()) {
    if (page < at || page >= end) continue;
    yield text.slice(at, page);
    yield line(`page ${index + 1}`);
    at = page;
  }
  yield text.slice(at, end);
}

function line(words) {
  return node("span", { className: "rule", textContent: words });
}
