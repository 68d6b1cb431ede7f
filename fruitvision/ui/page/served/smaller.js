// A picture that has too many bytes to be sent, or too many pixels to be decoded, is made smaller before it leaves the browser;
// where that cannot be, it is said here, in the reader's language. HEIC, AVIF and JPEG XL become JPEG where the browser can show
// them; where it cannot, they are sent as they are. Of a JPEG the server decodes no more than it needs, whatever its pixels.
// What is no picture at all, such as a PDF, is said so at once.
// LIMIT (bytes), PIXELS, PLACES (a selector), WORDS, OTHER_WORDS and BROKEN_WORDS (by language) come from checked_image.py.
() => {
  if (window.fruitvisionSmaller) return;
  window.fruitvisionSmaller = true;
  const SIDE = 2048, QUALITY = 0.92, NOTE = "fv-too-large";

  const OTHER = /\.(pdf|docx?|pptx?|xlsx?|txt|zip|mp4|mov|webm|mp3|html?)$/i;
  const other = (file) => OTHER.test(file.name) || (file.type && !/^(image\/|application\/octet-stream)/.test(file.type) && !CONVERTED.test(file.name));
  const CONVERTED = /\.(heic|heif|hif|avif|jxl)$/i, passed = new WeakSet();

  // The file that is sent in its place: itself where it need not change, or cannot be shown here and is small enough.
  async function sendable(file) {
    let picture;
    try {
      picture = await createImageBitmap(file);
    } catch (error) {
      if (file.size > LIMIT) throw error;
      return file.type ? file : new File([file], file.name, { type: "image/x" }); // without a type Gradio takes no file
    }
    if (file.size <= LIMIT && picture.width * picture.height <= PIXELS && !CONVERTED.test(file.name)) return file;
    return smaller(file, picture);
  }

  async function smaller(file, picture) {
    const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    const drawing = canvas.getContext("2d");
    drawing.fillStyle = "white"; // a JPEG has no transparency
    drawing.fillRect(0, 0, canvas.width, canvas.height);
    drawing.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    if (!blob || blob.size > LIMIT) throw new Error("too large");
    return new File([blob], `${file.name.replace(/\.[^.]*$/, "")}.jpg`, { type: blob.type });
  }

  let last = 0;
  async function give(file, input, place) {
    const mine = ++last;
    try {
      const files = new DataTransfer(), made = await sendable(file);
      if (mine !== last) return; // another one was chosen meanwhile
      files.items.add(made);
      passed.add(files.files[0]);
      input.files = files.files;
      passed.add(input.files[0]);
      input.dispatchEvent(new Event("change", { bubbles: true }));
    } catch {
      if (mine !== last) return;
      input.value = "";
      tell(place, WORDS, file);
    }
  }

  function tell(place, words, file) {
    const note = document.createElement("p");
    note.className = NOTE;
    note.setAttribute("role", "alert");
    note.textContent = (words[window.fruitvision?.language] || words.en).replace("{name}", file.name);
    place.after(note);
  }

  // A file for a picture's place, whatever is shown there: it is chosen as a person would.
  window.fruitvisionGive = async (file, place) => {
    let input = null;
    for (let tries = 0; tries < 60; tries += 1) {
      input = place.querySelector("input[type=file]");
      if (input && !place.querySelector("img")) break;
      if (place.querySelector("img")) place.querySelector("[data-fv-gradio=remove_image], [data-fv-icon=remove]")?.click();
      else place.querySelector("[data-fv-gradio=upload_file], [data-fv-icon=upload]")?.click();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (!input) return;
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  function check(event, file, input) {
    const place = event.target.closest?.(PLACES);
    if (!place) return;
    document.querySelectorAll(`.${NOTE}`).forEach((note) => note.remove());
    if (!file) return;
    if (passed.has(file)) return given(place);
    if (other(file)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      if (event.target.type === "file") event.target.value = "";
      return tell(place, OTHER_WORDS, file);
    }
    if (file.size <= LIMIT && file.type === "image/jpeg" && (input || place.querySelector("input[type=file]"))) {
      last += 1;
      return given(place);
    }
    if (!(input = input || place.querySelector("input[type=file]"))) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return void window.fruitvisionGive(file, place); // another picture, dropped on the one that is shown
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    give(file, input, place);
  }

  /** A picture goes to the server: what was answered before is not about it. */
  function given(place) {
    window.dispatchEvent(new CustomEvent("fruitvision-given", { detail: place }));
  }

  // A picture that the browser cannot show leaves no broken icon, but a sentence in its place, unless there is another to show.
  for (const kind of ["error", "load"]) {
    document.addEventListener(kind, (event) => {
      const place = event.target.matches?.("img") && event.target.closest(PLACES);
      if (!place) return;
      event.target.classList.toggle("fv-broken", kind === "error");
      broken(place);
    }, true);
  }
  function broken(place) {
    place.dataset.fvBroken = BROKEN_WORDS[window.fruitvision?.language] || BROKEN_WORDS.en;
  }
  window.addEventListener("fruitvision-words", () => document.querySelectorAll(PLACES).forEach(broken));

  // What the browser cannot show is shown as the JPEG that comes with its answer.
  document.addEventListener("load", (event) => {
    const shown = event.target.matches?.(".fv-shown") && document.querySelector("#classify-picture img");
    if (shown && !shown.naturalWidth) shown.src = event.target.src;
  }, true);

  document.addEventListener("change", (event) => {
    if (event.target.type === "file") check(event, event.target.files[0], event.target);
  }, true);
  document.addEventListener("drop", (event) => {
    check(event, event.dataTransfer?.files[0], null);
    if (event.defaultPrevented) event.target.dispatchEvent(new Event("dragleave", { bubbles: true }));
  }, true);
}
