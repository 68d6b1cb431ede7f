// The service worker: it keeps every file of the page, so that the second visit needs no network, and lets no request leave the site.
// The list and the version are filled in at export; a new version is kept beside the old one until no page of the old one is open.

/** @type {any} */
const worker = self;
const VERSION = "VERSION", FILES = ["FILES"];
const OWN = `fruitvision ${worker.registration.scope} `, NAME = OWN + VERSION;
// With these a page may compute in threads. A web server that sends them makes the first visit faster too.
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

async function keep() {
  const cache = await caches.open(NAME);
  for (const file of FILES) {
    const url = new URL(file, worker.registration.scope).href;
    if (!(await cache.match(url))) await cache.add(url); // the large ones are there: the page itself put them there
  }
}

async function tidy() {
  for (const name of await caches.keys()) if (name.startsWith(OWN) && name !== NAME) await caches.delete(name);
  await worker.clients.claim();
}

/** @param {Request} request */
async function answer(request) {
  const url = new URL(request.url);
  if (url.origin !== worker.location.origin) return Response.error();
  const cache = await caches.open(NAME);
  const wanted = request.mode === "navigate" && url.pathname.endsWith("/index.html") ? worker.registration.scope : request.url;
  const found = (await cache.match(wanted, { ignoreSearch: true })) ?? (await fetch(request));
  if (!found.body) return found;
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}

worker.addEventListener("install", (/** @type {any} */ event) => event.waitUntil(keep()));
worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(tidy()));
worker.addEventListener("fetch", (/** @type {any} */ event) => {
  if (event.request.method === "GET" && event.request.url.startsWith("http")) event.respondWith(answer(event.request));
});
