# FruitVision for any CPU. Build: docker build -t fruitvision .
# Open it, with runs and taught classes kept in a volume: docker run -p 7860:7860 -v fruitvision:/data fruitvision
# Visitors may classify and look; the owner's link is in the log, or choose its token: -e FRUITVISION_OWNER_TOKEN=...
FROM python:3.13-slim

# PyPI's torch for Linux brings several gigabytes of CUDA; this index has the CPU build of the same version.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

COPY requirements.txt /source/
RUN python -m pip install --extra-index-url "$TORCH_INDEX" -r /source/requirements.txt
COPY pyproject.toml setup.py README.md LICENSE /source/
COPY checkpoints /source/checkpoints
COPY fruitvision /source/fruitvision
RUN python -m pip install --no-deps /source \
    && rm -r /source \
    && useradd --uid 1000 --create-home fruit \
    && install --directory --owner=fruit --group=fruit /data

USER 1000
WORKDIR /data
VOLUME /data
# What can be made again (stores of pictures, the sample set, downloaded weights) lies in the volume too: all else may be read-only.
ENV XDG_CACHE_HOME=/data/.cache
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/robots.txt', timeout=4)"]
ENTRYPOINT ["fruitvision"]
CMD ["app", "--public", "--port", "7860", "--no-browser"]
