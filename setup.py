"""What pyproject.toml has no stable word for: the C file, which a build may do without."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "_prunekit_philox",
            ["prunekit/draws/philox.c"],
            extra_compile_args=["-O3"],
            optional=True,  # without a compiler NumPy computes the same words
        )
    ]
)
