// Checks whether this browser can run the page. If not, it is redirected to the app, if there is one, and shown a message otherwise.
// A classic script in old syntax, before the modules, which old browsers may not be able to parse.

(function () {
  var SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

  /** Whether the browser has module workers: then it reads the option `type`, whose getter throws before a worker is created. */
  function hasModuleWorkers() {
    var read = false;
    /** @type {WorkerOptions} */
    var options = Object.defineProperty({}, "type", { get: function () { read = true; throw new Error(); } });
    try {
      new Worker("js/browser_check.js", options).terminate();
    } catch (error) { /* the getter has thrown, or there are no workers */ }
    return read;
  }

  var supported = typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(SIMD)) && typeof OffscreenCanvas === "function" &&
    typeof createImageBitmap === "function" && typeof DecompressionStream === "function" && hasModuleWorkers();
  if (supported) return;
  document.body.className = "old";
  if (/[?&]app\b/.test(location.search)) location.replace("../?app");
})();
