# Image of the service and its model, without the dependencies of training. After `kedro run`, run in this folder:
#
#   docker build -t imdb-sentiment .
#   docker run -p 8000:8000 -e IMDB_SENTIMENT_API_KEY=SECRET imdb-sentiment
# docs/security.md tells how to renew the digest, which decides what is used.
FROM python:3.12.14-slim-trixie@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

WORKDIR /app
COPY requirements-deployment.txt ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-deployment.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .

COPY data/06_models/model.onnx ./
COPY data/08_reporting/runs ./data/08_reporting/runs

# The files of a checkout may be readable by their owner alone.
# A number, so that Kubernetes can tell that the user is not root.
RUN useradd --no-create-home --uid 10001 imdb-sentiment && chmod -R a+rX model.onnx data
USER 10001
EXPOSE 8000
# Without a proxy, which the environment may name.
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8000/health')"]
CMD ["imdb-sentiment", "serve", "--model", "model.onnx", "--host", "0.0.0.0"]
