"use strict";
// Refreshes a page in place. Without it, everything works but the refresh and the local times.
(() => {
  const main = document.getElementById("main");
  const gone = document.getElementById("gone");
  const seconds = Number(main.dataset.refresh);
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  let timer;
  let since;

  function localize(place) {
    for (const time of place.querySelectorAll("time")) {
      const text = local.format(new Date(time.dateTime));
      if (time.classList.contains("at")) {
        time.textContent = text;
      } else {
        time.title = text;
      }
    }
  }

  // Makes an element like another one. What is the same stays, with focus, selection and scroll position.
  function adapt(old, now) {
    for (const { name } of [...old.attributes]) {
      // The reader has opened it.
      if (name !== "open" && !now.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const keyed = new Map();
    for (const child of old.children) {
      if (child.dataset.key !== undefined) keyed.set(child.dataset.key, child);
    }
    let place = old.firstChild;
    for (const child of [...now.childNodes]) {
      const key = child.dataset && child.dataset.key;
      const known = key === undefined ? place : keyed.get(key);
      if (!known || known.nodeName !== child.nodeName || (known.dataset && known.dataset.key) !== key) {
        old.insertBefore(child, place);
        continue;
      }
      if (known === place) {
        place = place.nextSibling;
      } else {
        old.insertBefore(known, place);
      }
      if (known.nodeType !== Node.ELEMENT_NODE) {
        if (known.data !== child.data) known.data = child.data;
      } else if (!known.hasAttribute("data-keep") && !known.isEqualNode(child)) {
        adapt(known, child);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  // A row that moves loses focus and selection.
  function keepPlace(change) {
    const focused = document.activeElement;
    const { anchorNode, anchorOffset, focusNode, focusOffset } = getSelection();
    change();
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    if (!anchorNode || !anchorNode.isConnected || !focusNode.isConnected) return;
    const within = (node, offset) => Math.min(offset, node.length ?? node.childNodes.length);
    getSelection().setBaseAndExtent(
      anchorNode, within(anchorNode, anchorOffset), focusNode, within(focusNode, focusOffset),
    );
  }

  function show(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) throw new Error("the response is another page");
    localize(fresh);
    keepPlace(() => adapt(main, fresh));
    document.title = page.title;
  }

  function tell(text) {
    if (gone.textContent === text) return;
    gone.textContent = text;
    gone.hidden = !text;
  }

  async function refresh() {
    try {
      const response = await fetch(location.href, { signal: AbortSignal.timeout(10000), cache: "no-store" });
      if (!response.ok) throw new Error(`HTTP status ${response.status}`);
      show(await response.text());
      since = undefined;
      tell("");
    } catch (error) {
      since = since || local.format(new Date());
      const why = error.message.startsWith("HTTP") ? ` (${error.message})` : "";
      tell(`The exporter has not responded since ${since}${why}. All ages on this page are of that time. It is tried again.`);
    }
    plan();
  }

  function plan() {
    clearTimeout(timer);
    if (seconds && !document.hidden) timer = setTimeout(refresh, seconds * 1000);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !seconds) clearTimeout(timer);
    else refresh();
  });
  localize(document);
  plan();
})();
