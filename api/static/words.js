// Every sentence the page says by itself, and small makers of nodes. Text enters the page as text, never as markup.

const DEGRADED = {
  embedder_unavailable: ["Found by words alone", "Search by meaning was not available, so related wording may be missed."],
  reranker_partial: ["Partly re-read", "The reranker ran out of time: some passages stand where search put them."],
  reranker_unavailable: ["Not re-read", "The reranker was not available: passages stand in the order search gave them."],
  llm_unavailable: ["Quoted, not written", "The language model was not available: the answer is quoted from the passages."],
  rewrite_unavailable: ["Follow-up taken by its words", "The language model could not reword the question: words of the conversation were added to it."],
};

export function degradedWords(code) {
  return DEGRADED[code] ?? [code.replaceAll("_", " "), "A part of the service was not available."];
}

export function problemWords(problem) {
  if (problem.code === "no_key") return ["An API key is needed", "Paste the one you were given; it stays in this tab."];
  if (problem.status === 401) return ["That API key is not known", "Check the key, or ask whoever gave it to you."];
  if (problem.status === 403) return ["This key may not do that", problem.message];
  if (problem.status === 429) return ["Too many questions", problem.message];
  if (problem.status === 503) {
    return ["Not available just now", `${sentence(problem.message)} Try again in ${problem.retryAfter || "a few"} seconds.`];
  }
  if (problem.status === 422) return ["The question could not be taken", sentence(problem.message)];
  if (problem.status === 0) return ["The answer broke off", sentence(problem.message)];
  return ["Something went wrong", sentence(problem.message)];
}

export function movedWords(stored, cited) {
  if (stored.version === cited.version) return "The text here is not the one that was cited.";
  return "The document has changed since this answer: the marked place may have moved.";
}

export function place({ section, first_page: first, last_page: last }) {
  const pages = first === null ? [] : [last !== null && last !== first ? `pages ${first}–${last}` : `page ${first}`];
  return [...(section.length ? [section.join(" › ")] : []), ...pages].join(" · ");
}

export function factsLine({ outcome, answered_by: by, timings_ms: timings, usage, rejected_citations: rejected }) {
  const author = by === "extractive" ? "quoted from the passages" : `written by ${by}`;
  const parts = outcome === "answered" ? [author] : [];
  const noticed = Object.entries(timings).filter(([, ms]) => ms >= 0.5);
  parts.push(...noticed.map(([stage, ms]) => `${stage.replaceAll("_", " ")} ${duration(ms)}`));
  if (usage) parts.push(`${usage.estimated ? "about " : ""}${usage.prompt_tokens + usage.completion_tokens} tokens`);
  if (rejected) parts.push(`${rejected} unverifiable ${rejected === 1 ? "citation" : "citations"} taken out`);
  return parts.join(" · ");
}

export function node(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
