// The charts that are in view, drawn into one PNG by the browser itself: an SVG takes its colours from the page, so each
// part's are written into a copy before it is drawn.
async () => {
  const SCALE = 2, GAP = 18, HEAD = 44, WIDE = 460, TALL = 230;
  const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "font-size",
    "font-family", "opacity", "text-anchor"];
  const figures = [...document.querySelectorAll("#compare-charts .fv-chart")].filter((one) => one.offsetParent);
  if (!figures.length) return;
  const columns = figures.length > 1 ? 2 : 1, rows = Math.ceil(figures.length / columns);
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * (columns * (WIDE + GAP) + GAP);
  canvas.height = SCALE * (rows * (TALL + HEAD + GAP) + GAP);
  const pen = canvas.getContext("2d");
  pen.scale(SCALE, SCALE);
  const style = getComputedStyle(figures[0]);
  pen.fillStyle = style.backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (const [place, figure] of figures.entries()) {
    const x = GAP + (place % columns) * (WIDE + GAP), y = GAP + Math.floor(place / columns) * (TALL + HEAD + GAP);
    pen.fillStyle = style.color;
    pen.font = `600 15px ${style.fontFamily}`;
    pen.fillText(figure.querySelector("figcaption").firstChild.textContent, x, y + 14);
    pen.font = `12px ${style.fontFamily}`;
    let along = x;
    for (const name of figure.querySelectorAll(".fv-legend > span")) {
      pen.fillStyle = getComputedStyle(name.querySelector("i")).borderTopColor;
      pen.fillRect(along, y + 27, 14, 3);
      pen.fillStyle = style.color;
      pen.fillText(name.textContent, along + 18, y + 32);
      along += 30 + pen.measureText(name.textContent).width;
    }
    const source = figure.querySelector("svg"), copy = source.cloneNode(true);
    const parts = [...source.querySelectorAll("*")], copies = [...copy.querySelectorAll("*")];
    parts.forEach((part, n) => {
      const seen = getComputedStyle(part);
      for (const name of KEPT) copies[n].style.setProperty(name, seen.getPropertyValue(name));
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", WIDE * SCALE);
    copy.setAttribute("height", TALL * SCALE);
    const image = new Image();
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
    await image.decode();
    pen.drawImage(image, x, y + HEAD, WIDE, TALL);
  }
  const link = document.createElement("a");
  link.href = canvas.toDataURL("image/png");
  link.download = "fruitvision-compare.png";
  link.click();
}
