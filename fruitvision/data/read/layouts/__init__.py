"""The layouts of datasets on disk: folders of splits and classes, and label files."""
