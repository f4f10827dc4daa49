// Keeps every timeline of a page up to date until its delivery ends. Without this script a reload does the same.
(() => {
  const SOONEST_MS = 5_000;
  const LATEST_MS = 60_000;
  const PATIENCE_MS = 15_000;
  const PARTS = [".kaspi-now", ".kaspi-way"]; // the first is a live region, and must stay the same element

  // What fetched markup may bring into the page: text, marks, links and drawings. Whatever else it has is left out, so
  // that nothing of it runs: no script, handler, frame, form or custom element, and no attribute that a library obeys.
  const ELEMENTS = new Set(`a abbr b bdi bdo br circle dd div dl dt ellipse em g h2 h3 h4 hr i img li line noscript ol p
    path polygon polyline rect section small span strong sub sup svg time u ul`.split(/\s+/));
  const ATTRIBUTES = new Set(`alt class cx cy d datetime dir fill focusable height hidden href id lang points
    preserveAspectRatio r rel role rx ry src stroke stroke-linecap stroke-linejoin stroke-width target title transform
    viewBox width x x1 x2 y y1 y2`.split(/\s+/));
  const NAMESPACES = /^(?:aria|data-kaspi)-[a-z-]+$/;
  const ADDRESSES = new Set(["href", "src"]);

  const read = (address) => {
    try {
      return new URL(address, document.baseURI);
    } catch {
      return null;
    }
  };
  const isOurs = (address) => read(address)?.origin === location.origin;
  const isHarmless = ({name, value}) => (
    (ATTRIBUTES.has(name) || NAMESPACES.test(name))
    && (!ADDRESSES.has(name) || ["http:", "https:"].includes(read(value)?.protocol))
  );

  function clean(part) {
    for (const element of part.querySelectorAll("*")) {
      if (!ELEMENTS.has(element.localName)) element.remove();
      else [...element.attributes].filter((one) => !isHarmless(one)).forEach((one) => element.removeAttributeNode(one));
    }
    return part;
  }

  // An XMLHttpRequest reads HTML where a policy of trusted types lets no other way.
  const fetchTimeline = (address) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.timeout = PATIENCE_MS;
    request.onload = () => {
      const fresh = request.status === 200 && isOurs(request.responseURL) && request.responseXML?.querySelector(".kaspi-timeline");
      return fresh ? resolve(fresh) : reject(request.status);
    };
    request.onerror = request.ontimeout = () => reject(0);
    request.send();
  });

  const markup = (place) => new Map(PARTS.map((part) => [part, place.querySelector(part).innerHTML]));

  function swap(place, fresh, seen) {
    const sent = markup(fresh);
    const changed = PARTS.filter((part) => sent.get(part) !== seen.get(part));
    for (const part of changed) {
      seen.set(part, sent.get(part));
      const old = place.querySelector(part);
      const hadFocus = old.contains(document.activeElement);
      old.replaceChildren(...document.adoptNode(clean(fresh.querySelector(part))).childNodes);
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
    const seen = markup(place);

    const wait = () => {
      clearTimeout(timer);
      if (place.dataset.kaspiSource && !isOurs(place.dataset.kaspiSource)) delete place.dataset.kaspiSource;
      if (place.dataset.kaspiSource && !document.hidden) timer = setTimeout(look, pause);
    };

    async function look() {
      if (isLooking) return;
      isLooking = true;
      try {
        pause = swap(place, await fetchTimeline(place.dataset.kaspiSource), seen) ? SOONEST_MS : Math.min(pause * 1.5, LATEST_MS);
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
