"""A network's results on a folder as one HTML file, and charts as inline SVG. No gradio."""
