"""The functions and routes of the app that a visitor may use, and those of the owner: :mod:`test_allowed` holds the app to them."""

from collections import Counter

#: What a visitor may call: to classify, to look, and to choose what is shown on his own page.
VISITORS = Counter(
    {
        "app._wire_translation.switch": 6,  # of the header, and of each part of the page
        "page.models.Models.choices_update": 1,
        "classify.panel._wire_picture.answer": 1,
        "classify.api.build_endpoint.classify": 1,
        "page.export.buttons.build_page_export.show_to_owner": 1,
        "page.export.buttons.wire_export.enable": 4,  # the words of a button on his own page
        "classify.panel.build.<lambda>": 1,  # the answer, and the note below it
        "train.setup_panel.wire_setup.<lambda>": 2,  # shows the field for a folder; turns the grid over
        "train.setup_panel.wire_setup.view": 1,
        "train.bar.run_bar.wire_bar.show_run": 1,  # brings a run into view, as the table does
        "train.panel._wire_access.update": 1,
        "train.settings.preset_values": 1,
        "train.lr_finder.wire_lr_finder.watch": 1,
        "train.lr_finder.wire_lr_finder.take": 1,  # nothing to a visitor; takes the rate that was found
        "train.run_panel.wire_run.update": 1,
        "train.run_panel.wire_run.use": 1,  # classify with this run
        "train.runs.wire_table.act": 1,
        "train.runs.wire_table.<lambda>": 1,  # opens and folds rows of his own page
        "compare.panel.build.explain": 1,
        "compare.norm_effect_panel.NormEffectPanel.wire.update": 1,
        "compare.norm_effect_panel.NormEffectPanel.wire.<lambda>": 1,
        "compare.study_panel._wire_start.estimate": 1,
        "compare.study_panel._wire_updates.select_newest": 1,
        "compare.study_panel._wire_updates.translate": 1,
        "compare.study_panel._wire_updates.update": 1,
        "compare.same_picture.build.studies": 1,
        "compare.same_picture.build.choose": 1,
        "compare.same_picture.build.view": 1,
    }
)
#: What changes something, or gives away what is the owner's.
OWNERS = Counter(
    {
        "train.setup_panel.wire_setup.scan": 1,
        "train.setup_panel.wire_setup.download": 1,
        "train.setup_panel.wire_start.start": 1,
        "train.setup_panel.wire_start.start_taught": 1,
        "train.lr_finder.wire_lr_finder.toggle": 1,
        "train.run_panel.wire_run.stop": 1,
        "train.run_panel.wire_run.end": 1,
        "train.run_panel.wire_run.resume": 1,
        "page.export.buttons.wire_export.disable": 4,
        "page.export.buttons.wire_export.export": 4,
        "train.setup_panel.wire_setup.select_latest": 2,
        "train.run_panel.wire_run.show": 1,
        "train.run_panel.wire_run.report": 1,
        "train.run_panel.wire_run.csv": 1,
        "train.runs.wire_table.rename": 1,
        "train.runs.wire_table.delete": 1,
        "compare.study_panel._wire_start.start": 1,
        "compare.study_panel._wire_actions.stop": 1,
        "compare.study_panel._wire_actions.end": 1,
        "compare.study_panel._wire_actions.resume": 1,
        "compare.study_panel._wire_actions.csv": 1,
    }
)
SERVED = {
    "classify-live": {"answer_frame"},
    "classify-start": {"prepare"},  # loads the default network, as the first picture does
    "classify-teach": {
        "taught_state",
        "taught_pictures",
        "teach_picture",
        "take_back",
        "take_back_lesson",
        "put_back",
        "start_over",
        "export_taught",
        "import_taught",
    },
    "train-collect": {"collect_state", "collect_add", "collect_remove", "collect_rename", "collect_taught", "collect_use"},
    "run-bar": {"run_state"},
    "train-drop": {"drop_begin", "drop_pieces", "drop_finish", "drop_state"},
}
ROUTES = {
    "/",
    "/config",
    "/theme.css",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.json",
    "/static/{path:path}",
    "/assets/{path:path}",
    "/svelte/{path:path}",
    "/gradio_api/info",
    "/gradio_api/startup-events",
    "/gradio_api/theme.css",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/gradio_api/component_server",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/queue/status",
    "/gradio_api/heartbeat/{session_hash}",
    "/gradio_api/run/{api_name}",
    "/gradio_api/file={path_or_url:path}",
}
