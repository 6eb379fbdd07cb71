// The page: who asks, what is asked, and what came of it.

import { Answer } from "./answer.js";
import { SourcePanel } from "./source.js";
import { ask, getDocument, Problem } from "./stream.js";
import { degradedWords, factsLine, node, place, problemWords } from "./words.js";

const $ = (id) => document.getElementById(id);
const panel = new SourcePanel(
  { panel: $("panel"), title: $("panel-title"), where: $("panel-place"), note: $("panel-note"), text: $("document"), close: $("close") },
  (id) => getDocument(identity(), id),
);
let running = null;

// --- Who asks: the key lives in this tab's session, never in the address bar or a server's log.

function identity() {
  const principals = $("as").value.split(/[\s,]+/).filter(Boolean);
  return { key: $("key").value.trim(), principals };
}

function takeFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("key")) sessionStorage.setItem("pincite.key", given.get("key"));
  if (given.has("as")) sessionStorage.setItem("pincite.as", given.get("as"));
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  $("key").value = sessionStorage.getItem("pincite.key") ?? "";
  $("as").value = sessionStorage.getItem("pincite.as") ?? "";
  introduce();
  panel.forget();
  $("identity").open = !$("key").value;
}

function introduce() {
  const { key, principals } = identity();
  $("who").textContent = !key ? "Add an API key" : principals.length ? `Asking as ${principals.join(", ")}` : "Asking with your key";
}

function remember() {
  sessionStorage.setItem("pincite.key", $("key").value.trim());
  sessionStorage.setItem("pincite.as", $("as").value.trim());
  introduce();
  panel.forget();
}

// --- What is asked

async function submit(event) {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || running) return;
  if (!identity().key) return needKey();
  running = new AbortController();
  begin();
  try {
    await receive(question, running.signal);
  } catch (error) {
    if (!running.signal.aborted) showProblem(error);
    else say("Stopped.");
  } finally {
    running = null;
    end();
  }
}

async function receive(question, signal) {
  const answer = new Answer($("answer"), (target, opener) => panel.show(target, opener));
  let done = false;
  try {
    for await (const { event, data } of ask(identity(), question, signal)) {
      if (event === "passages") showPassages(answer, data);
      if (event === "text") answer.write(data.text);
      if (event === "citation") answer.cite(data);
      if (event === "finished") showFinished(answer, data);
      if (event === "error") throw new Problem({ ...data.error, requestId: data.error.request_id });
      done ||= event === "finished";
    }
  } finally {
    answer.flush();
    markCited(answer.cited);
  }
  if (!done) throw new Problem({ code: "cut_off", message: "The connection broke before the answer was complete." });
}

function begin() {
  panel.close();
  for (const id of ["problem", "reply", "found", "refusal", "facts", "badges"]) $(id).hidden = true;
  $("found-title").textContent = "Sources";
  $("badges").replaceChildren();
  $("sources").replaceChildren();
  $("answer").setAttribute("aria-busy", "true");
  $("reply").classList.add("waiting");
  $("reply").hidden = false;
  $("identity").open = false;
  $("submit").hidden = true;
  $("stop").hidden = false;
  say("Searching.");
}

function end() {
  $("reply").classList.remove("waiting");
  $("answer").removeAttribute("aria-busy");
  $("reply").hidden = !$("answer").textContent && $("refusal").hidden;
  $("submit").hidden = false;
  $("stop").hidden = true;
}

// --- What came of it

function showPassages(answer, { passages, degraded }) {
  answer.know(passages);
  showBadges(degraded);
  $("sources").replaceChildren(...passages.map(sourceItem));
  $("found").hidden = !passages.length;
  say(`${passages.length} passages found. Answering.`);
}

function sourceItem(passage) {
  const title = node("button", { type: "button", className: "title", textContent: passage.title || passage.uri });
  title.addEventListener("click", () => panel.show(passage, title));
  const score = node("span", { className: "score", textContent: passage.score.toFixed(2), title: "Score" });
  const item = node(
    "li",
    { value: passage.number },
    node("span", { className: "number", ariaHidden: "true", textContent: `${passage.number}` }),
    node("div", { className: "line" }, title, score),
    node("p", { className: "place", textContent: place(passage) || passage.uri }),
    node("p", { className: "snippet", textContent: passage.text }),
  );
  item.dataset.number = passage.number;
  return item;
}

function showFinished(answer, finished) {
  answer.finish(finished);
  showBadges(finished.degraded);
  const refused = finished.outcome === "refused";
  const unsupported = finished.outcome === "unsupported";
  $("refusal").hidden = !refused && !unsupported;
  $("refusal").textContent = refused ? "Not in the documents you may see" : "Not supported by the documents: check it yourself";
  $("found-title").textContent = refused ? "Closest passages" : "Sources";
  $("facts").textContent = factsLine(finished);
  $("facts").hidden = false;
  say(refused ? "No answer in the documents you may see." : `Answered with ${finished.citations.length} citations.`);
}

function showBadges(codes) {
  const known = new Set([...$("badges").children].map((badge) => badge.dataset.code));
  for (const code of codes.filter((one) => !known.has(one))) {
    const [name, meaning] = degradedWords(code);
    const badge = node("li", {}, node("strong", { textContent: name }), ` ${meaning}`);
    badge.dataset.code = code;
    $("badges").append(badge);
  }
  $("badges").hidden = !$("badges").children.length;
}

function markCited(numbers) {
  for (const item of $("sources").children) item.classList.toggle("cited", numbers.has(Number(item.dataset.number)));
}

function showProblem(error) {
  const known = error instanceof Problem ? error : new Problem({ code: "page_error", message: "The page could not show the answer." });
  const [title, words] = problemWords(known);
  $("problem").replaceChildren(node("strong", { textContent: title }), node("p", { textContent: words }));
  if (known.requestId) $("problem").append(node("small", { textContent: `Request ${known.requestId}` }));
  $("problem").hidden = false;
  if (known.status === 401) openIdentity();
}

function needKey() {
  showProblem(new Problem({ status: 401, code: "no_key", message: "" }));
}

function openIdentity() {
  $("identity").open = true;
  $("key").focus();
}

function say(words) {
  $("status").textContent = words;
}

function keyboard(event) {
  if (event.key === "Escape") panel.isOpen ? panel.close() : running?.abort();
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target === $("question")) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
}

function grow() {
  $("question").style.height = "auto";
  $("question").style.height = `${$("question").scrollHeight}px`;
}

takeFragment();
window.addEventListener("hashchange", takeFragment);
document.addEventListener("keydown", keyboard);
$("question").addEventListener("input", grow);
for (const id of ["key", "as"]) $(id).addEventListener("change", remember);
$("ask").addEventListener("submit", submit);
$("stop").addEventListener("click", () => running?.abort());
