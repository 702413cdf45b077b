"""A bare FastAPI application: the most that the framework gives. The first example of FastAPI's own documentation."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"status": "ok"}
