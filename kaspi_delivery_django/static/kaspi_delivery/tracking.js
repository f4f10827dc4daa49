// Keeps every timeline of a page up to date until its delivery ends. Without this script a reload does the same.
(() => {
  const SOONEST_MS = 5_000;
  const LATEST_MS = 60_000;
  const PATIENCE_MS = 15_000;
  const PARTS = [".kaspi-now", ".kaspi-way"]; // the first is a live region, and must stay the same element

  // An XMLHttpRequest reads HTML where a policy of trusted types lets no other way.
  const fetchTimeline = (address) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.timeout = PATIENCE_MS;
    request.onload = () => {
      const fresh = request.status === 200 && request.responseXML?.querySelector(".kaspi-timeline");
      return fresh ? resolve(fresh) : reject(request.status);
    };
    request.onerror = request.ontimeout = () => reject(0);
    request.send();
  });

  function swap(place, fresh) {
    const changed = PARTS.filter((part) => place.querySelector(part).innerHTML !== fresh.querySelector(part).innerHTML);
    for (const part of changed) {
      const old = place.querySelector(part);
      const hadFocus = old.contains(document.activeElement);
      old.replaceChildren(...document.adoptNode(fresh.querySelector(part)).childNodes);
      if (hadFocus) old.querySelector("a")?.focus();
    }
    place.dataset.kaspiStatus = fresh.dataset.kaspiStatus;
    if (fresh.dataset.kaspiSource) place.dataset.kaspiSource = fresh.dataset.kaspiSource;
    else delete place.dataset.kaspiSource; // it has ended
    return changed.length > 0;
  }

  function follow(place) {
    let pause = SOONEST_MS;
    let timer = 0;
    let isLooking = false;

    const wait = () => {
      clearTimeout(timer);
      if (place.dataset.kaspiSource && !document.hidden) timer = setTimeout(look, pause);
    };

    async function look() {
      if (isLooking) return;
      isLooking = true;
      try {
        pause = swap(place, await fetchTimeline(place.dataset.kaspiSource)) ? SOONEST_MS : Math.min(pause * 1.5, LATEST_MS);
      } catch (status) {
        pause = LATEST_MS; // the network or the shop is away for a moment
        if (status === 404) delete place.dataset.kaspiSource;
      }
      isLooking = false;
      wait();
    }

    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (place.dataset.kaspiSource && !document.hidden) look();
    });
    wait();
  }

  document.querySelectorAll(".kaspi-timeline[data-kaspi-source]").forEach(follow);
})();
