// Saves the visible charts as one PNG. The SVGs are styled by the page's CSS, so the computed styles are written into a copy of each
// before it is drawn.
async () => {
  const SCALE = 2, GAP = 18, HEADER = 44, WIDTH = 460, HEIGHT = 230;
  const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "font-size",
    "font-family", "opacity", "text-anchor"];
  const figures = [...document.querySelectorAll("#compare-charts .fv-chart")].filter((figure) => figure.offsetParent);
  if (!figures.length) return;
  const columns = figures.length > 1 ? 2 : 1, rows = Math.ceil(figures.length / columns);
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * (columns * (WIDTH + GAP) + GAP);
  canvas.height = SCALE * (rows * (HEIGHT + HEADER + GAP) + GAP);
  const context = canvas.getContext("2d");
  context.scale(SCALE, SCALE);
  const style = getComputedStyle(figures[0]);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const [index, figure] of figures.entries()) {
    const x = GAP + (index % columns) * (WIDTH + GAP), y = GAP + Math.floor(index / columns) * (HEIGHT + HEADER + GAP);
    context.fillStyle = style.color;
    context.font = `600 15px ${style.fontFamily}`;
    context.fillText(figure.querySelector("figcaption").firstChild.textContent, x, y + 14);
    context.font = `12px ${style.fontFamily}`;
    let legendX = x;
    for (const name of figure.querySelectorAll(".fv-legend > span")) {
      context.fillStyle = getComputedStyle(name.querySelector("i")).borderTopColor;
      context.fillRect(legendX, y + 27, 14, 3);
      context.fillStyle = style.color;
      context.fillText(name.textContent, legendX + 18, y + 32);
      legendX += 30 + context.measureText(name.textContent).width;
    }
    const source = figure.querySelector("svg"), copy = source.cloneNode(true);
    const parts = [...source.querySelectorAll("*")], copies = [...copy.querySelectorAll("*")];
    parts.forEach((part, n) => {
      const computed = getComputedStyle(part);
      for (const name of STYLES) copies[n].style.setProperty(name, computed.getPropertyValue(name));
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", WIDTH * SCALE);
    copy.setAttribute("height", HEIGHT * SCALE);
    const image = new Image();
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
    await image.decode();
    context.drawImage(image, x, y + HEADER, WIDTH, HEIGHT);
  }
  const link = document.createElement("a");
  link.href = canvas.toDataURL("image/png");
  link.download = "fruitvision-compare.png";
  link.click();
}
