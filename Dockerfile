# The page alone: radiographs in, answers of a TensorFlow Serving out. The model server has its own image (docker-compose.yml).

FROM python:3.11-slim AS builder
WORKDIR /build
RUN python -m venv /venv
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > runtime.txt \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -c requirements.lock -r runtime.txt

FROM python:3.11-slim
WORKDIR /app
COPY --from=builder /venv /venv
COPY osteo.py LICENSE ./
COPY radiograph radiograph
COPY training/__init__.py training/commands.py training/
COPY export/__init__.py export/commands.py export/contract.py export/manifest.py export/registry.py export/versions.py export/
COPY serving/*.py serving/
COPY serving/bench serving/bench
COPY ui ui
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    GRADIO_ANALYTICS_ENABLED=False
USER 65534:65534
EXPOSE 7860
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=5)"]
ENTRYPOINT ["python", "-m", "osteo"]
CMD ["ui", "--server-name", "0.0.0.0"]
