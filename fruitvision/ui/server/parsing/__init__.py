"""Access rules and limits, and the ASGI middleware in front of Gradio."""
