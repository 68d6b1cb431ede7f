"""The packages of the wheel: every folder of ``fruitvision/`` that holds Python, and the shipped checkpoints."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["fruitvision", "fruitvision.*"]), "fruitvision.checkpoints"])
