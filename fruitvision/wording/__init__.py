"""All sentences for users, in English and Chinese."""
