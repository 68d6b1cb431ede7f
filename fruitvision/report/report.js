// The report's own clicks: language, sorting, and opening a kind from the matrix. Without them everything can still be read.
for (const button of document.querySelectorAll('[data-language]')) {
  button.addEventListener('click', () => { document.documentElement.lang = button.dataset.language; });
}

for (const row of document.querySelectorAll('tr[data-opens]')) {
  row.addEventListener('click', (event) => {
    event.preventDefault();
    const details = document.getElementById(row.dataset.opens);
    details.open = true;
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    details.scrollIntoView({ behavior: calm ? 'instant' : 'smooth', block: 'start' });
    details.querySelector('summary').focus({ preventScroll: true });
  });
}

for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector('button').addEventListener('click', () => {
    const up = head.getAttribute('aria-sort') !== 'ascending';
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      return isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? compare(a, b) : compare(b, a)));
    table.tBodies[0].append(...rows);
    for (const other of heads) other.setAttribute('aria-sort', 'none');
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  }));
}
