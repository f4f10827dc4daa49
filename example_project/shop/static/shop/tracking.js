// Swap the timeline in while the parcel is on its way. Without this script a reload does the same.
const EVERY_MS = 2000;
const place = document.getElementById("tracking");
let shown = null;

const isOpen = () => place.querySelector("[data-open]")?.dataset.open === "yes";

async function look() {
  try {
    const answer = await fetch(place.dataset.source, { signal: AbortSignal.timeout(10000) });
    const html = answer.ok ? await answer.text() : shown;
    if (html !== shown) {
      place.innerHTML = html;
      shown = html;
    }
  } catch {
    // The network is away: the next look may do better.
  }
  if (isOpen()) setTimeout(look, EVERY_MS);
}

if (isOpen()) setTimeout(look, EVERY_MS);
