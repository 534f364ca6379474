# Image of the service and its model, without the dependencies of training. After `kedro run`, run in this folder:
#
#   docker build -t imdb-sentiment .
#   docker run -p 8000:8000 -e IMDB_SENTIMENT_API_KEY=SECRET imdb-sentiment
FROM python:3.12-slim

WORKDIR /app
COPY requirements-deployment.txt ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-deployment.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .

COPY data/06_models/model.onnx ./

RUN useradd --system imdb-sentiment
USER imdb-sentiment
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
CMD ["imdb-sentiment", "serve", "--model", "model.onnx", "--host", "0.0.0.0"]
