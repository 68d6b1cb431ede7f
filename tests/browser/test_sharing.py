"""Opened to others, the app lets visitors look and its owner work."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


def test_a_visitor_may_look_but_not_train_and_the_owners_link_opens_everything(visit, public):
    running, owners_link, _ = public
    page = visit(url=running.url)
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-visitor:has-text('visitor')")
    assert page.locator("#train-start").is_disabled()

    page = visit(url=owners_link)
    assert "owner=" not in page.url, "the token does not stay in the address"
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-found .fv-data")
    assert page.locator("#train-start").is_enabled() and not page.locator("#train-visitor").is_visible()
    page.context.close()


def test_a_visitor_who_calls_the_handlers_by_hand_starts_nothing(visit, public):
    running, *_ = public
    page = visit(url=running.url)
    calls = """async () => {
        const found = [];
        for (const one of window.gradio_config.dependencies) {
          if (!one.targets.some((target) => ['click', 'submit'].includes(target[1]))) continue;
          const inputs = one.inputs.map((id) => {
            const props = window.gradio_config.components.find((component) => component.id === id).props;
            return props.value ?? null;
          });
          const answer = await fetch('gradio_api/queue/join', { method: 'POST', headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ data: inputs, fn_index: one.id, session_hash: 'by-hand', event_data: null, trigger_id: null }) });
          found.push(answer.status);
        }
        return found;
    }"""
    statuses = page.evaluate(calls)
    assert len(statuses) > 8
    page.wait_for_timeout(4000)
    assert not list(running.runs.glob("*")), "neither a run nor a study has begun"
    page.context.close()


FOREIGN = """<!doctype html><title>foreign</title><iframe src="{url}"></iframe><script>
const json = { data: { language: "en", name: "Apple", image: "x" }, component_id: 1, fn_name: "taught_state", session_hash: "x" };
async function outcome(path, options) {
  try { const answer = await fetch("{url}" + path, options); return answer.type === "opaque" ? "opaque" : await answer.text(); }
  catch (error) { return "refused"; }
}
async function attack() {
  const forged = { "X-Forwarded-Host": location.host, "Content-Type": "application/json" };
  const body = JSON.stringify(json);
  return [
    await outcome("config", { credentials: "include" }),
    await outcome("config", { credentials: "include", headers: { "X-Forwarded-Host": location.host } }),
    await outcome("gradio_api/component_server", { method: "POST", credentials: "include", headers: forged, body }),
    await outcome("gradio_api/queue/join", { method: "POST", credentials: "include", headers: forged, body }),
  ];
}
</script>"""


def test_a_page_on_another_port_of_this_computer_neither_calls_nor_frames_the_app(browser, app):
    """To the browser it is the same site; what it asked for was done, as by the owner."""
    served = FOREIGN.replace("{url}", app.url).encode()

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(served)

        def log_message(self, *given) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        statuses: list[int] = []
        page.on("response", lambda answer: statuses.append(answer.status) if answer.url.startswith(app.url) else None)
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        assert page.evaluate("attack()") == ["refused"] * 4
        page.wait_for_timeout(500)
        assert not page.frames[1].query_selector("#title"), "nor is it shown in a frame, where a click could be stolen"
        assert statuses and 200 not in statuses[1:], statuses
        context.close()
        server.shutdown()
