"""What pyproject.toml cannot say: the search kernel is compiled if there is a compiler, and done without if there is none."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "codec.quantizers.kernel.nearest",
            sources=["codec/quantizers/kernel/nearest.cpp"],
            depends=["codec/quantizers/kernel/scan.inc"],
            language="c++",
            extra_compile_args=["-std=c++17", "-O3", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ]
)
