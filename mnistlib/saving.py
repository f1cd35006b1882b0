def check(path):
    pass
