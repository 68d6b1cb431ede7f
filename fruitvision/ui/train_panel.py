def build(page):
    pass
