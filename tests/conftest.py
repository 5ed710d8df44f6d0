"""What pytest must know before it reads the tests."""


def pytest_configure(config):
    """Register the marks, whether or not a settings file is found."""
    config.addinivalue_line("markers", "torch: needs PyTorch, compared with it")
