// The service worker: it caches all files of the page for offline use, and blocks requests to other sites. The list of files and the
// version are filled in at export. A new version is cached beside the old one, until no page of the old one is open.

/** @type {any} */
const worker = self;
const VERSION = "VERSION", FILES = ["FILES"];
const OWN = `fruitvision ${worker.registration.scope} `, NAME = OWN + VERSION;
// Headers that allow threads (cross-origin isolation). If the web server sends them too, the first visit is faster.
const ISOLATION_HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

async function cacheFiles() {
  const cache = await caches.open(NAME);
  for (const file of FILES) {
    const url = new URL(file, worker.registration.scope).href;
    if (!(await cache.match(url))) await cache.add(url); // the page itself has cached the large ones
  }
}

async function deleteOldCaches() {
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
  for (const [name, value] of Object.entries(ISOLATION_HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}

worker.addEventListener("install", (/** @type {any} */ event) => event.waitUntil(cacheFiles()));
worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(deleteOldCaches()));
worker.addEventListener("fetch", (/** @type {any} */ event) => {
  if (event.request.method === "GET" && event.request.url.startsWith("http")) event.respondWith(answer(event.request));
});
