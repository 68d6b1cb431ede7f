"""Opened to others, the app lets visitors look and its owner work."""

from __future__ import annotations


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
