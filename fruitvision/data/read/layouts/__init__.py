"""How datasets are laid out on disk: folders of splits and classes, and labels that lie beside the pictures."""
