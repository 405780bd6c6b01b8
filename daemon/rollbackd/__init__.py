"""rollbackd watches production through Prometheus and undoes a change that goes bad."""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # 20 ms that most commands do not need

        return version("rollbackd")
    raise AttributeError(name)
