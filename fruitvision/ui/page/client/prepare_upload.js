// Prepares pictures before they are uploaded. One with too many bytes or pixels is scaled down in the browser; if that fails, an error is
// shown. HEIC, AVIF and JPEG XL are converted to JPEG if the browser can decode them, and sent as they are otherwise. JPEG files of an
// allowed size are not checked for pixels, since the server decodes them at a reduced scale. Files of other types are refused.
// LIMIT (bytes), PIXELS, PICTURE_SELECTOR, WORDS, OTHER_WORDS, KEPT_WORDS and BROKEN_WORDS (by language) come from components.py.
() => {
  if (window.fruitvisionPrepareUpload) return;
  window.fruitvisionPrepareUpload = true;
  const SIDE = 2048, QUALITY = 0.92, ERROR_CLASS = "fv-upload-error";
  const CONVERTED = /\.(heic|heif|hif|avif|jxl)$/i, OTHER = /\.(pdf|docx?|pptx?|xlsx?|txt|zip|mp4|mov|webm|mp3|html?)$/i;
  const prepared = new WeakSet(); // files that this script has chosen itself
  function isOtherType({ name, type }) {
    return OTHER.test(name) || (type && !/^(image\/|application\/octet-stream)/.test(type) && !CONVERTED.test(name));
  }

  // The file to send: the same one if it need not change, or if the browser cannot decode it and it is small enough.
  async function prepare(file) {
    let picture;
    try {
      picture = await createImageBitmap(file);
    } catch (error) {
      if (file.size > LIMIT) throw error;
      return file.type ? file : new File([file], file.name, { type: "image/x" }); // Gradio refuses files without a type
    }
    if (file.size <= LIMIT && picture.width * picture.height <= PIXELS && !CONVERTED.test(file.name)) return file;
    return asSmallJpeg(file, picture);
  }

  async function asSmallJpeg(file, picture) {
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

  let round = 0;
  async function choosePrepared(file, input, place) {
    const mine = ++round;
    try {
      const files = new DataTransfer(), result = await prepare(file);
      if (mine !== round) return; // another file was chosen meanwhile
      files.items.add(result);
      prepared.add(files.files[0]);
      input.files = files.files;
      prepared.add(input.files[0]);
      input.dispatchEvent(new Event("change", { bubbles: true }));
    } catch {
      if (mine !== round) return;
      input.value = "";
      showError(place, WORDS, file);
    }
  }

  /** Whether it is no picture; then an error is shown, and the picture on display stays. */
  function refused(file, place) {
    if (!isOtherType(file)) return false;
    clearErrors();
    showError(place, OTHER_WORDS, file);
    return true;
  }

  function clearErrors() {
    document.querySelectorAll(`.${ERROR_CLASS}`).forEach((error) => error.remove());
  }

  function showError(place, words, file) {
    const error = document.createElement("p");
    error.className = ERROR_CLASS;
    error.setAttribute("role", "alert");
    const language = window.fruitvision?.language || "en", kept = place.querySelector("img") ? [KEPT_WORDS[language]] : [];
    error.textContent = [words[language].replace("{name}", file.name), ...kept].join(language === "zh" ? "" : " ");
    place.after(error);
  }

  // Put a file into a picture component, as a user would: remove the current picture, and choose the file.
  window.fruitvisionSetPicture = async (file, place) => {
    if (refused(file, place)) return;
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
    const place = event.target.closest?.(PICTURE_SELECTOR);
    if (!place) return;
    clearErrors();
    if (!file) return;
    if (prepared.has(file)) return notifyChosen(place);
    if (refused(file, place)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      if (event.target.type === "file") event.target.value = "";
      return;
    }
    if (file.size <= LIMIT && file.type === "image/jpeg" && (input || place.querySelector("input[type=file]"))) {
      round += 1;
      return notifyChosen(place);
    }
    if (!(input = input || place.querySelector("input[type=file]"))) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return void window.fruitvisionSetPicture(file, place); // a picture dropped on the one that is displayed
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    choosePrepared(file, input, place);
  }

  /** Announce that a new picture is being uploaded: the answer on display is not about it. */
  function notifyChosen(place) {
    window.dispatchEvent(new CustomEvent("fruitvision-picture-chosen", { detail: place }));
  }

  // A picture that the browser cannot decode is replaced by a sentence, instead of the broken-image icon.
  for (const kind of ["error", "load"]) {
    document.addEventListener(kind, (event) => {
      const place = event.target.matches?.("img") && event.target.closest(PICTURE_SELECTOR);
      if (!place) return;
      event.target.classList.toggle("fv-broken", kind === "error");
      setBrokenText(place);
    }, true);
  }
  function setBrokenText(place) {
    place.dataset.fvBroken = BROKEN_WORDS[window.fruitvision?.language] || BROKEN_WORDS.en;
  }
  window.addEventListener("fruitvision-header-change", () => document.querySelectorAll(PICTURE_SELECTOR).forEach(setBrokenText));

  // It is displayed as the JPEG that comes with its answer (see `_preview` in classify/panel.py).
  document.addEventListener("load", (event) => {
    const shown = event.target.matches?.(".fv-shown") && document.querySelector("#classify-picture img");
    if (shown && !shown.naturalWidth) shown.src = event.target.src;
  }, true);

  // Whoever removes a picture by keyboard continues at the place for the next one: the button is gone, and the focus with it.
  document.addEventListener("click", async (event) => {
    const place = event.isTrusted && event.target.closest?.("[data-fv-gradio=remove_image], [data-fv-icon=remove]")?.closest(PICTURE_SELECTOR);
    for (let tries = 0; place && place.querySelector("img") && tries < 40; tries += 1) await new Promise((resolve) => setTimeout(resolve, 50));
    if (place && document.activeElement === document.body) place.querySelector("button:has(> input[type=file])")?.focus({ preventScroll: true });
  }, true);

  document.addEventListener("change", (event) => {
    if (event.target.type === "file") check(event, event.target.files[0], event.target);
  }, true);
  document.addEventListener("drop", (event) => {
    check(event, event.dataTransfer?.files[0], null);
    if (event.defaultPrevented) event.target.dispatchEvent(new Event("dragleave", { bubbles: true }));
  }, true);
}
