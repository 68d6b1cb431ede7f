// Whether this browser can answer by itself. If not, it goes to the app beside the page, or is told so where there is none.
// A script of its own, before the modules and in words that old browsers know: they may not even read those.

(function () {
  var SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

  /** Whether a worker may be a module: a browser that knows of it asks for the type, and then makes no worker here. */
  function takesModules() {
    var asked = false;
    /** @type {WorkerOptions} */
    var options = Object.defineProperty({}, "type", { get: function () { asked = true; throw new Error(); } });
    try {
      new Worker("js/able.js", options).terminate();
    } catch (error) { /* it asked, or has no workers */ }
    return asked;
  }

  var able = typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(SIMD)) && typeof OffscreenCanvas === "function" &&
    typeof createImageBitmap === "function" && typeof DecompressionStream === "function" && takesModules();
  if (able) return;
  document.body.className = "old";
  if (/[?&]app\b/.test(location.search)) location.replace("../?app");
})();
