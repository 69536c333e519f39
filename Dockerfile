# The workbook on a CPU, with PyTorch's builds without CUDA:
#   docker build -t vadkit . && docker run -p 127.0.0.1:8888:8888 vadkit
# and `docker run vadkit make demo` runs it from end to end.
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends git make libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home reader
USER reader
WORKDIR /home/reader/vadkit
COPY --chown=reader . .
RUN CPU=1 make setup
EXPOSE 8888
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "notebooks"]
