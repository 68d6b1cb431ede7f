"""Who may do what, and what stands before Gradio."""
