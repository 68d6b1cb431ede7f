"""The Hugging Face Hub: fetch a repository's checkpoint, upload one."""
