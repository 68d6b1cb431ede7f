"""The browser interface, with Gradio."""
