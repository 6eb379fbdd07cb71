# syntax=docker/dockerfile:1

# docker build .                   -> api-cpu, the default
# docker build --target api-gpu .  -> the same with CUDA

# The Python the tests run on. Builder and image share it, so that the virtual environment can move.
ARG PYTHON_IMAGE=python:3.11-slim-trixie

# ---- build: everything that needs pip happens here and stays here ----

FROM ${PYTHON_IMAGE} AS builder
ENV PATH=/opt/pincite/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt pyproject.toml ./
RUN python -m venv /opt/pincite \
    && pip install --constraint constraints.txt --upgrade pip \
    && python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['minilm'], *p['optional-dependencies']['fast'], *p['optional-dependencies']['otel'], *p['optional-dependencies']['redis'], *p['optional-dependencies']['s3'], sep='\n')" > requirements.txt

# Dependencies before sources: a change of ours does not install torch again.
FROM builder AS builder-cpu
RUN pip install --constraint constraints.txt --no-deps --index-url https://download.pytorch.org/whl/cpu torch \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN pip install --no-deps --build-constraint constraints.txt . && pip check

FROM builder AS builder-gpu
RUN pip install --constraint constraints.txt torch \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN pip install --no-deps --build-constraint constraints.txt . && pip check

# ---- run: no compiler, no sources, nobody's privileges ----

FROM ${PYTHON_IMAGE} AS runtime
# HF_HOME, XDG_CACHE_HOME: where a model named by PINCITE_EMBEDDER_MODEL or _RERANKER_MODEL is kept, and what OpenVINO
# made of it; mount a volume there.
# The default embedder's weights are in the image.
ENV PATH=/opt/pincite/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    HF_HOME=/models \
    XDG_CACHE_HOME=/models
# git: sources that are repositories. tesseract: pictures and scanned PDFs, in English and German.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git tesseract-ocr tesseract-ocr-eng tesseract-ocr-deu \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 pincite \
    && useradd --system --uid 10001 --gid pincite --no-create-home --home-dir /nonexistent pincite \
    && install --directory --owner pincite --group pincite /models /srv/pincite
WORKDIR /srv/pincite
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["pincite"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

FROM runtime AS api-gpu
COPY --from=builder-gpu /opt/pincite /opt/pincite

FROM runtime AS api-cpu
COPY --from=builder-cpu /opt/pincite /opt/pincite
